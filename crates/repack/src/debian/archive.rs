//! Reads `.deb` files: deb(5), an ar(5) archive of `debian-binary`, `control.tar.*` and
//! `data.tar.*`. An archive is taken for hostile: symbolic links are only noted, never made, and
//! contents get file names of our own, so that no name in it can lead anywhere.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use fs_err as fs;

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
/// Most bytes of the control file.
const MAX_CONTROL: u64 = 1 << 20;

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
    /// A file could not be written.
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

/// What a package says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Control {
    /// Its name.
    pub(crate) name: String,
    /// Its version, with epoch and revision.
    pub(crate) version: String,
    /// Its architecture, or `all`.
    pub(crate) architecture: String,
}

/// The contents of a package.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Files and symbolic links by their paths, without a leading slash.
    pub(crate) entries: BTreeMap<String, Entry>,
    /// The newest time of an entry, in seconds since 1970.
    pub(crate) newest: u64,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A file.
    File {
        /// Where its content was written.
        content: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A symbolic link.
    SymbolicLink {
        /// Its target, as it stands there.
        target: String,
    },
}

/// Reads what a package says of itself.
pub(crate) fn control(path: &Path) -> Result<Control, DebError> {
    let member = open(path, "control.tar")?;
    let mut archive = tar::Archive::new(member);
    for entry in archive.entries().map_err(reading)? {
        let entry = entry.map_err(reading)?;
        let name = entry.path_bytes();
        if !matches!(&*name, b"./control" | b"control") {
            continue;
        }
        let mut text = String::new();
        entry
            .take(MAX_CONTROL)
            .read_to_string(&mut text)
            .map_err(reading)?;
        let field = |name: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let value = line.map(|value| value.trim().to_owned());
            value.ok_or_else(|| format(&format!("its control file has no {name}")))
        };
        return Ok(Control {
            name: field("Package")?,
            version: field("Version")?,
            architecture: field("Architecture")?,
        });
    }
    Err(format("it has no control file"))
}

/// Writes the contents of a package into `folder`, which must be empty.
pub(crate) fn unpack(path: &Path, folder: &Path) -> Result<Contents, DebError> {
    let writing = |source| DebError::Write { source };
    let member = open(path, "data.tar")?;
    let mut archive = tar::Archive::new(member.take(MAX_BYTES));
    let mut contents = Contents::default();
    let mut count = 0;
    for entry in archive.entries().map_err(reading)? {
        let mut entry = entry.map_err(reading)?;
        count += 1;
        if count > MAX_ENTRIES {
            return Err(format("it has too many entries"));
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let problem = |problem| DebError::Entry {
            entry: name.clone(),
            problem,
        };
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            continue;
        }
        let Some(place) = relative(&name).map_err(problem)? else {
            continue;
        };
        if kind.is_dir() {
            continue;
        }
        let mode = entry.header().mode().map_err(reading)? & 0o777;
        let time = entry.header().mtime().map_err(reading)?;
        contents.newest = contents.newest.max(time);
        let target = entry
            .link_name_bytes()
            .map(|target| String::from_utf8_lossy(&target).into_owned());
        let made = if kind.is_file() || kind.is_contiguous() {
            let content = folder.join(format!("{count}"));
            let mut file = fs::File::create_new(&content).map_err(writing)?;
            let expected = entry.size();
            let copied = io::copy(&mut entry, &mut file).map_err(reading)?;
            if copied != expected {
                return Err(reading(io::ErrorKind::UnexpectedEof.into()));
            }
            Entry::File { content, mode }
        } else if kind.is_symlink() {
            let target = target.filter(|target| !target.is_empty());
            let target = target.ok_or_else(|| problem("is a link without a target"))?;
            Entry::SymbolicLink { target }
        } else if kind.is_hard_link() {
            let target = target.ok_or_else(|| problem("is a link without a target"))?;
            let target = relative(&target).map_err(problem)?;
            let file = target.and_then(|target| contents.entries.get(&target));
            match file {
                Some(file @ Entry::File { .. }) => file.clone(),
                _ => return Err(problem("is a link to a file that it does not have")),
            }
        } else {
            return Err(problem("is neither file, folder nor link"));
        };
        if contents.entries.insert(place, made).is_some() {
            return Err(problem("is there twice"));
        }
    }
    Ok(contents)
}

/// The path of an entry: relative, with neither `.` nor `..`. None for the root folder.
fn relative(name: &str) -> Result<Option<String>, &'static str> {
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
            part => parts.push(part),
        }
    }
    Ok((!parts.is_empty()).then(|| parts.join("/")))
}

/// Opens the member whose name begins so, decompressed.
fn open(path: &Path, wanted: &str) -> Result<Box<dyn Read>, DebError> {
    let mut file = fs::File::open(path).map_err(reading)?;
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
            let skip = size + size % 2;
            let skip =
                i64::try_from(skip).map_err(|_| format("a size in its ar archive is absurd"))?;
            file.seek(SeekFrom::Current(skip)).map_err(reading)?;
            continue;
        };
        let member = io::BufReader::new(file.take(size));
        return match suffix {
            "" => Ok(Box::new(member)),
            ".xz" => Ok(Box::new(lzma_rust2::XzReader::new_mem_limit(
                member, false, XZ_MEMORY,
            ))),
            ".gz" => Ok(Box::new(flate2::read::GzDecoder::new(member))),
            ".zst" => {
                let mut decoder = zstd::Decoder::with_buffer(member).map_err(reading)?;
                decoder.window_log_max(ZSTD_WINDOW).map_err(reading)?;
                Ok(Box::new(decoder))
            }
            other => Err(format(&format!("`{other}` is no known compression"))),
        };
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
