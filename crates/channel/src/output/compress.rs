//! The compressed forms of the channel's files. Same bytes in, same bytes out, on any number of
//! processors.

use std::io::{self, Write};

/// The level of `.json.zst` files unless the user says another.
pub(crate) const DEFAULT_LEVEL: i32 = 9;

/// conda-index's level for `.bz2`.
const BZIP2_LEVEL: u32 = 9;

/// Zstandard's threads must be at least one in number for its output not to depend on the number.
const LEAST_WORKERS: u32 = 1;

/// Every client understands this window (RFC 8878), and conda refuses larger ones.
const WINDOW: u64 = archive::package::WINDOW;

/// From this size on, in bytes, several threads compress one file.
const PARALLEL: usize = 4 << 20;

/// One frame that says its size and has a checksum where it is large, with a window of 8 MiB at most.
pub(crate) fn zst(bytes: &[u8], level: i32) -> io::Result<Vec<u8>> {
    zst_with(bytes, level, 1)
}

/// The same bytes whatever the number of threads.
pub(crate) fn zst_with(bytes: &[u8], level: i32, threads: u32) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::with_capacity(bytes.len() / 8), level)?;
    encoder.set_pledged_src_size(Some(bytes.len() as u64))?;
    encoder.window_log(WINDOW.ilog2())?;
    if bytes.len() >= PARALLEL {
        encoder.include_checksum(true)?;
        encoder.multithread(threads.max(LEAST_WORKERS))?;
    }
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// One bzip2 stream.
pub(crate) fn bz2(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let level = bzip2::Compression::new(BZIP2_LEVEL);
    let mut encoder = bzip2::write::BzEncoder::new(Vec::with_capacity(bytes.len() / 8), level);
    encoder.write_all(bytes)?;
    encoder.finish()
}
