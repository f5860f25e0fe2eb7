//! Wheels that nobody should take.

use std::io::Read as _;

use proptest::prelude::*;

use super::super::archive::{Opened, check_path};
use super::super::file_name::FileName;
use super::*;

const NAME: &str = "a-1-py3-none-any.whl";

fn sound() -> Wheel<'static> {
    Wheel {
        name: NAME,
        metadata: "",
        files: &[("a.py", b"print(1)\n")],
    }
}

/// Opens and unpacks everything.
fn take(bytes: &[u8]) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    fs::write(&path, bytes).unwrap();
    let name = FileName::parse(NAME).unwrap();
    let opened = Opened::open(&path, name).map_err(|error| message(&error))?;
    opened.metadata().map_err(|error| message(&error))?;
    for file in opened.files.keys() {
        let taken = opened.unpack(file, &folder.path().join("out"));
        taken.map_err(|error| message(&error))?;
    }
    Ok(())
}

fn refused(bytes: &[u8], file: &str, said: &str) {
    let error = take(bytes).expect_err(said);
    assert!(error.contains(NAME), "{error}");
    assert!(
        error.contains(file) && error.contains(said),
        "{file}, {said}: {error}"
    );
}

/// The sound wheel with its entries changed.
fn changed(change: impl Fn(&mut Vec<(String, Vec<u8>)>)) -> Vec<u8> {
    let mut entries = sound().entries();
    change(&mut entries);
    let mut zip = Zip::default();
    for (path, content) in entries {
        zip.add(path.as_bytes(), &content, 0o100_644);
    }
    zip.finish()
}

/// The sound wheel with something added by hand.
fn added(add: impl Fn(&mut Zip)) -> Vec<u8> {
    let mut zip = Zip::default();
    for (path, content) in sound().entries() {
        zip.add(path.as_bytes(), &content, 0o100_644);
    }
    add(&mut zip);
    zip.finish()
}

#[test]
fn the_sound_wheel_is_taken() {
    take(&changed(|_| {})).unwrap();
}

#[test]
fn paths_that_lead_out_are_refused() {
    for (path, said) in [
        ("../evil.py", "leads out"),
        ("a/../../evil.py", "leads out"),
        ("/etc/passwd", "absolute"),
        ("a//b.py", "empty part"),
        ("./b.py", "empty part"),
        ("a\\b.py", "characters"),
        ("a\0b.py", "characters"),
        ("a\nb.py", "characters"),
    ] {
        let bytes = added(|zip| zip.add(path.as_bytes(), b"", 0o100_644));
        let shown: String = path.chars().flat_map(char::escape_default).collect();
        refused(&bytes, &shown, said);
    }
    refused(
        &added(|zip| zip.add(b"\xff\xfe", b"", 0o100_644)),
        "",
        "UTF-8",
    );
    refused(
        &added(|zip| zip.add("x".repeat(300).as_bytes(), b"", 0o100_644)),
        "xxx",
        "long name",
    );
    refused(
        &added(|zip| zip.add(b"../x/", b"", 0o040_755)),
        "../x",
        "leads out",
    );
}

#[test]
fn links_and_odd_entries_are_refused() {
    refused(
        &added(|zip| zip.add(b"link", b"/etc/passwd", 0o120_777)),
        "link",
        "symbolic link",
    );
    refused(
        &added(|zip| zip.add(b"a.py", b"print(1)\n", 0o100_644)),
        "a.py",
        "twice",
    );
    refused(
        &added(|zip| zip.add(b"a.py/b", b"", 0o100_644)),
        "a.py/b",
        "folder that is a file",
    );
    let encrypted = added(|zip| zip.add_packed(b"b", b"x", 0o100_644, 0, 1, 0, 1));
    refused(&encrypted, "b", "encrypted");
    let odd = added(|zip| zip.add_packed(b"b", b"x", 0o100_644, 12, 1, 0, 0));
    refused(&odd, "b", "compressed in a way");
}

#[test]
fn bombs_are_refused() {
    // 20 MB of zeros in 20 kB are within what a wheel may grow, 2 GB in 100 bytes are not.
    let huge = added(|zip| zip.add_packed(b"b", &[0; 100], 0o100_644, 8, 2 << 30, 0, 0));
    refused(&huge, "", "absurdly large");
    let overlapping = added(|zip| {
        let packed = [0; 2000];
        zip.add_packed(b"b", &packed, 0o100_644, 0, 2000, 0, 0);
        for name in 0..5_u8 {
            let mut common = Vec::new();
            common.extend_from_slice(&[20, 0, 0, 8, 0, 0, 0, 0, 0, 0]);
            common.extend_from_slice(&[0; 4]);
            common.extend_from_slice(&2000_u32.to_le_bytes());
            common.extend_from_slice(&2000_u32.to_le_bytes());
            common.extend_from_slice(&[1, 0, 0, 0]);
            zip.repeat(&[b'c' + name], &common, 0, 0o100_644);
        }
    });
    refused(&overlapping, "", "overlap");
    // More than it says: unpacking stops where it should have ended.
    let mut packed = Vec::new();
    let mut encoder = flate2::read::DeflateEncoder::new(
        std::io::repeat(0).take(1 << 20),
        flate2::Compression::best(),
    );
    encoder.read_to_end(&mut packed).unwrap();
    let lying = {
        let mut entries = sound().entries();
        let record = entries.last_mut().unwrap();
        let line = format!("b,{},10\n", super::super::record::digest(&sha256(b"")));
        record.1.extend_from_slice(line.as_bytes());
        let mut zip = Zip::default();
        for (path, content) in &entries {
            zip.add(path.as_bytes(), content, 0o100_644);
        }
        zip.add_packed(b"b", &packed, 0o100_644, 8, 10, 0, 0);
        zip.finish()
    };
    refused(&lying, "`b`", "");
}

#[test]
fn record_is_held_to() {
    let change = |path: &str, content: &[u8]| {
        let (path, content) = (path.to_owned(), content.to_vec());
        changed(move |entries| {
            for entry in entries.iter_mut().filter(|entry| entry.0 == path) {
                entry.1.clone_from(&content);
            }
        })
    };
    refused(&change("a.py", b"print(2)\n"), "a.py", "RECORD says");
    refused(&change("a.py", b"print(1)\n\n"), "a.py", "RECORD says");
    refused(
        &added(|zip| zip.add(b"extra.py", b"", 0o100_644)),
        "extra.py",
        "not in RECORD",
    );
    let without = |name: &str| {
        let name = name.to_owned();
        changed(move |entries| entries.retain(|(path, _)| !path.ends_with(&name)))
    };
    refused(&without("a.py"), "a.py", "not in the archive");
    refused(&without("RECORD"), "RECORD", "has no");
    let bare = b"a.py,,\na-1.dist-info/METADATA,,\na-1.dist-info/WHEEL,,\na-1.dist-info/RECORD,,\n";
    refused(
        &change("a-1.dist-info/RECORD", bare),
        "a-1.dist-info",
        "no digest",
    );
    refused(&change("a-1.dist-info/RECORD", b"\xff"), "RECORD", "");
    let bare = changed(|entries| {
        entries.retain(|(path, _)| !path.ends_with("METADATA"));
        let record = &mut entries.last_mut().unwrap().1;
        let text = String::from_utf8(record.clone()).unwrap();
        let kept: Vec<&str> = text
            .lines()
            .filter(|line| !line.contains("METADATA"))
            .collect();
        *record = (kept.join("\n") + "\n").into_bytes();
    });
    refused(&bare, "METADATA", "has no");
}

#[test]
fn the_dist_info_is_the_wheels_own() {
    let renamed = changed(|entries| {
        for (path, _) in entries.iter_mut() {
            *path = path.replace("a-1.dist-info", "b-1.dist-info");
        }
    });
    refused(&renamed, "b-1.dist-info", "another wheel");
    refused(
        &added(|zip| zip.add(b"z-1.dist-info/x", b"", 0o100_644)),
        "",
        "several .dist-info",
    );
    refused(&Zip::default().finish(), ".dist-info", "has no");
    for bytes in [&b""[..], b"PK", b"no archive at all", &[0; 4096]] {
        refused(bytes, "", "no sound zip");
    }
}

#[test]
fn files_stay_out_of_condas_own_places() {
    for (path, said) in [
        ("a-1.data/data/info/index.json", "conda keeps its own"),
        ("a-1.data/data/conda-meta/history", "conda keeps its own"),
        ("a-1.data/data/site-packages/x", "conda keeps its own"),
        ("a-1.data/scripts/x/y", "script in a folder"),
        ("a-1.data/evil/x", "kind of data"),
        ("a-1.data/x", "beside the kinds"),
        ("a-1.data/purelib/a.py", "another file"),
    ] {
        let place = Place::new(&[Wheel {
            name: NAME,
            metadata: "",
            files: &[("a.py", b""), (path, b"")],
        }]);
        let error = message(&place.drafts("packages = [\"a\"]").unwrap_err());
        assert!(
            error.contains(NAME) && error.contains(said),
            "{path}: {error}"
        );
    }
}

#[test]
fn a_file_and_a_folder_do_not_meet() {
    let place = Place::new(&[Wheel {
        name: NAME,
        metadata: "",
        files: &[("a.py", b""), ("a-1.data/purelib/a.py/x", b"")],
    }]);
    let error = message(&place.drafts("packages = [\"a\"]").unwrap_err());
    assert!(
        error.contains(NAME) && error.contains("a.py") && error.contains("folder"),
        "{error}"
    );
}

#[test]
fn an_entry_point_does_not_take_a_files_place() {
    let place = Place::new(&[Wheel {
        name: NAME,
        metadata: "",
        files: &[
            ("a-1.data/scripts/x", b"#!python\n"),
            (
                "a-1.dist-info/entry_points.txt",
                b"[console_scripts]\nx = a:b\n",
            ),
        ],
    }]);
    let error = message(&place.drafts("packages = [\"a\"]").unwrap_err());
    assert!(error.contains("entry_points.txt"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// Whatever happens to a wheel's bytes: it is taken unchanged or refused, nothing else.
    #[test]
    fn damage_is_noticed(position in 0usize..2000, bit in 0u8..8, cut in prop::option::of(0usize..2000)) {
        let mut bytes = changed(|_| {});
        let position = position % bytes.len();
        bytes[position] ^= 1 << bit;
        if let Some(cut) = cut {
            bytes.truncate(cut % bytes.len());
        }
        let _ = take(&bytes);
    }

    #[test]
    fn checked_paths_stay_inside(path in "[a./\\\\]{0,12}") {
        if check_path(&path).is_ok() {
            let joined = Path::new("/root").join(&path);
            prop_assert!(joined.starts_with("/root"));
            prop_assert!(!path.split('/').any(|part| part == ".."));
        }
    }
}
