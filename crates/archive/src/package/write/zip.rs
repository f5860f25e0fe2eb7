//! Writes the zip archive around a `.conda`'s members: stored, with fixed times, and with sizes and
//! checksums in the local headers, so that readers which stream need no directory. Sizes stand in
//! zip64 fields throughout, because a member's is not known before it is written.

use std::io::{self, Seek, SeekFrom, Write};

use rawzip::Crc32;

use super::{Error, writing};

/// 1980-01-01 00:00, the oldest time that zip knows.
const DATE: u16 = 0x0021;
const VERSION: u16 = 45;
const ZIP64: u16 = 0x0001;
/// A regular file with mode 0o644, made on Unix.
const ATTRIBUTES: u32 = 0o100_644 << 16;
const UNIX: u16 = 3 << 8;
const ESCAPE_16: u16 = u16::MAX;
const ESCAPE_32: u32 = u32::MAX;

struct Written {
    name: String,
    offset: u64,
    size: u64,
    crc32: u32,
}

pub(super) struct Writer<W> {
    sink: W,
    members: Vec<Written>,
}

impl<W: Write + Seek> Writer<W> {
    pub(super) fn new(sink: W) -> Self {
        Self {
            sink,
            members: Vec::new(),
        }
    }

    /// Adds a member with what `write` writes.
    pub(super) fn member(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let offset = self.sink.stream_position().map_err(writing)?;
        let mut member = Written {
            name: name.to_owned(),
            offset,
            size: 0,
            crc32: 0,
        };
        let header = local_header(&member).map_err(writing)?;
        self.sink.write_all(&header).map_err(writing)?;
        let mut counter = Counter {
            sink: &mut self.sink,
            crc32: Crc32::new(),
            size: 0,
        };
        write(&mut counter)?;
        (member.size, member.crc32) = (counter.size, counter.crc32.checksum());
        let end = self.sink.stream_position().map_err(writing)?;
        self.sink.seek(SeekFrom::Start(offset)).map_err(writing)?;
        let header = local_header(&member).map_err(writing)?;
        self.sink.write_all(&header).map_err(writing)?;
        self.sink.seek(SeekFrom::Start(end)).map_err(writing)?;
        self.members.push(member);
        Ok(())
    }

    /// Writes the directory.
    pub(super) fn finish(mut self) -> io::Result<W> {
        let start = self.sink.stream_position()?;
        for member in &self.members {
            let header = central_header(member)?;
            self.sink.write_all(&header)?;
        }
        let end = self.sink.stream_position()?;
        let count = self.members.len() as u64;
        let short = |value: u64| u32::try_from(value).unwrap_or(ESCAPE_32);
        let mut tail = Bytes::default();
        if end >= ESCAPE_32.into() {
            tail.u32(0x0606_4b50)
                .u64(44)
                .u16(UNIX | VERSION)
                .u16(VERSION)
                .u32(0)
                .u32(0);
            tail.u64(count).u64(count).u64(end - start).u64(start);
            tail.u32(0x0706_4b50).u32(0).u64(end).u32(1);
        }
        let count = u16::try_from(count).unwrap_or(ESCAPE_16);
        tail.u32(0x0605_4b50).u16(0).u16(0).u16(count).u16(count);
        tail.u32(short(end - start)).u32(short(start)).u16(0);
        self.sink.write_all(&tail.0)?;
        self.sink.flush()?;
        Ok(self.sink)
    }
}

fn local_header(member: &Written) -> io::Result<Vec<u8>> {
    let mut header = Bytes::default();
    header
        .u32(0x0403_4b50)
        .u16(VERSION)
        .u16(0)
        .u16(0)
        .u16(0)
        .u16(DATE);
    header.u32(member.crc32).u32(ESCAPE_32).u32(ESCAPE_32);
    header.u16(name_length(member)?).u16(20);
    header.0.extend_from_slice(member.name.as_bytes());
    header.u16(ZIP64).u16(16).u64(member.size).u64(member.size);
    Ok(header.0)
}

fn central_header(member: &Written) -> io::Result<Vec<u8>> {
    let mut extra = Bytes::default();
    let large = member.size >= ESCAPE_32.into();
    let far = member.offset >= ESCAPE_32.into();
    if large || far {
        let length = if large { 16 } else { 0 } + if far { 8 } else { 0 };
        extra.u16(ZIP64).u16(length);
        if large {
            extra.u64(member.size).u64(member.size);
        }
        if far {
            extra.u64(member.offset);
        }
    }
    let short = |value: u64| u32::try_from(value).unwrap_or(ESCAPE_32);
    let mut header = Bytes::default();
    header
        .u32(0x0201_4b50)
        .u16(UNIX | VERSION)
        .u16(VERSION)
        .u16(0)
        .u16(0)
        .u16(0)
        .u16(DATE);
    header
        .u32(member.crc32)
        .u32(short(member.size))
        .u32(short(member.size));
    header.u16(name_length(member)?);
    header.u16(u16::try_from(extra.0.len()).map_err(io::Error::other)?);
    header
        .u16(0)
        .u16(0)
        .u16(0)
        .u32(ATTRIBUTES)
        .u32(short(member.offset));
    header.0.extend_from_slice(member.name.as_bytes());
    header.0.extend_from_slice(&extra.0);
    Ok(header.0)
}

fn name_length(member: &Written) -> io::Result<u16> {
    u16::try_from(member.name.len())
        .map_err(|_| io::Error::other("the package's name is too long for a zip archive"))
}

struct Counter<'a, W> {
    sink: &'a mut W,
    crc32: Crc32,
    size: u64,
}

impl<W: Write> Write for Counter<'_, W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(buffer)?;
        self.crc32.update(buffer.get(..count).unwrap_or_default());
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Little-endian fields, one after the other.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }
}
