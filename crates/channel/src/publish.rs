//! How files get into the channel: written whole beside their places, then put there in an order in which
//! no file names another that is not there yet, `repodata.json` last. In a folder they are renamed, in a
//! bucket written at once. A file whose content would not change is not touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Permissions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use archive::digest::Sha256;
use tempfile::NamedTempFile;

use crate::Error;
use crate::place::Place;
use crate::scan::Stat;

mod large;
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
    place: Place,
    before: BTreeMap<String, Made>,
    drafts: Vec<Draft>,
    gone: Vec<String>,
    same: BTreeMap<String, Made>,
}

struct Draft {
    name: String,
    rank: Rank,
    key: Sha256,
    body: Body,
}

/// Where the bytes wait.
enum Body {
    /// Beside their place.
    Beside(NamedTempFile),
    /// In a file that has no name, and so is gone with the process.
    Unnamed(File),
}

impl Folder {
    /// A folder, which is made. `before` is what [`publish`] returned the last time.
    pub(crate) fn new(place: Place, before: BTreeMap<String, Made>) -> Result<Self, Error> {
        if let Place::Folder(path) = &place {
            fs_err::create_dir_all(path).map_err(|source| write_error(path, source))?;
        }
        Ok(Self {
            place,
            before,
            drafts: Vec::new(),
            gone: Vec::new(),
            same: BTreeMap::new(),
        })
    }

    /// Where it is.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// What a file was made of the last time.
    pub(crate) fn key(&self, name: &str) -> Option<Sha256> {
        self.before.get(name).map(|made| made.key)
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
        if self.keeps(name, key) {
            return Ok(());
        }
        let path = self.place.path(name);
        let stat = self.place.stat(name);
        let failed = |source| write_error(&path, source);
        let bytes = make().map_err(failed)?;
        let bytes = bytes.as_ref();
        if let Some(stat) = stat
            && self.place.has(name, bytes)
        {
            self.same.insert(name.to_owned(), Made { stat, key });
            return Ok(());
        }
        let body = match &self.place {
            Place::Folder(folder) => path
                .parent()
                .map_or(Ok(()), fs_err::create_dir_all)
                .and_then(|()| draft(folder, bytes, true))
                .map(Body::Beside),
            Place::Bucket(_) => tempfile::tempfile()
                .and_then(|mut file| file.write_all(bytes).map(|()| file))
                .map(Body::Unnamed),
        };
        let body = body.map_err(failed)?;
        self.drafts.push(Draft {
            name: name.to_owned(),
            rank,
            key,
            body,
        });
        Ok(())
    }

    /// Puts a file there now that nothing names yet, unless it is there. Its name must tell its
    /// content. Whether it was written.
    pub(crate) fn add(&self, name: &str, bytes: &[u8]) -> Result<bool, Error> {
        let there = self.place.stat(name);
        if there.is_some_and(|stat| stat.size == bytes.len() as u64) {
            return Ok(false);
        }
        match &self.place {
            Place::Folder(folder) => {
                let path = folder.join(name);
                let failed = |source| write_error(&path, source);
                let file = draft(folder, bytes, false).map_err(failed)?;
                file.persist(&path).map_err(|error| failed(error.error))?;
            }
            Place::Bucket(objects) => objects.add(name, bytes.to_vec())?,
        }
        Ok(true)
    }

    /// Makes what was added last. One call for thousands of files.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        match &self.place {
            Place::Folder(path) => fs_err::File::open(path)
                .and_then(|folder| rustix::fs::syncfs(&folder).map_err(io::Error::from))
                .map_err(|source| write_error(path, source)),
            Place::Bucket(objects) => objects.settle(),
        }
    }

    /// Whether a file will be another one than it was.
    pub(crate) fn changes(&self, name: &str) -> bool {
        self.drafts.iter().any(|draft| draft.name == name)
    }

    /// Will take a file away.
    pub(crate) fn withdraw(&mut self, name: &str) {
        if self.place.stat(name).is_some() {
            self.gone.push(name.to_owned());
        }
    }

    /// The same, unless somebody else wrote it.
    pub(crate) fn withdraw_ours(&mut self, name: &str) {
        let there = self.place.stat(name);
        if there.is_some() && there == self.before.get(name).map(|made| made.stat) {
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
        match (self.place.stat(name), self.before.get(name)) {
            (None, _) => true,
            (Some(stat), Some(made)) if made.stat == stat => true,
            _ => self.place.has(name, bytes),
        }
    }

    /// Whether anything is to be changed.
    pub(crate) fn has_changes(&self) -> bool {
        !self.drafts.is_empty() || !self.gone.is_empty()
    }
}

/// Puts all files of all folders into their places. For each folder, what is there now.
pub(crate) fn publish(folders: Vec<Folder>) -> Result<Vec<BTreeMap<String, Made>>, Error> {
    let mut drafts: BTreeMap<Rank, Vec<(usize, Draft)>> = BTreeMap::new();
    let mut there = Vec::new();
    let mut places = Vec::new();
    for (number, folder) in folders.into_iter().enumerate() {
        let place = folder.place;
        for name in &folder.gone {
            let removed = place.remove(name);
            removed.map_err(|source| write_error(&place.path(name), source))?;
        }
        let is_touched = !folder.drafts.is_empty() || !folder.gone.is_empty();
        // What was not asked for this time is still what was made.
        let mut same = folder.same;
        for (name, made) in folder.before {
            if place.stat(&name) == Some(made.stat) {
                same.entry(name).or_insert(made);
            }
        }
        for draft in folder.drafts {
            drafts.entry(draft.rank).or_default().push((number, draft));
        }
        there.push(same);
        places.push((place, is_touched));
    }
    for (_, mut drafts) in drafts {
        drafts.sort_by(|(one, left), (other, right)| (one, &left.name).cmp(&(other, &right.name)));
        let mut placed = Vec::new();
        for (number, draft) in drafts {
            if let Some((place, _)) = places.get(number) {
                placed.push((number, draft.name.clone(), draft.key));
                put(place, draft)?;
            }
        }
        for (place, _) in &places {
            if let Place::Bucket(objects) = place {
                objects.settle()?;
            }
        }
        for (number, name, key) in placed {
            let stat = places.get(number).and_then(|(place, _)| place.stat(&name));
            if let (Some(stat), Some(there)) = (stat, there.get_mut(number)) {
                there.insert(name, Made { stat, key });
            }
        }
    }
    for (place, is_touched) in places {
        if let Place::Folder(path) = place
            && is_touched
        {
            let synced = fs_err::File::open(&path).and_then(|folder| folder.sync_all());
            synced.map_err(|source| write_error(&path, source))?;
        }
    }
    Ok(there)
}

fn put(place: &Place, draft: Draft) -> Result<(), Error> {
    let path = place.path(&draft.name);
    let failed = |source| write_error(&path, source);
    match (draft.body, place) {
        (Body::Beside(file), _) => {
            let placed = file.persist(&path);
            placed.map(drop).map_err(|error| failed(error.error))
        }
        (Body::Unnamed(mut file), Place::Bucket(objects)) => {
            let mut bytes = Vec::new();
            file.rewind()
                .and_then(|()| file.read_to_end(&mut bytes))
                .map_err(failed)?;
            objects.replace(&draft.name, bytes)
        }
        (Body::Unnamed(_), Place::Folder(_)) => unreachable!("drafts of folders have names"),
    }
}

/// Whether the files that were made are still there as they were.
pub(crate) fn is_there(place: &Place, made: &BTreeMap<String, Made>) -> bool {
    made.iter()
        .all(|(name, made)| place.stat(name) == Some(made.stat))
}

/// Removes what killed runs left, of the names that lie in a place. In a bucket nothing is half there.
pub(crate) fn sweep(place: &Place, names: &[String]) -> Result<(), Error> {
    if matches!(place, Place::Bucket(_)) {
        return Ok(());
    }
    for name in names.iter().filter(|name| name.starts_with(DRAFT)) {
        let removed = place.remove(name);
        removed.map_err(|source| write_error(&place.path(name), source))?;
    }
    Ok(())
}

/// Where what a user asked for is written.
pub(crate) enum Target {
    /// A file, which is replaced. Links are followed: they stay.
    File(PathBuf),
    /// A pipe or a device. It is written to: others have it, too.
    Stream(File),
}

impl Target {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        match fs_err::metadata(path) {
            Ok(there) if there.is_file() => fs_err::canonicalize(path).map(Self::File),
            Ok(there) if there.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(_) => {
                let file = fs_err::OpenOptions::new().write(true).open(path)?;
                Ok(Self::Stream(file.into_file()))
            }
            Err(_) => Ok(Self::File(path.to_owned())),
        }
    }
}

/// Writes a small file for a user: whole, or what was there stays. A device is written to, and a link stays one.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match Target::of(path)? {
        Target::Stream(mut file) => file.write_all(bytes),
        Target::File(path) => {
            let draft = draft(folder_of(&path), bytes, true)?;
            draft.persist(path).map(drop).map_err(|error| error.error)
        }
    }
}

/// The folder that a file lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// A file beside the place that it will have.
pub(crate) fn draft(folder: &Path, bytes: &[u8], sync: bool) -> io::Result<NamedTempFile> {
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
