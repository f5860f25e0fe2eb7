//! The walk over a tar stream: headers become entries that are safe to use, in bounded memory
//! whatever the stream says.

use std::io::{self, Read};
use std::ops::ControlFlow;

use super::layout::{Layout, lossy, normalise};
use super::{Error, Special};

mod meter;

use meter::{HEADER_LIMIT, Meter, Metered};

/// What may follow the mark that ends the archive: GNU tar fills up to a block of its own.
const TAIL_LIMIT: u64 = 1 << 20;

/// What an entry is. Targets are checked: they do not lead outside the package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A file with content.
    File,
    /// A second name of an earlier file.
    HardLink {
        /// The path of the earlier entry.
        target: String,
    },
    /// A symbolic link.
    SymbolicLink {
        /// Relative to the folder of the entry, as in the archive.
        target: String,
    },
    /// A folder. Those that entries lie in need not be listed.
    Directory,
}

/// One entry of a package, while it passes by.
pub struct Entry<'a> {
    /// The path in the package: UTF-8, relative, without `.`, `..` and empty parts; no other entry
    /// has it, and nothing above it is a link.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// The permission bits, `0o777` at most.
    pub mode: u32,
    /// Seconds since 1970.
    pub mtime: i64,
    /// The length of the content in bytes; 0 where it is no file.
    pub size: u64,
    /// The position of the content's first byte in the decoded tar stream.
    pub offset: u64,
    /// The content. Reading it fails where the package is truncated, so it never ends before `size`.
    pub content: &'a mut dyn Read,
}

/// Visits the entries of a tar stream until the visitor breaks off: all, or those under `info/` alone.
/// What is not visited is not checked, so that an indexer lists what only an installer refuses.
/// `total` bounds the decoded bytes. Unless it is broken off, the whole stream is read. Returns
/// how many bytes were decoded.
pub(super) fn visit<E: From<Error>>(
    stream: impl Read,
    total: u64,
    only_info: bool,
    visitor: &mut dyn FnMut(Entry<'_>) -> Result<ControlFlow<()>, E>,
) -> Result<u64, E> {
    let meter = Meter::new(total);
    let mut archive = tar::Archive::new(Metered::new(stream, &meter));
    let mut layout = Layout::default();
    let mut last = None;
    meter.allow(HEADER_LIMIT);
    for found in archive
        .entries()
        .map_err(|source| meter.explain(source, None))?
    {
        let mut found = found.map_err(|source| meter.explain(source, last.as_deref()))?;
        if only_info && !is_info(&found.path_bytes()) {
            meter.allow_all();
            let copied = io::copy(&mut found, &mut io::sink());
            copied.map_err(|source| meter.explain(source, None))?;
            last = Some(lossy(&found.path_bytes()));
            meter.allow(HEADER_LIMIT);
            continue;
        }
        let Some((path, kind)) = examine(&mut found, &meter)? else {
            continue;
        };
        layout.add(&path, &kind)?;
        let name = || lossy(path.as_bytes());
        let size = found.size();
        let broken = |source| Error::Tar {
            entry: Some(name()),
            source,
        };
        let mode = found.header().mode().map_err(broken)?;
        if kind == EntryKind::File && mode & 0o6000 != 0 {
            return Err(Error::Special {
                entry: name(),
                special: Special::SetId,
            }
            .into());
        }
        if size != 0 && kind != EntryKind::File {
            return Err(broken(io::Error::other("an entry without content has a size")).into());
        }
        let offset = found.raw_file_position();
        if offset.checked_add(size).is_none_or(|end| end > total) {
            return Err(Error::Limit {
                entry: name(),
                what: "the decoded size at the end",
                limit: total,
            }
            .into());
        }
        meter.allow_all();
        let mut content = Content {
            left: size,
            inner: &mut found,
            failure: None,
        };
        let outcome = visitor(Entry {
            path: path.clone(),
            kind,
            mode: mode & 0o777,
            mtime: content
                .inner
                .header()
                .mtime()
                .ok()
                .and_then(|mtime| mtime.try_into().ok())
                .unwrap_or(0),
            size,
            offset,
            content: &mut content,
        });
        // What broke the content is the reason, and the visitor's error its consequence.
        if let Some(failure) = content.failure.take() {
            return Err(meter.explain(failure, Some(&path)).into());
        }
        if outcome?.is_break() {
            return Ok(meter.count());
        }
        if io::copy(&mut content, &mut io::sink()).is_err() {
            let failure = content
                .failure
                .take()
                .unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
            return Err(meter.explain(failure, Some(&path)).into());
        }
        last = Some(path);
        meter.allow(HEADER_LIMIT);
    }
    if meter.has_ended() {
        return Err(Error::Truncated { entry: None }.into());
    }
    meter.allow(TAIL_LIMIT);
    io::copy(&mut archive.into_inner(), &mut io::sink())
        .map_err(|source| meter.explain(source, None))?;
    Ok(meter.count())
}

fn is_info(raw: &[u8]) -> bool {
    raw.strip_prefix(b"./").unwrap_or(raw).starts_with(b"info/")
}

/// Name and kind of an entry; `None` for what is no entry of the package.
fn examine<R: Read>(
    entry: &mut tar::Entry<'_, R>,
    meter: &Meter,
) -> Result<Option<(String, EntryKind)>, Error> {
    let raw = entry.path_bytes().into_owned();
    let name = || lossy(&raw);
    let broken = |problem: &'static str| Error::Tar {
        entry: Some(name()),
        source: io::Error::other(problem),
    };
    let kind = entry.header().entry_type();
    if kind.is_pax_global_extensions() {
        let mut extensions = Vec::new();
        entry
            .read_to_end(&mut extensions)
            .map_err(|source| meter.explain(source, None))?;
        check_extensions(tar::PaxExtensions::new(&extensions), true).map_err(broken)?;
        return Ok(None);
    }
    let extensions = entry
        .pax_extensions()
        .map_err(|source| meter.explain(source, Some(&name())))?;
    if let Some(extensions) = extensions {
        check_extensions(extensions, false).map_err(broken)?;
    }
    let special = |special| Error::Special {
        entry: name(),
        special,
    };
    let Some(path) = normalise(&raw)? else {
        return if kind.is_dir() {
            Ok(None)
        } else {
            Err(broken("an entry without a name"))
        };
    };
    let target = |entry: &tar::Entry<'_, R>| {
        let target = entry.link_name_bytes().unwrap_or_default().into_owned();
        let problem = |problem| Error::Link {
            entry: name(),
            target: lossy(&target),
            problem,
        };
        if target.is_empty() {
            return Err(problem("is empty"));
        }
        if target.len() > 4095 || target.contains(&0) {
            return Err(problem("is no path"));
        }
        String::from_utf8(target.clone()).map_err(|_| problem("is not UTF-8"))
    };
    let kind = match kind {
        // Archives from before 1988 know a directory by its slash alone.
        tar::EntryType::Regular
            if raw.ends_with(b"/") && entry.header().as_bytes().get(156) == Some(&0) =>
        {
            EntryKind::Directory
        }
        tar::EntryType::Regular | tar::EntryType::Continuous if raw.ends_with(b"/") => {
            return Err(broken("a file with the name of a directory"));
        }
        tar::EntryType::Regular | tar::EntryType::Continuous => EntryKind::File,
        tar::EntryType::Directory => EntryKind::Directory,
        tar::EntryType::Symlink => EntryKind::SymbolicLink {
            target: target(entry)?,
        },
        tar::EntryType::Link => EntryKind::HardLink {
            target: normalise(target(entry)?.as_bytes())?
                .ok_or_else(|| broken("a hard link to a directory"))?,
        },
        tar::EntryType::Char | tar::EntryType::Block => return Err(special(Special::Device)),
        tar::EntryType::Fifo => return Err(special(Special::Pipe)),
        tar::EntryType::GNUSparse => return Err(special(Special::Sparse)),
        other => return Err(special(Special::Unknown(other.as_byte()))),
    };
    Ok(Some((path, kind)))
}

/// Extensions that tar programs understand in different ways make one package two.
fn check_extensions(extensions: tar::PaxExtensions<'_>, global: bool) -> Result<(), &'static str> {
    let mut seen = [false; 3];
    for extension in extensions {
        let extension = extension.map_err(|_| "a malformed extended header")?;
        if extension.key_bytes().starts_with(b"GNU.sparse.") {
            return Err("a sparse file");
        }
        let keys: [&[u8]; 3] = [b"path", b"linkpath", b"size"];
        for (key, seen) in keys.into_iter().zip(&mut seen) {
            if extension.key_bytes() == key {
                if *seen || global {
                    return Err("an ambiguous extended header");
                }
                *seen = true;
            }
        }
    }
    Ok(())
}

/// The content of one entry, which must have the length that its header says.
struct Content<'a, R> {
    inner: &'a mut R,
    left: u64,
    failure: Option<io::Error>,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.left == 0 {
            return Ok(0);
        }
        let error = match self.inner.read(buffer) {
            Ok(0) => io::ErrorKind::UnexpectedEof.into(),
            Ok(count) => {
                self.left = self.left.saturating_sub(count as u64);
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => error,
        };
        let told = io::Error::new(error.kind(), "the package's content ends or is damaged");
        self.failure = Some(error);
        Err(told)
    }
}
