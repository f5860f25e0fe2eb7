//! A channel on its way to a machine without a network: one file with all that the other side lacks ([`export`]), which
//! is checked whole before anything of it is seen there ([`import`]). The file is a tar archive that begins with a
//! manifest of the whole channel; what the other side has, an earlier such file tells. Whether the channel itself is
//! sound is [`crate::verify`]'s business.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use archive::digest::Sha256;
use archive::package::Kind;
use serde::{Deserialize, Serialize};

use crate::lock;
use crate::output::shards;

mod export;
mod import;
#[cfg(test)]
mod tests;

pub use export::{export, export_into};
pub use import::import;

/// The manifest's name in the archive, and beside the channel on the other side.
const MANIFEST: &str = "manifest.json";

/// Where the other side keeps the manifest of what it has.
const KEPT: &str = ".cache/transfer.json";

/// A manifest may have so many bytes.
const LIMIT: u64 = 1 << 30;

/// The form of manifests that is understood.
const VERSION: u32 = 1;

/// All files of a channel, and which of them are on their way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    archiconda_transfer: u32,
    /// By path, with slashes.
    files: BTreeMap<String, File>,
    /// The paths that the archive has, in its order.
    carried: Vec<String>,
    /// The paths that the channel no longer has.
    removed: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct File {
    size: u64,
    sha256: Sha256,
}

/// What happens meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// So much will be copied.
    Total {
        /// In bytes.
        bytes: u64,
    },
    /// A piece was copied.
    Copied {
        /// The file's path in the channel.
        path: &'a str,
        /// The piece's length in bytes.
        bytes: u64,
    },
    /// Another process has the channel, and is waited for.
    Waiting {
        /// Who.
        owner: &'a lock::Owner,
    },
}

/// What a transfer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// How many files the channel has.
    pub files: usize,
    /// How many of them are on their way.
    pub carried: usize,
    /// Their length in bytes.
    pub bytes: u64,
    /// How many files the channel no longer has.
    pub removed: usize,
}

/// Why nothing was transferred.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no folder.
    #[error("`{}` is not a folder", path.display())]
    NotFolder {
        /// What was given.
        path: PathBuf,
    },
    /// It is no channel.
    #[error("there is no index in `{}`: `archiconda index` makes one", path.display())]
    NoIndex {
        /// The folder.
        path: PathBuf,
    },
    /// The file would be carried in itself.
    #[error("`{}` is in the channel that is to be exported: write it elsewhere", path.display())]
    Part {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error("read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file that does not tell what a channel has.
    #[error("`{}` is no export of a channel: {problem}", path.display())]
    NotExport {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The channel is not what its own index says, or changes.
    #[error(
        "`{path}` is not what it was a moment ago, or what the index says: `archiconda channel verify` tells more"
    )]
    Changed {
        /// The path in the channel.
        path: String,
    },
    /// The archive has other bytes than it says.
    #[error("`{path}` in `{}` is damaged: {problem}", archive.display())]
    Damaged {
        /// The archive.
        archive: PathBuf,
        /// The path in the channel.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// The other side lacks what it should have.
    #[error(
        "`{}` lacks {count} files that `{}` does not carry, `{first}` first: \
         import what was exported before, or export without `--since`",
        channel.display(), archive.display()
    )]
    Lacking {
        /// The channel.
        channel: PathBuf,
        /// The archive.
        archive: PathBuf,
        /// How many.
        count: usize,
        /// One of them.
        first: String,
    },
    /// Another process has the channel.
    #[error(transparent)]
    Lock(#[from] lock::Error),
}

impl Error {
    /// Whether the user asked for something that cannot be asked for.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NotFolder { .. }
                | Self::NoIndex { .. }
                | Self::Part { .. }
                | Self::NotExport { .. }
        )
    }

    /// Whether bytes are not those that were promised.
    pub fn is_integrity(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::Damaged { .. })
    }
}

type ReportTo<'a> = &'a (dyn Fn(Event<'_>) + Sync);

impl Manifest {
    fn report(&self) -> Report {
        let size = |path: &String| self.files.get(path).map_or(0, |file| file.size);
        Report {
            files: self.files.len(),
            carried: self.carried.len(),
            bytes: self.carried.iter().map(size).sum(),
            removed: self.removed.len(),
        }
    }

    fn parse(text: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if manifest.archiconda_transfer != VERSION {
            return Err(format!(
                "it has the version {}, and {VERSION} is understood",
                manifest.archiconda_transfer
            ));
        }
        let paths = manifest.files.keys().chain(&manifest.removed);
        if let Some(path) = paths.chain(&manifest.carried).find(|path| !is_inside(path)) {
            return Err(format!("it has the path {path:?}"));
        }
        let mut removed = manifest.removed.iter();
        if let Some(path) = removed.find(|path| manifest.files.contains_key(*path)) {
            return Err(format!("it has {path:?}, and takes it away"));
        }
        let unknown = |path: &&String| !manifest.files.contains_key(*path);
        if let Some(path) = manifest.carried.iter().find(unknown) {
            return Err(format!("it carries {path:?} and does not say what that is"));
        }
        Ok(manifest)
    }

    /// What an earlier export says, what its manifest alone says, or what a channel that was imported has.
    fn read(path: &Path) -> Result<Self, Error> {
        let kept = path.join(KEPT);
        let path = if path.is_dir() { &kept } else { path };
        let failed = |source| Error::Read {
            path: path.to_owned(),
            source,
        };
        let mut file = fs_err::File::open(path).map_err(failed)?;
        let mut first = [0];
        let count = file.read(&mut first).map_err(failed)?;
        let rest = first.get(..count).unwrap_or_default().chain(file);
        if first == *b"{" {
            let mut text = Vec::new();
            rest.take(LIMIT).read_to_end(&mut text).map_err(failed)?;
            return Self::parse(&text).map_err(|problem| Error::NotExport {
                path: path.to_owned(),
                problem,
            });
        }
        let mut archive = tar::Archive::new(rest);
        let mut entries = archive.entries().map_err(failed)?;
        Self::first(path, &mut entries)
    }

    /// The manifest that an archive begins with.
    fn first(
        path: &Path,
        entries: &mut tar::Entries<'_, impl std::io::Read>,
    ) -> Result<Self, Error> {
        let not = |problem: String| Error::NotExport {
            path: path.to_owned(),
            problem,
        };
        let entry = entries.next();
        let mut entry = entry
            .ok_or_else(|| not("it is empty".to_owned()))?
            .map_err(|error| not(error.to_string()))?;
        if *entry.path_bytes() != *MANIFEST.as_bytes() || entry.size() > LIMIT {
            return Err(not(format!("it does not begin with {MANIFEST}")));
        }
        let mut text = Vec::new();
        entry
            .read_to_end(&mut text)
            .map_err(|error| not(error.to_string()))?;
        Self::parse(&text).map_err(not)
    }
}

/// Whether a path leads to a visible file in the channel, and nowhere else.
fn is_inside(path: &str) -> bool {
    let odd = |letter: char| letter.is_control() || letter == '\\';
    path.len() <= 4096
        && path
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains(odd))
}

/// In which order files come into a channel: those first that are named by others, `repodata.json` last.
fn rank(path: &str) -> u8 {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_index = ["repodata", "current_repodata", "run_exports"]
        .iter()
        .any(|begin| name.starts_with(begin));
    match name {
        "repodata.json" => 3,
        shards::INDEX => 2,
        _ if Kind::from_file_name(name).is_some() || name.ends_with(".msgpack.zst") => 0,
        _ if is_index => 2,
        _ => 1,
    }
}
