//! Zip archives which are no `.conda` packages, or nearly.

use super::{Error, Kind, everything, open, package};

/// A `.conda` around this content member.
pub(super) fn conda(content: &[u8]) -> Vec<u8> {
    let info = zstd::encode_all(&*empty_tar(), 1).unwrap();
    zip(&[
        ("metadata.json", METADATA),
        ("info-name-1.0-0.tar.zst", &info),
        ("pkg-name-1.0-0.tar.zst", content),
    ])
}

const METADATA: &[u8] = b"{\"conda_pkg_format_version\": 2}";

fn empty_tar() -> Vec<u8> {
    vec![0; 1024]
}

/// Name and bytes of a zip member.
type Stored<'a> = (&'a str, &'a [u8]);

/// A zip archive of stored members, written by a library that is not ours.
fn zip(members: &[Stored<'_>]) -> Vec<u8> {
    let mut archive = rawzip::ZipArchiveWriter::new(Vec::new());
    for (name, bytes) in members {
        let (mut entry, config) = archive.new_file(*name).start().unwrap();
        let mut writer = config.wrap(&mut entry);
        std::io::Write::write_all(&mut writer, bytes).unwrap();
        let (_, descriptor) = writer.finish().unwrap();
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap()
}

fn reason(bytes: &[u8]) -> String {
    match everything(bytes, Kind::Conda) {
        Ok(seen) => panic!("accepted with {seen:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn members_must_be_those_of_one_package() {
    let tar = zstd::encode_all(&*empty_tar(), 1).unwrap();
    let (info, content) = (("info-a-1-0.tar.zst", &*tar), ("pkg-a-1-0.tar.zst", &*tar));
    let metadata = ("metadata.json", METADATA);
    assert!(
        everything(&zip(&[content, metadata, info]), Kind::Conda)
            .unwrap()
            .is_empty()
    );
    let cases: [(&[Stored<'_>], &str); 8] = [
        (&[info, content], "no zip member `metadata.json`"),
        (&[metadata, content], "no zip member `info-*.tar.zst`"),
        (&[metadata, info], "no zip member `pkg-*.tar.zst`"),
        (
            &[metadata, info, ("pkg-b-1-0.tar.zst", &tar)],
            "`pkg-b-1-0.tar.zst` belongs to another package",
        ),
        (
            &[metadata, info, content, ("pkg-b-1-0.tar.zst", &tar)],
            "`pkg-b-1-0.tar.zst` is one of two",
        ),
        (
            &[metadata, info, content, content],
            "`pkg-a-1-0.tar.zst` is one of two",
        ),
        (
            &[
                ("metadata.json", b"{\"conda_pkg_format_version\": 3}"),
                info,
                content,
            ],
            "format 2",
        ),
        (&[("metadata.json", b"[2"), info, content], "format 2"),
    ];
    for (members, expected) in cases {
        let reason = reason(&zip(members));
        assert!(reason.contains(expected), "{reason}");
    }
    assert!(reason(b"").contains("zip archive"));
    assert!(reason(b"<html>404</html>").contains("zip archive"));
}

#[test]
fn the_metadata_archive_holds_nothing_else() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o644);
    builder
        .append_data(&mut header, "bin/tool", &b""[..])
        .unwrap();
    let info = zstd::encode_all(&*builder.into_inner().unwrap(), 1).unwrap();
    let content = zstd::encode_all(&*empty_tar(), 1).unwrap();
    let bytes = zip(&[
        ("metadata.json", METADATA),
        ("pkg-a-1-0.tar.zst", &content),
        ("info-a-1-0.tar.zst", &info),
    ]);
    assert!(reason(&bytes).contains("entry `bin/tool`: it is in the metadata archive"));
}

#[test]
fn members_must_be_stored_and_plain() {
    let sound = conda(&zstd::encode_all(&*empty_tar(), 1).unwrap());
    let record = sound
        .windows(4)
        .rposition(|bytes| bytes == b"PK\x01\x02")
        .unwrap();
    // Offsets in a record of the central directory: flags 8, method 10, CRC 16, sizes 20 and 24.
    let cases: [(usize, u8, &str); 4] = [
        (8, 1, "is encrypted"),
        (10, 8, "is compressed"),
        (16, 1, "checksum"),
        (24, 1, "has two sizes"),
    ];
    for (field, flip, expected) in cases {
        let mut bytes = sound.clone();
        bytes[record + field] ^= flip;
        let reason = reason(&bytes);
        assert!(
            reason.contains("`pkg-name-1.0-0.tar.zst`") && reason.contains(expected),
            "{reason}"
        );
    }
}

#[test]
fn a_member_is_not_used_twice() {
    let sound = conda(&zstd::encode_all(&*empty_tar(), 1).unwrap());
    let records: Vec<usize> = (0..sound.len())
        .filter(|&at| sound[at..].starts_with(b"PK\x01\x02"))
        .collect();
    // The content's record points to the bytes of the info member.
    let mut bytes = sound.clone();
    let offset = bytes[records[1] + 42..][..4].to_vec();
    bytes[records[2] + 42..][..4].copy_from_slice(&offset);
    assert!(reason(&bytes).contains("has two names"));
}

#[test]
fn damage_in_a_member_names_it() {
    let mut sound = super::small(Kind::Conda);
    let member = open(&sound, Kind::Conda)
        .unwrap()
        .content_member()
        .unwrap()
        .clone();
    let last = usize::try_from(member.offset + member.length).unwrap() - 1;
    // The last byte belongs to the frame's own checksum.
    sound[last] ^= 1;
    let error = open(&sound, Kind::Conda)
        .unwrap()
        .check_whole()
        .unwrap_err();
    assert!(
        matches!(&error, Error::Member { member, .. } if member == "pkg-name-1.0-0.tar.zst"),
        "{error}"
    );
    reason(&sound);
}

#[test]
fn python_and_others_stream_what_we_write() {
    // Local headers with sizes and without a data descriptor: what readers without seeking need.
    let bytes = package(Kind::Conda, Vec::new(), Vec::new());
    assert_eq!(&bytes[..4], b"PK\x03\x04");
    assert_eq!(bytes[6] & 0x08, 0);
    assert_eq!(&bytes[30..43], b"metadata.json");
    assert_eq!(
        &bytes[47..63],
        [METADATA.len().to_le_bytes(), METADATA.len().to_le_bytes()].as_flattened()
    );
}
