//! An open package: its metadata, its entries in the order of the archive, and where its
//! compressed content lies.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::ControlFlow;

use super::zip::{Checked, Members, members};
use super::{Entry, EntryKind, Error, Kind, Member, WINDOW, bzip2, frames, visit};

const INDEX: &str = "info/index.json";

/// How much a package may ask for.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The largest window of a Zstandard stream, as a power of two. 27 (128 MiB) is what
    /// libzstd, and so every conda client, decodes; at most 31.
    pub window_log_max: u32,
    /// The largest file under `info/` that [`Package::info`] and [`Package::index_json`] return, in bytes.
    pub file_limit: u64,
    /// The most that [`Package::info`] returns in all, in bytes.
    pub info_limit: u64,
    /// The most that each archive of a package may decode to, in bytes.
    pub total_limit: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            window_log_max: 27,
            file_limit: 64 << 20,
            info_limit: 512 << 20,
            total_limit: 64 << 30,
        }
    }
}

/// A package that is being read.
#[derive(Debug)]
pub struct Package<R> {
    source: R,
    members: Option<Members>,
    options: Options,
}

impl<R: Read + Seek> Package<R> {
    /// Opens a package with the default limits. Of a `.conda` the zip directory is read and
    /// checked, of a `.tar.bz2` nothing.
    pub fn open(source: R, kind: Kind) -> Result<Self, Error> {
        Self::open_with(source, kind, Options::default())
    }

    /// Opens a package.
    pub fn open_with(mut source: R, kind: Kind, options: Options) -> Result<Self, Error> {
        let members = match kind {
            Kind::Conda => Some(members(&mut source)?),
            Kind::TarBz2 => None,
        };
        Ok(Self {
            source,
            members,
            options,
        })
    }

    /// The format.
    pub fn kind(&self) -> Kind {
        match self.members {
            Some(_) => Kind::Conda,
            None => Kind::TarBz2,
        }
    }

    /// `NAME-VERSION-BUILD` as a `.conda` says it inside; a `.tar.bz2` does not.
    pub fn stem(&self) -> Option<&str> {
        self.members.as_ref().map(|members| members.stem.as_str())
    }

    /// Gives the source back.
    pub fn into_inner(self) -> R {
        self.source
    }

    /// Where the compressed content of a `.conda` lies, one or more Zstandard frames that decode to
    /// a tar archive; `None` for a `.tar.bz2`. To know that it is sound, visit the entries.
    pub fn content_member(&self) -> Option<&Member> {
        self.members.as_ref().map(|members| &members.content)
    }

    /// The same for the metadata.
    pub fn info_member(&self) -> Option<&Member> {
        self.members.as_ref().map(|members| &members.info)
    }

    /// The largest window, in bytes, that decoding [`Package::content_member`] takes, read from
    /// its frame headers; `None` for a `.tar.bz2`.
    pub fn content_window(&mut self) -> Result<Option<u64>, Error> {
        let Some(members) = &self.members else {
            return Ok(None);
        };
        window_of(&mut self.source, &members.content).map(Some)
    }

    /// Whether the content of a `.conda` has windows above [`WINDOW`], so that it cannot be
    /// taken over without recompression. False for a `.tar.bz2`.
    pub fn needs_large_window(&mut self) -> Result<bool, Error> {
        Ok(self.content_window()?.is_some_and(|window| window > WINDOW))
    }

    /// Visits all entries of the content in the order of the archive: for a `.tar.bz2` everything,
    /// for a `.conda` what its content archive holds, which may include files under `info/`. What a visitor does not read is skipped; what
    /// follows a broken entry is not visited.
    /// That the archive is whole is certain when this returns, not before. Returns the decoded
    /// length of the archive in bytes.
    pub fn entries<E: From<Error>>(
        &mut self,
        visitor: &mut dyn FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<u64, E> {
        self.walk(Part::Content, &mut |entry| {
            visitor(entry).map(ControlFlow::Continue)
        })
    }

    /// Visits all entries under `info/`; for a `.conda`, those of its metadata archive. Returns the decoded length of the archive that holds them.
    pub fn info_entries<E: From<Error>>(
        &mut self,
        visitor: &mut dyn FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<u64, E> {
        self.walk(Part::Info, &mut |entry| {
            visitor(entry).map(ControlFlow::Continue)
        })
    }

    /// Visits entries under `info/` until the visitor breaks off; of a `.tar.bz2` no more is decoded
    /// than that takes. Returns whether all were visited, so that the archive is known to be whole.
    pub fn info_until<E: From<Error>>(
        &mut self,
        visitor: &mut dyn FnMut(Entry<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<bool, E> {
        let mut all = true;
        self.walk(Part::Info, &mut |entry| {
            let flow = visitor(entry)?;
            all &= flow.is_continue();
            Ok::<_, E>(flow)
        })?;
        Ok(all)
    }

    /// All files under `info/` by their path. Links and folders are left out.
    pub fn info(&mut self) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let options = self.options;
        let mut files = BTreeMap::new();
        let mut total = 0_u64;
        self.info_entries::<Error>(&mut |entry| {
            if entry.kind != EntryKind::File {
                return Ok(());
            }
            total = total.saturating_add(entry.size);
            if total > options.info_limit {
                return Err(Error::Limit {
                    entry: entry.path,
                    what: "the size of all metadata up to that",
                    limit: options.info_limit,
                });
            }
            let path = entry.path.clone();
            files.insert(path, content(entry, options.file_limit)?);
            Ok(())
        })?;
        Ok(files)
    }

    /// `info/index.json`. Of a `.tar.bz2` no more is decoded than it takes to find it.
    pub fn index_json(&mut self) -> Result<Vec<u8>, Error> {
        let limit = self.options.file_limit;
        let early = self.kind() == Kind::TarBz2;
        let mut index = None;
        self.walk::<Error>(Part::Info, &mut |entry| {
            if entry.path == INDEX && entry.kind == EntryKind::File {
                index = Some(content(entry, limit)?);
                if early {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        index.ok_or(Error::MissingFile { file: INDEX })
    }

    /// Whether the file is whole, at the cost of reading it: the checksums of a `.conda`'s
    /// members; the end mark of a `.tar.bz2`, which is decoded only where that is missing.
    pub fn check_whole(&mut self) -> Result<(), Error> {
        let Some(members) = &self.members else {
            if bzip2::is_complete(&mut self.source)? {
                return Ok(());
            }
            return self.entries(&mut |_| Ok::<(), Error>(())).map(drop);
        };
        for member in [&members.info, &members.content] {
            let mut reader = Checked::buffered(&mut self.source, member)?;
            io::copy(&mut reader, &mut io::sink()).map_err(Error::reading)?;
        }
        Ok(())
    }

    fn walk<E: From<Error>>(
        &mut self,
        part: Part,
        visitor: &mut dyn FnMut(Entry<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<u64, E> {
        let total = self.options.total_limit;
        let Some(members) = &self.members else {
            self.source
                .seek(SeekFrom::Start(0))
                .map_err(|source| Error::Read { source })?;
            let reader = BufReader::with_capacity(1 << 17, &mut self.source);
            return match part {
                Part::Info => visit::visit(bzip2::Decoder::new(reader), total, true, visitor),
                Part::Content => {
                    let decoder = ::bzip2::bufread::MultiBzDecoder::new(reader);
                    visit::visit(decoder, total, false, visitor)
                }
            };
        };
        let member = match part {
            Part::Info => &members.info,
            Part::Content => &members.content,
        };
        let reader = Checked::buffered(&mut self.source, member)?;
        let decoder = zstd::Decoder::with_buffer(reader).and_then(|mut decoder| {
            decoder.window_log_max(self.options.window_log_max)?;
            Ok(decoder)
        });
        let decoder = decoder.map_err(|source| Error::Decode { source })?;
        let outcome = visit::visit(decoder, total, false, &mut |entry: Entry<'_>| {
            // Some old packages hold files of info/ in the content archive too.
            if part == Part::Info && !is_info(&entry.path) {
                let entry = entry.path;
                let problem = "it is in the metadata archive, but not under info/";
                return Err(Error::Path { entry, problem }.into());
            }
            visitor(entry).map_err(Failure::Visitor)
        });
        match outcome {
            Ok(length) => Ok(length),
            Err(Failure::Visitor(error)) => Err(error),
            Err(Failure::Package(Error::Decode { source })) => {
                let limit = 1 << self.options.window_log_max.min(31);
                match window_of(&mut self.source, member) {
                    Ok(window) if window > limit => Err(Error::Window { window, limit }.into()),
                    _ => Err(Error::Decode { source }.into()),
                }
            }
            Err(Failure::Package(error)) => Err(error.into()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Info,
    Content,
}

/// Keeps what is wrong with the package apart from what the visitor complains of.
enum Failure<E> {
    Package(Error),
    Visitor(E),
}

impl<E> From<Error> for Failure<E> {
    fn from(error: Error) -> Self {
        Self::Package(error)
    }
}

fn is_info(path: &str) -> bool {
    path == "info" || path.starts_with("info/")
}

fn content(entry: Entry<'_>, limit: u64) -> Result<Vec<u8>, Error> {
    if entry.size > limit {
        return Err(Error::Limit {
            entry: entry.path,
            what: "the size",
            limit,
        });
    }
    // Grows with what is there: the size is only what the package says.
    let mut content = Vec::new();
    entry
        .content
        .read_to_end(&mut content)
        .map_err(Error::reading)?;
    Ok(content)
}

fn window_of<R: Read + Seek>(source: &mut R, member: &Member) -> Result<u64, Error> {
    let mut reader = Checked::buffered(source, member)?;
    frames::largest_window(&mut reader).map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData => Error::Decode { source },
        _ => Error::reading(source),
    })
}
