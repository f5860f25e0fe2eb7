//! What stays, on its way into the channel's folder: one list for each platform's folder, where its packages
//! are, what channels tell of them, and the indexer that writes all of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use conda::Subdir;
use fetch::Client;
use spec::Mirror;

use super::given;
use super::upstream::{Listing, Upstream};
use super::{Compiled, Error, Event, Options, ReportTo, Subfolder, files};
use crate::base_url::BaseUrl;
use crate::given::About;
use crate::index::{self, Outputs};
use crate::origins::Origins;

/// The listing in the indexer's cache.
const STAGE: &str = "meta";

/// The packages that stay, by platform's folder.
pub(super) type Rows = BTreeMap<String, Vec<Row>>;

/// A package that stays: where it is upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    listing: usize,
    number: u32,
    /// Its length in bytes, if the record tells.
    pub(super) size: Option<u64>,
}

impl Row {
    pub(super) fn listing<'u>(&self, upstream: &'u Upstream) -> &'u Listing {
        &upstream.listings[self.listing]
    }

    pub(super) fn file<'u>(&self, upstream: &'u Upstream) -> &'u str {
        self.listing(upstream).text.file(self.number)
    }

    pub(super) fn record<'u>(&self, upstream: &'u Upstream) -> &'u str {
        self.listing(upstream).text.record(self.number)
    }
}

/// The rows that stay, by platform's folder and sorted by file name. What stays for several platforms is there
/// once; of two files of one name the more important channel's.
pub(super) fn kept(compiled: &[Compiled<'_>], upstream: &Upstream, report: ReportTo<'_>) -> Rows {
    let mut kept = Rows::new();
    kept.insert(Subdir::NoArch.to_string(), Vec::new());
    for one in compiled {
        kept.entry(one.platform.to_string()).or_default();
        for id in one.closure.kept().ids() {
            let candidate = one.pool.get(id);
            let rows = kept
                .entry(one.pool.subdir(candidate).to_owned())
                .or_default();
            rows.push(Row {
                listing: candidate.listing,
                number: candidate.row,
                size: candidate.size,
            });
        }
    }
    for (subdir, rows) in &mut kept {
        let file = |row: &Row| row.file(upstream);
        // Rows of a listing are nearly in order, which a sort that finds runs makes use of.
        rows.sort_unstable();
        rows.sort_by(|one, other| file(one).cmp(file(other)));
        rows.dedup();
        rows.dedup_by(|one, other| {
            let is_same = file(one) == file(other);
            if is_same {
                report(Event::Warning(format!(
                    "{subdir}/{} is in two channels; the more important one's stays",
                    file(one)
                )));
            }
            is_same
        });
    }
    kept
}

/// Where the packages of each folder are. Where a server answers for them, one that clients cannot reach, or
/// several, are as good as none.
pub(super) fn base_urls(
    kept: &Rows,
    upstream: &Upstream,
    served: bool,
) -> Result<BTreeMap<String, String>, Error> {
    let mut bases = BTreeMap::new();
    for (subdir, rows) in kept {
        let used: BTreeSet<usize> = rows.iter().map(|row| row.listing).collect();
        let places: BTreeSet<String> = used
            .iter()
            .map(|listing| upstream.listings[*listing].base_url.to_string())
            .collect();
        let is_local = places.iter().any(|place| place.starts_with("file:"));
        match places.len() {
            0 => {}
            1 if served && is_local => {}
            1 => bases.extend(places.into_iter().map(|place| (subdir.clone(), place))),
            _ if served => {}
            _ => {
                return Err(Error::SeveralPlaces {
                    subdir: subdir.clone(),
                    places: places.into_iter().collect(),
                });
            }
        }
    }
    Ok(bases)
}

/// Notes where each package comes from.
pub(super) fn origins(
    kept: &Rows,
    upstream: &Upstream,
    mirror: Mirror,
    output: &Path,
) -> Result<(), Error> {
    let mut origins = Origins::new(mirror == Mirror::Full);
    for (subdir, rows) in kept {
        for row in rows {
            origins.add(subdir, row.file(upstream), &row.listing(upstream).base_url);
        }
    }
    fs_err::create_dir_all(output)
        .and_then(|()| origins.write(output))
        .map_err(|source| Error::Write {
            path: output.to_owned(),
            source,
        })
}

/// What the channels tell of the names that stay; a channel that tells nothing is no worse for it.
pub(super) fn about(
    kept: &Rows,
    upstream: &Upstream,
    client: &Client,
    options: &Options,
    report: ReportTo<'_>,
) -> Result<HashMap<String, About>, Error> {
    let mut about = HashMap::new();
    if !options.index.outputs.channeldata || options.locked {
        return Ok(about);
    }
    let names = names(kept.values().flatten(), upstream);
    for source in &upstream.channels {
        let Ok(url) = source.url.join("channeldata.json") else {
            continue;
        };
        let told = client.document(&url, &|event| report(Event::Fetch(event)));
        let document = match told {
            Ok(Some(document)) => document,
            Ok(None) => continue,
            Err(error) if error.is_refusal() => continue,
            Err(error) => return Err(error.into()),
        };
        match files::channeldata(&document.path, &names) {
            Ok(found) => {
                for (name, entry) in found {
                    about.entry(name).or_insert(entry);
                }
            }
            Err(error) => report(Event::Warning(format!("{url} cannot be read: {error}"))),
        }
    }
    Ok(about)
}

/// Has the indexer write the channel; whether anything changed.
pub(super) fn write(
    kept: &Rows,
    upstream: &Upstream,
    about: HashMap<String, About>,
    base_url: BaseUrl,
    output: &Path,
    options: &Options,
    report: ReportTo<'_>,
) -> Result<bool, Error> {
    fs_err::create_dir_all(output).map_err(|source| Error::Write {
        path: output.to_owned(),
        source,
    })?;
    let about = Arc::new(about);
    let given: Vec<_> = kept
        .iter()
        .map(|(subdir, rows)| Arc::new(given::listing(subdir, rows, upstream, &about)))
        .collect();
    upstream.check()?;
    let options = index::Options {
        subdirs: kept.keys().cloned().collect(),
        base_url,
        update_cache: false,
        upstream_stage: STAGE.to_owned(),
        has_about: true,
        outputs: Outputs {
            attestations: false,
            indexed_timestamp: false,
            ..options.index.outputs
        },
        ..options.index.clone()
    };
    let written = index::index_given(&output.into(), &options, &given, &|event| {
        report(Event::Index(event));
    })?;
    Ok(written.subdirs.iter().any(|subdir| subdir.changed))
}

pub(super) fn subfolder(subdir: &str, rows: &[Row], upstream: &Upstream) -> Subfolder {
    let of_subdir = || {
        let listings = upstream.listings.iter();
        listings.filter(|listing| listing.subdir.as_str() == subdir)
    };
    Subfolder {
        name: subdir.to_owned(),
        packages: rows.len(),
        names: names(rows.iter(), upstream).len(),
        upstream_packages: of_subdir().map(|listing| listing.whole).sum(),
        upstream_names: of_subdir().map(|listing| listing.all_names).sum(),
    }
}

/// The names of packages, as their file names have them.
fn names<'a>(rows: impl Iterator<Item = &'a Row>, upstream: &'a Upstream) -> HashSet<&'a str> {
    let files = rows.map(|row| row.file(upstream));
    let names = files.filter_map(|file| archive::package::split_file_name(file));
    let mut last = "";
    // Most follow another of their name.
    let new = names
        .filter_map(|(name, _, _)| (name != std::mem::replace(&mut last, name)).then_some(name));
    new.collect()
}
