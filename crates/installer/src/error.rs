//! Why an installer cannot be built.

use std::io;
use std::path::PathBuf;

use archive::digest::Sha256;
use conda::Subdir;

use crate::plan::EntryError;

/// Why an installer cannot be built.
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
    /// A file of the spec is no text.
    #[error("`{path}` ({key} in the spec) is not UTF-8 text")]
    NotText {
        /// The key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A platform that installers cannot be built for.
    #[error(
        "installers for {platform} cannot be built yet: there is a runtime for linux-64 and linux-aarch64 only"
    )]
    Platform {
        /// The platform.
        platform: Subdir,
    },
    /// No runtime for a platform was found.
    #[error(
        "no runtime for {platform}: looked for `{name}` in {}; `cargo xtask runtime` makes it, or name its folder with --runtimes",
        quoted(.searched)
    )]
    NoRuntime {
        /// The platform.
        platform: Subdir,
        /// The file name that was looked for.
        name: String,
        /// The folders.
        searched: Vec<PathBuf>,
    },
    /// A file that is called a runtime is none for this platform.
    #[error("`{path}` is not an executable for {platform}")]
    ForeignRuntime {
        /// The file.
        path: PathBuf,
        /// The platform.
        platform: Subdir,
    },
    /// The header cannot be made.
    #[error("cannot make the shell header")]
    Header {
        /// What is wrong.
        #[source]
        source: crate::header::Error,
    },
    /// Repodata or packages cannot be had.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// No set of packages satisfies the specs, or a lock or list is wrong.
    #[error("cannot resolve {name} for {platform}")]
    Solve {
        /// The distribution.
        name: String,
        /// The platform.
        platform: Subdir,
        /// What is wrong.
        #[source]
        source: solve::Error,
    },
    /// `--locked`, but there is no lock or it does not fit the spec.
    #[error(
        "the lock `{path}` does not fit the spec for {platform}: {reason}; run again with --update instead of --locked"
    )]
    Lock {
        /// The lock.
        path: PathBuf,
        /// The platform.
        platform: Subdir,
        /// Why it does not fit.
        reason: String,
    },
    /// The lock is none.
    #[error("cannot use the lock `{path}`; `--update` makes it anew")]
    DamagedLock {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: solve::Error,
    },
    /// An explicit list cannot be read.
    #[error("cannot use `{path}`")]
    List {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: solve::Error,
    },
    /// The bytes of a package are not those that its record promises.
    #[error("sha256 of `{package}` is {actual}, expected {expected}")]
    PackageDigest {
        /// The package.
        package: String,
        /// What the record says.
        expected: Sha256,
        /// What the file has.
        actual: Sha256,
    },
    /// A package is damaged or hostile.
    #[error("cannot use the package `{package}`")]
    Package {
        /// The package.
        package: String,
        /// What is wrong with it.
        #[source]
        source: archive::package::Error,
    },
    /// A metadata file of a package cannot be used.
    #[error("cannot use `{file}` in the package `{package}`")]
    Metadata {
        /// The package.
        package: String,
        /// The metadata file.
        file: String,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// A package's own list and its content differ.
    #[error("`{file}` in the package `{package}` {problem}")]
    Content {
        /// The package.
        package: String,
        /// The file.
        file: String,
        /// How it differs.
        problem: String,
    },
    /// A package cannot be planned for.
    #[error("cannot plan the installation")]
    Plan {
        /// What is wrong.
        #[source]
        source: EntryError,
    },
    /// Several packages have one path, and `ignore_duplicate_files` is false.
    #[error(
        "`{path}` is in {winner} and in {loser} ({count} such paths in all; `ignore_duplicate_files = true` makes this a warning)"
    )]
    Clobber {
        /// The first such path.
        path: String,
        /// Who would keep it.
        winner: String,
        /// Who would lose it.
        loser: String,
        /// How many paths.
        count: usize,
    },
    /// The payload cannot be written.
    #[error("cannot write the installer `{path}`")]
    Payload {
        /// The installer.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: archive::payload::Error,
    },
    /// A file changed while it was being packed.
    #[error("`{path}` changed while it was packed; run again")]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A finished installer that is damaged.
    #[error("the installer `{path}` is damaged; get it anew")]
    Finished {
        /// The installer.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: archive::payload::Error,
    },
    /// A file that is called an installer and was not made by these tools.
    #[error(
        "`{path}` is no installer that build-installer made; those of constructor cannot be read: make one from the distribution's spec, or name that spec"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A finished installer with something in it that cannot be used here.
    #[error("cannot use the installer `{path}`: {problem}")]
    Unusable {
        /// The installer.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Something in the spec cannot be done with these packages or files.
    #[error("{key} in the spec: {problem}")]
    Spec {
        /// The key.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
}

impl Error {
    /// Whether bytes were wrong: exit code 4.
    pub fn is_integrity(&self) -> bool {
        match self {
            Error::Fetch(error) => error.is_integrity(),
            Error::Package { source, .. } => !matches!(
                source,
                archive::package::Error::Read { .. } | archive::package::Error::Write { .. }
            ),
            Error::Plan { source } => {
                matches!(
                    source,
                    EntryError::Outside { .. } | EntryError::EntryPoint { .. }
                )
            }
            Error::Finished { .. }
            | Error::PackageDigest { .. }
            | Error::Metadata { .. }
            | Error::Content { .. }
            | Error::Changed { .. } => true,
            _ => false,
        }
    }

    /// Whether there is no solution: exit code 3.
    pub fn is_unsolvable(&self) -> bool {
        matches!(self, Error::Solve { source, .. } if source.is_unsolvable())
    }

    /// Whether the user asked for something that cannot be: exit code 2.
    pub fn is_usage(&self) -> bool {
        match self {
            Error::Platform { .. } | Error::Foreign { .. } | Error::Spec { .. } => true,
            Error::Fetch(error) => error.is_usage(),
            _ => false,
        }
    }
}

fn quoted(folders: &[PathBuf]) -> String {
    let names: Vec<String> = folders
        .iter()
        .map(|folder| format!("`{}`", folder.display()))
        .collect();
    if names.is_empty() {
        "no folder".to_owned()
    } else {
        names.join(", ")
    }
}
