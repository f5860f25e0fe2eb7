//! The cache in one file (redb).

use std::path::{Path, PathBuf};

use fetch::postgres::{Table, Take};
use redb::{ReadTransaction, TableDefinition, WriteTransaction};

use super::{Error, backend};

/// Most memory that the store takes for pages, in bytes.
const PAGES: usize = 64 << 20;

/// `SUBDIR/FILE` → what is known of a file.
const FILES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("files");
/// `SUBDIR/FILE` → what the package tells, or why it is no use.
const PACKAGES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("packages");
/// Anything else.
const NOTES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("notes");

/// The file, open or not there yet.
pub(super) struct Store {
    path: PathBuf,
    open: Option<Open>,
}

enum Open {
    Reading(redb::ReadOnlyDatabase),
    Writing(redb::Database),
}

/// A set of changes.
pub(super) struct Batch<'a> {
    path: &'a Path,
    transaction: WriteTransaction,
}

impl Store {
    /// Opens the file, if it is there.
    pub(super) fn open(path: PathBuf) -> Result<Self, Error> {
        let mut store = Self { path, open: None };
        if !store.path.is_file() {
            return Ok(store);
        }
        match backend::read(&store.path, PAGES) {
            Ok(open) => store.open = Some(Open::Reading(open)),
            // After a crash it must be repaired, which is to write.
            Err(_) => store.open_to_write(false)?,
        }
        Ok(store)
    }

    pub(super) fn is_there(&self) -> bool {
        self.open.is_some()
    }

    pub(super) fn batch(&mut self) -> Result<Batch<'_>, Error> {
        if !matches!(self.open, Some(Open::Writing(_))) {
            self.open_to_write(self.open.is_none())?;
        }
        let Some(Open::Writing(store)) = &self.open else {
            return Err(Error::Damaged);
        };
        let path = &self.path;
        let transaction = guard(path, || Ok(store.begin_write()?))?;
        Ok(Batch { path, transaction })
    }

    fn open_to_write(&mut self, fresh: bool) -> Result<(), Error> {
        // One process has it open once.
        self.open = None;
        let opened = guard(&self.path, || backend::write(&self.path, PAGES, fresh))?;
        self.open = Some(Open::Writing(opened));
        Ok(())
    }

    pub(super) fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(transaction) = self.reading()? else {
            return Ok(None);
        };
        guard(&self.path, || {
            let table = match transaction.open_table(definition(table)) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                other => other?,
            };
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        })
    }

    /// Visits all from `start` up to `end`, until the visitor fails.
    pub(super) fn range(
        &self,
        table: Table,
        (start, end): (&str, &str),
        visit: &mut Take<'_, Error>,
    ) -> Result<(), Error> {
        let Some(transaction) = self.reading()? else {
            return Ok(());
        };
        guard(&self.path, || {
            let table = match transaction.open_table(definition(table)) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Ok(())),
                other => other?,
            };
            for row in table.range(start..end)? {
                let (key, value) = row?;
                if let Err(error) = visit(key.value(), value.value()) {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(()))
        })?
    }

    fn reading(&self) -> Result<Option<ReadTransaction>, Error> {
        use redb::ReadableDatabase as _;
        guard(&self.path, || {
            Ok(match &self.open {
                None => None,
                Some(Open::Reading(store)) => Some(store.begin_read()?),
                Some(Open::Writing(store)) => Some(store.begin_read()?),
            })
        })
    }
}

impl Batch<'_> {
    pub(super) fn set(
        &mut self,
        table: Table,
        key: &str,
        value: Option<&[u8]>,
    ) -> Result<(), Error> {
        guard(self.path, || {
            let mut table = self.transaction.open_table(definition(table))?;
            match value {
                Some(value) => table.insert(key, value)?,
                None => table.remove(key)?,
            };
            Ok(())
        })
    }

    pub(super) fn commit(self) -> Result<(), Error> {
        guard(self.path, || Ok(self.transaction.commit()?))
    }
}

fn definition(table: Table) -> TableDefinition<'static, &'static str, &'static [u8]> {
    match table {
        Table::Files => FILES,
        Table::Packages => PACKAGES,
        Table::Notes => NOTES,
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
