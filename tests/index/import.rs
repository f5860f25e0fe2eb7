//! `--import` and `--upstream-stage`: what others know of packages is not read again, and a channel can
//! be made of a listing alone.

use std::collections::BTreeMap;
use std::path::Path;

use archive::package::Kind;
use fs_err as fs;
use serde_json::{Value, json};

use super::golden::conda_index;
use super::{indexer, link_real, odd_packages};
use crate::support::package::Package;
use crate::support::requirements;
use crate::support::run::{Output, Place, run};

/// Every output but those that a listing cannot tell.
const OUTPUTS: [&str; 5] = [
    "--run-exports",
    "--write-shards",
    "--current-repodata",
    "--zst",
    "--bz2",
];

/// What the indexer wrote: all files but packages, cache and compressed shards' index, which has a time.
fn written(channel: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![channel.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("a file").path();
            let name = path
                .strip_prefix(channel)
                .expect("a path")
                .display()
                .to_string();
            let is_package = Kind::from_file_name(&name).is_some();
            if path.is_dir() && path.file_name().is_none_or(|name| name != ".cache") {
                folders.push(path);
            } else if path.is_file() && !is_package && !name.ends_with("shards.msgpack.zst") {
                found.insert(name, fs::read(path).expect("a file"));
            }
        }
    }
    found
}

#[track_caller]
fn same(left: &Path, right: &Path) {
    let (left, right) = (written(left), written(right));
    assert_eq!(
        left.keys().collect::<Vec<_>>(),
        right.keys().collect::<Vec<_>>()
    );
    for (name, bytes) in &left {
        assert!(*bytes == right[name], "{name} differs");
    }
}

/// Indexes with `--json`; how many packages were read.
#[track_caller]
fn reads(place: &Place, channel: &Path, arguments: &[&str]) -> (u64, Output) {
    let mut command = indexer(place, channel, arguments);
    let output = run(command.args(["-n", "name", "--json", "--verbose"])).succeeds();
    let read = output.json()["subdirs"]
        .as_array()
        .expect("platforms")
        .iter()
        .map(|subdir| subdir["read"].as_u64().expect("a number"))
        .sum();
    assert_eq!(output.lines("read ").len() as u64, read);
    (read, output)
}

/// The packages of a channel under other names for the same files, so that times and lengths are the same.
fn link(from: &Path, to: &Path) {
    for subdir in ["linux-64", "linux-aarch64", "noarch"] {
        let Ok(entries) = fs::read_dir(from.join(subdir)) else {
            continue;
        };
        fs::create_dir_all(to.join(subdir)).expect("a folder");
        for entry in entries {
            let path = entry.expect("a file").path();
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            if Kind::from_file_name(&name).is_some() {
                let real = fs::canonicalize(&path).expect("a file");
                fs::os::unix::fs::symlink(real, to.join(subdir).join(name)).expect("a link");
            }
        }
    }
}

/// Without the package whose `run_exports.json` is `null`: repodata cannot tell that from none.
fn fill(channel: &Path) {
    for package in odd_packages() {
        if package.name != "exports2" {
            package.write_to(channel);
        }
    }
    if let Some(real) = requirements::shared("channels/conda-forge-2023") {
        link_real(&real, channel);
    }
}

#[test]
fn conda_indexs_cache_is_read_and_no_package() {
    let place = Place::new();
    let Some(mut oracle) = conda_index(&place) else {
        return;
    };
    let (theirs, ours) = (place.join("theirs"), place.join("ours"));
    fill(&theirs);
    run(oracle.arg(&theirs)).succeeds();
    link(&theirs, &ours);
    let (read, _) = reads(&place, &ours, &["--all"]);
    assert!(read > 10);

    // In place, from the channel's folder, and from elsewhere, from a file.
    let theirs_text = theirs.display().to_string();
    let (read, output) = reads(&place, &theirs, &["--all", "--import", &theirs_text]);
    assert_eq!(read, 0, "{output}");
    output.says(&["took over", "cache.db"]);
    same(&theirs, &ours);
    let elsewhere = place.join("elsewhere");
    link(&theirs, &elsewhere);
    let mut arguments = vec!["--all".to_owned()];
    for subdir in ["linux-64", "linux-aarch64", "noarch"] {
        let path = theirs.join(subdir).join(".cache/cache.db");
        if path.is_file() {
            arguments.extend(["--import".to_owned(), path.display().to_string()]);
        }
    }
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let (read, output) = reads(&place, &elsewhere, &arguments);
    assert_eq!(read, 0, "{output}");
    same(&elsewhere, &ours);
    // And once more, from our own cache.
    let (read, output) = reads(&place, &elsewhere, &arguments);
    assert_eq!(read, 0, "{output}");
    output.hides(&["took over"]);

    // Another time or another length is another file.
    let stranger = place.join("stranger");
    link(&theirs, &stranger);
    for (text, touched) in [("old 1.0 0", true), ("old 2.0 0", false)] {
        let mut package = Package::named(text);
        if !touched {
            package.index = json!({ "license": "another length" });
        }
        let path = stranger.join("linux-64").join(package.file_name());
        fs::remove_file(&path).expect("a link");
        fs::write(&path, package.bytes()).expect("a package");
    }
    let (read, output) = reads(&place, &stranger, &["--all", "--import", &theirs_text]);
    assert_eq!(read, 2);
    output.says(&[
        "read linux-64/old-1.0-0.conda",
        "read linux-64/old-2.0-0.conda",
    ]);
}

#[test]
fn repodata_is_read_and_no_package() {
    let place = Place::new();
    let full = place.join("full");
    fill(&full);
    let hotfix = json!({
        "packages": { "twin-1.0-0.tar.bz2": { "depends": ["patched"] } }, "remove": ["old-1.0-0.conda"],
    });
    let write_hotfix = |channel: &Path| {
        let path = channel.join("linux-64/patch_instructions.json");
        fs::write(path, hotfix.to_string()).expect("hotfixes");
    };
    write_hotfix(&full);
    reads(&place, &full, &OUTPUTS);
    let full_text = full.display().to_string();
    let copy = |name: &str, files: &[&str]| {
        let channel = place.join(name);
        link(&full, &channel);
        write_hotfix(&channel);
        let source = place.join(format!("{name}-source"));
        for subdir in ["linux-64", "linux-aarch64", "noarch"] {
            for file in files {
                let path = full.join(subdir).join(file);
                if path.is_file() {
                    fs::create_dir_all(source.join(subdir)).expect("a folder");
                    fs::copy(path, source.join(subdir).join(file)).expect("a file");
                }
            }
        }
        (channel, source.display().to_string())
    };

    let (channel, _) = copy("all", &[]);
    let mut arguments = OUTPUTS.to_vec();
    arguments.extend(["--import", &full_text]);
    let (read, output) = reads(&place, &channel, &arguments);
    assert_eq!(read, 0, "{output}");
    same(&channel, &full);
    // What repodata does not have is read when it is asked for, but not the digests.
    let mut all = OUTPUTS.to_vec();
    all.push("--channeldata");
    let (read, _) = reads(&place, &channel, &all);
    let (again, _) = reads(&place, &full, &all);
    assert!(read > 10 && again > 10);
    same(&channel, &full);

    // Any form of it will do.
    let forms: [&[&str]; 4] = [
        &["repodata_from_packages.json.zst", "run_exports.json.bz2"],
        &["repodata_from_packages.json.bz2", "run_exports.json"],
        &[
            "repodata.json",
            "repodata_from_packages.json",
            "run_exports.json.zst",
        ],
        &["repodata_from_packages.json"],
    ];
    for (number, files) in forms.into_iter().enumerate() {
        let (channel, source) = copy(&format!("form{number}"), files);
        let mut arguments = OUTPUTS.to_vec();
        arguments.extend(["--import", &source]);
        let has_run_exports = files.len() > 1;
        if has_run_exports {
            let (read, output) = reads(&place, &channel, &arguments);
            assert_eq!(read, 0, "{files:?} {output}");
        } else {
            // Without run_exports.json it is not known what packages impose on others.
            let (read, _) = reads(&place, &channel, &["--import", &source]);
            assert_eq!(read, 0);
            let (read, _) = reads(&place, &channel, &arguments);
            assert!(read > 10);
        }
        fs::remove_file(full.join("channeldata.json")).ok();
        let relevant = |channel: &Path| {
            let mut files = written(channel);
            files.retain(|name, _| name.contains("repodata") || name.contains("run_exports"));
            files
        };
        assert!(relevant(&channel) == relevant(&full), "{files:?}");
    }
}

#[test]
fn shards_are_read_and_no_package() {
    let place = Place::new();
    let full = place.join("full");
    fill(&full);
    reads(&place, &full, &OUTPUTS);
    let (channel, source) = (place.join("channel"), place.join("source"));
    link(&full, &channel);
    for subdir in ["linux-64", "linux-aarch64", "noarch"] {
        let Ok(entries) = fs::read_dir(full.join(subdir)) else {
            continue;
        };
        fs::create_dir_all(source.join(subdir)).expect("a folder");
        for entry in entries {
            let path = entry.expect("a file").path();
            let name = path.file_name().expect("a name");
            if name.to_string_lossy().ends_with(".msgpack.zst") {
                fs::copy(&path, source.join(subdir).join(name)).expect("a file");
            }
        }
    }
    let source = source.display().to_string();
    let mut arguments = OUTPUTS.to_vec();
    arguments.extend(["--import", &source]);
    let (read, output) = reads(&place, &channel, &arguments);
    assert_eq!(read, 0, "{output}");
    same(&channel, &full);
}

#[test]
fn a_listing_makes_a_channel_without_packages() {
    let place = Place::new();
    let full = place.join("full");
    fill(&full);
    reads(&place, &full, &OUTPUTS);
    let channel = place.join("channel");
    fs::create_dir(&channel).expect("a folder");
    let full_text = full.display().to_string();
    let with = |more: &[&str]| {
        let mut arguments = OUTPUTS.to_vec();
        arguments.extend(more.iter().copied());
        reads(&place, &channel, &arguments)
    };
    for more in [
        &["--upstream-stage", "md", "--import", &full_text][..],
        &["--upstream-stage", "md"],
        &["--upstream-stage", "md", "--no-update-cache"],
        &["--no-update-cache", "--import", &full_text],
        &["--no-update-cache"],
    ] {
        let (read, output) = with(more);
        assert_eq!(read, 0, "{more:?} {output}");
        same(&channel, &full);
    }
    // The folder is empty.
    let (read, output) = with(&[]);
    assert_eq!(read, 0, "{output}");
    assert_eq!(output.json()["subdirs"][0]["packages"], 0);

    // Another listing takes the place of the one before, or is added to it.
    let path = full.join("noarch/repodata_from_packages.json");
    let mut listing: Value =
        serde_json::from_slice(&fs::read(&path).expect("repodata")).expect("JSON");
    listing["packages.conda"] = json!({ "new-1-0.conda": {
        "name": "new", "version": "1", "build": "0", "build_number": 0, "depends": ["a[when=\"python >=3\"]"],
        "md5": "00112233445566778899aabbccddeeff", "size": 7, "timestamp": 1_700_000_000_000_u64,
    }});
    listing["packages"] = json!({});
    let listing = place.write("listing/noarch/repodata.json", listing.to_string());
    let listing = listing.display().to_string();
    let noarch = |output: &Output| {
        let output = output.json();
        let subdirs = output["subdirs"].as_array().expect("platforms").clone();
        subdirs
            .iter()
            .find(|one| one["subdir"] == "noarch")
            .expect("noarch")["packages"]
            .as_u64()
    };
    let before = noarch(&with(&["--upstream-stage", "md"]).1).expect("a number");
    // A name that is mistyped empties no channel.
    let repodata = || fs::read(channel.join("noarch/repodata.json")).expect("repodata");
    let published = repodata();
    run(&mut indexer(
        &place,
        &channel,
        &["--upstream-stage", "dm", "--all"],
    ))
    .exits(2)
    .says(&["there is no listing `dm`: there is `md`"]);
    assert_eq!(repodata(), published);
    let (_, output) = with(&[
        "--upstream-stage",
        "md",
        "--update-only",
        "--import",
        &listing,
    ]);
    assert_eq!(noarch(&output), Some(before + 1));
    let (_, output) = with(&["--upstream-stage", "md", "--import", &listing]);
    assert_eq!(noarch(&output), Some(1));
    let repodata = fs::read_to_string(channel.join("noarch/repodata.json")).expect("repodata");
    // A digest that nobody knows is nowhere.
    assert!(
        repodata.contains("new-1-0.conda") && !repodata.contains("sha256"),
        "{repodata}"
    );
}

#[test]
fn what_a_listing_lacks_is_read_from_the_folder() {
    let place = Place::new();
    let full = place.join("full");
    for text in ["a 1 0", "b 1 0"] {
        let mut package = Package::named(text);
        let exports = format!("{{\"weak\":[\"{text}\"]}}");
        package.info.push(("info/run_exports.json", exports));
        package.write_to(&full);
    }
    reads(&place, &full, &["--run-exports"]);
    let source = full
        .join("linux-64/repodata_from_packages.json")
        .display()
        .to_string();
    fs::remove_file(full.join("linux-64/run_exports.json")).expect("a file");
    let channel = place.join("channel");
    fs::create_dir_all(channel.join("linux-64")).expect("a folder");
    // One of both is there.
    fs::copy(
        full.join("linux-64/a-1-0.conda"),
        channel.join("linux-64/a-1-0.conda"),
    )
    .expect("a package");
    let stage = [
        "--run-exports",
        "--upstream-stage",
        "md",
        "--import",
        &source,
    ];
    let exports = || {
        let text = fs::read(channel.join("linux-64/run_exports.json")).expect("a file");
        let exports: Value = serde_json::from_slice(&text).expect("JSON");
        let of = |file: &str| exports["packages.conda"][file]["run_exports"].clone();
        (of("a-1-0.conda"), of("b-1-0.conda"))
    };
    let mut without = stage.to_vec();
    without.push("--no-update-cache");
    let (read, _) = reads(&place, &channel, &without);
    assert_eq!((read, exports()), (0, (json!({}), json!({}))));
    let known = json!({ "weak": ["a 1 0"] });
    for expected in [1, 0, 0] {
        let (read, _) = reads(&place, &channel, &stage);
        assert_eq!((read, exports()), (expected, (known.clone(), json!({}))));
    }
}

#[test]
fn conda_index_makes_the_same_of_its_metadata_stage() {
    let place = Place::new();
    let (Some(python), Some(conda)) = (requirements::oracles(), requirements::conda()) else {
        return;
    };
    let Some(mut oracle) = conda_index(&place) else {
        return;
    };
    let theirs = place.join("theirs");
    fs::create_dir_all(&theirs).expect("a folder");
    let fill = r#"
import sys
from conda_index.index.sqlitecache import CondaIndexCache
cache = CondaIndexCache(sys.argv[1], "noarch")
cache.convert()
def record(name, size):
    return {"path": f"{name}-1-0.conda", "size": size, "mtime": 1, "repodata": {
        "name": name, "version": "1", "build": "0", "build_number": 0, "depends": ["é", "b >=1"],
        "md5": "0" * 32, "sha256": "1" * 64, "size": size, "x": 1.50, "timestamp": 1600000000000}}
cache.store_md_state([record("b", 5), record("a", 7)])
"#;
    let mut command = place.command(python);
    run(command
        .env("PYTHONPATH", conda)
        .args(["-c", fill])
        .arg(&theirs))
    .succeeds();
    let stage = [
        "--upstream-stage",
        "md",
        "--no-update-cache",
        "--run-exports",
    ];
    run(oracle.arg(&theirs).args(stage)).succeeds();
    let ours = place.join("ours");
    fs::create_dir_all(&ours).expect("a folder");
    let theirs_text = theirs.display().to_string();
    let mut arguments = stage.to_vec();
    arguments.extend(["--import", &theirs_text]);
    reads(&place, &ours, &arguments);
    for name in [
        "repodata.json",
        "repodata_from_packages.json",
        "run_exports.json",
    ] {
        let read =
            |channel: &Path| fs::read_to_string(channel.join("noarch").join(name)).expect("a file");
        assert_eq!(read(&ours), read(&theirs), "{name}");
    }
    // The folder has none of them, and there is no such listing.
    run(&mut indexer(
        &place,
        &ours,
        &["--upstream-stage", "clone", "--import", &theirs_text],
    ))
    .exits(2)
    .says(&["no stage `clone`", "indexed, md"]);
}

#[test]
fn what_cannot_be_taken_over_is_told() {
    let place = Place::new();
    let channel = place.join("channel");
    Package::named("a 1 0").write_to(&channel);
    fs::create_dir_all(place.join("empty")).expect("a folder");
    place.write("elsewhere/repodata.json", "{\"packages\":{}}");
    place.write(
        "linux-64/repodata.json",
        "{\"packages\":{\"a-1-0.conda\":{\"name\":",
    );
    place.write("noarch/repodata.json.zst", "no frame");
    place.write(
        "other/linux-64/.cache/cache.db",
        b"SQLite format 3\0 and nothing",
    );
    place.write("text/linux-64/repodata.json", "[1]");
    for (path, exit, expected) in [
        ("absent", 2, "there is nothing to take over at"),
        ("empty", 2, "neither conda-index's cache.db nor repodata"),
        (
            "elsewhere/repodata.json",
            2,
            "does not say of which platform it is",
        ),
        ("linux-64/repodata.json", 1, "is damaged, or something else"),
        ("noarch/repodata.json.zst", 1, "could not read"),
        ("other", 1, "is damaged, or something else"),
        ("text", 1, "is damaged, or something else"),
    ] {
        let path = place.join(path).display().to_string();
        run(&mut indexer(&place, &channel, &["--import", &path]))
            .exits(exit)
            .says(&[expected]);
    }
    // Records that are none are passed over, and the packages read.
    place.write(
        "odd/linux-64/repodata.json",
        r#"{"packages":{},"packages.conda":{"a-1-0.conda":7,"../b-1-0.conda":{},"c":{},"d-1-0.conda":{"x":NaN}},"unknown":[{}]}"#,
    );
    let path = place.join("odd").display().to_string();
    run(&mut indexer(&place, &channel, &["--import", &path])).exits(1);
    place.write(
        "odd/linux-64/repodata.json",
        r#"{"packages":{},"packages.conda":{"a-1-0.conda":7,"../b-1-0.conda":{},"c":{},"d-1-0.conda":{"x":1e999}},"unknown":[{}]}"#,
    );
    let (read, _) = reads(&place, &channel, &["--import", &path]);
    assert_eq!(read, 1);
}
