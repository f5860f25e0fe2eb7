//! What can be wrong with a file of a channel.

/// A file, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, in the channel's folder.
    pub path: String,
    /// What is wrong.
    pub fault: Fault,
    /// Whether it is right now.
    pub is_repaired: bool,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not there.
    #[error("is not there")]
    Missing,
    /// It has another length, in bytes.
    #[error("has {found} bytes instead of {expected}")]
    Size {
        /// What was promised.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// It has another digest.
    #[error("has the {algorithm} {found} instead of {expected}")]
    Digest {
        /// `sha256` or `md5`.
        algorithm: &'static str,
        /// What was promised.
        expected: String,
        /// What it has.
        found: String,
    },
    /// It cannot be read, or not be understood.
    #[error("cannot be read: {reason}")]
    Unreadable {
        /// Why.
        reason: String,
    },
    /// It says something else than another file.
    #[error("is not what {other} says: {what}")]
    Differs {
        /// The other file.
        other: String,
        /// Where they part.
        what: String,
    },
}

impl Fault {
    /// One word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Size { .. } => "size",
            Self::Digest { .. } => "digest",
            Self::Unreadable { .. } => "unreadable",
            Self::Differs { .. } => "differs",
        }
    }
}

impl Problem {
    pub(super) fn new(path: String, fault: Fault) -> Self {
        Self {
            path,
            fault,
            is_repaired: false,
        }
    }
}
