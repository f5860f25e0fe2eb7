//! rattler's own installation rules, carried out by rattler: the peer whose tree ours has to be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use conda::package::{DistArchiveIdentifier, IndexJson, PackageFile as _};
use conda::prefix::Prefix;
use conda::{PackageRecord, PrefixRecord, RepoDataRecord, Subdir};
use fs_err as fs;
use rattler::install::{InstallOptions, PythonInfo, link_package_sync};
use serde_json::Value;
use url::Url;

/// Installs package files into `root`, as if that were `prefix`; `work` takes what they extract to.
pub(super) fn install(
    packages: &[PathBuf],
    platform: Subdir,
    prefix: &str,
    root: &Path,
    work: &Path,
) {
    let extracted: Vec<(PathBuf, RepoDataRecord)> = packages
        .iter()
        .map(|package| extract(package, work))
        .collect();
    let python = extracted
        .iter()
        .map(|(_, record)| &record.package_record)
        .find(|record| record.name.as_normalized() == "python")
        .map(|record| PythonInfo::from_python_record(record, platform).expect("a Python"));
    let root = Prefix::create(root).expect("a prefix");
    let registry = Arc::default();
    for (folder, record) in extracted {
        let options = InstallOptions {
            platform: Some(platform),
            python_info: python.clone(),
            target_prefix: Some(prefix.into()),
            ..InstallOptions::default()
        };
        let (paths, _) = link_package_sync(&folder, &root, Arc::clone(&registry), options)
            .unwrap_or_else(|error| panic!("{}: {error:?}", folder.display()));
        let record = PrefixRecord::from_repodata_record(record, paths);
        let path = root.path().join("conda-meta").join(record.file_name());
        record.write_to_path(path, true).expect("a record");
    }
    // It rewrites the records that it changes.
    let records: Vec<PrefixRecord> =
        PrefixRecord::collect_from_prefix(root.path()).expect("records");
    let sorted = PackageRecord::sort_topologically(records.iter().collect());
    registry
        .lock()
        .expect("a registry")
        .unclobber(&sorted, root.path())
        .expect("one winner each");
}

/// The records of a prefix, by file name.
pub(super) fn records(prefix: &Path) -> BTreeMap<String, Value> {
    fs::read_dir(prefix.join("conda-meta"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| {
            let name = path
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let text = fs::read(&path).expect("a record");
            (name, serde_json::from_slice(&text).expect("JSON"))
        })
        .collect()
}

fn extract(package: &Path, work: &Path) -> (PathBuf, RepoDataRecord) {
    let name = package
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a name");
    let folder = work.join(name);
    let result = rattler_package_streaming::fs::extract(package, &folder).expect("a package");
    let index = IndexJson::from_package_directory(&folder).expect("an index");
    let package_record = PackageRecord::from_index_json(
        index,
        Some(result.total_size),
        Some(result.sha256),
        Some(result.md5),
    );
    let channel = package.ancestors().nth(2).expect("a channel");
    let record = RepoDataRecord {
        package_record: package_record.expect("a platform"),
        identifier: name.parse::<DistArchiveIdentifier>().expect("a file name"),
        url: Url::from_file_path(package).expect("a path"),
        channel: Url::from_directory_path(channel).map(String::from).ok(),
    };
    (folder, record)
}
