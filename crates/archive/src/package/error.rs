//! What can be wrong with a package. The texts name the entry; who opened the package names it.

use std::fmt;
use std::io;

/// An entry that no conda package may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// A character or block device.
    Device,
    /// A named pipe.
    Pipe,
    /// A file with holes, as GNU tar writes it.
    Sparse,
    /// A file that runs with its owner's or group's rights.
    SetId,
    /// A type that is not known.
    Unknown(u8),
}

impl fmt::Display for Special {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device => formatter.write_str("a device node"),
            Self::Pipe => formatter.write_str("a named pipe"),
            Self::Sparse => formatter.write_str("a sparse file"),
            Self::SetId => formatter.write_str("a setuid or setgid file"),
            Self::Unknown(kind) => write!(formatter, "of the unknown type {kind:#04x}"),
        }
    }
}

/// Why a package could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source failed.
    #[error("could not read the package")]
    Read {
        /// What the source said.
        #[source]
        source: io::Error,
    },
    /// The sink failed.
    #[error("could not write the package")]
    Write {
        /// What the sink said.
        #[source]
        source: io::Error,
    },
    /// The file of a `.conda` package is no zip archive.
    #[error("not a sound zip archive, as a .conda package must be")]
    Zip {
        /// What is wrong with it.
        #[source]
        source: rawzip::Error,
    },
    /// A zip member is not as CEP 35 wants it.
    #[error("zip member `{member}` {problem}")]
    Member {
        /// Its name.
        member: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A zip member that CEP 35 asks for is not there.
    #[error("no zip member `{member}`")]
    MissingMember {
        /// Its name, with `*` for what may vary.
        member: &'static str,
    },
    /// `metadata.json` is not that of format 2.
    #[error("metadata.json does not say that this is a .conda package of format 2")]
    Metadata,
    /// A file that every package has is not in this one.
    #[error("no `{file}` in the package")]
    MissingFile {
        /// Its path.
        file: &'static str,
    },
    /// The compressed stream is damaged.
    #[error("the compressed archive is damaged")]
    Decode {
        /// What the decoder said.
        #[source]
        source: io::Error,
    },
    /// The Zstandard stream asks for more memory than the options allow.
    #[error(
        "decoding takes a window of {window} bytes, more than the {limit} bytes that are allowed"
    )]
    Window {
        /// What the stream asks for, in bytes.
        window: u64,
        /// What is allowed, in bytes.
        limit: u64,
    },
    /// The archive ends too early.
    #[error("the package is truncated{}", within(entry.as_deref()))]
    Truncated {
        /// The entry in which it ends, if it ends within one.
        entry: Option<String>,
    },
    /// A tar header is damaged, or contradicts itself.
    #[error("damaged tar header{}", within(entry.as_deref()))]
    Tar {
        /// The entry, as far as its name is known.
        entry: Option<String>,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// A size or number above the limit that the options set.
    #[error("{what} of `{entry}` is above the limit of {limit}")]
    Limit {
        /// The entry where it was found.
        entry: String,
        /// What was counted.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A name which is not that of a file in the package.
    #[error("entry `{entry}`: {problem}")]
    Path {
        /// The name as it stands.
        entry: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two entries have one path.
    #[error("entry `{entry}` is there twice")]
    Duplicate {
        /// The path.
        entry: String,
    },
    /// An entry lies below something that is no directory, a symbolic link for instance.
    #[error("entry `{entry}` lies below `{parent}`, which is not a directory")]
    NotDirectory {
        /// The entry.
        entry: String,
        /// What it lies below.
        parent: String,
    },
    /// A link that leads outside the package, or nowhere.
    #[error("entry `{entry}`: its target `{target}` {problem}")]
    Link {
        /// The link.
        entry: String,
        /// Where it leads.
        target: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// An entry that is neither file, link nor directory, or is privileged.
    #[error("entry `{entry}` is {special}")]
    Special {
        /// The entry.
        entry: String,
        /// What it is.
        special: Special,
    },
}

impl Error {
    /// What a failed read means: the error that the reader put into it, or that of the source.
    pub(super) fn reading(source: io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(error) => error,
            Err(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Truncated { entry: None }
            }
            Err(source) => Self::Read { source },
        }
    }
}

fn within(entry: Option<&str>) -> String {
    entry.map_or_else(String::new, |entry| format!(" in entry `{entry}`"))
}
