//! The shards of a platform: only those are made again whose packages or hotfixes changed, and those
//! that nothing names any more go after a time.

use std::collections::{BTreeMap, BTreeSet};

use archive::digest::{Hasher, Sha256};
use rayon::prelude::*;

use super::make::unreadable;
use super::records::{Record, Records};
use super::{Context, Event};
use crate::Error;
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

/// Puts the shards into the folder and offers their index. What is to be remembered.
pub(super) fn make(
    context: &Context<'_>,
    head: &Head<'_>,
    records: &Records,
    instructions: &Instructions,
    created_ms: i64,
    memory: &Memory,
    folder: &mut Folder,
) -> Result<Memory, Error> {
    let place = folder.place().clone();
    let failed = |source| Error::making(&place.path(INDEX), source);
    let mut names: BTreeMap<String, Vec<Record<'_>>> = BTreeMap::new();
    for record in records.iter() {
        let name = shards::name(record.file, record.record);
        names.entry(name).or_default().push(record);
    }
    let patches = Sha256::of(instructions.text().as_bytes());
    let names: Vec<_> = names.into_iter().collect();
    let there = |shard: &Sha256| {
        let stat = place.stat(&shards::file_name(shard));
        stat.is_some_and(|stat| stat.size > 0)
    };
    let made: Vec<(Sha256, Sha256, bool)> = names
        .par_iter()
        .map(|(name, records)| {
            let made_of = made_of(records, &patches, head.v3.is_some());
            if let Some((before, shard)) = memory.shards.get(name)
                && *before == made_of
                && there(shard)
            {
                return Ok((made_of, *shard, false));
            }
            let mut entries = Vec::new();
            for one in records {
                let record = instructions.shard_record(one.file, one.record, Some(one.run_exports));
                entries.push((
                    one.kind,
                    one.file,
                    record.map_err(unreadable).map_err(failed)?,
                ));
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
            Ok((made_of, shard.sha256, added))
        })
        .collect::<Result<_, Error>>()?;
    if made.iter().any(|(_, _, added)| *added) {
        folder.sync()?;
    }
    let mut next = Memory::default();
    let mut index = Vec::new();
    for ((name, _), (made_of, shard, _)) in names.iter().zip(&made) {
        next.shards.insert(name.clone(), (*made_of, *shard));
        index.push((name.as_str(), *shard));
    }
    let named: BTreeSet<_> = index.iter().map(|(_, shard)| *shard).collect();
    next.withdrawn = withdrawn(&place, &named, memory, context.now_ms).map_err(failed)?;
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

/// What a shard is made of, as one digest.
fn made_of(records: &[Record<'_>], patches: &Sha256, v3: bool) -> Sha256 {
    let mut hasher = Hasher::new();
    hasher.update(&patches.0);
    hasher.update(&[u8::from(v3)]);
    for one in records {
        for text in [one.file, one.record, one.run_exports] {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
    }
    hasher.finish().sha256
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

/// All shards in the folder that the index does not name.
fn withdrawn(
    place: &Place,
    named: &BTreeSet<Sha256>,
    memory: &Memory,
    now_ms: i64,
) -> std::io::Result<BTreeMap<Sha256, i64>> {
    let mut withdrawn = BTreeMap::new();
    for name in place.names()? {
        let shard = name
            .strip_suffix(".msgpack.zst")
            .and_then(|digest| digest.parse::<Sha256>().ok());
        if let Some(shard) = shard.filter(|shard| !named.contains(shard)) {
            let since = memory.withdrawn.get(&shard).copied().unwrap_or(now_ms);
            withdrawn.insert(shard, since);
        }
    }
    Ok(withdrawn)
}
