//! What earlier runs learned: one file in the channel's `.cache` folder, or tables in PostgreSQL that several
//! processes share. It is only a cache: when it is damaged or of another version it is thrown away, and
//! everything is read again.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fetch::postgres::{Changes, Database, Table, Take};
use rayon::prelude::*;

use crate::given::Listing;
use crate::scan::{Stat, Wanted};
use crate::scanned::Scanned;
use file::Store;

mod backend;
mod codec;
mod file;
mod home;
#[cfg(test)]
mod tests;

pub(crate) use home::Home;

/// The file's name.
pub(crate) const FILE: &str = "archiconda-index.redb";

/// The form of the rows that this version writes. Another one is not understood.
const VERSION: i32 = 4;

/// How the note of the version begins.
const OURS: &str = "archiconda index cache ";

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
    /// The database could not be used.
    #[error(transparent)]
    Database(#[from] fetch::postgres::Error),
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
    /// Tells what the package says from what it said before.
    pub(crate) mark: Mark,
    /// When it came into the index, in milliseconds since 1970 (CEP 47); 0 if that is not known.
    pub(crate) indexed_ms: i64,
}

/// What a row says of a package without the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    /// The checksum of all that is kept of it.
    pub(crate) sum: u32,
    /// Whether its record has the name that its file has.
    pub(crate) is_named: bool,
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
    tables: Tables,
    /// What this run was given to know of packages, by platform. Of what is kept only the notes count then.
    given: BTreeMap<String, Arc<Listing>>,
    is_fresh: bool,
    is_changed: bool,
}

enum Tables {
    File(Store),
    Database(Box<Database>),
}

/// Takes file name, record and `run_exports` of a package.
type TakeTexts<'a, T> = dyn Fn(&mut T, &str, &str, Option<&str>) + Sync + 'a;

/// A set of changes that is there as a whole after a crash, or not at all.
pub(crate) struct Batch<'a> {
    kind: Kind<'a>,
    is_changed: &'a mut bool,
    /// The platforms of whose files something else is known afterwards.
    touched: BTreeSet<String>,
}

enum Kind<'a> {
    File(Box<file::Batch<'a>>),
    Database(&'a Database, Changes),
}

impl Cache {
    /// Opens the cache of a `.cache` folder. Nothing is written to it, nor made, before the first
    /// [`Cache::batch`].
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let store = Store::open(folder.join(FILE))?;
        Self::check(Tables::File(store))
    }

    /// Opens the cache of a channel in a database.
    pub(crate) fn of_database(database: Database) -> Result<Self, Error> {
        Self::check(Tables::Database(Box::new(database)))
    }

    fn check(tables: Tables) -> Result<Self, Error> {
        let mut cache = Self {
            tables,
            given: BTreeMap::new(),
            is_fresh: false,
            is_changed: false,
        };
        let Some(note) = cache.note("version")? else {
            cache.is_fresh = cache.is_empty()?;
            return cache.is_fresh.then_some(cache).ok_or(Error::Damaged);
        };
        match (version(&note), &cache.tables) {
            (Some(VERSION), _) => Ok(cache),
            // Whoever wrote it goes on with it, and each would make it anew for the other.
            (Some(found), Tables::Database(database)) if found > VERSION => {
                Err(database.newer(found, VERSION).into())
            }
            _ => Err(Error::Damaged),
        }
    }

    fn is_empty(&self) -> Result<bool, Error> {
        Ok(match &self.tables {
            Tables::File(store) => !store.is_there(),
            Tables::Database(database) => database.is_empty()?,
        })
    }

    /// Throws a cache away.
    pub(crate) fn remove(folder: &Path) -> std::io::Result<()> {
        match fs_err::remove_file(folder.join(FILE)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether anything was written to it since it was opened.
    pub(crate) fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// The database, where that is what the cache is in.
    pub(crate) fn database(&self) -> Option<&Database> {
        match &self.tables {
            Tables::File(_) => None,
            Tables::Database(database) => Some(database),
        }
    }

    /// Takes what there is to know of a platform's packages, for this run.
    pub(crate) fn give(&mut self, subdir: &str, listing: Arc<Listing>) {
        self.given.insert(subdir.to_owned(), listing);
    }

    /// What was given of a platform.
    pub(crate) fn given(&self, subdir: &str) -> Option<&Listing> {
        self.given.get(subdir).map(Arc::as_ref)
    }

    /// What is known of the files of a platform, sorted by name.
    pub(crate) fn files(&self, subdir: &str) -> Result<Vec<(String, Known)>, Error> {
        if let Some(listing) = self.given(subdir) {
            return Ok(listing.files_below(""));
        }
        let (start, end) = below(subdir);
        self.files_between(&start, &end)
    }

    /// The same of the files whose names begin so.
    pub(crate) fn files_below(
        &self,
        subdir: &str,
        begin: &str,
    ) -> Result<Vec<(String, Known)>, Error> {
        if let Some(listing) = self.given(subdir) {
            return Ok(listing.files_below(begin));
        }
        let start = format!("{subdir}/{begin}");
        // Nothing in UTF-8 comes after it.
        let end = format!("{start}\u{10ffff}");
        self.files_between(&start, &end)
    }

    fn files_between(&self, start: &str, end: &str) -> Result<Vec<(String, Known)>, Error> {
        let name = |key: &str| Some(key.rsplit_once('/')?.1.to_owned());
        let mut files = Vec::new();
        self.between(Table::Files, (start, end), &mut |key, value| {
            let name = name(key)?;
            let known = codec::known(&name, value)?;
            files.push((name, known));
            Some(())
        })?;
        Ok(files)
    }

    /// Another one after each change of what is known of a platform's files; nothing before the first.
    pub(crate) fn generation(&self, subdir: &str) -> Result<Vec<u8>, Error> {
        Ok(self.note(&generation(subdir))?.unwrap_or_default())
    }

    /// What is known of one file.
    pub(crate) fn file(&self, subdir: &str, name: &str) -> Result<Option<Known>, Error> {
        if let Some(listing) = self.given(subdir) {
            return Ok(listing.file(name).copied());
        }
        let key = format!("{subdir}/{name}");
        match self.get(Table::Files, &key)? {
            None => Ok(None),
            Some(value) => codec::known(name, &value).map(Some).ok_or(Error::Damaged),
        }
    }

    /// The texts of all packages of a platform, sorted by name, in parts that begin at the names in `bounds`: what
    /// `take` makes of file name, record and `run_exports`. A file's parts are read side by side.
    pub(crate) fn records<T: Default + Send>(
        &self,
        subdir: &str,
        bounds: &[&str],
        take: &TakeTexts<'_, T>,
    ) -> Result<Vec<T>, Error> {
        let folder = format!("{subdir}/");
        let mut edges: Vec<_> = bounds
            .iter()
            .map(|name| format!("{folder}{name}"))
            .collect();
        edges.insert(0, folder.clone());
        // `0` comes after the slash.
        edges.push(format!("{subdir}0"));
        let make = |part: &mut T, key: &str, value: &[u8]| {
            let name = key.strip_prefix(&folder).ok_or(Error::Damaged)?;
            if let Some((record, run_exports)) = codec::texts(name, value).ok_or(Error::Damaged)? {
                take(part, name, record, run_exports);
            }
            Ok(())
        };
        let parts = edges.windows(2).filter_map(|edges| match edges {
            [start, end] => Some((start.as_str(), end.as_str())),
            _ => None,
        });
        let parts: Vec<_> = parts.collect();
        let part = |visit: &dyn Fn(&mut Take<'_, Error>) -> Result<(), Error>| {
            let mut part = T::default();
            visit(&mut |key, value| make(&mut part, key, value))?;
            Ok(part)
        };
        let table = Table::Packages;
        match &self.tables {
            Tables::File(store) => parts
                .par_iter()
                .map(|bounds| part(&|take| store.range(table, *bounds, take)))
                .collect(),
            // There is one connection.
            Tables::Database(database) => parts
                .iter()
                .map(|bounds| part(&|take| database.range(table, *bounds, take)))
                .collect(),
        }
    }

    /// What the cache tells of one file.
    pub(crate) fn package(&self, subdir: &str, name: &str) -> Result<Option<Scanned>, Error> {
        if let Some(listing) = self.given(subdir) {
            return Ok(listing.package(name));
        }
        let key = format!("{subdir}/{name}");
        match self.get(Table::Packages, &key)? {
            None => Ok(None),
            Some(value) => match codec::row(name, &value).ok_or(Error::Damaged)? {
                codec::Row::Package(scanned) => Ok(Some(*scanned)),
                codec::Row::Reason(_) => Ok(None),
            },
        }
    }

    /// Why one file is no use.
    pub(crate) fn reason(&self, subdir: &str, name: &str) -> Result<Option<String>, Error> {
        let key = format!("{subdir}/{name}");
        match self.get(Table::Packages, &key)? {
            None => Ok(None),
            Some(value) => match codec::row(name, &value).ok_or(Error::Damaged)? {
                codec::Row::Package(_) => Ok(None),
                codec::Row::Reason(reason) => Ok(Some(reason)),
            },
        }
    }

    /// A note.
    pub(crate) fn note(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.get(Table::Notes, key)? {
            None => Ok(None),
            Some(value) => {
                let note = codec::open(key, &value).ok_or(Error::Damaged)?;
                Ok(Some(note.to_vec()))
            }
        }
    }

    /// The names of the notes below `prefix/`, without it.
    pub(crate) fn notes_below(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        self.range(Table::Notes, prefix, &mut |name, _| {
            names.push(name.to_owned());
            Some(())
        })?;
        Ok(names)
    }

    /// Begins a set of changes.
    pub(crate) fn batch(&mut self) -> Result<Batch<'_>, Error> {
        let kind = match &mut self.tables {
            Tables::File(store) => Kind::File(Box::new(store.batch()?)),
            Tables::Database(database) => Kind::Database(database, Changes::new()),
        };
        let mut batch = Batch {
            kind,
            is_changed: &mut self.is_changed,
            touched: BTreeSet::new(),
        };
        if std::mem::take(&mut self.is_fresh) {
            let note = format!("{OURS}{VERSION}");
            batch.set_note("version", note.as_bytes())?;
        }
        Ok(batch)
    }

    fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, Error> {
        match &self.tables {
            Tables::Database(database) => Ok(database.get(table, key)?),
            Tables::File(store) => store.get(table, key),
        }
    }

    /// Visits what lies below `prefix/`; the names come without it. A visitor that understands a
    /// value returns something.
    fn range(
        &self,
        table: Table,
        prefix: &str,
        visit: &mut dyn FnMut(&str, &[u8]) -> Option<()>,
    ) -> Result<(), Error> {
        let (start, end) = below(prefix);
        self.between(table, (&start, &end), &mut |key, value| {
            visit(key.strip_prefix(start.as_str()).unwrap_or_default(), value)
        })
    }

    fn between(
        &self,
        table: Table,
        bounds: (&str, &str),
        visit: &mut dyn FnMut(&str, &[u8]) -> Option<()>,
    ) -> Result<(), Error> {
        let mut take = |key: &str, value: &[u8]| visit(key, value).ok_or(Error::Damaged);
        match &self.tables {
            Tables::Database(database) => database.range(table, bounds, &mut take),
            Tables::File(store) => store.range(table, bounds, &mut take),
        }
    }
}

impl Batch<'_> {
    /// Keeps what a package tells. What is known of it now.
    pub(crate) fn put(
        &mut self,
        subdir: &str,
        known: &Known,
        scanned: &Scanned,
    ) -> Result<Known, Error> {
        let value = codec::encode_package(scanned);
        let known = Known {
            mark: codec::mark(scanned, &value),
            ..*known
        };
        self.insert(subdir, &scanned.file, &known, value)?;
        Ok(known)
    }

    /// Keeps why a file is no use.
    pub(crate) fn put_reason(
        &mut self,
        subdir: &str,
        name: &str,
        known: &Known,
        reason: &str,
    ) -> Result<(), Error> {
        self.insert(subdir, name, known, codec::encode_reason(name, reason))
    }

    /// Keeps what is known of a file whose package is known already.
    pub(crate) fn put_known(
        &mut self,
        subdir: &str,
        name: &str,
        known: &Known,
    ) -> Result<(), Error> {
        let key = format!("{subdir}/{name}");
        self.set(Table::Files, key, Some(codec::encode_known(name, known)))
    }

    /// Forgets a file.
    pub(crate) fn remove(&mut self, subdir: &str, name: &str) -> Result<(), Error> {
        let key = format!("{subdir}/{name}");
        self.set(Table::Files, key.clone(), None)?;
        self.set(Table::Packages, key, None)
    }

    /// Keeps a note.
    pub(crate) fn set_note(&mut self, key: &str, value: &[u8]) -> Result<(), Error> {
        let value = codec::seal(key, value);
        self.set(Table::Notes, key.to_owned(), Some(value))
    }

    /// Makes the changes last.
    pub(crate) fn commit(mut self) -> Result<(), Error> {
        self.count()?;
        *self.is_changed = true;
        match self.kind {
            Kind::File(batch) => batch.commit(),
            Kind::Database(database, changes) => Ok(database.write(&changes)?),
        }
    }

    /// The same for a part of the database's queue, which is done then.
    pub(crate) fn finish(mut self, keys: &[String]) -> Result<(), Error> {
        self.count()?;
        *self.is_changed = true;
        match self.kind {
            Kind::File(batch) => batch.commit(),
            Kind::Database(database, changes) => Ok(database.finish(keys, &changes)?),
        }
    }

    fn insert(
        &mut self,
        subdir: &str,
        name: &str,
        known: &Known,
        value: Vec<u8>,
    ) -> Result<(), Error> {
        self.set(Table::Packages, format!("{subdir}/{name}"), Some(value))?;
        self.put_known(subdir, name, known)
    }

    /// Gives the platforms that were touched another generation.
    fn count(&mut self) -> Result<(), Error> {
        for subdir in std::mem::take(&mut self.touched) {
            let random = RandomState::new().build_hasher().finish();
            self.set_note(&generation(&subdir), &random.to_le_bytes())?;
        }
        Ok(())
    }

    fn set(&mut self, table: Table, key: String, value: Option<Vec<u8>>) -> Result<(), Error> {
        if table == Table::Files
            && let Some((subdir, _)) = key.rsplit_once('/')
            && !self.touched.contains(subdir)
        {
            self.touched.insert(subdir.to_owned());
        }
        match &mut self.kind {
            Kind::File(batch) => batch.set(table, &key, value.as_deref()),
            Kind::Database(_, changes) => {
                changes.insert((table, key), value);
                Ok(())
            }
        }
    }
}

/// The bounds of what lies below `prefix/`.
fn below(prefix: &str) -> (String, String) {
    // `0` comes after the slash.
    (format!("{prefix}/"), format!("{prefix}0"))
}

/// What a note says of the version.
fn version(note: &[u8]) -> Option<i32> {
    std::str::from_utf8(note)
        .ok()?
        .strip_prefix(OURS)?
        .parse()
        .ok()
}

/// The note that a platform's generation is.
fn generation(subdir: &str) -> String {
    format!("generation/{subdir}")
}
