//! Channels made of generated packages.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::sync::Mutex;

use archive::digest::{Md5, Sha256};
use archive::package::{Item, Kind, WriteOptions, write};

use crate::{Event, Options, Outputs, Report, index};

mod few;
mod only;

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
    index(channel, &options(), &|_| {}).unwrap()
}

fn options() -> Options {
    Options {
        outputs: Outputs {
            zst: true,
            ..Outputs::default()
        },
        threads: 2,
        ..Options::default()
    }
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
        [
            "index.html",
            "repodata.json",
            "repodata.json.zst",
            "repodata_from_packages.json",
            "repodata_from_packages.json.zst"
        ]
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
    let report = index(channel.path(), &options(), &|event| {
        if let Event::Skipped { file, .. } = event {
            told.lock().unwrap().push(file.to_owned());
        }
    })
    .unwrap();
    let linux = &report.subdirs[0];
    assert_eq!((linux.packages, linux.skipped.len()), (1, cases.len() + 2));
    for skipped in &linux.skipped {
        let reason = &skipped.reason;
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

/// What a run tells of a platform.
fn subdir<'a>(report: &'a Report, name: &str) -> &'a crate::Subdir {
    report
        .subdirs
        .iter()
        .find(|subdir| subdir.name == name)
        .unwrap()
}

#[test]
fn only_what_changed_is_read() {
    let channel = tempfile::tempdir().unwrap();
    for number in 0..20 {
        let text = INDEX.replace("1.0", &format!("{number}.0"));
        let path = format!("noarch/name-{number}.0-0.conda");
        put(channel.path(), &path, &package(Kind::Conda, &text));
    }
    assert_eq!(subdir(&run(channel.path()), "noarch").read, 20);
    assert_eq!(subdir(&run(channel.path()), "noarch").read, 0);

    // Replaced under its name, by one of the same size and time.
    let path = channel.path().join("noarch/name-3.0-0.conda");
    let time = fs_err::metadata(&path).unwrap().modified().unwrap();
    let other = package(Kind::Conda, &INDEX.replace("1.0", "8.0"));
    put(channel.path(), "noarch/new.tmp", &other);
    let file = fs_err::OpenOptions::new()
        .write(true)
        .open(channel.path().join("noarch/new.tmp"))
        .unwrap();
    file.file().set_modified(time).unwrap();
    fs_err::rename(channel.path().join("noarch/new.tmp"), &path).unwrap();
    let report = run(channel.path());
    assert_eq!(
        (
            subdir(&report, "noarch").read,
            subdir(&report, "noarch").changed
        ),
        (1, true)
    );
    assert!(repodata(channel.path(), "noarch").contains(&Sha256::of(&other).to_string()));

    // Changed in place, with its time restored: only who reads it knows.
    let mut bytes = fs_err::read(&path).unwrap();
    let zip = bytes.len() - 22;
    bytes.truncate(zip);
    bytes.resize(zip + 22, 0);
    let time = fs_err::metadata(&path).unwrap().modified().unwrap();
    fs_err::write(&path, &bytes).unwrap();
    fs_err::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .file()
        .set_modified(time)
        .unwrap();
    assert_eq!(subdir(&run(channel.path()), "noarch").read, 0);
    let verified = index(
        channel.path(),
        &Options {
            verify: true,
            ..options()
        },
        &|_| {},
    )
    .unwrap();
    let noarch = subdir(&verified, "noarch");
    assert_eq!(
        (noarch.read, noarch.packages, noarch.skipped.len()),
        (20, 19, 1)
    );
    assert!(!repodata(channel.path(), "noarch").contains("name-3.0-0.conda"));
    let quarantine = fs_err::read_to_string(channel.path().join("quarantine.json")).unwrap();
    assert!(
        quarantine.contains("name-3.0-0.conda") && quarantine.contains("zip"),
        "{quarantine}"
    );
    // It is known to be none, until it is replaced.
    let again = run(channel.path());
    assert_eq!(
        (
            subdir(&again, "noarch").read,
            subdir(&again, "noarch").skipped.len()
        ),
        (0, 1)
    );
    put(channel.path(), "noarch/name-3.0-0.conda", &other);
    assert!(subdir(&run(channel.path()), "noarch").skipped.is_empty());
    assert!(!channel.path().join("quarantine.json").exists());
}

#[test]
fn a_damaged_cache_is_made_anew() {
    let channel = tempfile::tempdir().unwrap();
    put(
        channel.path(),
        "noarch/name-1.0-0.conda",
        &package(Kind::Conda, INDEX),
    );
    run(channel.path());
    let before = repodata(channel.path(), "noarch");
    let path = channel.path().join(".cache").join(crate::cache::FILE);
    let whole = fs_err::read(&path).unwrap();
    let cases = [
        b"no cache at all".to_vec(),
        whole[..whole.len() / 2].to_vec(),
        vec![0; whole.len()],
    ];
    for damaged in cases {
        fs_err::write(&path, damaged).unwrap();
        let lost = Mutex::new(0);
        let report = index(channel.path(), &options(), &|event| {
            if matches!(event, Event::CacheLost) {
                *lost.lock().unwrap() += 1;
            }
        })
        .unwrap();
        assert_eq!(
            (*lost.lock().unwrap(), subdir(&report, "noarch").read),
            (1, 1)
        );
        assert_eq!(repodata(channel.path(), "noarch"), before);
        assert_eq!(subdir(&run(channel.path()), "noarch").read, 0);
    }
}

#[test]
fn what_was_not_looked_for_is_read_when_it_is_asked_for() {
    let channel = tempfile::tempdir().unwrap();
    let info = [
        Item::file("info/index.json", INDEX.as_bytes()),
        Item::file("info/run_exports.json", br#"{"weak":["name >=1"]}"#),
    ];
    let options_of_archive = WriteOptions {
        zstd_level: 1,
        bzip2_level: 1,
    };
    let bytes = write(
        Cursor::new(Vec::new()),
        Kind::TarBz2,
        "name-1.0-0",
        info,
        [],
        &options_of_archive,
    )
    .unwrap()
    .into_inner();
    put(channel.path(), "noarch/name-1.0-0.tar.bz2", &bytes);
    run(channel.path());
    let with = Options {
        outputs: Outputs {
            run_exports: true,
            ..Outputs::default()
        },
        ..Options::default()
    };
    let report = index(channel.path(), &with, &|_| {}).unwrap();
    assert_eq!(subdir(&report, "noarch").read, 1);
    let text = fs_err::read_to_string(channel.path().join("noarch/run_exports.json")).unwrap();
    assert_eq!(
        text,
        r#"{"info":{"subdir":"noarch","version":1},"packages":{"name-1.0-0.tar.bz2":{"run_exports":{"weak":["name >=1"]}}},"packages.conda":{}}"#
    );
    assert_eq!(
        subdir(&index(channel.path(), &with, &|_| {}).unwrap(), "noarch").read,
        0
    );
    // `.zst` is not asked for any more.
    assert!(!channel.path().join("noarch/repodata.json.zst").exists());
}

#[test]
fn packages_that_are_gone_stay_only_on_request() {
    let channel = tempfile::tempdir().unwrap();
    put(
        channel.path(),
        "noarch/name-1.0-0.conda",
        &package(Kind::Conda, INDEX),
    );
    run(channel.path());
    fs_err::remove_file(channel.path().join("noarch/name-1.0-0.conda")).unwrap();
    put(
        channel.path(),
        "noarch/name-2.0-0.conda",
        &package(Kind::Conda, &INDEX.replace("1.0", "2.0")),
    );
    let cached = Options {
        update_cache: false,
        ..options()
    };
    let packages = |options: &Options| {
        let report = index(channel.path(), options, &|_| {}).unwrap();
        (
            subdir(&report, "noarch").packages,
            subdir(&report, "noarch").read,
        )
    };
    assert_eq!(packages(&cached), (1, 0));
    assert_eq!(
        packages(&Options {
            update_only: true,
            ..options()
        }),
        (2, 1)
    );
    assert_eq!(packages(&options()), (1, 0));
    assert!(!repodata(channel.path(), "noarch").contains("name-1.0-0"));
}

#[test]
fn shards_stay_for_a_time_of_grace() {
    let channel = tempfile::tempdir().unwrap();
    let shards = || -> Vec<String> {
        names(&channel.path().join("noarch"))
            .into_iter()
            .filter(|name| name.len() > 64 && name.ends_with(".msgpack.zst"))
            .collect()
    };
    let with = |grace: u64| Options {
        outputs: Outputs {
            shards: true,
            ..Outputs::default()
        },
        grace: std::time::Duration::from_secs(grace),
        ..Options::default()
    };
    put(
        channel.path(),
        "noarch/name-1.0-0.conda",
        &package(Kind::Conda, INDEX),
    );
    index(channel.path(), &with(1000), &|_| {}).unwrap();
    let first = shards();
    assert_eq!(first.len(), 1);
    put(
        channel.path(),
        "noarch/name-2.0-0.conda",
        &package(Kind::Conda, &INDEX.replace("1.0", "2.0")),
    );
    index(channel.path(), &with(1000), &|_| {}).unwrap();
    assert_eq!(shards().len(), 2);
    // The time begins when it is withdrawn, and no change is needed for it to end.
    index(channel.path(), &with(1000), &|_| {}).unwrap();
    assert_eq!(shards().len(), 2);
    index(channel.path(), &with(0), &|_| {}).unwrap();
    let second = shards();
    assert!(second.len() == 1 && second != first);
    // It is not forgotten what is there.
    fs_err::remove_file(channel.path().join("noarch").join(&second[0])).unwrap();
    put(
        channel.path(),
        "noarch/other-1.0-0.conda",
        &package(Kind::Conda, &INDEX.replace("caf\\u00e9", "other")),
    );
    index(channel.path(), &with(0), &|_| {}).unwrap();
    assert_eq!(shards().len(), 2);
}
