//! What the channels have: for each platform's folder either the shards of all names that the roots can
//! lead to, or the whole repodata.

mod follow;
mod open;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufReader};

use conda::{Channel, Subdir};
use fetch::Client;
use serde_json::Value;
use url::Url;

use super::lock::{Locked, Revision};
use super::relations::Relations;
use super::{Error, Event};
use crate::text::Text;
use open::{Content, Open, Read, unpack};

/// How often the channels are read when one of them changes meanwhile.
const ATTEMPTS: usize = 3;

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
        if text.refused > 0 {
            (self.report)(Event::Warning(format!(
                "{} has records that are left out, since their file names lead out of the channel: {}",
                open.url, text.refused
            )));
        }
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

fn join(url: &Url, name: &str) -> Result<Url, Error> {
    url.join(name).map_err(|source| Error::Unreadable {
        url: url.to_string(),
        source: Box::new(source),
    })
}
