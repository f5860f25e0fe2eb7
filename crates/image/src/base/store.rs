//! The files of an image, wherever they lie: a folder, an uncompressed tar file whose members are
//! found once and then read by their position, or files that were fetched one by one.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use fs_err::File;

use super::Error;
use super::gate::{Gate, HEADER_LIMIT};

/// More members than this are no image's.
const MOST_MEMBERS: usize = 100_000;

/// Where files lie.
#[derive(Debug)]
pub(crate) enum Store {
    /// In a folder.
    Folder(PathBuf),
    /// In a tar file.
    Tar {
        path: PathBuf,
        members: HashMap<String, Member>,
    },
    /// Each at a place of its own.
    Fetched(HashMap<String, PathBuf>),
}

/// A member of a tar file.
#[derive(Debug, Clone)]
pub(crate) enum Member {
    /// Position and length of its bytes.
    File(u64, u64),
    /// A link to another member, as old versions of `docker save` write for layers that are there
    /// twice.
    Link(String),
}

impl Store {
    /// Opens a folder, or lists a tar file.
    pub(crate) fn open(path: &Path) -> Result<Store, Error> {
        let read = |source| Error::Read {
            member: path.display().to_string(),
            source,
        };
        let metadata = fs_err::metadata(path).map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                Error::Absent
            } else {
                read(source)
            }
        })?;
        if metadata.is_dir() {
            return Ok(Store::Folder(path.to_owned()));
        }
        let mut file = File::open(path).map_err(read)?;
        let mut magic = [0; 4];
        let count = file.read(&mut magic).map_err(read)?;
        if magic.starts_with(b"\x1f\x8b") || magic == *b"\x28\xb5\x2f\xfd" {
            return Err(Error::Compressed);
        }
        if count == 0 {
            return Err(Error::NotAnImage);
        }
        file.seek(SeekFrom::Start(0)).map_err(read)?;
        let (gate, left) = Gate::before(file);
        let mut archive = tar::Archive::new(gate);
        let mut members = HashMap::new();
        // Whatever is no tar file ends here.
        let entries = archive.entries_with_seek().map_err(|_| Error::NotAnImage)?;
        for entry in entries {
            left.set(HEADER_LIMIT);
            let Ok(entry) = entry else {
                if members.is_empty() {
                    return Err(Error::NotAnImage);
                }
                return Err(Error::Decode {
                    member: path.display().to_string(),
                    source: io::ErrorKind::UnexpectedEof.into(),
                });
            };
            if members.len() >= MOST_MEMBERS {
                return Err(Error::ManyEntries {
                    limit: MOST_MEMBERS,
                });
            }
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = normal(&name);
            let kind = entry.header().entry_type();
            if kind.is_file() {
                let start = entry.raw_file_position();
                if start
                    .checked_add(entry.size())
                    .is_none_or(|end| end > metadata.len())
                {
                    return Err(Error::Decode {
                        member: name,
                        source: io::ErrorKind::UnexpectedEof.into(),
                    });
                }
                members.insert(name, Member::File(start, entry.size()));
            } else if kind.is_symlink() || kind.is_hard_link() {
                let target = entry.link_name_bytes().unwrap_or_default();
                let target = String::from_utf8_lossy(&target).into_owned();
                let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
                let target = if kind.is_symlink() {
                    normal(&format!("{folder}/{target}"))
                } else {
                    normal(&target)
                };
                members.insert(name, Member::Link(target));
            }
        }
        Ok(Store::Tar {
            path: path.to_owned(),
            members,
        })
    }

    /// Whether there is such a file.
    pub(crate) fn has(&self, member: &str) -> bool {
        self.size(member).is_ok()
    }

    /// Its length in bytes.
    pub(crate) fn size(&self, member: &str) -> Result<u64, Error> {
        match self {
            Store::Folder(folder) => {
                let metadata = fs_err::metadata(folder.join(inside(member)?))
                    .map_err(|source| unreadable(member, source))?;
                if metadata.is_file() {
                    Ok(metadata.len())
                } else {
                    Err(missing(member))
                }
            }
            Store::Tar { members, .. } => find(members, member).map(|(_, size)| size),
            Store::Fetched(paths) => {
                let path = paths.get(member).ok_or_else(|| missing(member))?;
                let metadata = fs_err::metadata(path).map_err(|e| unreadable(member, e))?;
                Ok(metadata.len())
            }
        }
    }

    /// Its bytes, as a stream.
    pub(crate) fn open_member(&self, member: &str) -> Result<Box<dyn Read + Send>, Error> {
        let read = |source| unreadable(member, source);
        match self {
            Store::Folder(folder) => {
                let file = File::open(folder.join(inside(member)?)).map_err(read)?;
                Ok(Box::new(file))
            }
            Store::Tar { path, members } => {
                let (start, size) = find(members, member)?;
                let mut file = File::open(path).map_err(read)?;
                file.seek(SeekFrom::Start(start)).map_err(read)?;
                Ok(Box::new(file.take(size)))
            }
            Store::Fetched(paths) => {
                let path = paths.get(member).ok_or_else(|| missing(member))?;
                Ok(Box::new(File::open(path).map_err(read)?))
            }
        }
    }

    /// The file that it is, if it is one of its own.
    pub(crate) fn path(&self, member: &str) -> Option<PathBuf> {
        match self {
            Store::Folder(folder) => Some(folder.join(inside(member).ok()?)),
            Store::Tar { .. } => None,
            Store::Fetched(paths) => paths.get(member).cloned(),
        }
    }

    /// All its bytes, if there are not more than `limit`.
    pub(crate) fn read(&self, member: &str, limit: u64) -> Result<Vec<u8>, Error> {
        if self.size(member)? > limit {
            return Err(Error::Long {
                member: member.to_owned(),
                limit,
            });
        }
        let mut bytes = Vec::new();
        self.open_member(member)?
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(|source| unreadable(member, source))?;
        Ok(bytes)
    }
}

fn find(members: &HashMap<String, Member>, member: &str) -> Result<(u64, u64), Error> {
    let mut name = normal(member);
    for _ in 0..8 {
        match members.get(&name) {
            Some(Member::File(start, size)) => return Ok((*start, *size)),
            Some(Member::Link(target)) => name.clone_from(target),
            None => break,
        }
    }
    Err(missing(member))
}

fn missing(member: &str) -> Error {
    Error::Missing {
        member: member.to_owned(),
    }
}

fn unreadable(member: &str, source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::NotFound {
        return missing(member);
    }
    Error::Read {
        member: member.to_owned(),
        source,
    }
}

/// A path in a folder, which does not lead out of it.
fn inside(member: &str) -> Result<&str, Error> {
    let plain = |name: &str| !matches!(name, "" | "." | "..");
    if member.split('/').all(plain) {
        Ok(member)
    } else {
        Err(missing(member))
    }
}

/// A path without `.`, `..` and empty names.
fn normal(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    names.join("/")
}
