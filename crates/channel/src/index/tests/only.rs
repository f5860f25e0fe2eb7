//! Runs that are told what changed come to what runs over everything come to.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use archive::digest::Sha256;
use archive::package::Kind;
use proptest::prelude::*;

use super::{package, put};
use crate::{Options, Outputs, Report, index};

/// Files that may be there, and the names in their records. Some are named otherwise.
const FILES: [(&str, &str); 8] = [
    ("noarch/a-1-0.conda", "a"),
    ("noarch/a-2-0.conda", "a"),
    ("noarch/a-b-1-0.conda", "a-b"),
    ("noarch/a-b-1-0.tar.bz2", "a-b"),
    ("noarch/other-1-0.conda", "a"),
    ("noarch/a-3-0.conda", "c"),
    ("linux-64/a-1-0.conda", "a"),
    ("linux-64/d-1-0.conda", "d"),
];

fn options(outputs: Outputs, only: &[&str]) -> Options {
    Options {
        outputs,
        only: only.iter().map(|path| (*path).to_owned()).collect(),
        channel_name: Some("channel".to_owned()),
        grace: Duration::ZERO,
        ..Options::default()
    }
}

fn shards_alone() -> Outputs {
    Outputs {
        monolithic: false,
        shards: true,
        ..Outputs::default()
    }
}

/// No file that takes a look at all records.
fn flat_files() -> Outputs {
    Outputs {
        shards: true,
        zst: true,
        ..Outputs::default()
    }
}

fn run(channel: &Path, outputs: Outputs, only: &[&str]) -> Report {
    index(channel, &options(outputs, only), &|_| {}).unwrap()
}

/// Puts a file there that nobody else made, with a time of its own.
fn add(channel: &Path, (path, name): (&str, &str), time: u64) {
    let text =
        format!("{{\"name\":\"{name}\",\"version\":\"{time}\",\"build\":\"0\",\"depends\":[]}}");
    let bytes = match Kind::from_file_name(path) {
        Some(kind) => package(kind, &text),
        None => text.into_bytes(),
    };
    put(channel, path, &bytes);
    date(channel, path, time);
}

fn date(channel: &Path, path: &str, time: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000 + time * 1000);
    let file = fs_err::OpenOptions::new()
        .write(true)
        .open(channel.join(path))
        .unwrap();
    file.file().set_modified(time).unwrap();
}

/// All that the indexer wrote, by its path.
fn outputs(channel: &Path) -> BTreeMap<String, Sha256> {
    let mut found = BTreeMap::new();
    let mut folders = vec![channel.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path
                .strip_prefix(channel)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            if path.is_dir() {
                if name != ".cache" {
                    folders.push(path);
                }
            } else if Kind::from_file_name(&name).is_none() && !name.contains(".sigs") {
                found.insert(name, Sha256::of(&fs_err::read(&path).unwrap()));
            }
        }
    }
    found
}

/// What somebody makes of the same packages who knows nothing of earlier runs.
fn afresh(channel: &Path, how: Outputs) -> BTreeMap<String, Sha256> {
    let fresh = tempfile::tempdir().unwrap();
    for subdir in ["noarch", "linux-64"] {
        let copy = fresh.path().join(subdir);
        fs_err::create_dir(&copy).unwrap();
        for entry in fs_err::read_dir(channel.join(subdir)).unwrap() {
            let from = entry.unwrap().path();
            let name = from.to_str().unwrap();
            let is_bundle = from.extension().is_some_and(|ending| ending == "sigs");
            if is_bundle || Kind::from_file_name(name).is_some() {
                let to = copy.join(from.file_name().unwrap());
                let modified = fs_err::metadata(&from).unwrap().modified().unwrap();
                fs_err::copy(&from, &to).unwrap();
                let file = fs_err::OpenOptions::new().write(true).open(&to).unwrap();
                file.file().set_modified(modified).unwrap();
            }
        }
    }
    run(fresh.path(), how, &[]);
    outputs(fresh.path())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_changed_is_all_that_must_be_told(
        how in prop::sample::select(vec![shards_alone(), flat_files(), Outputs::all()]),
        steps in prop::collection::vec(
            (prop::collection::vec((0..FILES.len(), 0..4_u8), 1..4), 0..4_u8),
            1..7,
        ),
    ) {
        let channel = tempfile::tempdir().unwrap();
        let channel = channel.path();
        for subdir in ["noarch", "linux-64"] {
            fs_err::create_dir(channel.join(subdir)).unwrap();
        }
        let mut time = 0;
        for (changes, kind) in steps {
            let mut told = Vec::new();
            for (number, change) in changes {
                time += 1;
                let (path, name) = FILES[number];
                told.push(path);
                match change {
                    0 if channel.join(path).exists() => fs_err::remove_file(channel.join(path)).unwrap(),
                    1 => {
                        put(channel, path, b"no package");
                        date(channel, path, time);
                    }
                    _ => add(channel, (path, name), time),
                }
            }
            let attested = channel.join(format!("{}.sigs", told[0]));
            match kind {
                2 if attested.exists() => fs_err::remove_file(&attested).unwrap(),
                3 => fs_err::write(&attested, format!("[{{\"mediaType\":\"{time}\"}}]")).unwrap(),
                _ => {}
            }
            run(channel, how, if kind == 0 { &[] } else { &told });
            let ours = outputs(channel);
            prop_assert_eq!(&ours, &afresh(channel, how));
            // A look at everything has nothing to add.
            if kind == 1 {
                let report = run(channel, how, &[]);
                prop_assert!(report.subdirs.iter().all(|subdir| !subdir.changed && subdir.read == 0));
                prop_assert_eq!(&ours, &outputs(channel));
            }
        }
    }
}

#[test]
fn nobody_looks_at_what_is_not_named() {
    for how in [shards_alone(), flat_files(), Outputs::all()] {
        let channel = tempfile::tempdir().unwrap();
        let channel = channel.path();
        let (one, other, more) = (FILES[0], FILES[2], FILES[7]);
        add(channel, one, 1);
        // The cache has nothing yet: all of the platform is looked at.
        let report = run(channel, how, &[one.0]);
        assert_eq!(report.subdirs[0].packages, 1);
        add(channel, other, 2);
        add(channel, more, 3);
        let report = run(channel, how, &[more.0]);
        let counts = |report: &Report| -> Vec<_> {
            let of_one = |one: &crate::Subdir| (one.name.clone(), one.packages, one.read);
            report.subdirs.iter().map(of_one).collect()
        };
        let expected = |linux, noarch, read| {
            [
                ("linux-64".to_owned(), linux, read),
                ("noarch".to_owned(), noarch, 1 - read),
            ]
        };
        assert_eq!(counts(&report), expected(1, 1, 1));
        let report = run(channel, how, &[]);
        assert_eq!(counts(&report), expected(1, 2, 0));
        assert_eq!(outputs(channel), afresh(channel, how));
    }
}

/// A run was killed after it had read a package: who is told of another one publishes both.
#[test]
fn what_a_killed_run_had_read_is_published() {
    let channel = tempfile::tempdir().unwrap();
    let channel = channel.path();
    let elsewhere = tempfile::tempdir().unwrap();
    add(channel, FILES[0], 1);
    run(channel, shards_alone(), &[]);
    add(channel, FILES[2], 2);
    let aside = Options {
        output: Some(crate::Location::Folder(elsewhere.path().to_owned())),
        ..options(shards_alone(), &[])
    };
    index(channel, &aside, &|_| {}).unwrap();
    add(channel, FILES[7], 3);
    run(channel, shards_alone(), &[FILES[7].0]);
    let ours = outputs(channel);
    for (name, digest) in afresh(channel, shards_alone()) {
        assert_eq!(ours.get(&name), Some(&digest), "{name}");
    }
}

#[test]
fn hotfixes_and_attestations_count() {
    let how = Outputs {
        indexed_timestamp: true,
        ..shards_alone()
    };
    let channel = tempfile::tempdir().unwrap();
    let channel = channel.path();
    for (number, file) in FILES.iter().take(3).enumerate() {
        add(channel, *file, number as u64);
    }
    run(channel, how, &[]);
    let before = outputs(channel);
    let index_file = "noarch/repodata_shards.msgpack.zst";
    // Hotfixes change what all shards are made of, whatever is named.
    put(
        channel,
        "noarch/patch_instructions.json",
        br#"{"patch_instructions_version":1,"packages.conda":{"a-b-1-0.conda":{"license":"X"}},"remove":["a-1-0.conda"]}"#,
    );
    let report = run(channel, how, &[FILES[1].0]);
    assert_eq!(report.subdirs[0].packages, 2);
    let patched = outputs(channel);
    assert_ne!(before[index_file], patched[index_file]);
    // A list of bundles comes beside a package that is named.
    put(
        channel,
        "noarch/a-2-0.conda.sigs",
        br#"[{"mediaType":"x"}]"#,
    );
    run(channel, how, &[FILES[1].0]);
    let attested = outputs(channel);
    assert_ne!(patched[index_file], attested[index_file]);
    assert_eq!(run(channel, how, &[FILES[2].0]).subdirs[0].packages, 2);
    assert_eq!(attested, outputs(channel));
    assert!(!run(channel, how, &[]).subdirs[0].changed);
    assert_eq!(attested, outputs(channel));
}

/// Each run is told of one package, and the files that are there are those of the run before.
#[test]
fn flat_files_are_made_of_those_that_are_there() {
    let channel = tempfile::tempdir().unwrap();
    let channel = channel.path();
    put(
        channel,
        "noarch/patch_instructions.json",
        br#"{"patch_instructions_version":1,"packages.conda":{"a-b-1-0.conda":{"license":"X"}},"remove":["a-1-0.conda"]}"#,
    );
    add(channel, FILES[1], 1);
    run(channel, flat_files(), &[]);
    let all = |channel: &Path| {
        let text = fs_err::read_to_string(channel.join("noarch/repodata.json")).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let files = value["packages.conda"].as_object().unwrap();
        (
            files.keys().cloned().collect::<Vec<_>>(),
            value["removed"].clone(),
        )
    };
    for number in [0, 2, 5] {
        add(channel, FILES[number], 2 + number as u64);
        run(channel, flat_files(), &[FILES[number].0]);
    }
    let files = ["a-2-0.conda", "a-3-0.conda", "a-b-1-0.conda"];
    assert_eq!(
        all(channel),
        (
            files.map(str::to_owned).to_vec(),
            serde_json::json!(["a-1-0.conda"])
        )
    );
    let ours = outputs(channel);
    assert!(!run(channel, flat_files(), &[]).subdirs[0].changed);
    assert_eq!(ours, outputs(channel));

    // Shards alone leave the flat files behind: the next run for them looks at all that is known.
    add(channel, FILES[4], 9);
    run(channel, shards_alone(), &[FILES[4].0]);
    fs_err::remove_file(channel.join(FILES[5].0)).unwrap();
    run(channel, flat_files(), &[FILES[5].0]);
    let files = ["a-2-0.conda", "a-b-1-0.conda", "other-1-0.conda"];
    assert_eq!(all(channel).0, files);

    // Somebody wrote into the file and gave it its time back.
    let path = channel.join("noarch/repodata.json");
    let modified = fs_err::metadata(&path).unwrap().modified().unwrap();
    let text = fs_err::read_to_string(&path).unwrap();
    fs_err::write(&path, text.replace("\"X\"", "\"Y\"")).unwrap();
    let file = fs_err::OpenOptions::new().write(true).open(&path).unwrap();
    file.file().set_modified(modified).unwrap();
    let named = options(flat_files(), &[FILES[1].0]);
    let error = index(channel, &named, &|_| {}).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("remove it"), "{cause}");
    fs_err::remove_file(&path).unwrap();
    run(channel, flat_files(), &[]);
    assert_eq!(all(channel).0, files);
}

#[test]
fn only_packages_can_be_named() {
    let channel = tempfile::tempdir().unwrap();
    add(channel.path(), FILES[0], 1);
    for wrong in [
        "a-1-0.conda",
        "noarch/",
        "noarch/../a-1-0.conda",
        "noarch/b/a-1-0.conda",
        "/noarch/a-1-0.conda",
        "../noarch/a-1-0.conda",
        "elsewhere/a-1-0.conda",
        "noarch/repodata.json",
        "noarch/.a-1-0.conda",
        "noarch/a\n-1-0.conda",
    ] {
        let error = index(channel.path(), &options(shards_alone(), &[wrong]), &|_| {});
        assert!(error.unwrap_err().is_usage(), "{wrong}");
    }
    let named = options(shards_alone(), &[FILES[0].0]);
    for wrong in [
        Options {
            verify: true,
            ..named.clone()
        },
        Options {
            update_cache: false,
            ..named.clone()
        },
        Options {
            upstream_stage: "md".to_owned(),
            ..named.clone()
        },
        Options {
            subdirs: vec!["linux-64".to_owned()],
            ..named.clone()
        },
        Options {
            import: vec!["repodata.json".into()],
            ..named.clone()
        },
    ] {
        assert!(
            index(channel.path(), &wrong, &|_| {})
                .unwrap_err()
                .is_usage()
        );
    }
    assert!(!channel.path().join(".cache").exists());
}
