//! What keeps a server from starting. What goes wrong with one request is an answer, not an error.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a server does not start, or does not take over changed files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// There is no such folder.
    #[error("cannot serve `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A bucket cannot be read.
    #[error(transparent)]
    Bucket(#[from] fetch::s3::Error),
    /// A name cannot stand in addresses, or two channels have it.
    #[error("`{name}` cannot be the name of a channel: {problem}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A certificate, a key, the list of tokens or the folder of blacklists cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate or key is none.
    #[error("`{}`: {problem}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The list of tokens does not say what it should.
    #[error("`{}` is no list of tokens: {problem}", path.display())]
    Tokens {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A definition is none, or nothing says how it is compiled.
    #[error("{problem}")]
    Definition {
        /// What is wrong with it, with its path and lines.
        problem: String,
    },
    /// A meta-channel could not be compiled.
    #[error("cannot compile `{what}`")]
    Compile {
        /// The definition, or the question.
        what: String,
        /// Why.
        #[source]
        source: Box<channel::meta::Error>,
    },
    /// The system does not give what a server needs.
    #[error("cannot start the server")]
    System(#[source] io::Error),
}

impl Error {
    /// Whether the user asked for something that cannot be asked for.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Name { .. }
            | Self::Certificate { .. }
            | Self::Tokens { .. }
            | Self::Definition { .. } => true,
            Self::Compile { source, .. } => source.is_usage(),
            _ => false,
        }
    }
}

/// An error with the causes below it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
