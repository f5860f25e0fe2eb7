//! The compressed forms of the channel's files. Same bytes in, same bytes out, on any number of
//! processors.

use std::io::{self, Read, Write};

#[cfg(test)]
mod tests;

/// The level of `.json.zst` files unless the user says another. Repodata is digests, which nothing
/// makes smaller, between texts that repeat themselves: with a window of 8 MiB the fastest level leaves
/// less than 2 to 12 do. Of 60,000 records (39 MB): level 1 4.84 MB at 400 MB/s of one processor, 3
/// 5.47 MB at 110, 9 5.41 MB at 32, 16 (conda-index's) 4.72 MB at 2.5. Only 19 (rattler-index's) is another
/// matter: 18 % less than level 1 on conda-forge of 2017, at 0.9 MB/s. Long-distance matching changes
/// nothing within such a window.
pub(crate) const DEFAULT_LEVEL: i32 = 1;

/// conda-index's level for `.bz2`.
const BZIP2_LEVEL: u32 = 9;

/// Zstandard's threads must be at least one in number for its output not to depend on the number.
const LEAST_WORKERS: u32 = 1;

/// Every client understands this window (RFC 8878), and conda refuses larger ones.
const WINDOW: u64 = archive::package::WINDOW;

/// From this size on, in bytes, several threads compress one file.
const PARALLEL: u64 = 4 << 20;

/// How much one thread takes at a time, in bytes: less memory than Zstandard's own choice.
const JOB: u32 = 8 << 20;

/// One frame that says its size and has a checksum where it is large, with a window of 8 MiB at most.
pub(crate) fn zst(bytes: &[u8], level: i32) -> io::Result<Vec<u8>> {
    zst_with(bytes, level, 1)
}

/// Compresses many small texts one after the other, each to the bytes that [`zst`] makes of it: to make a context of
/// Zstandard takes as long as to use it.
#[derive(Default)]
pub(crate) struct Packer {
    context: Option<zstd::bulk::Compressor<'static>>,
}

impl Packer {
    /// Compresses one at a level.
    pub(crate) fn zst(&mut self, bytes: &[u8], level: i32) -> io::Result<Vec<u8>> {
        if bytes.len() as u64 >= PARALLEL {
            return zst(bytes, level);
        }
        let context = match &mut self.context {
            Some(context) => context,
            none => none.insert(zstd::bulk::Compressor::default()),
        };
        context.set_compression_level(level)?;
        context.window_log(WINDOW.ilog2())?;
        context.compress(bytes)
    }
}

/// The same bytes whatever the number of threads.
pub(crate) fn zst_with(bytes: &[u8], level: i32, threads: u32) -> io::Result<Vec<u8>> {
    let packed = Vec::with_capacity(bytes.len() / 10);
    let mut encoder = encoder(packed, bytes.len() as u64, level, threads)?;
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// The same bytes from something that is too large to be held in memory; `length` is its length.
pub(crate) fn zst_copy(
    reader: &mut dyn Read,
    length: u64,
    writer: &mut dyn Write,
    level: i32,
    threads: u32,
) -> io::Result<()> {
    let mut encoder = encoder(writer, length, level, threads)?;
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                total += count as u64;
                encoder.write_all(buffer.get(..count).unwrap_or_default())?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // With threads Zstandard does not look.
    if total != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    encoder.finish().map(drop)
}

fn encoder<W: Write>(
    writer: W,
    length: u64,
    level: i32,
    threads: u32,
) -> io::Result<zstd::Encoder<'static, W>> {
    let mut encoder = zstd::Encoder::new(writer, level)?;
    encoder.set_pledged_src_size(Some(length))?;
    encoder.window_log(WINDOW.ilog2())?;
    if length >= PARALLEL {
        encoder.include_checksum(true)?;
        encoder.multithread(threads.max(LEAST_WORKERS))?;
        encoder.set_parameter(zstd::zstd_safe::CParameter::JobSize(JOB))?;
    }
    Ok(encoder)
}

/// One bzip2 stream, as conda-index writes it.
pub(crate) fn bz2_copy(reader: &mut dyn Read, writer: &mut dyn Write) -> io::Result<()> {
    let level = bzip2::Compression::new(BZIP2_LEVEL);
    let mut encoder = bzip2::write::BzEncoder::new(writer, level);
    io::copy(reader, &mut encoder)?;
    encoder.finish().map(drop)
}
