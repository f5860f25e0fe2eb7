//! The cache's file without the file system's own locks, which not every network file system has: the
//! channel's lock sees to it that one process at a time comes here.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use fs_err::{File, OpenOptions};
use redb::{Builder, Database, ReadOnlyDatabase, StorageBackend};

/// Opens a store that is whole, to read it.
pub(super) fn read(path: &Path, pages: usize) -> Result<ReadOnlyDatabase, redb::Error> {
    let file = File::open(path)?;
    let opened = std::panic::catch_unwind(|| {
        Builder::new()
            .set_cache_size(pages)
            .open_read_only_with_backend(Backend { file })
    });
    match opened {
        Ok(opened) => Ok(opened?),
        Err(_) => Err(redb::Error::Corrupted("unreadable".to_owned())),
    }
}

/// Opens a store, repairs it after a crash, or makes a new one.
pub(super) fn write(path: &Path, pages: usize, fresh: bool) -> Result<Database, redb::Error> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(fresh)
        .truncate(fresh)
        .open(path)?;
    let store = Builder::new()
        .set_cache_size(pages)
        .create_with_backend(Backend { file })?;
    Ok(store)
}

#[derive(Debug)]
struct Backend {
    file: File,
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.file().read_exact_at(out, offset)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.file().write_all_at(data, offset)
    }
}
