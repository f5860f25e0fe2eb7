//! Runs that are told what changed (`--only`): nobody loads 660,000 records for one that is new. Each file is copied from
//! the one that is there, with other records of the packages that are named.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use archive::digest::{Hasher, Sha256};

use super::{Documents, NAMES};
use crate::Error;
use crate::cache::Cache;
use crate::index::make::unreadable;
use crate::index::only::Only;
use crate::index::records::{self, Records};
use crate::index::shards::{put_text, take_text};
use crate::index::update::Platform;
use crate::index::{Context, memory, revision};
use crate::output::html::{FILES, IndexFile};
use crate::output::repodata::splice::{Changes, splice};
use crate::place::Place;
use crate::publish::{Folder, Rank};

/// What the next run has to know of the flat files to make them of those that are there.
#[derive(Debug, Default, Clone)]
pub(in crate::index) struct Memory {
    /// What they were made with ([`basis`]).
    basis: Option<Sha256>,
    /// The packages that the page lists: when they were built, in seconds since 1970, and their file names, sorted by name.
    newest: Vec<(i64, String)>,
}

/// What the flat files of a platform are made with besides its packages. `of_shards` tells what is known of these. Nothing
/// where files are asked for that take a look at all records.
pub(in crate::index) fn basis(
    context: &Context<'_>,
    subdir: &str,
    of_shards: Option<Sha256>,
) -> Option<Sha256> {
    let options = context.options;
    let outputs = options.outputs;
    let of_few = outputs.monolithic
        && outputs.compact
        && !outputs.current_repodata
        && !outputs.run_exports
        && !outputs.channeldata
        && matches!(context.output.at(subdir), Place::Folder(_));
    let of_shards = of_shards.filter(|_| of_few)?;
    let mut hasher = Hasher::new();
    hasher.update(&of_shards.0);
    hasher.update(revision::of_options(context).as_bytes());
    Some(hasher.finish().sha256)
}

impl Memory {
    /// Of files that were made of all records.
    pub(in crate::index) fn of(newest: &[(i64, &str)]) -> Self {
        let newest = newest
            .iter()
            .map(|(time, file)| (*time, (*file).to_owned()));
        Self {
            basis: None,
            newest: newest.collect(),
        }
    }

    /// Sets what they were made with.
    pub(in crate::index) fn set_basis(&mut self, basis: Option<Sha256>) {
        self.basis = basis;
    }

    /// Whether they were made with this.
    pub(in crate::index) fn is_of(&self, basis: Option<Sha256>) -> bool {
        basis.is_some() && self.basis == basis
    }

    /// Whether the packages that are named may be others: who comes after the last of the list is not known.
    pub(in crate::index) fn can_lose(&self, only: &Only, subdir: &str) -> bool {
        let is_listed = |file: &str| {
            let by_name = |(_, one): &(i64, String)| one.as_str().cmp(file);
            self.newest.binary_search_by(by_name).is_ok()
        };
        self.newest.len() < FILES || !only.files(subdir).any(is_listed)
    }

    /// The list of packages on the page, with those that are named as they are now.
    fn with(&self, named: &[&str], now: &Records) -> Vec<(i64, String)> {
        let mut newest = self.newest.clone();
        newest.retain(|(_, file)| !named.contains(&file.as_str()));
        let added = now.newest(FILES).into_iter();
        newest.extend(added.map(|(time, file)| (time, file.to_owned())));
        newest.sort_unstable_by(|(_, one), (_, other)| one.cmp(other));
        records::last(newest, FILES)
    }

    /// Reads a note.
    pub(in crate::index) fn read(note: &[u8]) -> Option<Self> {
        let (basis, mut note) = note.split_first_chunk()?;
        let mut newest = Vec::new();
        while !note.is_empty() {
            let (time, rest) = note.split_first_chunk()?;
            let (file, rest) = take_text(rest)?;
            newest.push((i64::from_le_bytes(*time), file.to_owned()));
            note = rest;
        }
        Some(Self {
            basis: Some(Sha256(*basis)),
            newest,
        })
    }

    /// The note, if there is something to be noted.
    pub(in crate::index) fn write(&self) -> Vec<u8> {
        let Some(basis) = self.basis else {
            return Vec::new();
        };
        let mut note = basis.0.to_vec();
        for (time, file) in &self.newest {
            note.extend_from_slice(&time.to_le_bytes());
            put_text(&mut note, file);
        }
        note
    }
}

/// Whether the flat files of a platform are there, and what they should be.
pub(in crate::index) fn are_right(
    context: &Context<'_>,
    subdir: &str,
    memory: &memory::Memory,
    of_shards: Option<Sha256>,
) -> bool {
    let place = context.output.at(subdir);
    let is_there = |name: &str| {
        let made = memory.made.get(name);
        made.is_some_and(|made| place.stat(name) == Some(made.stat))
    };
    memory.documents.is_of(basis(context, subdir, of_shards))
        && NAMES.iter().all(|(name, _)| is_there(name))
}

impl Documents<'_> {
    /// Makes the files of a platform of which no more is known than the names that are touched.
    pub(in crate::index) fn of_few(
        &self,
        (platform, cache): (&Platform, &Cache),
        memory: &Memory,
        folder: &mut Folder,
    ) -> Result<Memory, Error> {
        let context = self.context;
        let [before, after] = NAMES;
        let named: Vec<&str> = context.only.files(&platform.name).collect();
        let there = named.iter().copied().filter(|file| platform.has(file));
        let now = Records::of(context, cache, platform, there)?;
        let path = folder.place().path(after.0);
        let (mut raw, mut patched) = (Changes::new(), Changes::new());
        for file in named.iter().copied() {
            let record = now.get(file).map(|one| one.record);
            let fixed = match record {
                Some(record) => self.instructions.record(file, record),
                None => Ok(None),
            };
            let fixed = fixed.map_err(|error| Error::making(&path, unreadable(error)))?;
            raw.insert(file, record.map(Cow::Borrowed));
            patched.insert(file, fixed);
        }
        let mut files = self.first();
        if self.instructions.is_empty() {
            files.extend(self.spliced(folder, &NAMES, &patched, self.removed)?);
        } else {
            files.extend(self.spliced(folder, &[before], &raw, &[])?);
            files.extend(self.spliced(folder, &[after], &patched, self.removed)?);
        }
        let newest = memory.with(&named, &now);
        let listed = newest.iter().map(|(_, file)| file.as_str());
        let listed = Records::of(context, cache, platform, listed)?;
        self.page(folder, &files, &listed.iter().collect::<Vec<_>>())?;
        Ok(Memory {
            basis: None,
            newest,
        })
    }

    /// The same file under several names, made of the last of them.
    fn spliced(
        &self,
        folder: &mut Folder,
        names: &[(&'static str, Rank)],
        changes: &Changes<'_>,
        removed: &[String],
    ) -> Result<Vec<IndexFile<'static>>, Error> {
        let name = names.last().map_or("", |(name, _)| name);
        let path = folder.place().path(name);
        let written = folder.key(name);
        self.json(folder, names, &|out| {
            std::thread::scope(|scope| {
                let digesting = scope.spawn(|| digest(&path));
                let mut old = fs_err::File::open(&path)?;
                splice(&mut old, out, &self.head, changes, removed)?;
                let there = match digesting.join() {
                    Ok(digest) => digest?,
                    Err(panic) => std::panic::resume_unwind(panic),
                };
                if Some(there) == written {
                    return Ok(());
                }
                let problem =
                    "it is not what was written there; remove it, and index without --only";
                Err(io::Error::new(io::ErrorKind::InvalidData, problem))
            })
        })
    }
}

fn digest(path: &Path) -> io::Result<Sha256> {
    Sha256::of_reader(fs_err::File::open(path)?)
}
