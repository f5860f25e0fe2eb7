//! Explicit input: exactly the packages that a list or lock names, without a solver. What their
//! records say comes from the packages themselves.

use std::path::Path;

use fs_err as fs;

use conda::{RepoDataRecord, Subdir};
use solve::explicit::ExplicitPackage;
use url::Url;

use super::{Wanted, exclude};
use crate::event::{Event, Stage};
use crate::{Error, Report};

/// Reads the list at `path`, fetches the packages whose records it does not hold, and puts all in
/// dependency order.
pub(super) fn read(
    path: &Path,
    wanted: &Wanted<'_>,
    client: &fetch::Client,
    report: Report<'_>,
) -> Result<Vec<RepoDataRecord>, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let listed = |source| Error::List {
        path: path.to_owned(),
        source,
    };
    let packages = solve::explicit::parse(&text, wanted.platform).map_err(listed)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut to_fetch = Vec::new();
    for package in packages.iter().filter(|package| package.record.is_none()) {
        to_fetch.push(fetch::Wanted {
            url: package_url(&package.url_or_path, folder)?,
            file_name: package.file_name.clone(),
            sha256: package.sha256,
            md5: package.md5,
            size: None,
        });
    }
    if !to_fetch.is_empty() {
        report(Event::Stage(Stage::Fetch));
    }
    let fetched = client.packages(&to_fetch, &|event| report(Event::Fetch(event)))?;
    let mut fetched = to_fetch.iter().zip(fetched);
    let mut records = Vec::new();
    for package in packages {
        let record = match package {
            ExplicitPackage {
                record: Some(record),
                ..
            } => *record,
            ExplicitPackage { .. } => match fetched.next() {
                Some((wanted, file)) => crate::record::of_package(wanted, &file)?,
                None => continue,
            },
        };
        records.push(record);
    }
    foreign(&records, wanted.platform)?;
    exclude(wanted, records, report).map_err(listed)
}

/// A URL as it is, a path below the list's folder.
fn package_url(text: &str, folder: &Path) -> Result<Url, Error> {
    let known = |url: &Url| matches!(url.scheme(), "http" | "https" | "file");
    if let Some(url) = Url::parse(text).ok().filter(known) {
        return Ok(url);
    }
    let path = folder.join(text);
    let absolute = std::path::absolute(&path).map_err(|source| Error::Read {
        path: path.clone(),
        source,
    })?;
    Url::from_file_path(&absolute).map_err(|()| Error::Spec {
        key: "environment_file",
        problem: format!("`{text}` is neither a URL nor a path"),
    })
}

/// Packages for another platform would install and then not run.
fn foreign(records: &[RepoDataRecord], platform: Subdir) -> Result<(), Error> {
    let ours = [platform.to_string(), Subdir::NoArch.to_string()];
    match records
        .iter()
        .find(|record| !ours.contains(&record.package_record.subdir))
    {
        None => Ok(()),
        Some(record) => Err(Error::Spec {
            key: "environment_file",
            problem: format!(
                "`{}` is for {}, not for {platform}",
                record.identifier.to_file_name(),
                record.package_record.subdir
            ),
        }),
    }
}
