//! Why nothing could be taken over.

use std::io;
use std::path::PathBuf;

/// Why metadata could not be taken over.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing where the user says.
    #[error("there is nothing to take over at `{path}`")]
    Missing {
        /// What was given.
        path: PathBuf,
    },
    /// There is something, but nothing that tells of packages.
    #[error("`{path}` holds neither conda-index's cache.db nor repodata")]
    Nothing {
        /// What was given.
        path: PathBuf,
    },
    /// Nothing tells which platform a file is of.
    #[error("`{path}` does not say of which platform it is: give the channel's folder")]
    Platform {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error("could not read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file is not what its name says.
    #[error("`{path}` is damaged, or something else than its name says")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// conda-index's cache is one of a later version.
    #[error("`{path}` is of version {version}; the newest that is understood is {newest}")]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        version: i64,
        /// What is understood.
        newest: i64,
    },
    /// conda-index's cache has no such listing.
    #[error("`{path}` has no stage `{stage}`; it has {stages}")]
    Stage {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        stage: String,
        /// What there is, for a sentence.
        stages: String,
    },
}

impl Error {
    /// Whether the user named something that cannot be taken over.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. }
                | Self::Nothing { .. }
                | Self::Platform { .. }
                | Self::Stage { .. }
        )
    }
}
