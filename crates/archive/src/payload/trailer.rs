//! The last [`TRAILER_LENGTH`] bytes of an installer: fixed fields, little-endian, from which a
//! reader finds and verifies everything else.

use super::{Error, Part};
use crate::digest::Sha256;

/// The format that this version writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// Length of the trailer in bytes.
pub const TRAILER_LENGTH: u64 = 184;

const MAGIC: &[u8; 8] = b"ARCHICND";

/// The fields of the trailer; lengths in bytes, padding included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    /// Length of the shell text.
    pub header_length: u64,
    /// Length of the executable.
    pub runtime_length: u64,
    /// Position of the index.
    pub index_offset: u64,
    /// Compressed length of the index.
    pub index_length: u64,
    /// Decoded length of the index.
    pub index_size: u64,
    /// Digest of the shell text.
    pub header_sha256: Sha256,
    /// Digest of the executable.
    pub runtime_sha256: Sha256,
    /// Digest of the compressed index.
    pub index_sha256: Sha256,
}

impl Trailer {
    /// The bytes as they stand in the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(184);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        // Flags: none are defined; a reader of this format ignores them.
        bytes.extend_from_slice(&0u32.to_le_bytes());
        for number in [
            self.header_length,
            self.runtime_length,
            self.index_offset,
            self.index_length,
            self.index_size,
        ] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for digest in [
            &self.header_sha256,
            &self.runtime_sha256,
            &self.index_sha256,
        ] {
            bytes.extend_from_slice(&digest.0);
        }
        let own = Sha256::of(&bytes);
        bytes.extend_from_slice(&own.0);
        bytes
    }

    /// Reads the trailer of a file of `file_length` bytes and checks that its positions are
    /// possible.
    ///
    /// The format number is looked at before the digest, so that a newer trailer with another
    /// layout is called newer and not corrupt.
    pub fn from_bytes(bytes: &[u8], file_length: u64) -> Result<Trailer, Error> {
        let mut rest = bytes.strip_prefix(MAGIC).ok_or(Error::NoTrailer)?;
        let found = u32::from_le_bytes(take(&mut rest)?);
        if found > FORMAT {
            return Err(Error::Newer { found });
        }
        let _flags: [u8; 4] = take(&mut rest)?;
        let mut number = || take(&mut rest).map(u64::from_le_bytes);
        let (header_length, runtime_length) = (number()?, number()?);
        let (index_offset, index_length, index_size) = (number()?, number()?, number()?);
        let mut digest = || take(&mut rest).map(Sha256);
        let (header_sha256, runtime_sha256) = (digest()?, digest()?);
        let (index_sha256, expected) = (digest()?, digest()?);

        let covered = bytes.len().saturating_sub(32);
        let actual = Sha256::of(bytes.get(..covered).ok_or(Error::NoTrailer)?);
        if actual != expected {
            return Err(Error::Digest {
                part: Part::Trailer,
                expected,
                actual,
            });
        }
        let frames = header_length.checked_add(runtime_length);
        let end = index_offset
            .checked_add(index_length)
            .and_then(|end| end.checked_add(TRAILER_LENGTH));
        if frames.is_none_or(|start| start > index_offset) || end != Some(file_length) {
            return Err(Error::Layout {
                part: Part::Trailer,
            });
        }
        Ok(Trailer {
            header_length,
            runtime_length,
            index_offset,
            index_length,
            index_size,
            header_sha256,
            runtime_sha256,
            index_sha256,
        })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Error> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(Error::NoTrailer)?;
    *rest = tail;
    Ok(*head)
}
