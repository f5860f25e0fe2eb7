//! Writes the seeds that no editor can: small packages, whole and cut off, into `seeds/`.

use std::io::Cursor;
use std::path::Path;

use archive::package::{Item, Kind, WriteOptions, write};

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for (kind, target) in [(Kind::Conda, "conda"), (Kind::TarBz2, "tar_bz2")] {
        let small = package(
            kind,
            &[(
                "info/index.json",
                r#"{"name":"a","version":"1","build":"0"}"#,
            )],
        );
        let whole = package(
            kind,
            &[
                (
                    "info/index.json",
                    r#"{"name":"a","version":"1","icon":"i.png"}"#,
                ),
                ("info/about.json", r#"{"summary":"s"}"#),
                (
                    "info/paths.json",
                    r#"{"paths":[{"_path":"bin/.a-post-link.sh","file_mode":"text","prefix_placeholder":"/opt"}]}"#,
                ),
                ("info/recipe/meta.yaml", "source:\n  url: [u, v]\n"),
                ("info/run_exports.json", r#"{"weak":["a >=1"]}"#),
                ("info/icon.png", "\u{89}PNG"),
            ],
        );
        let target = folder.join(target);
        std::fs::create_dir_all(&target)?;
        std::fs::write(target.join("small"), &small)?;
        std::fs::write(target.join("whole"), &whole)?;
        std::fs::write(
            target.join("cut"),
            small.get(..small.len() - 30).unwrap_or_default(),
        )?;
    }
    Ok(())
}

fn package(kind: Kind, info: &[(&str, &str)]) -> Vec<u8> {
    let options = WriteOptions {
        zstd_level: 19,
        bzip2_level: 9,
    };
    let info = info
        .iter()
        .map(|(path, text)| Item::file(*path, text.as_bytes()));
    let content = [
        Item::file("bin/tool", b"#!/bin/sh\n"),
        Item::symbolic_link("bin/link", "tool"),
    ];
    write(
        Cursor::new(Vec::new()),
        kind,
        "a-1-0",
        info,
        content,
        &options,
    )
    .expect("a package that is small enough for memory")
    .into_inner()
}
