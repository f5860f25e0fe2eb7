//! Debian packages made here, good and hostile ones.

use super::*;

/// An ar archive.
fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        let header = format!(
            "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
            0,
            0,
            0,
            100_644,
            content.len()
        );
        bytes.extend(header.as_bytes());
        bytes.extend(*content);
        bytes.extend(vec![b'\n'; content.len() % 2]);
    }
    bytes
}

/// A tar archive with one entry after another: name, kind, link target, content.
fn tar(entries: &[(&str, tar::EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, target, content) in entries {
        let mut header = tar::Header::new_gnu();
        // The crate's own setters refuse what is tried here.
        let field = &mut header.as_old_mut().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_link_name_literal(target).unwrap();
        header.set_entry_type(*kind);
        header.set_mode(0o4755);
        header.set_mtime(7);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn unpack_bytes(bytes: &[u8]) -> Result<Contents, DebError> {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("a.deb");
    fs::write(&file, bytes).unwrap();
    let folder = place.path().join("out");
    fs::create_dir(&folder).unwrap();
    let contents = unpack(&file, &folder);
    // Whatever is in it, nothing comes to lie elsewhere.
    let mut names: Vec<_> = fs::read_dir(place.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["a.deb", "out"]);
    contents
}

fn text(error: &DebError) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    format!("{error}: {}", cause.unwrap_or_default())
}

use tar::EntryType as Kind;

#[test]
fn files_links_and_modes() {
    let data = tar(&[
        ("./", Kind::Directory, "", b""),
        ("./usr/bin/a", Kind::Regular, "", b"content"),
        ("./usr/bin/b", Kind::Link, "./usr/bin/a", b""),
        ("./usr/bin/c", Kind::Symlink, "../../../etc/passwd", b""),
    ]);
    let compressed = [
        ("data.tar", data.clone()),
        ("data.tar.zst", zstd::encode_all(&*data, 3).unwrap()),
        ("data.tar.gz", {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            io::Write::write_all(&mut encoder, &data).unwrap();
            encoder.finish().unwrap()
        }),
    ];
    for (name, bytes) in compressed {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("a.deb");
        fs::write(
            &file,
            ar(&[("debian-binary", b"2.0\n"), ("x", b"odd"), (name, &bytes)]),
        )
        .unwrap();
        let contents = unpack(&file, place.path()).unwrap();
        assert_eq!(contents.newest, 7, "{name}");
        let paths: Vec<_> = contents.entries.keys().map(String::as_str).collect();
        assert_eq!(paths, ["usr/bin/a", "usr/bin/b", "usr/bin/c"], "{name}");
        for path in ["usr/bin/a", "usr/bin/b"] {
            let Entry::File { content, mode } = &contents.entries[path] else {
                panic!("{path} is no file");
            };
            assert_eq!(fs::read(content).unwrap(), b"content");
            assert_eq!(*mode, 0o755, "without the bit that makes it another user's");
        }
        let target = "../../../etc/passwd".to_owned();
        assert_eq!(
            contents.entries["usr/bin/c"],
            Entry::SymbolicLink { target }
        );
    }
}

#[test]
fn hostile_entries_are_named() {
    let cases: [(&str, Kind, &str, &str); 9] = [
        (
            "../evil",
            Kind::Regular,
            "",
            "`../evil` leads out of the package",
        ),
        (
            "./a/../../evil",
            Kind::Regular,
            "",
            "leads out of the package",
        ),
        (
            "/etc/passwd",
            Kind::Regular,
            "",
            "`/etc/passwd` has an absolute path",
        ),
        ("./tty", Kind::Char, "", "is neither file, folder nor link"),
        (
            "./disk",
            Kind::Block,
            "",
            "is neither file, folder nor link",
        ),
        ("./pipe", Kind::Fifo, "", "is neither file, folder nor link"),
        (
            "./hard",
            Kind::Link,
            "./nothing",
            "is a link to a file that it does not have",
        ),
        ("./hard", Kind::Link, "/etc/passwd", "has an absolute path"),
        (
            "./a\x1b[2J",
            Kind::Regular,
            "",
            "has control characters in its name",
        ),
    ];
    for (name, kind, target, expected) in cases {
        let bytes = ar(&[("data.tar", &tar(&[(name, kind, target, b"")]))]);
        let error = unpack_bytes(&bytes).expect_err(name);
        assert!(text(&error).contains(expected), "{name}: {}", text(&error));
    }
    let twice = tar(&[
        ("./a", Kind::Regular, "", b"1"),
        ("a", Kind::Regular, "", b"2"),
    ]);
    let error = unpack_bytes(&ar(&[("data.tar", &twice)])).expect_err("twice");
    assert!(
        text(&error).contains("`a` is there twice"),
        "{}",
        text(&error)
    );
    // A name below a link that leads out is a name like any other: no link is made.
    let below = tar(&[
        ("./a", Kind::Symlink, "/etc", b""),
        ("./a/evil", Kind::Regular, "", b"x"),
    ]);
    assert!(unpack_bytes(&ar(&[("data.tar", &below)])).is_ok());
}

#[test]
fn damaged_archives_are_refused() {
    let data = tar(&[("./a", Kind::Regular, "", &[b'x'; 3000])]);
    let whole = ar(&[("data.tar.zst", &zstd::encode_all(&*data, 3).unwrap())]);
    assert!(unpack_bytes(&whole).is_ok());
    for length in 0..whole.len() - 1 {
        assert!(unpack_bytes(&whole[..length]).is_err(), "cut at {length}");
    }
    let cases: [(&[u8], &str); 5] = [
        (
            b"PK\x03\x04 this is no Debian package",
            "does not begin like an ar archive",
        ),
        (&ar(&[("debian-binary", b"2.0\n")]), "it has no data.tar"),
        (
            &ar(&[("data.tar.rar", b"")]),
            "`.rar` is no known compression",
        ),
        (
            &ar(&[("data.tar.xz", b"no xz at all, none")]),
            "cut off or damaged",
        ),
        (
            &ar(&[("x", b"")])
                .iter()
                .map(|byte| if *byte == b'`' { b'?' } else { *byte })
                .collect::<Vec<_>>(),
            "header of its ar archive",
        ),
    ];
    for (bytes, expected) in cases {
        let error = unpack_bytes(bytes).expect_err(expected);
        assert!(text(&error).contains(expected), "{}", text(&error));
    }
    let absurd = String::from_utf8(ar(&[("other", b"")])).unwrap();
    let absurd = absurd.replace("0         `", "9999999999`");
    assert!(unpack_bytes(absurd.as_bytes()).is_err());
}

#[test]
fn the_control_file_names_the_package() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("a.deb");
    let read = |content: &[u8]| {
        let tar = tar(&[("./control", Kind::Regular, "", content)]);
        fs::write(&file, ar(&[("control.tar", &tar)])).unwrap();
        control(&file)
    };
    let found = read(
        b"Package: hello\nVersion: 1:2.0-3\nArchitecture: arm64\nDescription: x\n Version: 9\n",
    );
    let expected = Control {
        name: "hello".to_owned(),
        version: "1:2.0-3".to_owned(),
        architecture: "arm64".to_owned(),
    };
    assert_eq!(found.unwrap(), expected);
    let error = read(b"Package: hello\n").expect_err("no version");
    assert!(text(&error).contains("has no Version"), "{}", text(&error));
}
