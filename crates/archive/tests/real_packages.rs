//! The package reader over packages that conda-forge published.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use archive::digest::{HashingReader, Sha256};
use archive::package::{Entry, EntryKind, Error, Kind, Package, split_file_name};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/channels");

fn packages(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            packages(&path, found);
        } else if Kind::from_file_name(&path.to_string_lossy()).is_some() {
            found.push(path);
        }
    }
}

/// All files of a package with their digests, as its own paths.json must know them.
fn digests(
    package: &mut Package<File>,
) -> Result<BTreeMap<String, (EntryKind, Sha256, u64)>, Error> {
    let mut files = BTreeMap::new();
    package.entries(&mut |entry: Entry<'_>| {
        let mut reader = HashingReader::new(entry.content);
        std::io::copy(&mut reader, &mut std::io::sink())
            .map_err(|source| Error::Read { source })?;
        let (_, sha256, length) = reader.finish();
        files.insert(entry.path, (entry.kind, sha256, length));
        Ok::<(), Error>(())
    })?;
    Ok(files)
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn every_file_is_the_one_that_paths_json_names() {
    let mut found = Vec::new();
    packages(Path::new(DATA), &mut found);
    found.sort();
    if found.is_empty() {
        assert!(
            std::env::var_os("ARCHICONDA_TEST_STRICT").is_none(),
            "no packages in {DATA}"
        );
        eprintln!("skipped: no packages in {DATA}");
        return;
    }
    for path in found {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut package = Package::open(
            File::open(&path).unwrap(),
            Kind::from_file_name(&name).unwrap(),
        )
        .unwrap();
        package.check_whole().unwrap();
        let info = package.info().unwrap();
        assert_eq!(
            info["info/index.json"],
            package.index_json().unwrap(),
            "{name}"
        );
        let index: serde_json::Value = serde_json::from_slice(&info["info/index.json"]).unwrap();
        let (package_name, version, build) = split_file_name(&name).unwrap();
        assert_eq!(
            (&index["name"], &index["version"], &index["build"]),
            (&package_name.into(), &version.into(), &build.into())
        );

        let mut files = digests(&mut package).unwrap();
        files
            .retain(|path, (kind, ..)| !path.starts_with("info/") && *kind != EntryKind::Directory);
        let paths: serde_json::Value = serde_json::from_slice(&info["info/paths.json"]).unwrap();
        let paths = paths["paths"].as_array().unwrap();
        for record in paths {
            let path = record["_path"].as_str().unwrap();
            let (kind, sha256, length) = files
                .remove(path)
                .unwrap_or_else(|| panic!("{name} lacks {path}"));
            match record["path_type"].as_str().unwrap() {
                "softlink" => assert!(
                    matches!(kind, EntryKind::SymbolicLink { .. }),
                    "{name}: {path}"
                ),
                "hardlink" if kind == EntryKind::File => {
                    assert_eq!(record["sha256"], sha256.to_string(), "{name}: {path}");
                    assert_eq!(record["size_in_bytes"], length, "{name}: {path}");
                }
                "hardlink" => assert!(matches!(kind, EntryKind::HardLink { .. }), "{name}: {path}"),
                other => assert_eq!(
                    (other, kind),
                    ("directory", EntryKind::Directory),
                    "{name}: {path}"
                ),
            }
        }
        assert!(
            files.is_empty(),
            "{name}: not in paths.json: {:?}",
            files.keys()
        );
    }
}
