//! `-k` and `keep_pkgs`: extracted packages that conda can use, sharing their files with the prefix.

use std::os::unix::fs::MetadataExt as _;

use fs_err as fs;

use super::peers::{conda, names};
use super::support::{Made, is_kind, make, many, sample};
use crate::support::package::{File, FileKind, Package};
use crate::support::run::run;
use crate::support::tree::{Node, Tree, assert_same, snapshot};

#[test]
fn kept_packages_are_what_extracting_them_gives() {
    for (keys, arguments) in [
        ("", &["-k"] as &[&str]),
        ("keep_pkgs = true", &[]),
        ("", &["--keep-pkgs", "--threads=2"]),
    ] {
        let Some(made) = make(&[sample(), old()], keys) else {
            return;
        };
        made.install(arguments).succeeds();
        made.installed();
        for (package, archive) in [
            ("sample-1.0-0", "noarch/sample-1.0-0.conda"),
            ("old-1.0-0", "noarch/old-1.0-0.tar.bz2"),
        ] {
            let extracted = made.place.join(format!("extracted/{package}"));
            let archive = made.place.join("channel").join(archive);
            rattler_package_streaming::fs::extract(&archive, &extracted).expect("a package");
            let folder = made.prefix().join("pkgs").join(package);
            let kept = snapshot(&folder).without(|path| path == "info/repodata_record.json");
            assert_same(&plain(snapshot(&extracted)), &plain(kept));
            let text = fs::read_to_string(folder.join("info/repodata_record.json"));
            let record: serde_json::Value =
                serde_json::from_str(&text.expect("a record")).expect("JSON");
            let (name, _) = package.split_once('-').expect("a name");
            assert_eq!(record["name"], name);
            let url = record["url"].as_str().expect("a URL");
            assert!(url.ends_with(archive.to_str().expect("a path")), "{url}");
            assert!(record["md5"].is_string() && record["sha256"].is_string());
        }
        let listed = |file: &str| {
            let text = fs::read_to_string(made.prefix().join("pkgs").join(file)).expect("URLs");
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let urls = listed("urls.txt");
        assert!(urls[0].ends_with("/noarch/old-1.0-0.tar.bz2"), "{urls:?}");
        assert!(urls[1].ends_with("/noarch/sample-1.0-0.conda"), "{urls:?}");
        for (url, with_digest) in urls.iter().zip(listed("urls")) {
            let digest = with_digest
                .strip_prefix(&format!("{url}#"))
                .expect("a digest");
            assert_eq!(digest.len(), 32);
        }
        let archives = snapshot(&made.prefix().join("pkgs"));
        let is_archive = |path: &&str| is_kind(path, "conda") || is_kind(path, "bz2");
        assert_eq!(
            archives
                .paths()
                .iter()
                .copied()
                .filter(|path| is_archive(path))
                .count(),
            0
        );
    }
}

#[test]
fn files_in_which_nothing_is_replaced_are_shared() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    made.install(&["-k"]).succeeds();
    let inode = |path: &str| {
        fs::metadata(made.prefix().join(path))
            .expect("a file")
            .ino()
    };
    let kept = |path: &str| inode(&format!("pkgs/sample-1.0-0/{path}"));
    for path in [
        "share/sample/data",
        "share/sample/same",
        "share/sample/empty",
        "bin/interpreter",
    ] {
        assert_eq!(inode(path), kept(path), "{path}");
    }
    for path in ["bin/where", "etc/sample.conf", "lib/libsample.so"] {
        assert_ne!(inode(path), kept(path), "{path}");
    }
    let text = fs::read_to_string(made.prefix().join("conda-meta/sample-1.0-0.json"));
    let record: serde_json::Value = serde_json::from_str(&text.expect("a record")).expect("JSON");
    let folder = made.prefix().join("pkgs/sample-1.0-0");
    assert_eq!(record["link"]["type"], 1);
    assert_eq!(record["link"]["source"].as_str(), folder.to_str());
    assert_eq!(record["extracted_package_dir"].as_str(), folder.to_str());

    // Without -k nothing of it is there, and what else there is is the same.
    let without =
        |path: &str| path == "pkgs" || path.starts_with("pkgs/") || path.starts_with("conda-meta/");
    let kept = plain(made.installed().without(without));
    fs::remove_dir_all(made.prefix()).expect("a prefix");
    made.install(&[]).succeeds();
    assert!(!made.prefix().join("pkgs").exists());
    assert_same(&kept, &plain(made.installed().without(without)));
}

#[test]
fn conda_makes_environments_of_kept_packages() {
    let mut sample = sample();
    // conda knows no folders in the list of a package.
    sample
        .files
        .retain(|file| !matches!(file.kind, FileKind::Folder));
    let Some(made) = make(&[sample, many(50)], "keep_pkgs = true") else {
        return;
    };
    let Some(mut list) = conda(&made.place) else {
        return;
    };
    made.install(&[]).succeeds();
    let prefix = made.prefix();
    let explicit = run(list
        .args(["list", "--explicit", "--md5", "-p"])
        .arg(&prefix))
    .succeeds();
    made.place.write("explicit.txt", &explicit.stdout);
    // So that they can come from nowhere else.
    fs::rename(made.place.join("channel"), made.place.join("elsewhere")).expect("a folder");
    let other = made.place.join("other");
    let mut create = conda(&made.place).expect("conda");
    create.env("CONDA_PKGS_DIRS", prefix.join("pkgs"));
    create
        .args([
            "create",
            "--yes",
            "--offline",
            "--file",
            "explicit.txt",
            "-p",
        ])
        .arg(&other);
    run(&mut create).succeeds();
    assert_eq!(names(&made.place, &other), names(&made.place, &prefix));
    let shared = |path: &str| fs::metadata(path).expect("a file").ino();
    let below =
        |folder: &std::path::Path| folder.join("many/0/7").to_str().expect("a path").to_owned();
    assert_eq!(shared(&below(&other)), shared(&below(&prefix)));
    let output = run(made
        .place
        .command(other.join("bin/where"))
        .env("PATH", "/usr/bin:/bin"));
    assert_eq!(output.succeeds().stdout, format!("{}\n", other.display()));
}

#[test]
fn packages_that_are_kept_twice_are_listed_once() {
    let Some(made) = make(&[sample()], "keep_pkgs = true") else {
        return;
    };
    made.install(&[]).succeeds();
    made.install(&["-f"]).succeeds();
    let text = fs::read_to_string(made.prefix().join("pkgs/urls.txt")).expect("URLs");
    assert_eq!(text.lines().count(), 1, "{text}");
    made.installed();
    Made::everything(&made);
}

/// As before 2016, in a `.tar.bz2`.
fn old() -> Package {
    let package = Package {
        old: true,
        ..sample()
    };
    let files = package.files.into_iter().map(|file| File {
        path: file
            .path
            .replace("sample", "old")
            .replace("bin/", "bin/old-"),
        kind: match file.kind {
            FileKind::HardLink(target) => FileKind::HardLink(target.replace("sample", "old")),
            FileKind::SymbolicLink(target) => {
                FileKind::SymbolicLink(target.replace("sample", "old"))
            }
            kind => kind,
        },
        ..file
    });
    let files = files.collect();
    Package {
        old: true,
        files,
        ..Package::generic("old 1.0 0").bzipped()
    }
}

/// Without what a umask and hard links to elsewhere change.
fn plain(mut tree: Tree) -> Tree {
    for node in tree.0.values_mut() {
        if let Node::File { mode, same_as, .. } = node {
            *mode &= 0o755;
            *same_as = None;
        }
    }
    tree
}
