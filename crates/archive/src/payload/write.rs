//! Writes an installer from front to back, without seeking.

use std::io::{self, Read, Write};

use serde::Serialize;

use super::{Error, Frame, Index, Part, Trailer, padding};
use crate::digest::Sha256;
use sha2::Digest as _;

/// Writes header and runtime at once, frames as they come, index and trailer at the end.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    position: u64,
    trailer: Trailer,
    frames: Vec<Frame>,
}

/// What was written.
#[derive(Debug)]
pub struct Written<W> {
    /// The sink, with everything in it; not flushed.
    pub sink: W,
    /// Length of the whole file in bytes.
    pub length: u64,
    /// The frames, as the index lists them.
    pub frames: Vec<Frame>,
}

impl<W: Write> Writer<W> {
    /// Starts an installer. `header` has its padding already (its own text says how long it is);
    /// `runtime` gets it here.
    pub fn new(mut sink: W, header: &[u8], runtime: &[u8]) -> Result<Writer<W>, Error> {
        let write = |part| move |source| Error::Write { part, source };
        sink.write_all(header).map_err(write(Part::Header))?;
        let mut padded = runtime.to_vec();
        padded.resize(runtime.len() + padding(runtime.len()), 0);
        sink.write_all(&padded).map_err(write(Part::Runtime))?;
        let trailer = Trailer {
            header_length: header.len() as u64,
            runtime_length: padded.len() as u64,
            index_offset: 0,
            index_length: 0,
            index_size: 0,
            header_sha256: Sha256::of(header),
            runtime_sha256: Sha256::of(&padded),
            index_sha256: Sha256([0; 32]),
        };
        Ok(Writer {
            sink,
            position: trailer.header_length + trailer.runtime_length,
            trailer,
            frames: Vec::new(),
        })
    }

    /// Takes a finished zstd stream of `length` bytes that decodes to `size` bytes, and returns
    /// its frame number. The stream is copied as it is; `expected` is its digest where that is
    /// known already, and then checked.
    pub fn frame(
        &mut self,
        stream: &mut dyn Read,
        length: u64,
        size: u64,
        expected: Option<Sha256>,
    ) -> Result<usize, Error> {
        let part = Part::Frame(self.frames.len());
        let mut hasher = sha2::Sha256::new();
        let mut buffer = vec![0; 1 << 17];
        let mut left = length;
        while left > 0 {
            let wanted = buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let chunk = &mut buffer[..wanted];
            let read = stream
                .read(chunk)
                .map_err(|source| Error::Read { part, source })?;
            if read == 0 {
                let source = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Err(Error::Read { part, source });
            }
            hasher.update(&chunk[..read]);
            self.sink
                .write_all(&chunk[..read])
                .map_err(|source| Error::Write { part, source })?;
            left -= read as u64;
        }
        let sha256 = Sha256(hasher.finalize().into());
        if let Some(expected) = expected
            && expected != sha256
        {
            return Err(Error::Digest {
                part,
                expected,
                actual: sha256,
            });
        }
        self.frames.push(Frame {
            offset: self.position,
            length,
            size,
            sha256,
        });
        self.position += length;
        Ok(self.frames.len() - 1)
    }

    /// Compresses `value` as JSON into a frame of its own and returns the frame's number.
    pub fn json(&mut self, value: &impl Serialize) -> Result<usize, Error> {
        let (stream, size) = compress_json(value)?;
        self.frame(&mut &stream[..], stream.len() as u64, size, None)
    }

    /// Writes index and trailer. `plan` is the number of the frame that holds the plan.
    pub fn finish(mut self, plan: usize) -> Result<Written<W>, Error> {
        let index = Index {
            frames: self.frames,
            plan,
        };
        let (stream, size) = compress_json(&index)?;
        self.trailer.index_offset = self.position;
        self.trailer.index_length = stream.len() as u64;
        self.trailer.index_size = size;
        self.trailer.index_sha256 = Sha256::of(&stream);
        let trailer = self.trailer.to_bytes();
        self.sink
            .write_all(&stream)
            .map_err(|source| Error::Write {
                part: Part::Index,
                source,
            })?;
        self.sink
            .write_all(&trailer)
            .map_err(|source| Error::Write {
                part: Part::Trailer,
                source,
            })?;
        Ok(Written {
            sink: self.sink,
            length: self.position + (stream.len() + trailer.len()) as u64,
            frames: index.frames,
        })
    }
}

/// A frame of JSON: the zstd stream and its decoded length.
///
/// At level 1: plans change with every build, so that time counts, and most of what is left of them
/// is digests, which no level makes smaller (of 7.3 MB, level 1 makes 1.21 MB in 12 ms, level 6
/// 1.25 MB in 100 ms).
pub fn compress_json(value: &impl Serialize) -> Result<(Vec<u8>, u64), Error> {
    let part = Part::Index;
    let text = serde_json::to_vec(value).map_err(|error| Error::Write {
        part,
        source: io::Error::from(error),
    })?;
    let stream = zstd::bulk::compress(&text, 1).map_err(|source| Error::Write { part, source })?;
    Ok((stream, text.len() as u64))
}
