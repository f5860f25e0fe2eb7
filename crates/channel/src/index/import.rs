//! What others know goes into the cache: as metadata of files that the folder has, or as a listing that
//! counts in place of the folder.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use archive::digest::{Hasher, Sha256};
use archive::package::Kind;

use super::memory::add_path;
use super::update::{place, stage};
use super::{Context, Event};
use crate::Error;
use crate::cache::{Cache, Known, Mark, State};
use crate::given::Listing;
use crate::import::{self, Foreign, Source};
use crate::scan::Stat;

/// The stage of conda-index's cache that tells of what was read.
const INDEXED: &str = "indexed";

/// Below it are the notes of what was taken over, each with its place.
const NOTES: &str = "import";

/// Takes over what the sources know, unless that was done before.
pub(super) fn import(
    context: &Context<'_>,
    sources: &[Source],
    given: &[Arc<Listing>],
    cache: &mut Cache,
) -> Result<(), Error> {
    for listing in given {
        let place = place(&context.options.upstream_stage, &listing.subdir);
        cache.give(&place, Arc::clone(listing));
    }
    for subdir in &context.subdirs {
        let sources: Vec<_> = sources
            .iter()
            .filter(|source| source.subdir == *subdir)
            .collect();
        if !sources.is_empty() {
            of_subdir(context, subdir, &sources, cache)?;
        }
    }
    if given.is_empty() && !context.options.upstream_is_folder() {
        check(context, cache)?;
    }
    Ok(())
}

/// Refuses a stage that nothing was ever taken over into: the channel would be empty, and its packages
/// withdrawn, for a name that is mistyped or a cache that was lost.
fn check(context: &Context<'_>, cache: &Cache) -> Result<(), Error> {
    let stage = &context.options.upstream_stage;
    let known = stages(cache)?;
    if known.contains(stage) {
        return Ok(());
    }
    Err(Error::UnknownStage {
        stage: stage.clone(),
        known: known.into_iter().collect(),
    })
}

/// The stages that something was taken over into.
fn stages(cache: &Cache) -> Result<BTreeSet<String>, Error> {
    let places = cache.notes_below(NOTES)?;
    let stages = places.iter().filter_map(|place| stage(place));
    Ok(stages.map(ToOwned::to_owned).collect())
}

fn of_subdir(
    context: &Context<'_>,
    subdir: &str,
    sources: &[&Source],
    cache: &mut Cache,
) -> Result<(), Error> {
    let options = context.options;
    let place = place(&options.upstream_stage, subdir);
    let note = format!("{NOTES}/{place}");
    let mut before: BTreeMap<String, Known> = cache.files(&place)?.into_iter().collect();
    // Metadata of files that are not there would be forgotten at once.
    let wanted = if options.folder_counts() && !options.update_only {
        let names = context.channel.at(subdir).names();
        let names = names.map_err(|source| Error::List { source })?;
        let unknown = names
            .into_iter()
            .filter(|name| Kind::from_file_name(name).is_some() && !before.contains_key(name));
        Some(unknown.collect::<HashSet<_>>())
    } else {
        None
    };
    let revision = revision(context, sources);
    let is_done = match &wanted {
        Some(wanted) => wanted.is_empty(),
        None => cache
            .note(&note)?
            .is_some_and(|before| before == revision.0),
    };
    if is_done {
        return Ok(());
    }
    let stage = if options.folder_counts() {
        INDEXED
    } else {
        &options.upstream_stage
    };
    let mut seen = HashSet::new();
    // All of it or nothing: half a listing would be another channel.
    let mut batch = cache.batch()?;
    for source in sources {
        let mut count = 0;
        import::read::<Error>(source, stage, &mut |pieces| {
            for foreign in pieces {
                let file = foreign.scanned.file.as_str();
                let is_wanted = wanted.as_ref().is_none_or(|wanted| wanted.contains(file));
                if !is_wanted || !seen.insert(file.to_owned()) {
                    continue;
                }
                count += 1;
                let known = known(context, &foreign);
                if is_needed(context, before.remove(file), &known) {
                    batch.put(&place, &known, &foreign.scanned)?;
                }
            }
            Ok(())
        })?;
        (context.report)(Event::Imported {
            subdir,
            path: &source.path,
            packages: count,
        });
    }
    if !options.upstream_is_folder() && !options.update_only {
        for file in before.keys() {
            batch.remove(&place, file)?;
        }
    }
    batch.set_note(&note, &revision.0)?;
    Ok(batch.commit()?)
}

/// What the cache is to know of a package that was not read.
fn known(context: &Context<'_>, foreign: &Foreign) -> Known {
    let scanned = &foreign.scanned;
    let with_time = foreign.mtime_ns.filter(|_| context.options.folder_counts());
    // A number that is another where the record is another, as a file's would be.
    let mut hasher = Hasher::new();
    for text in [
        Some(&scanned.record),
        scanned.run_exports.as_ref(),
        scanned.about.as_ref(),
    ] {
        hasher.update(text.map_or("", String::as_str).as_bytes());
        hasher.update(&[0]);
    }
    let digest = hasher.finish().sha256.0;
    let number = digest.first_chunk().copied().unwrap_or_default();
    Known {
        stat: Stat {
            size: scanned.size,
            mtime_ns: with_time.unwrap_or(scanned.mtime_ns),
            inode: u64::from_le_bytes(number),
        },
        wanted: foreign.wanted,
        state: if with_time.is_some() {
            State::ImportedWithTime
        } else {
            State::Imported
        },
        mark: Mark::default(),
        indexed_ms: match foreign.indexed_ms {
            Some(indexed_ms) => indexed_ms,
            // Of a file, it is known when it is looked at.
            None if context.options.folder_counts() => 0,
            None => (scanned.mtime_ns / 1_000_000).min(context.now_ms),
        },
    }
}

/// Whether the cache does not know as much already.
fn is_needed(context: &Context<'_>, before: Option<Known>, now: &Known) -> bool {
    let is_more = |before: Known| before.stat != now.stat || !before.wanted.covers(now.wanted);
    match before {
        None => true,
        // What was read is better than what others say of it.
        Some(before) if context.options.upstream_is_folder() => {
            !matches!(before.state, State::Package | State::Unusable) && is_more(before)
        }
        Some(before) => is_more(before),
    }
}

/// One digest of the sources and of what is to become of them.
fn revision(context: &Context<'_>, sources: &[&Source]) -> Sha256 {
    let mut hasher = Hasher::new();
    let options = context.options;
    let told = format!("{} {}", options.folder_counts(), options.update_only);
    hasher.update(told.as_bytes());
    for source in sources {
        for path in std::iter::once(&source.path).chain(&source.beside) {
            add_path(&mut hasher, path, 0);
        }
    }
    hasher.finish().sha256
}
