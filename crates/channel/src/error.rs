//! What stops the indexing of a channel, and what only leaves one package out.

use std::io;
use std::path::PathBuf;

use crate::json;

/// Why a channel could not be indexed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The channel is no folder.
    #[error("`{path}` is not a folder")]
    NotFolder {
        /// What was given.
        path: PathBuf,
    },
    /// The channel has the name of a platform's folder, so that the one above it is meant.
    #[error("`{path}` is named like the folder of a platform: index the folder above it")]
    NamedLikeSubdir {
        /// What was given.
        path: PathBuf,
    },
    /// A folder could not be listed or made.
    #[error("could not list the packages of the channel")]
    List {
        /// The cause, which names the path.
        #[source]
        source: io::Error,
    },
    /// An output could not be written.
    #[error("could not write `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The threads could not be started.
    #[error("could not start {threads} threads")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// The cause.
        #[source]
        source: rayon::ThreadPoolBuildError,
    },
}

/// Why a package is not in the repodata.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Its name is not UTF-8, and so cannot stand in JSON.
    #[error("the file name is not UTF-8")]
    Name,
    /// It is a folder, a pipe or the like.
    #[error("not a file")]
    NotFile,
    /// It could not be opened or read.
    #[error("could not read the file")]
    Read {
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It changed while it was read.
    #[error("the file changed while it was read")]
    Changed,
    /// It is no package, or a damaged one.
    #[error("not a sound package")]
    Package {
        /// What is wrong with it.
        #[source]
        source: archive::package::Error,
    },
    /// Its `info/index.json` is no JSON that all clients understand.
    #[error("info/index.json cannot be used")]
    Index {
        /// What is wrong with it.
        #[source]
        source: json::Error,
    },
}
