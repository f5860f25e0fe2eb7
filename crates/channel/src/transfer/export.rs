//! What the other side lacks goes into one file.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Read};
use std::path::Path;

use archive::digest::{Hasher, HashingWriter, Sha256};

use super::{Error, Event, File, MANIFEST, Manifest, Report, ReportTo, VERSION, rank};
use crate::output::repodata::fields::{field, string};
use crate::output::shards;
use crate::publish::{Target, folder_of};
use crate::text::Text;

/// How much is gathered before it is written, in bytes.
const PIECE: usize = 256 << 10;

/// Writes `to`, a file with all of `channel` that `since` does not have: an earlier export, its manifest, or a folder
/// that was imported into. It is there whole or not at all, unless it is a pipe.
pub fn export(
    channel: &Path,
    to: &Path,
    since: Option<&Path>,
    report: ReportTo<'_>,
) -> Result<Report, Error> {
    if is_part(channel, to) {
        return Err(Error::Part {
            path: to.to_owned(),
        });
    }
    let failed = |source| Error::Write {
        path: to.to_owned(),
        source,
    };
    match Target::of(to).map_err(failed)? {
        Target::Stream(file) => export_into(channel, (file, to), since, report),
        Target::File(real) => {
            // Nobody sees it before it is complete, and nothing is left of it if that never comes.
            let unwritten = |error| match error {
                fetch::Error::Write { source, .. } => failed(source),
                error => failed(io::Error::other(error)),
            };
            let mut draft = fetch::Draft::new(folder_of(&real)).map_err(unwritten)?;
            let done = export_into(channel, (&mut draft, to), since, report)?;
            draft.publish(&real, 0o644, true).map_err(unwritten)?;
            Ok(done)
        }
    }
}

/// The same into what takes bytes, and has this name for people.
pub fn export_into(
    channel: &Path,
    (out, name): (impl io::Write, &Path),
    since: Option<&Path>,
    report: ReportTo<'_>,
) -> Result<Report, Error> {
    if !channel.is_dir() {
        return Err(Error::NotFolder {
            path: channel.to_owned(),
        });
    }
    let since = since.map(Manifest::read).transpose()?;
    let manifest = manifest(channel, since.as_ref())?;
    report(Event::Total {
        bytes: manifest.report().bytes,
    });
    let failed = |source| Error::Write {
        path: name.to_owned(),
        source,
    };
    let mut archive = tar::Builder::new(BufWriter::with_capacity(PIECE, out));
    let text = serde_json::to_vec(&manifest).map_err(|error| failed(error.into()))?;
    append(&mut archive, MANIFEST, text.len() as u64, &*text).map_err(failed)?;
    for path in &manifest.carried {
        if let Some(file) = manifest.files.get(path) {
            carry(channel, path, *file, &mut archive, report)?.map_err(failed)?;
        }
    }
    let mut out = archive.into_inner().map_err(failed)?;
    io::Write::flush(&mut out).map_err(failed)?;
    Ok(manifest.report())
}

/// Whether a file would be one of those that are carried.
fn is_part(channel: &Path, file: &Path) -> bool {
    let real = [folder_of(file), channel].map(fs_err::canonicalize);
    let [Ok(folder), Ok(channel)] = real else {
        return false;
    };
    let inner = folder.strip_prefix(channel).ok();
    let name = file.file_name();
    let path = inner.zip(name).map(|(inner, name)| inner.join(name));
    path.is_some_and(|path| path.to_str().is_some_and(super::is_inside))
}

/// What the channel has, and what of it is to be carried.
fn manifest(channel: &Path, since: Option<&Manifest>) -> Result<Manifest, Error> {
    let mut paths = Vec::new();
    walk(channel, "", &mut paths)?;
    let name = |path: &String| path.rsplit('/').next().map(str::to_owned);
    let is_index = |name: String| name == "repodata.json" || name == shards::INDEX;
    if !paths.iter().filter_map(name).any(is_index) {
        return Err(Error::NoIndex {
            path: channel.to_owned(),
        });
    }
    let known = packages(channel, &paths)?;
    let mut files = BTreeMap::new();
    for path in paths {
        let file = match known.get(&path) {
            Some(sha256) => File {
                size: length(&channel.join(&path))?,
                sha256: *sha256,
            },
            None => digest(&channel.join(&path))?,
        };
        files.insert(path, file);
    }
    let there = |path: &String| since.and_then(|since| since.files.get(path));
    let mut carried: Vec<String> = files
        .iter()
        .filter(|(path, file)| there(path) != Some(*file))
        .map(|(path, _)| path.clone())
        .collect();
    carried.sort_by(|one, other| rank(one).cmp(&rank(other)).then_with(|| one.cmp(other)));
    let before = since.into_iter().flat_map(|since| since.files.keys());
    let removed = before.filter(|path| !files.contains_key(*path));
    Ok(Manifest {
        archiconda_transfer: VERSION,
        removed: removed.cloned().collect(),
        carried,
        files,
    })
}

/// All visible files below a folder.
pub(super) fn walk(folder: &Path, prefix: &str, paths: &mut Vec<String>) -> Result<(), Error> {
    let failed = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    for entry in fs_err::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // A name that no address can have is no part of a channel.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = format!("{prefix}{name}");
        if !super::is_inside(&path) {
            continue;
        }
        let metadata = fs_err::metadata(entry.path()).map_err(failed)?;
        let is_link = entry.file_type().map_err(failed)?.is_symlink();
        if metadata.is_dir() && !is_link {
            walk(&entry.path(), &format!("{path}/"), paths)?;
        } else if metadata.is_file() {
            paths.push(path);
        }
    }
    Ok(())
}

/// The digests that the indexes tell of packages, so that nobody reads those that are not carried.
fn packages(channel: &Path, paths: &[String]) -> Result<BTreeMap<String, Sha256>, Error> {
    let mut known = BTreeMap::new();
    for path in paths {
        let Some(subdir) = path.strip_suffix("/repodata.json") else {
            continue;
        };
        let failed = |source| Error::Read {
            path: channel.join(path),
            source,
        };
        let text = fs_err::read_to_string(channel.join(path)).map_err(failed)?;
        let text = Text::parse(text).map_err(|error| failed(io::Error::other(error)))?;
        for row in 0..u32::try_from(text.len()).unwrap_or(u32::MAX) {
            let digits = field(text.record(row), "sha256").and_then(string);
            if let Some(sha256) = digits.and_then(|digits| digits.parse().ok()) {
                known.insert(format!("{subdir}/{}", text.file(row)), sha256);
            }
        }
    }
    // The name of a shard is its digest.
    for path in paths {
        let name = path.rsplit('/').next().unwrap_or(path);
        let digits = name.strip_suffix(".msgpack.zst");
        if let Some(sha256) = digits.and_then(|digits| digits.parse().ok()) {
            known.insert(path.clone(), sha256);
        }
    }
    Ok(known)
}

fn length(path: &Path) -> Result<u64, Error> {
    let metadata = fs_err::metadata(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(metadata.len())
}

fn digest(path: &Path) -> Result<File, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = fs_err::File::open(path).map_err(failed)?;
    let mut out = HashingWriter::new(io::sink());
    io::copy(&mut file, &mut out).map_err(failed)?;
    let (_, sha256, size) = out.finish();
    Ok(File { size, sha256 })
}

/// Copies one file, which must be what the manifest says. The inner error is the archive's.
fn carry(
    channel: &Path,
    path: &str,
    file: File,
    archive: &mut tar::Builder<impl io::Write>,
    report: ReportTo<'_>,
) -> Result<io::Result<()>, Error> {
    let place = channel.join(path);
    let changed = || Error::Changed {
        path: path.to_owned(),
    };
    let source = fs_err::File::open(&place).map_err(|source| Error::Read {
        path: place.clone(),
        source,
    })?;
    if length(&place)? != file.size {
        return Err(changed());
    }
    let mut reader = Watched {
        inner: source.take(file.size),
        hasher: Hasher::new(),
        path,
        report,
    };
    let copied = append(archive, path, file.size, &mut reader);
    if copied.is_ok() && reader.hasher.finish().sha256 != file.sha256 {
        return Err(changed());
    }
    Ok(copied)
}

fn append(
    archive: &mut tar::Builder<impl io::Write>,
    path: &str,
    size: u64,
    reader: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::Regular);
    archive.append_data(&mut header, path, reader)
}

/// Digests and tells what is read through it.
struct Watched<'a, R> {
    inner: R,
    hasher: Hasher,
    path: &'a str,
    report: ReportTo<'a>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        (self.report)(Event::Copied {
            path: self.path,
            bytes: count as u64,
        });
        Ok(count)
    }
}
