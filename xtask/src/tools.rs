//! The tools that users get, as the demonstration and the benchmarks run them.

use std::path::PathBuf;

use anyhow::Result;

use crate::place::Workspace;
use crate::process;

/// Builds `archiconda` and `build-installer`.
pub(crate) fn build(workspace: &Workspace, profile: &str) -> Result<()> {
    process::timed("tools", || {
        let mut cargo = workspace.cargo();
        // All default members, as the tests: everybody shares what is built.
        cargo.args(["build", "--bins", "--profile", profile]);
        process::run(&mut cargo)
    })
}

/// The folder in which cargo leaves the executables of a profile.
pub(crate) fn folder(workspace: &Workspace, profile: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace.root().join("target"), PathBuf::from);
    target.join(folder_name(profile))
}

/// cargo's name for a profile's folder.
pub(crate) fn folder_name(profile: &str) -> &str {
    match profile {
        "dev" => "debug",
        name => name,
    }
}
