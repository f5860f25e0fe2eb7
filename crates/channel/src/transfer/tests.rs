//! Files that nobody exported.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::export::walk;
use super::{Error, MANIFEST, Manifest, export, import, is_inside, rank};

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // Names that the library itself would refuse.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        archive.append(&header, *content).unwrap();
    }
    archive.into_inner().unwrap()
}

fn manifest(path: &str, content: &[u8]) -> String {
    let sha256 = archive::digest::Sha256::of(content);
    let size = content.len();
    format!(
        r#"{{"archiconda_transfer":1,"files":{{"{path}":{{"size":{size},"sha256":"{sha256}"}}}},
        "carried":["{path}"],"removed":[]}}"#
    )
}

fn come(bytes: &[u8], place: &Path) -> Result<super::Report, Error> {
    let file = place.join("x.tar");
    fs_err::write(&file, bytes).unwrap();
    import(&file, &place.join("channel"), Duration::ZERO, &|_| {})
}

/// What lies in the channel's folder and is visible.
fn there(place: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(place.join("channel"))
        .into_iter()
        .flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.')).collect()
}

#[test]
fn what_is_odd_is_refused_and_leaves_nothing() {
    let good = manifest("noarch/a-1-0.conda", b"abc");
    let cases: &[(&str, Vec<u8>)] = &[
        ("empty", Vec::new()),
        ("no manifest", archive(&[("noarch/a-1-0.conda", b"abc")])),
        ("no JSON", archive(&[(MANIFEST, b"{")])),
        (
            "of another version",
            archive(&[(MANIFEST, good.replace("\":1,", "\":2,").as_bytes())]),
        ),
        ("nothing in it", archive(&[(MANIFEST, good.as_bytes())])),
        (
            "other bytes",
            archive(&[(MANIFEST, good.as_bytes()), ("noarch/a-1-0.conda", b"abd")]),
        ),
        (
            "more bytes",
            archive(&[(MANIFEST, good.as_bytes()), ("noarch/a-1-0.conda", b"abcd")]),
        ),
        (
            "another name",
            archive(&[(MANIFEST, good.as_bytes()), ("noarch/b-1-0.conda", b"abc")]),
        ),
        (
            "more than it says",
            archive(&[
                (MANIFEST, good.as_bytes()),
                ("noarch/a-1-0.conda", b"abc"),
                ("../b", b"abc"),
            ]),
        ),
        (
            "a path that leads out",
            archive(&[
                (MANIFEST, manifest("../../a", b"abc").as_bytes()),
                ("../../a", b"abc"),
            ]),
        ),
        (
            "a whole path",
            archive(&[(MANIFEST, manifest("/tmp/a", b"abc").as_bytes())]),
        ),
        (
            "a file that it takes away itself",
            archive(&[
                (
                    MANIFEST,
                    good.replace("\"removed\":[]", "\"removed\":[\"noarch/a-1-0.conda\"]")
                        .as_bytes(),
                ),
                ("noarch/a-1-0.conda", b"abc"),
            ]),
        ),
        (
            "a hidden path",
            archive(&[(MANIFEST, manifest("noarch/.cache/a", b"abc").as_bytes())]),
        ),
    ];
    for (name, bytes) in cases {
        let place = tempfile::tempdir().unwrap();
        let error = come(bytes, place.path()).expect_err(name);
        assert!(error.is_usage() || error.is_integrity(), "{name}: {error}");
        assert!(there(place.path()).is_empty(), "{name}");
        assert!(!place.path().join("a").exists(), "{name}");
    }
    let place = tempfile::tempdir().unwrap();
    let whole = archive(&[(MANIFEST, good.as_bytes()), ("noarch/a-1-0.conda", b"abc")]);
    come(&whole, place.path()).unwrap();
    assert_eq!(there(place.path()), ["noarch"]);
}

#[test]
fn a_file_that_ends_early_leaves_nothing() {
    let content = vec![7; 5000];
    let text = manifest("noarch/a-1-0.conda", &content);
    let whole = archive(&[
        (MANIFEST, text.as_bytes()),
        ("noarch/a-1-0.conda", &content),
    ]);
    for length in (0..whole.len() - 1024).step_by(511) {
        let place = tempfile::tempdir().unwrap();
        assert!(come(&whole[..length], place.path()).is_err(), "{length}");
        assert!(there(place.path()).is_empty(), "{length}");
    }
}

#[test]
fn packages_come_before_what_names_them() {
    let mut paths = [
        "noarch/repodata.json",
        "noarch/repodata.json.zst",
        "noarch/repodata_shards.msgpack.zst",
        "noarch/index.html",
        "noarch/0123.msgpack.zst",
        "noarch/a-1-0.tar.bz2",
        "channeldata.json",
        "noarch/current_repodata.json",
    ];
    paths.sort_by_key(|path| rank(path));
    assert_eq!(
        paths,
        [
            "noarch/0123.msgpack.zst",
            "noarch/a-1-0.tar.bz2",
            "noarch/index.html",
            "channeldata.json",
            "noarch/repodata.json.zst",
            "noarch/repodata_shards.msgpack.zst",
            "noarch/current_repodata.json",
            "noarch/repodata.json",
        ]
    );
}

type Tree = std::collections::BTreeMap<String, Vec<u8>>;

fn tree() -> impl Strategy<Value = Tree> {
    let path = "(noarch|linux-64|html)/[a-c]-[0-9]-0\\.(conda|html|json)";
    let files = prop::collection::btree_map(path, prop::collection::vec(any::<u8>(), 0..40), 0..12);
    files.prop_map(|mut files| {
        files.insert("noarch/repodata.json".to_owned(), b"{}".to_vec());
        files
    })
}

fn lay(folder: &Path, tree: &Tree) {
    for (path, content) in tree {
        let path = folder.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }
}

fn look(folder: &Path) -> Tree {
    let mut paths = Vec::new();
    walk(folder, "", &mut paths).unwrap();
    let read = |path: String| {
        let content = fs_err::read(folder.join(&path)).unwrap();
        (path, content)
    };
    paths.into_iter().map(read).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn differences_come_to_the_same_channel(trees in prop::collection::vec(tree(), 1..4)) {
        let place = tempfile::tempdir().unwrap();
        let other = place.path().join("other");
        let mut before = None;
        for (number, tree) in trees.iter().enumerate() {
            let here = place.path().join(format!("here{number}"));
            fs_err::create_dir_all(&here).unwrap();
            lay(&here, tree);
            let file = place.path().join(format!("{number}.tar"));
            let since = before.as_deref();
            let sent = export(&here, &file, since, &|_| {}).unwrap();
            let taken = import(&file, &other, Duration::ZERO, &|_| {}).unwrap();
            prop_assert_eq!(sent, taken);
            prop_assert_eq!(&look(&other), tree);
            // What was imported tells as much as what was exported.
            prop_assert_eq!(&Manifest::read(&other).unwrap().files, &Manifest::read(&file).unwrap().files);
            before = Some(file);
        }
        if let Some(last) = trees.last() {
            let again = place.path().join(format!("here{}", trees.len() - 1));
            let file = place.path().join("again.tar");
            let sent = export(&again, &file, Some(&other), &|_| {}).unwrap();
            prop_assert_eq!((sent.files, sent.carried, sent.removed), (last.len(), 0, 0));
        }
    }

    #[test]
    fn only_paths_inside_are_paths(path in prop_oneof!["[./0]{0,8}", ".{0,12}"]) {
        let odd = path.split('/').any(|part| matches!(part, "" | "." | ".."));
        prop_assert!(!(odd && is_inside(&path)), "{path}");
    }
}
