//! Where an installer is tried: in a temporary folder of this machine, or in one of a foreign
//! userland, whose programs the kernel hands to an emulator.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use fs_err as fs;

use crate::process;

/// A temporary folder, and how programs are run that see it. It is removed when dropped.
pub(crate) struct Place {
    /// The userland to change into, if it is not this machine's own.
    root: Option<PathBuf>,
    /// The folder as programs see it.
    folder: PathBuf,
}

impl Place {
    /// On this machine.
    pub(crate) fn here() -> Result<Self> {
        Self::made(None, &std::env::temp_dir())
    }

    /// In the userland at `root`. Needs root.
    pub(crate) fn inside(root: &Path) -> Result<Self> {
        Self::made(Some(root.to_path_buf()), Path::new("/tmp"))
    }

    fn made(root: Option<PathBuf>, parent: &Path) -> Result<Self> {
        let folder = parent.join(format!("archiconda-demo-{}", std::process::id()));
        let place = Self { root, folder };
        fs::create_dir(place.outside(&place.folder))?;
        Ok(place)
    }

    /// The path, as its programs see it, of something in the folder.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    /// Copies a file into the folder and returns its path there.
    pub(crate) fn bring(&self, file: &Path) -> Result<String> {
        let name = file.file_name().context("a file without a name")?;
        let inside = self.folder.join(name);
        fs::copy(file, self.outside(&inside))?;
        Ok(process::text(&inside)?.to_owned())
    }

    /// A program that runs there, with nothing of our environment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = match &self.root {
            None => Command::new("/usr/bin/env"),
            Some(root) => {
                let mut command = Command::new("chroot");
                command.arg(root).arg("/usr/bin/env");
                command
            }
        };
        command
            .args(["-i", "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"])
            .arg(format!("HOME={}", self.folder.display()))
            .arg(format!("TMPDIR={}", self.folder.display()))
            .arg(program);
        command
    }

    fn outside(&self, path: &Path) -> PathBuf {
        match &self.root {
            None => path.to_path_buf(),
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let folder = self.outside(&self.folder);
        if let Err(error) = fs::remove_dir_all(&folder) {
            process::say(&format!("left behind: {error}"));
        }
    }
}
