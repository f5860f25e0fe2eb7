//! Why a channel cannot be made.

use std::io;
use std::path::PathBuf;

/// Why a channel cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("cannot {action} `{path}`")]
    File {
        /// What was to be done: `read`, `write`, `make`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The definition is no TOML, or has an unknown key or an impossible value.
    #[error("`{path}` is no definition of a channel")]
    Definition {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value of the definition cannot be.
    #[error("`{path}`: {problem}")]
    Value {
        /// The definition.
        path: PathBuf,
        /// What is wrong, with the key.
        problem: String,
    },
    /// A platform that packages cannot be made for.
    #[error("packages for {platform} cannot be made: linux-64 and linux-aarch64 are known")]
    Platform {
        /// The platform.
        platform: String,
    },
    /// The lock is none.
    #[error("`{path}` is no lock; remove it or make it anew with --update")]
    Lock {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The lock does not fit the definition, and may not be changed.
    #[error(
        "the lock `{path}` does not fit the definition: {problem}; leave --locked out to make it anew"
    )]
    Locked {
        /// The lock.
        path: PathBuf,
        /// What is missing.
        problem: String,
    },
    /// A program is absent.
    #[error("`{program}` is not installed: {hint}")]
    NoProgram {
        /// Its name.
        program: String,
        /// How to get it.
        hint: String,
    },
    /// A program could not be started.
    #[error("cannot start `{program}`")]
    Start {
        /// Its name.
        program: String,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// A program failed.
    #[error("`{command}` failed ({status}): {said}")]
    Program {
        /// The command.
        command: String,
        /// How it ended.
        status: String,
        /// The end of what it said.
        said: String,
    },
    /// A file does not have the bytes that the lock names.
    #[error("sha256 of `{path}` is {actual}, the lock says {expected}")]
    Digest {
        /// The file.
        path: PathBuf,
        /// What the lock says.
        expected: String,
        /// What it has.
        actual: String,
    },
    /// A package could not be written.
    #[error("cannot write the package `{file}`")]
    Package {
        /// Its file name.
        file: String,
        /// What is wrong.
        #[source]
        source: archive::package::Error,
    },
    /// Two sources make one package.
    #[error("`{file}` would be made twice")]
    Twice {
        /// Its file name.
        file: String,
    },
    /// The channel could not be indexed.
    #[error("cannot index the channel")]
    Index {
        /// Why.
        #[source]
        source: channel::Error,
    },
    /// A wheel cannot be taken.
    #[error(transparent)]
    Wheel(#[from] crate::wheel::Error),
}

impl Error {
    /// Whether bytes are not those that were promised.
    pub fn is_integrity(&self) -> bool {
        match self {
            Error::Digest { .. } => true,
            Error::Wheel(error) => error.is_integrity(),
            _ => false,
        }
    }

    /// Whether the user asked for something that cannot be asked for.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Error::Definition { .. } | Error::Value { .. } | Error::Platform { .. }
        )
    }
}

/// For `map_err`: an operation on a path failed.
pub(crate) fn file(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::File {
        action,
        path,
        source,
    }
}
