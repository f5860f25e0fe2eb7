//! A file that was found, and what tells its state. It is opened when somebody reads it: who asks whether it changed needs
//! its state alone.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Folder;

/// A file below a folder.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) stat: Stat,
    folder: Folder,
    path: String,
    opened: OnceLock<File>,
}

/// What tells one state of a file from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Stat {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    /// Since 1970: seconds, and nanoseconds of the second.
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: i64,
}

impl Entry {
    /// A file that is open already.
    pub(super) fn opened(folder: Folder, path: String, file: File, stat: Stat) -> Self {
        Self {
            opened: OnceLock::from(file),
            ..Self::seen(folder, path, stat)
        }
    }

    /// A file that was below the folder under this name when it was opened last, and is in the same state.
    pub(super) fn seen(folder: Folder, path: String, stat: Stat) -> Self {
        Self {
            stat,
            folder,
            path,
            opened: OnceLock::new(),
        }
    }

    /// The file, in the state that was found.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if it is another one meanwhile.
    pub(crate) fn file(&self) -> io::Result<&File> {
        if let Some(file) = self.opened.get() {
            return Ok(file);
        }
        let opened = self.folder.open(&self.path)?;
        let metadata = opened.as_ref().map(File::metadata).transpose()?;
        match (opened, metadata) {
            (Some(file), Some(metadata)) if Stat::of(&metadata) == self.stat => {
                Ok(self.opened.get_or_init(|| file))
            }
            _ => Err(io::ErrorKind::ResourceBusy.into()),
        }
    }

    /// Whether the file is still what it was when it was found.
    pub(crate) fn is_same(&self) -> io::Result<bool> {
        Ok(Stat::of(&self.file()?.metadata()?) == self.stat)
    }
}

impl Stat {
    pub(crate) fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
        }
    }

    /// When the content changed last; never before 1970.
    pub(crate) fn modified(&self) -> SystemTime {
        let seconds = u64::try_from(self.seconds).unwrap_or(0);
        let nanoseconds = u32::try_from(self.nanoseconds).unwrap_or(0);
        UNIX_EPOCH + Duration::new(seconds, nanoseconds)
    }

    /// Whether the file may be changed again without that its time tells: clocks of file systems tick
    /// every few milliseconds, some every second.
    pub(crate) fn is_settling(&self, now: SystemTime) -> bool {
        let tick = if self.nanoseconds == 0 { 1100 } else { 50 };
        let modified = self.modified();
        let apart = now
            .duration_since(modified)
            .or_else(|_| modified.duration_since(now));
        apart.unwrap_or_default() < Duration::from_millis(tick)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_just_written_is_settling() {
        let stat = |seconds, nanoseconds| Stat {
            device: 1,
            inode: 1,
            size: 1,
            seconds,
            nanoseconds,
        };
        let now = UNIX_EPOCH + Duration::new(1000, 500_000_000);
        assert!(stat(1000, 490_000_000).is_settling(now));
        assert!(!stat(1000, 400_000_000).is_settling(now));
        assert!(stat(1000, 0).is_settling(now), "a clock of whole seconds");
        assert!(!stat(999, 0).is_settling(now));
        assert!(stat(1000, 510_000_000).is_settling(now));
    }
}
