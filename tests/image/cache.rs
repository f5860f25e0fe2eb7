//! Layers that are not built again: from the cache folder, from a layout, from a registry; and never wrong
//! ones.

use fs_err as fs;
use serde_json::Value;

use super::given::{Given, debian, layout};
use super::push::push;
use super::registry::Registry;
use super::{bake, channel, definition, inspect, tool};
use crate::support::channel::publish;
use crate::support::requirements;
use crate::support::run::{Place, run};
use crate::support::server::Server;

/// Which layers of packages were not built.
fn cached(said: &Value) -> Vec<bool> {
    let layers = said["images"][0]["layers"].as_array().expect("layers");
    layers
        .iter()
        .filter(|layer| layer["kind"] == "packages")
        .map(|layer| layer["cached"].as_bool().expect("a word"))
        .collect()
}

fn baked(place: &Place, output: &str, arguments: &[&str]) -> Value {
    let mut command = bake(place, output, &["-p", "linux-64"]);
    run(command.args(arguments)).succeeds().json()
}

/// What lies in an image, apart from whether it was built.
fn same(place: &Place, one: &str, other: &str) {
    let mut compare = place.command("diff");
    run(compare.args(["-r", one, other])).succeeds();
}

#[test]
fn only_what_changed_is_built() {
    let place = Place::new();
    channel(&place);
    definition(&place, "prefetch = [\"other\"]");
    let first = baked(&place, "first", &[]);
    assert_eq!(cached(&first), [false; 4]);
    let second = baked(&place, "second", &[]);
    assert_eq!(cached(&second), [true; 4]);
    same(&place, "first", "second");
    let sizes = |said: &Value| {
        let layers = said["images"][0]["layers"].as_array().expect("layers");
        layers
            .iter()
            .map(|layer| (layer["size"].clone(), layer["packages"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(sizes(&first), sizes(&second));
    let third = baked(&place, "third.tar", &["--no-cache"]);
    assert_eq!(cached(&third), [false; 4]);
    assert_eq!(third["digest"], first["digest"]);
    // One package is another one: its layer alone is built.
    publish(&place, "channel", &[tool("1.1")]);
    let fourth = baked(&place, "fourth", &["--update"]);
    assert_eq!(cached(&fourth).iter().filter(|cached| !**cached).count(), 1);
    // The same packages otherwise: at another prefix, compressed otherwise, or on a base with such a folder.
    definition(&place, "prefetch = [\"other\"]\nprefix = \"/opt/c\"");
    assert_eq!(cached(&baked(&place, "other", &[])), [false; 4]);
    definition(&place, "prefetch = [\"other\"]\ncompression = \"zstd\"");
    assert_eq!(cached(&baked(&place, "other", &[])), [false; 4]);
    layout(
        &place,
        "base",
        &[("b:1", &Given::new("amd64", vec![debian()]))],
    );
    definition(&place, "prefetch = [\"other\"]\nbase = \"base\"");
    assert_eq!(cached(&baked(&place, "other", &[])), [false; 4]);
}

#[test]
fn a_damaged_cache_is_no_cache() {
    let place = Place::new();
    channel(&place);
    definition(&place, "");
    let first = baked(&place, "first", &[]);
    let count = cached(&first).len();
    let folder = place.join("cache/images/layers");
    let damage = |change: &dyn Fn(&mut Vec<u8>)| {
        for entry in fs::read_dir(folder.join("blobs")).expect("blobs") {
            // Beside it, so that the first image stays.
            let path = entry.expect("an entry").path();
            let mut bytes = fs::read(&path).expect("a blob");
            change(&mut bytes);
            fs::remove_file(&path).expect("removed");
            fs::write(&path, bytes).expect("written");
        }
    };
    let registry = Registry::start();
    let name = format!("{}/a:1", registry.authority());
    baked(&place, "first.tar", &[]);
    for (first, output) in [("first", "second"), ("first.tar", "second.tar")] {
        for threads in ["1", "2"] {
            damage(&|bytes| bytes[20] ^= 1);
            let mut command = bake(&place, output, &["-p", "linux-64", "--threads", threads]);
            let again = run(&mut command).succeeds();
            let again = again.says(&["the kept layer", "is damaged; the image is baked again"]);
            assert_eq!(cached(&again.json()), vec![false; count]);
            same(&place, first, output);
        }
        // What is too short is seen before anything is made of it.
        damage(&|bytes| bytes.truncate(20));
        let again = run(&mut bake(&place, output, &["-p", "linux-64"])).succeeds();
        let again = again.hides(&["damaged"]);
        assert_eq!(cached(&again.json()), vec![false; count]);
        same(&place, first, output);
    }
    // Nothing wrong reaches a registry.
    damage(&|bytes| bytes[20] ^= 1);
    let pushed = run(&mut push(&place, &name, &["-p", "linux-64"])).succeeds();
    assert_eq!(cached(&pushed.json()), vec![false; count]);
    for entry in fs::read_dir(&folder).expect("entries") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            fs::write(path, "{").expect("written");
        }
    }
    let third = baked(&place, "third", &[]);
    assert_eq!(cached(&third), vec![false; count]);
    same(&place, "first", "third");
}

#[test]
fn layers_come_from_images_that_are_named() {
    let place = Place::new();
    channel(&place);
    definition(&place, "");
    let registry = Registry::start();
    let name = format!("{}/a:1", registry.authority());
    run(&mut push(&place, &name, &["--output", "first"])).succeeds();
    let count = cached(&baked(&place, "layout", &[])).len();
    baked(&place, "first.tar", &[]);
    let remote = format!("docker://{name}");
    for from in ["layout", "first.tar", &remote, &name] {
        for arguments in [
            &["--no-cache", "--cache-from", from][..],
            &[
                "--no-cache",
                "--cache-from",
                "nowhere/a:1",
                "--cache-from",
                from,
                "--offline",
            ],
        ] {
            if arguments.contains(&"--offline") && from.contains("a:1") {
                continue;
            }
            let said = baked(&place, "again", arguments);
            assert_eq!(cached(&said), vec![true; count], "{from}");
            same(&place, "layout", "again");
        }
    }
    // What cannot be used is told, and does no harm.
    let before = registry.requests().len();
    let mut command = bake(&place, "again", &["-p", "linux-64", "--no-cache"]);
    let gone = format!("{}/a:2", registry.authority());
    let output = run(command.args(["--cache-from", &gone])).succeeds();
    let output = output.says(&["warning", "no layers from", "has no `2`"]);
    assert_eq!(cached(&output.json()), vec![false; count]);
    assert_eq!(registry.requests().len(), before + 1);
    let image = inspect(&place, "layout");
    let layer = image[0]["layers"][0]["digest"].as_str().expect("a digest");
    let blob = place.join("layout/blobs").join(layer.replace(':', "/"));
    let mut bytes = fs::read(&blob).expect("a blob");
    bytes[20] ^= 1;
    fs::remove_file(&blob).expect("removed");
    fs::write(&blob, bytes).expect("written");
    let mut command = bake(&place, "again", &["-p", "linux-64", "--no-cache"]);
    let output = run(command.args(["--cache-from", "layout"])).succeeds();
    let output = output.says(&["no layers from `layout`", "the digest of"]);
    assert_eq!(
        cached(&output.json()).iter().filter(|one| !**one).count(),
        1
    );
    // Nothing of it is left in the image that is there now.
    for entry in fs::read_dir(place.join("again")).expect("a layout") {
        let name = entry.expect("an entry").file_name();
        let names = ["blobs", "index.json", "oci-layout"];
        assert!(names.iter().any(|one| name == *one), "{}", name.display());
    }
}

/// Changes bits of each download.
pub(super) fn spoil(place: &Place) {
    let mut count = 0;
    let folder = place.join("cache/packages/sha256");
    for folder in fs::read_dir(folder).expect("the store") {
        for entry in fs::read_dir(folder.expect("an entry").path()).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_none() {
                let mut bytes = fs::read(&path).expect("an archive");
                let length = bytes.len();
                for byte in bytes[length / 4..length / 4 * 3].iter_mut().step_by(16) {
                    *byte ^= 1;
                }
                fs::remove_file(&path).expect("removed");
                fs::write(&path, bytes).expect("written");
                count += 1;
            }
        }
    }
    assert!(count > 1);
}

#[test]
fn damaged_downloads_are_fetched_again() {
    let place = Place::new();
    channel(&place);
    definition(&place, "");
    let server = Server::start(&place.join("channel"));
    let text = fs::read_to_string(place.join("dist.toml")).expect("a spec");
    place.write("dist.toml", text.replace("./channel", &server.url()));
    let again = ["-p", "linux-64", "--no-cache"];
    let first = run(&mut bake(&place, "first", &again)).succeeds().json();
    for plans in [true, false] {
        spoil(&place);
        if !plans {
            fs::remove_dir_all(place.join("cache/plans")).expect("plans");
        }
        let output = run(&mut bake(&place, "second", &again)).succeeds();
        let output = output.says(&["is damaged; it is fetched again"]);
        assert_eq!(output.json()["digest"], first["digest"]);
    }
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let build = || run(place.build(&runtimes, "dist.toml").args(["-p", "linux-64"])).succeeds();
    build();
    let installer = place.out().join("Example-1.0-Linux-x86_64.sh");
    let first = fs::read(&installer).expect("an installer");
    spoil(&place);
    build().says(&["is damaged; it is fetched again"]);
    assert!(fs::read(&installer).expect("an installer") == first);
}
