//! One layer on its way: from its file through two digests to the headers of its entries,
//! and copied on the way where it is wanted. Memory does not depend on what is in it.

use std::io::{self, BufReader, Read, Write};
use std::thread::{self, Scope};

use archive::digest::HashingReader;
use serde::{Deserialize, Serialize};

use super::beside::DigestBeside;
use super::gate::{Gate, HEADER_LIMIT};
use super::{Error, Layer, Store};
use crate::layer::Meta;
use crate::oci::{Digest, OPAQUE, WHITEOUT};

/// The longest path and the longest name in it, in bytes, that Linux takes (`PATH_MAX` and `NAME_MAX` of its `limits.h`).
const LONGEST_PATH: usize = 4095;
const LONGEST_NAME: usize = 255;

/// Letters of a name that is told.
const TOLD: usize = 200;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// Not at all.
    Plain,
    Gzip,
    Zstd,
}

/// An entry of a layer. Its path is relative and made of plain names; that of a whiteout is the path of what is gone.
pub(crate) struct Entry<'a> {
    pub(crate) path: String,
    pub(crate) kind: EntryKind,
    pub(crate) meta: Meta,
    pub(crate) size: u64,
    pub(crate) content: &'a mut dyn Read,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    Directory,
    /// With what it says.
    Link(String),
    /// With the path of the other entry.
    HardLink(String),
    /// A device or a pipe.
    Special,
    /// What the layers below have here is gone.
    Whiteout,
    /// All that they have in this folder is gone, which may be the root.
    Opaque,
}

/// What the names in layers may come to: more than in the largest images, and few enough to be kept in mind.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Budget(usize);

impl Budget {
    const MOST: usize = 2_000_000;
    /// A name counts once for every so many bytes of it.
    const SHARE: usize = 128;

    /// Takes the share of a path.
    pub(crate) fn take(&mut self, path: &str) -> Result<(), Error> {
        self.0 += 1 + path.len() / Self::SHARE;
        if self.0 > Self::MOST {
            return Err(Error::ManyEntries { limit: Self::MOST });
        }
        Ok(())
    }
}

/// What a layer turned out to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passed {
    /// The digest of the file.
    pub(crate) digest: Digest,
    /// Its length in bytes.
    pub(crate) size: u64,
    pub(crate) packing: Packing,
    /// Length of the tar stream in it.
    pub(crate) unpacked: u64,
}

/// How the bytes of a layer are packed, by its first bytes. It is an error if the image says otherwise.
pub(crate) fn packing(store: &Store, layer: &Layer) -> Result<Packing, Error> {
    let member = layer.member.as_str();
    let mut magic = Vec::new();
    store
        .open_member(member)?
        .take(4)
        .read_to_end(&mut magic)
        .map_err(|source| unreadable(member, source))?;
    let packing = match &magic[..] {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Packing::Zstd,
        _ => Packing::Plain,
    };
    match layer.packing.filter(|said| *said != packing) {
        None => Ok(packing),
        Some(said) => {
            let problem = format!("it is not packed as its type says ({packing:?}, not {said:?})");
            Err(Error::Decode {
                member: member.to_owned(),
                source: io::Error::other(problem),
            })
        }
    }
}

/// Reads a layer to its end, shows its entries, copies its bytes as they lie in the file, and checks
/// both digests.
pub(crate) fn pass(
    store: &Store,
    layer: &Layer,
    copy: Option<&mut dyn Write>,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), Error>,
) -> Result<Passed, Error> {
    let member = layer.member.as_str();
    let packing = packing(store, layer)?;
    let mut raw = Raw {
        inner: HashingReader::new(store.open_member(member)?),
        copy,
        failure: None,
    };
    let walked = unpack(&mut raw, layer, packing, visit);
    // What follows the compressed stream belongs to the file, too. Where it cannot be decoded, that it is
    // another file than the image names says more.
    let rest = match raw.failure {
        None => io::copy(&mut raw, &mut io::sink()),
        Some(_) => Ok(0),
    };
    match raw.failure.take() {
        Some(Failure::Read(source)) => return Err(unreadable(member, source)),
        Some(Failure::Copy(source)) => return Err(Error::Copy { source }),
        None => rest.map_err(|source| unreadable(member, source))?,
    };
    let (_, sha256, size) = raw.inner.finish();
    let digest = Digest(sha256);
    if let Some(expected) = layer.digest.filter(|expected| *expected != digest) {
        return Err(differs(member, expected, digest));
    }
    Ok(Passed {
        digest,
        size,
        packing,
        unpacked: walked?,
    })
}

/// Reads what is in a layer to its end, shows its entries, and checks the digest of its tar stream. That of the
/// file is somebody else's. Returns the length of the tar stream.
pub(crate) fn walk(
    store: &Store,
    layer: &Layer,
    packing: Packing,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), Error>,
) -> Result<u64, Error> {
    let raw = store.open_member(&layer.member)?;
    unpack(raw, layer, packing, visit)
}

/// Decodes all of `raw` and checks its digest; returns the length of the tar stream.
fn unpack(
    raw: impl Read,
    layer: &Layer,
    packing: Packing,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), Error>,
) -> Result<u64, Error> {
    let member = layer.member.as_str();
    let (diff_id, unpacked) = thread::scope(|scope| decode(raw, packing, member, visit, scope))?;
    if diff_id != layer.diff_id {
        return Err(differs(member, layer.diff_id, diff_id));
    }
    Ok(unpacked)
}

/// Decodes all of `raw`; returns digest and length of the tar stream.
fn decode<'scope>(
    raw: impl Read,
    packing: Packing,
    member: &str,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), Error>,
    scope: &'scope Scope<'scope, '_>,
) -> Result<(Digest, u64), Error> {
    let undecodable = |source| Error::Decode {
        member: member.to_owned(),
        source,
    };
    let decoder = decoder(raw, packing).map_err(undecodable)?;
    let mut stream = DigestBeside::new(decoder, scope).map_err(undecodable)?;
    entries(&mut stream, member, visit)?;
    let digests = stream.finish().map_err(undecodable)?;
    Ok((Digest(digests.sha256), digests.length))
}

/// What makes a tar stream of the bytes of a layer's file.
pub(crate) fn decoder<'r>(raw: impl Read + 'r, packing: Packing) -> io::Result<Box<dyn Read + 'r>> {
    let buffered = BufReader::with_capacity(1 << 17, raw);
    Ok(match packing {
        Packing::Plain => Box::new(buffered),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(buffered)),
        Packing::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(buffered)?),
    })
}

/// Shows the entries of a tar stream, and reads it to its end.
pub(crate) fn entries(
    stream: impl Read,
    member: &str,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let undecodable = |source| Error::Decode {
        member: member.to_owned(),
        source,
    };
    let (mut gate, left) = Gate::before(stream);
    let mut budget = Budget::default();
    let mut archive = tar::Archive::new(&mut gate);
    for found in archive.entries().map_err(undecodable)? {
        let mut found = found.map_err(undecodable)?;
        left.set(u64::MAX);
        show(&mut found, member, &mut budget, visit)?;
        io::copy(&mut found, &mut io::sink()).map_err(undecodable)?;
        left.set(HEADER_LIMIT);
    }
    left.set(u64::MAX);
    io::copy(&mut gate, &mut io::sink()).map_err(undecodable)?;
    Ok(())
}

fn show<R: Read>(
    found: &mut tar::Entry<'_, R>,
    member: &str,
    budget: &mut Budget,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let name = String::from_utf8_lossy(&found.path_bytes()).into_owned();
    let hostile = |problem| Error::Hostile {
        member: member.to_owned(),
        entry: name.chars().take(TOLD).collect(),
        problem,
    };
    let link = || {
        let target = found.link_name_bytes().unwrap_or_default();
        if target.len() > LONGEST_PATH {
            return Err(hostile("a link that is longer than any path"));
        }
        Ok(String::from_utf8_lossy(&target).into_owned())
    };
    let Some(mut path) = relative(&name).map_err(hostile)? else {
        // The root itself.
        return Ok(());
    };
    budget.take(&path)?;
    let header = found.header();
    let entry_type = header.entry_type();
    let gone = whiteout(&path).map_err(hostile)?;
    let kind = if let Some((kind, place)) = gone {
        path = place;
        kind
    } else if entry_type.is_dir() {
        EntryKind::Directory
    } else if entry_type.is_symlink() {
        let target = link()?;
        budget.take(&target)?;
        EntryKind::Link(target)
    } else if entry_type.is_hard_link() {
        match relative(&link()?) {
            Ok(Some(target)) => EntryKind::HardLink(target),
            _ => return Err(hostile("a hard link that leads out of the image")),
        }
    } else if entry_type.is_character_special()
        || entry_type.is_block_special()
        || entry_type.is_fifo()
    {
        // Root file systems come with a few, which engines cover with a file system of their own.
        if !path.starts_with("dev/") && !entry_type.is_fifo() {
            return Err(hostile("a device outside of /dev"));
        }
        EntryKind::Special
    } else if entry_type.is_pax_global_extensions() {
        return Ok(());
    } else {
        EntryKind::File
    };
    let size = if kind == EntryKind::File {
        found.size()
    } else {
        0
    };
    let number = |id: io::Result<u64>| id.ok().and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
    let meta = Meta {
        mode: header.mode().unwrap_or(0o755) & 0o7777,
        owner: (number(header.uid()), number(header.gid())),
        modified: header.mtime().unwrap_or(0),
    };
    visit(Entry {
        path,
        kind,
        meta,
        size,
        content: found,
    })
}

/// What a path takes away, if it is a whiteout (OCI image specification, "Layer Filesystem Changeset").
fn whiteout(path: &str) -> Result<Option<(EntryKind, String)>, &'static str> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if name == OPAQUE {
        return Ok(Some((EntryKind::Opaque, folder.to_owned())));
    }
    match name.strip_prefix(WHITEOUT) {
        None => Ok(None),
        Some("" | "." | "..") => Err("which takes away what has no name"),
        Some(gone) if folder.is_empty() => Ok(Some((EntryKind::Whiteout, gone.to_owned()))),
        Some(gone) => Ok(Some((EntryKind::Whiteout, format!("{folder}/{gone}")))),
    }
}

/// A path without `.` and empty names; none for the root.
fn relative(name: &str) -> Result<Option<String>, &'static str> {
    if name.starts_with('/') {
        return Err("with an absolute path");
    }
    if name.len() > LONGEST_PATH {
        return Err("with a path that is longer than any");
    }
    let mut names = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err("which leads out of the image"),
            part if part.len() > LONGEST_NAME => return Err("with a name that is longer than any"),
            part => names.push(part),
        }
    }
    Ok((!names.is_empty()).then(|| names.join("/")))
}

fn differs(member: &str, expected: Digest, actual: Digest) -> Error {
    Error::Digest {
        member: member.to_owned(),
        expected: expected.to_string(),
        actual: actual.to_string(),
    }
}

fn unreadable(member: &str, source: io::Error) -> Error {
    Error::Read {
        member: member.to_owned(),
        source,
    }
}

/// The file, hashed and copied while it is read.
struct Raw<'w> {
    inner: HashingReader<Box<dyn Read + Send>>,
    copy: Option<&'w mut dyn Write>,
    failure: Option<Failure>,
}

/// What a decoder would pass on as an error of its own.
enum Failure {
    Read(io::Error),
    Copy(io::Error),
}

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let failed = || io::Error::other("the layer cannot be read");
        let count = match self.inner.read(buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                self.failure = Some(Failure::Read(error));
                return Err(failed());
            }
        };
        if let Some(copy) = &mut self.copy
            && let Err(error) = copy.write_all(&buffer[..count])
        {
            self.failure = Some(Failure::Copy(error));
            return Err(failed());
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use archive::digest::Sha256;
    use flate2::{Compression, write::GzEncoder};

    use super::*;

    #[test]
    fn a_stream_that_is_another_one_than_the_image_says_is_noticed() {
        let mut tar = tar::Builder::new(Vec::new());
        let content = "words ".repeat(200_000);
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, "file", content.as_bytes())
            .unwrap();
        let stream = tar.into_inner().unwrap();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&stream).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::Folder(folder.path().to_owned());
        for (packing, bytes) in [
            (Packing::Plain, stream.clone()),
            (Packing::Gzip, gzip.finish().unwrap()),
            (Packing::Zstd, zstd::encode_all(&stream[..], 1).unwrap()),
        ] {
            fs_err::write(folder.path().join("layer"), &bytes).unwrap();
            let mut layer = Layer {
                member: "layer".to_owned(),
                digest: Some(Digest(Sha256::of(&bytes))),
                size: bytes.len() as u64,
                packing: Some(packing),
                diff_id: Digest(Sha256::of(&stream)),
                inputs: None,
                account: None,
            };
            let mut seen = Vec::new();
            let mut visit = |entry: Entry<'_>| {
                seen.push((entry.path, entry.size));
                Ok(())
            };
            let length = stream.len() as u64;
            assert_eq!(walk(&store, &layer, packing, &mut visit).unwrap(), length);
            let passed = pass(&store, &layer, None, &mut visit).unwrap();
            assert_eq!(passed.unpacked, length, "{packing:?}");
            layer.diff_id = Digest(Sha256::of(b"another stream"));
            for result in [
                walk(&store, &layer, packing, &mut visit),
                pass(&store, &layer, None, &mut visit).map(|passed| passed.unpacked),
            ] {
                assert!(
                    matches!(&result, Err(Error::Digest { expected, .. })
                        if *expected == layer.diff_id.to_string()),
                    "{packing:?}: {result:?}"
                );
            }
            assert_eq!(seen, vec![("file".to_owned(), content.len() as u64); 4]);
        }
    }
}
