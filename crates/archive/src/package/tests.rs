//! Packages that are written and read again, and packages that nobody should accept.

use std::io::{Cursor, Read as _, Write as _};

use proptest::prelude::*;

use super::{
    Entry, EntryKind, Error, Item, Kind, Options, Package, WINDOW, WriteOptions, is_file_name,
    split_file_name, write,
};

mod container;
mod hostile;

const QUICK: WriteOptions = WriteOptions {
    zstd_level: 1,
    bzip2_level: 1,
};

/// An entry as the tests compare it.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    path: String,
    kind: EntryKind,
    mode: u32,
    content: Vec<u8>,
}

fn package(kind: Kind, info: Vec<Item<'_>>, content: Vec<Item<'_>>) -> Vec<u8> {
    write(
        Cursor::new(Vec::new()),
        kind,
        "name-1.0-0",
        info,
        content,
        &QUICK,
    )
    .unwrap()
    .into_inner()
}

fn open(bytes: &[u8], kind: Kind) -> Result<Package<Cursor<&[u8]>>, Error> {
    let options = Options {
        total_limit: 64 << 20,
        ..Options::default()
    };
    Package::open_with(Cursor::new(bytes), kind, options)
}

fn see(entry: Entry<'_>) -> Result<Seen, Error> {
    let mut content = Vec::new();
    entry
        .content
        .read_to_end(&mut content)
        .map_err(|source| Error::Read { source })?;
    assert_eq!(content.len() as u64, entry.size);
    let Entry {
        path, kind, mode, ..
    } = entry;
    Ok(Seen {
        path,
        kind,
        mode,
        content,
    })
}

/// Everything in the package: metadata first, then content.
fn everything(bytes: &[u8], kind: Kind) -> Result<Vec<Seen>, Error> {
    let mut package = open(bytes, kind)?;
    let mut seen = Vec::new();
    if kind == Kind::Conda {
        package.info_entries(&mut |entry| {
            seen.push(see(entry)?);
            Ok::<(), Error>(())
        })?;
    }
    package.entries(&mut |entry| {
        seen.push(see(entry)?);
        Ok::<(), Error>(())
    })?;
    Ok(seen)
}

fn item(seen: &Seen) -> Item<'_> {
    let item = match &seen.kind {
        EntryKind::File => Item::file(&seen.path, &seen.content),
        EntryKind::HardLink { target } => Item::hard_link(&seen.path, target),
        EntryKind::SymbolicLink { target } => Item::symbolic_link(&seen.path, target),
        EntryKind::Directory => Item::directory(&seen.path),
    };
    item.mode(seen.mode)
}

fn small(kind: Kind) -> Vec<u8> {
    let info = vec![
        Item::file("info/index.json", b"{\"name\":\"name\"}"),
        Item::file("info/licenses/a", b"free"),
    ];
    let content = vec![
        Item::file("bin/tool", b"#!/bin/sh\n").mode(0o755),
        Item::symbolic_link("bin/alias", "../bin/tool"),
        Item::hard_link("bin/twin", "bin/tool"),
        Item::directory("empty"),
    ];
    package(kind, info, content)
}

#[test]
fn names_are_split_from_the_right() {
    let cases = [
        (
            "zlib-1.2.11-h14c3975_1003.tar.bz2",
            Some(("zlib", "1.2.11", "h14c3975_1003")),
        ),
        (
            "c-ares-1.21.0-h31becfc_0.conda",
            Some(("c-ares", "1.21.0", "h31becfc_0")),
        ),
        (
            "c-ares-1.21.0-h31becfc_0",
            Some(("c-ares", "1.21.0", "h31becfc_0")),
        ),
        ("zlib-1.2.11.conda", None),
        ("--.conda", None),
        ("a/b-1-0.conda", None),
        ("", None),
    ];
    for (name, parts) in cases {
        assert_eq!(split_file_name(name), parts, "{name}");
    }
    assert_eq!(Kind::from_file_name("a-1-0.tar.bz2"), Some(Kind::TarBz2));
    assert_eq!(Kind::from_file_name("a-1-0.conda"), Some(Kind::Conda));
    assert_eq!(Kind::from_file_name("a-1-0.zip"), None);
}

#[test]
fn a_file_name_leads_nowhere() {
    let long = format!("{}-1-0.conda", "a".repeat(247));
    for (text, expected) in [
        ("a-1-0.conda", true),
        ("café-1!2-0.tar.bz2", true),
        ("a.conda", true),
        (long.as_str(), false),
        ("a-1-0.zip", false),
        ("", false),
        (".conda", false),
        ("../a-1-0.conda", false),
        ("/a-1-0.conda", false),
        ("a/b-1-0.conda", false),
        ("a\\b-1-0.conda", false),
        ("a\u{1b}-1-0.conda", false),
        ("a\0-1-0.conda", false),
    ] {
        assert_eq!(is_file_name(text), expected, "{text:?}");
    }
}

#[test]
fn metadata_is_found_in_both_formats() {
    for kind in [Kind::Conda, Kind::TarBz2] {
        let bytes = small(kind);
        let mut package = open(&bytes, kind).unwrap();
        assert_eq!(package.kind(), kind);
        assert_eq!(package.index_json().unwrap(), b"{\"name\":\"name\"}");
        let info = package.info().unwrap();
        let paths: Vec<_> = info.keys().map(String::as_str).collect();
        assert_eq!(paths, ["info/index.json", "info/licenses/a"]);
        assert_eq!(info["info/licenses/a"], b"free");
        package.check_whole().unwrap();
    }
}

#[test]
fn offsets_are_those_in_the_decoded_stream() {
    let bytes = small(Kind::Conda);
    let mut package = open(&bytes, Kind::Conda).unwrap();
    assert_eq!(package.stem(), Some("name-1.0-0"));
    let member = package.content_member().unwrap().clone();
    let stored = &bytes[usize::try_from(member.offset).unwrap()..]
        [..usize::try_from(member.length).unwrap()];
    let decoded = zstd::decode_all(stored).unwrap();
    let mut found = 0;
    let length = package
        .entries(&mut |entry| {
            if entry.kind == EntryKind::File {
                let start = usize::try_from(entry.offset).unwrap();
                assert!(decoded[start..].starts_with(b"#!/bin/sh\n"));
                found += 1;
            }
            Ok::<(), Error>(())
        })
        .unwrap();
    assert_eq!(found, 1);
    assert_eq!(length, decoded.len() as u64);
}

#[test]
fn what_a_visitor_says_comes_back_and_what_it_leaves_is_skipped() {
    #[derive(Debug)]
    struct Mine;
    impl From<Error> for Mine {
        fn from(error: Error) -> Self {
            panic!("{error}")
        }
    }
    for kind in [Kind::Conda, Kind::TarBz2] {
        let bytes = small(kind);
        let mut package = open(&bytes, kind).unwrap();
        package.entries(&mut |_| Ok::<(), Mine>(())).unwrap();
        let mut count = 0;
        let outcome = package.entries(&mut |_| {
            count += 1;
            Err(Mine)
        });
        assert!(matches!(outcome, Err(Mine)));
        assert_eq!(count, 1);
    }
}

#[test]
fn long_names_survive() {
    let deep = format!("{}/file", vec!["a-folder-with-a-long-name"; 40].join("/"));
    let target = "x/".repeat(300) + "y";
    for kind in [Kind::Conda, Kind::TarBz2] {
        let content = vec![
            Item::file(&deep, b"1"),
            Item::symbolic_link("link", &target),
        ];
        let seen = everything(&package(kind, Vec::new(), content), kind).unwrap();
        assert_eq!(seen[0].path, deep);
        assert_eq!(
            seen[1].kind,
            EntryKind::SymbolicLink {
                target: target.clone()
            }
        );
    }
}

#[test]
fn the_writer_refuses_what_the_reader_would() {
    let cases = [
        vec![Item::file("../a", b"")],
        vec![Item::file("/a", b"")],
        vec![Item::file("info/a", b"")],
        vec![Item::file("a", b""), Item::file("a", b"")],
        vec![Item::symbolic_link("a", "/etc")],
        vec![Item::symbolic_link("a", "b"), Item::file("a/b", b"")],
        vec![Item::hard_link("a", "b")],
        vec![Item::file("a", b"").mode(0o4755)],
    ];
    for content in cases {
        write(
            Cursor::new(Vec::new()),
            Kind::Conda,
            "a-1-0",
            Vec::new(),
            content,
            &QUICK,
        )
        .unwrap_err();
    }
    let short = Item {
        kind: super::ItemKind::File {
            size: 5,
            content: Box::new(&b"1234"[..]),
        },
        ..Item::file("a", b"")
    };
    write(
        Cursor::new(Vec::new()),
        Kind::TarBz2,
        "a-1-0",
        Vec::new(),
        vec![short],
        &QUICK,
    )
    .unwrap_err();
}

fn entries() -> impl Strategy<Value = Vec<Seen>> {
    let name = prop_oneof!["[a-z]{1,3}", "[ -.0-~]{1,12}", "\\PC{1,8}", "[a-z]{90,120}"]
        .prop_map(|name| name.replace(['/', '\0'], "_"))
        .prop_filter("not a file's name", |name| {
            name != "." && name != ".." && name != "info"
        });
    let path = prop::collection::vec(name, 1..5).prop_map(|parts| parts.join("/"));
    let kind = prop_oneof![
        4 => Just(EntryKind::File),
        1 => Just(EntryKind::Directory),
        1 => "[a-z]{1,3}(/[a-z.]{1,4}){0,3}".prop_map(|target| EntryKind::SymbolicLink { target }),
        1 => Just(EntryKind::HardLink { target: String::new() }),
    ];
    let content = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2000),
        (any::<u8>(), 0..200_000_usize).prop_map(|(byte, count)| vec![byte; count]),
    ];
    prop::collection::vec((path, kind, 0..0o1000_u32, content), 0..12).prop_map(|drawn| {
        let mut layout = super::layout::Layout::default();
        let mut sound: Vec<Seen> = Vec::new();
        for (path, mut kind, mut mode, content) in drawn {
            if let EntryKind::HardLink { target } = &mut kind {
                match sound.iter().find(|earlier| earlier.kind == EntryKind::File) {
                    Some(earlier) => {
                        target.clone_from(&earlier.path);
                        mode = earlier.mode;
                    }
                    None => continue,
                }
            }
            if layout.add(&path, &kind).is_ok() {
                let content = if kind == EntryKind::File {
                    content
                } else {
                    Vec::new()
                };
                sound.push(Seen {
                    path,
                    kind,
                    mode,
                    content,
                });
            }
        }
        sound
    })
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Conda), Just(Kind::TarBz2)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_written_is_read(kind in kinds(), content in entries()) {
        let index = Seen { path: "info/index.json".into(), kind: EntryKind::File, mode: 0o644, content: b"{}".to_vec() };
        let bytes = package(kind, vec![item(&index)], content.iter().map(item).collect());
        prop_assert_eq!(&bytes, &package(kind, vec![item(&index)], content.iter().map(item).collect()));
        let mut expected = vec![index];
        expected.extend(content);
        prop_assert_eq!(everything(&bytes, kind).unwrap(), expected);
        let mut package = open(&bytes, kind).unwrap();
        package.check_whole().unwrap();
        prop_assert!(!package.needs_large_window().unwrap());
    }

    #[test]
    fn damage_never_panics_and_never_goes_unnoticed_in_content(kind in kinds(), position in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let sound = small(kind);
        let mut bytes = sound.clone();
        *bytes.get_mut(position.index(sound.len())).unwrap() ^= 1 << bit;
        // A zip has fields that nobody reads, times for instance: then what is read is the same.
        if let Ok(seen) = everything(&bytes, kind) {
            prop_assert_eq!(seen, everything(&sound, kind).unwrap());
        }
        if let Ok(mut package) = open(&bytes, kind) {
            let _ = package.index_json();
            let _ = package.content_window();
            let _ = package.check_whole();
        }
    }

    #[test]
    fn any_bytes_never_panic(kind in kinds(), bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(everything(&bytes, kind).is_err());
    }
}

#[test]
fn every_truncation_is_an_error() {
    for kind in [Kind::Conda, Kind::TarBz2] {
        let sound = small(kind);
        for length in 0..sound.len() {
            let bytes = &sound[..length];
            assert!(everything(bytes, kind).is_err(), "{kind} of {length} bytes");
            let whole = open(bytes, kind).and_then(|mut package| package.check_whole());
            assert!(whole.is_err(), "{kind} of {length} bytes");
        }
    }
}

#[test]
fn windows_are_known_before_decoding() {
    let noise: Vec<u8> = (0..40_000_u32)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    for (log, large) in [(20, false), (23, false), (24, true), (27, true)] {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(log).unwrap();
        let mut builder = tar::Builder::new(&mut encoder);
        let mut header = tar::Header::new_gnu();
        header.set_size(noise.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, "noise", &*noise).unwrap();
        builder.finish().unwrap();
        drop(builder);
        // A skippable frame and a second frame without content, which decoders pass over.
        let mut stream = encoder.finish().unwrap();
        stream.extend_from_slice(&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
        stream.extend_from_slice(&zstd::encode_all(&b""[..], 1).unwrap());
        let bytes = container::conda(&stream);

        let mut package = open(&bytes, Kind::Conda).unwrap();
        assert_eq!(package.content_window().unwrap(), Some(1 << log));
        assert_eq!(package.needs_large_window().unwrap(), large);
        package.entries(&mut |_| Ok::<(), Error>(())).unwrap();

        let options = Options {
            window_log_max: WINDOW.ilog2(),
            ..Options::default()
        };
        let mut package = Package::open_with(Cursor::new(&bytes), Kind::Conda, options).unwrap();
        match package.entries(&mut |_| Ok::<(), Error>(())) {
            Ok(_) => assert!(!large),
            Err(Error::Window { window, limit }) => {
                assert_eq!((window, limit, large), (1 << log, WINDOW, true));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn parallel_compressors_write_several_streams() {
    let sound = small(Kind::TarBz2);
    let mut tar = Vec::new();
    ::bzip2::read::BzDecoder::new(&*sound)
        .read_to_end(&mut tar)
        .unwrap();
    let mut bytes = Vec::new();
    for part in tar.chunks(1000) {
        let mut encoder = ::bzip2::write::BzEncoder::new(Vec::new(), ::bzip2::Compression::fast());
        encoder.write_all(part).unwrap();
        bytes.extend(encoder.finish().unwrap());
    }
    assert_eq!(
        everything(&bytes, Kind::TarBz2).unwrap(),
        everything(&sound, Kind::TarBz2).unwrap()
    );
}
