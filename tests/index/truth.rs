//! What the outputs say is what the folder holds: nothing that is gone, replaced or damaged is in any
//! of them, and nothing is touched without a reason.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use fs_err as fs;
use serde_json::json;

use super::indexer;
use crate::support::package::{Package, write_to};
use crate::support::run::{Place, run};

const ALL: [&str; 3] = ["--all", "--grace", "0s"];

/// All files below a folder but the cache's.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("a file").path();
            if path.is_file() {
                found.push(path);
            } else if path.file_name().is_some_and(|name| name != ".cache") {
                folders.push(path);
            }
        }
    }
    found
}

/// Which outputs hold a text, unpacked where they are packed.
fn mentions(channel: &Path, text: &str) -> Vec<String> {
    let holds = |path: &PathBuf| {
        let bytes = fs::read(path).expect("a file");
        let plain = match path.extension().and_then(|end| end.to_str()) {
            Some("zst") => zstd::decode_all(&*bytes).expect("a frame"),
            Some("bz2") => {
                let mut plain = Vec::new();
                let mut decoder = bzip2::read::MultiBzDecoder::new(&*bytes);
                decoder.read_to_end(&mut plain).expect("a stream");
                plain
            }
            _ => bytes,
        };
        plain
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    let is_package = |path: &PathBuf| {
        let name = path.to_string_lossy();
        name.ends_with(".conda") || name.ends_with(".tar.bz2")
    };
    let mut found: Vec<String> = files(channel)
        .iter()
        .filter(|path| !is_package(path) && holds(path))
        .map(|path| {
            path.strip_prefix(channel)
                .expect("a path")
                .display()
                .to_string()
        })
        .collect();
    found.sort();
    found
}

/// Packages under odd enough names to be searched for.
fn fill(channel: &Path) {
    for text in ["staying 1.0 0", "leaving 1.0 0", "changing 1.0 0"] {
        let package = Package {
            index: json!({ "license": format!("licence-of-{text}") }),
            ..Package::named(text)
        };
        package.clone().write_to(channel);
        package.bzipped().write_to(channel);
    }
}

#[test]
fn what_left_the_folder_left_every_output() {
    let place = Place::new();
    let channel = place.join("channel");
    fill(&channel);
    run(&mut indexer(&place, &channel, &ALL)).succeeds();
    // In all there are: repodata and what is made of it, packed and plain, shards, pages.
    assert!(
        mentions(&channel, "leaving").len() > 18,
        "{:?}",
        mentions(&channel, "leaving")
    );
    for kind in ["conda", "tar.bz2"] {
        fs::remove_file(channel.join(format!("linux-64/leaving-1.0-0.{kind}"))).expect("a package");
    }
    for _ in 0..2 {
        run(&mut indexer(&place, &channel, &ALL)).succeeds();
    }
    assert_eq!(mentions(&channel, "leaving"), Vec::<String>::new());
    assert!(mentions(&channel, "staying").len() > 18);
    // Damaged is as good as gone, but that it is told.
    let staying = Package::named("staying 1.0 0");
    write_to(&channel, &staying, b"PK\x03\x04 and no more");
    let bzipped = staying.bzipped();
    write_to(&channel, &bzipped, &bzipped.bytes()[..200]);
    for _ in 0..2 {
        run(&mut indexer(&place, &channel, &ALL)).succeeds().says(&[
            "left out `linux-64/staying-1.0-0.conda`",
            "left out `linux-64/staying-1.0-0.tar.bz2`",
        ]);
    }
    assert_eq!(mentions(&channel, "staying"), ["quarantine.json"]);
}

#[test]
fn a_replaced_package_is_another_in_every_output() {
    let place = Place::new();
    let channel = place.join("channel");
    fill(&channel);
    run(&mut indexer(&place, &channel, &ALL)).succeeds();
    let before = mentions(&channel, "licence-of-changing 1.0 0");
    assert!(before.len() > 10, "{before:?}");
    let path = channel.join("linux-64/changing-1.0-0.conda");
    let of = |licence: &str| Package {
        index: json!({ "license": licence }),
        ..Package::named("changing 1.0 0")
    };
    // The same length and the same time, but another file.
    let old = of("licence-of-changing 1.0 0");
    let other = (0..10_000).map(|number| format!("licence-of-other {number:07}"));
    let other = other
        .map(|licence| (of(&licence), licence))
        .find(|(package, _)| package.bytes().len() == old.bytes().len());
    let (new, licence) = other.expect("a package of the same length");
    let stamp = fs::metadata(&path)
        .expect("a package")
        .modified()
        .expect("a time");
    let stamped = |path: &Path, stamp| {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(path)
            .expect("a file");
        file.file().set_modified(stamp).expect("a time");
    };
    let other = channel.join("linux-64/.new");
    fs::write(&other, new.bytes()).expect("a package");
    stamped(&other, stamp);
    fs::rename(&other, &path).expect("a package");
    fs::remove_file(channel.join("linux-64/changing-1.0-0.tar.bz2")).expect("a package");
    for _ in 0..2 {
        run(&mut indexer(&place, &channel, &ALL)).succeeds();
    }
    assert_eq!(
        mentions(&channel, "licence-of-changing 1.0 0"),
        Vec::<String>::new()
    );
    assert!(mentions(&channel, &licence).len() > 10);
    // The same file with the same length and time: only reading it tells.
    fs::write(&path, old.bytes()).expect("a package");
    stamped(&path, stamp);
    run(&mut indexer(&place, &channel, &ALL)).succeeds();
    assert_eq!(
        mentions(&channel, "licence-of-changing 1.0 0"),
        Vec::<String>::new()
    );
    for arguments in [&["--all", "--grace", "0s", "--verify"][..], &ALL] {
        run(&mut indexer(&place, &channel, arguments)).succeeds();
    }
    assert_eq!(mentions(&channel, &licence), Vec::<String>::new());
}

#[test]
fn nothing_is_touched_where_nothing_changed() {
    let place = Place::new();
    let channel = place.join("channel");
    fill(&channel);
    fs::create_dir(channel.join("patch_yaml")).expect("a folder");
    let rule = "if:\n  name: staying\nthen:\n  - add_depends: added\n";
    fs::write(channel.join("patch_yaml/rule.yaml"), rule).expect("a rule");
    write_to(&channel, &Package::named("bad 1 0"), b"bad");
    fs::write(channel.join("linux-64/staying-1.0-0.conda.sigs"), "[{}]").expect("attestations");
    let arguments = ["--all", "--indexed-timestamp", "--repodata-next"];
    run(&mut indexer(&place, &channel, &arguments)).succeeds();
    let stamps = || -> BTreeMap<PathBuf, (i64, i64, u64)> {
        let of = |path: PathBuf| {
            let metadata = fs::metadata(&path).expect("a file");
            (
                path,
                (metadata.mtime(), metadata.mtime_nsec(), metadata.ino()),
            )
        };
        files(&channel).into_iter().map(of).collect()
    };
    let before = stamps();
    // A touched package is the same package.
    let staying = channel.join("linux-64/staying-1.0-0.tar.bz2");
    let bytes = fs::read(&staying).expect("a package");
    for round in 0..3 {
        if round == 1 {
            fs::write(&staying, &bytes).expect("a package");
        }
        run(&mut indexer(&place, &channel, &arguments))
            .succeeds()
            .prints(&[
                "linux-64: 6 packages, unchanged",
                "noarch: 0 packages, unchanged",
            ]);
        let mut after = stamps();
        after.insert(staying.clone(), before[&staying]);
        assert_eq!(after, before);
    }
}

#[test]
fn a_watched_channel_follows_its_folder() {
    let place = Place::new();
    let channel = place.join("channel");
    Package::named("first 1 0").write_to(&channel);
    let mut child = indexer(&place, &channel, &["--watch=0.05"])
        .stdout(Stdio::null())
        .spawn()
        .expect("a process");
    let repodata = channel.join("linux-64/repodata.json");
    let wait = |text: &str, expected: bool| {
        loop {
            let found = fs::read_to_string(&repodata).is_ok_and(|repodata| repodata.contains(text));
            if found == expected {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait("first-1-0", true);
    let second = Package::named("second 1 0").write_to(&channel);
    wait("second-1-0", true);
    fs::remove_file(second).expect("a package");
    wait("second-1-0", false);
    assert!(child.try_wait().expect("a process").is_none(), "it stays");
    child.kill().expect("a process to kill");
    child.wait().expect("its end");
    // Nobody waits for the dead.
    run(&mut indexer(&place, &channel, &["--wait", "0"])).succeeds();
}
