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
    /// The lock lacks something that only the network has.
    #[error(
        "the lock `{path}` does not fit the definition: {problem}, and the network may not be used"
    )]
    Offline {
        /// The lock.
        path: PathBuf,
        /// What is missing.
        problem: String,
    },
    /// Debian packages cannot be had.
    #[error(
        "cannot download the Debian packages of the lock; where the archive no longer has a version, --update takes the newest"
    )]
    Download {
        /// Why.
        #[source]
        source: Box<Error>,
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
    /// A Debian package is not to be had.
    #[error("the Debian package {name} is not in {place}")]
    NoDeb {
        /// Its name, with version and architecture where they matter.
        name: String,
        /// Where it was looked for.
        place: String,
    },
    /// A folder holds several versions of a Debian package.
    #[error("`{folder}` holds {name} in the versions {versions}: leave one")]
    SeveralDebs {
        /// Its name.
        name: String,
        /// Two of them.
        versions: String,
        /// The folder.
        folder: PathBuf,
    },
    /// A Debian package cannot be read.
    #[error("cannot unpack the Debian package `{file}`")]
    Deb {
        /// The file or name.
        file: PathBuf,
        /// What is wrong with it.
        #[source]
        source: crate::debian::DebError,
    },
    /// A package cannot be made as the definition says.
    #[error("package {package} for {platform}: {problem}")]
    PackageDefinition {
        /// conda's name.
        package: String,
        /// The platform.
        platform: String,
        /// What is wrong.
        problem: String,
    },
    /// An ELF file cannot be taken.
    #[error("package {package}: `{file}` cannot be used")]
    Elf {
        /// conda's name.
        package: String,
        /// The file in the package.
        file: String,
        /// What is wrong with it.
        #[source]
        source: crate::elf::ElfError,
    },
    /// A library is in no package and not in the target's system.
    #[error(
        "package {package}: `{file}` needs {library}, which no package of the channel holds and which is not in the list of the system's libraries"
    )]
    NoLibrary {
        /// conda's name.
        package: String,
        /// The file in the package.
        file: String,
        /// The library's soname.
        library: String,
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
    /// The threads could not be started.
    #[error("could not start the threads that write packages")]
    Threads {
        /// Why.
        #[source]
        source: rayon::ThreadPoolBuildError,
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
        match self {
            Error::Definition { .. }
            | Error::Value { .. }
            | Error::Platform { .. }
            | Error::PackageDefinition { .. } => true,
            Error::Wheel(error) => error.is_usage(),
            _ => false,
        }
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
