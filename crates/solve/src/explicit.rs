//! Explicit input (`environment_file`): the list that `conda list --explicit` writes and
//! constructor reads (constructor's `fcp.py`, conda's `cli/common.py`): one archive per line, with
//! `#md5` or `#sha256:…` behind it. A rattler or pixi lock is taken as well. Nothing is solved and
//! nothing is opened here: paths stay as they are written.

use conda::package::DistArchiveIdentifier;
use conda::{RepoDataRecord, Subdir, hex};

use crate::{Error, lock};

/// One archive of an explicit list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplicitPackage {
    /// Where it is: a URL, or a path relative to the list. Without the digest.
    pub url_or_path: String,
    /// The archive's file name.
    pub file_name: String,
    /// The digest that the list names.
    pub sha256: Option<[u8; 32]>,
    /// The digest that the list names.
    pub md5: Option<[u8; 16]>,
    /// The line it stands on, from 1; 0 where it comes from a lock.
    pub line: usize,
    /// The record, where the list is a lock and knows it.
    pub record: Option<Box<RepoDataRecord>>,
}

/// Reads an explicit list or a lock for `platform`. Archives whose URL says that they are for
/// another platform are an error; names that occur twice are for [`crate::order`] to find.
pub fn parse(text: &str, platform: Subdir) -> Result<Vec<ExplicitPackage>, Error> {
    if is_lock(text) {
        return from_lock(text, platform);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#') && *line != "@EXPLICIT")
        .map(|(number, line)| {
            parse_line(line, platform)
                .map(|package| ExplicitPackage {
                    line: number,
                    ..package
                })
                .map_err(|reason| Error::ExplicitLine {
                    line: number,
                    reason,
                })
        })
        .collect()
}

/// Whether `text` is a lock rather than a list: its first content is the key `version`.
pub fn is_lock(text: &str) -> bool {
    text.lines()
        .map(str::trim_end)
        .find(|line| !line.is_empty() && !line.starts_with('#') && *line != "---")
        .is_some_and(|line| line.starts_with("version:"))
}

fn from_lock(text: &str, platform: Subdir) -> Result<Vec<ExplicitPackage>, Error> {
    let mut lock = lock::parse(text)?;
    let Some(records) = lock.platforms.remove(&platform) else {
        return Err(Error::PlatformNotLocked {
            platform: platform.to_string(),
            available: lock.platforms.keys().map(ToString::to_string).collect(),
        });
    };
    Ok(records
        .into_iter()
        .map(|record| ExplicitPackage {
            url_or_path: record.url.to_string(),
            file_name: record.identifier.to_file_name(),
            sha256: record.package_record.sha256.map(Into::into),
            md5: record.package_record.md5.map(Into::into),
            line: 0,
            record: Some(Box::new(record)),
        })
        .collect())
}

fn parse_line(line: &str, platform: Subdir) -> Result<ExplicitPackage, String> {
    if line.starts_with('@') {
        return Err(format!("`{}` is not `@EXPLICIT`", shortened(line)));
    }
    let (location, digest) = match line.rsplit_once('#') {
        Some((location, digest)) => (location.trim_end(), Some(digest.trim())),
        None => (line, None),
    };
    let (sha256, md5) = match digest {
        Some(digest) => parse_digest(digest).ok_or_else(|| {
            format!(
                "`{}` is neither an md5 (32 hexadecimal digits) nor a sha256 (64)",
                shortened(digest)
            )
        })?,
        None => (None, None),
    };
    let file_name = file_name(location);
    if DistArchiveIdentifier::try_from_filename(file_name).is_none() {
        return Err(format!(
            "`{}` is not a package: NAME-VERSION-BUILD.conda or .tar.bz2 is expected",
            shortened(location)
        ));
    }
    if let Some(other) = url_subdir(location)
        && other != platform
        && other != Subdir::NoArch
    {
        return Err(format!("`{file_name}` is for {other}, not for {platform}"));
    }
    Ok(ExplicitPackage {
        url_or_path: location.to_owned(),
        file_name: file_name.to_owned(),
        sha256,
        md5,
        line: 0,
        record: None,
    })
}

type Digests = (Option<[u8; 32]>, Option<[u8; 16]>);

fn parse_digest(text: &str) -> Option<Digests> {
    if let Some(text) = text.strip_prefix("sha256:") {
        return Some((Some(hex::decode(text)?), None));
    }
    if let Some(text) = text.strip_prefix("md5:") {
        return Some((None, Some(hex::decode(text)?)));
    }
    if text.len() == 64 {
        return Some((Some(hex::decode(text)?), None));
    }
    Some((None, Some(hex::decode(text)?)))
}

/// The last segment, without the query of a URL.
fn file_name(location: &str) -> &str {
    let path = match location.split_once("://") {
        Some((_, rest)) => rest.split_once('?').map_or(rest, |(path, _)| path),
        None => location,
    };
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// The platform in a URL of the form `…/SUBDIR/FILE`.
fn url_subdir(location: &str) -> Option<Subdir> {
    let (_, rest) = location.split_once("://")?;
    let mut segments = rest.rsplit('/');
    segments.next();
    segments.next()?.parse().ok()
}

/// Enough of `text` to find it, whatever its length.
fn shortened(text: &str) -> String {
    let text = conda::credentials::redact_text(text);
    if text.chars().count() <= 120 {
        return text;
    }
    text.chars().take(117).chain("...".chars()).collect()
}
