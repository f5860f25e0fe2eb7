//! A prefix that does not exist yet: prepared in the hidden folder `.NAME.installing` beside it,
//! then renamed. Until the commit that folder says which directory is ours, by its inode, so that
//! the next process can remove it even if it is at its final place already.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use archive::digest::Sha256;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::remove::{remove, remove_workshop};
use super::{
    DONE, NEW, Place, Recovery, STATE, alive, complete, exists, read_note, rename, write_note,
};
use crate::error::Error;
use crate::lock::Lock;

/// The longest name in bytes that may become part of another one: file systems take 255.
const LONGEST_NAME: usize = 240;

/// What was at the prefix, on its way to nothing.
const UNDONE: &str = "undone";

/// A new prefix in the making.
#[derive(Debug)]
pub(crate) struct Fresh {
    prefix: PathBuf,
    lock: Lock,
    root: PathBuf,
    ours: Ours,
    /// The folders above the prefix that were made for it, innermost first.
    parents: Vec<PathBuf>,
}

/// The directory that is, or will be, the prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Ours {
    device: u64,
    inode: u64,
}

impl Fresh {
    /// Begins a prefix at a path where nothing is.
    pub(crate) fn begin(prefix: &Path) -> Result<Fresh, Error> {
        let parents = make_parents(prefix)?;
        let begin = || {
            let lock = Lock::create(&scratch(prefix)?, prefix)?;
            let root = lock.folder.join(NEW);
            if exists(&root)? {
                // Left by another process after our recovery: rather too careful than sorry.
                return Err(Error::Locked {
                    prefix: prefix.to_owned(),
                });
            }
            let cannot = |source| Error::Write {
                path: prefix.to_owned(),
                source,
            };
            let made = fs::create_dir(&root)
                .map_err(cannot)
                .and_then(|()| identity(&root));
            let ours = made.and_then(|ours| {
                write_note(&lock.folder.join(STATE), &ours)?;
                Ok(ours)
            });
            match ours {
                Ok(ours) => Ok((lock, root, ours)),
                Err(error) => {
                    remove_workshop(&lock.folder)?;
                    Err(error)
                }
            }
        };
        match begin() {
            Ok((lock, root, ours)) => Ok(Fresh {
                prefix: prefix.to_owned(),
                lock,
                root,
                ours,
                parents,
            }),
            Err(error) => {
                remove_parents(&parents);
                Err(error)
            }
        }
    }

    fn move_out(&self) -> Result<(), Error> {
        let cannot = |source: io::Error| Error::Move {
            from: self.root.clone(),
            to: self.prefix.clone(),
            source,
        };
        match renameat_with(CWD, &self.root, CWD, &self.prefix, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST | Errno::NOTEMPTY) => Err(Error::PrefixExists {
                path: self.prefix.clone(),
            }),
            // File systems and kernels (before 3.15) that cannot refuse to replace.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                if exists(&self.prefix)? {
                    return Err(Error::PrefixExists {
                        path: self.prefix.clone(),
                    });
                }
                fs::rename(&self.root, &self.prefix).map_err(cannot)
            }
            result => result.map_err(|error| cannot(error.into())),
        }
    }
}

impl Place for Fresh {
    fn root(&self) -> &Path {
        &self.root
    }

    fn scratch(&self) -> &Path {
        &self.lock.folder
    }

    fn open_to_script(&self) -> Result<(), Error> {
        alive::note(&self.lock.folder)?;
        self.move_out()
    }

    fn close_to_script(&self) -> Result<(), Error> {
        rename(&self.prefix, &self.root)
    }

    fn publish(&self, _replaced: &[String]) -> Result<(), Error> {
        alive::note(&self.lock.folder)?;
        self.move_out()
    }

    fn commit(&self) -> Result<(), Error> {
        complete(&self.lock.folder, STATE)
    }

    fn undo(&self) -> Result<(), Error> {
        undo(&self.prefix, &self.lock.folder, &self.ours)?;
        remove_parents(&self.parents);
        Ok(())
    }
}

/// Removes what a killed process left of a new prefix.
pub(super) fn recover(prefix: &Path) -> Result<Recovery, Error> {
    let Ok(folder) = scratch(prefix) else {
        return Ok(Recovery::Nothing);
    };
    let Some(lock) = Lock::existing(&folder, prefix)? else {
        return Ok(Recovery::Nothing);
    };
    let folder = &lock.folder;
    let Some(ours) = read_note::<Ours>(&folder.join(STATE))? else {
        // It had hardly begun, or all was done but this.
        let is_done = exists(&folder.join(DONE))?;
        remove_workshop(folder)?;
        return Ok(if is_done {
            Recovery::Nothing
        } else {
            Recovery::Undone
        });
    };
    if is_at(prefix, &ours)? && alive::is_used_since(prefix, folder)? {
        complete(folder, STATE)?;
        return Ok(Recovery::Kept);
    }
    undo(prefix, folder, &ours)?;
    Ok(Recovery::Undone)
}

fn undo(prefix: &Path, folder: &Path, ours: &Ours) -> Result<(), Error> {
    // Whoever put another directory there meanwhile keeps it.
    if is_at(prefix, ours)? {
        rename(prefix, &folder.join(UNDONE))?;
    }
    // From here on another directory may have the number of ours.
    remove(&folder.join(STATE))?;
    remove_workshop(folder)
}

fn is_at(prefix: &Path, ours: &Ours) -> Result<bool, Error> {
    Ok(exists(prefix)? && identity(prefix)? == *ours)
}

/// `.NAME.installing` beside the prefix; of a name that is too long for that, its digest.
fn scratch(prefix: &Path) -> Result<PathBuf, Error> {
    let name = prefix.file_name().ok_or_else(|| Error::Prefix {
        path: prefix.to_owned(),
    })?;
    let digest = Sha256::of(name.as_encoded_bytes()).to_string();
    let mut folder = OsString::from(".");
    folder.push(if name.len() > LONGEST_NAME {
        OsStr::new(&digest)
    } else {
        name
    });
    folder.push(".installing");
    Ok(prefix.with_file_name(folder))
}

fn identity(path: &Path) -> Result<Ours, Error> {
    let data = fs::symlink_metadata(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(Ours {
        device: data.dev(),
        inode: data.ino(),
    })
}

/// Makes the folders above the prefix and returns those that were not there, innermost first.
fn make_parents(prefix: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut missing: Vec<&Path> = Vec::new();
    for parent in prefix.ancestors().skip(1) {
        if parent.exists() {
            break;
        }
        missing.push(parent);
    }
    let mut made: Vec<PathBuf> = Vec::new();
    for parent in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o777).create(parent) {
            Ok(()) => made.insert(0, parent.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => {
                remove_parents(&made);
                return Err(Error::Write {
                    path: parent.to_owned(),
                    source,
                });
            }
        }
    }
    Ok(made)
}

/// Removes the folders that are empty again; somebody else may use one by now.
fn remove_parents(parents: &[PathBuf]) {
    for parent in parents {
        let _ = fs::remove_dir(parent);
    }
}
