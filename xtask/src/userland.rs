//! The userlands in which the tests run installers, and on which images stand that engines run: Debian 12's
//! required packages, unpacked and configured just enough (no package scripts run, which would take minutes
//! under emulation).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use fs_err as fs;

use crate::place::{self, Workspace};
use crate::{machine, process};

const SUITE: &str = "bookworm";

/// What package scripts would have made.
const ACCOUNTS: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    ),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
];

/// Makes the arm64 userland, once for a checkout, and returns its root. Needs root.
pub(crate) fn make(workspace: &Workspace) -> Result<PathBuf> {
    if !machine::runs_aarch64() {
        bail!("this machine runs no programs for aarch64");
    }
    unpack(workspace, "arm64", "aarch64")
}

/// The same for amd64, on a machine of that kind.
pub(crate) fn make_amd64(workspace: &Workspace) -> Result<PathBuf> {
    if !cfg!(target_arch = "x86_64") {
        bail!("this machine runs no programs for x86_64");
    }
    unpack(workspace, "amd64", "x86_64")
}

/// `architecture` is Debian's name of the CPU, `machine` the kernel's.
fn unpack(workspace: &Workspace, architecture: &str, machine: &str) -> Result<PathBuf> {
    let root = workspace.work(&format!("userland-{architecture}"))?;
    place::once(&root, SUITE, |root| {
        if !process::is_root() {
            bail!("only root can unpack the {architecture} userland");
        }
        let tool = process::find("debootstrap")
            .context("no debootstrap (as root: apt-get install debootstrap)")?;
        process::quietly(
            Command::new(tool)
                .arg(format!("--arch={architecture}"))
                .args(["--variant=minbase", "--foreign", SUITE])
                .arg(root),
        )?;
        configure(root, machine)
    })?;
    Ok(root)
}

fn configure(root: &Path, machine: &str) -> Result<()> {
    place::remove(&root.join("debootstrap"))?;
    place::remove(&root.join("var/cache/apt/archives"))?;
    for (file, text) in ACCOUNTS {
        fs::write(root.join(file), text)?;
    }
    // debootstrap links to the host's where it takes the machine for a container.
    let processes = root.join("proc");
    if processes.is_symlink() {
        fs::remove_file(&processes)?;
        fs::create_dir(&processes)?;
    }
    let awk = root.join("usr/bin/awk");
    if !awk.is_symlink() {
        fs::os::unix::fs::symlink("mawk", awk)?;
    }
    process::quietly(Command::new("chroot").arg(root).arg("/sbin/ldconfig"))?;
    let found = process::output(
        Command::new("chroot")
            .arg(root)
            .args(["/bin/sh", "-c", "uname -m"]),
    )?;
    if found.trim() != machine {
        bail!("the userland says that it runs on {}", found.trim());
    }
    Ok(())
}
