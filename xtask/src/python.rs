//! Python virtual environments: for zig, which `PyPI` carries, and for the oracles of the tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use fs_err as fs;

use crate::process;

/// Makes a virtual environment and installs packages into it.
pub(crate) fn environment(folder: &Path, packages: &[&str]) -> Result<()> {
    process::quietly(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(folder),
    )
    .context("cannot make a Python environment (Debian: apt-get install python3-venv)")?;
    process::quietly(
        Command::new(executable(folder))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args(packages),
    )
}

/// The environment's interpreter.
pub(crate) fn executable(folder: &Path) -> PathBuf {
    folder.join("bin/python")
}

/// The environment's folder of packages.
pub(crate) fn packages(folder: &Path) -> Result<PathBuf> {
    for entry in fs::read_dir(folder.join("lib"))? {
        let candidate = entry?.path().join("site-packages");
        if candidate.is_dir() {
            return Ok(candidate);
        }
    }
    anyhow::bail!("no site-packages in {}", folder.display())
}
