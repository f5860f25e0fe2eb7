//! Why a wheel cannot become a package.

use std::io;
use std::path::PathBuf;

/// Why a wheel cannot become a package.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A requirement of the definition cannot be read.
    #[error("`{requirement}` in the definition's [wheels] is no requirement")]
    Asked {
        /// The requirement.
        requirement: String,
        /// What is wrong with it.
        #[source]
        source: Box<pep508_rs::Pep508Error>,
    },
    /// A name in the definition is none.
    #[error("`{project}` in the definition's [wheels] is no name of a package")]
    Project {
        /// What stands in its place.
        project: String,
    },
    /// The version of Python is none.
    #[error("`{version}` is no version of Python, such as 3.11")]
    Python {
        /// What stands in its place.
        version: String,
    },
    /// A file name is not that of a wheel.
    #[error("`{wheel}` is no file name of a wheel: {problem}")]
    FileName {
        /// The file name.
        wheel: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A wheel is for other machines.
    #[error("`{wheel}` is not for {target} with Python {python}")]
    Tags {
        /// The wheel's file name.
        wheel: String,
        /// conda's name of the platform.
        target: &'static str,
        /// The version of Python.
        python: String,
    },
    /// A wheel does not have the bytes that the lock names.
    #[error("sha256 of `{wheel}` is {actual}, the lock says {expected}")]
    Digest {
        /// The wheel's file name.
        wheel: String,
        /// What the lock says.
        expected: String,
        /// What it has.
        actual: String,
    },
    /// A wheel is no zip archive, or a damaged one.
    #[error("`{wheel}` is no sound zip archive")]
    Zip {
        /// The wheel's file name.
        wheel: String,
        /// What is wrong.
        #[source]
        source: rawzip::Error,
    },
    /// A wheel holds more than a wheel can.
    #[error("`{wheel}` is refused: {problem}")]
    Absurd {
        /// The wheel's file name.
        wheel: String,
        /// What is too much.
        problem: &'static str,
    },
    /// A file of a wheel cannot be taken.
    #[error("`{file}` in `{wheel}` {problem}")]
    File {
        /// The wheel's file name.
        wheel: String,
        /// The file's path in it.
        file: String,
        /// What is wrong: `is a symbolic link`.
        problem: &'static str,
    },
    /// A file of a wheel cannot be unpacked.
    #[error("cannot unpack `{file}` of `{wheel}`")]
    Unpack {
        /// The wheel's file name.
        wheel: String,
        /// The file's path in it.
        file: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// A file does not have the digest that the wheel's RECORD names.
    #[error("sha256 of `{file}` in `{wheel}` is {actual}, its RECORD says {expected}")]
    Record {
        /// The wheel's file name.
        wheel: String,
        /// The file's path in it.
        file: String,
        /// What RECORD says.
        expected: String,
        /// What it has.
        actual: String,
    },
    /// A wheel lacks a file that all wheels have.
    #[error("`{wheel}` has no `{file}`")]
    Missing {
        /// The wheel's file name.
        wheel: String,
        /// The file.
        file: &'static str,
    },
    /// A file of a wheel's metadata says what cannot be.
    #[error("`{file}` in `{wheel}`: {problem}")]
    Metadata {
        /// The wheel's file name.
        wheel: String,
        /// The file in `.dist-info`.
        file: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A requirement of a wheel cannot be read.
    #[error("`{requirement}` in METADATA of `{wheel}` is no requirement")]
    Requirement {
        /// The wheel's file name.
        wheel: String,
        /// The requirement.
        requirement: String,
        /// What is wrong with it.
        #[source]
        source: Box<pep508_rs::Pep508Error>,
    },
    /// A requirement leads to a place rather than to a version.
    #[error("`{requirement}` of {wanted_by} names a URL, which no channel can follow")]
    Url {
        /// The requirement.
        requirement: String,
        /// Who has it.
        wanted_by: String,
    },
    /// A folder of wheels, or what the lock names, has none that fits.
    #[error(
        "no wheel for {target} satisfies `{requirement}`, which {wanted_by} asks for: looked in {place}"
    )]
    NoWheel {
        /// The name and all conditions.
        requirement: String,
        /// Who has the requirement.
        wanted_by: String,
        /// conda's name of the platform.
        target: &'static str,
        /// Where it was looked for.
        place: String,
    },
    /// The choice of versions does not come to an end.
    #[error(
        "no set of wheels for {target} satisfies all requirements; unsettled: {packages}. A narrower requirement in the definition helps"
    )]
    Unsettled {
        /// conda's name of the platform.
        target: &'static str,
        /// The packages whose versions keep changing.
        packages: String,
    },
    /// A wheel is absent and may not be downloaded.
    #[error("`{wheel}` is not in the cache, and --offline leaves the network alone")]
    Offline {
        /// The wheel's file name, or the requirements.
        wheel: String,
    },
    /// pip brought nothing for what it was asked for.
    #[error("pip downloaded no wheel for `{requirement}`")]
    NotDownloaded {
        /// The requirement.
        requirement: String,
    },
    /// A condition has no counterpart in conda.
    #[error("`{requirement}` of `{wheel}` gives `{spec}`, which is no match spec")]
    MatchSpec {
        /// The wheel's file name.
        wheel: String,
        /// The requirement.
        requirement: String,
        /// What became of it.
        spec: String,
    },
    /// A package's requirement is not met by the package that was made for it.
    #[error("`{spec}`, which `{wheel}` needs, does not match {made}")]
    Unmatched {
        /// The wheel's file name.
        wheel: String,
        /// conda's match spec.
        spec: String,
        /// Name and version of the package that was made.
        made: String,
    },
    /// Two wheels become packages of one name.
    #[error(
        "`{first}` and `{second}` both become `{name}`; the definition's [wheels.names] can tell them apart"
    )]
    SameName {
        /// conda's name.
        name: String,
        /// One wheel.
        first: String,
        /// Another one.
        second: String,
    },
    /// An ELF file cannot be read, or is for another machine.
    #[error("`{file}` in `{wheel}` is not for {target}: {problem}")]
    Elf {
        /// The wheel's file name.
        wheel: String,
        /// The file's path in it.
        file: String,
        /// conda's name of the platform.
        target: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A library that an extension module needs is nowhere.
    #[error(
        "`{library}`, which `{file}` in `{wheel}` needs, is neither in the wheel, nor in a package of the channel, nor part of the target's system"
    )]
    Library {
        /// The wheel's file name.
        wheel: String,
        /// The file's path in it.
        file: String,
        /// The library.
        library: String,
    },
    /// A file of this machine could not be read or written.
    #[error("cannot {action} `{path}`")]
    Local {
        /// What was to be done: `read`, `write`, `make`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Whether bytes are not those that were promised.
    pub(crate) fn is_integrity(&self) -> bool {
        matches!(self, Error::Digest { .. } | Error::Record { .. })
    }

    /// Whether the user asked for something that cannot be asked for.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(
            self,
            Error::Asked { .. } | Error::Project { .. } | Error::Python { .. }
        )
    }
}

/// For `map_err`: an operation on a path of this machine failed.
pub(super) fn local(
    action: &'static str,
    path: impl Into<PathBuf>,
) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::Local {
        action,
        path,
        source,
    }
}
