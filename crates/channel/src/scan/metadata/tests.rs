//! What is made of the files under `info/`.

use std::io::Cursor;

use archive::package::{Item, Kind, WriteOptions, write};

use super::{Metadata, read};
use crate::scan::Wanted;
use crate::scanned::PostInstall;

const ALL: Wanted = Wanted {
    digests: true,
    run_exports: true,
    details: true,
};

fn package(kind: Kind, info: &[(&str, &[u8])]) -> Cursor<Vec<u8>> {
    let options = WriteOptions {
        zstd_level: 1,
        bzip2_level: 1,
    };
    let items = info
        .iter()
        .map(|(path, content)| Item::file(*path, content));
    let content = [Item::file("bin/tool", &[7; 5000])];
    write(
        Cursor::new(Vec::new()),
        kind,
        "name-1.0-0",
        items,
        content,
        &options,
    )
    .unwrap()
}

fn metadata(kind: Kind, info: &[(&str, &[u8])], wanted: Wanted) -> Metadata {
    read(package(kind, info), kind, wanted).unwrap()
}

#[test]
fn everything_that_channeldata_tells() {
    let info: [(&str, &[u8]); 7] = [
        ("info/index.json", br#"{"name":"name","icon":"i.png"}"#),
        ("info/about.json", br#"{"summary":"s","home":"h"}"#),
        (
            "info/paths.json",
            br#"{"paths":[
            {"_path":"etc/conda/activate.d/x.sh"},
            {"_path":"lib/a","prefix_placeholder":"/opt","file_mode":"binary"},
            {"_path":"bin/.name-post-link.sh"}, {"_path":".name-pre-link.sh"}]}"#,
        ),
        (
            "info/recipe/meta.yaml",
            b"source:\n  url: [u, v]\n  git_url: g\npackage: {name: x}\nextra: {}\n",
        ),
        (
            "info/recipe/meta.yaml.rendered",
            b"source: {url: not this one}\n",
        ),
        (
            "info/run_exports.json",
            br#"{"weak":["b","a"],"strong":[]}"#,
        ),
        ("info/icon.png", b"\x89PNG"),
    ];
    for kind in [Kind::Conda, Kind::TarBz2] {
        let mut found = metadata(kind, &info, ALL);
        assert_eq!(
            found.about().as_deref(),
            Some(r#"{"home":"h","summary":"s"}"#)
        );
        assert_eq!(
            found.recipe().as_deref(),
            Some(r#"{"source":{"git_url":"g","url":["u","v"]}}"#)
        );
        assert_eq!(
            found.run_exports().unwrap().as_deref(),
            Some(r#"{"strong":[],"weak":["b","a"]}"#)
        );
        assert_eq!(found.take_icon().as_deref(), Some(b"\x89PNG".as_slice()));
        let expected = PostInstall {
            binary_prefix: true,
            activate_d: true,
            post_link: true,
            ..PostInstall::default()
        };
        assert_eq!(found.post_install(), expected);
    }
}

#[test]
fn what_is_broken_and_not_needed_does_no_harm() {
    let info: [(&str, &[u8]); 4] = [
        ("info/index.json", b"{}"),
        ("info/about.json", b"[1]"),
        ("info/paths.json", b"{\"paths\": 3}"),
        ("info/recipe/meta.yaml", b"a: [\n"),
    ];
    let found = metadata(Kind::Conda, &info, ALL);
    assert_eq!((found.about(), found.recipe()), (None, None));
    assert_eq!(found.post_install(), PostInstall::default());
    assert_eq!(found.run_exports().unwrap(), None);
    let broken: [(&str, &[u8]); 2] = [("info/index.json", b"{}"), ("info/run_exports.json", b"{")];
    metadata(Kind::Conda, &broken, Wanted::default())
        .run_exports()
        .unwrap_err();
}

#[test]
fn a_tar_bz2_is_read_as_far_as_needed() {
    let info: [(&str, &[u8]); 2] = [
        ("info/index.json", b"{}"),
        ("info/run_exports.json", b"{\"weak\":[]}"),
    ];
    let mut cut = package(Kind::TarBz2, &info).into_inner();
    let whole = metadata(Kind::TarBz2, &info, Wanted::default());
    assert_eq!(
        (whole.seen, whole.run_exports().unwrap()),
        (Wanted::default(), None)
    );
    let more = Wanted {
        digests: true,
        run_exports: true,
        ..Wanted::default()
    };
    assert!(
        metadata(Kind::TarBz2, &info, more)
            .run_exports()
            .unwrap()
            .is_some()
    );
    // That it is cut off is noticed all the same.
    cut.truncate(cut.len() - 4);
    read(Cursor::new(cut), Kind::TarBz2, Wanted::default()).unwrap_err();
}
