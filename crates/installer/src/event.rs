//! What a build reports while it runs. Bars, colours and words are the command line's.

use std::path::Path;

use crate::plan::Clobber;

/// Something happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A stage of the build began.
    Stage(Stage),
    /// Repodata and downloads.
    Fetch(fetch::Event<'a>),
    /// Packages to be read.
    Scanning {
        /// How many.
        packages: usize,
    },
    /// One package was read, or found in the plan cache.
    Scanned {
        /// `NAME-VERSION-BUILD.EXT`.
        package: &'a str,
        /// Whether reading it was saved.
        cached: bool,
    },
    /// The payload's length so far.
    Packing {
        /// Bytes that will be written.
        total: u64,
    },
    /// Bytes of the payload were written.
    Packed {
        /// How many.
        bytes: u64,
    },
    /// A file is complete.
    Wrote(&'a Path),
    /// Something that the user should know, but that stops nothing.
    Warning(Warning<'a>),
}

/// The stages of a build, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// From specs to a list of packages.
    Resolve,
    /// Downloading them.
    Fetch,
    /// Reading them.
    Scan,
    /// Planning and writing the installer.
    Pack,
}

/// What a user should know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning<'a> {
    /// A name of `exclude` that nothing would install.
    #[error("`{name}` is excluded, but it is not among the packages")]
    ExcludedNothing {
        /// The name.
        name: &'a str,
    },
    /// A dependency that nothing in an explicit list, or after `exclude`, satisfies.
    #[error("`{package}` depends on `{dependency}`, which is not among the packages")]
    MissingDependency {
        /// Who needs it.
        package: &'a str,
        /// What it needs.
        dependency: &'a str,
    },
    /// All is done again with another file.
    #[error("`{}` in the cache is damaged; it is fetched again", .path.display())]
    Refetched {
        /// The file.
        path: &'a Path,
    },
    /// A path that several packages have.
    #[error("`{}` is in {} and in {}: the file of {} is kept", .0.path, .0.winner, .0.loser, .0.winner)]
    Clobber(&'a Clobber),
    /// Files whose digest is not the one that the package's own list gives.
    #[error("`{file}` in `{package}` is not the file that the package's own list describes")]
    Mismatch {
        /// The package.
        package: &'a str,
        /// The file.
        file: &'a str,
    },
}
