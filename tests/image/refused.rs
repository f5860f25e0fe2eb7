//! What cannot be baked: a clear word, the right exit code, and nothing half-written.

use fs_err as fs;
use serde_json::json;

use super::given::{Given, Put, debian, digest, docker_archive, layer, layout};
use super::{bake, channel, definition};
use crate::support::channel::publish;
use crate::support::package::{Package, executable, link_script};
use crate::support::run::{Output, Place, run};

/// Bakes over this base, and makes sure that nothing is left.
fn over(place: &Place, base: &str) -> Output {
    definition(place, &format!("base = \"{base}\""));
    let output = run(&mut bake(place, "image", &["-p", "linux-64"]));
    nothing_left(place);
    output
}

fn nothing_left(place: &Place) {
    for entry in fs::read_dir(place.path()).expect("a folder") {
        let name = entry.expect("an entry").file_name();
        let name = name.to_string_lossy();
        assert!(
            name != "image" && !name.contains("baking"),
            "{name} is left"
        );
    }
}

#[test]
fn hostile_layers() {
    let place = Place::new();
    channel(&place);
    let cases: [(&[Put<'_>], &str); 6] = [
        (&[Put::File("../x", "")], "which leads out of the image"),
        (
            &[Put::File("usr/../../x", "")],
            "which leads out of the image",
        ),
        (&[Put::File("/etc/x", "")], "with an absolute path"),
        (
            &[Put::HardLink("x", "../etc/shadow")],
            "a hard link that leads out of the image",
        ),
        (
            &[Put::HardLink("x", "/etc/shadow")],
            "a hard link that leads out of the image",
        ),
        (&[Put::Device("usr/sda")], "a device outside of /dev"),
    ];
    for (entries, expected) in cases {
        let given = Given::new("amd64", vec![debian(), layer(entries)]);
        layout(&place, "base", &[("b:1", &given)]);
        over(&place, "base")
            .exits(4)
            .says(&["cannot use the image", expected]);
    }
    // A name that says to be longer than any memory.
    let mut long = tar::Header::new_gnu();
    long.set_entry_type(tar::EntryType::GNULongName);
    long.set_size(1 << 40);
    long.set_cksum();
    let mut stream = long.as_bytes().to_vec();
    stream.resize(4 << 20, b'n');
    layout(
        &place,
        "base",
        &[("b:1", &Given::new("amd64", vec![stream]))],
    );
    over(&place, "base")
        .exits(4)
        .says(&["too much before the next file"]);
    // Whiteouts of what has no name, which would be the folder itself or the one above.
    for name in [".wh...", "usr/.wh..", "usr/.wh."] {
        let given = Given::new("amd64", vec![debian(), layer(&[Put::File(name, "")])]);
        layout(&place, "base", &[("b:1", &given)]);
        over(&place, "base")
            .exits(4)
            .says(&["which takes away what has no name"]);
    }
    // Names that no system takes, in a few kilobytes.
    for (name, expected) in [
        ("a/".repeat(300_000), "a path that is longer than any"),
        ("n".repeat(300), "a name that is longer than any"),
    ] {
        let given = Given::new("amd64", vec![debian(), named(&name)]);
        layout(&place, "base", &[("b:1", &given)]);
        let refused = over(&place, "base").exits(4).says(&[expected]);
        assert!(refused.stderr.len() < 1000, "{refused}");
        let mut inspect = place.archiconda();
        run(inspect.args(["image", "inspect", "base"]))
            .exits(4)
            .says(&[expected]);
    }
    // Links in circles.
    let circle = layer(&[Put::Link("opt", "srv"), Put::Link("srv", "opt")]);
    layout(
        &place,
        "base",
        &[("b:1", &Given::new("amd64", vec![circle]))],
    );
    over(&place, "base")
        .exits(2)
        .says(&["too many symbolic links"]);
}

/// A layer with a file whose name is in an entry of its own, however long it is.
fn named(name: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(name.len() as u64);
    header.set_cksum();
    let mut stream = header.as_bytes().to_vec();
    stream.extend_from_slice(name.as_bytes());
    stream.resize(stream.len().next_multiple_of(512), 0);
    stream.extend(layer(&[Put::File("x", "")]));
    stream
}

#[test]
fn hostile_archives_and_indexes() {
    let place = Place::new();
    channel(&place);
    let inspect = |image: &str| {
        let mut inspect = place.archiconda();
        run(inspect.args(["image", "inspect", image]))
    };
    // A name in the archive itself that is as long as it.
    let given = Given::new("amd64", vec![debian()]);
    docker_archive(&place, "docker.tar", &["b:1"], &given);
    let mut bytes = named(&"n".repeat(3 << 20));
    bytes.extend(fs::read(place.join("docker.tar")).expect("an archive"));
    place.write("long.tar", bytes);
    inspect("long.tar").exits(2).says(&["no archive of images"]);
    // An index that names one many times, which names a third many times, and so on.
    layout(&place, "base", &[("b:1", &given)]);
    let mut text = json!({ "schemaVersion": 2, "manifests": [] }).to_string();
    for _ in 0..4 {
        let digest = digest(text.as_bytes());
        let blob = place.join("base/blobs").join(digest.replace(':', "/"));
        fs::write(blob, &text).expect("written");
        let descriptor = json!({
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "digest": digest,
            "size": text.len(),
        });
        text = json!({ "schemaVersion": 2, "manifests": vec![descriptor; 2000] }).to_string();
    }
    place.write("base/index.json", text);
    inspect("base").exits(4).says(&["more images than anybody"]);
    over(&place, "base").exits(4);
    // A name that steers the terminal.
    layout(&place, "base", &[("b\u{1b}[2J:1", &given)]);
    inspect("base").succeeds().prints(&["b\\u{1b}[2J:1"]);
}

#[test]
fn damaged_bases() {
    let place = Place::new();
    channel(&place);
    let fresh = || {
        let _ = fs::remove_dir_all(place.join("base"));
        layout(
            &place,
            "base",
            &[("b:1", &Given::new("amd64", vec![debian()]))],
        )
    };
    let blobs = || -> Vec<std::path::PathBuf> {
        let folder = fresh().join("blobs/sha256");
        let entries = fs::read_dir(folder).expect("blobs");
        entries.map(|entry| entry.expect("a blob").path()).collect()
    };
    let count = blobs().len();
    assert_eq!(count, 3, "a layer, a configuration, a manifest");
    for number in 0..count {
        let path = blobs().swap_remove(number);
        fs::remove_file(&path).expect("removed");
        over(&place, "base").exits(4).says(&["is missing"]);

        let path = blobs().swap_remove(number);
        let mut bytes = fs::read(&path).expect("a blob");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, &bytes).expect("written");
        over(&place, "base").exits(4);

        let path = blobs().swap_remove(number);
        bytes[last] ^= 1;
        bytes.push(b' ');
        fs::write(&path, &bytes).expect("written");
        over(&place, "base").exits(4).says(&["the digest of"]);

        let path = blobs().swap_remove(number);
        fs::write(&path, &bytes[..last / 2]).expect("written");
        over(&place, "base").exits(4);
    }
}

#[test]
fn what_is_no_base_for_it() {
    let place = Place::new();
    channel(&place);
    over(&place, "nowhere")
        .exits(2)
        .says(&["nowhere", "there is no such file or folder"]);
    place.write("text", "text");
    over(&place, "text").exits(2).says(&["no OCI layout"]);
    place.write("packed.tar", super::given::gzip(b"x"));
    over(&place, "packed.tar")
        .exits(2)
        .says(&["compressed as a whole"]);
    fs::create_dir(place.join("empty")).expect("a folder");
    over(&place, "empty").exits(2).says(&["no OCI layout"]);
    over(&place, "debian:bookworm")
        .exits(2)
        .says(&["debian:bookworm", "`docker://NAME:TAG`"]);

    let given = Given::new("arm64", vec![debian()]);
    layout(&place, "base", &[("b:1", &given)]);
    over(&place, "base")
        .exits(2)
        .says(&["no image for linux/amd64, only for `linux/arm64`"]);
    over(&place, "oci:base:c:2")
        .exits(2)
        .says(&["no image `c:2`, only `b:1`"]);
    over(&place, "oci-archive:base")
        .exits(2)
        .says(&["no OCI layout"]);

    let one = Given::new("amd64", vec![debian()]);
    let two = Given::new("amd64", vec![layer(&[Put::Folder("etc/")])]);
    layout(&place, "two", &[("b:1", &one), ("b:2", &two)]);
    over(&place, "two")
        .exits(2)
        .says(&["name one of them: `b:1`, `b:2`"]);

    let layers = vec![layer(&[Put::Folder("etc/")]); 118];
    layout(&place, "high", &[("b:1", &Given::new("amd64", layers))]);
    over(&place, "high")
        .exits(2)
        .says(&["118 layers of the base", "more than 120"]);

    let full = layer(&[
        Put::Folder("opt/"),
        Put::Folder("opt/conda/"),
        Put::File("opt/conda/x", ""),
    ]);
    layout(&place, "full", &[("b:1", &Given::new("amd64", vec![full]))]);
    over(&place, "full")
        .exits(2)
        .says(&["there is something at `/opt/conda`"]);
}

#[test]
fn names_that_no_registry_has() {
    let place = Place::new();
    for name in ["docker://", "docker://Upper:1", "docker://a@sha256:00"] {
        let mut inspect = place.archiconda();
        run(inspect.args(["image", "inspect", name]))
            .exits(2)
            .says(&["docker://", " has "]);
    }
}

#[test]
fn what_only_the_target_could_run() {
    let place = Place::new();
    channel(&place);
    let scripted = Package::named("scripted 1.0 0").with(vec![
        executable("bin/scripted", "#!/bin/sh\n"),
        link_script("scripted", "post-link", "#!/bin/sh\n"),
    ]);
    let arm = scripted.clone().on("linux-aarch64");
    publish(&place, "channel", &[scripted, arm]);
    definition(&place, "packages = [\"scripted\"]");
    run(&mut bake(&place, "image", &["-p", "linux-64"]))
        .exits(2)
        .says(&[
            "the post-link script of scripted-1.0-0",
            "link_scripts = \"emulate\"",
            "\"first-run\"",
            "\"skip\"",
        ]);
    nothing_left(&place);
    definition(&place, "packages = [\"scripted\"]\nlink_scripts = \"skip\"");
    let output = run(&mut bake(&place, "image", &["-p", "linux-64"]))
        .succeeds()
        .says(&["warning: linux-64: the post-link script of scripted-1.0-0 does not run"]);
    let skipped = &output.json()["images"][0]["skipped_scripts"];
    assert_eq!(skipped[0], "the post-link script of scripted-1.0-0");
}

#[test]
fn definitions_that_cannot_be() {
    let place = Place::new();
    channel(&place);
    place.write("hostile/.wh.passwd", "");
    for (keys, code, expected) in [
        ("packages = [\"nothing\"]", 3, "cannot resolve Example"),
        ("prefetch = [\"nothing\"]", 3, "cannot resolve Example"),
        (
            "user = \"nobody-knows\"",
            2,
            "the base has no user `nobody-knows`",
        ),
        (
            "files = [{ path = \"/x\", source = \"absent\" }]",
            2,
            "absent` cannot be read",
        ),
        (
            "files = [{ path = \"/etc/passwd\", text = \"\" }]\nuser = { name = \"me\", uid = 1000 }",
            2,
            "something else of the image's own lies at `/etc/passwd`",
        ),
        (
            "files = [{ path = \"/etc\", text = \"\" }]",
            2,
            "`/etc` is a folder of the image's own",
        ),
        (
            "files = [{ path = \"/etc/profile.d/archiconda.sh/x\", text = \"\" }]",
            2,
            "`/etc/profile.d/archiconda.sh` is no folder",
        ),
        (
            "files = [{ path = \"/srv\", source = \"hostile\" }]",
            2,
            "takes away what is below",
        ),
        (
            "platforms = [\"osx-64\"]",
            2,
            "there are no images for osx-64",
        ),
        ("layers = \"many\"", 2, "image.toml:2:10"),
    ] {
        definition(&place, keys);
        let mut command = bake(&place, "image", &[]);
        run(&mut command).exits(code).says(&[expected]);
        nothing_left(&place);
    }
    let long = "p".repeat(300);
    definition(&place, &format!("prefix = \"/{long}\""));
    run(&mut bake(&place, "image", &[]))
        .exits(2)
        .says(&["has room for 255"]);
    definition(&place, "");
    place.write("dist.toml", "name = 1\n");
    run(&mut bake(&place, "image", &[]))
        .exits(2)
        .says(&["the installer's spec has mistakes", "dist.toml:1:8"]);
    run(&mut bake(&place, "image", &["--locked", "--update"])).exits(2);
}

#[test]
fn nothing_but_an_image_is_replaced() {
    let place = Place::new();
    channel(&place);
    definition(&place, "");
    place.write("full/precious", "mine");
    run(&mut bake(&place, "full", &["-p", "linux-64"]))
        .exits(2)
        .says(&["something else than images"]);
    assert!(place.join("full/precious").is_file());
    place.write("file", "mine");
    run(&mut bake(&place, "file", &["-p", "linux-64"]))
        .exits(2)
        .says(&["is no folder"]);
    fs::create_dir(place.join("folder.tar")).expect("a folder");
    run(&mut bake(&place, "folder.tar", &["-p", "linux-64"]))
        .exits(2)
        .says(&["is no file"]);
    // What a killed process left is taken away.
    place.write(".image.baking/blobs/sha256/half", "half");
    run(&mut bake(&place, "image", &["-p", "linux-64"])).succeeds();
    assert!(!place.join(".image.baking").exists());
    assert!(!place.join("image/blobs/sha256/half").exists());
    // An image, and something of somebody's beside it.
    place.write("image/precious", "mine");
    run(&mut bake(&place, "image", &["-p", "linux-64"]))
        .exits(2)
        .says(&["something else than images"]);
    assert!(place.join("image/precious").is_file());
    // Another process that bakes to the same place is no mistake in what was asked for.
    fs::create_dir(place.join(".busy.baking")).expect("a folder");
    let other = fs::File::open(place.join(".busy.baking")).expect("a folder");
    other.file().lock().expect("a lock");
    run(&mut bake(&place, "busy", &["-p", "linux-64"]))
        .exits(1)
        .says(&["`busy` is being written by another process"]);
}
