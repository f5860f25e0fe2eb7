//! What the threads share: the tree, the folders that were made in it, and the packages under way.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use archive::payload::{Payload, ReadAt};

use super::package::Loaded;
use super::{Laid, Settings, Task, lock};
use crate::error::Error;
use crate::event::Event;
use crate::path;
use crate::plan::{Package, Plan};
use crate::tree::{Attributes, Tree};

/// Mode of the files that belong to no package, before the umask.
const TEXT_MODE: u32 = 0o664;

/// A tree that is being filled.
pub(super) struct Site<'a, S: ?Sized, T> {
    pub(super) payload: &'a Payload<'a, S>,
    pub(super) plan: &'a Plan,
    pub(super) tree: &'a T,
    pub(super) settings: Settings<'a>,
    pub(super) report: &'a (dyn Fn(Event<'_>) + Sync),
    made: Mutex<HashSet<String>>,
    packages: Vec<Slot>,
    failed: AtomicBool,
}

/// A package on its way.
#[derive(Default)]
struct Slot {
    /// How many tasks still have bytes for it.
    left: AtomicUsize,
    loaded: Mutex<Option<Arc<Loaded>>>,
    laid: OnceLock<Laid>,
}

impl<'a, S: ReadAt + ?Sized, T: Tree> Site<'a, S, T> {
    pub(super) fn new(
        payload: &'a Payload<'a, S>,
        plan: &'a Plan,
        tree: &'a T,
        settings: Settings<'a>,
        report: &'a (dyn Fn(Event<'_>) + Sync),
        tasks: &[Task],
    ) -> Self {
        let packages: Vec<Slot> = plan.packages.iter().map(|_| Slot::default()).collect();
        for slot in tasks
            .iter()
            .flat_map(|task| &task.packages)
            .filter_map(|p| packages.get(*p))
        {
            slot.left.fetch_add(1, Ordering::Relaxed);
        }
        let made = Mutex::default();
        let failed = AtomicBool::new(false);
        Site {
            payload,
            plan,
            tree,
            settings,
            report,
            made,
            packages,
            failed,
        }
    }

    /// Whether there is no point in going on.
    pub(super) fn stopped(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.settings.cancelled.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// The plan of a package; the first thread that asks reads it and makes what needs no bytes.
    pub(super) fn load(&self, package: usize) -> Result<Arc<Loaded>, Error> {
        let (Some(slot), Some(head)) =
            (self.packages.get(package), self.plan.packages.get(package))
        else {
            return Err(Error::Plan {
                problem: format!("there is no package {package}"),
            });
        };
        let mut loaded = lock(&slot.loaded);
        if let Some(loaded) = &*loaded {
            return Ok(Arc::clone(loaded));
        }
        if self.stopped() {
            return Err(Error::Cancelled);
        }
        let read: Package = self
            .payload
            .json(head.plan)
            .map_err(|source| Error::Payload { source })?;
        let package = Loaded::package(read, self.plan.python.as_ref())?;
        package.begin(self, self.settings)?;
        let package = Arc::new(package);
        *loaded = Some(Arc::clone(&package));
        Ok(package)
    }

    /// One task less for this package; the last one completes it.
    pub(super) fn finish_part(&self, package: usize, loaded: &Loaded) -> Result<(), Error> {
        let Some(slot) = self.packages.get(package) else {
            return Ok(());
        };
        if slot.left.fetch_sub(1, Ordering::AcqRel) != 1 {
            return Ok(());
        }
        lock(&slot.loaded).take();
        loaded.end(self, self.settings)?;
        (self.report)(Event::Package { dist: &loaded.dist });
        // Only the thread of the last task comes here.
        let _ = slot.laid.set(loaded.laid());
        Ok(())
    }

    /// What became of all packages.
    pub(super) fn finish(self) -> Result<Vec<Laid>, Error> {
        let laid: Option<Vec<Laid>> = self
            .packages
            .into_iter()
            .map(|slot| slot.laid.into_inner())
            .collect();
        laid.ok_or_else(|| Error::Plan {
            problem: "a package was left out".to_owned(),
        })
    }

    /// Makes all folders above these paths. Sorted paths are quickest.
    pub(super) fn directories<'p>(
        &self,
        owner: &str,
        paths: impl Iterator<Item = &'p str>,
    ) -> Result<(), Error> {
        let mut made = lock(&self.made);
        let mut last = "";
        for path in paths {
            let folder = path
                .rfind('/')
                .and_then(|end| path.get(..end))
                .unwrap_or_default();
            if folder == last || made.contains(folder) {
                continue;
            }
            last = folder;
            for folder in path::parents(path) {
                if !made.contains(folder) {
                    path::check(owner, folder)?;
                    self.make_directory(folder)?;
                    made.insert(folder.to_owned());
                }
            }
        }
        Ok(())
    }

    /// Makes one folder; those above it are there.
    pub(super) fn make_directory(&self, path: &str) -> Result<(), Error> {
        self.tree
            .directory(path)
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotADirectory => Error::NotDirectory {
                    path: self.final_path(path),
                },
                _ => self.cannot_write(path)(source),
            })
    }

    /// Writes a small file.
    pub(super) fn text(&self, path: &str, bytes: &[u8], replace: bool) -> Result<(), Error> {
        let attributes = Attributes {
            mode: TEXT_MODE,
            modified: None,
            replace,
        };
        self.small_file(path, bytes, attributes)
            .map_err(self.cannot_write(path))
    }

    pub(super) fn small_file(
        &self,
        path: &str,
        bytes: &[u8],
        attributes: Attributes,
    ) -> io::Result<()> {
        let mut file = self.tree.file(path, attributes)?;
        file.write_all(bytes)?;
        self.tree.close(file)
    }

    /// Writes a small file whose content comes in pieces.
    pub(super) fn stream(
        &self,
        path: &str,
        content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Error> {
        let attributes = Attributes {
            mode: TEXT_MODE,
            modified: None,
            replace: false,
        };
        let write = || {
            let file = self.tree.file(path, attributes)?;
            let mut buffered = io::BufWriter::with_capacity(1 << 16, file);
            content(&mut buffered)?;
            self.tree.close(
                buffered
                    .into_inner()
                    .map_err(io::IntoInnerError::into_error)?,
            )
        };
        write().map_err(self.cannot_write(path))
    }

    pub(super) fn cannot_write(&self, path: &str) -> impl FnOnce(io::Error) -> Error + use<S, T> {
        let path = self.final_path(path);
        move |source| Error::Write { path, source }
    }

    fn final_path(&self, path: &str) -> PathBuf {
        PathBuf::from(self.settings.prefix).join(path)
    }
}
