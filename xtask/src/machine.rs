//! What the tests need of the machine, beyond Rust: Debian packages, and a kernel that runs
//! programs of the other CPU. As root it is set up; otherwise it is said what is missing.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use fs_err as fs;

use crate::{apt, process};

/// Debian packages, and what does not work without them.
const PACKAGES: &[(&str, &str)] = &[
    ("gcc", "nothing can be linked"),
    ("libc6-dev", "nothing can be linked"),
    (
        "python3-venv",
        "zig and the oracles in Python cannot be installed",
    ),
    ("python3-dev", "the solver that conda needs cannot be built"),
    ("libz3-4", "Debian's Rust compiler does not run"),
    ("libedit2", "Debian's Rust compiler does not run"),
    ("libxml2", "Debian's Rust compiler does not run"),
    ("debootstrap", "there is no arm64 userland"),
    ("shellcheck", "the installer's shell is not checked"),
    ("dash", "installers are not run by dash"),
    ("bash", "installers are not run by bash"),
    ("busybox", "installers are not run by busybox"),
    ("zsh", "installers are not run by zsh"),
];

const EMULATOR: (&str, &str) = ("qemu-user-static", "programs for aarch64 do not run here");
const EMULATOR_PATH: &str = "/usr/bin/qemu-aarch64-static";
const FORMATS: &str = "/proc/sys/fs/binfmt_misc";

/// How the kernel recognises a 64-bit little-endian ELF file for ARM, program or shared object:
/// name, offset, magic, mask, interpreter and flags of `binfmt_misc`. With `F` the kernel opens
/// the interpreter at once, so that it need not exist inside a `chroot`.
const FORMAT: &str = concat!(
    r":qemu-aarch64:M::",
    r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:",
    r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:",
    "/usr/bin/qemu-aarch64-static:F"
);

/// Installs what is missing as root; otherwise says what to install.
pub(crate) fn prepare() -> Result<()> {
    let foreign = !cfg!(target_arch = "aarch64");
    let needed: Vec<(&str, &str)> = PACKAGES
        .iter()
        .copied()
        .chain(foreign.then_some(EMULATOR))
        .collect();
    let names: Vec<&str> = needed.iter().map(|(name, _)| *name).collect();
    let missing = apt::missing(&names);
    if process::is_root() && !missing.is_empty() {
        process::timed(&format!("apt-get install {}", missing.join(" ")), || {
            apt::install(&missing)
        })?;
    } else {
        for (name, effect) in needed.iter().filter(|(name, _)| missing.contains(name)) {
            process::say(&format!(
                "missing: {effect} (as root: apt-get install {name})"
            ));
        }
    }
    if foreign && let Err(error) = register_emulator() {
        process::say(&format!("missing: {} ({error:#})", EMULATOR.1));
    }
    Ok(())
}

/// Whether the kernel runs programs for aarch64, also inside a `chroot`.
pub(crate) fn runs_aarch64() -> bool {
    cfg!(target_arch = "aarch64")
        || fs::read_to_string(Path::new(FORMATS).join("qemu-aarch64")).is_ok_and(|state| {
            let flags = state.lines().find_map(|line| line.strip_prefix("flags: "));
            state.starts_with("enabled") && flags.is_some_and(|flags| flags.contains('F'))
        })
}

fn register_emulator() -> Result<()> {
    if runs_aarch64() {
        return Ok(());
    }
    if !process::is_root() {
        anyhow::bail!("as root: apt-get install qemu-user-static binfmt-support");
    }
    let register = Path::new(FORMATS).join("register");
    if !register.exists() {
        let mut mount = Command::new("mount");
        mount.args(["-t", "binfmt_misc", "binfmt_misc", FORMATS]);
        process::quietly(&mut mount)?;
    }
    let old = Path::new(FORMATS).join("qemu-aarch64");
    if old.exists() {
        fs::write(old, "-1")?;
    }
    fs::metadata(EMULATOR_PATH)?;
    fs::write(register, FORMAT).context("the kernel does not take an emulator")
}
