//! How files get into the channel: written whole beside their places, then renamed in an order in which
//! no file names another that is not there yet, `repodata.json` last. A file whose content would
//! not change is not touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use archive::digest::Sha256;
use tempfile::NamedTempFile;

use crate::Error;
use crate::scan::Stat;

#[cfg(test)]
mod tests;

/// What files begin with that are not in their places yet. Those that a killed run left are removed by
/// the next one.
pub(crate) const DRAFT: &str = ".archiconda-index-";

/// When a file is renamed to its place: in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// What is not read by clients that install.
    Aside,
    /// What names packages in another form than `repodata.json`.
    Index,
    /// `repodata.json`
    Last,
}

/// A file that was made: where, what the file system says of it, and what it was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) stat: Stat,
    pub(crate) key: Sha256,
}

/// The files of one folder. What is in it is known from an earlier run, as far as it is still the same.
pub(crate) struct Folder {
    path: PathBuf,
    before: BTreeMap<String, Made>,
    drafts: Vec<Draft>,
    gone: Vec<String>,
    same: BTreeMap<String, Made>,
}

struct Draft {
    name: String,
    rank: Rank,
    key: Sha256,
    file: NamedTempFile,
}

impl Folder {
    /// A folder, which is made. `before` is what [`publish`] returned the last time.
    pub(crate) fn new(path: PathBuf, before: BTreeMap<String, Made>) -> Result<Self, Error> {
        fs_err::create_dir_all(&path).map_err(|source| write_error(&path, source))?;
        Ok(Self {
            path,
            before,
            drafts: Vec::new(),
            gone: Vec::new(),
            same: BTreeMap::new(),
        })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Will put a file into the folder, unless these bytes are there.
    pub(crate) fn offer(&mut self, name: &str, rank: Rank, bytes: &[u8]) -> Result<(), Error> {
        self.offer_made(name, rank, Sha256::of(bytes), || Ok(bytes))
    }

    /// The same for bytes that are costly to make: `key` tells them from all others.
    pub(crate) fn offer_made<B: AsRef<[u8]>>(
        &mut self,
        name: &str,
        rank: Rank,
        key: Sha256,
        make: impl FnOnce() -> io::Result<B>,
    ) -> Result<(), Error> {
        let path = self.path.join(name);
        let stat = stat(&path);
        if let (Some(stat), Some(made)) = (stat, self.before.get(name))
            && *made == (Made { stat, key })
        {
            self.same.insert(name.to_owned(), *made);
            return Ok(());
        }
        let failed = |source| write_error(&path, source);
        let bytes = make().map_err(failed)?;
        let bytes = bytes.as_ref();
        if let Some(stat) = stat
            && stat.size == bytes.len() as u64
            && fs_err::read(&path).is_ok_and(|there| there == bytes)
        {
            self.same.insert(name.to_owned(), Made { stat, key });
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent).map_err(failed)?;
        }
        let file = draft(&self.path, bytes, true).map_err(failed)?;
        self.drafts.push(Draft {
            name: name.to_owned(),
            rank,
            key,
            file,
        });
        Ok(())
    }

    /// Puts a file there now that nothing names yet, unless it is there. Its name must tell its
    /// content. Whether it was written.
    pub(crate) fn add(&self, name: &str, bytes: &[u8]) -> Result<bool, Error> {
        let path = self.path.join(name);
        if stat(&path).is_some_and(|stat| stat.size == bytes.len() as u64) {
            return Ok(false);
        }
        let failed = |source| write_error(&path, source);
        let file = draft(&self.path, bytes, false).map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(true)
    }

    /// Makes what was added last. One call for thousands of files.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        let sync = || {
            let folder = fs_err::File::open(&self.path)?;
            rustix::fs::syncfs(&folder).map_err(io::Error::from)
        };
        sync().map_err(|source| write_error(&self.path, source))
    }

    /// Will take a file away.
    pub(crate) fn withdraw(&mut self, name: &str) {
        if stat(&self.path.join(name)).is_some() {
            self.gone.push(name.to_owned());
        }
    }

    /// Will take away what was made the last time in folders that begin so, and was not offered now.
    pub(crate) fn withdraw_rest(&mut self, folders: &[&str]) {
        let drafts: BTreeSet<_> = self.drafts.iter().map(|draft| &draft.name).collect();
        let rest: Vec<_> = self
            .before
            .keys()
            .filter(|name| folders.iter().any(|folder| name.starts_with(folder)))
            .filter(|name| !self.same.contains_key(*name) && !drafts.contains(name))
            .cloned()
            .collect();
        for name in rest {
            self.withdraw(&name);
        }
    }

    /// Whether a file may be replaced that people may have written: it is the one that was made here
    /// the last time, it has these bytes, or there is none.
    pub(crate) fn is_ours(&self, name: &str, bytes: &[u8]) -> bool {
        let path = self.path.join(name);
        match (stat(&path), self.before.get(name)) {
            (None, _) => true,
            (Some(stat), Some(made)) if made.stat == stat => true,
            _ => fs_err::read(path).is_ok_and(|there| there == bytes),
        }
    }

    /// Whether anything is to be changed.
    pub(crate) fn has_changes(&self) -> bool {
        !self.drafts.is_empty() || !self.gone.is_empty()
    }
}

/// Renames all files of all folders to their places. For each folder, what is there now.
pub(crate) fn publish(folders: Vec<Folder>) -> Result<Vec<BTreeMap<String, Made>>, Error> {
    let mut drafts = Vec::new();
    let mut there = Vec::new();
    let mut touched = Vec::new();
    for (number, folder) in folders.into_iter().enumerate() {
        for name in &folder.gone {
            let path = folder.path.join(name);
            fs_err::remove_file(&path).map_err(|source| write_error(&path, source))?;
        }
        if folder.has_changes() {
            touched.push(folder.path.clone());
        }
        let path = folder.path;
        // What was not asked for this time is still what was made.
        let mut same = folder.same;
        for (name, made) in folder.before {
            if stat(&path.join(&name)) == Some(made.stat) {
                same.entry(name).or_insert(made);
            }
        }
        let of = |draft: Draft| (draft.rank, number, path.join(&draft.name), draft);
        drafts.extend(folder.drafts.into_iter().map(of));
        there.push(same);
    }
    drafts.sort_by(|one, other| (one.0, &one.2).cmp(&(other.0, &other.2)));
    for (_, number, path, draft) in drafts {
        draft
            .file
            .persist(&path)
            .map_err(|error| write_error(&path, error.error))?;
        if let (Some(stat), Some(there)) = (stat(&path), there.get_mut(number)) {
            let key = draft.key;
            there.insert(draft.name, Made { stat, key });
        }
    }
    for path in touched {
        let synced = fs_err::File::open(&path).and_then(|folder| folder.sync_all());
        synced.map_err(|source| write_error(&path, source))?;
    }
    Ok(there)
}

/// Whether the files that were made are still there as they were.
pub(crate) fn is_there(folder: &Path, made: &BTreeMap<String, Made>) -> bool {
    made.iter()
        .all(|(name, made)| stat(&folder.join(name)) == Some(made.stat))
}

/// Removes what killed runs left.
pub(crate) fn sweep(folder: &Path) -> Result<(), Error> {
    let sweep = || {
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(DRAFT) {
                fs_err::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    match sweep() {
        Err(source) if folder.is_dir() => Err(write_error(folder, source)),
        _ => Ok(()),
    }
}

fn stat(path: &Path) -> Option<Stat> {
    let metadata = fs_err::symlink_metadata(path).ok()?;
    metadata.is_file().then(|| Stat::of(&metadata))
}

fn draft(folder: &Path, bytes: &[u8], sync: bool) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(DRAFT)
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    if sync {
        file.as_file().sync_all()?;
    }
    Ok(file)
}

fn write_error(path: &Path, source: io::Error) -> Error {
    Error::Write {
        path: path.to_owned(),
        source,
    }
}
