//! Whether files that an interrupted installation put into its prefix have been somebody's since: what is written down
//! in its folder as long as it is at work there, and what is newer than that.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use super::journal::is_ours;
use super::remove::remove;
use crate::error::Error;

/// Written anew again and again while files of an installation are at its prefix.
const ALIVE: &str = "alive";

/// How often, in seconds.
pub(crate) const INTERVAL: u64 = 1;

/// What a program that outlives the installation may need to notice it, in seconds.
const TOLERANCE: i64 = 10;

/// Notes that the installation whose folder this is is at work in its prefix.
pub(crate) fn note(folder: &Path) -> Result<(), Error> {
    let path = folder.join(ALIVE);
    fs::write(&path, "").map_err(|source| Error::Write { path, source })
}

/// Takes the note back: what happens in the prefix from here on, half of which would be of no use, is the installation's.
pub(super) fn take_back(folder: &Path) -> Result<(), Error> {
    remove(&folder.join(ALIVE))
}

/// Whether anything in the prefix may have been made or changed after the installation ended. Without a note, nothing of
/// the prefix is the installation's.
pub(super) fn is_used_since(prefix: &Path, folder: &Path) -> Result<bool, Error> {
    let path = folder.join(ALIVE);
    let last = match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        result => result.map_err(|source| Error::Read { path, source })?,
    };
    // A clock that was set back tells nothing.
    let is_behind = last.modified().is_ok_and(|noted| noted > SystemTime::now());
    Ok(is_behind || is_newer(prefix, last.mtime().saturating_add(TOLERANCE))?)
}

/// The kernel sets the time of a change, and no program can.
fn is_newer(folder: &Path, last: i64) -> Result<bool, Error> {
    let read = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        if is_ours(&entry.file_name()) {
            continue;
        }
        let data = entry.metadata().map_err(read)?;
        if data.ctime() > last || data.is_dir() && is_newer(&entry.path(), last)? {
            return Ok(true);
        }
    }
    Ok(false)
}
