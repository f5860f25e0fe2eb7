//! Finished installers as what is in an image: the same image as from their spec, and nothing from a damaged one.

use fs_err as fs;
use serde_json::Value;

use super::{bake, channel, definition};
use crate::support::requirements;
use crate::support::run::{Output, Place, run};

const INTEL: &str = "out/Example-1.0-Linux-x86_64.sh";
const ARM: &str = "out/Example-1.0-Linux-aarch64.sh";

/// Bakes at a fixed time.
fn baked(place: &Place, output: &str, arguments: &[&str]) -> Output {
    run(bake(place, output, arguments).env("SOURCE_DATE_EPOCH", "1700000000"))
}

/// A place with installers for both platforms, an image of their spec in `image`, and no channel any more; and what
/// was said of that image.
fn place() -> Option<(Place, Value)> {
    let runtimes = requirements::runtimes()?;
    let place = Place::new();
    channel(&place);
    definition(&place, "");
    let said = baked(&place, "image", &[]).succeeds().json();
    let mut build = place.build(&runtimes, "dist.toml");
    run(build.env("SOURCE_DATE_EPOCH", "1700000000")).succeeds();
    fs::remove_dir_all(place.join("channel")).expect("removed");
    fs::remove_file(place.join("dist.toml")).expect("removed");
    Some((place, said))
}

#[test]
fn it_is_the_image_of_the_spec() {
    let Some((place, said)) = place() else {
        return;
    };
    let images = said["images"].as_array().expect("images").iter();
    let order: Vec<&str> = images
        .filter_map(|image| image["platform"].as_str())
        .collect();
    let both = format!(
        "platforms = {order:?}\n[target.linux-64]\ninstaller = \"{INTEL}\"\n[target.linux-aarch64]\ninstaller = \"{ARM}\"\n"
    );
    place.write("image.toml", both);
    for arguments in [
        &[][..],
        &["--no-cache", "--offline", "--locked"],
        &["--no-cache", "--threads", "1"],
    ] {
        let again = baked(&place, "again", arguments).succeeds().json();
        assert_eq!(again["digest"], said["digest"], "{arguments:?}");
        assert_eq!(again["tags"], said["tags"]);
    }
    for ending in ["linux-64.spdx.json", "linux-aarch64.cdx.json"] {
        let bill = |name: &str| fs::read(place.join(format!("{name}-{ending}"))).expect("a bill");
        assert_eq!(bill("again"), bill("image"), "{ending}");
    }
    // One alone is for its platform.
    place.write("image.toml", format!("installer = \"{ARM}\"\n"));
    let one = baked(&place, "one", &[]).succeeds().json();
    let arm = |said: &Value| {
        let images = said["images"].as_array().expect("images").iter();
        let mut arm = images.filter(|image| image["platform"] == "linux-aarch64");
        arm.next().expect("an image").clone()
    };
    assert_eq!(arm(&one)["digest"], arm(&said)["digest"]);
    assert_eq!(one["images"].as_array().map(Vec::len), Some(1));
    let names = |said: &Value| {
        let layers = arm(said)["layers"].as_array().expect("layers").clone();
        let packages = layers
            .iter()
            .filter_map(|layer| layer["packages"].as_array());
        let names = packages
            .flatten()
            .map(|package| package["name"].to_string());
        names.collect::<Vec<_>>()
    };
    let dry = baked(&place, "none", &["--dry-run"]).succeeds().json();
    assert_eq!(names(&dry), names(&said));
    baked(&place, "none", &["-p", "linux-64"]).exits(2).says(&[
        "`installer`",
        "is for linux-aarch64",
        "[target.linux-64]",
    ]);
    assert!(!place.join("none").exists());
}

#[test]
fn a_damaged_one_is_refused() {
    let Some((place, _)) = place() else {
        return;
    };
    place.write("image.toml", "installer = \"a.sh\"\n");
    let whole = fs::read(place.join(INTEL)).expect("an installer");
    let try_with = |bytes: &[u8]| {
        place.write("a.sh", bytes);
        let output = baked(&place, "new", &[]);
        assert!(!place.join("new").exists());
        output
    };
    let length = whole.len();
    // In the shell text, in the program, in files and plans, in the index, in the trailer.
    for position in [3000, length / 4, length - 3000, length - 700, length - 20] {
        let mut bytes = whole.clone();
        bytes[position] ^= 1;
        try_with(&bytes)
            .exits(4)
            .says(&["`", "a.sh", "is damaged; get it anew"]);
    }
    for cut in [length - 1, length / 2, 9000] {
        try_with(&whole[..cut]).exits(4).says(&["is damaged"]);
    }
    for text in [
        "",
        "#!/bin/sh\n# NAME:  Miniconda3\n",
        "name = \"Example\"\n",
    ] {
        try_with(text.as_bytes())
            .exits(2)
            .says(&["is no installer that build-installer made", "spec"]);
    }
    place.write("image.toml", "installer = \"gone.sh\"\n");
    baked(&place, "new", &[])
        .exits(1)
        .says(&["cannot read", "gone.sh"]);
    place.write(
        "image.toml",
        "installer = \"a.sh\"\npackages = [\"other\"]\n",
    );
    baked(&place, "new", &[])
        .exits(2)
        .says(&["`packages` needs channels", "name the distribution's spec"]);
}
