//! Payloads whose frames are sound and whose plans are not.

use archive::payload::{BLOCK, Writer};

use super::*;
use crate::plan::{File, PackageHead};

/// A package whose entries claim these `(offset, size, bytes)` of a frame that holds `frame`.
fn check_claims(frame: &[u8], claims: &[(u64, u64, &[u8])]) -> Result<Checked, Error> {
    let mut writer = Writer::new(Vec::new(), &[b'\n'; BLOCK], b"").unwrap();
    let stream = zstd::bulk::compress(frame, 1).unwrap();
    let number = writer
        .frame(
            &mut &stream[..],
            stream.len() as u64,
            frame.len() as u64,
            None,
        )
        .unwrap();
    let file = |offset, size, sha256| {
        Kind::File(File {
            frame: number,
            offset,
            size,
            mode: 0o644,
            modified: 0,
            sha256,
            placeholder: None,
        })
    };
    let entry = |(at, claim): (usize, &(u64, u64, &[u8]))| Entry {
        path: format!("file{at}"),
        source: None,
        kind: file(claim.0, claim.1, Sha256::of(claim.2)),
        clobbered_by: None,
        no_link: false,
    };
    let package = Package {
        dist: "a-1-0".into(),
        entries: claims.iter().enumerate().map(entry).collect(),
        ..Package::default()
    };
    let plan_of_package = writer.json(&package).unwrap();
    let mut plan: Plan = serde_json::from_str(
        r#"{
            "name": "N", "version": "1", "platform": "linux-64", "requires": {},
            "prefix": { "default": "~/n", "check_spaces": true }, "packages": [], "work": [],
            "dialogue": { "conclusion": "", "initialize": "no" }, "update_specs": [],
            "need": { "bytes": 0, "inodes": 0 }, "need_kept": { "bytes": 0, "inodes": 0 }
        }"#,
    )
    .unwrap();
    plan.packages.push(PackageHead {
        name: "a".into(),
        version: "1".into(),
        build: "0".into(),
        subdir: "linux-64".into(),
        channel: "c".into(),
        url: String::new(),
        entries: 0,
        size: 0,
        plan: plan_of_package,
    });
    let last = writer.json(&plan).unwrap();
    let written = writer.finish(last).unwrap();
    let payload = Payload::open(&written.sink[..], written.length).unwrap();
    check(&payload, &plan, NonZeroUsize::new(2).unwrap())
}

#[test]
fn sound_files_pass_however_they_lie() {
    let long = b"0123456789".repeat(30_000);
    let claims: [(u64, u64, &[u8]); 7] = [
        (0, 10, b"0123456789"),
        (0, 10, b"0123456789"),
        (5, 10, b"5678901234"),
        (20, 0, b""),
        (300_000, 0, b""),
        (299_999, 1, b"9"),
        (0, 300_000, &long),
    ];
    let checked = check_claims(&long, &claims).unwrap();
    assert_eq!((checked.packages, checked.files), (1, 7));
    assert!(checked.bytes > 300_000);
    check_claims(b"", &[(0, 0, b"")]).unwrap();
}

#[test]
fn wrong_claims_are_named() {
    let fails = |claims: &[(u64, u64, &[u8])], expected: &str| {
        let error = check_claims(b"0123456789", claims).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    fails(
        &[(0, 1, b"0"), (1, 2, b"13")],
        "`file1` of a-1-0 is damaged",
    );
    fails(&[(9, 2, b"9")], "`file0` of a-1-0 lies outside frame 0");
    fails(&[(11, 0, b"")], "lies outside frame 0");
    fails(&[(u64::MAX, u64::MAX, b"")], "lies outside frame 0");
}
