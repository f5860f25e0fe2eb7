//! Python wheels become packages: `noarch: python` for pure ones, packages of the platform for
//! those with extension modules.

mod error;

pub use error::Error;

/// The `[wheels]` section of a definition.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Section {
    /// What pip is asked for, such as `numpy` or `pytest >=8`.
    pub(crate) requirements: Vec<String>,
}

/// A wheel of the lock.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pin {
    /// The file name, which holds name, version and tags.
    pub(crate) file: String,
    /// In bytes.
    pub(crate) size: u64,
    /// In hexadecimal digits.
    pub(crate) sha256: String,
}
