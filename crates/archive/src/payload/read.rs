//! Reads an installer by position: nothing is decoded before its digest was checked.

use std::io::{self, BufRead, BufReader, Read};

use serde::de::DeserializeOwned;
use sha2::Digest as _;
use zstd::zstd_safe::{DCtx, DParameter, ResetDirective, get_error_name};

use super::{Error, Frame, Index, Part, TRAILER_LENGTH, Trailer};
use crate::digest::Sha256;

/// The largest window that a frame may ask for: 2^27 bytes (128 MiB), what `compression = "solid"`
/// writes. By default frames stay at or below 2^23.
const WINDOW_LOG_MAX: u32 = 27;

/// A compressed frame up to this length in bytes is read once, and decoded from memory; a longer one
/// is read twice.
const IN_MEMORY: u64 = 4 << 20;

/// Room that is made because of a length, before that many bytes were seen.
const MOST_RESERVED: u64 = 16 << 20;

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

/// An installer whose trailer and index are verified, or frames that were never made one.
#[derive(Debug)]
pub struct Payload<'a, S: ?Sized> {
    source: &'a S,
    /// The trailer, as read; none where there is no installer file.
    pub trailer: Option<Trailer>,
    /// The index, as read.
    pub index: Index,
}

/// What decoding takes: zstd's tables and window, and room for compressed bytes. Kept from frame
/// to frame, since a fresh window costs a fault for each of its pages.
pub struct Decoder {
    context: DCtx<'static>,
    input: Vec<u8>,
}

/// Decodes one verified frame; ends with an error if it does not hold as many bytes as the index
/// says.
pub struct FrameReader<'a, S: ?Sized> {
    decoder: zstd::stream::read::Decoder<'a, Input<'a, S>>,
    left: u64,
}

impl Decoder {
    /// Takes memory as frames need it, and keeps it.
    pub fn new() -> Decoder {
        Decoder {
            context: DCtx::create(),
            input: Vec::new(),
        }
    }

    /// A stream's decoder. Whatever became of the last one is forgotten.
    fn start<'a, S: ReadAt + ?Sized>(
        context: &'a mut DCtx<'static>,
        input: Input<'a, S>,
    ) -> io::Result<zstd::stream::read::Decoder<'a, Input<'a, S>>> {
        context
            .reset(ResetDirective::SessionOnly)
            .and_then(|_| context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)))
            .map_err(|code| io::Error::other(get_error_name(code)))?;
        Ok(zstd::stream::read::Decoder::with_context(input, context))
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Decoder")
            .field("input", &self.input.capacity())
            .finish_non_exhaustive()
    }
}

impl<'a, S: ReadAt + ?Sized> Payload<'a, S> {
    /// Finds trailer and index in a file of `length` bytes and verifies both.
    pub fn open(source: &'a S, length: u64) -> Result<Payload<'a, S>, Error> {
        let start = length.checked_sub(TRAILER_LENGTH).ok_or(Error::NoTrailer)?;
        let mut bytes = Vec::new();
        read_whole(source, start, TRAILER_LENGTH, Part::Trailer, &mut bytes)?;
        let trailer = Trailer::from_bytes(&bytes, length)?;
        read_whole(
            source,
            trailer.index_offset,
            trailer.index_length,
            Part::Index,
            &mut bytes,
        )?;
        check(Part::Index, trailer.index_sha256, Sha256::of(&bytes))?;
        let index: Index = decode_json(&bytes, trailer.index_size, Part::Index)?;

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
            trailer: Some(trailer),
            index,
        })
    }

    /// Frames as they would be in an installer, while they still lie elsewhere: `source` puts them at
    /// the positions that they have here.
    pub fn of_frames(source: &'a S, frames: Vec<Frame>) -> Payload<'a, S> {
        let plan = frames.len();
        Payload {
            source,
            trailer: None,
            index: Index { frames, plan },
        }
    }

    /// Verifies header and runtime, the parts that ran before any check of ours.
    pub fn verify_program(&self) -> Result<(), Error> {
        let trailer = self.trailer.as_ref().ok_or(Error::NoTrailer)?;
        let header = self.digest(0, trailer.header_length, Part::Header)?;
        check(Part::Header, trailer.header_sha256, header)?;
        let (start, length) = (trailer.header_length, trailer.runtime_length);
        let runtime = self.digest(start, length, Part::Runtime)?;
        check(Part::Runtime, trailer.runtime_sha256, runtime)
    }

    /// Verifies one frame.
    pub fn verify(&self, number: usize) -> Result<&Frame, Error> {
        let (frame, part) = self.find(number)?;
        let actual = self.digest(frame.offset, frame.length, part)?;
        check(part, frame.sha256, actual)?;
        Ok(frame)
    }

    /// Verifies one frame and opens it for decoding.
    pub fn frame<'d>(
        &'d self,
        number: usize,
        decoder: &'d mut Decoder,
    ) -> Result<FrameReader<'d, S>, Error> {
        let (frame, part) = self.find(number)?;
        let input = if frame.length <= IN_MEMORY {
            let bytes = &mut decoder.input;
            read_whole(self.source, frame.offset, frame.length, part, bytes)?;
            check(part, frame.sha256, Sha256::of(bytes))?;
            Input::Memory(bytes)
        } else {
            self.verify(number)?;
            Input::File(BufReader::with_capacity(
                DCtx::in_size(),
                Section {
                    source: self.source,
                    position: frame.offset,
                    left: frame.length,
                },
            ))
        };
        let decoder = Decoder::start(&mut decoder.context, input)
            .map_err(|source| Error::Decode { part, source })?;
        Ok(FrameReader {
            decoder,
            left: frame.size,
        })
    }

    /// Verifies one frame and reads the JSON in it.
    pub fn json<T: DeserializeOwned>(&self, number: usize) -> Result<T, Error> {
        let (frame, part) = self.find(number)?;
        let mut bytes = Vec::new();
        read_whole(self.source, frame.offset, frame.length, part, &mut bytes)?;
        check(part, frame.sha256, Sha256::of(&bytes))?;
        decode_json(&bytes, frame.size, part)
    }

    fn find(&self, number: usize) -> Result<(&Frame, Part), Error> {
        let frame = self.index.frames.get(number);
        let frame = frame.ok_or(Error::NoFrame { number })?;
        Ok((frame, Part::Frame(number)))
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

/// A frame's compressed bytes.
enum Input<'a, S: ?Sized> {
    Memory(&'a [u8]),
    File(BufReader<Section<'a, S>>),
}

impl<S: ReadAt + ?Sized> Read for Input<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Input::Memory(bytes) => bytes.read(buffer),
            Input::File(file) => file.read(buffer),
        }
    }
}

impl<S: ReadAt + ?Sized> BufRead for Input<'_, S> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Input::Memory(bytes) => Ok(bytes),
            Input::File(file) => file.fill_buf(),
        }
    }

    fn consume(&mut self, count: usize) {
        match self {
            Input::Memory(bytes) => bytes.consume(count),
            Input::File(file) => file.consume(count),
        }
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

/// Reads a range of the file into `bytes`, in place of what is there.
fn read_whole<S: ReadAt + ?Sized>(
    source: &S,
    position: u64,
    length: u64,
    part: Part,
    bytes: &mut Vec<u8>,
) -> Result<(), Error> {
    bytes.clear();
    // A length that is a lie is not believed: reading ends where the file does.
    bytes.reserve(usize::try_from(length.min(MOST_RESERVED)).unwrap_or(0));
    Section {
        source,
        position,
        left: length,
    }
    .read_to_end(bytes)
    .map_err(|source| Error::Read { part, source })?;
    Ok(())
}

/// Reads at most `size` bytes, then parses them: a slice parses much faster than a stream.
fn decode_json<T: DeserializeOwned>(bytes: &[u8], size: u64, part: Part) -> Result<T, Error> {
    let decode = |source| Error::Decode { part, source };
    let mut stream = zstd::stream::read::Decoder::with_buffer(bytes).map_err(decode)?;
    stream.window_log_max(WINDOW_LOG_MAX).map_err(decode)?;
    let mut text = Vec::with_capacity(usize::try_from(size.min(MOST_RESERVED)).unwrap_or(0));
    stream.take(size).read_to_end(&mut text).map_err(decode)?;
    serde_json::from_slice(&text).map_err(|error| decode(error.into()))
}
