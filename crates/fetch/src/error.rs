//! What can go wrong between here and a server. Every URL in a message is without credentials.

use std::fmt;
use std::io;
use std::path::PathBuf;

use conda::credentials;

/// Why there are no records or no packages.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The asynchronous runtime or the HTTP client could not be made.
    #[error("start the network client")]
    Start(#[source] Cause),

    /// rattler's credential store or netrc could not be read.
    #[error("read the stored credentials")]
    Credentials(#[source] Cause),

    /// A folder or file of the cache.
    #[error("use the cache `{}`", path.display())]
    Cache {
        /// The file or folder in question.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// Text that names no channel.
    #[error("`{channel}` is not a channel: {reason}")]
    ChannelText {
        /// The text, without credentials.
        channel: String,
        /// What is wrong with it.
        reason: String,
    },

    /// A channel's folder that is not there, or not to be read.
    #[error("`{channel}` is not a channel")]
    ChannelFolder {
        /// What the user wrote.
        channel: String,
        /// What the system said, with the path.
        #[source]
        source: io::Error,
    },

    /// A channel that cannot be reached.
    #[error(
        "the channel {channel} cannot be reached; another server can be named with \
         `--channel-alias`, what is cached is used with `--offline`, and a folder can stand in for \
         a channel"
    )]
    Unreachable {
        /// The channel's URL.
        channel: String,
        /// What happened on the way.
        #[source]
        source: Cause,
    },

    /// A channel with none of the wanted subdirs.
    #[error("the channel {channel} does not exist or has none of: {}", subdirs.join(", "))]
    ChannelNotFound {
        /// The channel's URL.
        channel: String,
        /// The subdirs that were looked for.
        subdirs: Vec<String>,
    },

    /// A server that answers, but not with repodata.
    #[error("the server of {url} refused it")]
    Refused {
        /// The subdir's URL.
        url: String,
        /// The answer.
        #[source]
        source: Cause,
    },

    /// A file could not be written.
    #[error("cannot write `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },

    /// Repodata that cannot be read.
    #[error("the repodata of {url} cannot be read")]
    Repodata {
        /// The subdir's URL.
        url: String,
        /// What is wrong with it.
        #[source]
        source: Cause,
    },

    /// Repodata that was never fetched, in an offline run.
    #[error("{url} is not in the cache; run once without `--offline`")]
    RepodataOffline {
        /// The subdir's URL.
        url: String,
        /// What is missing.
        #[source]
        source: Cause,
    },

    /// A spec that is an archive's URL.
    #[error("spec `{spec}` is an archive: list it, with all that it needs, in `environment_file`")]
    ArchiveSpec {
        /// The spec, without credentials.
        spec: String,
    },

    /// A package that is not in the store, in an offline run.
    #[error("{file_name} is not in the cache; run once without `--offline`")]
    PackageOffline {
        /// The archive's name.
        file_name: String,
    },

    /// A package URL of a kind that cannot be fetched.
    #[error("{url} is not a URL that packages can be fetched from")]
    PackageUrl {
        /// The URL.
        url: String,
    },

    /// A package on this machine that cannot be read.
    #[error("read the package `{}`", path.display())]
    PackageFile {
        /// The archive.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// A server that does not give the package.
    #[error("the server answered {status} for {url}")]
    Status {
        /// The archive's URL.
        url: String,
        /// The status line's code and text.
        status: String,
    },

    /// A download that failed as often as it was tried.
    #[error("download {url}, tried {attempts} times")]
    Download {
        /// The archive's URL.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// The last failure.
        #[source]
        source: Cause,
    },

    /// A registry of images that does not give what was asked for.
    #[error(transparent)]
    Registry(Box<crate::registry::Error>),

    /// Bytes that are not the ones that the channel promised.
    #[error("{algorithm} of {url} is {actual}, expected {expected}")]
    Digest {
        /// The archive's URL.
        url: String,
        /// `sha256` or `md5`.
        algorithm: &'static str,
        /// What the record says, in hexadecimal digits.
        expected: String,
        /// What the bytes have.
        actual: String,
    },

    /// More or fewer bytes than the channel promised.
    #[error("{url} has {} bytes, expected {expected}", actual_size(*actual, *expected))]
    Size {
        /// The archive's URL.
        url: String,
        /// What the record says.
        expected: u64,
        /// What came, where it was cut off: at least so many.
        actual: u64,
    },

    /// A package of unknown size that does not end.
    #[error("{url} has more than {limit} bytes, the most that a package of unknown size may have")]
    TooLarge {
        /// The archive's URL.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
}

impl Error {
    /// Whether a server said that it has no such file.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Status { status, .. } if status.starts_with("404") || status.starts_with("410"))
    }

    /// Whether a server said that this file is not for us. Some say so of files that they do not have.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Status { status, .. } if status.starts_with("401") || status.starts_with("403"))
    }

    /// Whether the tools exit with 2, "usage": what was asked for is no channel, or cannot be looked for in one.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::ChannelText { .. } | Self::ArchiveSpec { .. })
    }

    /// Whether the tools exit with 4, "integrity".
    pub fn is_integrity(&self) -> bool {
        match self {
            Self::Digest { .. }
            | Self::Size { .. }
            | Self::TooLarge { .. }
            | Self::Repodata { .. } => true,
            Self::Registry(error) => error.is_integrity(),
            _ => false,
        }
    }
}

/// A failure of another library: its messages from the outermost to the root, without credentials.
#[derive(Debug)]
pub struct Cause {
    message: String,
    source: Option<Box<Cause>>,
}

impl Cause {
    /// The chain of `error`. `hide` takes further secrets out of each message.
    pub(crate) fn new(
        error: &(dyn std::error::Error + 'static),
        hide: &dyn Fn(&str) -> String,
    ) -> Self {
        let mut messages: Vec<String> = Vec::new();
        let mut next = Some(error);
        while let Some(error) = next {
            let message = hide(&credentials::redact_text(error.to_string().trim()));
            // Transparent errors say the same thing again.
            if messages.last().is_none_or(|last| !last.contains(&message)) {
                messages.push(message);
            }
            next = error.source();
        }
        let mut cause: Option<Box<Self>> = None;
        for message in messages.into_iter().rev() {
            cause = Some(Box::new(Self {
                message,
                source: cause,
            }));
        }
        cause.map_or_else(|| Self::message("unknown"), |cause| *cause)
    }

    /// The chain of an error that holds no secrets.
    pub(crate) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(error, &str::to_owned)
    }

    /// A failure that has no further cause.
    pub(crate) fn message(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            source: None,
        }
    }

    /// All messages in one line.
    pub(crate) fn line(&self) -> String {
        match &self.source {
            Some(source) => format!("{}: {}", self.message, source.line()),
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}

fn actual_size(actual: u64, expected: u64) -> String {
    if actual > expected {
        format!("at least {actual}")
    } else {
        actual.to_string()
    }
}
