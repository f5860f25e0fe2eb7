//! The layout of a self-extracting installer, read and written:
//!
//! ```text
//! header   shell text, padded with newlines to a multiple of BLOCK
//! runtime  the executable for the target, padded with zeros to a multiple of BLOCK
//! frames   zstd streams, back to back; each is verified as a whole before it is decoded
//! index    zstd stream of JSON: where each frame lies, its sizes and its digest
//! trailer  TRAILER_LENGTH bytes: magic, format, lengths, digests of all of the above
//! ```
//!
//! Every byte of the file is covered by a SHA-256 digest, and the trailer by its own. What the
//! frames mean (plans, package contents) is `runtime::plan`'s business. The format's promise is
//! in docs/payload.md.

mod error;
mod index;
mod read;
#[cfg(test)]
mod tests;
mod trailer;
mod write;

pub use error::{Error, Part};
pub use index::{Frame, Index};
pub use read::{Decoder, FrameReader, Payload, ReadAt};
pub use trailer::{FORMAT, TRAILER_LENGTH, Trailer};
pub use write::{Writer, Written, compress_json};

/// Header and runtime are padded to a multiple of this many bytes, so that POSIX `dd` can cut the
/// runtime out with whole blocks.
pub const BLOCK: usize = 4096;

/// The number of bytes after `length` up to the next multiple of [`BLOCK`].
pub fn padding(length: usize) -> usize {
    length.next_multiple_of(BLOCK) - length
}
