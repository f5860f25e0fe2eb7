//! `archiconda image`: what it bakes, what engines' own tools make of it, and what it says when it
//! cannot.

mod bake;
mod bases;
mod bills;
mod cache;
mod compile;
mod debian;
mod debs;
pub(crate) mod engines;
mod envs;
mod finished;
mod given;
mod mirror;
mod prefetch;
mod pull;
mod push;
pub(crate) mod real;
mod refused;
mod registry;
mod scripts;
mod trim;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::channel::publish;
use crate::support::package::{
    Package, binary_prefix, executable, file, hard_link, symbolic_link, text_prefix,
};
use crate::support::requirements::program;
use crate::support::run::{Place, run};

/// Packages of all kinds for both platforms, in the folder `channel`.
fn channel(place: &Place) {
    let python = Package::named("python 3.12.1 0").with(vec![
        executable("bin/python3.12", "#!/bin/sh\nexit 0\n"),
        symbolic_link("bin/python", "python3.12"),
        hard_link("bin/python3", "bin/python3.12"),
    ]);
    let native = Package::named("native 1.0 0").with(vec![
        binary_prefix("lib/native.so", &["/lib", "/share:", ""]),
        text_prefix("etc/native.conf", "home = @PREFIX@\n"),
        text_prefix("bin/native", "#!@PREFIX@/bin/python\nrun()\n"),
        file("share/text", "words ".repeat(500_000)),
        file("share/empty", ""),
    ]);
    let other = Package::generic("other 2.0 0");
    let arm = |package: &Package| package.clone().on("linux-aarch64");
    let packages = [
        arm(&python),
        arm(&native),
        tool("1.0"),
        python,
        native,
        other,
    ];
    publish(place, "channel", &packages);
}

/// A package whose modules an installation compiles.
fn tool(version: &str) -> Package {
    let points = ["tool = tool.cli:main", "other = tool.cli:other"];
    let module = format!("def main(): print({version:?})\n");
    Package::python(&format!("tool {version} 0"), &points)
        .with(vec![file("site-packages/tool/cli.py", module)])
}

/// Writes `dist.toml`, a spec over the folder `channel`, and `image.toml`, a definition with these
/// keys.
fn definition(place: &Place, keys: &str) -> PathBuf {
    place.write(
        "dist.toml",
        "name = \"Example\"\nversion = \"1.0\"\nchannels = [\"./channel\"]\n\
         specs = [\"tool\", \"native\"]\nwrite_condarc = true\n\
         extra_files = [{ \"readme\" = \"share/readme\" }]\n",
    );
    place.write("readme", "Read me.\n");
    place.write("image.toml", format!("installer = \"dist.toml\"\n{keys}\n"))
}

/// `archiconda image bake image.toml --output OUTPUT --json`.
fn bake(place: &Place, output: &str, arguments: &[&str]) -> Command {
    let mut command = place.archiconda();
    command
        .args(["image", "bake", "image.toml", "--json", "--output", output])
        .args(arguments);
    command
}

/// What `archiconda image inspect --json` says of an image's platforms.
fn inspect(place: &Place, image: &str) -> Vec<Value> {
    let mut command = place.archiconda();
    let said = run(command.args(["image", "inspect", image, "--json"])).succeeds();
    said.json()["images"].as_array().expect("images").clone()
}

/// What a container of the image would see, made by umoci in `NAME/rootfs`.
fn unpack(place: &Place, layout: &str, name: &str) -> Option<PathBuf> {
    let umoci = program("umoci")?;
    let mut command = place.command(umoci);
    command.args(["unpack", "--image", layout, name]);
    if !rustix::process::geteuid().is_root() {
        command.arg("--rootless");
    }
    run(&mut command).succeeds();
    Some(place.join(name).join("rootfs"))
}

/// Installs what was built of `NAME` 1.0 for linux-64.
fn install(place: &Place, name: &str, option: &str, prefix: &Path) {
    let script = format!("umask 022; exec sh out/{name}-1.0-Linux-x86_64.sh -b {option} -p \"$0\"");
    run(place.command("sh").args(["-c", &script]).arg(prefix)).succeeds();
}

/// The digests of an image's layers, from the lowest upwards.
fn digests(image: &Value) -> Vec<String> {
    let layers = image["layers"].as_array().expect("layers");
    let digest = |layer: &Value| layer["digest"].as_str().expect("a digest").to_owned();
    layers.iter().map(digest).collect()
}
