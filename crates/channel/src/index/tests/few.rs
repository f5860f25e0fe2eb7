//! Runs that touch few packages of many come to what a run over all of them comes to.

use std::collections::BTreeMap;
use std::path::Path;

use archive::digest::Sha256;
use archive::package::Kind;

use super::{package, put, repodata, run};
use crate::{Options, Outputs, index};

fn shards_alone() -> Options {
    Options {
        outputs: Outputs {
            monolithic: false,
            shards: true,
            ..Outputs::default()
        },
        ..Options::default()
    }
}

fn text(name: &str, version: &str, depends: &str) -> String {
    format!(
        "{{\"name\":\"{name}\",\"version\":\"{version}\",\"build\":\"0\",\"depends\":[\"{depends}\"]}}"
    )
}

/// All shards and their index.
fn shards(channel: &Path) -> BTreeMap<String, Sha256> {
    let folder = channel.join("noarch");
    fs_err::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".msgpack.zst"))
        .map(|name| {
            let digest = Sha256::of(&fs_err::read(folder.join(&name)).unwrap());
            (name, digest)
        })
        .collect()
}

#[test]
fn shards_alone_are_the_same_after_each_package() {
    let channel = tempfile::tempdir().unwrap();
    // The third does not have the name that its file has, and the fourth the name of the second.
    let packages = [
        ("a-1-0.conda", "a"),
        ("a-b-1-0.conda", "a-b"),
        ("other-1-0.conda", "a"),
        ("a-b-c-1-0.tar.bz2", "a-b"),
        ("a-2-0.conda", "a"),
    ];
    for (number, (file, name)) in packages.iter().enumerate() {
        let kind = Kind::from_file_name(file).unwrap();
        let bytes = package(kind, &text(name, &number.to_string(), "x"));
        put(channel.path(), &format!("noarch/{file}"), &bytes);
        let report = index(channel.path(), &shards_alone(), &|_| {}).unwrap();
        let noarch = &report.subdirs[0];
        assert_eq!((noarch.packages, noarch.read), (number + 1, 1));
        // Somebody who knows nothing of earlier runs.
        let fresh = tempfile::tempdir().unwrap();
        let copy = fresh.path().join("noarch");
        fs_err::create_dir(&copy).unwrap();
        for (file, _) in &packages[..=number] {
            let from = channel.path().join("noarch").join(file);
            let modified = fs_err::metadata(&from).unwrap().modified().unwrap();
            fs_err::copy(from, copy.join(file)).unwrap();
            let file = fs_err::OpenOptions::new().write(true).open(copy.join(file));
            file.unwrap().file().set_modified(modified).unwrap();
        }
        index(fresh.path(), &shards_alone(), &|_| {}).unwrap();
        let (ours, expected) = (shards(channel.path()), shards(fresh.path()));
        for (name, digest) in &expected {
            assert_eq!(ours.get(name), Some(digest), "{name}");
        }
    }
    // A removed package leaves its shard.
    fs_err::remove_file(channel.path().join("noarch/a-1-0.conda")).unwrap();
    let before = shards(channel.path());
    let report = index(channel.path(), &shards_alone(), &|_| {}).unwrap();
    assert_eq!(report.subdirs[0].packages, 4);
    let changed = shards(channel.path());
    assert_ne!(
        before["repodata_shards.msgpack.zst"],
        changed["repodata_shards.msgpack.zst"]
    );
}

#[test]
fn what_verifying_finds_is_written_down() {
    let channel = tempfile::tempdir().unwrap();
    let (one, other) = (
        package(Kind::Conda, &text("a", "1", "x")),
        package(Kind::Conda, &text("a", "1", "y")),
    );
    assert_eq!(one.len(), other.len());
    put(channel.path(), "noarch/a-1-0.conda", &one);
    run(channel.path());
    let path = channel.path().join("noarch/a-1-0.conda");
    let modified = fs_err::metadata(&path).unwrap().modified().unwrap();
    fs_err::write(&path, &other).unwrap();
    let file = fs_err::OpenOptions::new().write(true).open(&path).unwrap();
    file.file().set_modified(modified).unwrap();
    run(channel.path());
    assert!(repodata(channel.path(), "noarch").contains("\"x\""));
    let verify = Options {
        verify: true,
        ..super::options()
    };
    let report = index(channel.path(), &verify, &|_| {}).unwrap();
    assert!(report.subdirs[0].changed);
    assert!(repodata(channel.path(), "noarch").contains("\"y\""));
    assert!(!index(channel.path(), &verify, &|_| {}).unwrap().subdirs[0].changed);
}
