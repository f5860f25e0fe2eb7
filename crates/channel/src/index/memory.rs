//! What a run leaves for the next one besides packages: what the files of a folder were made of, so
//! that nothing is made again without need.

use std::collections::BTreeMap;
use std::path::Path;

use archive::digest::{Hasher, Sha256};

use super::{Context, documents, shards};
use crate::cache::{self, Batch, Cache};
use crate::place::Place;
use crate::publish::Made;
use crate::scan::Stat;

/// Where it is not known what files were made of.
const NONE: [u8; 32] = [0; 32];

/// How deep folders of rules are looked into.
const DEPTH: usize = 4;

/// What is remembered of one folder.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// What its files were made of.
    pub(super) revision: Option<Sha256>,
    /// How many packages the repodata has.
    pub(super) packages: usize,
    /// The files.
    pub(super) made: BTreeMap<String, Made>,
    /// The shards.
    pub(super) shards: shards::Memory,
    /// The flat files.
    pub(super) documents: documents::Memory,
}

impl Memory {
    /// Of a folder that is made by this run; "" is the channel's own.
    pub(super) fn load(
        context: &Context<'_>,
        cache: &Cache,
        subdir: &str,
    ) -> Result<Self, cache::Error> {
        let mut memory = match cache.note(&key("made", context, subdir))? {
            Some(note) => Self::read(&note).ok_or(cache::Error::Damaged)?,
            None => Self::default(),
        };
        if let Some(note) = cache.note(&key("names", context, subdir))? {
            memory.shards = shards::Memory::read(&note).ok_or(cache::Error::Damaged)?;
        }
        let note = cache.note(&key("documents", context, subdir))?;
        if let Some(note) = note.filter(|note| !note.is_empty()) {
            memory.documents = documents::Memory::read(&note).ok_or(cache::Error::Damaged)?;
        }
        Ok(memory)
    }

    /// Keeps it.
    pub(super) fn store(
        &self,
        context: &Context<'_>,
        batch: &mut Batch<'_>,
        subdir: &str,
    ) -> Result<(), cache::Error> {
        batch.set_note(&key("made", context, subdir), &self.write())?;
        batch.set_note(&key("names", context, subdir), &self.shards.write())?;
        batch.set_note(&key("documents", context, subdir), &self.documents.write())
    }

    fn write(&self) -> Vec<u8> {
        let mut note = Vec::new();
        note.extend_from_slice(&self.revision.map_or(NONE, |revision| revision.0));
        note.extend_from_slice(&(self.packages as u64).to_le_bytes());
        for (name, made) in &self.made {
            note.extend_from_slice(&u32::try_from(name.len()).unwrap_or(0).to_le_bytes());
            note.extend_from_slice(name.as_bytes());
            note.extend_from_slice(&made.key.0);
            note.extend_from_slice(&made.stat.size.to_le_bytes());
            note.extend_from_slice(&made.stat.mtime_ns.to_le_bytes());
            note.extend_from_slice(&made.stat.inode.to_le_bytes());
        }
        note
    }

    fn read(note: &[u8]) -> Option<Self> {
        let (revision, note) = note.split_first_chunk()?;
        let (packages, mut note) = note.split_first_chunk()?;
        let mut memory = Self {
            revision: Some(Sha256(*revision)).filter(|revision| revision.0 != NONE),
            packages: usize::try_from(u64::from_le_bytes(*packages)).ok()?,
            ..Self::default()
        };
        while !note.is_empty() {
            let (length, rest) = note.split_first_chunk()?;
            let (name, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            let (key, rest) = rest.split_first_chunk()?;
            let (size, rest) = rest.split_first_chunk()?;
            let (mtime_ns, rest) = rest.split_first_chunk()?;
            let (inode, rest) = rest.split_first_chunk()?;
            let made = Made {
                key: Sha256(*key),
                stat: Stat {
                    size: u64::from_le_bytes(*size),
                    mtime_ns: i64::from_le_bytes(*mtime_ns),
                    inode: u64::from_le_bytes(*inode),
                },
            };
            let name = String::from_utf8(name.to_vec()).ok()?;
            memory.made.insert(name, made);
            note = rest;
        }
        Some(memory)
    }
}

/// Adds what is known of a file of the channel.
pub(super) fn add_file(hasher: &mut Hasher, place: &Place, name: &str) {
    match place {
        Place::Folder(path) => add_path(hasher, &path.join(name), 0),
        Place::Bucket(_) => hasher.update(format!("{:?}", place.stat(name)).as_bytes()),
    }
}

/// Adds what the file system says of a file, or of all in a folder.
pub(super) fn add_path(hasher: &mut Hasher, path: &Path, depth: usize) {
    hasher.update(path.as_os_str().as_encoded_bytes());
    let Ok(metadata) = fs_err::metadata(path) else {
        hasher.update(b"absent");
        return;
    };
    let stat = Stat::of(&metadata);
    hasher.update(format!("{stat:?}").as_bytes());
    if !metadata.is_dir() || depth >= DEPTH {
        return;
    }
    let Ok(entries) = fs_err::read_dir(path) else {
        return;
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort_unstable();
    for path in paths {
        add_path(hasher, &path, depth + 1);
    }
}

/// A channel may be indexed into several places, and from several stages.
fn key(what: &str, context: &Context<'_>, subdir: &str) -> String {
    let stage = &context.options.upstream_stage;
    format!("{what}/{stage}/{subdir}/{}", context.output.identity())
}
