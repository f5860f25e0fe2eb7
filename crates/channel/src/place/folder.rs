//! Files of a folder.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rayon::prelude::*;

use super::{Listed, Odd, package_kind};
use crate::Error;
use crate::scan::Stat;

pub(super) fn packages(folder: &Path) -> Result<Vec<Listed>, Error> {
    let list = |source| Error::List { source };
    let mut names = Vec::new();
    for entry in fs_err::read_dir(folder).map_err(list)? {
        let name = entry.map_err(list)?.file_name();
        if let Some(kind) = package_kind(name.as_bytes()) {
            names.push((name, kind));
        }
    }
    let mut listed: Vec<Listed> = names
        .into_par_iter()
        .with_min_len(512)
        .map(|(name, kind)| {
            let stat = match (name.to_str(), fs_err::metadata(folder.join(&name))) {
                (None, _) => Err(Odd::Name),
                (_, Ok(metadata)) if metadata.is_file() => Ok(Stat::of(&metadata)),
                (_, Ok(_)) => Err(Odd::NotFile),
                (_, Err(_)) => Err(Odd::Unreadable),
            };
            Listed {
                file: name.to_string_lossy().into_owned(),
                kind,
                stat,
                tag: String::new(),
            }
        })
        .collect();
    listed.sort_unstable();
    // Two names may become the same where they are not UTF-8.
    listed.dedup_by(|one, other| one.file == other.file);
    Ok(listed)
}

pub(super) fn stat(path: &Path) -> Option<Stat> {
    let metadata = fs_err::symlink_metadata(path).ok()?;
    metadata.is_file().then(|| Stat::of(&metadata))
}

pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs_err::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

pub(super) fn has(path: &Path, bytes: &[u8]) -> bool {
    stat(path).is_some_and(|stat| stat.size == bytes.len() as u64)
        && fs_err::read(path).is_ok_and(|there| there == bytes)
}

pub(super) fn names(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(path)? {
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
