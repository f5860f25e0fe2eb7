//! Which platforms a channel has.

use std::path::Path;

use crate::Error;
use crate::place::{Objects, Place};

/// The folders that are platforms (conda's `constants.KNOWN_SUBDIRS`).
pub const SUBDIRS: [&str; 19] = [
    "emscripten-wasm32",
    "freebsd-64",
    "linux-32",
    "linux-64",
    "linux-aarch64",
    "linux-armv6l",
    "linux-armv7l",
    "linux-ppc64",
    "linux-ppc64le",
    "linux-riscv64",
    "linux-s390x",
    "noarch",
    "osx-64",
    "osx-arm64",
    "wasi-wasm32",
    "win-32",
    "win-64",
    "win-arm64",
    "zos-z",
];

/// The platforms of a channel, sorted: those that are asked for, or else those whose folders are
/// there or that are `known` otherwise, and noarch. Their folders are made.
pub(super) fn subdirs(
    channel: &Place,
    asked: &[String],
    known: &[&str],
) -> Result<Vec<String>, Error> {
    let there = match channel {
        Place::Folder(path) => in_folder(path)?,
        Place::Bucket(objects) => in_bucket(objects)?,
    };
    let mut subdirs: Vec<String> = if asked.is_empty() {
        let is_one = |subdir: &&str| {
            *subdir == "noarch" || known.contains(subdir) || there.iter().any(|name| name == subdir)
        };
        SUBDIRS
            .into_iter()
            .filter(is_one)
            .map(str::to_owned)
            .collect()
    } else {
        asked.to_vec()
    };
    subdirs.sort_unstable();
    subdirs.dedup();
    for subdir in &subdirs {
        if !SUBDIRS.contains(&subdir.as_str()) {
            return Err(Error::UnknownSubdir {
                name: subdir.clone(),
            });
        }
        if let Place::Folder(path) = channel {
            let made = fs_err::create_dir_all(path.join(subdir));
            made.map_err(|source| Error::List { source })?;
        }
    }
    Ok(subdirs)
}

fn in_folder(channel: &Path) -> Result<Vec<String>, Error> {
    let path = || channel.to_owned();
    if !channel.is_dir() {
        return Err(Error::NotFolder { path: path() });
    }
    let name = fs_err::canonicalize(channel).map_err(|source| Error::List { source })?;
    if name
        .file_name()
        .is_some_and(|name| SUBDIRS.iter().any(|subdir| name == *subdir))
    {
        return Err(Error::NamedLikeSubdir { path: path() });
    }
    let there = SUBDIRS
        .iter()
        .filter(|subdir| channel.join(subdir).is_dir());
    Ok(there.map(|subdir| (*subdir).to_owned()).collect())
}

fn in_bucket(channel: &Objects) -> Result<Vec<String>, Error> {
    let path = || channel.url("").into();
    let prefix = channel.key("");
    if SUBDIRS.contains(&prefix.rsplit('/').next().unwrap_or_default()) {
        return Err(Error::NamedLikeSubdir { path: path() });
    }
    channel.load()?;
    let (folders, any) = channel.folders();
    if !any {
        return Err(Error::Nothing { path: path() });
    }
    Ok(folders)
}
