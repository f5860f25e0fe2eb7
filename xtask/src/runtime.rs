//! `cargo xtask runtime`: builds crate `runtime` for the targets' CPUs, checks the executables and
//! puts them where builders find them.

use std::path::Path;

use anyhow::{Context, Result, bail};
use fs_err as fs;

use crate::place::Workspace;
use crate::{elf, process, toolchain, tools};

/// More than this, and something heavy got into the runtime's tree.
const LARGEST: u64 = 3_000_000;

/// What to build, and how.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask runtime                          both runtimes, into target/runtimes/
  cargo xtask runtime --target linux-aarch64   one of them
  cargo xtask runtime --profile release        with another profile of Cargo.toml

The first run downloads a compiler (target/xtask/toolchain, 1 GB); later ones build what changed.")]
pub(crate) struct Options {
    /// A conda platform; may be given several times [default: all]
    #[arg(long = "target", value_name = "PLATFORM")]
    targets: Vec<Target>,
    /// The cargo profile
    #[arg(long, value_name = "NAME", default_value = "runtime")]
    profile: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            profile: "runtime".to_owned(),
        }
    }
}

/// The platforms that have a runtime, by conda's names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Target {
    #[value(name = "linux-64")]
    Linux64,
    #[value(name = "linux-aarch64")]
    LinuxAarch64,
}

impl Target {
    fn platform(self) -> &'static str {
        match self {
            Self::Linux64 => "linux-64",
            Self::LinuxAarch64 => "linux-aarch64",
        }
    }

    fn triple(self) -> &'static str {
        match self {
            Self::Linux64 => "x86_64-unknown-linux-musl",
            Self::LinuxAarch64 => "aarch64-unknown-linux-musl",
        }
    }

    fn machine(self) -> elf::Machine {
        match self {
            Self::Linux64 => elf::Machine::X86_64,
            Self::LinuxAarch64 => elf::Machine::Aarch64,
        }
    }
}

/// Builds, checks and installs the runtimes. Cargo decides what has to be built again.
pub(crate) fn make(workspace: &Workspace, options: &Options) -> Result<()> {
    let all = [Target::Linux64, Target::LinuxAarch64];
    let targets: Vec<Target> = all
        .into_iter()
        .filter(|target| options.targets.is_empty() || options.targets.contains(target))
        .collect();
    let triples: Vec<&str> = targets.iter().map(|target| target.triple()).collect();
    let toolchain = toolchain::prepare(workspace, &triples)?;
    let folder = workspace.work("runtime-build")?;
    process::timed("runtimes", || {
        let mut cargo = workspace.cargo();
        cargo
            .env("CARGO_TARGET_DIR", &folder)
            // Flags for the host's own builds have no place in what users get.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .args(["build", "--package", "runtime", "--bin", "runtime"])
            .args(["--profile", &options.profile]);
        toolchain.apply(&mut cargo);
        process::run(&mut cargo)
    })?;
    let profile = tools::folder_name(&options.profile);
    fs::create_dir_all(workspace.runtimes())?;
    for target in targets {
        let built = folder.join(target.triple()).join(profile).join("runtime");
        let size = check(&built, target)?;
        let place = workspace
            .runtimes()
            .join(format!("runtime-{}", target.platform()));
        install(&built, &place)?;
        process::say(&format!("xtask: {}: {size} bytes, static", place.display()));
    }
    Ok(())
}

/// Refuses an executable that would not run on every machine of its CPU.
fn check(file: &Path, target: Target) -> Result<u64> {
    let bytes = fs::read(file)?;
    let found = elf::Header::read(&bytes).with_context(|| format!("{}", file.display()))?;
    if found.machine != Some(target.machine()) {
        bail!("{} is not for {}", file.display(), target.platform());
    }
    if found.interpreter {
        bail!("{} needs a dynamic loader", file.display());
    }
    // Kernels for ARM exist with pages of 64 KiB and do not load a segment of smaller alignment.
    let page = match target.machine() {
        elf::Machine::Aarch64 => 0x1_0000,
        elf::Machine::X86_64 => 0x1000,
    };
    if found.alignment < page {
        bail!(
            "{} has segments aligned to {} bytes, not {page}",
            file.display(),
            found.alignment
        );
    }
    let size = bytes.len() as u64;
    if size > LARGEST {
        bail!("{} has {size} bytes, more than {LARGEST}", file.display());
    }
    Ok(size)
}

/// Replaces the file by rename, since a test may be running the old one.
fn install(from: &Path, to: &Path) -> Result<()> {
    let fresh = to.with_extension("new");
    fs::copy(from, &fresh)?;
    fs::rename(&fresh, to)?;
    Ok(())
}
