//! Compresses files again, back to back and without tar headers, into streams of a wanted size:
//! for packages that come as `.tar.bz2`, that ask for too large a window, that would make the
//! tail of a parallel installation, or all of them for a release.

use std::io::Write;
use std::path::PathBuf;

use archive::digest::HashingWriter;
use fetch::Draft;

use crate::Error;
use crate::cache::Cache;
use crate::scan::Part;

/// How streams are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Method {
    /// Decoded bytes after which the next file begins a new stream.
    pub(crate) target: u64,
    /// zstd's level.
    pub(crate) level: i32,
    /// Base-two logarithm of the window in bytes, which the target must have free.
    pub(crate) window_log: u32,
}

/// For packages that cannot be taken over. Level 15 takes a quarter of the time of level 19 for
/// 2 to 3 % more bytes; 16 MiB keep two threads busy to the end and lose less than 1 %.
pub(crate) const PACKAGE: Method = Method {
    target: 16 << 20,
    level: 15,
    window_log: 23,
};

/// For `compression = "solid"`: windows of 128 MiB that reach over packages, the highest level.
pub(crate) const SOLID: Method = Method {
    target: 128 << 20,
    level: 22,
    window_log: 27,
};

/// Takes files one after the other.
pub(crate) struct Repacker<'a> {
    cache: &'a Cache,
    method: Method,
    info: bool,
    open: Option<Stream>,
    parts: Vec<Part>,
}

struct Stream {
    encoder: zstd::stream::write::Encoder<'static, HashingWriter<Draft>>,
    size: u64,
    path: PathBuf,
}

impl<'a> Repacker<'a> {
    /// Makes streams in `cache`; `info` says whether they hold only files of `info/`.
    pub(crate) fn new(cache: &'a Cache, method: Method, info: bool) -> Repacker<'a> {
        Repacker {
            cache,
            method,
            info,
            open: None,
            parts: Vec::new(),
        }
    }

    /// Begins a file: its part and its position in the decoded part. Empty files have a part too.
    pub(crate) fn begin(&mut self) -> Result<(usize, u64), Error> {
        if self
            .open
            .as_ref()
            .is_some_and(|stream| stream.size >= self.method.target)
        {
            self.close()?;
        }
        let size = self.stream()?.size;
        Ok((self.parts.len(), size))
    }

    /// Adds bytes to the file that was begun last.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let stream = self.stream()?;
        stream.size += bytes.len() as u64;
        let path = &stream.path;
        let write = |source| Error::Write {
            path: path.clone(),
            source,
        };
        stream.encoder.write_all(bytes).map_err(write)
    }

    /// All parts.
    pub(crate) fn finish(mut self) -> Result<Vec<Part>, Error> {
        self.close()?;
        Ok(self.parts)
    }

    fn stream(&mut self) -> Result<&mut Stream, Error> {
        match &mut self.open {
            Some(stream) => Ok(stream),
            none => Ok(none.insert(Stream::new(self.cache, self.method)?)),
        }
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(Stream {
            encoder,
            size,
            path,
        }) = self.open.take()
        else {
            return Ok(());
        };
        let write = |source| Error::Write { path, source };
        let (file, sha256, length) = encoder.finish().map_err(write)?.finish();
        let cached = Some(self.cache.store_stream(file, sha256)?);
        self.parts.push(Part {
            cached,
            offset: 0,
            length,
            size,
            sha256,
            info: self.info,
        });
        Ok(())
    }
}

impl Stream {
    fn new(cache: &Cache, method: Method) -> Result<Stream, Error> {
        let file = cache.new_stream()?;
        let path = cache.stream_path("new");
        let write = |source| Error::Write {
            path: path.clone(),
            source,
        };
        let mut encoder = zstd::stream::write::Encoder::new(HashingWriter::new(file), method.level)
            .map_err(write)?;
        encoder.window_log(method.window_log).map_err(write)?;
        encoder
            .long_distance_matching(method.window_log > 23)
            .map_err(write)?;
        encoder.include_checksum(false).map_err(write)?;
        Ok(Stream {
            encoder,
            size: 0,
            path,
        })
    }
}
