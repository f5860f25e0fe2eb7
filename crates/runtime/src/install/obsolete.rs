//! What an installation over another one would leave without an owner: files of packages that other versions take the
//! place of, and that nobody else has. conda takes them away, too, when it links a package (`explicit` in conda/misc.py).

use std::collections::{BTreeSet, HashSet};
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

/// What goes; paths are relative to the prefix.
#[derive(Debug, Default)]
pub(super) struct Obsolete {
    /// Files and links.
    pub(super) files: Vec<String>,
    /// Folders of those that nobody has; those with something else in them stay all the same.
    folders: Vec<String>,
}

/// Finds it. `is_gone` says which packages (`NAME-VERSION-BUILD`) are not there any more, or are
/// there anew; `new` is the folder with all that comes. A record that cannot be read has no files.
pub(super) fn files(
    prefix: &Path,
    new: &Path,
    is_gone: &dyn Fn(&str) -> bool,
) -> Result<Obsolete, Error> {
    let folder = prefix.join("conda-meta");
    let read = |source| Error::Read {
        path: folder.clone(),
        source,
    };
    let entries = match fs::read_dir(&folder) {
        Err(error) if super::is_absent(&error) => return Ok(Obsolete::default()),
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
        .filter(|file| path::check("", file).is_ok() && !kept.contains(file))
        .filter(|file| entry(prefix, file).is_some_and(|is_folder| !is_folder))
        .filter(|file| entry(new, file).is_none())
        .collect();
    files.sort();
    let folders = files.iter().flat_map(|file| path::parents(file));
    let folders: BTreeSet<&str> = folders
        .filter(|folder| !kept.contains(*folder) && entry(new, folder).is_none())
        .collect();
    let folders = folders.into_iter().rev().map(str::to_owned).collect();
    Ok(Obsolete { files, folders })
}

/// Whether what is at a path in a folder is a folder, if there is anything, with nothing but folders on the way.
fn entry(root: &Path, path: &str) -> Option<bool> {
    let is_folder = |path: &str| {
        let data = fs::symlink_metadata(root.join(path)).ok()?;
        Some(data.is_dir())
    };
    path::parents(path)
        .all(|folder| is_folder(folder) == Some(true))
        .then(|| is_folder(path))?
}

impl Obsolete {
    /// Removes the folders that are empty now.
    pub(super) fn tidy(&self, prefix: &Path) {
        for folder in &self.folders {
            // One that is not empty stays.
            let _ = fs::remove_dir(prefix.join(folder));
        }
    }
}
