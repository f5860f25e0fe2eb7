//! `.deb` files: deb(5), an ar(5) archive of `debian-binary`, `control.tar.*` and `data.tar.*`. An archive is
//! taken for hostile: every path is checked before anybody sees it, and sizes have bounds.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

use crate::control::{Paragraph, paragraphs};

#[cfg(test)]
mod tests;

/// Most bytes of one `.deb` file when unpacked: the largest in the archive have 3 GB.
const MAX_BYTES: u64 = 4 << 30;
/// Most entries of one `.deb` file.
const MAX_ENTRIES: usize = 500_000;
/// Memory for xz's dictionary, in KiB; its level 9 needs 64 MiB.
const XZ_MEMORY: u32 = 128 << 10;
/// Zstandard windows: its level 19, dpkg's own, needs 8 MiB.
const ZSTD_WINDOW: u32 = 27;
/// Most bytes of what is not contents: control files all together.
const MAX_CONTROL: u64 = 32 << 20;
/// What may stand between two entries: padding, long names and extended attributes.
const HEADER_LIMIT: u64 = 1 << 20;

/// Why a `.deb` file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// It could not be read to its end: cut off, or not compressed as it says.
    #[error("it cannot be read; it is cut off or damaged")]
    Read {
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// What is in it could not be written.
    #[error("cannot unpack it")]
    Write {
        /// The cause, with the path.
        #[source]
        source: io::Error,
    },
    /// It is no `.deb` file.
    #[error("no Debian package: {problem}")]
    Format {
        /// What is missing or wrong.
        problem: String,
    },
    /// An entry has a name or a kind that it must not have.
    #[error("its entry `{entry}` {problem}")]
    Entry {
        /// The entry.
        entry: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// What a package says of itself, and the files beside that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Control {
    /// Its control file.
    pub paragraph: Paragraph,
    /// The other files: scripts, lists, templates.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The newest time of any of them, in seconds since the epoch.
    pub modified: u64,
}

/// An entry of a package. Its path is relative and made of plain names.
pub struct Entry<'a> {
    /// The path; empty for the root.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// User and group.
    pub owner: (u32, u32),
    /// Seconds since the epoch.
    pub modified: u64,
    /// What is in the file.
    pub content: &'a mut dyn Read,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A file of so many bytes.
    File(u64),
    /// A folder.
    Directory,
    /// A symbolic link, with what it says.
    Link(String),
    /// The same file as an earlier one.
    HardLink(String),
}

impl Control {
    /// A field of the control file that every package has.
    pub fn field(&self, name: &str) -> Result<&str, DebError> {
        let value = self.paragraph.get(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| format(&format!("its control file has no {name}")))
    }

    /// A file as text, if it is there.
    pub fn text(&self, name: &str) -> Option<&str> {
        let bytes = self.files.get(name)?;
        std::str::from_utf8(bytes).ok()
    }
}

/// Reads what a package says of itself.
pub fn control(file: impl Read + Seek) -> Result<Control, DebError> {
    let member = open(file, "control.tar")?;
    let mut control = Control::default();
    let mut walk = Walk::new(member, MAX_CONTROL);
    walk.each(&mut |entry| {
        control.modified = control.modified.max(entry.modified);
        if let Kind::File(_) = entry.kind
            && !entry.path.contains('/')
        {
            let mut bytes = Vec::new();
            entry.content.read_to_end(&mut bytes).map_err(reading)?;
            if entry.path == "control" {
                let text = String::from_utf8_lossy(&bytes);
                control.paragraph = paragraphs(&text).next().unwrap_or_default();
            } else {
                control.files.insert(entry.path, bytes);
            }
        }
        Ok(())
    })?;
    if control.paragraph.is_empty() {
        return Err(format("it has no control file"));
    }
    Ok(control)
}

/// Shows everything that is in a package, in its order.
pub fn contents(
    file: impl Read + Seek,
    visit: &mut dyn FnMut(Entry<'_>) -> io::Result<()>,
) -> Result<(), DebError> {
    let member = open(file, "data.tar")?;
    Walk::new(member, MAX_BYTES).each(&mut |entry| {
        // Reading fails through the entry's content, whose errors say so.
        visit(entry).map_err(|source| match source.get_ref() {
            Some(inner) if inner.is::<Broken>() => reading(source),
            _ => DebError::Write { source },
        })
    })
}

/// A failure of the archive, on its way through whoever copies.
#[derive(Debug, thiserror::Error)]
#[error("the archive cannot be read")]
struct Broken(#[source] io::Error);

struct Content<'a, R: Read>(tar::Entry<'a, R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0
            .read(buffer)
            .map_err(|error| io::Error::other(Broken(error)))
    }
}

/// One tar stream on its way.
struct Walk<R> {
    gate: Gate<R>,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Walk<R> {
    fn new(reader: R, most: u64) -> Walk<R> {
        let left = Rc::new(Cell::new(HEADER_LIMIT));
        let gate = Gate {
            inner: reader,
            left: Rc::clone(&left),
            most,
        };
        Walk { gate, left }
    }

    fn each(
        &mut self,
        visit: &mut dyn FnMut(Entry<'_>) -> Result<(), DebError>,
    ) -> Result<(), DebError> {
        let mut archive = tar::Archive::new(&mut self.gate);
        for (count, found) in archive.entries().map_err(reading)?.enumerate() {
            let found = found.map_err(reading)?;
            self.left.set(u64::MAX);
            if count >= MAX_ENTRIES {
                return Err(format("it has too many entries"));
            }
            if found.header().entry_type().is_pax_global_extensions() {
                continue;
            }
            show(found, visit)?;
            self.left.set(HEADER_LIMIT);
        }
        Ok(())
    }
}

fn show<R: Read>(
    found: tar::Entry<'_, R>,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), DebError>,
) -> Result<(), DebError> {
    let name = String::from_utf8_lossy(&found.path_bytes()).into_owned();
    let problem = |problem| DebError::Entry {
        entry: name.clone(),
        problem,
    };
    let link = || {
        let target = found.link_name_bytes().unwrap_or_default();
        let target = String::from_utf8_lossy(&target).into_owned();
        if target.is_empty() {
            return Err(problem("is a link without a target"));
        }
        Ok(target)
    };
    let path = relative(&name).map_err(problem)?;
    let header = found.header();
    let entry_type = header.entry_type();
    let kind = if entry_type.is_file() || entry_type.is_contiguous() {
        Kind::File(found.size())
    } else if entry_type.is_dir() {
        Kind::Directory
    } else if entry_type.is_symlink() {
        Kind::Link(link()?)
    } else if entry_type.is_hard_link() {
        Kind::HardLink(relative(&link()?).map_err(problem)?)
    } else {
        return Err(problem("is neither file, folder nor link"));
    };
    if path.is_empty() && kind != Kind::Directory {
        return Err(problem("has no name"));
    }
    let id = |field: &[u8], id: io::Result<u64>| {
        // What is left blank is root's.
        if field.iter().all(|byte| matches!(byte, 0 | b' ')) {
            return Ok(0);
        }
        u32::try_from(id.map_err(reading)?).map_err(|_| problem("belongs to nobody"))
    };
    let fields = header.as_old();
    let owner = (
        id(&fields.uid, header.uid())?,
        id(&fields.gid, header.gid())?,
    );
    let mode = header.mode().map_err(reading)? & 0o7777;
    let modified = header.mtime().map_err(reading)?;
    let mut content = Content(found);
    visit(Entry {
        path,
        kind,
        mode,
        owner,
        modified,
        content: &mut content,
    })?;
    io::copy(&mut content, &mut io::sink()).map_err(reading)?;
    Ok(())
}

/// The path of an entry: relative, with neither `.` nor `..`. Empty for the root folder.
fn relative(name: &str) -> Result<String, &'static str> {
    if name.starts_with('/') {
        return Err("has an absolute path");
    }
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err("leads out of the package"),
            part if part.chars().any(char::is_control) => {
                return Err("has control characters in its name");
            }
            // A layer would take it for a sign that something else is gone.
            part if part.starts_with(".wh.") => return Err("has the name of a whiteout"),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// Opens the member whose name begins so, decompressed.
fn open(mut file: impl Read + Seek, wanted: &str) -> Result<impl Read, DebError> {
    let mut magic = [0; 8];
    file.read_exact(&mut magic).map_err(reading)?;
    if &magic != b"!<arch>\n" {
        return Err(format("it does not begin like an ar archive"));
    }
    loop {
        let mut header = [0; 60];
        match file.read(&mut header).map_err(reading)? {
            0 => return Err(format(&format!("it has no {wanted}"))),
            read => file
                .read_exact(header.get_mut(read..).unwrap_or_default())
                .map_err(reading)?,
        }
        let field = |from: usize, to: usize| {
            let bytes = header.get(from..to).unwrap_or_default();
            String::from_utf8_lossy(bytes).trim_end().to_owned()
        };
        if header.get(58..) != Some(b"`\n") {
            return Err(format("a header of its ar archive is damaged"));
        }
        let size: u64 = field(48, 58)
            .parse()
            .map_err(|_| format("a size in its ar archive is no number"))?;
        let name = field(0, 16);
        let name = name.trim_end_matches('/');
        let Some(suffix) = name.strip_prefix(wanted) else {
            let skip = i64::try_from(size + size % 2);
            let skip = skip.map_err(|_| format("a size in its ar archive is absurd"))?;
            file.seek(SeekFrom::Current(skip)).map_err(reading)?;
            continue;
        };
        let member = io::BufReader::with_capacity(1 << 16, file.take(size));
        return decompressed(member, suffix);
    }
}

fn decompressed<R: Read>(
    member: io::BufReader<R>,
    suffix: &str,
) -> Result<Decompressed<R>, DebError> {
    Ok(match suffix {
        "" => Decompressed::Plain(member),
        ".xz" => Decompressed::Xz(Box::new(lzma_rust2::XzReader::new_mem_limit(
            member, false, XZ_MEMORY,
        ))),
        ".gz" => Decompressed::Gzip(Box::new(flate2::bufread::GzDecoder::new(member))),
        ".zst" => {
            let mut decoder = zstd::Decoder::with_buffer(member).map_err(reading)?;
            decoder.window_log_max(ZSTD_WINDOW).map_err(reading)?;
            Decompressed::Zstd(decoder)
        }
        other => return Err(format(&format!("`{other}` is no known compression"))),
    })
}

/// What decompresses a member, or an index.
enum Decompressed<R: Read> {
    Plain(io::BufReader<R>),
    Xz(Box<lzma_rust2::XzReader<io::BufReader<R>>>),
    Gzip(Box<flate2::bufread::GzDecoder<io::BufReader<R>>>),
    Zstd(zstd::Decoder<'static, io::BufReader<R>>),
}

impl<R: Read> Read for Decompressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Decompressed::Plain(reader) => reader.read(buffer),
            Decompressed::Xz(reader) => reader.read(buffer),
            Decompressed::Gzip(reader) => reader.read(buffer),
            Decompressed::Zstd(reader) => reader.read(buffer),
        }
    }
}

/// Decompresses an index by the ending of its name. It yields at most `most` bytes, and then an error.
pub fn index(file: impl Read, name: &str, most: u64) -> Result<impl Read, DebError> {
    let suffix = name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    let suffix = match suffix {
        "xz" => ".xz",
        "gz" => ".gz",
        _ => "",
    };
    let inner = decompressed(io::BufReader::with_capacity(1 << 16, file), suffix)?;
    Ok(Gate {
        inner,
        left: Rc::new(Cell::new(u64::MAX)),
        most,
    })
}

/// Lets as many bytes pass as the walk allows: the tar reader keeps long names in memory, however long they say
/// to be.
struct Gate<R> {
    inner: R,
    /// Before the next file.
    left: Rc<Cell<u64>>,
    /// In all.
    most: u64,
}

impl<R: Read> Read for Gate<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get().min(self.most);
        if left == 0 && !buffer.is_empty() {
            // The end is no overrun.
            if self.inner.read(&mut [0])? == 0 {
                return Ok(0);
            }
            return Err(io::Error::other("there is more in it than there may be"));
        }
        let end = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = self.inner.read(&mut buffer[..end])?;
        self.left.set(self.left.get().saturating_sub(count as u64));
        self.most -= count as u64;
        Ok(count)
    }
}

fn reading(source: io::Error) -> DebError {
    DebError::Read { source }
}

fn format(problem: &str) -> DebError {
    DebError::Format {
        problem: problem.to_owned(),
    }
}
