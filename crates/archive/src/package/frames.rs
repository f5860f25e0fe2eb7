//! The headers of a Zstandard stream's frames (RFC 8878, section 3.1), read without decoding:
//! how large a window a decoder needs.

use std::io::{self, Read};

const MAGIC: u32 = 0xfd2f_b528;
const SKIPPABLE: u32 = 0x184d_2a50;

/// The largest window, in bytes, that a frame of this stream asks for.
/// A stream that is no Zstandard, or ends within a frame, is an error of kind `InvalidData` or
/// `UnexpectedEof`.
pub(super) fn largest_window(stream: &mut dyn Read) -> io::Result<u64> {
    let mut largest = 0;
    while let Some(magic) = next_magic(stream)? {
        if magic & 0xffff_fff0 == SKIPPABLE {
            let length = u32::from_le_bytes(take(stream)?);
            skip(stream, length.into())?;
        } else if magic == MAGIC {
            largest = largest.max(frame(stream)?);
        } else {
            return Err(invalid("no Zstandard frame where one must begin"));
        }
    }
    Ok(largest)
}

fn frame(stream: &mut dyn Read) -> io::Result<u64> {
    let [descriptor] = take(stream)?;
    let single_segment = descriptor & 0x20 != 0;
    let has_checksum = descriptor & 0x04 != 0;
    let window = if single_segment {
        None
    } else {
        let [byte] = take(stream)?;
        let base = 1_u64 << (10 + (byte >> 3));
        Some(base + base / 8 * u64::from(byte & 7))
    };
    skip(
        stream,
        [0, 1, 2, 4]
            .into_iter()
            .nth((descriptor & 3).into())
            .unwrap_or(0),
    )?;
    let content = match (descriptor >> 6, single_segment) {
        (0, false) => 0,
        (0, true) => u64::from(u8::from_le_bytes(take(stream)?)),
        (1, _) => u64::from(u16::from_le_bytes(take(stream)?)) + 256,
        (2, _) => u64::from(u32::from_le_bytes(take(stream)?)),
        _ => u64::from_le_bytes(take(stream)?),
    };
    loop {
        let [low, middle, high] = take(stream)?;
        let header = u32::from_le_bytes([low, middle, high, 0]);
        let size = u64::from(header >> 3);
        match header >> 1 & 3 {
            0 | 2 => skip(stream, size)?,
            1 => skip(stream, 1)?,
            _ => return Err(invalid("a Zstandard block of a reserved type")),
        }
        if header & 1 != 0 {
            break;
        }
    }
    if has_checksum {
        skip(stream, 4)?;
    }
    // Without a window descriptor the whole content is the window.
    Ok(window.unwrap_or(content))
}

fn next_magic(stream: &mut dyn Read) -> io::Result<Option<u32>> {
    let mut first = [0; 1];
    loop {
        match stream.read(&mut first) {
            Ok(0) => return Ok(None),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let [first] = first;
    let [second, third, fourth] = take(stream)?;
    Ok(Some(u32::from_le_bytes([first, second, third, fourth])))
}

fn take<const COUNT: usize>(stream: &mut dyn Read) -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn skip(stream: &mut dyn Read, count: u64) -> io::Result<()> {
    if io::copy(&mut Read::take(stream, count), &mut io::sink())? < count {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

fn invalid(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
