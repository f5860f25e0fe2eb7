//! The peers that read what we write, or write the same: py-rattler, conda-index and conda itself; moto, a server
//! that speaks as S3 does; and who reads bills of materials. All but conda come from `PyPI`; conda is in no registry and is taken out of the test data.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use fs_err as fs;

use crate::place::{self, Workspace};
use crate::{process, python};

/// Pinned, so that a test fails because of us and not because of a release elsewhere.
const PACKAGES: &[&str] = &[
    "archspec==0.2.7",
    "boltons==26.2.0",
    "conda-index==0.13.0",
    "conda-package-handling==2.6.0",
    "conda_package_streaming==0.13.0",
    "distro==1.9.0",
    "flask==3.1.3",
    "flask-cors==6.0.5",
    "frozendict==2.5.1",
    "jsonpatch==1.47",
    "moto==5.2.5",
    "msgpack==1.2.4",
    "packaging==26.3",
    "platformdirs==4.14.7",
    "pluggy==1.7.0",
    "py-partiql-parser==0.6.3",
    "py-rattler==0.28.0",
    "pycosat==0.6.6",
    "pyyaml==6.0.4",
    "requests==2.34.2",
    "ruamel.yaml==0.19.1",
    "setuptools==80.9.0",
    "tqdm==4.70.1",
    "truststore==0.10.5",
    "zstandard==0.25.0",
];

/// The libraries of those who define the forms of bills of materials. They have an environment of their own: they
/// want much that the others do not.
const BILLS: &[&str] = &[
    "cyclonedx-python-lib[json-validation]==11.12.0",
    "spdx-tools==0.8.5",
];

/// conda as a package, below the folder of test data.
const CONDA: &str = "channels/conda-forge-2023/linux-aarch64/conda-23.10.0-py310h4c7bcd0_1.conda";

/// Makes the Python environment and returns its interpreter.
pub(crate) fn environment(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.work("oracles")?.join("environment");
    place::once(&folder, &PACKAGES.join(" "), |folder| {
        python::environment(folder, PACKAGES)
    })?;
    Ok(python::executable(&folder))
}

/// Makes the environment that reads bills of materials, and returns its interpreter.
pub(crate) fn bills(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.work("oracles")?.join("bills");
    place::once(&folder, &BILLS.join(" "), |folder| {
        python::environment(folder, BILLS)
    })?;
    Ok(python::executable(&folder))
}

/// Unpacks conda and returns the folder that goes on `PYTHONPATH`.
pub(crate) fn conda(workspace: &Workspace, python: &Path, shared: &Path) -> Result<PathBuf> {
    let package = shared.join("data").join(CONDA);
    if !package.is_file() {
        bail!("no {}", package.display());
    }
    let folder = workspace.work("oracles")?.join("conda");
    place::once(&folder, CONDA, |folder| {
        let unpacked = folder.join("unpacked");
        process::quietly(
            Command::new(python)
                .args(["-m", "conda_package_handling", "extract", "--dest"])
                .arg(&unpacked)
                .arg(&package),
        )?;
        fs::rename(
            unpacked.join("lib/python3.10/site-packages/conda"),
            folder.join("conda"),
        )?;
        place::remove(&unpacked)
    })?;
    let mut version = Command::new(python);
    version
        .env("PYTHONPATH", &folder)
        .args(["-m", "conda", "--version"]);
    process::quietly(&mut version).context("conda does not run")?;
    Ok(folder)
}
