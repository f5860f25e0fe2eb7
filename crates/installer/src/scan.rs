//! What planning needs to know of a package, found by reading it once: every file with its
//! position, digest and placeholders. Leaves what is done with it to [`crate::plan`], and how
//! bytes are compressed again to [`crate::repack`].

mod listing;
mod placeholder;
mod read;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use archive::digest::Sha256;
use runtime::plan::{Listed, Placeholder};

pub(crate) use read::{Mode, Request, scan};

/// Changes when [`Scan`] or what is found changes: older cache entries are then not used.
pub(crate) const VERSION: u32 = 4;

/// A package, read once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    /// `info/index.json`, every key kept.
    pub index: Map<String, Value>,
    /// Everything outside `info/`, sorted by path.
    pub content: Vec<Item>,
    /// The files of `info/`, sorted by path.
    pub info: Vec<Item>,
    /// `info/link.json`'s entry points, `command = module:function`.
    pub entry_points: Vec<String>,
    /// The zstd streams that hold the files.
    pub parts: Vec<Part>,
    /// Files whose digest is not the one that `paths.json` gives: a mistake of who built the
    /// package, since the package's own digest is right.
    pub mismatches: Vec<String>,
}

/// Something at a path in a package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Path in the package.
    pub path: String,
    /// What it is.
    pub kind: ItemKind,
    /// Whether `paths.json` lists it: only what is listed is linked into a prefix.
    pub listed: bool,
    /// Whether it must not be a link into the package cache.
    pub no_link: bool,
}

/// What lies at a path in a package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemKind {
    /// A regular file.
    File(Bytes),
    /// The same file as another one of the package.
    HardLink {
        /// That one's path.
        to: String,
    },
    /// A symbolic link.
    SymbolicLink {
        /// What it says.
        target: String,
        /// What `paths.json` says of it.
        listed: Option<Listed>,
    },
    /// A directory.
    Directory,
}

/// A regular file in a package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bytes {
    /// Position in [`Scan::parts`].
    pub part: usize,
    /// Position of the first byte in the decoded part.
    pub offset: u64,
    /// Length in bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Seconds since the epoch.
    pub modified: i64,
    /// Digest of the bytes.
    pub sha256: Sha256,
    /// Where the build prefix stands in it.
    pub placeholder: Option<Placeholder>,
}

/// A zstd stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The file in the plan cache that holds it, or none if it lies in the package itself.
    pub cached: Option<String>,
    /// Position of its first byte in that file.
    pub offset: u64,
    /// Compressed length in bytes.
    pub length: u64,
    /// Decoded length in bytes.
    pub size: u64,
    /// Digest of the compressed bytes.
    pub sha256: Sha256,
    /// Whether it holds only files of `info/`.
    pub info: bool,
}

impl Scan {
    /// Decoded length of all content, in bytes.
    pub fn content_size(&self) -> u64 {
        self.parts
            .iter()
            .filter(|part| !part.info)
            .map(|part| part.size)
            .sum()
    }
}
