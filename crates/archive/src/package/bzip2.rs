//! bzip2 where an indexer needs more than the library has: whether a file has its end, told without decoding
//! it, and the beginning of a file in less time.

use std::io::{Read, Seek, SeekFrom};

use super::Error;

mod decode;

use decode::END;

pub(super) use decode::Decoder;

/// End mark, checksum of 32 bits, and up to seven bits to fill the last byte.
const TAIL: usize = 11;

/// Whether the file ends as a complete bzip2 stream does.
pub(super) fn is_complete<R: Read + Seek>(source: &mut R) -> Result<bool, Error> {
    let read = |source| Error::Read { source };
    let length = source.seek(SeekFrom::End(0)).map_err(read)?;
    let Some(start) = length.checked_sub(TAIL as u64) else {
        return Ok(false);
    };
    source.seek(SeekFrom::Start(start)).map_err(read)?;
    let mut tail = [0; TAIL];
    source.read_exact(&mut tail).map_err(read)?;
    let bits = tail
        .iter()
        .fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    Ok((0..8).any(|padding| bits >> (32 + padding) & 0xffff_ffff_ffff == u128::from(END)))
}
