//! The demonstration's channel: made once for each state of the tools, the definition and its lock.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use archive::digest::Sha256;
use fs_err as fs;

use crate::place::{self, Workspace};
use crate::process;

/// Where `specs/bootstrap.toml` looks for it, below the workspace.
const CHANNEL: &str = "target/bootstrap";
/// What it is made of, below the workspace.
const DEFINITION: &str = "channels/bootstrap.toml";
/// A lock of its own, so that the checkout stays as it is.
const LOCK: &str = "target/demo/bootstrap.lock";

/// Makes the channel for `platforms` with the tools in a folder; `cache` keeps what is downloaded.
/// Nothing is done if it is there.
pub(super) fn make(
    workspace: &Workspace,
    tools: &Path,
    platforms: &[&str],
    cache: &str,
) -> Result<()> {
    let archiconda = tools.join("archiconda");
    let definition = workspace.root().join(DEFINITION);
    let pins = fs::read(definition.with_extension("lock"))?;
    let key = format!(
        "{} {} {} {platforms:?}",
        Sha256::of(&fs::read(&archiconda)?),
        Sha256::of(&fs::read(&definition)?),
        Sha256::of(&pins),
    );
    place::once(&workspace.root().join(CHANNEL), &key, |_| {
        fs::write(workspace.root().join(LOCK), &pins)?;
        let repack = |more: &[&str]| {
            let mut repack = Command::new(&archiconda);
            repack
                .current_dir(workspace.root())
                .args(["repack", DEFINITION, "--output-dir", CHANNEL])
                .args(["--lock", LOCK, "--cache-dir", cache]);
            for platform in platforms {
                repack.args(["--platform", platform]);
            }
            process::run(repack.args(more))
        };
        repack(&[]).or_else(|error| {
            // Debian's archive drops a version when a newer one replaces it.
            process::say(&format!(
                "{error:#}\nxtask: once more, with the newest of everything"
            ));
            repack(&["--update"])
        })
    })
}
