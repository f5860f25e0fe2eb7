//! Debian packages: installed on the machine, or only downloaded and unpacked into a folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use fs_err as fs;

use crate::process;

/// Those of `packages` that dpkg does not know as installed.
pub(crate) fn missing<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    let installed = |package: &&str| {
        let mut query = Command::new("dpkg-query");
        query.args(["--show", "--showformat=${db:Status-Status} ", package]);
        // One word for each architecture of the package.
        process::output(&mut query)
            .is_ok_and(|states| states.split_whitespace().any(|state| state == "installed"))
    };
    packages
        .iter()
        .copied()
        .filter(|package| !installed(package))
        .collect()
}

/// Installs packages; root only.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    refresh()?;
    process::quietly(
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(["--option", "DPkg::Options::=--force-unsafe-io"])
            .args(packages),
    )
}

/// Brings the lists of packages up to date where that is allowed and they are older than a day:
/// an old list names versions that the mirror has dropped.
pub(crate) fn refresh() -> Result<()> {
    let stamp = Path::new("/var/cache/apt/pkgcache.bin");
    let fresh = fs::metadata(stamp)
        .and_then(|data| data.modified())
        .is_ok_and(|then| {
            SystemTime::now()
                .duration_since(then)
                .is_ok_and(|age| age < Duration::from_hours(24))
        });
    if fresh || !process::is_root() {
        return Ok(());
    }
    process::quietly(Command::new("apt-get").args(["update", "--quiet"]))
}

/// The version that apt would install.
pub(crate) fn candidate(package: &str) -> Result<String> {
    let policy = process::output(Command::new("apt-cache").args(["policy", package]))?;
    policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))
        .filter(|version| *version != "(none)")
        .map(str::to_owned)
        .with_context(|| {
            format!("apt knows no package `{package}`: run `apt-get update` as root, then again")
        })
}

/// The names in the `Depends` of one version of a package.
pub(crate) fn depends(package: &str, version: &str) -> Result<Vec<String>> {
    let shown =
        process::output(Command::new("apt-cache").args(["show", &format!("{package}={version}")]))?;
    Ok(shown
        .lines()
        .find_map(|line| line.strip_prefix("Depends: "))
        .unwrap_or_default()
        .split([',', '|'])
        .filter_map(|one| one.split_whitespace().next())
        .map(str::to_owned)
        .collect())
}

/// Downloads packages (`name` or `name=version`) into a folder; root is not needed. Apt checks
/// them against its signed lists.
pub(crate) fn download(packages: &[String], folder: &Path) -> Result<Vec<PathBuf>> {
    process::quietly(
        Command::new("apt-get")
            .current_dir(folder)
            .args(["download", "--quiet"])
            // Apt's own user cannot write into a folder of ours; without this it warns.
            .args(["--option", "APT::Sandbox::User=root"])
            .args(packages),
    )?;
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            files.push(path);
        }
    }
    files.sort();
    if files.len() != packages.len() {
        bail!(
            "apt downloaded {} of {} packages",
            files.len(),
            packages.len()
        );
    }
    Ok(files)
}

/// Unpacks a package's files into `root`, with tar's own choice of members.
pub(crate) fn unpack(package: &Path, root: &Path, members: &[&str]) -> Result<()> {
    let archive = root.join(".unpacking.tar");
    let file = fs::File::create(&archive)?;
    let status = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(file.into_file())
        .status()
        .context("cannot start dpkg-deb")?;
    if !status.success() {
        bail!("dpkg-deb cannot read {} ({status})", package.display());
    }
    process::quietly(
        Command::new("tar")
            .arg("--extract")
            .arg("--file")
            .arg(&archive)
            .arg("--directory")
            .arg(root)
            .args(members),
    )?;
    fs::remove_file(&archive)?;
    Ok(())
}
