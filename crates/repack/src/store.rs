//! Downloads of all runs under their sha256, `DIR/repack/sha256/ab/ab12…`. What comes in is checked,
//! and checked again when it is used: an entry that was damaged since is removed.

use std::io;
use std::path::{Path, PathBuf};

use archive::digest::{HashingReader, Sha256};
use conda::hex;
use fs_err as fs;

use crate::{Error, error};

/// A folder of downloads. Any number of processes may use one at the same time.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    root: PathBuf,
}

impl Store {
    /// A store below the cache folder.
    pub(crate) fn new(cache_dir: &Path) -> Store {
        Store {
            root: cache_dir.join("repack/sha256"),
        }
    }

    /// The file with this digest (hexadecimal), where the store has it whole.
    pub(crate) fn find(&self, sha256: &str) -> Result<Option<PathBuf>, Error> {
        let path = self.place(sha256);
        if !path.is_file() {
            return Ok(None);
        }
        if digest(&path)? == sha256 {
            return Ok(Some(path));
        }
        fs::remove_file(&path).map_err(error::file("remove", &path))?;
        Ok(None)
    }

    /// Copies a file that must have this digest into the store, and returns where it lies there.
    pub(crate) fn admit(&self, file: &Path, sha256: &str) -> Result<PathBuf, Error> {
        let place = self.place(sha256);
        let folder = place.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(error::file("make", folder))?;
        let copied = tempfile::NamedTempFile::new_in(folder).and_then(|mut scratch| {
            let mut source = HashingReader::new(fs::File::open(file)?);
            io::copy(&mut source, &mut scratch)?;
            Ok((scratch, source.finish().1))
        });
        let (scratch, actual) = copied.map_err(error::file("copy", file))?;
        let actual = hex::encode(&actual.0);
        if actual != sha256 {
            return Err(Error::Digest {
                path: file.to_owned(),
                expected: sha256.to_owned(),
                actual,
            });
        }
        scratch
            .persist(&place)
            .map_err(|error| error.error)
            .map_err(error::file("write", &place))?;
        Ok(place)
    }

    fn place(&self, sha256: &str) -> PathBuf {
        let start = sha256.get(..2).unwrap_or_default();
        self.root.join(start).join(sha256)
    }
}

/// The sha256 of a file in hexadecimal digits.
pub(crate) fn digest(path: &Path) -> Result<String, Error> {
    let read = fs::File::open(path).and_then(Sha256::of_reader);
    let sha256 = read.map_err(error::file("read", path))?;
    Ok(hex::encode(&sha256.0))
}
