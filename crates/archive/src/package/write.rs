//! Writes packages: the same items give the same bytes. Names, links and modes must be such as
//! the reader of packages accepts.

use std::collections::HashMap;
use std::io::{self, Read, Seek, Write};

use super::layout::{Layout, lossy, normalise};
use super::{EntryKind, Error, Kind, Special, WINDOW};

mod zip;

/// What an item is.
pub enum ItemKind<'a> {
    /// A file.
    File {
        /// Its length in bytes.
        size: u64,
        /// Its content, which must have that length.
        content: Box<dyn Read + 'a>,
    },
    /// A second name of an earlier file.
    HardLink {
        /// The path of the earlier item.
        target: String,
    },
    /// A symbolic link.
    SymbolicLink {
        /// Relative to the folder of the item.
        target: String,
    },
    /// A folder.
    Directory,
}

/// One entry of a package to be written.
pub struct Item<'a> {
    /// Relative path with slashes.
    pub path: String,
    /// What it is.
    pub kind: ItemKind<'a>,
    /// The permission bits. A hard link has those of its target.
    pub mode: u32,
    /// Seconds since 1970; not before.
    pub mtime: u64,
}

impl<'a> Item<'a> {
    /// A file with mode 0o644 and time 0.
    pub fn file(path: impl Into<String>, content: &'a [u8]) -> Self {
        Self {
            path: path.into(),
            kind: ItemKind::File {
                size: content.len() as u64,
                content: Box::new(content),
            },
            mode: 0o644,
            mtime: 0,
        }
    }

    /// A symbolic link.
    pub fn symbolic_link(path: impl Into<String>, target: impl Into<String>) -> Self {
        let target = target.into();
        Self {
            path: path.into(),
            kind: ItemKind::SymbolicLink { target },
            mode: 0o777,
            mtime: 0,
        }
    }

    /// A second name of an earlier file.
    pub fn hard_link(path: impl Into<String>, target: impl Into<String>) -> Self {
        let target = target.into();
        Self {
            path: path.into(),
            kind: ItemKind::HardLink { target },
            mode: 0o644,
            mtime: 0,
        }
    }

    /// A folder with mode 0o755.
    pub fn directory(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            kind: ItemKind::Directory,
            mode: 0o755,
            mtime: 0,
        }
    }

    /// The same item with another mode.
    #[must_use]
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }
}

/// How a package is compressed.
#[derive(Debug, Clone, Copy)]
pub struct WriteOptions {
    /// Zstandard's level for `.conda`, 1 to 22.
    pub zstd_level: i32,
    /// bzip2's level for `.tar.bz2`, 1 to 9.
    pub bzip2_level: u32,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            zstd_level: 19,
            bzip2_level: 9,
        }
    }
}

/// Writes a package whose name, version and build are `stem`. `info` are the items under `info/`,
/// `content` all others. A `.conda` has its members in the order metadata.json, content, info, as
/// conda-package-handling writes them, so that the metadata lies beside the zip directory and is
/// had with one short read; a `.tar.bz2` begins with `info`, where indexers look first.
pub fn write<'a, W: Write + Seek>(
    sink: W,
    kind: Kind,
    stem: &str,
    info: impl IntoIterator<Item = Item<'a>>,
    content: impl IntoIterator<Item = Item<'a>>,
    options: &WriteOptions,
) -> Result<W, Error> {
    let mut tars = Tars::default();
    match kind {
        Kind::Conda => {
            let mut archive = zip::Writer::new(sink);
            archive.member("metadata.json", |sink| {
                sink.write_all(b"{\"conda_pkg_format_version\": 2}")
                    .map_err(writing)
            })?;
            archive.member(&format!("pkg-{stem}.tar.zst"), |sink| {
                compress(sink, options.zstd_level, |sink| {
                    tars.write(sink, false, content)
                })
            })?;
            archive.member(&format!("info-{stem}.tar.zst"), |sink| {
                compress(sink, options.zstd_level, |sink| {
                    tars.write(sink, true, info)
                })
            })?;
            archive.finish().map_err(writing)
        }
        Kind::TarBz2 => {
            let level = ::bzip2::Compression::new(options.bzip2_level.clamp(1, 9));
            let mut encoder = ::bzip2::write::BzEncoder::new(sink, level);
            {
                let mut builder = tar::Builder::new(&mut encoder);
                tars.append_all(&mut builder, true, info)?;
                tars.append_all(&mut builder, false, content)?;
                builder.finish().map_err(writing)?;
            }
            encoder.finish().map_err(writing)
        }
    }
}

fn writing(source: io::Error) -> Error {
    Error::Write { source }
}

fn compress(
    sink: &mut dyn Write,
    level: i32,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
) -> Result<(), Error> {
    let encoder = zstd::Encoder::new(sink, level).and_then(|mut encoder| {
        encoder.include_checksum(true)?;
        // High levels would take larger windows, and installers could not take the member over.
        encoder.window_log(WINDOW.ilog2())?;
        Ok(encoder)
    });
    let mut encoder = encoder.map_err(writing)?;
    write(&mut encoder)?;
    encoder.finish().map_err(writing)?;
    Ok(())
}

/// The tar archives of one package, which share one set of paths.
#[derive(Default)]
struct Tars {
    layout: Layout,
    modes: HashMap<String, u32>,
}

impl Tars {
    fn write<'a>(
        &mut self,
        sink: &mut dyn Write,
        is_info: bool,
        items: impl IntoIterator<Item = Item<'a>>,
    ) -> Result<(), Error> {
        let mut builder = tar::Builder::new(sink);
        self.append_all(&mut builder, is_info, items)?;
        builder.finish().map_err(writing)
    }

    fn append_all<'a, W: Write>(
        &mut self,
        builder: &mut tar::Builder<W>,
        is_info: bool,
        items: impl IntoIterator<Item = Item<'a>>,
    ) -> Result<(), Error> {
        items
            .into_iter()
            .try_for_each(|item| self.append(builder, is_info, item))
    }

    fn append<W: Write>(
        &mut self,
        builder: &mut tar::Builder<W>,
        is_info: bool,
        item: Item<'_>,
    ) -> Result<(), Error> {
        let problem = |problem| Error::Path {
            entry: lossy(item.path.as_bytes()),
            problem,
        };
        let path = normalise(item.path.as_bytes())?.ok_or_else(|| problem("it has no name"))?;
        if path.starts_with("info/") != is_info {
            return Err(problem("metadata lies under info/, and nothing else does"));
        }
        let (kind, tar_kind) = match &item.kind {
            ItemKind::File { .. } => (EntryKind::File, tar::EntryType::Regular),
            ItemKind::HardLink { target } => {
                let target = target.clone();
                (EntryKind::HardLink { target }, tar::EntryType::Link)
            }
            ItemKind::SymbolicLink { target } => {
                let target = target.clone();
                (EntryKind::SymbolicLink { target }, tar::EntryType::Symlink)
            }
            ItemKind::Directory => (EntryKind::Directory, tar::EntryType::Directory),
        };
        self.layout.add(&path, &kind)?;
        if item.mode & !0o777 != 0 {
            return Err(Error::Special {
                entry: lossy(path.as_bytes()),
                special: Special::SetId,
            });
        }
        let mode = match &kind {
            // The names of one file share its mode, and who unpacks sets the last one that is read.
            EntryKind::HardLink { target } => self.modes.get(target).copied().unwrap_or(item.mode),
            _ => item.mode,
        };
        self.modes.insert(path.clone(), mode);
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar_kind);
        header.set_mode(mode);
        header.set_mtime(item.mtime);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        match item.kind {
            ItemKind::File { size, content } => {
                header.set_size(size);
                let mut content = Exact {
                    inner: content,
                    left: size,
                };
                builder
                    .append_data(&mut header, &path, &mut content)
                    .map_err(writing)
            }
            ItemKind::HardLink { target } | ItemKind::SymbolicLink { target } => {
                link(builder, &mut header, &path, &target).map_err(writing)
            }
            ItemKind::Directory => builder
                .append_data(&mut header, format!("{path}/"), io::empty())
                .map_err(writing),
        }
    }
}

/// Appends a link with its target as it is, which `append_link` would tidy.
fn link<W: Write>(
    builder: &mut tar::Builder<W>,
    header: &mut tar::Header,
    path: &str,
    target: &str,
) -> io::Result<()> {
    let field = header.as_old().linkname.len();
    if target.len() > field {
        // GNU tar's way for long targets: they precede the link as the content of an entry.
        let content = [target.as_bytes(), b"\0"].concat();
        let mut long = tar::Header::new_gnu();
        long.set_entry_type(tar::EntryType::GNULongLink);
        long.set_mode(0o644);
        long.set_uid(0);
        long.set_gid(0);
        long.set_mtime(0);
        long.set_size(content.len() as u64);
        builder.append_data(&mut long, "././@LongLink", &*content)?;
    }
    let short = target.as_bytes().get(..field.min(target.len()));
    header.set_link_name_literal(short.unwrap_or_default())?;
    builder.append_data(header, path, io::empty())
}

/// A file that turns out longer or shorter than its header says would shift all that follows.
struct Exact<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let short = count == 0 && !buffer.is_empty() && self.left > 0;
        match self.left.checked_sub(count as u64) {
            Some(left) if !short => self.left = left,
            _ => {
                return Err(io::Error::other(
                    "the content does not have the size that was given",
                ));
            }
        }
        Ok(count)
    }
}
