//! Debian packages made here, good and hostile ones.

use std::io::Cursor;

use tar::EntryType;

use super::*;

/// An ar archive.
fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        let (zero, length) = (0, content.len());
        let header = format!(
            "{name:<16}{zero:<12}{zero:<6}{zero:<6}{:<8}{length:<10}`\n",
            100_644
        );
        bytes.extend(header.as_bytes());
        bytes.extend(*content);
        bytes.extend(vec![b'\n'; content.len() % 2]);
    }
    bytes
}

/// A tar archive with one entry after another: name, kind, link target, content.
fn tar(entries: &[(&str, EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, kind, target, content) in entries {
        let mut header = tar::Header::new_gnu();
        // The crate's own setters refuse what is tried here.
        let field = &mut header.as_old_mut().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_link_name_literal(target).expect("a link");
        header.set_entry_type(*kind);
        header.set_mode(0o4755);
        header.set_mtime(7);
        header.set_uid(0);
        header.set_gid(42);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, *content).expect("an entry");
    }
    builder.into_inner().expect("an archive")
}

fn shown(bytes: &[u8]) -> Result<Vec<String>, DebError> {
    let mut lines = Vec::new();
    contents(Cursor::new(bytes), &mut |entry| {
        let mut content = String::new();
        entry.content.read_to_string(&mut content)?;
        let (path, owner) = (entry.path, entry.owner);
        lines.push(format!(
            "{path} {:?} {:o} {owner:?} {content}",
            entry.kind, entry.mode
        ));
        Ok(())
    })?;
    Ok(lines)
}

fn text(error: &DebError) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    format!("{error}: {}", cause.unwrap_or_default())
}

#[test]
fn files_links_and_modes() {
    let data = tar(&[
        ("./", EntryType::Directory, "", b""),
        ("./usr/bin/a", EntryType::Regular, "", b"content"),
        ("./usr/bin/b", EntryType::Link, "./usr/bin/a", b""),
        (
            "./usr/bin/c",
            EntryType::Symlink,
            "../../../etc/passwd",
            b"",
        ),
    ]);
    let gzip = || {
        let level = flate2::Compression::fast();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
        io::Write::write_all(&mut encoder, &data).expect("written");
        encoder.finish().expect("finished")
    };
    for (name, bytes) in [
        ("data.tar", data.clone()),
        ("data.tar/", data.clone()),
        ("data.tar.zst", zstd::encode_all(&*data, 3).expect("zstd")),
        ("data.tar.gz", gzip()),
    ] {
        let deb = ar(&[("debian-binary", b"2.0\n"), ("x", b"odd"), (name, &bytes)]);
        let lines = shown(&deb).expect(name);
        assert_eq!(
            lines,
            [
                " Directory 4755 (0, 42) ",
                "usr/bin/a File(7) 4755 (0, 42) content",
                "usr/bin/b HardLink(\"usr/bin/a\") 4755 (0, 42) ",
                "usr/bin/c Link(\"../../../etc/passwd\") 4755 (0, 42) ",
            ],
            "{name}"
        );
    }
}

#[test]
fn hostile_entries_are_named() {
    let long = "n".repeat(100);
    for (name, kind, target, expected) in [
        (
            "../evil",
            EntryType::Regular,
            "",
            "`../evil` leads out of the package",
        ),
        (
            "./a/../../evil",
            EntryType::Regular,
            "",
            "leads out of the package",
        ),
        (
            "/etc/passwd",
            EntryType::Regular,
            "",
            "`/etc/passwd` has an absolute path",
        ),
        (
            "./tty",
            EntryType::Char,
            "",
            "is neither file, folder nor link",
        ),
        (
            "./disk",
            EntryType::Block,
            "",
            "is neither file, folder nor link",
        ),
        (
            "./pipe",
            EntryType::Fifo,
            "",
            "is neither file, folder nor link",
        ),
        (
            "./hard",
            EntryType::Link,
            "/etc/passwd",
            "has an absolute path",
        ),
        (
            "./soft",
            EntryType::Symlink,
            "",
            "is a link without a target",
        ),
        (
            "./a\x1b[2J",
            EntryType::Regular,
            "",
            "has control characters in its name",
        ),
        (
            "./etc/.wh.passwd",
            EntryType::Regular,
            "",
            "has the name of a whiteout",
        ),
        ("./", EntryType::Regular, "", "has no name"),
    ] {
        let bytes = ar(&[("data.tar", &tar(&[(name, kind, target, b"")]))]);
        let error = shown(&bytes).expect_err(name);
        assert!(text(&error).contains(expected), "{name}: {}", text(&error));
    }
    // Names that do not end would be kept in memory.
    let name = vec![b'n'; 3 << 20];
    let endless = tar(&[
        ("././@LongLink", EntryType::GNULongName, "", &name),
        (&long, EntryType::Regular, "", b""),
    ]);
    let error = shown(&ar(&[("data.tar", &endless)])).expect_err("a long name");
    assert!(text(&error).contains("more in it than"), "{}", text(&error));
}

#[test]
fn damaged_archives_are_refused() {
    let data = tar(&[("./a", EntryType::Regular, "", &[b'x'; 3000])]);
    let whole = ar(&[("data.tar.zst", &zstd::encode_all(&*data, 3).expect("zstd"))]);
    assert!(shown(&whole).is_ok());
    for length in 0..whole.len() - 1 {
        assert!(shown(&whole[..length]).is_err(), "cut at {length}");
    }
    let damaged = ar(&[("x", b"")]);
    let damaged: Vec<u8> = damaged
        .iter()
        .map(|byte| if *byte == b'`' { b'?' } else { *byte })
        .collect();
    for (bytes, expected) in [
        (
            b"PK\x03\x04 this is no Debian package".to_vec(),
            "does not begin like an ar archive",
        ),
        (ar(&[("debian-binary", b"2.0\n")]), "it has no data.tar"),
        (
            ar(&[("data.tar.rar", b"")]),
            "`.rar` is no known compression",
        ),
        (
            ar(&[("data.tar.xz", b"no xz at all, none")]),
            "cut off or damaged",
        ),
        (damaged, "header of its ar archive"),
    ] {
        let error = shown(&bytes).expect_err(expected);
        assert!(text(&error).contains(expected), "{}", text(&error));
    }
    let absurd = String::from_utf8(ar(&[("other", b"")])).expect("text");
    let absurd = absurd.replace("0         `", "9999999999`");
    assert!(shown(absurd.as_bytes()).is_err());
}

#[test]
fn what_writes_fails_for_its_own_reason() {
    let data = tar(&[("./a", EntryType::Regular, "", b"x")]);
    let full = |_: Entry<'_>| Err(io::Error::other("the disk is full"));
    let error = contents(Cursor::new(ar(&[("data.tar", &data)])), &mut { full });
    assert!(matches!(error, Err(DebError::Write { .. })));
}

#[test]
fn the_control_file_and_what_lies_beside_it() {
    let read = |content: &[u8]| {
        let tar = tar(&[
            ("./control", EntryType::Regular, "", content),
            ("./postinst", EntryType::Regular, "", b"#!/bin/sh\n"),
        ]);
        control(Cursor::new(ar(&[("control.tar", &tar)])))
    };
    let found = read(b"Package: hello\nVersion: 1:2.0-3\nDescription: x\n Version: 9\n");
    let found = found.expect("a package");
    assert_eq!(found.field("Version").expect("a version"), "1:2.0-3");
    assert_eq!(found.text("postinst"), Some("#!/bin/sh\n"));
    let error = found.field("Architecture").expect_err("none");
    assert!(
        text(&error).contains("has no Architecture"),
        "{}",
        text(&error)
    );
    assert!(read(b"").is_err());
}

#[test]
fn an_index_has_an_end() {
    let mut text = String::new();
    let read = index(&b"0123456789"[..], "Packages", 10).expect("plain");
    io::BufReader::new(read)
        .read_to_string(&mut text)
        .expect("whole");
    assert_eq!(text, "0123456789");
    let read = index(&b"0123456789"[..], "Packages", 9).expect("plain");
    assert!(io::BufReader::new(read).read_to_string(&mut text).is_err());
}
