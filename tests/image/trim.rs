//! What is left out of an image, and what is said of what could be.

use super::{bake, definition, inspect, unpack};
use crate::support::channel::publish;
use crate::support::package::{Package, file, hard_link};
use crate::support::run::{Place, run};
use crate::support::tree::snapshot;

/// One package with something of each kind, and one that is prefetched, too.
fn packages(place: &Place) {
    let native = Package::generic("native 1.0 0").with(vec![
        file("lib/libx.a", "a".repeat(11_000_000)),
        file("lib/libx.so", "so"),
        file("lib/libkept.a", "kept"),
        hard_link("lib/libkept.so", "lib/libkept.a"),
        file("lib/python3.12/site-packages/x/tests/t.py", "test"),
        file("lib/python3.12/site-packages/x/x.py", "x"),
        file("share/doc/x/README", "read me"),
        file("share/x/a.js.map", "{}"),
        file("share/x/a.txt", "text"),
    ]);
    let tool = Package::generic("tool 1.0 0").with(vec![file("share/doc/other", "read me")]);
    publish(place, "channel", &[native, tool]);
}

#[test]
fn what_is_not_wanted_is_not_there() {
    let place = Place::new();
    packages(&place);
    definition(&place, "");
    let one = ["-p", "linux-64"];
    let output = run(&mut bake(&place, "whole", &one)).succeeds();
    let output = output.says(&["11 MB are static-libraries; `trim = [\"static-libraries\"]`"]);
    let image = &output.json()["images"][0];
    assert_eq!(image["unneeded"]["static-libraries"], 11_000_004);
    assert!(image["trimmed"].as_object().expect("an object").is_empty());
    definition(
        &place,
        "prefetch = [\"tool\"]\ntrim = [\"static-libraries\", \"tests\", \"docs\", \"**/*.js.map\"]",
    );
    let output = run(&mut bake(&place, "image", &one)).succeeds();
    let image = &output.json()["images"][0];
    assert_eq!(image["trimmed"]["native-1.0-0"], 11_000_000 + 4 + 7 + 2);
    assert_eq!(image["trimmed"]["tool-1.0-0"], serde_json::Value::Null);
    assert!(
        output
            .lines("warning")
            .iter()
            .all(|line| !line.contains("trim"))
    );
    // A table for people.
    let mut table = place.archiconda();
    table.args([
        "image",
        "bake",
        "image.toml",
        "-o",
        "table.tar",
        "-p",
        "linux-64",
    ]);
    run(&mut table).succeeds().prints(&[
        "native-1.0-0",
        "trim: 11.0 MB are left out of native-1.0-0",
        "unpacked",
    ]);
    let sizes = |image: &str| inspect(&place, image)[0]["size"].as_u64().expect("bytes");
    assert!(sizes("image") < sizes("whole"));
    let Some(root) = unpack(&place, "image:example:1.0", "bundle") else {
        return;
    };
    let tree = snapshot(&root);
    let has = |path: &str| tree.0.contains_key(&format!("opt/conda/{path}"));
    for path in [
        "lib/libx.so",
        "lib/libkept.a",
        "lib/libkept.so",
        "lib/python3.12/site-packages/x/x.py",
        "share/x/a.txt",
        // In the package cache, and so whole.
        "share/doc/other",
        "pkgs/tool-1.0-0/share/doc/other",
    ] {
        assert!(has(path), "{path}");
    }
    for path in [
        "lib/libx.a",
        "lib/python3.12/site-packages/x/tests/t.py",
        "share/doc/x/README",
        "share/x/a.js.map",
    ] {
        assert!(!has(path), "{path}");
    }
    // conda is told what is there.
    let record = root.join("opt/conda/conda-meta/native-1.0-0.json");
    let record = fs_err::read_to_string(record).expect("a record");
    let record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
    let files = record["files"].as_array().expect("files");
    assert_eq!(files.len(), 5);
    assert_eq!(
        record["paths_data"]["paths"].as_array().map(Vec::len),
        Some(5)
    );
    for file in files {
        assert!(has(file.as_str().expect("a path")), "{file}");
    }
}

#[test]
fn bytecode_that_was_asked_for_is_not_called_unneeded() {
    let place = Place::new();
    let path = "lib/python3.12/site-packages/x/__pycache__/x.cpython-312.pyc";
    let package = Package::generic("native 1.0 0").with(vec![file(path, "a".repeat(11_000_000))]);
    publish(
        &place,
        "channel",
        &[package, Package::generic("tool 1.0 0")],
    );
    for (text, warns) in [("", true), ("pyc = \"host-python\"", false)] {
        definition(&place, text);
        let output = run(&mut bake(&place, "image", &["-p", "linux-64"])).succeeds();
        let warnings = output.lines("warning");
        let told = warnings
            .iter()
            .any(|line| line.contains("11 MB are pycache"));
        assert_eq!(told, warns, "{warnings:?}");
        assert_eq!(
            output.json()["images"][0]["unneeded"]["pycache"],
            11_000_000
        );
    }
}
