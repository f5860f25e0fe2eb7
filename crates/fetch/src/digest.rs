//! Both digests of a stream of bytes, and the files that they are computed from.

use std::io::{self, Read};

use md5::Md5;
use sha2::{Digest as _, Sha256};

/// What the bytes of a file amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digests {
    pub(crate) sha256: [u8; 32],
    pub(crate) md5: [u8; 16],
    pub(crate) size: u64,
}

/// Computes [`Digests`] as the bytes go by.
#[derive(Clone, Default)]
pub(crate) struct Hasher {
    sha256: Sha256,
    md5: Md5,
    size: u64,
}

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.md5.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// How many bytes went by.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn finish(self) -> Digests {
        Digests {
            sha256: self.sha256.finalize().into(),
            md5: self.md5.finalize().into(),
            size: self.size,
        }
    }
}

/// Feeds `hasher` and `write` with all of `reader`, in pieces of bounded size.
pub(crate) fn pump(
    reader: &mut dyn Read,
    hasher: &mut Hasher,
    write: &mut dyn FnMut(&[u8], u64) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let piece = buffer.get(..count).unwrap_or_default();
        hasher.update(piece);
        write(piece, hasher.size())?;
    }
}

/// The SHA-256 of all that a reader has, and how many bytes that is.
pub(crate) fn sha256_of_all(mut reader: impl Read) -> io::Result<([u8; 32], u64)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    let mut size = 0;
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => return Ok((hasher.finalize().into(), size)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(buffer.get(..count).unwrap_or_default());
        size += count as u64;
    }
}

/// The bytes of a SHA-256, for names of things that have no digest of their own.
pub(crate) fn sha256_of(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}
