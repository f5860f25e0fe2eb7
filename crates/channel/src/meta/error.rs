//! What can go wrong between a definition and a channel.

use std::path::PathBuf;

use super::Reason;

/// Why there is no channel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the user's.
    #[error("read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file of ours.
    #[error("write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file of pins or a blacklist that cannot be understood.
    #[error("`{}` cannot be understood: {problem}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A lock that cannot be understood.
    #[error("the lock `{}` cannot be read; without `--locked` it is made anew", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Reason,
    },
    /// There is no lock, and it was insisted on.
    #[error("there is no lock `{}`; build once without `--locked`", path.display())]
    NoLock {
        /// Where it would be.
        path: PathBuf,
    },
    /// The channel is not any more what the lock says.
    #[error(
        "{url} is not any more what the lock says; without `--locked` the channel is compiled from what it is now"
    )]
    Moved {
        /// The file's URL.
        url: String,
        /// What differs.
        #[source]
        source: fetch::Error,
    },
    /// A platform was asked for that the definition does not have.
    #[error("the definition is not for {platform}, only for {}", known.join(", "))]
    Platform {
        /// What was asked for.
        platform: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Packages that are nowhere.
    #[error("no channel of the definition has `{wanted}`{}", .near.as_ref().map_or(String::new(), |near| format!("; did you mean `{near}`?")))]
    NoPackage {
        /// What was asked for.
        wanted: String,
        /// The name that is most like it.
        near: Option<String>,
    },
    /// A channel that has nothing.
    #[error("the channel `{channel}` does not exist or has none of {}: there is no repodata at {url}", subdirs.join(", "))]
    ChannelAbsent {
        /// What the definition calls it.
        channel: String,
        /// Where it would be.
        url: String,
        /// What was looked for.
        subdirs: Vec<String>,
    },
    /// A file of a channel that cannot be understood.
    #[error("{url} cannot be read")]
    Unreadable {
        /// The file's URL.
        url: String,
        /// What is wrong with it.
        #[source]
        source: Reason,
    },
    /// A channel that changes while it is read.
    #[error("{url} changes while it is read; try again")]
    Changing {
        /// The folder's URL.
        url: String,
    },
    /// One folder of a static channel would need packages from several places.
    #[error(
        "the packages of {subdir} come from several places, and the index of a static channel can name one: {}; \
         add `mirror = \"full\"`, or serve the definition with `archiconda serve`",
        places.join(", ")
    )]
    SeveralPlaces {
        /// The platform's folder.
        subdir: String,
        /// Where packages are.
        places: Vec<String>,
    },
    /// The solver failed, not the specs.
    #[error("solve {}", specs.join(", "))]
    Solve {
        /// The specs.
        specs: Vec<String>,
        /// Why.
        #[source]
        source: solve::Error,
    },
    /// What was fetched, or was not.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// Writing the channel.
    #[error(transparent)]
    Index(#[from] crate::Error),
}

impl Error {
    /// Whether the user asked for something that cannot be asked for.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Text { .. }
            | Self::Lock { .. }
            | Self::NoLock { .. }
            | Self::Platform { .. }
            | Self::SeveralPlaces { .. } => true,
            Self::Index(error) => error.is_usage(),
            Self::Fetch(error) => error.is_usage(),
            Self::Read { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// Whether bytes are not those that were promised.
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Fetch(error) => error.is_integrity(),
            Self::Unreadable { .. } => true,
            _ => false,
        }
    }
}
