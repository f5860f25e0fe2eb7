//! What stops the indexing of a channel, and what only leaves one package out.

use std::io;
use std::path::PathBuf;

use crate::output::current::PinsError;
use crate::{cache, hotfix, import, json, lock};

/// Why a channel could not be indexed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The channel is no folder.
    #[error("`{path}` is not a folder")]
    NotFolder {
        /// What was given.
        path: PathBuf,
    },
    /// There is no object of the channel.
    #[error("there is nothing at `{path}`: upload packages first, to a folder for each platform")]
    Nothing {
        /// What was given.
        path: PathBuf,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] fetch::s3::Error),
    /// Somebody else wrote a file after it was listed.
    #[error("`{path}` was written by somebody else meanwhile, and stays as it is: run again")]
    Overtaken {
        /// The file.
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
    /// A platform has a name that no folder of a channel has.
    #[error("`{name}` is not the name of a platform's folder")]
    UnknownSubdir {
        /// What was given.
        name: String,
    },
    /// Another process indexes the channel, or the lock does not work.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] cache::Error),
    /// The hotfixes cannot be had or used.
    #[error(transparent)]
    Hotfix(#[from] hotfix::Error),
    /// What others know cannot be taken over.
    #[error(transparent)]
    Import(#[from] import::Error),
    /// The channel is to be a listing that nobody gave.
    #[error("there is no listing `{stage}`: {}", stages(.stage, .known))]
    UnknownStage {
        /// What `--upstream-stage` says.
        stage: String,
        /// The listings there are.
        known: Vec<String>,
    },
    /// The file of versions to keep could not be read.
    #[error("could not read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The versions to keep cannot be used.
    #[error("the versions in `{path}` cannot be used")]
    Pins {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        #[source]
        source: PinsError,
    },
    /// What is asked for does not go together, or is not there yet.
    #[error("{problem}")]
    Unsupported {
        /// What is wrong.
        problem: String,
    },
    /// An output could not be made.
    #[error("could not make `{path}`")]
    Make {
        /// The file.
        path: PathBuf,
        /// The cause.
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

impl Error {
    /// Whether the user asked for something that cannot be asked for.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::NotFolder { .. }
            | Self::NamedLikeSubdir { .. }
            | Self::Nothing { .. }
            | Self::UnknownSubdir { .. }
            | Self::Pins { .. }
            | Self::UnknownStage { .. }
            | Self::Unsupported { .. }
            | Self::Hotfix(hotfix::Error::Missing { .. }) => true,
            Self::Import(error) => error.is_usage(),
            _ => false,
        }
    }
}

fn stages(stage: &str, known: &[String]) -> String {
    if known.is_empty() {
        format!("fill it with --upstream-stage {stage} --import PATH")
    } else {
        let known = known.join("`, `");
        format!("there is `{known}`, and --import PATH makes others")
    }
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
    /// The store failed. That says nothing of the package, and stops the run.
    #[error("could not read the object")]
    Store {
        /// The cause.
        #[source]
        source: fetch::s3::Error,
    },
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
    /// Its `info/run_exports.json` is no JSON that all clients understand.
    #[error("info/run_exports.json cannot be used")]
    RunExports {
        /// What is wrong with it.
        #[source]
        source: json::Error,
    },
}

/// An error with the causes below it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.extend([": ", &error.to_string()]);
        next = error.source();
    }
    text
}
