//! The shards of a platform: only those are made again whose packages or hotfixes changed, and those
//! that nothing names any more go after a time.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use archive::digest::{Hasher, Sha256};
use archive::package::{Kind, split_file_name};
use rayon::prelude::*;

use super::make::unreadable;
use super::records::Records;
use super::update::{Platform, Scope};
use super::{Context, Event};
use crate::Error;
use crate::cache::{self, Cache, Known, State};
use crate::output::compress::Packer;
use crate::output::date::Day;
use crate::output::patch::Instructions;
use crate::output::repodata::Head;
use crate::output::shards::{self, INDEX};
use crate::place::Place;
use crate::publish::{Folder, Rank};

/// What earlier runs made.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    /// By name.
    shards: BTreeMap<String, Made>,
    /// Files whose record has another name than they have, and that name.
    odd: BTreeMap<String, String>,
    /// What all of them were made with ([`super::only::basis`]).
    basis: Option<Sha256>,
    /// Shards that nothing names, and since when, in milliseconds since 1970.
    withdrawn: BTreeMap<Sha256, i64>,
}

/// One shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_field_names,
    reason = "what a shard was made of is called so everywhere"
)]
struct Made {
    made_of: Sha256,
    shard: Sha256,
    /// How many packages it is of, removed ones among them.
    packages: u64,
    /// When the newest of them changed, in milliseconds since 1970.
    newest_ms: i64,
}

/// What a row of the note tells.
mod row {
    pub(super) const SHARD: u8 = 0;
    pub(super) const WITHDRAWN: u8 = 1;
    pub(super) const ODD: u8 = 2;
    pub(super) const BASIS: u8 = 3;
}

impl Memory {
    /// Whether nothing was made yet.
    pub(super) fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    /// What all shards were made with, if that can be told.
    pub(super) fn basis(&self) -> Option<Sha256> {
        self.basis
    }

    /// Sets it.
    pub(super) fn set_basis(&mut self, basis: Option<Sha256>) {
        self.basis = basis;
    }

    /// How many packages there are, removed ones among them.
    pub(super) fn packages(&self) -> usize {
        let packages = self.shards.values().map(|made| made.packages).sum::<u64>();
        usize::try_from(packages).unwrap_or(usize::MAX)
    }

    /// Files that are named otherwise and have records of this name.
    pub(super) fn odd_files(&self, name: &str) -> impl Iterator<Item = &str> {
        let of_name = self.odd.iter().filter(move |(_, odd)| *odd == name);
        of_name.map(|(file, _)| file.as_str())
    }

    /// Reads a note.
    pub(super) fn read(mut note: &[u8]) -> Option<Self> {
        let mut memory = Self::default();
        while !note.is_empty() {
            let (kind, rest) = note.split_first()?;
            let (name, rest) = take_text(rest)?;
            note = match *kind {
                row::SHARD => {
                    let (made_of, rest) = rest.split_first_chunk()?;
                    let (shard, rest) = rest.split_first_chunk()?;
                    let (packages, rest) = rest.split_first_chunk()?;
                    let (newest_ms, rest) = rest.split_first_chunk()?;
                    let made = Made {
                        made_of: Sha256(*made_of),
                        shard: Sha256(*shard),
                        packages: u64::from_le_bytes(*packages),
                        newest_ms: i64::from_le_bytes(*newest_ms),
                    };
                    memory.shards.insert(name.to_owned(), made);
                    rest
                }
                row::WITHDRAWN => {
                    let (shard, rest) = rest.split_first_chunk()?;
                    let (since, rest) = rest.split_first_chunk()?;
                    let since = i64::from_le_bytes(*since);
                    memory.withdrawn.insert(Sha256(*shard), since);
                    rest
                }
                row::ODD => {
                    let (odd, rest) = take_text(rest)?;
                    memory.odd.insert(name.to_owned(), odd.to_owned());
                    rest
                }
                row::BASIS => {
                    let (basis, rest) = rest.split_first_chunk()?;
                    memory.basis = Some(Sha256(*basis));
                    rest
                }
                _ => return None,
            };
        }
        Some(memory)
    }

    /// The note.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut note = Vec::with_capacity(self.shards.len() * 128);
        for (name, made) in &self.shards {
            begin(&mut note, row::SHARD, name);
            note.extend_from_slice(&made.made_of.0);
            note.extend_from_slice(&made.shard.0);
            note.extend_from_slice(&made.packages.to_le_bytes());
            note.extend_from_slice(&made.newest_ms.to_le_bytes());
        }
        for (shard, since) in &self.withdrawn {
            begin(&mut note, row::WITHDRAWN, "");
            note.extend_from_slice(&shard.0);
            note.extend_from_slice(&since.to_le_bytes());
        }
        for (file, name) in &self.odd {
            begin(&mut note, row::ODD, file);
            put_text(&mut note, name);
        }
        if let Some(basis) = self.basis {
            begin(&mut note, row::BASIS, "");
            note.extend_from_slice(&basis.0);
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

fn begin(note: &mut Vec<u8>, kind: u8, name: &str) {
    note.push(kind);
    put_text(note, name);
}

pub(super) fn put_text(note: &mut Vec<u8>, text: &str) {
    note.extend_from_slice(&u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
    note.extend_from_slice(text.as_bytes());
}

pub(super) fn take_text(note: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = note.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// Where the records are.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// All of them in memory.
    Loaded(&'a Records<'a>),
    /// In the cache, where few are wanted.
    Cache(&'a Cache),
}

/// The packages of one name.
struct Group<'a> {
    name: Cow<'a, str>,
    files: Vec<(&'a str, Kind)>,
    /// What its shard is made of.
    made_of: Hasher,
    newest_ms: i64,
    /// Files that have another name.
    odd: Vec<&'a str>,
}

/// A name, its files, and a digest of all that its shard is made of.
struct Named<'a> {
    name: String,
    files: Vec<(&'a str, Kind)>,
    made_of: Sha256,
    newest_ms: i64,
    odd: Vec<&'a str>,
}

/// Puts the shards into the folder and offers their index. What is to be remembered. Which shards
/// are the same as before is known from what is known of the files, without a look at the records.
pub(super) fn make(
    context: &Context<'_>,
    head: &Head<'_>,
    (platform, source): (&Platform, Source<'_>),
    instructions: &Instructions,
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
        .map(|one| Named {
            name: one.name.into_owned(),
            files: one.files,
            made_of: one.made_of.finish().sha256,
            newest_ms: one.newest_ms,
            odd: one.odd,
        })
        .collect();
    let is_there = |shard: &Sha256| {
        let stat = place.stat(&shards::file_name(shard));
        stat.is_some_and(|stat| stat.size > 0)
    };
    let kept: Vec<Option<Sha256>> = names
        .par_iter()
        .map(|one| {
            let before = memory.shards.get(&one.name)?;
            (before.made_of == one.made_of && is_there(&before.shard)).then_some(before.shard)
        })
        .collect();
    let few;
    let records = match source {
        Source::Loaded(records) => records,
        Source::Cache(cache) => {
            let changed = names.iter().zip(&kept).filter(|(_, kept)| kept.is_none());
            let files = changed.flat_map(|(one, _)| one.files.iter().map(|(file, _)| *file));
            few = Records::of(context, cache, platform, files)?;
            &few
        }
    };
    let made: Vec<(Sha256, bool)> = names
        .par_iter()
        .zip(kept)
        .map_init(Packer::default, |packer, (one, kept)| {
            if let Some(shard) = kept {
                return Ok((shard, false));
            }
            let mut entries = Vec::new();
            let mut records = records.lookup();
            for (file, kind) in &one.files {
                // What is known of a file and what it tells are kept together.
                let one = records.get(file).ok_or(cache::Error::Damaged)?;
                let record = if instructions.leaves(file) {
                    Some(shards::Record::Unchanged(one.record, one.run_exports))
                } else {
                    let changed =
                        instructions.shard_record(file, one.record, Some(one.run_exports));
                    let changed = changed.map_err(unreadable).map_err(failed)?;
                    changed.map(shards::Record::Changed)
                };
                entries.push((*kind, *file, record));
            }
            let shard = shards::shard(&entries, head.v3.is_some(), packer).map_err(failed)?;
            if shard.decompressed > shards::LARGE {
                (context.report)(Event::LargeShard {
                    subdir: head.subdir,
                    name: &one.name,
                    size: shard.decompressed,
                });
            }
            let added = folder.add(&shards::file_name(&shard.sha256), &shard.bytes)?;
            Ok((shard.sha256, added))
        })
        .collect::<Result<_, Error>>()?;
    if made.iter().any(|(_, added)| *added) {
        folder.sync()?;
    }
    let mut next = match &platform.scope {
        Scope::Part(touched) => memory.without(touched),
        Scope::Whole | Scope::Named => Memory::default(),
    };
    for (one, (shard, _)) in names.into_iter().zip(made) {
        let odd = one
            .odd
            .iter()
            .map(|file| ((*file).to_owned(), one.name.clone()));
        next.odd.extend(odd);
        let made = Made {
            made_of: one.made_of,
            shard,
            packages: one.files.len() as u64,
            newest_ms: one.newest_ms,
        };
        next.shards.insert(one.name, made);
    }
    let index: Vec<_> = next
        .shards
        .iter()
        .map(|(name, made)| (name.as_str(), made.shard))
        .collect();
    let withdrawn = match &platform.scope {
        Scope::Whole => {
            let digests = there.iter().filter_map(|name| digest(name));
            memory.withdrawn(digests, &index, context.now_ms)
        }
        // The folder was not looked at.
        Scope::Named | Scope::Part(_) => {
            let before = memory.shards.values().map(|made| made.shard);
            let digests = before.chain(memory.withdrawn.keys().copied());
            memory.withdrawn(digests, &index, context.now_ms)
        }
    };
    // Touched packages are the same packages: an index with the same shards keeps its time.
    let there = place.read(INDEX).ok().flatten().unwrap_or_default();
    let kept = shards::created_at(&there)
        .and_then(|time| shards::index(head, &time, &index).ok())
        .filter(|bytes| *bytes == there);
    let bytes = if let Some(bytes) = kept {
        bytes
    } else {
        // The same packages have the same time, so that two runs write the same bytes.
        let newest_ms = next.shards.values().map(|made| made.newest_ms).max();
        let created = instant(newest_ms.unwrap_or(0));
        shards::index(head, &created, &index).map_err(failed)?
    };
    folder.offer(INDEX, Rank::Index, &bytes)?;
    next.withdrawn = withdrawn;
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
                    newest_ms: 0,
                    odd: Vec::new(),
                });
            }
        }
        if let Some(group) = groups.get_mut(last) {
            group.files.push((file, kind));
            group.newest_ms = group.newest_ms.max(found.stat.mtime_ns / 1_000_000);
            if named.is_none() {
                group.odd.push(file);
            }
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
                one.map(|one| shards::name(file, one.record).into_owned())
            }
            Self::Cache(cache) => {
                let scanned = cache.package(&platform.place, file)?;
                scanned.map(|scanned| shards::name(file, &scanned.record).into_owned())
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

/// The digest in the name of a shard.
fn digest(name: &str) -> Option<Sha256> {
    name.strip_suffix(".msgpack.zst")?.parse().ok()
}

impl Memory {
    /// What stays where some names are made anew.
    fn without(&self, touched: &BTreeSet<String>) -> Self {
        let mut rest = self.clone();
        rest.shards.retain(|name, _| !touched.contains(name));
        rest.odd.retain(|_, name| !touched.contains(name));
        rest
    }

    /// Those of some shards that the index does not name, and since when.
    fn withdrawn(
        &self,
        shards: impl Iterator<Item = Sha256>,
        index: &[(&str, Sha256)],
        now_ms: i64,
    ) -> BTreeMap<Sha256, i64> {
        let named: BTreeSet<_> = index.iter().map(|(_, shard)| *shard).collect();
        shards
            .filter(|shard| !named.contains(shard))
            .map(|shard| (shard, self.withdrawn.get(&shard).copied().unwrap_or(now_ms)))
            .collect()
    }
}
