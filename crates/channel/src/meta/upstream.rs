//! What the channels have: for each platform's folder either the shards of all names that the roots can
//! lead to, or the whole repodata.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::{self, BufReader};

use archive::digest::Sha256;
use archive::package::Kind;
use conda::{Channel, PackageName, Subdir};
use fetch::{Client, Document, Wanted};
use serde_json::Value;
use url::Url;

use super::fields::{Fields, exported};
use super::lock::{Locked, Revision};
use super::relations::Relations;
use super::{Error, Event};
use crate::import::shards::{Index, sections};
use crate::index::ChannelRelations;
use crate::output::shards::INDEX;
use crate::text::{self, Text};

/// How often the channels are read when one of them changes meanwhile.
const ATTEMPTS: usize = 3;

/// What a compressed document may come to, in bytes.
const LIMIT: u64 = 8 << 30;

/// All that was read.
#[derive(Debug)]
pub(super) struct Upstream {
    /// The channels, the most important one first.
    pub(super) channels: Vec<Source>,
    pub(super) listings: Vec<Listing>,
    /// What was read, for the lock.
    pub(super) revisions: Vec<Revision>,
}

/// A channel.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// What the definition calls it, without secrets: it is told to everybody.
    pub(super) text: String,
    /// Where it is, without credentials, with a slash at the end.
    pub(super) url: Url,
}

/// A platform's folder of a channel.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) channel: usize,
    pub(super) subdir: Subdir,
    /// The folder.
    url: Url,
    pub(super) text: Text,
    /// Where its packages are, with a slash at the end (CEP 15).
    pub(super) base_url: Url,
    /// What packages impose on others, by file name, where their records do not tell.
    pub(super) run_exports: HashMap<String, Value>,
    /// How many records the channel has, if all of them were read.
    pub(super) whole: Option<usize>,
    /// How many names there are in all.
    pub(super) all_names: usize,
}

impl Upstream {
    /// Whether all records that were asked for could be read, and are those that the revisions tell of.
    pub(super) fn check(&self) -> Result<(), Error> {
        let mut listings = self.listings.iter();
        listings.try_for_each(|listing| {
            listing.text.check().map_err(|source| Error::Unreadable {
                url: listing.url.to_string(),
                source: Box::new(source),
            })
        })
    }
}

impl Listing {
    /// Whether machines of a platform use it.
    pub(super) fn is_of(&self, platform: Subdir) -> bool {
        self.subdir == platform || self.subdir == Subdir::NoArch
    }
}

impl Source {
    /// Whether a spec that names a channel means this one.
    pub(super) fn is(&self, wanted: &Channel) -> bool {
        let own = self.url.as_str().trim_end_matches('/');
        own == wanted.base_url.as_str().trim_end_matches('/')
            || wanted.name.as_deref().is_some_and(|name| {
                self.text == name
                    || own
                        .strip_suffix(name)
                        .is_some_and(|before| before.ends_with('/'))
            })
    }
}

/// How channels are read.
pub(super) struct Loader<'a> {
    pub(super) client: &'a Client,
    pub(super) report: &'a (dyn Fn(Event<'_>) + Sync),
    /// What an earlier build read, if that is to be read again.
    pub(super) locked: Option<&'a Locked>,
    /// Whether what packages impose on others is wanted.
    pub(super) run_exports: bool,
}

/// A folder whose records are not all here.
struct Open {
    channel: usize,
    subdir: Subdir,
    url: Url,
    content: Content,
    revision: Revision,
}

enum Content {
    Absent,
    Whole(Text),
    Sharded {
        index: Index,
        text: Text,
        /// The names whose shards were read.
        read: BTreeSet<String>,
    },
}

impl Open {
    /// What the folder says of other channels.
    fn relations(&self) -> Option<&ChannelRelations> {
        match &self.content {
            Content::Absent => None,
            Content::Whole(text) => Some(&text.relations),
            Content::Sharded { index, .. } => Some(&index.relations),
        }
    }
}

impl Loader<'_> {
    /// Reads what `platforms` and noarch have of the channels, as far as `roots` (names, for each platform)
    /// can lead to it.
    pub(super) fn load(
        &self,
        channels: &[Source],
        platforms: &[(Subdir, Vec<String>)],
    ) -> Result<Upstream, Error> {
        let mut attempt = 1;
        loop {
            match self.load_once(channels.to_vec(), platforms) {
                Err(Error::Changing { .. }) if attempt < ATTEMPTS => attempt += 1,
                loaded => return loaded,
            }
        }
    }

    fn load_once(
        &self,
        mut channels: Vec<Source>,
        platforms: &[(Subdir, Vec<String>)],
    ) -> Result<Upstream, Error> {
        let mut subdirs: Vec<Subdir> = platforms.iter().map(|(platform, _)| *platform).collect();
        subdirs.push(Subdir::NoArch);
        let mut folders = Vec::new();
        let mut relations = Relations::new(channels.len());
        let mut number = 0;
        while let Some(channel) = channels.get(number).cloned() {
            let mut found = false;
            for subdir in &subdirs {
                let open = self.open(number, &channel, *subdir)?;
                found |= !matches!(open.content, Content::Absent);
                let told = open.relations();
                if let Some(problem) =
                    told.and_then(|told| relations.add(number, told, &mut channels))
                {
                    self.warn(&channel, &problem);
                }
                folders.push(open);
            }
            if !found && relations.is_given(number) {
                return Err(Error::ChannelAbsent {
                    channel: channel.text.clone(),
                    url: channel.url.to_string(),
                    subdirs: subdirs.iter().map(ToString::to_string).collect(),
                });
            }
            if !found {
                self.warn(&channel, "another channel names it, and it is not there");
            }
            number += 1;
        }
        let (order, wrong) = relations.order();
        for number in wrong {
            if let Some(channel) = channels.get(number) {
                let problem = "where it says that another channel stands is not where the definition or others have it";
                self.warn(channel, problem);
            }
        }
        for open in &mut folders {
            let place = order.iter().position(|number| *number == open.channel);
            open.channel = place.unwrap_or(open.channel);
        }
        folders.sort_by_key(|open| open.channel);
        let channels: Vec<Source> = order
            .into_iter()
            .filter_map(|number| channels.get(number).cloned())
            .collect();
        let is_sharded = |open: &Open| matches!(open.content, Content::Sharded { .. });
        if folders.iter().any(is_sharded) {
            for (platform, roots) in platforms {
                self.follow(&channels, &mut folders, *platform, roots)?;
            }
        }
        let mut upstream = Upstream {
            channels,
            listings: Vec::new(),
            revisions: Vec::new(),
        };
        for open in folders {
            self.close(open, &mut upstream)?;
        }
        Ok(upstream)
    }

    fn warn(&self, channel: &Source, problem: &str) {
        (self.report)(Event::Warning(format!(
            "channel_relations of {}: {problem}",
            channel.text
        )));
    }

    /// Finds the best form in which a folder's records can be had.
    fn open(&self, number: usize, channel: &Source, subdir: Subdir) -> Result<Open, Error> {
        let url = join(&channel.url, &format!("{subdir}/"))?;
        (self.report)(Event::Loading {
            channel: &channel.text,
            subdir: subdir.as_str(),
        });
        let mut open = Open {
            channel: number,
            subdir,
            revision: Revision::new(&url),
            url,
            content: Content::Absent,
        };
        // Of files that are here, one is as good as many.
        let index = match open.url.scheme() {
            "file" => None,
            _ => self.document(&join(&open.url, INDEX)?)?,
        };
        if let Some(document) = index {
            let index = Index::read(&document.path);
            let index = self.readable(&document, index.map_err(Into::into))?;
            open.revision.add(INDEX, &document);
            open.content = Content::Sharded {
                index,
                text: Text::default(),
                read: BTreeSet::new(),
            };
            return Ok(open);
        }
        for name in ["repodata.json.zst", "repodata.json"] {
            let Some((document, text)) = self.text(&join(&open.url, name)?)? else {
                continue;
            };
            let text = self.readable(&document, text)?;
            if text.refused > 0 {
                (self.report)(Event::Warning(format!(
                    "{} has records that are left out, since their file names lead out of the channel: {}",
                    document.url, text.refused
                )));
            }
            open.revision.add(name, &document);
            open.content = Content::Whole(text);
            break;
        }
        Ok(open)
    }

    /// The file at a URL: as it is now, or as the lock says. A server that refuses a file that is one of
    /// several forms need not have it: stores of objects do not tell what is not there.
    fn document(&self, url: &Url) -> Result<Option<Document>, Error> {
        let report = |event: fetch::Event<'_>| (self.report)(Event::Fetch(event));
        let Some(locked) = self.locked else {
            return match self.client.document(url, &report) {
                Err(error) if error.is_refusal() && !url.path().ends_with("repodata.json") => {
                    Ok(None)
                }
                found => Ok(found?),
            };
        };
        let Some((sha256, size)) = locked.get(url) else {
            return Ok(None);
        };
        let wanted = Wanted {
            url: url.clone(),
            file_name: file_name(url),
            sha256: Some(sha256),
            md5: None,
            size: Some(size),
        };
        let found = self.client.packages(std::slice::from_ref(&wanted), &report);
        let found = found.map_err(|source| {
            if source.is_integrity() {
                Error::Moved {
                    url: url.to_string(),
                    source,
                }
            } else {
                source.into()
            }
        })?;
        Ok(found.into_iter().next().map(|package| Document {
            url: url.clone(),
            path: package.path,
            sha256: package.sha256,
            size: package.size,
            cached: true,
        }))
    }

    /// The same, taken apart. A file that lies here is read once for its digest and for this.
    fn text(&self, url: &Url) -> Result<Option<(Document, Read<Text>)>, Error> {
        if url.scheme() == "file" && !is_packed(url) && self.locked.is_none() {
            let Some(mut found) = self.client.local_document(url)? else {
                return Ok(None);
            };
            let file = found.file().map_err(text::Error::from);
            let text = file.and_then(|file| Text::of_file(file, &mut found));
            return Ok(Some((found.finish(), text.map_err(Into::into))));
        }
        let found = self.document(url)?;
        Ok(found.map(|document| {
            let text = parse(&document);
            (document, text)
        }))
    }

    /// What cannot be read is not kept for the next time.
    fn readable<T>(&self, document: &Document, read: Read<T>) -> Result<T, Error> {
        read.map_err(|source| {
            self.client.forget_document(&document.url);
            Error::Unreadable {
                url: document.url.to_string(),
                source,
            }
        })
    }

    /// Reads the shards of all names that the roots lead to on a platform.
    fn follow(
        &self,
        channels: &[Source],
        folders: &mut [Open],
        platform: Subdir,
        roots: &[String],
    ) -> Result<(), Error> {
        let mut seen: HashSet<String> = HashSet::new();
        let mut frontier: Vec<String> = roots.to_vec();
        while !frontier.is_empty() {
            frontier.retain(|name| !name.starts_with("__") && seen.insert(name.clone()));
            let mut next = BTreeSet::new();
            let of_platform = |open: &&mut Open| [platform, Subdir::NoArch].contains(&open.subdir);
            for open in folders.iter_mut().filter(of_platform) {
                match &open.content {
                    Content::Absent => {}
                    Content::Whole(text) => {
                        for row in frontier.iter().flat_map(|name| text.of_name(name)) {
                            self.asked_for(text.record(*row), &mut next);
                        }
                    }
                    Content::Sharded { .. } => {
                        self.shards(channels, open, &frontier, &mut next)?;
                    }
                }
            }
            frontier = next.into_iter().collect();
        }
        Ok(())
    }

    /// Adds the names that a record leads to.
    fn asked_for(&self, record: &str, names: &mut BTreeSet<String>) {
        let Some(fields) = Fields::read(record) else {
            return;
        };
        let exports = fields.run_exports.as_ref().filter(|_| self.run_exports);
        let asked = fields.depends.iter().chain(&fields.extra_depends);
        for text in asked
            .map(|text| &**text)
            .chain(exports.map(exported).unwrap_or_default())
        {
            let name = PackageName::normalized_name_from_matchspec_str(text);
            if !names.contains(name.as_ref()) {
                names.insert(name.into_owned());
            }
        }
        if record.contains("\"name\":\"python\"") {
            names.insert("pip".to_owned());
        }
    }

    /// Reads the shards of some names, and what they lead to.
    fn shards(
        &self,
        channels: &[Source],
        open: &mut Open,
        names: &[String],
        next: &mut BTreeSet<String>,
    ) -> Result<(), Error> {
        let Content::Sharded { index, read, .. } = &open.content else {
            return Ok(());
        };
        let wanted: Vec<(String, Wanted)> = names
            .iter()
            .filter(|name| !read.contains(*name))
            .filter_map(|name| Some((name.clone(), index.shards.get(name)?)))
            .map(|(name, sha256)| {
                let url = shard_url(index, &open.url, sha256);
                let wanted = url.map(|url| Wanted {
                    file_name: format!("{name} ({})", open.subdir),
                    url,
                    sha256: Some(sha256.0),
                    md5: None,
                    size: None,
                });
                wanted.map(|wanted| (name, wanted))
            })
            .collect::<Result<_, _>>()
            .map_err(|source| Error::Unreadable {
                url: open.url.to_string(),
                source: Box::new(source),
            })?;
        let asked: Vec<Wanted> = wanted.iter().map(|(_, wanted)| wanted.clone()).collect();
        let report = |event: fetch::Event<'_>| (self.report)(Event::Fetch(event));
        let packages = match self.client.packages(&asked, &report) {
            Ok(packages) => wanted.into_iter().map(|(name, _)| name).zip(packages),
            Err(error) => return Err(self.shard_error(channels, open, error)),
        };
        let packages: Vec<_> = packages.collect();
        let Content::Sharded { text, read, .. } = &mut open.content else {
            return Ok(());
        };
        for (name, package) in packages {
            let records = sections(&package.path).map_err(|source| Error::Unreadable {
                url: open.url.to_string(),
                source: source.into(),
            })?;
            for (file, record) in records {
                if Kind::from_file_name(&file).is_some() {
                    let row = u32::try_from(text.len()).unwrap_or(u32::MAX);
                    text.push(&file, &record);
                    self.asked_for(text.record(row), next);
                }
            }
            read.insert(name);
        }
        Ok(())
    }

    /// A shard that is not there may belong to an index that has been replaced since it was read.
    fn shard_error(&self, channels: &[Source], open: &Open, error: fetch::Error) -> Error {
        if !error.is_absent() || self.locked.is_some() {
            return error.into();
        }
        match self.open(open.channel, &channels[open.channel], open.subdir) {
            Ok(now) if now.revision != open.revision => Error::Changing {
                url: open.url.to_string(),
            },
            _ => error.into(),
        }
    }

    /// Adds what a folder has to the whole.
    fn close(&self, open: Open, upstream: &mut Upstream) -> Result<(), Error> {
        let mut revision = open.revision;
        let (text, base, whole, all_names) = match open.content {
            Content::Absent => return Ok(()),
            Content::Whole(text) => {
                let base = text.base_url.clone();
                let (records, all_names) = (text.len(), text.count_names());
                (text, base, Some(records), all_names)
            }
            Content::Sharded { index, text, .. } => {
                (text, index.base_url, None, index.shards.len())
            }
        };
        let told =
            |subdir: Option<&String>| subdir.is_none_or(|subdir| subdir == open.subdir.as_str());
        if !told(text.subdir.as_ref()) {
            return Err(Error::Unreadable {
                url: open.url.to_string(),
                source: format!(
                    "it says that it is of {}",
                    text.subdir.as_deref().unwrap_or_default()
                )
                .into(),
            });
        }
        let base_url = match base.as_deref() {
            None | Some("") => open.url.clone(),
            Some(base) => join(&open.url, &format!("{}/", base.trim_end_matches('/')))?,
        };
        let is_local = |url: &Url| url.scheme() == "file";
        let is_reachable = matches!(base_url.scheme(), "http" | "https")
            || is_local(&base_url) && is_local(&open.url);
        if !is_reachable {
            return Err(Error::Unreadable {
                url: open.url.to_string(),
                source: format!("its packages are said to be at `{base_url}`").into(),
            });
        }
        let mut run_exports = HashMap::new();
        if whole.is_some() && self.run_exports {
            for name in ["run_exports.json.zst", "run_exports.json"] {
                let Some(document) = self.document(&join(&open.url, name)?)? else {
                    continue;
                };
                let read = unpack(&document).and_then(run_exports_of);
                run_exports = self.readable(&document, read)?;
                revision.add(name, &document);
                break;
            }
        }
        upstream.revisions.push(revision);
        upstream.listings.push(Listing {
            channel: open.channel,
            subdir: open.subdir,
            url: open.url,
            all_names,
            text,
            base_url,
            run_exports,
            whole,
        });
        Ok(())
    }
}

/// `run_exports.json` (CEP 12) by file name, without those that are empty.
fn run_exports_of(reader: Box<dyn io::Read>) -> Read<HashMap<String, Value>> {
    #[derive(serde::Deserialize)]
    struct File {
        #[serde(default)]
        packages: BTreeMap<String, Entry>,
        #[serde(default, rename = "packages.conda")]
        conda: BTreeMap<String, Entry>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        #[serde(default)]
        run_exports: Value,
    }
    let file: File = serde_json::from_reader(BufReader::new(reader))?;
    let entries = file.packages.into_iter().chain(file.conda);
    Ok(entries
        .map(|(name, entry)| (name, entry.run_exports))
        .filter(|(_, exports)| exports.as_object().is_some_and(|kinds| !kinds.is_empty()))
        .collect())
}

/// What was read, or why it could not be.
type Read<T> = Result<T, super::Reason>;

fn is_packed(url: &Url) -> bool {
    file_name(url).strip_suffix(".zst").is_some()
}

/// What a document has, decompressed.
fn unpack(document: &Document) -> Read<Box<dyn io::Read>> {
    let file = fs_err::File::open(&document.path)?;
    Ok(if is_packed(&document.url) {
        Box::new(Limited {
            reader: zstd::Decoder::new(file)?,
            left: LIMIT,
        })
    } else {
        Box::new(file)
    })
}

/// A document taken apart. What is not compressed stays where it is.
fn parse(document: &Document) -> Read<Text> {
    let mut reader = unpack(document)?;
    Ok(if is_packed(&document.url) {
        Text::read(&mut reader)?
    } else {
        let file = fs_err::File::open(&document.path)?;
        Text::of_file(file.into_file(), &mut reader)?
    })
}

/// What a compressed document has, if that is not absurdly much.
struct Limited<R> {
    reader: R,
    left: u64,
}

impl<R: io::Read> io::Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other("it is above the limit of 8 GiB")),
        }
        Ok(count)
    }
}

/// Where a shard is (CEP 16): the base is relative to the index, or whole.
fn shard_url(index: &Index, folder: &Url, sha256: &Sha256) -> Result<Url, url::ParseError> {
    let base = index.shards_base_url.trim_end_matches('/');
    let base = match base {
        "" => folder.clone(),
        base => folder.join(&format!("{base}/"))?,
    };
    base.join(&crate::output::shards::file_name(sha256))
}

fn join(url: &Url, name: &str) -> Result<Url, Error> {
    url.join(name).map_err(|source| Error::Unreadable {
        url: url.to_string(),
        source: Box::new(source),
    })
}

fn file_name(url: &Url) -> String {
    url.path().rsplit('/').next().unwrap_or_default().to_owned()
}
