//! Removes whole folders, also those whose owner may not write into them.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::DONE;
use crate::error::Error;
use crate::lock::MARKER;

/// Removes the folder of an installation; its marker last, and that all is done, so that a part of it is still known as
/// ours if this is interrupted, and as what it is.
pub(super) fn remove_workshop(folder: &Path) -> Result<(), Error> {
    let read = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        let name = entry.file_name();
        if name != MARKER && name != DONE {
            remove(&entry.path())?;
        }
    }
    remove(folder)
}

/// Removes a file, link or folder with everything in it; nothing there is fine.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    let attempt = || match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    let result = match attempt() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path);
            attempt()
        }
        result => result,
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(|source| Error::Remove {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Makes folders writable for their owner. What fails here fails again, with a reason, when they
/// are removed.
fn open_up(path: &Path) {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|data| data.is_dir());
    if is_folder && fs::set_permissions(path, Permissions::from_mode(0o700)).is_ok() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            open_up(&entry.path());
        }
    }
}
