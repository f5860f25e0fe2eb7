//! Where an installation is prepared and how it gets to its prefix: beside a new prefix and then
//! renamed ([`fresh`]), or inside an existing one and then moved in piece by piece ([`journal`]).
//! Either way it can be undone until it is committed, by this process or by the next one.

pub(crate) mod alive;
mod fresh;
mod journal;
mod remove;

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

pub(crate) use fresh::Fresh;
pub(crate) use journal::Existing;

/// The folder below a place's scratch folder that becomes, or goes into, the prefix.
const NEW: &str = "new";

/// The file in a scratch folder that tells the next process what to undo.
const STATE: &str = "state";

/// What becomes of that file, or of its like, when there is nothing to undo any more.
const DONE: &str = "done";

/// A prefix in the making.
pub(crate) trait Place {
    /// The folder to fill.
    fn root(&self) -> &Path;

    /// A folder for scripts and lists; removed in the end.
    fn scratch(&self) -> &Path;

    /// Makes the prefix exist while `pre_install` runs.
    fn open_to_script(&self) -> Result<(), Error>;

    /// The opposite of [`Place::open_to_script`]; what the script put there stays.
    fn close_to_script(&self) -> Result<(), Error>;

    /// Puts what was prepared into the prefix, and takes `replaced` (relative paths) out of it.
    fn publish(&self, replaced: &[String]) -> Result<(), Error>;

    /// Ends the installation: from here on nothing is undone.
    fn commit(&self) -> Result<(), Error>;

    /// Puts everything back as it was before.
    fn undo(&self) -> Result<(), Error>;
}

/// What lies at a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrefixState {
    /// Nothing.
    Absent,
    /// A directory with nothing in it; `lost+found`, as in a new file system, does not count.
    Empty,
    /// Something else.
    Occupied,
}

/// Looks at a prefix. Call [`recover`] before, so that what an interrupted installation left does
/// not count.
pub fn prefix_state(prefix: &Path) -> Result<PrefixState, Error> {
    let read = |source| Error::Read {
        path: prefix.to_owned(),
        source,
    };
    match fs::symlink_metadata(prefix) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(PrefixState::Absent),
        result => result.map_err(read)?,
    };
    if !prefix.is_dir() {
        return Ok(PrefixState::Occupied);
    }
    for entry in fs::read_dir(prefix).map_err(read)? {
        if entry.map_err(read)?.file_name() != "lost+found" {
            return Ok(PrefixState::Occupied);
        }
    }
    Ok(PrefixState::Empty)
}

/// What became of what an interrupted installation left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recovery {
    /// There was none.
    Nothing,
    /// It was undone.
    Undone,
    /// Files in the prefix were made or changed since, so it stays as it is.
    Kept,
}

/// Undoes what an interrupted installation into `prefix` left, unless somebody has used the prefix since.
/// Fails if an installation into it is under way.
pub fn recover(prefix: &Path) -> Result<Recovery, Error> {
    let beside = fresh::recover(prefix)?;
    let inside = journal::recover(prefix)?;
    Ok(beside.max(inside))
}

/// Writes a note that is whole or not there, even if the machine stops.
fn write_note(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let cannot = |source| Error::Write {
        path: path.to_owned(),
        source,
    };
    let unfinished = path.with_extension("unfinished");
    let write = || {
        let mut file = fs::File::create(&unfinished)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        path.parent()
            .map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    };
    write().map_err(cannot)
}

fn read_note<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read {
            path: path.to_owned(),
            source,
        }),
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|_| Error::Journal {
                path: path.to_owned(),
            }),
    }
}

/// Ends an installation whose `note` says what to undo, and removes its folder.
fn complete(folder: &Path, note: &str) -> Result<(), Error> {
    rename(&folder.join(note), &folder.join(DONE))?;
    remove::remove_workshop(folder)
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(|source| Error::Move {
        from: from.to_owned(),
        to: to.to_owned(),
        source,
    })
}

fn exists(path: &Path) -> Result<bool, Error> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        // A parent that is a file now: nothing can be at this path.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        Err(source) => Err(Error::Read {
            path: path.to_owned(),
            source,
        }),
    }
}
