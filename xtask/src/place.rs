//! Where things lie in the checkout. Everything that a chore makes stays below `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use fs_err as fs;

use crate::process;

/// The checkout that a chore works on: the workspace around the current folder.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Asks cargo, so that a chore also works from a subfolder.
    pub(crate) fn find() -> Result<Self> {
        let manifest = process::output(process::cargo().args([
            "locate-project",
            "--workspace",
            "--message-format=plain",
        ]))?;
        let root = Path::new(manifest.trim())
            .parent()
            .context("cargo names no workspace")?
            .to_path_buf();
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A cargo command that runs in the workspace.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = process::cargo();
        command.current_dir(&self.root);
        command
    }

    /// `target/runtimes`, where builders look for `runtime-<platform>`.
    pub(crate) fn runtimes(&self) -> PathBuf {
        self.root.join("target/runtimes")
    }

    /// A chore's own folder below `target/xtask`, which is made.
    pub(crate) fn work(&self, name: &str) -> Result<PathBuf> {
        let folder = self.root.join("target/xtask").join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

/// Fills a folder once for each `key` (what it is made from). The mark of completion is written
/// last, so that an interrupted chore starts this piece again.
pub(crate) fn once(folder: &Path, key: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let mark = folder.join(".complete");
    if fs::read_to_string(&mark).is_ok_and(|found| found == key) {
        return Ok(());
    }
    remove(folder)?;
    fs::create_dir_all(folder)?;
    fill(folder)?;
    fs::write(mark, key)?;
    Ok(())
}

/// Removes a folder with all that it holds; none is fine too.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    Ok(())
}
