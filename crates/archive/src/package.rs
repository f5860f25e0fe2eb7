//! conda packages, `.conda` (CEP 35) and `.tar.bz2`: read and written over `Read`, `Write` and
//! `Seek`. A package is taken for hostile until it is read: names, links, modes and sizes are
//! checked here, so that who visits the entries may use them as they are. What the metadata means
//! is `conda`'s, and where the files go `installer`'s business.

mod bzip2;
mod error;
mod frames;
mod layout;
mod name;
mod read;
#[cfg(test)]
mod tests;
mod visit;
mod write;
mod zip;

pub use error::{Error, Special};
pub use layout::escapes;
pub use name::{Kind, is_file_name, split_file_name};
pub use read::{Options, Package};
pub use visit::{Entry, EntryKind};
pub use write::{Item, ItemKind, WriteOptions, write};
pub use zip::Member;

/// Zstandard windows up to this many bytes (8 MiB) must be understood by every decoder, RFC 8878
/// says; a content member with larger ones cannot be taken over as it is.
pub const WINDOW: u64 = 1 << 23;
