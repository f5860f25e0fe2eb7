//! Why an image cannot be baked or read.

use std::io;
use std::path::PathBuf;

use conda::Subdir;

use crate::bake::DebsError;
use crate::base;

/// Why an image cannot be baked or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
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
    /// The installer's spec has mistakes.
    #[error("the installer's spec has mistakes\n{text}")]
    Spec {
        /// All of them, with their places.
        text: String,
    },
    /// Something in the definition cannot be done with these packages or this base.
    #[error("`{key}` in the definition: {problem}")]
    Definition {
        /// The key.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A platform that container engines have no name for.
    #[error("there are no images for {platform}")]
    Platform {
        /// The platform.
        platform: Subdir,
    },
    /// The packages of the prefix cannot be had.
    #[error(transparent)]
    Installer(#[from] installer::Error),
    /// The packages of an environment besides the base one cannot be had.
    #[error("cannot make the environment `{name}`")]
    Env {
        /// The environment.
        name: String,
        /// What is wrong.
        #[source]
        source: Box<installer::Error>,
    },
    /// An image, here a base, cannot be used.
    #[error("cannot use the image `{path}`")]
    Image {
        /// Its file or folder, or its name in a registry.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: base::Error,
    },
    /// The lock of the bases cannot be used, or does not fit.
    #[error("the lock `{path}` does not fit: {reason}; `--update` makes it anew")]
    Lock {
        /// The lock.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The Debian packages of the image cannot be had.
    #[error("{platform}: cannot install Debian packages")]
    Debs {
        /// The platform.
        platform: Subdir,
        /// What is wrong.
        #[source]
        source: DebsError,
    },
    /// Packages have scripts that only the target can run.
    #[error(
        "{platform}: {} would run on the target, which is not there; `link_scripts = \"emulate\"` runs them here, \"first-run\" when a container starts, and \"skip\" leaves them out",
        .scripts.join(", ")
    )]
    Scripts {
        /// The platform.
        platform: Subdir,
        /// What each script is, and whose.
        scripts: Vec<String>,
    },
    /// No Python compiles modules.
    #[error(
        "{platform}: no CPython {version} on PATH compiles the modules of {}; install one (`apt-get install python{version}`, say), or write `pyc = \"skip\"`",
        .packages.join(", ")
    )]
    NoPython {
        /// The platform.
        platform: Subdir,
        /// The minor version that is needed.
        version: String,
        /// The packages with modules.
        packages: Vec<String>,
    },
    /// Programs of the target do not run here, and should.
    #[error("`{key} = \"emulate\"`: {reason}")]
    CannotRun {
        /// The platform.
        platform: Subdir,
        /// The key of the definition.
        key: &'static str,
        /// What is missing.
        reason: String,
    },
    /// A program of the target failed.
    #[error("{platform}: cannot run {what} under emulation")]
    Emulate {
        /// The platform.
        platform: Subdir,
        /// What was to be run.
        what: String,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// The modules of a package could not be compiled.
    #[error("cannot compile the Python modules of `{package}`")]
    Compile {
        /// The package.
        package: String,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// More layers than engines take.
    #[error(
        "{platform}: {base} layers of the base and {ours} of ours are more than {most}, where engines begin to fail; lower `layers`, or flatten the base"
    )]
    Layers {
        /// The platform.
        platform: Subdir,
        /// How many the base has.
        base: usize,
        /// How many would be added.
        ours: usize,
        /// How many there may be.
        most: usize,
    },
    /// A package cannot be laid into its layer.
    #[error("{platform}: cannot write the layer of `{package}`")]
    Lay {
        /// The platform.
        platform: Subdir,
        /// The package.
        package: String,
        /// What is wrong.
        #[source]
        source: runtime::Error,
    },
    /// The image cannot be sent to a registry.
    #[error("cannot push `{reference}`")]
    Push {
        /// The image's name there.
        reference: String,
        /// What is wrong.
        #[source]
        source: fetch::registry::Error,
    },
    /// What is at the output's place is no image.
    #[error("`{path}` {problem}")]
    Output {
        /// The place.
        path: PathBuf,
        /// Why nothing is written there.
        problem: &'static str,
    },
    /// A layer that an earlier run kept is no longer what it was.
    #[error("the kept layer `{path}` is damaged")]
    Damaged {
        /// The layer.
        path: PathBuf,
    },
    /// Somebody else writes the output.
    #[error("`{path}` is being written by another process")]
    Busy {
        /// The place.
        path: PathBuf,
    },
}

impl From<fetch::Error> for Error {
    fn from(source: fetch::Error) -> Error {
        Error::Installer(source.into())
    }
}

impl Error {
    /// Whether bytes were wrong: exit code 4.
    pub fn is_integrity(&self) -> bool {
        match self {
            Error::Damaged { .. } => true,
            Error::Installer(error) => error.is_integrity(),
            Error::Env { source, .. } => source.is_integrity(),
            Error::Image { source, .. } => source.is_integrity(),
            Error::Push { source, .. } => source.is_integrity(),
            Error::Debs { source, .. } => source.is_integrity(),
            Error::Lay { source, .. } => {
                matches!(
                    source,
                    runtime::Error::Payload { .. } | runtime::Error::Decode { .. }
                )
            }
            _ => false,
        }
    }

    /// Whether there is no solution: exit code 3.
    pub fn is_unsolvable(&self) -> bool {
        match self {
            Error::Installer(error) => error.is_unsolvable(),
            Error::Env { source, .. } => source.is_unsolvable(),
            Error::Debs { source, .. } => source.is_unsolvable(),
            _ => false,
        }
    }

    /// Whether the user asked for something that cannot be: exit code 2.
    pub fn is_usage(&self) -> bool {
        match self {
            Error::Installer(error) => error.is_usage(),
            Error::Env { source, .. } => source.is_usage(),
            Error::Image { source, .. } => source.is_usage(),
            Error::Push { source, .. } => source.is_usage(),
            Error::Debs { source, .. } => source.is_usage(),
            Error::Spec { .. }
            | Error::Definition { .. }
            | Error::Platform { .. }
            | Error::Scripts { .. }
            | Error::Layers { .. }
            | Error::Output { .. } => true,
            _ => false,
        }
    }
}
