//! What can go wrong with a registry. No message has a credential in it.

use std::io;
use std::path::PathBuf;

use crate::Cause;

/// Why something could not be done with a registry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Text that names no image.
    #[error("`{text}` names no image: {reason}")]
    Reference {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file with credentials cannot be used.
    #[error("cannot use the credentials in `{path}`")]
    Credentials {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Cause,
    },
    /// A program that keeps credentials failed.
    #[error("`{program}`, which keeps the credentials of {host}, failed")]
    Helper {
        /// The program.
        program: String,
        /// The registry.
        host: String,
        /// What happened.
        #[source]
        source: Cause,
    },
    /// A file that is to be sent.
    #[error("cannot read `{path}`")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The user may not do it.
    #[error(
        "{registry} does not let us {action} in `{name}` ({status}): {}",
        if *.known { "the credentials that docker or podman keep for it are not enough" }
        else { "there are no credentials for it; `docker login` or `podman login` makes some" }
    )]
    Denied {
        /// The registry.
        registry: String,
        /// What was tried.
        action: &'static str,
        /// The repository.
        name: String,
        /// 401 or 403.
        status: u16,
        /// Whether credentials were shown.
        known: bool,
    },
    /// Another answer than the one that was asked for.
    #[error("could not {action} at {registry}: it answered {status} ({message})")]
    Answer {
        /// The registry.
        registry: String,
        /// What was tried.
        action: &'static str,
        /// The status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// No answer.
    #[error("could not {action} of {registry}")]
    Unreachable {
        /// The registry.
        registry: String,
        /// What was tried.
        action: &'static str,
        /// What happened on the way.
        #[source]
        source: Cause,
    },
    /// The registry kept something else.
    #[error("{registry} stored {actual} in place of {expected}")]
    OtherDigest {
        /// The registry.
        registry: String,
        /// What was sent.
        expected: String,
        /// What it says that it has.
        actual: String,
    },
    /// There is no such thing.
    #[error("{registry} has no `{name}` in `{repository}`")]
    Absent {
        /// The registry.
        registry: String,
        /// The repository.
        repository: String,
        /// The tag or the digest.
        name: String,
    },
    /// Something that was never fetched, in an offline run.
    #[error("{reference} is not in the cache; run once without `--offline`")]
    Offline {
        /// What is missing.
        reference: String,
    },
    /// A manifest that does not end.
    #[error("the manifest `{name}` of {registry} has more than {limit} bytes")]
    Long {
        /// The registry.
        registry: String,
        /// The tag or the digest.
        name: String,
        /// What is taken.
        limit: u64,
    },
    /// The registry gave something else.
    #[error("{registry} gave a manifest with the digest sha256:{actual} for {expected}")]
    WrongManifest {
        /// The registry.
        registry: String,
        /// What was asked for.
        expected: String,
        /// What came, in hexadecimal digits.
        actual: String,
    },
    /// A blob cannot be downloaded or kept.
    #[error(transparent)]
    Fetch(Box<crate::Error>),
    /// A place without TLS, to which nothing is sent.
    #[error("{registry} wants something sent without TLS to {url}; nothing was")]
    Open {
        /// The registry.
        registry: String,
        /// The place.
        url: String,
    },
}

impl Error {
    /// Whether the user named something that cannot be.
    pub fn is_usage(&self) -> bool {
        matches!(self, Error::Reference { .. })
    }

    /// Whether bytes turned into others.
    pub fn is_integrity(&self) -> bool {
        match self {
            Error::OtherDigest { .. } | Error::WrongManifest { .. } | Error::Long { .. } => true,
            Error::Fetch(error) => error.is_integrity(),
            _ => false,
        }
    }

    /// Whether it may go well a little later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Error::Unreachable { .. } => true,
            Error::Answer { status, .. } => {
                http::StatusCode::from_u16(*status).is_ok_and(crate::retry::is_transient)
            }
            _ => false,
        }
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Error {
        match error {
            crate::Error::Registry(error) => *error,
            error => Error::Fetch(Box::new(error)),
        }
    }
}
