//! A gzip stream of members that are compressed each on its own, by all threads at once. Where a member ends follows from
//! the length of the data alone, so the bytes are the same with any number of threads.
//! Readers take several members as one stream (RFC 1952, section 2.2; eStargz's layers are made of them, too).

use std::io::{self, Write};

use libdeflater::{CompressionLvl, Compressor};
use rayon::prelude::*;

/// Smaller than what gzip makes at its level 6, in half the time. Another level would be another digest.
const LEVEL: i32 = 5;

/// What a member unpacks to, in bytes. Matches reach 32 KiB back, so more would save next to nothing.
const MEMBER: usize = 1 << 19;

/// Members that wait to be compressed together: enough for many threads, little for many layers at once.
const TOGETHER: usize = 8;

/// Compresses what is written.
#[derive(Debug)]
pub(super) struct GzipMembers<W> {
    sink: W,
    /// Members to come, all but the last full.
    waiting: Vec<Vec<u8>>,
    /// Buffers that were waiting before.
    spare: Vec<Vec<u8>>,
    /// Whether a member was written.
    begun: bool,
}

impl<W: Write> GzipMembers<W> {
    pub(super) fn new(sink: W) -> GzipMembers<W> {
        GzipMembers {
            sink,
            waiting: Vec::new(),
            spare: Vec::new(),
            begun: false,
        }
    }

    /// Completes the stream. One of nothing is a member, too.
    pub(super) fn finish(mut self) -> io::Result<W> {
        if self.waiting.is_empty() && !self.begun {
            self.waiting.push(Vec::new());
        }
        self.compress()?;
        Ok(self.sink)
    }

    /// The member that is being filled.
    fn last(&mut self) -> io::Result<&mut Vec<u8>> {
        let full = self.waiting.last().is_none_or(|last| last.len() == MEMBER);
        if full {
            if self.waiting.len() == TOGETHER {
                self.compress()?;
            }
            let next = self.spare.pop();
            self.waiting
                .push(next.unwrap_or_else(|| Vec::with_capacity(MEMBER)));
        }
        self.waiting
            .last_mut()
            .ok_or_else(|| io::Error::other("no member is begun"))
    }

    fn compress(&mut self) -> io::Result<()> {
        let members: Vec<Vec<u8>> = self
            .waiting
            .par_iter()
            .with_max_len(1)
            .map_init(compressor, |compressor, data| member(compressor, data))
            .collect::<io::Result<_>>()?;
        for member in members {
            self.sink.write_all(&member)?;
            self.begun = true;
        }
        for mut buffer in self.waiting.drain(..) {
            buffer.clear();
            self.spare.push(buffer);
        }
        Ok(())
    }
}

fn compressor() -> Option<Compressor> {
    CompressionLvl::new(LEVEL).ok().map(Compressor::new)
}

/// One member: no name, no time, a system that is not known (RFC 1952, section 2.3).
fn member(compressor: &mut Option<Compressor>, data: &[u8]) -> io::Result<Vec<u8>> {
    let failed = || io::Error::other("the compressor failed");
    let compressor = compressor.as_mut().ok_or_else(failed)?;
    let mut bytes = vec![0; compressor.gzip_compress_bound(data.len())];
    let length = compressor.gzip_compress(data, &mut bytes);
    bytes.truncate(length.map_err(|_| failed())?);
    Ok(bytes)
}

impl<W: Write> Write for GzipMembers<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let last = self.last()?;
        let count = buffer.len().min(MEMBER - last.len());
        last.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn packed(data: &[u8], step: usize) -> Vec<u8> {
        let mut encoder = GzipMembers::new(Vec::new());
        for piece in data.chunks(step) {
            encoder.write_all(piece).unwrap();
        }
        encoder.finish().unwrap()
    }

    #[test]
    fn what_comes_out_is_what_went_in_whatever_its_length() {
        let long: Vec<u8> = (0..MEMBER * (TOGETHER + 1) + 7)
            .map(|i| u8::try_from(i * i % 251).unwrap())
            .collect();
        for length in [0, 1, MEMBER - 1, MEMBER, MEMBER + 1, long.len()] {
            let bytes = packed(&long[..length], 1 << 16);
            let mut back = Vec::new();
            let mut decoder = flate2::read::MultiGzDecoder::new(&bytes[..]);
            decoder.read_to_end(&mut back).unwrap();
            assert!(back == long[..length], "{length} bytes");
        }
    }

    #[test]
    fn bytes_do_not_follow_from_threads_or_pieces() {
        let data: Vec<u8> = (0..MEMBER * 3)
            .map(|i| u8::try_from(i / 1000 % 256).unwrap())
            .collect();
        let expected = packed(&data, data.len());
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let pool = pool.build().unwrap();
            assert!(pool.install(|| packed(&data, 777)) == expected, "{threads}");
        }
        // Magic, method, no flags, no time, nothing about speed, no system.
        assert_eq!(expected[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    }
}
