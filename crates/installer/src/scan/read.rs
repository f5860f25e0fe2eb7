//! Reads a package file once from front to back: verifies it, hashes every file in it, finds
//! placeholders, and compresses again what cannot be taken over.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use fs_err as fs;
use serde_json::{Map, Value};

use archive::digest::{Hasher, Sha256};
use archive::package::{self, Entry, EntryKind, Kind, Member, Package};
use conda::package::{PathType, PathsEntry};
use runtime::plan::Listed;

use super::listing::{self, Info, Unreadable};
use super::{Bytes, Item, ItemKind, Part, Scan, placeholder};
use crate::Error;
use crate::cache::Cache;
use crate::repack::{self, Repacker};

/// What happens to the compressed content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A `.conda`'s streams are used where they lie, if every target can decode them.
    Take,
    /// The content is compressed again into streams of a moderate size.
    Split,
}

/// Who is scanned and how.
pub(crate) struct Request<'a> {
    /// The file's name in its channel, for messages.
    pub(crate) package: &'a str,
    /// The file.
    pub(crate) path: &'a Path,
    /// What its record says.
    pub(crate) sha256: Sha256,
    /// What happens to the content.
    pub(crate) mode: Mode,
}

/// Scans a package, or finds the scan in the cache; the flag says which.
pub(crate) fn scan(request: &Request<'_>, cache: &Cache) -> Result<(Scan, bool), Error> {
    let mode = if request.mode == Mode::Split {
        "split"
    } else {
        "take"
    };
    let key = format!("{}-{mode}", request.sha256);
    if let Some(scan) = cache.scan(&key) {
        return Ok((scan, true));
    }
    let scan = read(request, cache)?;
    cache.store_scan(&key, &scan)?;
    Ok((scan, false))
}

fn read(request: &Request<'_>, cache: &Cache) -> Result<Scan, Error> {
    let reader = Reader {
        package: request.package,
    };
    let unreadable = |source| Error::Read {
        path: request.path.to_owned(),
        source,
    };
    let mut file = fs::File::open(request.path).map_err(unreadable)?;
    let actual = digest(&mut file).map_err(unreadable)?;
    if actual != request.sha256 {
        let (package, expected) = (request.package.to_owned(), request.sha256);
        return Err(Error::PackageDigest {
            package,
            expected,
            actual,
        });
    }
    let kind = Kind::from_file_name(request.package)
        .ok_or_else(|| reader.content("the file name", "ends neither in .conda nor in .tar.bz2"))?;
    let mut package = Package::open(file, kind).map_err(|source| reader.package(source))?;
    let info = package.info().map_err(|source| reader.package(source))?;
    let index = index(&info).map_err(|problem| reader.metadata(problem))?;
    let listing = listing::listing(&info).map_err(|problem| reader.metadata(problem))?;
    let entry_points = listing::entry_points(&info).map_err(|problem| reader.metadata(problem))?;

    let taken = request.mode == Mode::Take
        && kind == Kind::Conda
        && !package
            .needs_large_window()
            .map_err(|source| reader.package(source))?;
    let repack = |info| (!taken).then(|| Repacker::new(cache, repack::PACKAGE, info));
    let mut content = Contents::new(&reader, listing, repack(false));
    let mut metadata = Contents::new(&reader, HashMap::new(), repack(true));
    // Some packages have files of `info/` in a `.conda`'s content: they stay with it.
    let apart = kind == Kind::TarBz2;
    let content_size = package
        .entries(&mut |entry: Entry<'_>| {
            if apart && is_info(&entry.path) {
                metadata.visit(entry)
            } else {
                content.visit(entry)
            }
        })
        .map_err(|error| reader.failure(error))?;
    let info_size = match kind {
        Kind::Conda => package
            .info_entries(&mut |entry| metadata.visit(entry))
            .map_err(|error| reader.failure(error))?,
        Kind::TarBz2 => 0,
    };
    let members = package
        .content_member()
        .cloned()
        .zip(package.info_member().cloned());
    let mut file = package.into_inner();
    let mut take = |member: &Member, size, info| {
        let Member { offset, length, .. } = *member;
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| digest(&mut (&mut file).take(length)))
            .map(|sha256| Part {
                cached: None,
                offset,
                length,
                size,
                sha256,
                info,
            })
            .map_err(unreadable)
    };
    let (content_part, info_part) = match &members {
        Some((content, info)) if taken => (
            Some(take(content, content_size, false)?),
            Some(take(info, info_size, true)?),
        ),
        _ => (None, None),
    };
    let mut mismatches = std::mem::take(&mut content.mismatches);
    mismatches.sort();
    let (content, mut parts) = content.finish(0, content_part)?;
    let (info, more) = metadata.finish(parts.len(), info_part)?;
    parts.extend(more);
    Ok(Scan {
        index,
        content,
        info,
        entry_points,
        parts,
        mismatches,
    })
}

/// Collects the items of one archive.
struct Contents<'a> {
    reader: &'a Reader<'a>,
    listing: HashMap<String, PathsEntry>,
    repacker: Option<Repacker<'a>>,
    items: Vec<Item>,
    mismatches: Vec<String>,
    buffer: Vec<u8>,
}

impl<'a> Contents<'a> {
    fn new(
        reader: &'a Reader<'a>,
        listing: HashMap<String, PathsEntry>,
        repacker: Option<Repacker<'a>>,
    ) -> Contents<'a> {
        Contents {
            reader,
            listing,
            repacker,
            items: Vec::new(),
            mismatches: Vec::new(),
            buffer: vec![0; 1 << 17],
        }
    }

    fn visit(&mut self, mut entry: Entry<'_>) -> Result<(), Failure> {
        let listed = self.listing.remove(&entry.path);
        let kind = match entry.kind.clone() {
            EntryKind::File => ItemKind::File(self.file(&mut entry, listed.as_ref())?),
            EntryKind::HardLink { target } => ItemKind::HardLink { to: target },
            EntryKind::SymbolicLink { target } => ItemKind::SymbolicLink {
                target,
                listed: listed.as_ref().map(|listed| Listed {
                    sha256: listed.sha256.map(|digest| Sha256(digest.into())),
                    size: listed.size_in_bytes,
                }),
            },
            EntryKind::Directory if listed.is_none() => return Ok(()),
            EntryKind::Directory => ItemKind::Directory,
        };
        let no_link = listed.as_ref().is_some_and(|listed| listed.no_link);
        self.items.push(Item {
            path: entry.path,
            kind,
            listed: listed.is_some(),
            no_link,
        });
        Ok(())
    }

    /// Hashes a file's bytes, and passes them on to where they are needed whole or compressed.
    fn file(
        &mut self,
        entry: &mut Entry<'_>,
        listed: Option<&PathsEntry>,
    ) -> Result<Bytes, Failure> {
        let placeholder = listed.and_then(|listed| listed.prefix_placeholder.as_ref());
        let (part, offset) = match &mut self.repacker {
            Some(repacker) => repacker.begin()?,
            None => (0, entry.offset),
        };
        let mut hasher = Hasher::new();
        let mut whole = Vec::new();
        loop {
            let read = match entry.content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                // The archive knows better why its content cannot be read.
                Err(source) => return Err(Failure::Archive(package::Error::Read { source })),
            };
            let chunk = &self.buffer[..read];
            hasher.update(chunk);
            if placeholder.is_some() {
                whole.extend_from_slice(chunk);
            }
            if let Some(repacker) = &mut self.repacker {
                repacker.write(chunk)?;
            }
        }
        let sha256 = hasher.finish().sha256;
        if let Some(said) = listed.and_then(|listed| listed.sha256)
            && Sha256(said.into()) != sha256
        {
            self.mismatches.push(entry.path.clone());
        }
        Ok(Bytes {
            part,
            offset,
            size: entry.size,
            mode: entry.mode,
            modified: entry.mtime,
            sha256,
            placeholder: placeholder.map(|placeholder| placeholder::find(&whole, placeholder)),
        })
    }

    /// The items, sorted by path, and the parts that hold them: `taken`, or the compressed ones.
    /// `first` is the number of the first of them.
    fn finish(
        mut self,
        first: usize,
        taken: Option<Part>,
    ) -> Result<(Vec<Item>, Vec<Part>), Error> {
        let mut missing: Vec<PathsEntry> = self.listing.into_values().collect();
        missing.sort_by(|a, b| a.relative_path.cmp(&b.relative_path));
        for entry in missing {
            let path = entry.relative_path.to_string_lossy().into_owned();
            if entry.path_type != PathType::Directory {
                return Err(self
                    .reader
                    .content(&path, "is listed, but not in the package"));
            }
            let kind = ItemKind::Directory;
            self.items.push(Item {
                path,
                kind,
                listed: true,
                no_link: false,
            });
        }
        for item in &mut self.items {
            if let ItemKind::File(bytes) = &mut item.kind {
                bytes.part += first;
            }
        }
        self.items.sort_by(|a, b| a.path.cmp(&b.path));
        let parts = match (self.repacker, taken) {
            (Some(repacker), _) => repacker.finish()?,
            (None, taken) => taken.into_iter().collect(),
        };
        Ok((self.items, parts))
    }
}

/// What stopped a visit.
enum Failure {
    Archive(package::Error),
    Ours(Error),
}

impl From<package::Error> for Failure {
    fn from(error: package::Error) -> Failure {
        Failure::Archive(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Ours(error)
    }
}

/// Makes errors that name the package.
struct Reader<'a> {
    package: &'a str,
}

impl Reader<'_> {
    fn package(&self, source: package::Error) -> Error {
        Error::Package {
            package: self.package.to_owned(),
            source,
        }
    }

    fn failure(&self, failure: Failure) -> Error {
        match failure {
            Failure::Archive(source) => self.package(source),
            Failure::Ours(error) => error,
        }
    }

    fn metadata(&self, (file, source): (&'static str, std::io::Error)) -> Error {
        Error::Metadata {
            package: self.package.to_owned(),
            file: file.to_owned(),
            source,
        }
    }

    fn content(&self, file: &str, problem: &str) -> Error {
        let (file, problem) = (file.to_owned(), problem.to_owned());
        Error::Content {
            package: self.package.to_owned(),
            file,
            problem,
        }
    }
}

fn index(info: &Info) -> Result<Map<String, Value>, Unreadable> {
    let file = "info/index.json";
    let bytes = info
        .get(file)
        .ok_or_else(|| (file, std::io::ErrorKind::NotFound.into()))?;
    serde_json::from_slice(bytes).map_err(|error| (file, error.into()))
}

fn is_info(path: &str) -> bool {
    path == "info" || path.starts_with("info/")
}

fn digest(stream: &mut dyn Read) -> std::io::Result<Sha256> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 17];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(hasher.finish().sha256),
            read => hasher.update(&buffer[..read]),
        }
    }
}
