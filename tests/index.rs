//! `archiconda index` as the indexer that takes conda-index's place: the same bytes, the same options,
//! and right outputs whatever happens to the process.

mod bucket;
mod ceps;
mod clients;
mod crash;
mod database;
mod golden;
mod import;
mod options;
mod truth;

use std::path::Path;
use std::process::Command;

use fs_err as fs;
use serde_json::json;

use crate::support::package::{Package, write_to};
use crate::support::run::{Place, run};

/// `archiconda index DIR` with arguments.
fn indexer(place: &Place, channel: &Path, arguments: &[&str]) -> Command {
    let mut command = place.archiconda();
    command.arg("index").arg(channel).args(arguments);
    command
}

/// Packages of which conda-index 0.13 makes something, however odd it is.
fn odd_packages() -> Vec<Package> {
    let index = |index: serde_json::Value, text: &str| Package {
        index,
        ..Package::named(text)
    };
    let rare = json!({
        "track_features": "a b", "features": "x", "constrains": [], "namespace": "n", "icon": null,
        "preferred_env": "_e_", "requires": ["z 1"], "app_entry": "x", "unknown": {"b": [1.50, -0.0, 1e300], "a": null},
        "arch": "x86_64", "platform": "linux", "has_prefix": true, "binstar": {"a": 1}, "machine": "m",
        "summary": "naïve – \u{1f600} \u{7f} \u{2028} \"quoted\" \\ / \t", "license_url": "https://example.org/?a=b&c=<d>",
        "md5": "0", "sha256": [], "size": "large", "big": 123_456_789_012_345_678_u64,
    });
    let mut packages = vec![
        index(rare, "rare 1.0 0"),
        index(
            json!({ "timestamp": null, "license": null, "subdir": null }),
            "bare 1 0",
        ),
        index(json!({ "timestamp": 1_500_000_000 }), "seconds 1 0"),
        index(json!({ "depends": null }), "nodepends 2 0"),
        Package::named("twin 1.0 0").needs(&["b >=1,<2", "a 1.*", "c"]),
        Package::named("twin 1.0 0")
            .needs(&["b >=1,<2", "a 1.*", "c"])
            .bzipped(),
        Package::named("twin 1.1 0").needs(&["old <2"]).bzipped(),
        Package::named("old 1.0 0"),
        Package::named("old 2.0 0"),
        Package::named("old 2.0 1").bzipped(),
        Package::named("upper-Case_2 2!1.0+local h1_0"),
        Package::python("tool 0.3 py_0", &["tool = tool:main"]),
        Package::generic("data 2021a 0").bzipped(),
    ];
    let run_exports = [
        r#"{"weak":["libx >=1","é"],"strong":[],"noarch":["n"]}"#,
        "{}",
        "null",
    ];
    for (number, text) in run_exports.into_iter().enumerate() {
        let mut package = Package::named(&format!("exports{number} 1 0"));
        if number == 0 {
            package = package.bzipped();
        }
        package
            .info
            .push(("info/run_exports.json", text.to_owned()));
        packages.push(package);
    }
    packages
}

/// The real packages of the shared data, as links.
fn link_real(from: &Path, channel: &Path) {
    for subdir in ["linux-aarch64", "noarch"] {
        fs::create_dir_all(channel.join(subdir)).expect("a folder");
        for entry in fs::read_dir(from.join(subdir)).expect("packages") {
            let path = fs::canonicalize(entry.expect("a package").path()).expect("a path");
            let name = path.file_name().expect("a name");
            fs::os::unix::fs::symlink(&path, channel.join(subdir).join(name)).expect("a link");
        }
    }
}

#[test]
fn a_second_process_says_who_is_first() {
    let place = Place::new();
    let channel = place.join("channel");
    write_to(
        &channel,
        &Package::named("a 1 0"),
        &Package::named("a 1 0").bytes(),
    );
    let cache = channel.join(".cache");
    fs::create_dir_all(&cache).expect("a folder");
    // A lock of a machine that nobody here can look at.
    let text = "host=elsewhere\nworld=other\nprocess=77\nbegan=1\ntoken=t\nbeats=1\n";
    fs::write(cache.join("archiconda-index.lock"), text).expect("a lock");
    run(&mut indexer(&place, &channel, &["--wait", "0"]))
        .exits(1)
        .says(&["being indexed by process 77 on elsewhere"]);
    run(&mut indexer(&place, &channel, &["--wait", "0.3"]))
        .exits(1)
        .says(&["waiting", "process 77 on elsewhere"]);
    assert!(!channel.join("linux-64/repodata.json").exists());
    fs::remove_file(cache.join("archiconda-index.lock")).expect("a lock");
    run(&mut indexer(&place, &channel, &["--wait", "0"])).succeeds();
    assert!(!cache.join("archiconda-index.lock").exists());
}

#[test]
fn strict_fails_where_a_package_is_left_out() {
    let place = Place::new();
    let channel = place.join("channel");
    let good = Package::named("good 1 0");
    write_to(&channel, &good, &good.bytes());
    run(&mut indexer(&place, &channel, &["--strict"])).succeeds();
    let bad = Package::named("bad 1 0");
    write_to(&channel, &bad, &bad.bytes()[..500]);
    for _ in 0..2 {
        run(&mut indexer(&place, &channel, &["--strict"]))
            .exits(1)
            .says(&["left out `linux-64/bad-1-0.conda`"])
            .prints(&["linux-64: 1 packages"]);
        run(&mut indexer(&place, &channel, &[]))
            .succeeds()
            .says(&["bad-1-0.conda"]);
    }
    let quarantine = fs::read(channel.join("quarantine.json")).expect("a quarantine");
    let quarantine: serde_json::Value = serde_json::from_slice(&quarantine).expect("JSON");
    assert_eq!(quarantine["packages"][0]["file"], "bad-1-0.conda");
    assert_eq!(quarantine["packages"][0]["subdir"], "linux-64");
}
