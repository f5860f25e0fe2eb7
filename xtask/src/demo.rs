//! `cargo xtask demo`: everything from nothing. Builds the tools, makes the bootstrap channel of
//! Debian packages and Python wheels, builds installers for linux-aarch64 and for this machine,
//! installs both, runs Python in each, bakes an image of the same, and says what it came to. What is there from an earlier
//! run is used again. How the tools do any of it is their own business: they are run as a user
//! would run them.

mod channel;
mod places;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use fs_err as fs;
use serde::Deserialize;

use crate::place::Workspace;
use crate::{machine, process, runtime, tools, userland};
use places::Place;
use table::Row;

/// The platform for which the project was begun.
const ARM: &str = "linux-aarch64";

/// What is kept for the next run, below the workspace.
const CACHE: &str = "target/demo/cache";

/// What the installed Python must be able to do: the modules that need a library each, one
/// extension module of a wheel, and arithmetic of numpy.
const CHECK: &str = "\
import ssl, sqlite3, ctypes, lzma, bz2, zlib, hashlib, readline, zstandard, numpy
import platform, sys
certificates = ssl.create_default_context().cert_store_stats()['x509_ca']
assert certificates > 0, 'no certificate authorities'
assert numpy.linalg.det(numpy.eye(3)) == 1.0
print(platform.machine(), 'Python ' + platform.python_version(), ssl.OPENSSL_VERSION,
      'numpy ' + numpy.__version__, f'{certificates} CAs', sep=' · ')
";

/// How the demonstration is made.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask demo                      build, install and run everything
  cargo xtask demo --profile release    with the tools as users get them, which take longer to build

Everything that it makes lies in target/; installers and image in target/demo.")]
pub(crate) struct Options {
    /// The cargo profile of the tools; by default the one that `cargo xtask test` builds, too
    #[arg(long, value_name = "NAME", default_value = "ci")]
    profile: String,
}

/// What `build-installer --json` says, as far as it is shown.
#[derive(Deserialize)]
struct Built {
    installers: Vec<Installer>,
}

#[derive(Deserialize)]
struct Installer {
    platform: String,
    file: PathBuf,
    size: u64,
    sha256: String,
    packages: Vec<String>,
    files: u64,
    seconds: std::collections::BTreeMap<String, f64>,
}

/// Makes the demonstration. Fails if any Python does not run; an installer for a foreign CPU that
/// this machine cannot run is built all the same, and said to be untried.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    machine::prepare()?;
    tools::build(workspace, &options.profile)?;
    let tools = tools::folder(workspace, &options.profile);
    runtime::make(workspace, &runtime::Options::default())?;
    let host = host()?;
    let mut platforms = vec![ARM];
    if host != ARM {
        platforms.push(host);
    }

    let folder = workspace.root().join("target/demo");
    fs::create_dir_all(&folder)?;
    process::timed("bootstrap channel", || {
        channel::make(workspace, &tools, &platforms, CACHE)
    })?;
    let built = process::timed("installers", || {
        installers(workspace, &tools, &folder, &platforms)
    })?;

    let mut rows = Vec::new();
    for installer in built.installers {
        let place = place(workspace, &installer.platform, host);
        let tried = match place {
            Ok(place) => Some(try_out(&installer, &place)?),
            Err(error) => {
                process::say(&format!("untried: {} ({error:#})", installer.platform));
                None
            }
        };
        rows.push(Row {
            file: name(&installer.file)?,
            size: installer.size,
            sha256: installer.sha256,
            packages: installer.packages.len(),
            files: installer.files,
            build: installer.seconds.values().sum(),
            install: tried,
        });
    }
    process::timed("image", || image(workspace, &tools, &folder, &platforms))?;
    table::print(&folder, &rows)
}

/// An image of the same distribution, for all platforms. It has no C library of its own (docs/image.md,
/// "Bases"), so nothing in it is run here.
fn image(workspace: &Workspace, tools: &Path, folder: &Path, platforms: &[&str]) -> Result<()> {
    let mut bake = Command::new(tools.join("archiconda"));
    bake.current_dir(workspace.root())
        .args([
            "image",
            "bake",
            "docker/bootstrap.toml",
            "--quiet",
            "--json",
        ])
        .args(["--cache-dir", CACHE, "--output"])
        .arg(folder.join("bootstrap.tar"));
    for platform in platforms {
        bake.args(["--platform", platform]);
    }
    let baked = process::captured(&mut bake)?;
    let baked: serde_json::Value = serde_json::from_str(&baked)?;
    let image = folder.join("bootstrap.tar");
    let size = fs::metadata(&image)?.len() / 1_000_000;
    process::say(&format!(
        "image: {}, {size} MB, {}",
        image.display(),
        baked["digest"].as_str().unwrap_or_default()
    ));
    Ok(())
}

fn host() -> Result<&'static str> {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Ok("linux-64"),
        ("linux", "aarch64") => Ok(ARM),
        (system, cpu) => bail!("the demonstration runs on 64-bit Linux, not on {system} {cpu}"),
    }
}

/// Always resolves anew: the lock of an earlier run may name packages that were made otherwise.
fn installers(
    workspace: &Workspace,
    tools: &Path,
    folder: &Path,
    platforms: &[&str],
) -> Result<Built> {
    let mut build = Command::new(tools.join("build-installer"));
    build
        .current_dir(workspace.root())
        .args(["specs/bootstrap.toml", "--update", "--json"])
        .args(["--cache-dir", CACHE, "--output-dir"])
        .arg(folder)
        .arg("--runtimes")
        .arg(workspace.runtimes());
    for platform in platforms {
        build.args(["--platform", platform]);
    }
    let report = process::captured(&mut build)?;
    serde_json::from_str(&report).context("build-installer's report is not as expected")
}

/// Where the programs of a platform run.
fn place(workspace: &Workspace, platform: &str, host: &str) -> Result<Place> {
    if platform == host {
        return Place::here();
    }
    Place::inside(&userland::make(workspace)?)
}

/// Installs, runs Python, and returns how many seconds the installation took.
fn try_out(installer: &Installer, place: &Place) -> Result<f64> {
    let inside = place.bring(&installer.file)?;
    let prefix = place.path("prefix");
    let start = Instant::now();
    process::quietly(place.command("sh").args([&inside, "-b", "-p", &prefix]))
        .with_context(|| format!("cannot install {}", installer.file.display()))?;
    let seconds = start.elapsed().as_secs_f64();
    let python = format!("{prefix}/bin/python");
    let said = process::output(place.command(&python).args(["-c", CHECK]))
        .with_context(|| format!("Python does not run after {}", installer.file.display()))?;
    process::say(&format!("{}: {}", installer.platform, said.trim()));
    Ok(seconds)
}

fn name(file: &Path) -> Result<String> {
    let name = file.file_name().context("an installer without a name")?;
    Ok(name.to_string_lossy().into_owned())
}
