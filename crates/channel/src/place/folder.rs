//! Files of a folder.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use fs_err::File;
use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, FileType, statat};

use super::{Listed, Listing, Odd, package_kind};
use crate::Error;
use crate::scan::Stat;

/// Looks at a folder once: the names are read, then all files that are named like packages are asked
/// for side by side, by their names in the open folder.
pub(super) fn list(folder: &Path) -> Result<Listing, Error> {
    let list = |source| Error::List { source };
    let handle = File::open(folder).map_err(list)?;
    let mut named = Vec::new();
    let mut others = Vec::new();
    for entry in fs_err::read_dir(folder).map_err(list)? {
        let name = entry.map_err(list)?.file_name();
        match package_kind(name.as_bytes()) {
            Some(kind) => named.push((name, kind)),
            None => others.extend(name.into_string()),
        }
    }
    let mut packages: Vec<Listed> = named
        .into_par_iter()
        .with_min_len(512)
        .map(|(name, kind)| {
            let stat = match name.to_str() {
                None => Err(Odd::Name),
                Some(name) => follow(&handle, name),
            };
            let file = match name.into_string() {
                Ok(name) => name,
                Err(name) => name.to_string_lossy().into_owned(),
            };
            Listed {
                file,
                kind,
                stat,
                tag: String::new(),
            }
        })
        .collect();
    packages.par_sort_unstable_by(|one, other| {
        (&one.file, &one.stat, one.kind).cmp(&(&other.file, &other.stat, other.kind))
    });
    // Two names may become the same where they are not UTF-8.
    packages.dedup_by(|one, other| one.file == other.file);
    Ok(Listing { packages, others })
}

/// One of [`list`]'s packages.
pub(super) fn find(folder: &Path, file: &str) -> Option<Listed> {
    let path = folder.join(file);
    if fs_err::symlink_metadata(&path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return None;
    }
    Some(Listed {
        file: file.to_owned(),
        kind: package_kind(file.as_bytes())?,
        stat: follow(CWD, &path),
        tag: String::new(),
    })
}

/// What a name stands for, through symbolic links.
fn follow(folder: impl AsFd, name: impl rustix::path::Arg) -> Result<Stat, Odd> {
    match statat(folder, name, AtFlags::empty()) {
        Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile => Ok(Stat {
            size: found.st_size.unsigned_abs(),
            mtime_ns: found
                .st_mtime
                .saturating_mul(1_000_000_000)
                .saturating_add(i64::try_from(found.st_mtime_nsec).unwrap_or(0)),
            inode: found.st_ino,
        }),
        Ok(_) => Err(Odd::NotFile),
        Err(_) => Err(Odd::Unreadable),
    }
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
