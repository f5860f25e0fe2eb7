//! The process is killed at any moment; the next run makes everything right.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fs_err as fs;

use super::indexer;
use crate::support::package::Package;
use crate::support::run::{Place, run};

fn packages(round: usize) -> Vec<Package> {
    (0..40)
        .map(|number| {
            let package = Package::named(&format!("name{} 1.{round} {number}", number % 7));
            if number % 4 == 0 {
                package.bzipped()
            } else {
                package
            }
        })
        .collect()
}

/// All files but the cache and what waits for its end; times vary, and so do the hashes in the page.
fn files(channel: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for subdir in ["linux-64", "noarch"] {
        for entry in fs::read_dir(channel.join(subdir)).expect("a folder") {
            let path = entry.expect("a file").path();
            let name = format!("{subdir}/{}", path.file_name().expect("a name").display());
            if !name.contains(".msgpack") {
                files.insert(name, fs::read(path).expect("a file"));
            }
        }
    }
    files
}

/// Every file that a client may read is whole, whatever the moment.
fn check(channel: &Path) {
    let folder = channel.join("linux-64");
    let Ok(plain) = fs::read(folder.join("repodata.json")) else {
        return;
    };
    let repodata: serde_json::Value = serde_json::from_slice(&plain).expect("repodata is whole");
    for (name, _) in repodata["packages.conda"].as_object().expect("a section") {
        assert!(folder.join(name).is_file(), "{name}");
    }
    if let Ok(packed) = fs::read(folder.join("repodata.json.zst")) {
        let plain = zstd::decode_all(&packed[..]).expect("a whole stream");
        let _: serde_json::Value = serde_json::from_slice(&plain).expect("JSON");
    }
    if let Ok(index) = fs::read(folder.join("repodata_shards.msgpack.zst")) {
        zstd::decode_all(&index[..]).expect("a whole index");
    }
}

#[test]
fn killed_at_any_moment() {
    let place = Place::new();
    let channel = place.join("channel");
    let arguments = [
        "--zst",
        "--bz2",
        "--run-exports",
        "--write-shards",
        "--current-repodata",
    ];
    let mut delay = Duration::ZERO;
    for round in 0..12 {
        for package in packages(round) {
            package.write_to(&channel);
        }
        let mut child = indexer(&place, &channel, &arguments)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("a process");
        // Ever later, until one is through.
        std::thread::sleep(delay);
        delay += Duration::from_millis(4) + delay / 3;
        child.kill().expect("a process to kill");
        child.wait().expect("its end");
        check(&channel);
    }
    run(&mut indexer(&place, &channel, &arguments)).succeeds();
    check(&channel);
    let after = files(&channel);
    assert!(
        after
            .keys()
            .all(|name| !name.contains(".archiconda-index-")),
        "{:?}",
        after.keys()
    );
    // The same packages in a channel that nobody disturbed.
    let calm = place.join("calm");
    for subdir in ["linux-64", "noarch"] {
        fs::create_dir_all(calm.join(subdir)).expect("a folder");
        for entry in fs::read_dir(channel.join(subdir)).expect("a folder") {
            let path = entry.expect("a file").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            if name.starts_with("name") {
                fs::hard_link(&path, calm.join(subdir).join(name)).expect("a link");
            }
        }
    }
    run(indexer(&place, &calm, &arguments).args(["-n", "channel"])).succeeds();
    run(indexer(&place, &channel, &arguments).args(["-n", "channel"])).succeeds();
    let (left, right) = (files(&channel), files(&calm));
    assert_eq!(
        left.keys().collect::<Vec<_>>(),
        right.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in &left {
        assert!(right[name] == *bytes, "{name} differs");
    }
}
