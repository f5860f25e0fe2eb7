//! `archiconda index`: a folder of packages becomes a channel.

use std::path::Path;

use archive::digest::{Md5, Sha256};
use fs_err as fs;
use serde_json::{Value, json};

use crate::support::channel::{index, publish};
use crate::support::package::{Package, write_to};
use crate::support::requirements;
use crate::support::run::{Place, run};
use crate::support::tree::{Tree, assert_same, snapshot};

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("repodata")).expect("JSON")
}

/// Packages with keys that no library knows.
fn packages() -> Vec<Package> {
    let rare = json!({
        "track_features": "debug", "constrains": ["gamma <3"], "features": null,
        "timestamp": 1_600_000_000_123_u64, "license_family": "BSD",
        "run_exports_of_tomorrow": { "weak": ["a", { "b": [1.5, -2, null, true, "é\n"] }] },
    });
    vec![
        Package {
            index: rare,
            ..Package::named("alpha 1.0 h1_7").needs(&["beta >=2", "python"])
        },
        Package::named("alpha 1.0 h0_6").bzipped(),
        Package::named("alpha 1.0 h1_7").on("linux-aarch64"),
        Package::generic("beta 2.1 0"),
        Package::python("tool 0.3 py_0", &["tool = tool:main"]),
    ]
}

#[test]
fn every_package_gets_a_record_with_all_its_keys() {
    let place = Place::new();
    publish(&place, "channel", &packages());
    for package in packages() {
        let repodata = read(
            &place
                .join("channel")
                .join(package.subdir)
                .join("repodata.json"),
        );
        assert_eq!(repodata["info"]["subdir"], package.subdir);
        let section = match package.kind {
            archive::package::Kind::Conda => "packages.conda",
            archive::package::Kind::TarBz2 => "packages",
        };
        let bytes = package.bytes();
        let mut expected = package.index_json();
        expected["md5"] = json!(Md5::of(&bytes).to_string());
        expected["sha256"] = json!(Sha256::of(&bytes).to_string());
        expected["size"] = json!(bytes.len());
        assert_eq!(
            repodata[section][package.file_name()],
            expected,
            "{}",
            package.file_name()
        );
    }
    let counts: Vec<usize> = ["linux-64", "linux-aarch64", "noarch"]
        .iter()
        .map(|subdir| {
            let repodata = read(&place.join("channel").join(subdir).join("repodata.json"));
            ["packages", "packages.conda"]
                .iter()
                .map(|section| repodata[section].as_object().expect("a section").len())
                .sum()
        })
        .collect();
    assert_eq!(counts, [2, 1, 2]);
}

#[test]
fn the_compressed_repodata_is_the_same() {
    let place = Place::new();
    publish(&place, "channel", &packages());
    let channel = place.join("channel");
    run(place.archiconda().arg("index").arg(&channel).arg("--zst")).succeeds();
    for subdir in ["linux-64", "linux-aarch64", "noarch"] {
        let folder = place.join("channel").join(subdir);
        let plain = fs::read(folder.join("repodata.json")).expect("repodata");
        let packed = fs::read(folder.join("repodata.json.zst")).expect("repodata");
        assert!(zstd::decode_all(&packed[..]).expect("a zstd stream") == plain);
    }
}

#[test]
fn what_is_said_to_people_and_to_scripts() {
    let place = Place::new();
    let channel = place.join("channel");
    for package in packages() {
        package.write_to(&channel);
    }
    let first = index(&place, &channel).succeeds();
    let first = first.prints(&[
        "linux-64: 2 packages, written",
        "noarch: 2 packages, written",
    ]);
    assert_eq!(first.stderr, "", "no bars where nobody looks");
    index(&place, &channel)
        .succeeds()
        .prints(&["linux-64: 2 packages, unchanged"]);
    let report = run(place
        .archiconda()
        .arg("index")
        .arg(&channel)
        .args(["--zst", "--json"]))
    .succeeds()
    .json();
    let expected = |subdir: &str, packages: usize| json!({ "subdir": subdir, "packages": packages, "read": 0, "changed": false, "skipped": [] });
    let subdirs = [
        expected("linux-64", 2),
        expected("linux-aarch64", 1),
        expected("noarch", 2),
    ];
    assert_eq!(report, json!({ "subdirs": subdirs }));
    let quiet = run(place.archiconda().arg("index").arg(&channel).arg("--quiet")).succeeds();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

#[test]
fn the_same_packages_give_the_same_files() {
    let [left, right] = [Place::new(), Place::new()];
    let tree = |place: &Place, packages: Vec<Package>, threads: &str| -> Tree {
        let channel = place.join("channel");
        for package in packages {
            package.write_to(&channel);
        }
        run(place
            .archiconda()
            .arg("index")
            .arg(&channel)
            .args(["--threads", threads]))
        .succeeds();
        fs::remove_dir_all(channel.join(".cache")).expect("a cache");
        snapshot(&channel)
    };
    let mut backwards = packages();
    backwards.reverse();
    assert_same(&tree(&left, packages(), "1"), &tree(&right, backwards, "8"));
}

#[test]
fn packages_come_and_go() {
    let place = Place::new();
    publish(&place, "channel", &packages());
    let folder = place.join("channel/linux-64");
    fs::remove_file(folder.join("alpha-1.0-h0_6.tar.bz2")).expect("a package");
    publish(&place, "channel", &[Package::named("delta 1 0")]);
    let repodata = read(&folder.join("repodata.json"));
    assert_eq!(repodata["packages"], json!({}));
    let conda: Vec<&String> = repodata["packages.conda"]
        .as_object()
        .expect("a section")
        .keys()
        .collect();
    assert_eq!(conda, ["alpha-1.0-h1_7.conda", "delta-1-0.conda"]);
}

#[test]
fn damaged_packages_are_left_out_and_named() {
    let place = Place::new();
    let channel = place.join("channel");
    let good = Package::named("good 1.0 0");
    good.write_to(&channel);
    let bytes = good.bytes();
    let bad = |text: &str| Package::named(text);
    write_to(&channel, &bad("short 1.0 0"), &bytes[..bytes.len() / 2]);
    write_to(&channel, &bad("page 1.0 0"), b"<html>404</html>");
    write_to(&channel, &bad("empty 1.0 0").bzipped(), b"");
    let no_index = Package {
        without: vec!["info/index.json"],
        ..bad("bare 1.0 0")
    };
    no_index.write_to(&channel);
    let no_json = Package {
        info: vec![("info/index.json", "{".into())],
        ..bad("odd 1.0 0")
    };
    no_json.bzipped().write_to(&channel);
    fs::create_dir(channel.join("linux-64/folder-1.0-0.conda")).expect("a folder");
    fs::write(channel.join("linux-64/readme.txt"), "no package").expect("a file");

    let names = [
        "bare-1.0-0.conda",
        "empty-1.0-0.tar.bz2",
        "folder-1.0-0.conda",
        "odd-1.0-0.tar.bz2",
        "page-1.0-0.conda",
        "short-1.0-0.conda",
    ];
    let output = index(&place, &channel)
        .succeeds()
        .hides(&["panicked", "readme.txt"]);
    assert_eq!(output.lines("warning").len(), names.len(), "{output}");
    let output = output.says(&names).prints(&["linux-64: 1 packages"]);
    assert_eq!(output.code, Some(0));
    let repodata = read(&channel.join("linux-64/repodata.json"));
    assert_eq!(
        repodata["packages.conda"]
            .as_object()
            .expect("a section")
            .len(),
        1
    );

    let report = run(place.archiconda().arg("index").arg(&channel).arg("--json"))
        .succeeds()
        .json();
    let skipped = report["subdirs"][0]["skipped"].as_array().expect("a list");
    let files: Vec<&str> = skipped
        .iter()
        .map(|one| one["file"].as_str().expect("a name"))
        .collect();
    assert_eq!(files, names);
    assert!(
        skipped
            .iter()
            .all(|one| one["reason"].as_str().is_some_and(|text| text.len() > 8))
    );
}

#[test]
fn an_empty_folder_is_an_empty_channel() {
    let place = Place::new();
    fs::create_dir(place.join("channel")).expect("a folder");
    index(&place, &place.join("channel")).succeeds();
    let repodata = read(&place.join("channel/noarch/repodata.json"));
    assert_eq!(repodata["packages.conda"], json!({}));
}

#[test]
fn what_is_no_channel() {
    let place = Place::new();
    publish(&place, "channel", &packages());
    let file = place.write("file", "");
    index(&place, &file).exits(2).says(&["is not a folder"]);
    index(&place, &place.join("absent"))
        .exits(2)
        .says(&["absent", "is not a folder"]);
    index(&place, &place.join("channel/linux-64"))
        .exits(2)
        .says(&["index the folder above"]);
    assert!(!place.join("channel/linux-64/noarch").exists());
    run(place.archiconda().arg("index"))
        .exits(2)
        .says(&["Usage"]);
}

/// Prints each package and its digest, as rattler's gateway reads a channel.
const GATEWAY: &str = "
import asyncio, os, sys
from rattler import Channel, Gateway
async def main():
    records = await Gateway().query(
        [Channel(sys.argv[1])], ['linux-64', 'linux-aarch64', 'noarch'],
        ['alpha', 'beta', 'tool'], recursive=False)
    for record in sum(records, []):
        print(record.file_name, record.sha256.hex(), record.md5.hex(), record.size, flush=True)
    os._exit(0)
asyncio.run(main())
";

#[test]
fn rattler_reads_the_channel() {
    let Some(python) = requirements::oracles() else {
        return;
    };
    let place = Place::new();
    publish(&place, "channel", &packages());
    let url = format!("file://{}", place.join("channel").display());
    let output = run(place.command(python).arg("-c").arg(GATEWAY).arg(url)).succeeds();
    let mut expected: Vec<String> = packages()
        .iter()
        .map(|package| {
            let bytes = package.bytes();
            let (sha256, md5) = (Sha256::of(&bytes), Md5::of(&bytes));
            format!("{} {sha256} {md5} {}", package.file_name(), bytes.len())
        })
        .collect();
    let mut found: Vec<&str> = output.stdout.lines().collect();
    expected.sort();
    found.sort_unstable();
    assert_eq!(found, expected, "{output}");
}

#[test]
fn conda_index_makes_the_same_records() {
    let Some(python) = requirements::oracles() else {
        return;
    };
    let Some(conda) = requirements::conda() else {
        return;
    };
    let place = Place::new();
    let command = |arguments: &[&str]| {
        let mut command = place.command(&python);
        command
            .env("PYTHONPATH", &conda)
            .env("CONDA_PKGS_DIRS", place.join("pkgs"));
        command.args(arguments);
        command
    };
    let found = run(&mut command(&["-c", "import conda_index"])).code == Some(0);
    let Some(()) = requirements::require("conda-index", found.then_some(())) else {
        return;
    };
    publish(&place, "ours", &packages());
    for package in packages() {
        package.write_to(&place.join("theirs"));
    }
    let theirs = place.join("theirs").display().to_string();
    run(&mut command(&[
        "-m",
        "conda_index",
        "--no-channeldata",
        &theirs,
    ]))
    .succeeds();
    for subdir in ["linux-64", "linux-aarch64", "noarch"] {
        let path = |channel: &str| place.join(channel).join(subdir).join("repodata.json");
        assert_eq!(read(&path("ours")), read(&path("theirs")), "{subdir}");
    }
}

#[test]
fn conda_searches_the_channel() {
    let Some(python) = requirements::oracles() else {
        return;
    };
    let Some(conda) = requirements::conda() else {
        return;
    };
    let place = Place::new();
    publish(&place, "channel", &packages());
    let url = format!("file://{}", place.join("channel").display());
    let mut search = place.command(python);
    search
        .env("PYTHONPATH", conda)
        .env("CONDA_PKGS_DIRS", place.join("pkgs"));
    search.args([
        "-m",
        "conda",
        "search",
        "--subdir",
        "linux-aarch64",
        "--override-channels",
    ]);
    let found = run(search.args(["-c", &url, "--json", "*"]))
        .succeeds()
        .json();
    let names: Vec<&String> = found.as_object().expect("names").keys().collect();
    assert_eq!(names, ["alpha", "beta", "tool"], "{found}");
    assert_eq!(
        found["alpha"][0]["sha256"],
        Sha256::of(&packages()[2].bytes()).to_string()
    );
}
