//! What can be wrong with an installer file.

use std::io;

use crate::digest::Sha256;

/// A part of the file that has a digest of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The shell text.
    Header,
    /// The executable.
    Runtime,
    /// The frame with this number.
    Frame(usize),
    /// The list of frames.
    Index,
    /// The last bytes of the file.
    Trailer,
}

impl std::fmt::Display for Part {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Part::Header => formatter.write_str("the shell header"),
            Part::Runtime => formatter.write_str("the runtime"),
            Part::Frame(number) => write!(formatter, "frame {number} of the payload"),
            Part::Index => formatter.write_str("the index"),
            Part::Trailer => formatter.write_str("the trailer"),
        }
    }
}

/// Why an installer file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The last bytes are not a trailer: cut off, or never an installer.
    #[error("the file is cut off or is not an installer: its trailer is missing")]
    NoTrailer,
    /// Written by a later version of the tools than this reader knows.
    #[error("the file has format {found}, this program reads up to format {FORMAT}", FORMAT = super::FORMAT)]
    Newer {
        /// The file's format number.
        found: u32,
    },
    /// Lengths or positions contradict each other.
    #[error("{part} contradicts the file's length")]
    Layout {
        /// The part whose position is impossible.
        part: Part,
    },
    /// Bytes differ from what was packed.
    #[error("{part} is corrupt: its sha256 is {actual}, expected {expected}")]
    Digest {
        /// The damaged part.
        part: Part,
        /// What was packed.
        expected: Sha256,
        /// What is there.
        actual: Sha256,
    },
    /// A verified part does not hold what it should: a mistake of the program that wrote it.
    #[error("{part} cannot be decoded")]
    Decode {
        /// The part that was read.
        part: Part,
        /// The decoder's reason.
        #[source]
        source: io::Error,
    },
    /// A frame number that the index does not have.
    #[error("there is no frame {number} in the payload")]
    NoFrame {
        /// The number that was asked for.
        number: usize,
    },
    /// The file could not be read.
    #[error("cannot read {part}")]
    Read {
        /// The part that was read.
        part: Part,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The file could not be written.
    #[error("cannot write {part}")]
    Write {
        /// The part that was written.
        part: Part,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
}
