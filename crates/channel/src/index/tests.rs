//! Channels made of generated packages.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Cursor;
use std::path::Path;
use std::sync::Mutex;

use archive::digest::{Md5, Sha256};
use archive::package::{Item, Kind, WriteOptions, write};

use crate::{Event, Options, Report, index};

const INDEX: &str = r#"{"name":"caf\u00e9","version":"1.0","build":"0","build_number":0,"depends":["b >=1","a"],
    "arch":"x86_64","platform":"linux","md5":"old","size":1,"timestamp":1547498259000,"weight":1e16,
    "app_entry":null,"subdir":"elsewhere","license":"GPL \u00a9","big":123456789012345678901234567890}"#;

fn package(kind: Kind, index: &str) -> Vec<u8> {
    let options = WriteOptions {
        zstd_level: 1,
        bzip2_level: 1,
    };
    let info = [Item::file("info/index.json", index.as_bytes())];
    let content = [Item::file("bin/tool", &[7; 5000])];
    write(
        Cursor::new(Vec::new()),
        kind,
        "name-1.0-0",
        info,
        content,
        &options,
    )
    .unwrap()
    .into_inner()
}

fn put(channel: &Path, path: &str, bytes: &[u8]) {
    let path = channel.join(path);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, bytes).unwrap();
}

fn run(channel: &Path) -> Report {
    index(channel, &Options { threads: 2 }, &|_| {}).unwrap()
}

fn repodata(channel: &Path, subdir: &str) -> String {
    let text = fs_err::read_to_string(channel.join(subdir).join("repodata.json")).unwrap();
    let packed = fs_err::read(channel.join(subdir).join("repodata.json.zst")).unwrap();
    assert_eq!(zstd::decode_all(&*packed).unwrap(), text.as_bytes());
    text
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs_err::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn records_are_index_json_and_what_the_file_tells() {
    let channel = tempfile::tempdir().unwrap();
    let (old, new) = (package(Kind::TarBz2, INDEX), package(Kind::Conda, INDEX));
    put(channel.path(), "linux-64/name-1.0-0.tar.bz2", &old);
    put(channel.path(), "linux-64/name-1.0-0.conda", &new);
    put(channel.path(), "linux-64/README.txt", b"no package");
    put(channel.path(), "elsewhere/name-1.0-0.conda", &new);
    let report = run(channel.path());

    let record = |bytes: &[u8]| {
        format!(
            concat!(
                r#"{{"app_entry":null,"big":123456789012345678901234567890,"build":"0","build_number":0,"#,
                r#""depends":["b >=1","a"],"license":"GPL \u00a9","md5":"{}","name":"caf\u00e9","sha256":"{}","#,
                r#""size":{},"subdir":"elsewhere","timestamp":1547498259000,"version":"1.0","weight":1e+16}}"#
            ),
            Md5::of(bytes),
            Sha256::of(bytes),
            bytes.len()
        )
    };
    let expected = format!(
        r#"{{"info":{{"subdir":"linux-64"}},"packages":{{"name-1.0-0.tar.bz2":{}}},"packages.conda":{{"name-1.0-0.conda":{}}},"removed":[],"repodata_version":1}}"#,
        record(&old),
        record(&new)
    );
    assert_eq!(repodata(channel.path(), "linux-64"), expected);
    assert_eq!(
        repodata(channel.path(), "noarch"),
        r#"{"info":{"subdir":"noarch"},"packages":{},"packages.conda":{},"removed":[],"repodata_version":1}"#
    );
    let subdirs: Vec<_> = report
        .subdirs
        .iter()
        .map(|subdir| (&*subdir.name, subdir.packages, subdir.changed))
        .collect();
    assert_eq!(subdirs, [("linux-64", 2, true), ("noarch", 0, true)]);
    assert_eq!(
        names(&channel.path().join("noarch")),
        ["repodata.json", "repodata.json.zst"]
    );
}

#[test]
fn nothing_is_written_where_nothing_changed() {
    let channel = tempfile::tempdir().unwrap();
    put(
        channel.path(),
        "noarch/name-1.0-0.conda",
        &package(Kind::Conda, INDEX),
    );
    run(channel.path());
    let stamps = || -> Vec<_> {
        ["repodata.json", "repodata.json.zst"]
            .map(|name| fs_err::metadata(channel.path().join("noarch").join(name)).unwrap())
            .map(|metadata| std::os::unix::fs::MetadataExt::ino(&metadata))
            .into()
    };
    let before = stamps();
    assert!(!run(channel.path()).subdirs[0].changed);
    assert_eq!(stamps(), before);

    put(channel.path(), "noarch/repodata.json.zst", b"damaged");
    assert!(run(channel.path()).subdirs[0].changed);
    repodata(channel.path(), "noarch");

    fs_err::remove_file(channel.path().join("noarch/name-1.0-0.conda")).unwrap();
    assert!(run(channel.path()).subdirs[0].changed);
    assert!(repodata(channel.path(), "noarch").contains("\"packages.conda\":{}"));
}

#[test]
fn what_is_no_package_is_left_out_with_a_reason() {
    let channel = tempfile::tempdir().unwrap();
    let (old, new) = (package(Kind::TarBz2, INDEX), package(Kind::Conda, INDEX));
    let mut flipped = new.clone();
    // Within the content: after the headers of two members and the metadata.
    flipped[180] ^= 1;
    let folder = "linux-64/";
    let cases: BTreeMap<&str, (Vec<u8>, &str)> = BTreeMap::from([
        ("empty-1-0.conda", (Vec::new(), "zip archive")),
        ("empty-1-0.tar.bz2", (Vec::new(), "truncated")),
        (
            "short-1-0.conda",
            (new[..new.len() - 30].to_vec(), "zip archive"),
        ),
        (
            "short-1-0.tar.bz2",
            (old[..old.len() - 1].to_vec(), "truncated"),
        ),
        ("flipped-1-0.conda", (flipped, "checksum")),
        (
            "page-1-0.tar.bz2",
            (b"<html>404 Not Found</html>".to_vec(), "damaged"),
        ),
        ("other-1-0.tar.bz2", (new.clone(), "damaged")),
        (
            "array-1-0.conda",
            (package(Kind::Conda, "[]"), "something else than an object"),
        ),
        (
            "json-1-0.tar.bz2",
            (
                package(Kind::TarBz2, "{\"name\":"),
                "ends where a value is expected at byte 8",
            ),
        ),
        (
            "nan-1-0.conda",
            (
                package(Kind::Conda, "{\"name\":NaN}"),
                "no JSON value at byte 8",
            ),
        ),
        (
            "huge-1-0.conda",
            (
                package(
                    Kind::Conda,
                    &format!("{{\"name\":\"{}\"}}", "x".repeat(5 << 20)),
                ),
                "`info/index.json` is above the limit",
            ),
        ),
    ]);
    for (name, (bytes, _)) in &cases {
        put(channel.path(), &format!("{folder}{name}"), bytes);
    }
    put(channel.path(), "linux-64/sound-1-0.conda", &new);
    fs_err::create_dir(channel.path().join("linux-64/folder-1-0.conda")).unwrap();
    fs_err::os::unix::fs::symlink("nowhere", channel.path().join("linux-64/gone-1-0.conda"))
        .unwrap();

    let told = Mutex::new(Vec::new());
    let report = index(channel.path(), &Options::default(), &|event| {
        if let Event::Skipped { file, .. } = event {
            told.lock().unwrap().push(file.to_owned());
        }
    })
    .unwrap();
    let linux = &report.subdirs[0];
    assert_eq!((linux.packages, linux.skipped.len()), (1, cases.len() + 2));
    for skipped in &linux.skipped {
        let mut reason = skipped.reason.to_string();
        let mut cause = std::error::Error::source(&skipped.reason);
        while let Some(error) = cause {
            write!(reason, ": {error}").unwrap();
            cause = error.source();
        }
        let expected = match &*skipped.file {
            "folder-1-0.conda" => "not a file",
            "gone-1-0.conda" => "could not read",
            file => cases[file].1,
        };
        assert!(reason.contains(expected), "{}: {reason}", skipped.file);
    }
    let mut told = told.into_inner().unwrap();
    told.sort();
    let skipped: Vec<_> = linux
        .skipped
        .iter()
        .map(|skipped| skipped.file.clone())
        .collect();
    assert_eq!(told, skipped);
    let text = repodata(channel.path(), "linux-64");
    assert!(text.contains("sound-1-0.conda"));
    assert!(cases.keys().all(|name| !text.contains(name)));
}

#[test]
fn a_channel_is_a_folder_of_platforms() {
    let folder = tempfile::tempdir().unwrap();
    let error = |path: &Path| {
        index(path, &Options::default(), &|_| {})
            .unwrap_err()
            .to_string()
    };
    assert!(error(&folder.path().join("none")).contains("none` is not a folder"));
    let subdir = folder.path().join("linux-64");
    fs_err::create_dir(&subdir).unwrap();
    assert!(error(&subdir).contains("index the folder above it"));
    assert!(names(&subdir).is_empty());
}
