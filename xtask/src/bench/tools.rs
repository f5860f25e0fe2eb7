//! What is measured: our executables, and the peers' Python environment.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use fs_err as fs;

use super::input::{PLATFORM, Packages};
use crate::place::Workspace;
use crate::{oracles, process, runtime, tools};

/// Where everything is.
pub(super) struct Tools {
    binaries: PathBuf,
    /// The folder with `runtime-<platform>`.
    pub(super) runtimes: PathBuf,
    pub(super) peers: Result<PathBuf, String>,
    conda: Result<PathBuf, String>,
}

/// py-rattler installs a repodata's packages into a prefix, with an empty cache. It sometimes crashes
/// while its interpreter ends, with all work done: the interpreter does not get to its end.
const RATTLER: &str = "
import asyncio, os, sys
from rattler import Channel, RepoData, install
channel, repodata, prefix, cache = sys.argv[1:]
records = RepoData.from_path(repodata).into_repo_data(Channel(channel))
asyncio.run(install(records, prefix, cache_dir=cache, show_progress=False))
os._exit(0)
";

/// conda-package-handling extracts packages, in one process.
const EXTRACT: &str = "
import os, sys
from conda_package_handling.api import extract
destination, *packages = sys.argv[1:]
for package in packages:
    extract(package, os.path.join(destination, os.path.basename(package)))
";

/// py-rattler indexes a channel. It sometimes aborts while its interpreter ends: that is left out.
const RATTLER_INDEX: &str = "
import asyncio, os, sys
from rattler.index import index_fs
asyncio.run(index_fs(sys.argv[1], write_zst=False, write_shards=False))
os._exit(0)
";

impl Tools {
    /// Builds ours, unless they are to be taken as they are, and installs the peers.
    pub(super) fn prepare(workspace: &Workspace, profile: &str, build: bool) -> Result<Tools> {
        if build {
            runtime::make(workspace, &runtime::Options::default())?;
            tools::build(workspace, profile)?;
        }
        let binaries = tools::folder(workspace, profile);
        for file in [
            binaries.join("archiconda"),
            binaries.join("build-installer"),
        ] {
            if !file.is_file() {
                bail!("no {}; leave --no-build out", file.display());
            }
        }
        let told = |error: anyhow::Error| format!("{error:#}");
        let peers = process::timed("peers", || oracles::environment(workspace)).map_err(told);
        let conda = peers.clone().and_then(|python| {
            let shared = fs::canonicalize(workspace.root().join("../shared"))
                .context("conda is in no registry, and there is no ../shared with its package");
            shared
                .and_then(|shared| oracles::conda(workspace, &python, &shared))
                .map_err(told)
        });
        Ok(Tools {
            binaries,
            runtimes: workspace.runtimes(),
            peers,
            conda,
        })
    }

    /// Length of the runtime in bytes.
    pub(super) fn runtime_length(&self) -> Result<u64> {
        let file = self.runtimes.join(format!("runtime-{PLATFORM}"));
        Ok(fs::metadata(file)?.len())
    }

    /// Makes a channel of a folder of packages.
    pub(super) fn index(&self, channel: &Path) -> Result<()> {
        let mut command = Command::new(self.binaries.join("archiconda"));
        process::quietly(command.arg("index").arg(channel))
    }

    /// `archiconda`.
    pub(super) fn archiconda(&self) -> Command {
        Command::new(self.binaries.join("archiconda"))
    }

    /// `archiconda index`, as it is measured.
    pub(super) fn indexer(&self, channel: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.binaries.join("archiconda"));
        command.arg("index").arg(channel).args(arguments);
        command
    }

    pub(super) fn conda_index(&self, channel: &Path) -> Result<Command, String> {
        let mut command = Command::new(self.peers.clone()?);
        command
            .env("PYTHONPATH", self.conda.clone()?)
            .args(["-m", "conda_index"])
            .arg(channel);
        if let Some(folder) = channel.parent() {
            command
                .env("HOME", folder)
                .env("CONDA_PKGS_DIRS", folder.join("pkgs"));
        }
        Ok(command)
    }

    pub(super) fn rattler_index(&self, channel: &Path) -> Result<Command, String> {
        let mut command = Command::new(self.peers.clone()?);
        command.args(["-c", RATTLER_INDEX]).arg(channel);
        Ok(command)
    }

    /// Writes the spec of a distribution of these packages into `folder`.
    pub(super) fn spec(packages: &Packages, folder: &Path) -> Result<PathBuf> {
        let path = folder.join("measured.toml");
        let text = format!(
            "name = \"Measured\"\nversion = \"1.0\"\nplatforms = [\"{PLATFORM}\"]\n\
             channels = [{:?}]\nspecs = {:?}\n",
            format!("file://{}", process::text(&packages.channel)?),
            packages.names,
        );
        fs::write(&path, text)?;
        Ok(path)
    }

    /// `build-installer`, with its cache and its output in `folder`.
    pub(super) fn build(&self, spec: &Path, folder: &Path) -> Command {
        let mut command = Command::new(self.binaries.join("build-installer"));
        command
            .arg(spec)
            .args(["--quiet", "--output-dir"])
            .arg(folder.join("out"))
            .arg("--cache-dir")
            .arg(folder.join("cache"))
            .arg("--runtimes")
            .arg(&self.runtimes);
        command
    }

    /// The installer that [`Tools::build`] makes.
    pub(super) fn installer(folder: &Path) -> PathBuf {
        let machine = std::env::consts::ARCH;
        folder.join(format!("out/Measured-1.0-Linux-{machine}.sh"))
    }

    /// Runs an installer.
    pub(super) fn install(installer: &Path, prefix: &Path, threads: Option<usize>) -> Command {
        let mut command = Command::new("sh");
        command.arg(installer).args(["-b", "-p"]).arg(prefix);
        if let Some(threads) = threads {
            command.args(["--threads", &threads.to_string()]);
        }
        if let Some(folder) = prefix.parent() {
            command.env("TMPDIR", folder);
        }
        command
    }

    pub(super) fn rattler(
        &self,
        packages: &Packages,
        prefix: &Path,
        cache: &Path,
    ) -> Result<Command, String> {
        let mut command = Command::new(self.peers.clone()?);
        command
            .args(["-c", RATTLER])
            .arg(format!("file://{}", packages.channel.display()))
            .arg(packages.channel.join(PLATFORM).join("repodata.json"))
            .args([prefix, cache]);
        Ok(command)
    }

    pub(super) fn extract(&self, packages: &Packages, folder: &Path) -> Result<Command, String> {
        let mut command = Command::new(self.peers.clone()?);
        command
            .args(["-c", EXTRACT])
            .arg(folder)
            .args(&packages.files);
        Ok(command)
    }

    /// conda makes an environment of an explicit list, with an empty cache and without a network.
    pub(super) fn conda(
        &self,
        packages: &Packages,
        folder: &Path,
        prefix: &Path,
        cache: &Path,
    ) -> Result<Command, String> {
        let python = self.peers.clone()?;
        let conda = self.conda.clone()?;
        let list = folder.join("explicit.txt");
        let lines = packages.files.iter();
        let lines = lines.map(|file| format!("file://{}\n", file.display()));
        let text = std::iter::once("@EXPLICIT\n".to_owned()).chain(lines);
        let text: String = text.collect();
        fs::write(&list, text).map_err(|error| error.to_string())?;
        let mut command = Command::new(python);
        command
            .env("PYTHONPATH", conda)
            .env("CONDA_PKGS_DIRS", cache)
            .env("CONDA_REGISTER_ENVS", "false")
            .env("CONDA_SOLVER", "classic")
            .env("HOME", folder)
            .args([
                "-m",
                "conda",
                "create",
                "--offline",
                "--no-deps",
                "--yes",
                "--quiet",
            ])
            .arg("--prefix")
            .arg(prefix)
            .arg("--file")
            .arg(list);
        Ok(command)
    }
}
