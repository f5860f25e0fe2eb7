//! What lies in the channel.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use archive::package::Kind;
use rayon::prelude::*;

use crate::Error;
use crate::scan::Stat;

/// The folders that are platforms (conda's `constants.KNOWN_SUBDIRS`).
pub(super) const SUBDIRS: [&str; 19] = [
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

/// A file that is named like a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listed {
    /// The name; what of it is not UTF-8 is replaced, and then it cannot be opened under it.
    pub(super) file: String,
    pub(super) kind: Kind,
    /// What the file system says, if it is a file.
    pub(super) stat: Result<Stat, Odd>,
}

/// Why something in a folder is no package, whatever is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Odd {
    Name,
    NotFile,
    Unreadable,
}

/// The platforms of a channel, sorted: those that are asked for, or else those whose folders are
/// there and noarch. Their folders are made.
pub(super) fn subdirs(channel: &Path, asked: &[String]) -> Result<Vec<String>, Error> {
    let path = || channel.to_owned();
    if !channel.is_dir() {
        return Err(Error::NotFolder { path: path() });
    }
    let list = |source| Error::List { source };
    let name = fs_err::canonicalize(channel).map_err(list)?;
    if name
        .file_name()
        .is_some_and(|name| SUBDIRS.iter().any(|subdir| name == *subdir))
    {
        return Err(Error::NamedLikeSubdir { path: path() });
    }
    let mut subdirs: Vec<String> = if asked.is_empty() {
        let there = |subdir: &&str| *subdir == "noarch" || channel.join(subdir).is_dir();
        SUBDIRS
            .into_iter()
            .filter(there)
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
        fs_err::create_dir_all(channel.join(subdir)).map_err(list)?;
    }
    Ok(subdirs)
}

/// What is named like a package in a folder, sorted by name. Nothing is opened.
pub(super) fn list(folder: &Path) -> Result<Vec<Listed>, Error> {
    let list = |source| Error::List { source };
    let mut names = Vec::new();
    for entry in fs_err::read_dir(folder).map_err(list)? {
        let name = entry.map_err(list)?.file_name();
        let kind = [Kind::Conda, Kind::TarBz2]
            .into_iter()
            .find(|kind| name.as_bytes().ends_with(kind.extension().as_bytes()));
        // Hidden ones are what programs write before they rename it.
        if let Some(kind) = kind
            && !name.as_bytes().starts_with(b".")
        {
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
            }
        })
        .collect();
    listed.sort_unstable();
    // Two names may become the same where they are not UTF-8.
    listed.dedup_by(|one, other| one.file == other.file);
    Ok(listed)
}
