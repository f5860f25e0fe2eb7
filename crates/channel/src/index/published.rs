//! When packages came into the index, as an earlier run published it (CEP 47): it must not be lost with
//! the cache.

use std::collections::HashMap;

use archive::digest::Sha256;

use crate::import;
use crate::place::Place;
use crate::scanned::Scanned;

/// The times of one platform's packages.
#[derive(Debug)]
pub(super) struct Published(HashMap<String, (Sha256, Option<i64>)>);

/// Reads the repodata in a folder, if there is any that can be read.
pub(super) fn load(folder: &Place, subdir: &str) -> Option<Published> {
    let copy = tempfile::tempdir().ok()?;
    let path = match folder {
        Place::Folder(path) => path,
        Place::Bucket(_) => {
            for name in import::REPODATA {
                if let Ok(Some(text)) = folder.read(name) {
                    fs_err::write(copy.path().join(name), text).ok()?;
                    break;
                }
            }
            copy.path()
        }
    };
    let source = import::Source::published(path, subdir)?;
    let mut found = HashMap::new();
    let read = import::read::<import::Error>(&source, "", &mut |packages| {
        for foreign in packages {
            let scanned = foreign.scanned;
            found.insert(scanned.file, (scanned.sha256, foreign.indexed_ms));
        }
        Ok(())
    });
    read.ok().map(|()| Published(found))
}

impl Published {
    /// In milliseconds since 1970. A package that was published without a time is at least as old as its
    /// file.
    pub(super) fn indexed_ms(&self, package: &Scanned) -> Option<i64> {
        let (sha256, indexed_ms) = self.0.get(&package.file)?;
        let is_same = *sha256 == package.sha256;
        is_same.then(|| indexed_ms.unwrap_or(package.mtime_ns / 1_000_000))
    }
}
