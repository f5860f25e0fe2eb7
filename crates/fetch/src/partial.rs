//! A download that has not ended: a file that grows, with the digests of what it holds. It stays
//! where a run is interrupted, and the next run goes on from there. A lock on the file keeps two
//! processes from writing into one.

use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;
use rustix::fs::{FlockOperation, flock};

use crate::Error;
use crate::digest::{Digests, Hasher, pump};
use crate::store::cache_error;

/// How often a file that another process holds is tried.
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// An open, locked partial file, positioned at its end.
pub(crate) struct Partial {
    file: fs::File,
    path: PathBuf,
    hasher: Hasher,
    validator: Option<String>,
}

impl Partial {
    /// Opens what an earlier run has left at `path`, or begins. Waits for a process that is
    /// writing it.
    pub(crate) async fn open(path: PathBuf) -> Result<Self, Error> {
        let file = loop {
            let file = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(cache_error(&path))?;
            match flock(file.file(), FlockOperation::NonBlockingLockExclusive) {
                // The file may have been completed and moved away while we waited.
                Ok(()) if is_at(&file, &path) => break file,
                Ok(()) => continue,
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(cache_error(&path)(error.into())),
            }
            drop(file);
            tokio::time::sleep(LOCK_PAUSE).await;
        };
        let validator = fs::read_to_string(validator_path(&path))
            .ok()
            .filter(|text| text.len() <= 200 && !text.is_empty());
        let mut partial = Self {
            file,
            path,
            hasher: Hasher::default(),
            validator,
        };
        partial.read()?;
        Ok(partial)
    }

    /// How many bytes it holds.
    pub(crate) fn position(&self) -> u64 {
        self.hasher.size()
    }

    /// What the server calls the version that the bytes are from (`ETag` or `Last-Modified`).
    pub(crate) fn validator(&self) -> Option<&str> {
        self.validator.as_deref()
    }

    /// Notes the version that further bytes are from.
    pub(crate) fn set_validator(&mut self, validator: Option<&str>) {
        self.validator = validator.map(str::to_owned);
        let path = validator_path(&self.path);
        // Without it, a resumed download is checked by its digest alone.
        let _ = match validator {
            Some(validator) => fs::write(path, validator),
            None => fs::remove_file(path),
        };
    }

    /// Adds bytes at the end.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file
            .write_all(bytes)
            .map_err(cache_error(&self.path))?;
        self.hasher.update(bytes);
        Ok(())
    }

    /// Begins again with nothing.
    pub(crate) fn restart(&mut self) -> Result<(), Error> {
        self.set_validator(None);
        self.hasher = Hasher::default();
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .map_err(cache_error(&self.path))
    }

    /// Leaves nothing behind.
    pub(crate) fn discard(mut self) {
        self.set_validator(None);
        // A failure leaves an unfinished file, which is what it was before.
        let _ = fs::remove_file(&self.path);
    }

    /// The digests of all bytes, which are on the disk afterwards.
    pub(crate) fn complete(&mut self) -> Result<Digests, Error> {
        self.file.sync_all().map_err(cache_error(&self.path))?;
        Ok(self.hasher.clone().finish())
    }

    /// Where it lies. Whoever moves it away keeps `self` until then: it is the lock.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The digests of what an earlier run has left.
    fn read(&mut self) -> Result<(), Error> {
        let Self { file, hasher, .. } = self;
        pump(file, hasher, &mut |_, _| Ok(())).map_err(cache_error(&self.path))
    }
}

fn validator_path(path: &Path) -> PathBuf {
    path.with_extension("version")
}

/// Whether the open file is still the one with this name.
fn is_at(file: &fs::File, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (file.metadata(), fs::metadata(path)) else {
        return false;
    };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

/// Whether the disk is full: then what was written so far is not worth its place.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
