//! What happens while a channel is indexed, and what it comes to, as values.

use crate::lock::Owner;

/// What happens while a channel is indexed. Packages come in no particular order.
#[derive(Debug)]
pub enum Event<'a> {
    /// Another process has the channel, and is waited for.
    Waiting {
        /// Who.
        owner: &'a Owner,
    },
    /// The cache was damaged or of another version, and everything is read again.
    CacheLost,
    /// What others know was taken over.
    Imported {
        /// The platform's folder.
        subdir: &'a str,
        /// Where it stood.
        path: &'a std::path::Path,
        /// Of how many packages.
        packages: usize,
    },
    /// The folders are listed.
    Listed {
        /// How many packages will be read.
        packages: usize,
    },
    /// A package was read.
    Indexed {
        /// The platform's folder.
        subdir: &'a str,
        /// The file name.
        file: &'a str,
    },
    /// A package is left out.
    Skipped {
        /// The platform's folder.
        subdir: &'a str,
        /// The file name.
        file: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A package says that it was built later than now (CEP 47).
    Future {
        /// The platform's folder.
        subdir: &'a str,
        /// The file name.
        file: &'a str,
    },
    /// A file that the user may have written is not replaced by what was made.
    Kept {
        /// The platform's folder.
        subdir: &'a str,
        /// The file name.
        file: &'a str,
    },
    /// All packages of a name are so much that conda up to 26.7.0 refuses their shard.
    LargeShard {
        /// The platform's folder.
        subdir: &'a str,
        /// The name.
        name: &'a str,
        /// The shard's length before compression, in bytes.
        size: usize,
    },
    /// The files of a platform are in place.
    Published {
        /// The platform's folder.
        subdir: &'a str,
        /// Whether any is another than before.
        changed: bool,
    },
}

/// What indexing came to.
#[derive(Debug)]
pub struct Report {
    /// The platforms, sorted by name.
    pub subdirs: Vec<Subdir>,
}

/// What indexing one platform came to.
#[derive(Debug)]
pub struct Subdir {
    /// The folder's name.
    pub name: String,
    /// How many packages are in the repodata.
    pub packages: usize,
    /// How many were read; of the others it was known what they are.
    pub read: usize,
    /// What is not, sorted by file name.
    pub skipped: Vec<Skipped>,
    /// Whether any file was written.
    pub changed: bool,
}

/// A package that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file name; what of it is not UTF-8 is replaced.
    pub file: String,
    /// Why.
    pub reason: String,
}
