//! What the threads share: the tree, and the folders that were made in it.

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use archive::payload::{Payload, ReadAt};

use super::{Settings, lock};
use crate::error::Error;
use crate::event::Event;
use crate::path;
use crate::tree::{Attributes, Tree};

/// Mode of the files that belong to no package, before the umask.
const TEXT_MODE: u32 = 0o664;

/// A tree that is being filled.
pub(super) struct Site<'a, S: ?Sized, T> {
    pub(super) payload: &'a Payload<'a, S>,
    pub(super) tree: &'a T,
    pub(super) settings: Settings<'a>,
    pub(super) report: &'a (dyn Fn(Event<'_>) + Sync),
    made: Mutex<HashSet<String>>,
    failed: AtomicBool,
}

impl<'a, S: ReadAt + ?Sized, T: Tree> Site<'a, S, T> {
    pub(super) fn new(
        payload: &'a Payload<'a, S>,
        tree: &'a T,
        settings: Settings<'a>,
        report: &'a (dyn Fn(Event<'_>) + Sync),
    ) -> Self {
        Site {
            payload,
            tree,
            settings,
            report,
            made: Mutex::default(),
            failed: AtomicBool::new(false),
        }
    }

    /// Whether there is no point in going on.
    pub(super) fn stopped(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.settings.cancelled.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self) {
        self.failed.store(true, Ordering::Relaxed);
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
            size: Some(bytes.len() as u64),
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
            size: None,
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
