//! What a package says of its own files: `info/paths.json`, or the older `info/files`,
//! `info/has_prefix` and `info/no_link` that stand in for it.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;

use conda::package::{
    Files, HasPrefix, LinkJson, NoArchLinks, NoLink, NoSoftlink, PackageFile, PathType, PathsEntry,
    PathsJson,
};

/// The files of `info/` by path.
pub(super) type Info = BTreeMap<String, Vec<u8>>;

/// What a metadata file could not be read for: the file and the reason.
pub(super) type Unreadable = (&'static str, std::io::Error);

/// The listed files by path.
pub(super) fn listing(info: &Info) -> Result<HashMap<String, PathsEntry>, Unreadable> {
    let paths = if let Some(paths) = file::<PathsJson>(info, "info/paths.json")? {
        paths
    } else {
        deprecated(info)?
    };
    let by_path = |entry: PathsEntry| (entry.relative_path.to_string_lossy().into_owned(), entry);
    Ok(paths.paths.into_iter().map(by_path).collect())
}

/// The listing of a package that was built before there was a `paths.json`.
fn deprecated(info: &Info) -> Result<PathsJson, Unreadable> {
    let files = file::<Files>(info, "info/files")?
        .ok_or_else(|| ("info/files", std::io::ErrorKind::NotFound.into()))?;
    // What a path is, the archive says itself: here all are taken for files.
    let path_type = |_: &std::path::Path| Ok::<_, Infallible>(PathType::HardLink);
    let Ok(paths) = PathsJson::from_deprecated(
        files,
        file::<HasPrefix>(info, "info/has_prefix")?,
        file::<NoLink>(info, "info/no_link")?,
        file::<NoSoftlink>(info, "info/no_softlink")?,
        path_type,
    );
    Ok(paths)
}

/// The entry points in `info/link.json`.
pub(super) fn entry_points(info: &Info) -> Result<Vec<String>, Unreadable> {
    let Some(link) = file::<LinkJson>(info, "info/link.json")? else {
        return Ok(Vec::new());
    };
    Ok(match link.noarch {
        NoArchLinks::Python(python) => python
            .entry_points
            .iter()
            .map(ToString::to_string)
            .collect(),
        NoArchLinks::Generic => Vec::new(),
    })
}

fn file<T: PackageFile>(info: &Info, path: &'static str) -> Result<Option<T>, Unreadable> {
    match info.get(path) {
        None => Ok(None),
        Some(bytes) => T::from_slice(bytes)
            .map(Some)
            .map_err(|error| (path, error)),
    }
}
