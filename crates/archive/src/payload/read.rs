//! Reads an installer by position: nothing is decoded before its digest was checked.

use std::io::{self, BufReader, Read};

use serde::de::DeserializeOwned;
use sha2::Digest as _;

use super::{Error, Frame, Index, Part, TRAILER_LENGTH, Trailer};
use crate::digest::Sha256;

/// The largest window that a frame may ask for: 2^27 bytes (128 MiB), what `compression = "solid"`
/// writes. By default frames stay at or below 2^23.
const WINDOW_LOG_MAX: u32 = 27;

/// Bytes that can be read at a position by several threads at once.
pub trait ReadAt: Sync {
    /// Reads some bytes at `offset`; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for std::fs::File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buffer, offset)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.len());
        let count = buffer.len().min(self.len() - start);
        buffer[..count].copy_from_slice(&self[start..start + count]);
        Ok(count)
    }
}

/// An installer whose trailer and index are verified.
#[derive(Debug)]
pub struct Payload<'a, S: ?Sized> {
    source: &'a S,
    /// The trailer, as read.
    pub trailer: Trailer,
    /// The index, as read.
    pub index: Index,
}

/// Decodes one verified frame; ends with an error if it does not hold as many bytes as the index
/// says.
pub struct FrameReader<'a, S: ?Sized> {
    decoder: zstd::stream::read::Decoder<'static, BufReader<Section<'a, S>>>,
    left: u64,
}

impl<'a, S: ReadAt + ?Sized> Payload<'a, S> {
    /// Finds trailer and index in a file of `length` bytes and verifies both.
    pub fn open(source: &'a S, length: u64) -> Result<Payload<'a, S>, Error> {
        let start = length.checked_sub(TRAILER_LENGTH).ok_or(Error::NoTrailer)?;
        let bytes = read_whole(source, start, TRAILER_LENGTH, Part::Trailer)?;
        let trailer = Trailer::from_bytes(&bytes, length)?;
        let bytes = read_whole(
            source,
            trailer.index_offset,
            trailer.index_length,
            Part::Index,
        )?;
        check(Part::Index, trailer.index_sha256, Sha256::of(&bytes))?;
        let index: Index = decode_json(&bytes[..], trailer.index_size, Part::Index)?;

        // Back to back from the runtime to the index: no byte of the file is without a digest.
        let mut position = trailer.header_length + trailer.runtime_length;
        for (number, frame) in index.frames.iter().enumerate() {
            let part = Part::Frame(number);
            if frame.offset != position {
                return Err(Error::Layout { part });
            }
            position = position
                .checked_add(frame.length)
                .ok_or(Error::Layout { part })?;
        }
        if position != trailer.index_offset {
            return Err(Error::Layout { part: Part::Index });
        }
        Ok(Payload {
            source,
            trailer,
            index,
        })
    }

    /// Verifies header and runtime, the parts that ran before any check of ours.
    pub fn verify_program(&self) -> Result<(), Error> {
        let trailer = &self.trailer;
        let header = self.digest(0, trailer.header_length, Part::Header)?;
        check(Part::Header, trailer.header_sha256, header)?;
        let (start, length) = (trailer.header_length, trailer.runtime_length);
        let runtime = self.digest(start, length, Part::Runtime)?;
        check(Part::Runtime, trailer.runtime_sha256, runtime)
    }

    /// Verifies one frame and returns where it lies.
    pub fn verify(&self, number: usize) -> Result<&Frame, Error> {
        let frame = self
            .index
            .frames
            .get(number)
            .ok_or(Error::NoFrame { number })?;
        let part = Part::Frame(number);
        check(
            part,
            frame.sha256,
            self.digest(frame.offset, frame.length, part)?,
        )?;
        Ok(frame)
    }

    /// Verifies one frame and opens it for decoding.
    pub fn frame(&self, number: usize) -> Result<FrameReader<'a, S>, Error> {
        let frame = self.verify(number)?;
        let section = Section {
            source: self.source,
            position: frame.offset,
            left: frame.length,
        };
        let decoder = decoder(section).map_err(|source| Error::Decode {
            part: Part::Frame(number),
            source,
        })?;
        Ok(FrameReader {
            decoder,
            left: frame.size,
        })
    }

    /// Verifies one frame and reads the JSON in it.
    pub fn json<T: DeserializeOwned>(&self, number: usize) -> Result<T, Error> {
        let frame = self.verify(number)?;
        let section = Section {
            source: self.source,
            position: frame.offset,
            left: frame.length,
        };
        decode_json(section, frame.size, Part::Frame(number))
    }

    fn digest(&self, start: u64, length: u64, part: Part) -> Result<Sha256, Error> {
        let mut hasher = sha2::Sha256::new();
        let mut section = Section {
            source: self.source,
            position: start,
            left: length,
        };
        let mut buffer = vec![0; 1 << 16];
        loop {
            let read = section
                .read(&mut buffer)
                .map_err(|source| Error::Read { part, source })?;
            if read == 0 {
                return Ok(Sha256(hasher.finalize().into()));
            }
            hasher.update(&buffer[..read]);
        }
    }
}

impl<S: ReadAt + ?Sized> Read for FrameReader<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.decoder.read(buffer)?;
        if read == 0 && self.left > 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the frame ends too early",
            ));
        }
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the frame is too long"))?;
        Ok(read)
    }
}

impl<S: ?Sized> std::fmt::Debug for FrameReader<'_, S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("FrameReader")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// A range of the file as a stream. Ends with an error where the file ends too early.
struct Section<'a, S: ?Sized> {
    source: &'a S,
    position: u64,
    left: u64,
}

impl<S: ReadAt + ?Sized> Read for Section<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.source.read_at(&mut buffer[..wanted], self.position)?;
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file ends too early",
            ));
        }
        self.position += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

fn decoder<R: Read>(stream: R) -> io::Result<zstd::stream::read::Decoder<'static, BufReader<R>>> {
    let mut decoder = zstd::stream::read::Decoder::new(stream)?;
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    Ok(decoder)
}

fn check(part: Part, expected: Sha256, actual: Sha256) -> Result<(), Error> {
    if expected == actual {
        Ok(())
    } else {
        Err(Error::Digest {
            part,
            expected,
            actual,
        })
    }
}

fn read_whole<S: ReadAt + ?Sized>(
    source: &S,
    position: u64,
    length: u64,
    part: Part,
) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    Section {
        source,
        position,
        left: length,
    }
    .read_to_end(&mut bytes)
    .map_err(|source| Error::Read { part, source })?;
    Ok(bytes)
}

/// Reads at most `size` bytes, then parses them: a slice parses much faster than a stream.
fn decode_json<T: DeserializeOwned>(stream: impl Read, size: u64, part: Part) -> Result<T, Error> {
    let decode = |source| Error::Decode { part, source };
    let stream = decoder(stream).map_err(decode)?;
    let mut text = Vec::new();
    stream.take(size).read_to_end(&mut text).map_err(decode)?;
    serde_json::from_slice(&text).map_err(|error| decode(error.into()))
}
