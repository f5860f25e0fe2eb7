//! What an installation over another one would leave without an owner: files of packages that other versions take the
//! place of, and that nobody else has. conda takes them away, too, when it links a package (`explicit` in conda/misc.py).

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::error::Error;
use crate::path;

/// What a record says of its package's files.
#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    files: Vec<String>,
}

/// The files, relative to the prefix. `is_gone` says which packages (`NAME-VERSION-BUILD`) are not there any more, or are
/// there anew; `new` is the folder with all that comes. A record that cannot be read has no files.
pub(super) fn files(
    prefix: &Path,
    new: &Path,
    is_gone: &dyn Fn(&str) -> bool,
) -> Result<Vec<String>, Error> {
    let folder = prefix.join("conda-meta");
    let read = |source| Error::Read {
        path: folder.clone(),
        source,
    };
    let entries = match fs::read_dir(&folder) {
        Err(error) if super::is_absent(&error) => return Ok(Vec::new()),
        result => result.map_err(read)?,
    };
    let (mut gone, mut kept) = (HashSet::new(), HashSet::new());
    for entry in entries {
        let entry = entry.map_err(read)?;
        let name = entry.file_name();
        let Some(dist) = name.to_str().and_then(|name| name.strip_suffix(".json")) else {
            continue;
        };
        let text = fs::read(entry.path()).unwrap_or_default();
        let Ok(record) = serde_json::from_slice::<Record>(&text) else {
            continue;
        };
        if is_gone(dist) {
            gone.extend(record.files);
        } else {
            kept.extend(record.files);
        }
    }
    let mut files: Vec<String> = gone
        .into_iter()
        .filter(|file| !kept.contains(file) && is_plain(prefix, file))
        .filter(|file| fs::symlink_metadata(new.join(file)).is_err())
        .collect();
    files.sort();
    Ok(files)
}

/// Whether it is a file or link of the prefix, in folders of the prefix.
fn is_plain(prefix: &Path, file: &str) -> bool {
    let data = |path: &str| fs::symlink_metadata(prefix.join(path));
    path::check("", file).is_ok()
        && data(file).is_ok_and(|data| !data.is_dir())
        && path::parents(file).all(|folder| data(folder).is_ok_and(|data| data.is_dir()))
}

/// Removes the folders of these files that are empty now.
pub(super) fn tidy(prefix: &Path, files: &[String]) {
    let mut folders: Vec<&str> = files.iter().flat_map(|file| path::parents(file)).collect();
    folders.sort_unstable();
    folders.dedup();
    for folder in folders.into_iter().rev() {
        // One that is not empty stays.
        let _ = fs::remove_dir(prefix.join(folder));
    }
}
