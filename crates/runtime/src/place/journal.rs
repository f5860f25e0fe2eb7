//! An existing prefix: what is new is prepared in `.installing` inside it (the same file system),
//! and moved in piece by piece. Which pieces is written down before the first one is moved; what
//! they replace is kept until the commit. So everything can be moved back, by this process or the
//! next one, from any point.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::remove::{remove, remove_workshop};
use super::{DONE, NEW, Place, Recovery, alive, complete, exists, read_note, rename, write_note};
use crate::error::Error;
use crate::lock::Lock;
use crate::path::{self, WORKSHOP};

/// Where replaced files are kept.
const OLD: &str = "old";

/// The list of moves.
const JOURNAL: &str = "journal";

/// Files of the file system itself, which are never ours.
const LOST_AND_FOUND: &str = "lost+found";

/// An installation into an existing prefix.
#[derive(Debug)]
pub(crate) struct Existing {
    prefix: PathBuf,
    lock: Lock,
    root: PathBuf,
    /// Whether the prefix was an empty directory. Then it is one again after an undo by this
    /// process, whatever scripts put into it; for the next process, after any time, it might be
    /// the user's.
    empty: bool,
    /// The file system that it is on.
    device: u64,
}

/// One move; the path is relative to the prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Step {
    /// From the new files into the prefix, where nothing is.
    Add(String),
    /// From the prefix to the old files; then from the new files into the prefix.
    Replace(String),
    /// From the prefix to the old files.
    Remove(String),
}

impl Existing {
    /// Begins an installation into a directory.
    pub(crate) fn begin(prefix: &Path, empty: bool) -> Result<Existing, Error> {
        let lock = Lock::create(&prefix.join(WORKSHOP), prefix)?;
        let root = lock.folder.join(NEW);
        let data = fs::metadata(prefix).map_err(|source| Error::Read {
            path: prefix.to_owned(),
            source,
        })?;
        if exists(&root)? {
            return Err(Error::Locked {
                prefix: prefix.to_owned(),
            });
        }
        if let Err(source) = fs::create_dir(&root) {
            remove_workshop(&lock.folder)?;
            return Err(Error::Write {
                path: prefix.to_owned(),
                source,
            });
        }
        Ok(Existing {
            prefix: prefix.to_owned(),
            lock,
            root,
            empty,
            device: data.dev(),
        })
    }

    fn empty_prefix(&self) -> Result<(), Error> {
        let read = |source| Error::Read {
            path: self.prefix.clone(),
            source,
        };
        for entry in fs::read_dir(&self.prefix).map_err(read)? {
            let name = entry.map_err(read)?.file_name();
            if !is_ours(&name) {
                remove(&self.prefix.join(name))?;
            }
        }
        Ok(())
    }

    /// Whether a link leads to a folder elsewhere than in the prefix, or did before that was taken away. Those of packages
    /// never do.
    fn leads_out(&self, link: &Path) -> bool {
        let is_outside = |target: &Path, prefix: &Path| !target.starts_with(prefix);
        match (fs::canonicalize(link), fs::canonicalize(&self.prefix)) {
            (Ok(target), Ok(prefix)) => target.is_dir() && is_outside(&target, &prefix),
            // A disk that is not there just now.
            _ => fs::read_link(link).is_ok_and(|target| {
                let from = link.parent().unwrap_or(&self.prefix);
                is_outside(&plain(&from.join(target)), &plain(&self.prefix))
            }),
        }
    }

    /// Whether a folder has nothing but folders, and files that are taken away.
    fn is_replaced(&self, folder: &str, replaced: &HashSet<&str>) -> Result<bool, Error> {
        let path = self.prefix.join(folder);
        let read = |source| Error::Read {
            path: path.clone(),
            source,
        };
        for entry in fs::read_dir(&path).map_err(read)? {
            let entry = entry.map_err(read)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Ok(false);
            };
            let path = format!("{folder}/{name}");
            let is_folder = entry.file_type().map_err(read)?.is_dir();
            let goes = replaced.contains(path.as_str())
                || is_folder && self.is_replaced(&path, replaced)?;
            if !goes {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// All moves: what goes, and what comes, where a folder of which all goes may make way for a file.
    fn steps(&self, replaced: &[String]) -> Result<Vec<Step>, Error> {
        let files: HashSet<&str> = replaced.iter().map(String::as_str).collect();
        let mut new = Vec::new();
        self.plan("", &files, &mut new)?;
        let whole: HashSet<&str> = new
            .iter()
            .filter_map(|step| match step {
                Step::Replace(path) => Some(path.as_str()),
                Step::Add(_) | Step::Remove(_) => None,
            })
            .collect();
        // What lies in such a folder goes with it.
        let by_itself = |file: &&String| path::parents(file).all(|folder| !whole.contains(folder));
        let gone = replaced.iter().filter(by_itself);
        let mut steps: Vec<Step> = gone.cloned().map(Step::Remove).collect();
        steps.append(&mut new);
        Ok(steps)
    }

    /// Finds out what has to be moved into the prefix.
    fn plan(
        &self,
        folder: &str,
        replaced: &HashSet<&str>,
        steps: &mut Vec<Step>,
    ) -> Result<(), Error> {
        let new = self.root.join(folder);
        let read = |source| Error::Read {
            path: new.clone(),
            source,
        };
        let mut entries = Vec::new();
        for entry in fs::read_dir(&new).map_err(read)? {
            let entry = entry.map_err(read)?;
            entries.push((entry.file_name(), entry.file_type().map_err(read)?.is_dir()));
        }
        entries.sort();
        for (name, is_folder) in entries {
            // Everything here has a name from the plan, which is text.
            let Some(name) = name.to_str() else { continue };
            let path = if folder.is_empty() {
                name.to_owned()
            } else {
                format!("{folder}/{name}")
            };
            let there = self.prefix.join(&path);
            match fs::symlink_metadata(&there) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    steps.push(Step::Add(path));
                }
                Ok(data) if data.is_dir() && is_folder => {
                    if data.dev() != self.device {
                        return Err(Error::OtherFileSystem { path: there });
                    }
                    self.plan(&path, replaced, steps)?;
                }
                // Nor is one that was moved elsewhere: what is in it would be hidden.
                Ok(data) if is_folder && data.is_symlink() && self.leads_out(&there) => {
                    return Err(Error::LinkedFolder { path: there });
                }
                // A folder with files of the user is not ours to replace.
                Ok(data) if data.is_dir() && !self.is_replaced(&path, replaced)? => {
                    let source = io::ErrorKind::IsADirectory.into();
                    return Err(Error::Write {
                        path: there,
                        source,
                    });
                }
                Ok(_) => steps.push(Step::Replace(path)),
                Err(source) => {
                    return Err(Error::Read {
                        path: there,
                        source,
                    });
                }
            }
        }
        Ok(())
    }
}

impl Place for Existing {
    fn root(&self) -> &Path {
        &self.root
    }

    fn scratch(&self) -> &Path {
        &self.lock.folder
    }

    fn open_to_script(&self) -> Result<(), Error> {
        Ok(())
    }

    fn close_to_script(&self) -> Result<(), Error> {
        Ok(())
    }

    fn publish(&self, replaced: &[String]) -> Result<(), Error> {
        let steps = self.steps(replaced)?;
        // `pre_install` may have left one, and nobody has used what is moved from here on.
        alive::take_back(&self.lock.folder)?;
        write_note(&self.lock.folder.join(JOURNAL), &steps)?;
        let old = self.lock.folder.join(OLD);
        for step in &steps {
            if let Step::Remove(path) | Step::Replace(path) = step {
                let kept = old.join(path);
                if let Some(parent) = kept.parent() {
                    fs::create_dir_all(parent).map_err(|source| Error::Write {
                        path: parent.to_owned(),
                        source,
                    })?;
                }
                rename(&self.prefix.join(path), &kept)?;
            }
            if let Step::Add(path) | Step::Replace(path) = step {
                rename(&self.root.join(path), &self.prefix.join(path))?;
            }
        }
        // Before this all is moved back, whoever came in between: half of it is of no use.
        alive::note(&self.lock.folder)
    }

    fn commit(&self) -> Result<(), Error> {
        complete(&self.lock.folder, JOURNAL)
    }

    fn undo(&self) -> Result<(), Error> {
        move_back(&self.prefix, &self.lock.folder)?;
        if self.empty {
            self.empty_prefix()?;
        }
        discard(&self.lock.folder)
    }
}

/// A path without `..`, whatever is there.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// Moves back what a killed process had moved.
pub(super) fn recover(prefix: &Path) -> Result<Recovery, Error> {
    // A prefix that is a file, or below one, has nothing to recover.
    if !prefix.is_dir() {
        return Ok(Recovery::Nothing);
    }
    let Some(lock) = Lock::existing(&prefix.join(WORKSHOP), prefix)? else {
        return Ok(Recovery::Nothing);
    };
    if exists(&lock.folder.join(DONE))? {
        remove_workshop(&lock.folder)?;
        return Ok(Recovery::Nothing);
    }
    if alive::is_used_since(prefix, &lock.folder)? {
        complete(&lock.folder, JOURNAL)?;
        return Ok(Recovery::Kept);
    }
    move_back(prefix, &lock.folder)?;
    discard(&lock.folder)?;
    Ok(Recovery::Undone)
}

/// Whether an entry of a prefix is no part of it.
pub(super) fn is_ours(name: &OsStr) -> bool {
    name == WORKSHOP || name == LOST_AND_FOUND
}

/// Moves back what can be; the first failure is that of all.
fn move_back(prefix: &Path, folder: &Path) -> Result<(), Error> {
    let steps: Vec<Step> = read_note(&folder.join(JOURNAL))?.unwrap_or_default();
    // Whoever goes on with this, however late, finds nobody's changes but those of this.
    alive::take_back(folder)?;
    let mut result = Ok(());
    for step in steps.iter().rev() {
        result = result.and(undo_step(prefix, folder, step));
    }
    result
}

/// Removes the folder; the journal first, since without the files that it names it is wrong.
fn discard(folder: &Path) -> Result<(), Error> {
    remove(&folder.join(JOURNAL))?;
    remove_workshop(folder)
}

/// Undoes one move, whether it was made, half made or not made; undone twice is undone.
fn undo_step(prefix: &Path, folder: &Path, step: &Step) -> Result<(), Error> {
    let (Step::Add(path) | Step::Replace(path) | Step::Remove(path)) = step;
    let (new, old, there) = (
        folder.join(NEW).join(path),
        folder.join(OLD).join(path),
        prefix.join(path),
    );
    match step {
        Step::Add(_) => {
            if !exists(&new)? && exists(&there)? {
                rename(&there, &new)?;
            }
        }
        Step::Replace(_) | Step::Remove(_) => {
            if exists(&old)? {
                remove(&there)?;
                // A script may have taken the folder away.
                if let Some(parent) = there.parent() {
                    fs::create_dir_all(parent).map_err(|source| Error::Write {
                        path: parent.to_owned(),
                        source,
                    })?;
                }
                rename(&old, &there)?;
            }
        }
    }
    Ok(())
}
