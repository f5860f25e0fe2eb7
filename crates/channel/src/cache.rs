//! What earlier runs learned: one file in the channel's `.cache` folder. It is only a cache: when it is
//! damaged or of another version it is thrown away, and everything is read again.

use std::path::{Path, PathBuf};

use redb::{ReadTransaction, TableDefinition, WriteTransaction};

use crate::scan::{Stat, Wanted};
use crate::scanned::Scanned;

mod codec;
mod file;
#[cfg(test)]
mod tests;

/// The file's name.
pub(crate) const FILE: &str = "archiconda-index.redb";

/// What this version writes. Another one is not understood.
const VERSION: &[u8] = b"archiconda index cache 1";

/// Most memory that the store takes for pages, in bytes.
const PAGES: usize = 64 << 20;

/// `SUBDIR/FILE` → what is known of a file.
const FILES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("files");
/// `SUBDIR/FILE` → what the package tells, or why it is no use.
const PACKAGES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("packages");
/// Anything else.
const NOTES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("notes");

/// Why the cache could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its content is damaged, or was never ours.
    #[error("the cache is damaged")]
    Damaged,
    /// It could not be read or written.
    #[error("could not use the cache `{path}`")]
    Store {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<redb::Error>,
    },
}

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    /// What the file system said when it was read.
    pub(crate) stat: Stat,
    /// What was looked for in it.
    pub(crate) wanted: Wanted,
    /// What it came to.
    pub(crate) state: State,
}

/// What a file came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// A package.
    Package,
    /// No package, or none that can be used.
    Unusable,
    /// A package that was never read here: of the file only the size is known.
    Imported,
    /// The same, with the time of the last change in whole microseconds.
    ImportedWithTime,
}

/// The open cache.
pub(crate) struct Cache {
    path: PathBuf,
    store: Option<Store>,
}

enum Store {
    Reading(redb::ReadOnlyDatabase),
    Writing(redb::Database),
}

/// A set of changes that is there as a whole after a crash, or not at all.
pub(crate) struct Batch<'a> {
    path: &'a Path,
    transaction: WriteTransaction,
}

impl Cache {
    /// Opens the cache of a `.cache` folder. Nothing is written to it, nor made, before the first
    /// [`Cache::batch`].
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let mut cache = Self { path, store: None };
        if !cache.path.is_file() {
            return Ok(cache);
        }
        match file::read(&cache.path, PAGES) {
            Ok(store) => cache.store = Some(Store::Reading(store)),
            // After a crash it must be repaired, which is to write.
            Err(_) => cache.open_to_write(false)?,
        }
        match cache.note("version")? {
            Some(version) if version == VERSION => Ok(cache),
            _ => Err(Error::Damaged),
        }
    }

    /// Throws a cache away.
    pub(crate) fn remove(folder: &Path) -> std::io::Result<()> {
        match fs_err::remove_file(folder.join(FILE)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// What is known of the files of a platform, sorted by name.
    pub(crate) fn files(&self, subdir: &str) -> Result<Vec<(String, Known)>, Error> {
        let mut files = Vec::new();
        self.range(FILES, subdir, &mut |name, value| {
            files.push((name.to_owned(), codec::known(value)?));
            Some(())
        })?;
        Ok(files)
    }

    /// Hands all packages of a platform on, sorted by name. What channeldata tells is read only
    /// where `details` says so.
    pub(crate) fn packages(
        &self,
        subdir: &str,
        details: bool,
        take: &mut dyn FnMut(Scanned),
    ) -> Result<(), Error> {
        self.range(PACKAGES, subdir, &mut |name, value| {
            if let codec::Row::Package(scanned) = codec::row(name, value, details)? {
                take(*scanned);
            }
            Some(())
        })
    }

    /// What the cache tells of one file.
    pub(crate) fn package(&self, subdir: &str, name: &str) -> Result<Option<Scanned>, Error> {
        let key = format!("{subdir}/{name}");
        match self.get(PACKAGES, &key)? {
            None => Ok(None),
            Some(value) => match codec::row(name, &value, true).ok_or(Error::Damaged)? {
                codec::Row::Package(scanned) => Ok(Some(*scanned)),
                codec::Row::Reason(_) => Ok(None),
            },
        }
    }

    /// Why one file is no use.
    pub(crate) fn reason(&self, subdir: &str, name: &str) -> Result<Option<String>, Error> {
        let key = format!("{subdir}/{name}");
        match self.get(PACKAGES, &key)? {
            None => Ok(None),
            Some(value) => match codec::row(name, &value, false).ok_or(Error::Damaged)? {
                codec::Row::Package(_) => Ok(None),
                codec::Row::Reason(reason) => Ok(Some(reason)),
            },
        }
    }

    /// A note.
    pub(crate) fn note(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.get(NOTES, key)? {
            None => Ok(None),
            Some(value) => {
                let note = codec::open(key, &value).ok_or(Error::Damaged)?;
                Ok(Some(note.to_vec()))
            }
        }
    }

    /// Begins a set of changes.
    pub(crate) fn batch(&mut self) -> Result<Batch<'_>, Error> {
        let fresh = self.store.is_none();
        if !matches!(self.store, Some(Store::Writing(_))) {
            self.open_to_write(fresh)?;
        }
        let Some(Store::Writing(store)) = &self.store else {
            return Err(Error::Damaged);
        };
        let path = &self.path;
        let transaction = guard(path, || Ok(store.begin_write()?))?;
        let mut batch = Batch { path, transaction };
        if fresh {
            batch.set_note("version", VERSION)?;
        }
        Ok(batch)
    }

    fn open_to_write(&mut self, fresh: bool) -> Result<(), Error> {
        // One process has it open once.
        self.store = None;
        let opened = guard(&self.path, || file::write(&self.path, PAGES, fresh))?;
        self.store = Some(Store::Writing(opened));
        Ok(())
    }

    fn get(
        &self,
        table: TableDefinition<'_, &str, &[u8]>,
        key: &str,
    ) -> Result<Option<Vec<u8>>, Error> {
        let Some(transaction) = self.reading()? else {
            return Ok(None);
        };
        guard(&self.path, || {
            let table = match transaction.open_table(table) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                other => other?,
            };
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        })
    }

    /// Visits what lies below `prefix/`; the names come without it. A visitor that understands a
    /// value returns something.
    fn range(
        &self,
        table: TableDefinition<'_, &str, &[u8]>,
        prefix: &str,
        visit: &mut dyn FnMut(&str, &[u8]) -> Option<()>,
    ) -> Result<(), Error> {
        let Some(transaction) = self.reading()? else {
            return Ok(());
        };
        // `0` comes after the slash.
        let (start, end) = (format!("{prefix}/"), format!("{prefix}0"));
        let understood = guard(&self.path, || {
            let table = match transaction.open_table(table) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(true),
                other => other?,
            };
            for row in table.range(start.as_str()..end.as_str())? {
                let (key, value) = row?;
                let name = key.value().strip_prefix(start.as_str()).unwrap_or_default();
                if visit(name, value.value()).is_none() {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        if understood {
            Ok(())
        } else {
            Err(Error::Damaged)
        }
    }

    fn reading(&self) -> Result<Option<ReadTransaction>, Error> {
        use redb::ReadableDatabase as _;
        guard(&self.path, || {
            Ok(match &self.store {
                None => None,
                Some(Store::Reading(store)) => Some(store.begin_read()?),
                Some(Store::Writing(store)) => Some(store.begin_read()?),
            })
        })
    }
}

impl Batch<'_> {
    /// Keeps what a package tells.
    pub(crate) fn put(
        &mut self,
        subdir: &str,
        known: &Known,
        scanned: &Scanned,
    ) -> Result<(), Error> {
        let value = codec::encode_package(scanned);
        self.insert(subdir, &scanned.file, known, &value)
    }

    /// Keeps why a file is no use.
    pub(crate) fn put_reason(
        &mut self,
        subdir: &str,
        name: &str,
        known: &Known,
        reason: &str,
    ) -> Result<(), Error> {
        self.insert(subdir, name, known, &codec::encode_reason(name, reason))
    }

    /// Keeps what is known of a file whose package is known already.
    pub(crate) fn put_known(
        &mut self,
        subdir: &str,
        name: &str,
        known: &Known,
    ) -> Result<(), Error> {
        let key = format!("{subdir}/{name}");
        self.with(FILES, |table| {
            table.insert(key.as_str(), codec::encode_known(known).as_slice())?;
            Ok(())
        })
    }

    /// Forgets a file.
    pub(crate) fn remove(&mut self, subdir: &str, name: &str) -> Result<(), Error> {
        let key = format!("{subdir}/{name}");
        for table in [FILES, PACKAGES] {
            self.with(table, |table| {
                table.remove(key.as_str())?;
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Keeps a note.
    pub(crate) fn set_note(&mut self, key: &str, value: &[u8]) -> Result<(), Error> {
        let value = codec::seal(key, value);
        self.with(NOTES, |table| {
            table.insert(key, value.as_slice())?;
            Ok(())
        })
    }

    /// Makes the changes last.
    pub(crate) fn commit(self) -> Result<(), Error> {
        guard(self.path, || Ok(self.transaction.commit()?))
    }

    fn insert(
        &mut self,
        subdir: &str,
        name: &str,
        known: &Known,
        value: &[u8],
    ) -> Result<(), Error> {
        let key = format!("{subdir}/{name}");
        self.with(PACKAGES, |table| {
            table.insert(key.as_str(), value)?;
            Ok(())
        })?;
        self.put_known(subdir, name, known)
    }

    fn with(
        &mut self,
        table: TableDefinition<'static, &'static str, &'static [u8]>,
        change: impl FnOnce(
            &mut redb::Table<'_, &'static str, &'static [u8]>,
        ) -> Result<(), redb::Error>,
    ) -> Result<(), Error> {
        guard(self.path, || {
            change(&mut self.transaction.open_table(table)?)
        })
    }
}

/// The store panics at some damages of its file, and reports others.
fn guard<T>(path: &Path, action: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, Error> {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(action));
    match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(redb::Error::Io(error)))
            if !matches!(
                error.kind(),
                std::io::ErrorKind::InvalidData
                    | std::io::ErrorKind::UnexpectedEof
                    | std::io::ErrorKind::InvalidInput
            ) =>
        {
            Err(Error::Store {
                path: path.to_owned(),
                source: Box::new(redb::Error::Io(error)),
            })
        }
        Ok(Err(_)) | Err(_) => Err(Error::Damaged),
    }
}
