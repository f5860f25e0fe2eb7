//! Why a wheel cannot become a package.

/// Why a wheel cannot become a package.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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
}

impl Error {
    /// Whether bytes are not those that were promised.
    pub(crate) fn is_integrity(&self) -> bool {
        matches!(self, Error::Digest { .. })
    }
}
