//! Tar archives that lead out of the folder, lie about sizes or eat the machine.

use std::io::{Read, Write};

use super::super::escapes;
use super::{Error, Kind, container, everything};

/// A tar header as it is told, with nothing checked.
struct Raw<'a> {
    name: &'a [u8],
    kind: u8,
    mode: u32,
    size: u64,
    target: &'a [u8],
    content: &'a [u8],
}

fn raw<'a>(kind: u8, name: &'a [u8], target: &'a [u8]) -> Raw<'a> {
    Raw {
        name,
        kind,
        mode: 0o644,
        size: 0,
        target,
        content: b"",
    }
}

fn file<'a>(name: &'a [u8], content: &'a [u8]) -> Raw<'a> {
    Raw {
        size: content.len() as u64,
        content,
        ..raw(b'0', name, b"")
    }
}

fn tar(entries: &[Raw<'_>]) -> Vec<u8> {
    let mut archive = Vec::new();
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        let fields = header.as_gnu_mut().unwrap();
        fields.name[..entry.name.len()].copy_from_slice(entry.name);
        fields.linkname[..entry.target.len()].copy_from_slice(entry.target);
        fields.typeflag = [entry.kind];
        header.set_mode(entry.mode);
        header.set_size(entry.size);
        header.set_cksum();
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(entry.content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.extend_from_slice(&[0; 1024]);
    archive
}

fn compress(tar: impl Read, kind: Kind) -> Vec<u8> {
    match kind {
        Kind::Conda => container::conda(&zstd::encode_all(tar, 1).unwrap()),
        Kind::TarBz2 => {
            let mut encoder =
                ::bzip2::write::BzEncoder::new(Vec::new(), ::bzip2::Compression::fast());
            std::io::copy(&mut { tar }, &mut encoder).unwrap();
            encoder.flush().unwrap();
            encoder.finish().unwrap()
        }
    }
}

fn refuse(tar: &[u8], expected: &str) {
    for kind in [Kind::Conda, Kind::TarBz2] {
        match everything(&compress(tar, kind), kind) {
            Ok(seen) => panic!("accepted, though {expected}: {seen:?}"),
            Err(error) => assert!(
                error.to_string().contains(expected),
                "{error} is not {expected}"
            ),
        }
    }
}

#[test]
fn paths_that_are_none() {
    let cases: [(&[u8], &str); 9] = [
        (b"../evil", "entry `../evil`: its path leads upwards"),
        (
            b"a/../../evil",
            "entry `a/../../evil`: its path leads upwards",
        ),
        (b"/etc/passwd", "entry `/etc/passwd`: its path is absolute"),
        (b"//evil", "its path is absolute"),
        (b"a//b", "a part of its path is empty"),
        (b"", "entry ``: a part of its path is empty"),
        (b"./", "in entry `./`"),
        (b"caf\xe9", "its name is not UTF-8"),
        (b"a/", "in entry `a/`"),
    ];
    for (name, expected) in cases {
        refuse(&tar(&[file(name, b"1")]), expected);
    }
}

#[test]
fn a_leading_dot_is_harmless() {
    let bytes = compress(
        &*tar(&[raw(b'5', b"./", b""), file(b"./a/./b", b"1")]),
        Kind::TarBz2,
    );
    let seen = everything(&bytes, Kind::TarBz2).unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].path, "a/b");
}

#[test]
fn links_that_lead_outside() {
    refuse(
        &tar(&[raw(b'2', b"a", b"/etc")]),
        "entry `a`: its target `/etc` leads outside",
    );
    refuse(&tar(&[raw(b'2', b"a/b", b"../../x")]), "leads outside");
    refuse(&tar(&[raw(b'2', b"a", b"")]), "is empty");
    refuse(
        &tar(&[raw(b'2', b"a", b"b"), file(b"a/x", b"1")]),
        "entry `a/x` lies below `a`, which is not a directory",
    );
    refuse(
        &tar(&[file(b"a/x", b"1"), raw(b'2', b"a", b"b")]),
        "entry `a` is there twice",
    );
    refuse(
        &tar(&[raw(b'1', b"a", b"../etc/passwd")]),
        "`../etc/passwd`: its path leads upwards",
    );
    refuse(
        &tar(&[raw(b'1', b"a", b"/etc/passwd")]),
        "its path is absolute",
    );
    refuse(
        &tar(&[raw(b'1', b"a", b"b")]),
        "`b` is not an earlier entry",
    );
    refuse(
        &tar(&[raw(b'2', b"s", b"x"), raw(b'1', b"a", b"s")]),
        "`s` is not a file",
    );
    for (path, target, out) in [
        ("a", "b", false),
        ("a", "..", true),
        ("a/b", "..", false),
        ("a/b", "../..", true),
        ("a/b", "../../a/b", true),
        ("a/b", "./../c/../d", false),
        ("a/b", "/a/b", true),
        ("lib/x", "../lib//y/", false),
    ] {
        assert_eq!(escapes(path, target), out, "{path} -> {target}");
    }
}

#[test]
fn entries_that_no_package_has() {
    refuse(
        &tar(&[raw(b'3', b"dev", b"")]),
        "entry `dev` is a device node",
    );
    refuse(
        &tar(&[raw(b'4', b"dev", b"")]),
        "entry `dev` is a device node",
    );
    refuse(
        &tar(&[raw(b'6', b"pipe", b"")]),
        "entry `pipe` is a named pipe",
    );
    refuse(&tar(&[raw(b'S', b"holes", b"")]), "damaged tar header");
    refuse(
        &tar(&[raw(b'V', b"label", b"")]),
        "entry `label` is of the unknown type 0x56",
    );
    refuse(
        &tar(&[Raw {
            mode: 0o4755,
            ..file(b"su", b"1")
        }]),
        "entry `su` is a setuid or setgid file",
    );
    refuse(
        &tar(&[Raw {
            mode: 0o2755,
            ..file(b"su", b"1")
        }]),
        "entry `su` is a setuid or setgid file",
    );
    refuse(
        &tar(&[file(b"a", b"1"), file(b"a", b"2")]),
        "entry `a` is there twice",
    );
    refuse(
        &tar(&[file(b"a", b"1"), file(b"a/b", b"2")]),
        "lies below `a`",
    );
    refuse(
        &tar(&[file(b"a", b"1"), raw(b'5', b"a/", b"")]),
        "entry `a` is there twice",
    );
}

#[test]
fn sizes_that_lie() {
    let huge = Raw {
        size: 4 << 20,
        ..file(b"big", b"little")
    };
    refuse(&tar(&[huge]), "truncated in entry `big`");
    let huge = Raw {
        size: 4 << 30,
        ..file(b"big", b"little")
    };
    refuse(
        &tar(&[huge]),
        "the decoded size at the end of `big` is above the limit",
    );
    let huge = Raw {
        size: u64::MAX - 5,
        ..file(b"big", b"little")
    };
    refuse(&tar(&[huge]), "damaged tar header");
    refuse(
        &tar(&[Raw {
            size: 512,
            content: &[0; 512],
            ..raw(b'2', b"a", b"b")
        }]),
        "damaged tar header in entry `a`",
    );
}

#[test]
fn extended_headers_that_mean_two_things() {
    let record = |text: &str| {
        let mut length = text.len() + 2;
        while format!("{length} {text}\n").len() != length {
            length += 1;
        }
        format!("{length} {text}\n")
    };
    let twice = record("path=a") + &record("path=b");
    let sparse = record("GNU.sparse.major=1");
    let extended = |kind, text: &str| {
        let header = Raw {
            kind,
            ..file(b"x", text.as_bytes())
        };
        tar(&[header, file(b"c", b"1")])
    };
    refuse(&extended(b'x', &twice), "damaged tar header");
    refuse(&extended(b'x', &sparse), "damaged tar header");
    refuse(&extended(b'x', "99 path=a\n"), "damaged tar header");
    refuse(&extended(b'g', &record("path=b")), "damaged tar header");
    let kept = everything(
        &compress(
            &*extended(b'g', &record("comment=made by git")),
            Kind::Conda,
        ),
        Kind::Conda,
    );
    assert_eq!(kept.unwrap()[0].path, "c");
    let renamed = everything(
        &compress(&*extended(b'x', &record("path=long")), Kind::Conda),
        Kind::Conda,
    );
    assert_eq!(renamed.unwrap()[0].path, "long");
}

#[test]
fn bombs_are_stopped_by_their_limits() {
    // 1 GiB of zeros as the name of a file, as the content, as what follows the end.
    let zeros = || std::io::repeat(0).take(1 << 30);
    let head = |kind, size| {
        let mut bytes = tar(&[Raw {
            kind,
            size,
            ..raw(kind, b"bomb", b"")
        }]);
        bytes.truncate(512);
        std::io::Cursor::new(bytes)
    };
    let cases: [(Vec<u8>, &str); 4] = [
        (
            compress(head(b'L', 1 << 30).chain(zeros()), Kind::Conda),
            "limit of 1048576",
        ),
        (
            compress(head(b'x', 1 << 30).chain(zeros()), Kind::Conda),
            "limit of 1048576",
        ),
        (
            compress(head(b'0', 1 << 30).chain(zeros()), Kind::Conda),
            "limit of 67108864",
        ),
        (compress(zeros(), Kind::Conda), "limit of 1048576"),
    ];
    for (bytes, expected) in cases {
        assert!(bytes.len() < 1 << 18);
        let error = everything(&bytes, Kind::Conda).unwrap_err();
        assert!(
            matches!(error, Error::Limit { .. }) && error.to_string().contains(expected),
            "{error}"
        );
    }
}

#[test]
fn an_archive_without_its_end_is_truncated() {
    let mut bytes = tar(&[file(b"a", b"1")]);
    bytes.truncate(1024);
    refuse(&bytes, "the package is truncated");
    refuse(&[], "the package is truncated");
}

#[test]
fn metadata_is_had_of_a_package_that_cannot_be_installed() {
    let bytes = compress(
        &*tar(&[
            raw(b'2', b"a", b"/etc"),
            file(b"big", &vec![1; 3 << 20]),
            file(b"./info/index.json", b"{}"),
        ]),
        Kind::TarBz2,
    );
    let mut package = super::open(&bytes, Kind::TarBz2).unwrap();
    assert_eq!(package.index_json().unwrap(), b"{}");
    assert_eq!(package.info().unwrap().len(), 1);
    package.entries(&mut |_| Ok::<(), Error>(())).unwrap_err();
}
