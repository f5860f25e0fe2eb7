//! `build-installer`: what it makes of a spec, and what it says when it cannot.

mod channels;
mod clobber;
mod explicit;
mod faults;
mod lock;
mod outputs;
mod peers;
mod refused;
mod remap;
mod reproducible;
mod secrets;
mod shipped;
mod solve;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::channel::publish;
use crate::support::package::Package;
use crate::support::run::{Output, Place, run};

/// The names of the installers of [`spec`].
const X86: &str = "Example-1.0-Linux-x86_64.sh";
const ARM: &str = "Example-1.0-Linux-aarch64.sh";

/// Writes `dist.toml`, the spec of a distribution `Example 1.0` with these keys.
fn spec(place: &Place, keys: &str) -> PathBuf {
    place.write(
        "dist.toml",
        format!("name = \"Example\"\nversion = \"1.0\"\n{keys}\n"),
    )
}

/// `alpha`, which needs `beta`, for both platforms, in the folder `channel`.
fn small(place: &Place) {
    let alpha = Package::named("alpha 1.0 0").needs(&["beta"]);
    let arm = alpha.clone().on("linux-aarch64");
    publish(
        place,
        "channel",
        &[alpha, arm, Package::generic("beta 2.1 0")],
    );
}

/// Resolves only, without runtimes.
fn dry(place: &Place, spec: &Path, arguments: &[&str]) -> Output {
    run(place
        .build(Path::new("/nonexistent"), spec)
        .arg("--dry-run")
        .args(arguments))
}

/// The packages of a platform in the report of `--json`.
fn packages(report: &Value, platform: &str) -> Vec<String> {
    let installers = report["installers"]
        .as_array()
        .expect("a list of installers");
    let installer = installers.iter().find(|one| one["platform"] == platform);
    let packages = installer.expect(platform)["packages"]
        .as_array()
        .expect("a list of packages");
    packages
        .iter()
        .map(|name| name.as_str().expect("a name").to_owned())
        .collect()
}

/// Runs an installer for this machine.
fn installer(place: &Place, file: &str, arguments: &[&str]) -> Output {
    run(place
        .command("sh")
        .arg(place.out().join(file))
        .args(arguments))
}
