//! What the tests need of the machine, beyond Rust: Debian packages, and a kernel that runs
//! programs of the other CPU. As root it is set up; otherwise it is said what is missing.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use fs_err as fs;

use crate::{apt, process};

/// A Debian package, what does not work without it, and how another system shows that it has it.
struct Need {
    package: &'static str,
    effect: &'static str,
    sign: Sign,
}

/// What is looked for where dpkg does not keep the books.
#[derive(Clone, Copy)]
enum Sign {
    /// A program on `PATH`.
    Program(&'static str),
    /// A module that the system's Python can import.
    Module(&'static str),
    /// Only Debian's own compiler needs it.
    Debian,
}

const fn need(package: &'static str, sign: Sign, effect: &'static str) -> Need {
    Need {
        package,
        effect,
        sign,
    }
}

const NEEDS: &[Need] = &[
    need("gcc", Sign::Program("cc"), "nothing can be linked"),
    need("g++", Sign::Program("c++"), "the fuzzer cannot be compiled"),
    need("libc6-dev", Sign::Program("cc"), "nothing can be linked"),
    need(
        "python3-venv",
        Sign::Module("ensurepip"),
        "zig and the oracles in Python cannot be installed",
    ),
    need(
        "python3-dev",
        Sign::Program("python3-config"),
        "the solver that conda needs cannot be built",
    ),
    need(
        "libz3-4",
        Sign::Debian,
        "Debian's Rust compiler does not run",
    ),
    need(
        "libedit2",
        Sign::Debian,
        "Debian's Rust compiler does not run",
    ),
    need(
        "libxml2",
        Sign::Debian,
        "Debian's Rust compiler does not run",
    ),
    need(
        "debootstrap",
        Sign::Program("debootstrap"),
        "there is no arm64 userland",
    ),
    need(
        "shellcheck",
        Sign::Program("shellcheck"),
        "the installer's shell is not checked",
    ),
    need(
        "dash",
        Sign::Program("dash"),
        "installers are not run by dash",
    ),
    need(
        "bash",
        Sign::Program("bash"),
        "installers are not run by bash",
    ),
    need(
        "busybox",
        Sign::Program("busybox"),
        "installers are not run by busybox",
    ),
    need("zsh", Sign::Program("zsh"), "installers are not run by zsh"),
    need(
        "postgresql",
        Sign::Program("postgres"),
        "the indexer's cache is not tried in PostgreSQL",
    ),
    need(
        "curl",
        Sign::Program("curl"),
        "the server is not tried with TLS and HTTP/2",
    ),
    need(
        "openssl",
        Sign::Program("openssl"),
        "the server is not tried with TLS and HTTP/2",
    ),
    need(
        "chromium",
        Sign::Program("chromium"),
        "pages are not tried in a browser",
    ),
    need(
        "chromium-driver",
        Sign::Program("chromedriver"),
        "pages are not tried in a browser",
    ),
    need(
        "docker.io",
        Sign::Program("dockerd"),
        "images are not run by dockerd",
    ),
    need(
        "podman",
        Sign::Program("podman"),
        "images are not run by podman",
    ),
    need(
        "runc",
        Sign::Program("runc"),
        "images are not run by podman",
    ),
    need(
        "docker-registry",
        Sign::Program("docker-registry"),
        "images are not pushed to the registry that others use",
    ),
    need(
        "gpg",
        Sign::Program("gpg"),
        "archives of Debian packages are not tried",
    ),
    need(
        "skopeo",
        Sign::Program("skopeo"),
        "images are not read by the engines' own library",
    ),
    need(
        "umoci",
        Sign::Program("umoci"),
        "images are not unpacked by another tool",
    ),
];

const EMULATOR: Need = need(
    "qemu-user-static",
    Sign::Program("qemu-aarch64-static"),
    "programs for aarch64 do not run here",
);
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

/// Installs what is missing as root on Debian and its kin; otherwise says what to install.
pub(crate) fn prepare() -> Result<()> {
    let foreign = !cfg!(target_arch = "aarch64");
    let needed: Vec<&Need> = NEEDS.iter().chain(foreign.then_some(&EMULATOR)).collect();
    if process::find("apt-get").is_some() {
        let names: Vec<&str> = needed.iter().map(|need| need.package).collect();
        let missing = apt::missing(&names);
        if process::is_root() && !missing.is_empty() {
            process::timed(&format!("apt-get install {}", missing.join(" ")), || {
                apt::install(&missing)
            })?;
        } else {
            for need in needed.iter().filter(|need| missing.contains(&need.package)) {
                let Need {
                    package, effect, ..
                } = need;
                process::say(&format!(
                    "missing: {effect} (as root: apt-get install {package})"
                ));
            }
        }
    } else {
        for need in needed.iter().filter(|need| !need.sign.is_there()) {
            let Need {
                package, effect, ..
            } = need;
            process::say(&format!(
                "missing: {effect} (Debian calls the package {package})"
            ));
        }
    }
    if foreign && let Err(error) = register_emulator() {
        process::say(&format!("missing: {} ({error:#})", EMULATOR.effect));
    }
    Ok(())
}

impl Sign {
    fn is_there(self) -> bool {
        match self {
            Self::Program(name) => process::find(name).is_some(),
            Self::Module(name) => {
                process::quietly(Command::new("python3").args(["-c", &format!("import {name}")]))
                    .is_ok()
            }
            Self::Debian => true,
        }
    }
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
