//! Files of ours appear by rename, whole or not at all.

use std::io::Write;
use std::path::Path;

use fs_err as fs;
use tempfile::{Builder, NamedTempFile};

use crate::Error;
use crate::cache::persist;

/// A temporary file beside `path`, so that it can be renamed to it.
pub(crate) fn beside(path: &Path) -> Result<NamedTempFile, Error> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)
        .and_then(|()| {
            Builder::new()
                .prefix(".")
                .suffix(".tmp")
                .tempfile_in(folder)
        })
        .map_err(|source| Error::Write {
            path: folder.to_owned(),
            source,
        })
}

/// Writes a small file.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = beside(path)?;
    file.write_all(bytes).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })?;
    persist(file, path, 0o644)
}
