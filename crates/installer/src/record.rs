//! The record of a package that no repodata describes, from its own `info/index.json`.

use fs_err as fs;

use archive::package::{Kind, Package};
use conda::package::{DistArchiveIdentifier, IndexJson, PackageFile as _};
use conda::{PackageRecord, RepoDataRecord};

use crate::Error;

/// Reads the index of a fetched package and makes its record, with the digests of the file.
pub(crate) fn of_package(
    wanted: &fetch::Wanted,
    file: &fetch::Package,
) -> Result<RepoDataRecord, Error> {
    let package = || wanted.file_name.clone();
    let damaged = |source| Error::Package {
        package: package(),
        source,
    };
    let metadata = |source| Error::Metadata {
        package: package(),
        file: "info/index.json".into(),
        source,
    };
    let content = |problem: &str| Error::Content {
        package: package(),
        file: "the file name".into(),
        problem: problem.to_owned(),
    };
    let kind = Kind::from_file_name(&wanted.file_name)
        .ok_or_else(|| content("ends neither in .conda nor in .tar.bz2"))?;
    let source = fs::File::open(&file.path).map_err(|source| Error::Read {
        path: file.path.clone(),
        source,
    })?;
    let index = Package::open(source, kind)
        .and_then(|mut open| open.index_json())
        .map_err(damaged)?;
    let index = IndexJson::from_slice(&index).map_err(metadata)?;
    let package_record = PackageRecord::from_index_json(
        index,
        Some(file.size),
        Some(file.sha256.into()),
        Some(file.md5.into()),
    )
    .map_err(|error| metadata(std::io::Error::other(error)))?;
    let identifier = DistArchiveIdentifier::try_from_filename(&wanted.file_name)
        .ok_or_else(|| content("is not NAME-VERSION-BUILD with a package's ending"))?;
    // CHANNEL/SUBDIR/FILE: the channel is two levels above the package.
    let channel = wanted.url.join("../").ok().map(String::from);
    Ok(RepoDataRecord {
        package_record,
        identifier,
        url: wanted.url.clone(),
        channel,
    })
}
