//! SHA-256 and MD5 as values, and readers and writers which compute them as the bytes go by.
//! What a wrong digest means is for the caller to say.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Digest as _;

#[cfg(test)]
mod tests;

/// What is read of a file at a time, in bytes.
const PIECE: usize = 1 << 17;

/// Text which is not the hexadecimal form of a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {name}: {expected} hexadecimal digits are expected")]
pub struct ParseError {
    text: String,
    name: &'static str,
    expected: usize,
}

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $length:literal, $article:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                // One piece of text: a plan or a record has tens of thousands of digests.
                let mut text = [0; 2 * $length];
                for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
                    pair[0] = DIGITS[usize::from(byte >> 4)];
                    pair[1] = DIGITS[usize::from(byte & 15)];
                }
                formatter.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, ParseError> {
                parse_hex(text).map(Self).ok_or_else(|| ParseError {
                    // A digest that is not one may be a whole file: quote a beginning of it.
                    text: text.chars().take(80).collect(),
                    name: $article,
                    expected: 2 * $length,
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $name;

                    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(formatter, concat!($article, " in hexadecimal"))
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }
    };
}

digest!(
    /// A SHA-256 digest; its text is lower-case hexadecimal.
    Sha256,
    32,
    "a SHA-256 digest"
);
digest!(
    /// An MD5 digest, which old channels know their packages by; its text is lower-case hexadecimal.
    Md5,
    16,
    "an MD5 digest"
);

impl Sha256 {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The digest of all bytes that are left in a reader.
    pub fn of_reader(reader: impl Read) -> io::Result<Self> {
        Ok(Hasher::new().all_of(reader)?.sha256)
    }
}

impl Md5 {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(md5::Md5::digest(bytes).into())
    }
}

/// What one pass over some bytes tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// SHA-256 of the bytes.
    pub sha256: Sha256,
    /// MD5 of the bytes, where it was asked for.
    pub md5: Option<Md5>,
    /// How many bytes there were.
    pub length: u64,
}

/// Computes digests of bytes that come in pieces.
#[derive(Clone)]
pub struct Hasher {
    sha256: sha2::Sha256,
    md5: Option<md5::Md5>,
    length: u64,
}

impl Hasher {
    /// A hasher for SHA-256 alone.
    pub fn new() -> Self {
        Self {
            sha256: sha2::Sha256::new(),
            md5: None,
            length: 0,
        }
    }

    /// A hasher for SHA-256 and MD5.
    pub fn with_md5() -> Self {
        Self {
            md5: Some(md5::Md5::new()),
            ..Self::new()
        }
    }

    /// Takes the next piece in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        self.length += bytes.len() as u64;
    }

    /// The digests of the pieces so far and of all bytes that are left in a reader.
    pub fn all_of(mut self, mut reader: impl Read) -> io::Result<Digests> {
        let mut buffer = vec![0; PIECE];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(self.finish()),
                Ok(count) => self.update(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The digests of all pieces so far.
    pub fn finish(self) -> Digests {
        Digests {
            sha256: Sha256(self.sha256.finalize().into()),
            md5: self.md5.map(|md5| Md5(md5.finalize().into())),
            length: self.length,
        }
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Hasher")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

/// Digests what is read through it.
#[derive(Debug)]
pub struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
}

impl<R> HashingReader<R> {
    /// Computes SHA-256.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            hasher: Hasher::new(),
        }
    }

    /// Computes SHA-256 and MD5 in the same pass.
    pub fn with_md5(inner: R) -> Self {
        Self {
            inner,
            hasher: Hasher::with_md5(),
        }
    }

    /// The source, and digest and number of the bytes that were read from it.
    pub fn finish(self) -> (R, Sha256, u64) {
        let (inner, digests) = self.finish_digests();
        (inner, digests.sha256, digests.length)
    }

    /// The source, and all digests of the bytes that were read from it.
    pub fn finish_digests(self) -> (R, Digests) {
        (self.inner, self.hasher.finish())
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Digests what is written through it.
#[derive(Debug)]
pub struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
}

impl<W> HashingWriter<W> {
    /// Computes SHA-256.
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            hasher: Hasher::new(),
        }
    }

    /// Computes SHA-256 and MD5 in the same pass.
    pub fn with_md5(inner: W) -> Self {
        Self {
            inner,
            hasher: Hasher::with_md5(),
        }
    }

    /// How many bytes went through so far.
    pub fn length(&self) -> u64 {
        self.hasher.length
    }

    /// The sink, and digest and number of the bytes that it took.
    pub fn finish(self) -> (W, Sha256, u64) {
        let (inner, digests) = self.finish_digests();
        (inner, digests.sha256, digests.length)
    }

    /// The sink, and all digests of the bytes that it took.
    pub fn finish_digests(self) -> (W, Digests) {
        (self.inner, self.hasher.finish())
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn parse_hex<const LENGTH: usize>(text: &str) -> Option<[u8; LENGTH]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * LENGTH {
        return None;
    }
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    // Letters have a bit that digits have not, and begin with 1. To decide between them costs more: nobody, and no
    // processor, can guess what comes next.
    let value = |digit: u8| (digit & 15) + 9 * (digit >> 6);
    let mut bytes = [0; LENGTH];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair.iter().fold(0, |byte, digit| byte << 4 | value(*digit));
    }
    Some(bytes)
}
