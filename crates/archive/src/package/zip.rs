//! The members of a `.conda` package (CEP 35): a zip archive whose members are stored as they are.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use rawzip::{CompressionMethod, Crc32, ZipArchive};

use super::Error;
use super::layout::lossy;

/// A package has three members; signatures and the like may come to them.
const MEMBER_LIMIT: usize = 256;

/// `{"conda_pkg_format_version": 2}` has 31 bytes.
const METADATA_LIMIT: u64 = 64 << 10;

/// Where the bytes of a zip member lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The member's name.
    pub name: String,
    /// The position of its first byte in the package file.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// The checksum of its bytes that the zip archive says, CRC-32 as in zip.
    pub crc32: u32,
}

/// The two archives within a `.conda` package.
#[derive(Debug, Clone)]
pub(super) struct Members {
    pub(super) stem: String,
    pub(super) info: Member,
    pub(super) content: Member,
}

/// Finds the members and checks what CEP 35 promises of them.
pub(super) fn members<R: Read + Seek>(source: &mut R) -> Result<Members, Error> {
    let members = directory(source)?;
    let metadata = only(&members, "metadata.json", "")?;
    if metadata.length > METADATA_LIMIT {
        return Err(Error::Metadata);
    }
    let mut text = Vec::new();
    Checked::open(source, metadata)?
        .read_to_end(&mut text)
        .map_err(Error::reading)?;
    let version = serde_json::from_slice::<serde_json::Value>(&text)
        .ok()
        .and_then(|metadata| metadata.get("conda_pkg_format_version")?.as_u64());
    if version != Some(2) {
        return Err(Error::Metadata);
    }
    let info = only(&members, "info-", ".tar.zst")?;
    let content = only(&members, "pkg-", ".tar.zst")?;
    let stem = |member: &Member| {
        let (_, name) = member.name.split_once('-')?;
        name.strip_suffix(".tar.zst").map(str::to_owned)
    };
    match (stem(info), stem(content)) {
        (Some(stem), Some(other)) if stem == other => Ok(Members {
            stem,
            info: info.clone(),
            content: content.clone(),
        }),
        _ => Err(Error::Member {
            member: content.name.clone(),
            problem: "belongs to another package than the info member",
        }),
    }
}

/// Reads a member, and fails at its end where the checksum is wrong. Its errors carry an [`Error`]
/// (see [`Error::reading`]).
pub(super) struct Checked<'a, R> {
    inner: io::Take<&'a mut R>,
    crc32: Crc32,
    member: &'a Member,
}

impl<'a, R: Read + Seek> Checked<'a, R> {
    pub(super) fn open(source: &'a mut R, member: &'a Member) -> Result<Self, Error> {
        source
            .seek(SeekFrom::Start(member.offset))
            .map_err(|source| Error::Read { source })?;
        Ok(Self {
            inner: source.take(member.length),
            crc32: Crc32::new(),
            member,
        })
    }

    /// The same with a buffer, for decoders.
    pub(super) fn buffered(
        source: &'a mut R,
        member: &'a Member,
    ) -> Result<BufReader<Self>, Error> {
        Ok(BufReader::with_capacity(
            1 << 17,
            Self::open(source, member)?,
        ))
    }
}

impl<R: Read> Read for Checked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(buffer)?;
        if count == 0 {
            let member = || self.member.name.clone();
            if self.inner.limit() > 0 {
                return Err(io::Error::other(Error::Truncated {
                    entry: Some(member()),
                }));
            }
            if self.crc32.checksum() != self.member.crc32 {
                return Err(io::Error::other(Error::Member {
                    member: member(),
                    problem: "does not have the checksum that the zip archive says",
                }));
            }
        }
        self.crc32.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

fn directory<R: Read + Seek>(source: &mut R) -> Result<Vec<Member>, Error> {
    let zip = |source| Error::Zip { source };
    let mut buffer = vec![0; rawzip::MAX_CENTRAL_DIRECTORY_RECORD_SIZE];
    let archive = ZipArchive::from_seekable(source, &mut buffer).map_err(zip)?;
    let directory = archive.directory_offset();
    let mut headers = Vec::new();
    let mut entries = archive.entries(&mut buffer);
    while let Some(header) = entries.next_entry().map_err(zip)? {
        let path = header.file_path();
        let raw: &[u8] = path.as_ref();
        let member = |problem| Error::Member {
            member: lossy(raw),
            problem,
        };
        let name = std::str::from_utf8(raw).map_err(|_| member("has a name that is not UTF-8"))?;
        if headers.len() >= MEMBER_LIMIT {
            return Err(member("is one of too many"));
        }
        if header.flags().is_encrypted() {
            return Err(member("is encrypted"));
        }
        if header.compression_method() != CompressionMethod::STORE {
            return Err(member("is compressed, and must be stored"));
        }
        if header.compressed_size_hint() != header.uncompressed_size_hint() {
            return Err(member("has two sizes"));
        }
        headers.push((
            name.to_owned(),
            header.crc32(),
            header.local_header_offset(),
            header.wayfinder(),
        ));
    }
    if headers.len() as u64 != archive.entries_hint() {
        return Err(Error::Member {
            member: "*".to_owned(),
            problem: "is not among the number that the zip archive says",
        });
    }
    let mut spans = Vec::new();
    let mut members = Vec::new();
    for (name, crc32, start, wayfinder) in headers {
        let member = |problem| Error::Member {
            member: name.clone(),
            problem,
        };
        let entry = archive.get_entry(wayfinder).map_err(zip)?;
        let local = entry.local_header(&mut buffer).map_err(zip)?;
        if AsRef::<[u8]>::as_ref(&local.file_path()) != name.as_bytes() {
            return Err(member("has two names"));
        }
        let (offset, end) = entry.compressed_data_range();
        if end > directory {
            return Err(member(
                "does not lie before the directory of the zip archive",
            ));
        }
        spans.push((start, end));
        members.push(Member {
            offset,
            length: end.saturating_sub(offset),
            name,
            crc32,
        });
    }
    spans.sort_unstable();
    if spans
        .windows(2)
        .any(|pair| matches!(pair, [(_, end), (start, _)] if end > start))
    {
        return Err(Error::Member {
            member: "*".to_owned(),
            problem: "overlaps another",
        });
    }
    Ok(members)
}

fn only<'a>(
    members: &'a [Member],
    prefix: &'static str,
    suffix: &str,
) -> Result<&'a Member, Error> {
    let fits = |name: &str| match suffix {
        "" => name == prefix,
        _ => name.starts_with(prefix) && name.ends_with(suffix),
    };
    let mut found = members.iter().filter(|member| fits(&member.name));
    let first = found.next().ok_or(Error::MissingMember {
        member: match prefix {
            "info-" => "info-*.tar.zst",
            "pkg-" => "pkg-*.tar.zst",
            other => other,
        },
    })?;
    match found.next() {
        None => Ok(first),
        Some(second) => Err(Error::Member {
            member: second.name.clone(),
            problem: "is one of two",
        }),
    }
}
