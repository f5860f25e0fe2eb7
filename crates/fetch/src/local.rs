//! Packages that lie on this machine: copied into the store, so that a channel's folder may change
//! afterwards, and verified like any other.

use std::io::Write as _;
use std::path::Path;

use crate::digest::{Hasher, pump};
use crate::packages::{Package, Wanted};
use crate::store::{Store, cache_error};
use crate::{Error, packages};

/// Copies the archive at `path` into `store`. Blocks for as long as that takes.
pub(crate) fn copy(store: &Store, path: &Path, wanted: &Wanted) -> Result<Package, Error> {
    let unreadable = |source| Error::PackageFile {
        path: path.to_owned(),
        source,
    };
    let mut source = fs_err::File::open(path).map_err(unreadable)?;
    let size = source.metadata().map_err(unreadable)?;
    if !size.is_file() {
        return Err(unreadable(std::io::Error::other("it is no file")));
    }
    if let Some(expected) = wanted.size
        && expected != size.len()
    {
        return Err(packages::wrong_size(wanted, expected, size.len()));
    }
    let mut scratch = store.scratch()?;
    let mut hasher = Hasher::default();
    let mut written = Ok(());
    pump(&mut source, &mut hasher, &mut |piece, _| {
        // Reading and writing fail on different sides; each names its own.
        if written.is_ok() {
            written = scratch.write_all(piece);
        }
        written
            .is_ok()
            .then_some(())
            .ok_or_else(|| std::io::Error::other("the copy failed"))
    })
    .or_else(|error| {
        if written.is_ok() {
            Err(unreadable(error))
        } else {
            Ok(())
        }
    })?;
    written
        .and_then(|()| scratch.as_file().sync_all())
        .map_err(cache_error(scratch.path()))?;
    store.admit_file(scratch, hasher.finish(), wanted)
}
