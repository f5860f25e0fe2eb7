//! The folder that an installation works in, and the lock on it that keeps a second one out. The
//! lock ends with the process, however that ends; a folder without one was left behind.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, Stat, flock, fstat, openat, statat};
use rustix::io::Errno;

use crate::error::Error;

/// The file that tells a folder of ours from one that only has its name: the first thing in it,
/// and the last that goes.
pub(crate) const MARKER: &str = ".archiconda-installer";

const MARKER_TEXT: &str = "An installation is under way here, or was interrupted. \
    The next run of the installer removes this folder.\n";

/// How often a folder may vanish between two looks at it.
const ATTEMPTS: usize = 100;

/// A folder that belongs to this process until it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    pub(crate) folder: PathBuf,
    _descriptor: OwnedFd,
}

impl Lock {
    /// Takes the folder, which is made if it is not there. `prefix` is named if another
    /// installation has it.
    pub(crate) fn create(folder: &Path, prefix: &Path) -> Result<Lock, Error> {
        for _ in 0..ATTEMPTS {
            match DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::Write {
                        path: folder.to_owned(),
                        source: error,
                    });
                }
                _ => {}
            }
            if let Some(lock) = Lock::existing(folder, prefix)? {
                let marker = folder.join(MARKER);
                return match fs::write(&marker, MARKER_TEXT) {
                    Ok(()) => Ok(lock),
                    Err(source) => {
                        // Empty but for the marker, or not ours to remove.
                        let _ = fs::remove_file(&marker);
                        let _ = fs::remove_dir(folder);
                        Err(Error::Write {
                            path: folder.to_owned(),
                            source,
                        })
                    }
                };
            }
        }
        Err(Error::Locked {
            prefix: prefix.to_owned(),
        })
    }

    /// Takes the folder, if it is there.
    pub(crate) fn existing(folder: &Path, prefix: &Path) -> Result<Option<Lock>, Error> {
        let read = |error: Errno| Error::Read {
            path: folder.to_owned(),
            source: error.into(),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = match openat(CWD, folder, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(None),
            result => result.map_err(read)?,
        };
        let opened = fstat(&descriptor).map_err(read)?;
        if opened.st_uid != rustix::process::geteuid().as_raw() {
            return Err(Error::Foreign {
                path: folder.to_owned(),
            });
        }
        match flock(&descriptor, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                return Err(Error::Locked {
                    prefix: prefix.to_owned(),
                });
            }
            // A file system without locks: two installations at once are not noticed there.
            Err(Errno::NOSYS | Errno::NOTSUP | Errno::NOLCK | Errno::BADF) | Ok(()) => {}
            Err(error) => return Err(read(error)),
        }
        // The one who had it may have removed the folder meanwhile.
        match statat(CWD, folder, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if same(&found, &opened) => {
                if !folder.join(MARKER).exists() && !is_empty(folder)? {
                    return Err(Error::InTheWay {
                        path: folder.to_owned(),
                    });
                }
                Ok(Some(Lock {
                    folder: folder.to_owned(),
                    _descriptor: descriptor,
                }))
            }
            Ok(_) | Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(read(error)),
        }
    }
}

fn is_empty(folder: &Path) -> Result<bool, Error> {
    let mut entries = fs::read_dir(folder).map_err(|source| Error::Read {
        path: folder.to_owned(),
        source,
    })?;
    Ok(entries.next().is_none())
}

fn same(a: &Stat, b: &Stat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}
