//! Channels: packages in a folder, and the repodata that our own `archiconda index` makes of them.

use std::path::Path;

use archive::digest::{Md5, Sha256};
use archive::package::Kind;
use serde_json::{Map, Value, json};

use super::package::{Package, write_to};
use super::run::{Output, Place, run};

/// Writes `packages` below `folder` (a path in the place) and indexes it. Packages that are there
/// already stay.
pub(crate) fn publish(place: &Place, folder: &str, packages: &[Package]) {
    let channel = place.join(folder);
    fs_err::create_dir_all(&channel).expect("a folder");
    for package in packages {
        package.write_to(&channel);
    }
    let output = index(place, &channel).succeeds();
    assert_eq!(output.stderr, "", "every package can be used");
}

/// `archiconda index`.
pub(crate) fn index(place: &Place, channel: &Path) -> Output {
    run(place.archiconda().arg("index").arg(channel).arg("--zst"))
}

/// Writes packages and a repodata that says of them what the test says, whatever the bytes are.
pub(crate) fn describe(channel: &Path, packages: &[(&Package, Vec<u8>)]) {
    for subdir in ["linux-64", "linux-aarch64", "noarch"] {
        let mut sections = [(Kind::TarBz2, Map::new()), (Kind::Conda, Map::new())];
        for (package, bytes) in packages
            .iter()
            .filter(|(package, _)| package.subdir == subdir)
        {
            write_to(channel, package, bytes);
            let Value::Object(mut record) = package.index_json() else {
                continue;
            };
            record.insert("md5".into(), json!(Md5::of(bytes).to_string()));
            record.insert("sha256".into(), json!(Sha256::of(bytes).to_string()));
            record.insert("size".into(), json!(bytes.len()));
            for (kind, section) in &mut sections {
                if *kind == package.kind {
                    section.insert(package.file_name(), record.clone().into());
                }
            }
        }
        let [(_, tar_bz2), (_, conda)] = sections;
        let repodata = json!({
            "info": { "subdir": subdir },
            "packages": tar_bz2,
            "packages.conda": conda,
            "repodata_version": 1,
        });
        let folder = channel.join(subdir);
        fs_err::create_dir_all(&folder).expect("a folder");
        fs_err::write(folder.join("repodata.json"), repodata.to_string()).expect("repodata");
    }
}
