//! The lock beside a definition, for all its platforms: which archives it stands for, with their
//! digests. Two runs with the same lock make the same packages.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::{Error, error, wheel};

/// A lock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lock {
    /// The Debian packages of each platform, by name.
    #[serde(default)]
    pub(crate) debian: BTreeMap<String, Vec<Deb>>,
    /// The wheels of each platform, by file name.
    #[serde(default)]
    pub(crate) wheels: BTreeMap<String, Vec<wheel::Pin>>,
}

/// A Debian package of the lock.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deb {
    /// Debian's name.
    pub(crate) name: String,
    /// Debian's version, with epoch and revision.
    pub(crate) version: String,
    /// Debian's architecture, or `all`.
    pub(crate) architecture: String,
    /// Where it was found, such as `bookworm-security`; empty for a folder.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) suite: String,
    /// In bytes.
    pub(crate) size: u64,
    /// In hexadecimal digits.
    pub(crate) sha256: String,
}

impl Lock {
    /// Where the lock of a definition lies: beside it, with the suffix `.lock`.
    pub(crate) fn beside(definition: &Path) -> PathBuf {
        definition.with_extension("lock")
    }

    /// Reads a lock; none where there is no file.
    pub(crate) fn read(path: &Path) -> Result<Option<Lock>, Error> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(error::file("read", path)(source)),
        };
        toml::from_str(&text)
            .map(Some)
            .map_err(|source| Error::Lock {
                path: path.to_owned(),
                source: Box::new(source),
            })
    }

    /// Writes the lock where it differs from what is there.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Error> {
        if Lock::read(path).ok().flatten().as_ref() == Some(self) {
            return Ok(());
        }
        let body = toml::to_string(self).unwrap_or_default();
        let text = format!(
            "# What the definition beside this file stands for. Written by `archiconda repack`.\n\n{body}"
        );
        channel::write_file(path, text.as_bytes()).map_err(error::file("write", path))
    }
}
