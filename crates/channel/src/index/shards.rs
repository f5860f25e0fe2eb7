//! The shards of a platform: only those are made again whose packages or hotfixes changed, and those
//! that nothing names any more go after a time.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use archive::digest::{Hasher, Sha256};
use archive::package::{Kind, split_file_name};
use rayon::prelude::*;

use super::make::unreadable;
use super::records::Records;
use super::update::Platform;
use super::{Context, Event};
use crate::Error;
use crate::cache::{self, Cache, Known, State};
use crate::output::date::Day;
use crate::output::patch::Instructions;
use crate::output::repodata::Head;
use crate::output::shards::{self, INDEX};
use crate::place::Place;
use crate::publish::{Folder, Rank};

/// What earlier runs made: for each name what its shard was made of, and its digest.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    shards: BTreeMap<String, (Sha256, Sha256)>,
    /// Shards that nothing names, and since when, in milliseconds since 1970.
    withdrawn: BTreeMap<Sha256, i64>,
}

impl Memory {
    /// Whether nothing was made yet.
    pub(super) fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// Reads a note.
    pub(super) fn read(mut note: &[u8]) -> Option<Self> {
        let mut memory = Self::default();
        while !note.is_empty() {
            let (kind, rest) = note.split_first()?;
            let (length, rest) = rest.split_first_chunk()?;
            let (name, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            let (one, rest) = rest.split_first_chunk()?;
            if *kind == 0 {
                let (other, rest) = rest.split_first_chunk()?;
                let name = String::from_utf8(name.to_vec()).ok()?;
                memory.shards.insert(name, (Sha256(*one), Sha256(*other)));
                note = rest;
            } else {
                let (since, rest) = rest.split_first_chunk()?;
                memory
                    .withdrawn
                    .insert(Sha256(*one), i64::from_le_bytes(*since));
                note = rest;
            }
        }
        Some(memory)
    }

    /// The note.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut note = Vec::new();
        for (name, (made_of, shard)) in &self.shards {
            note.push(0);
            note.extend_from_slice(&u32::try_from(name.len()).unwrap_or(0).to_le_bytes());
            note.extend_from_slice(name.as_bytes());
            note.extend_from_slice(&made_of.0);
            note.extend_from_slice(&shard.0);
        }
        for (shard, since) in &self.withdrawn {
            note.push(1);
            note.extend_from_slice(&[0; 4]);
            note.extend_from_slice(&shard.0);
            note.extend_from_slice(&since.to_le_bytes());
        }
        note
    }

    /// Removes the shards that were withdrawn before a time; whether there were any.
    pub(super) fn collect(&mut self, place: &Place, before_ms: i64) -> bool {
        let due: Vec<_> = self
            .withdrawn
            .iter()
            .filter(|(_, since)| **since <= before_ms)
            .map(|(shard, _)| *shard)
            .collect();
        for shard in &due {
            // What cannot be removed is tried again the next time.
            if place.remove(&shards::file_name(shard)).is_ok() {
                self.withdrawn.remove(shard);
            }
        }
        !due.is_empty()
    }
}

/// Where the records are.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// All of them in memory.
    Loaded(&'a Records),
    /// In the cache, where few are wanted.
    Cache(&'a Cache),
}

/// The packages of one name.
struct Group<'a> {
    name: Cow<'a, str>,
    files: Vec<(&'a str, Kind)>,
    /// What its shard is made of.
    made_of: Hasher,
}

/// A name, its files, and a digest of all that its shard is made of.
type Named<'a> = (String, Vec<(&'a str, Kind)>, Sha256);

/// Puts the shards into the folder and offers their index. What is to be remembered. Which shards
/// are the same as before is known from what is known of the files, without a look at the records.
pub(super) fn make(
    context: &Context<'_>,
    head: &Head<'_>,
    (platform, source): (&Platform, Source<'_>),
    instructions: &Instructions,
    created_ms: i64,
    (memory, there): (&Memory, &[String]),
    folder: &mut Folder,
) -> Result<Memory, Error> {
    let place = folder.place().clone();
    let failed = |source| Error::making(&place.path(INDEX), source);
    let mut made_of = Hasher::new();
    made_of.update(&Sha256::of(instructions.text().as_bytes()).0);
    made_of.update(&[u8::from(head.v3.is_some())]);
    made_of.update(format!("{:?}", context.own_keys()).as_bytes());
    let names: Vec<Named<'_>> = groups(context, platform, source, &made_of)?
        .into_iter()
        .map(|one| {
            (
                one.name.into_owned(),
                one.files,
                one.made_of.finish().sha256,
            )
        })
        .collect();
    let is_there = |shard: &Sha256| {
        let stat = place.stat(&shards::file_name(shard));
        stat.is_some_and(|stat| stat.size > 0)
    };
    let kept: Vec<Option<Sha256>> = names
        .par_iter()
        .map(|(name, _, made_of)| {
            let (before, shard) = memory.shards.get(name)?;
            (before == made_of && is_there(shard)).then_some(*shard)
        })
        .collect();
    let few;
    let records = match source {
        Source::Loaded(records) => records,
        Source::Cache(cache) => {
            let changed = names.iter().zip(&kept).filter(|(_, kept)| kept.is_none());
            let files = changed.flat_map(|((_, files, _), _)| files.iter().map(|(file, _)| *file));
            few = Records::of(context, cache, platform, files)?;
            &few
        }
    };
    let made: Vec<(Sha256, Sha256, bool)> = names
        .par_iter()
        .zip(kept)
        .map(|((name, files, made_of), kept)| {
            if let Some(shard) = kept {
                return Ok((*made_of, shard, false));
            }
            let mut entries = Vec::new();
            for (file, kind) in files {
                // What is known of a file and what it tells are kept together.
                let one = records.get(file).ok_or(cache::Error::Damaged)?;
                let record = instructions.shard_record(file, one.record, Some(one.run_exports));
                entries.push((*kind, *file, record.map_err(unreadable).map_err(failed)?));
            }
            let shard = shards::shard(&entries, head.v3.is_some()).map_err(failed)?;
            if shard.decompressed > shards::LARGE {
                (context.report)(Event::LargeShard {
                    subdir: head.subdir,
                    name,
                    size: shard.decompressed,
                });
            }
            let added = folder.add(&shards::file_name(&shard.sha256), &shard.bytes)?;
            Ok((*made_of, shard.sha256, added))
        })
        .collect::<Result<_, Error>>()?;
    if made.iter().any(|(_, _, added)| *added) {
        folder.sync()?;
    }
    let mut next = Memory::default();
    let mut index = Vec::new();
    for ((name, _, _), (made_of, shard, _)) in names.iter().zip(&made) {
        next.shards.insert(name.clone(), (*made_of, *shard));
        index.push((name.as_str(), *shard));
    }
    let named: BTreeSet<_> = index.iter().map(|(_, shard)| *shard).collect();
    next.withdrawn = withdrawn(there, &named, memory, context.now_ms);
    // Touched packages are the same packages: an index with the same shards keeps its time.
    let there = place.read(INDEX).ok().flatten().unwrap_or_default();
    let kept = shards::created_at(&there)
        .and_then(|time| shards::index(head, &time, &index).ok())
        .filter(|bytes| *bytes == there);
    let bytes = match kept {
        Some(bytes) => bytes,
        None => shards::index(head, &instant(created_ms), &index).map_err(failed)?,
    };
    folder.offer(INDEX, Rank::Index, &bytes)?;
    Ok(next)
}

/// The packages by name, sorted.
fn groups<'a>(
    context: &Context<'_>,
    platform: &'a Platform,
    source: Source<'_>,
    made_of: &Hasher,
) -> Result<Vec<Group<'a>>, Error> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut known: HashMap<Cow<'a, str>, usize> = HashMap::new();
    let mut last = usize::MAX;
    let usable = |(_, known): &(&String, &Known)| known.state != State::Unusable;
    for (file, found) in platform.files.iter().filter(usable) {
        let Some(kind) = Kind::from_file_name(file) else {
            continue;
        };
        let named = split_file_name(file).filter(|_| found.mark.is_named);
        let name = match named {
            Some((name, _, _)) => Cow::Borrowed(name),
            None => Cow::Owned(source.name(platform, file)?),
        };
        // Most follow another of their name.
        if groups.get(last).is_none_or(|group| group.name != name) {
            last = *known.entry(name.clone()).or_insert(groups.len());
            if last == groups.len() {
                groups.push(Group {
                    name,
                    files: Vec::new(),
                    made_of: made_of.clone(),
                });
            }
        }
        if let Some(group) = groups.get_mut(last) {
            group.files.push((file, kind));
            group.made_of.update(file.as_bytes());
            group
                .made_of
                .update(&[0, u8::from(found.wanted.run_exports)]);
            group.made_of.update(&found.mark.sum.to_le_bytes());
            group.made_of.update(platform.own(context, file).as_bytes());
        }
    }
    groups.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(groups)
}

impl Source<'_> {
    /// The name whose shard a package belongs to.
    fn name(self, platform: &Platform, file: &str) -> Result<String, Error> {
        let name = match self {
            Self::Loaded(records) => {
                let one = records.get(file);
                one.map(|one| shards::name(file, one.record))
            }
            Self::Cache(cache) => {
                let scanned = cache.package(&platform.place, file)?;
                scanned.map(|scanned| shards::name(file, &scanned.record))
            }
        };
        Ok(name.ok_or(cache::Error::Damaged)?)
    }
}

/// A time as CEP 16 writes it.
fn instant(milliseconds: i64) -> String {
    let seconds = milliseconds.div_euclid(1000).max(0);
    let time = seconds % 86_400;
    format!(
        "{}T{:02}:{:02}:{:02}Z",
        Day(seconds),
        time / 3600,
        time / 60 % 60,
        time % 60
    )
}

/// All shards that lay in the folder and the index does not name.
fn withdrawn(
    there: &[String],
    named: &BTreeSet<Sha256>,
    memory: &Memory,
    now_ms: i64,
) -> BTreeMap<Sha256, i64> {
    let mut withdrawn = BTreeMap::new();
    for name in there {
        let shard = name
            .strip_suffix(".msgpack.zst")
            .and_then(|digest| digest.parse::<Sha256>().ok());
        if let Some(shard) = shard.filter(|shard| !named.contains(shard)) {
            let since = memory.withdrawn.get(&shard).copied().unwrap_or(now_ms);
            withdrawn.insert(shard, since);
        }
    }
    withdrawn
}
