//! What happens while something is fetched, as values. Bars and lines are made elsewhere.

use std::time::Duration;

/// One step of a fetch. Texts are without credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// The repodata of a subdir is being loaded.
    SubdirStarted {
        /// The channel's URL.
        channel: &'a str,
        /// The subdir's name.
        subdir: &'a str,
    },
    /// The repodata of a subdir is there.
    SubdirDone {
        /// The channel's URL.
        channel: &'a str,
        /// The subdir's name.
        subdir: &'a str,
        /// Whether the channel has the subdir.
        found: bool,
        /// Whether nothing had to be downloaded for it.
        cached: bool,
    },
    /// Repodata arrived.
    RepodataBytes {
        /// What is being downloaded.
        url: &'a str,
        /// How many bytes have arrived since the last such event for the URL.
        bytes: u64,
    },
    /// A package is being fetched. Packages that are in the store have no such event.
    PackageStarted {
        /// The archive's name.
        file_name: &'a str,
        /// Its size in bytes, where known.
        size: Option<u64>,
        /// How many bytes an earlier run has left.
        resumed: u64,
    },
    /// Bytes of a package arrived.
    PackageBytes {
        /// The archive's name.
        file_name: &'a str,
        /// How many bytes it has now: less than before where it starts over.
        position: u64,
    },
    /// A package is verified and in the store.
    PackageDone {
        /// The archive's name.
        file_name: &'a str,
        /// Its size in bytes.
        size: u64,
        /// Whether it had been there already.
        cached: bool,
    },
    /// A request failed and will be repeated.
    Retry {
        /// What is being fetched.
        url: &'a str,
        /// Why it failed.
        reason: &'a str,
        /// How long the pause is.
        wait: Duration,
    },
    /// Something that the user should know.
    Warning {
        /// One line.
        message: &'a str,
    },
}
