//! A layer in the making: what is written becomes a tar stream, which is hashed, compressed and hashed
//! again on its way to a blob. No layer is ever in memory, nor any file of it that is long.

mod archive;
mod gzip;
mod modules;
mod tree;

use std::io::{self, Write};

use ::archive::digest::HashingWriter;
use spec::LayerCompression;

use crate::error::Error;
use crate::oci::{self, Digest};
use crate::output::{Blob, Staging};

pub(crate) use archive::{Archive, Meta, What};
use gzip::GzipMembers;
pub(crate) use modules::Modules;
pub(crate) use tree::LayerTree;

/// Smaller than gzip's level 6, and quicker. Another level would be another digest.
const ZSTD_LEVEL: i32 = 7;

/// A finished layer.
#[derive(Debug, Clone)]
pub(crate) struct Packed {
    pub(crate) digest: Digest,
    /// Length of the blob in bytes.
    pub(crate) size: u64,
    pub(crate) media_type: &'static str,
    /// The digest of the tar stream.
    pub(crate) diff_id: Digest,
    /// Length of the tar stream in bytes.
    pub(crate) unpacked: u64,
}

/// Takes a tar stream.
pub(crate) struct Packer {
    sink: HashingWriter<Encoder>,
}

/// What compresses.
enum Encoder {
    Gzip(Box<GzipMembers<Blob>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Blob>>),
}

impl Packer {
    /// Begins a layer in a blob.
    pub(crate) fn new(blob: Blob, compression: LayerCompression) -> io::Result<Packer> {
        let encoder = match compression {
            LayerCompression::Gzip => Encoder::Gzip(Box::new(GzipMembers::new(blob))),
            LayerCompression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(blob, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Encoder::Zstd(Box::new(encoder))
            }
        };
        Ok(Packer {
            sink: HashingWriter::new(encoder),
        })
    }

    /// Completes the layer.
    pub(crate) fn finish(self, staging: &Staging) -> Result<Packed, Error> {
        let (encoder, diff_id, unpacked) = self.sink.finish();
        let (blob, media_type) = match encoder {
            Encoder::Gzip(encoder) => (encoder.finish(), oci::LAYER_GZIP),
            Encoder::Zstd(encoder) => (encoder.finish(), oci::LAYER_ZSTD),
        };
        let blob = blob.map_err(|source| Error::Write {
            path: staging.scratch().to_owned(),
            source,
        })?;
        let (digest, size) = staging.store(blob)?;
        Ok(Packed {
            digest,
            size,
            media_type,
            diff_id: Digest(diff_id),
            unpacked,
        })
    }
}

impl Write for Packer {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.sink.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Encoder {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Encoder::Gzip(encoder) => encoder.write(buffer),
            Encoder::Zstd(encoder) => encoder.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
