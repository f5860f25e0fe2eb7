//! The bootstrap distribution as an image: its Python starts, on this machine and in the arm64
//! userland. Part of the bootstrap channel's own test, since making that takes minutes.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::unpack;
use crate::support::run::{Place, run};

/// Bakes `boot.toml` of the place, and brings the prefix where it says to be, below `root`.
pub(crate) fn install(
    place: &Place,
    platform: &str,
    root: &Path,
    prefix: &Path,
) -> Option<PathBuf> {
    let definition = format!(
        "installer = \"boot.toml\"\nprefix = \"{}\"\n",
        prefix.display()
    );
    place.write("boot-image.toml", definition);
    let layout = format!("image-{platform}");
    let mut bake = place.archiconda();
    bake.args(["image", "bake", "boot-image.toml", "--platform", platform])
        .args(["--output", &layout, "--locked"]);
    run(&mut bake).succeeds();
    let bundle = format!("bundle-{platform}");
    let unpacked = unpack(place, &format!("{layout}:boot:1"), &bundle)?;
    let below = prefix.strip_prefix("/").expect("absolute");
    let there = root.join(below);
    let mut copy = place.command("cp");
    copy.arg("-a").arg(unpacked.join(below)).arg(&there);
    run(&mut copy).succeeds();
    fs::remove_dir_all(place.join(bundle)).expect("removed");
    Some(there)
}
