//! Unpacks `.deb` files for repacking: symbolic links are only noted, never made, and contents get file names of
//! our own, so that no name in an archive can lead anywhere.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use ::debian::deb::{self, Kind};
use fs_err as fs;

pub use ::debian::deb::DebError;

#[cfg(test)]
mod tests;

/// What a package says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Control {
    /// Its name.
    pub(crate) name: String,
    /// Its version, with epoch and revision.
    pub(crate) version: String,
    /// Its architecture, or `all`.
    pub(crate) architecture: String,
}

/// The contents of a package.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Files and symbolic links by their paths, without a leading slash.
    pub(crate) entries: BTreeMap<String, Entry>,
    /// The newest time of an entry, in seconds since 1970.
    pub(crate) newest: u64,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A file.
    File {
        /// Where its content was written.
        content: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A symbolic link.
    SymbolicLink {
        /// Its target, as it stands there.
        target: String,
    },
}

/// Reads what a package says of itself.
pub(crate) fn control(path: &Path) -> Result<Control, DebError> {
    let file = fs::File::open(path).map_err(|source| DebError::Read { source })?;
    let control = deb::control(file)?;
    Ok(Control {
        name: control.field("Package")?.to_owned(),
        version: control.field("Version")?.to_owned(),
        architecture: control.field("Architecture")?.to_owned(),
    })
}

/// Writes the contents of a package into `folder`, which must be empty.
pub(crate) fn unpack(path: &Path, folder: &Path) -> Result<Contents, DebError> {
    let file = fs::File::open(path).map_err(|source| DebError::Read { source })?;
    let mut contents = Contents::default();
    let mut fault = None;
    let mut count = 0;
    let unpacked = deb::contents(file, &mut |entry| {
        count += 1;
        let path = entry.path.clone();
        let made = match entry.kind {
            Kind::Directory => return Ok(()),
            Kind::File(_) => {
                let content = folder.join(format!("{count}"));
                let mut file = fs::File::create_new(&content)?;
                io::copy(entry.content, &mut file)?;
                let mode = entry.mode & 0o777;
                Entry::File { content, mode }
            }
            Kind::Link(target) => Entry::SymbolicLink { target },
            Kind::HardLink(target) => {
                let Some(file @ Entry::File { .. }) = contents.entries.get(&target) else {
                    fault = Some((path, "is a link to a file that it does not have"));
                    return Err(io::Error::other("a link leads nowhere"));
                };
                file.clone()
            }
        };
        contents.newest = contents.newest.max(entry.modified);
        if contents.entries.insert(entry.path, made).is_some() {
            fault = Some((path, "is there twice"));
            return Err(io::Error::other("a name is there twice"));
        }
        Ok(())
    });
    if let Some((entry, problem)) = fault {
        return Err(DebError::Entry { entry, problem });
    }
    unpacked.map(|()| contents)
}
