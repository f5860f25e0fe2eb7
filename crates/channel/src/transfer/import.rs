//! What was exported comes into a channel's folder: all of it is checked beside its place first, then put there in an
//! order in which no file names another that is not there yet.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use archive::digest::{HashingWriter, Sha256};
use archive::package::Kind;

use super::{Error, Event, KEPT, MANIFEST, Manifest, Report, ReportTo, rank};
use crate::lock::Lock;
use crate::place::Place;
use crate::publish;

/// Where files wait; what a killed run left there is removed by the next one.
const WAITING: &str = ".cache/transfer";

/// Brings `channel`, which is made if it is not there, to what the exported file `from` says. Nothing of it is
/// visible unless all of it is sound.
pub fn import(
    from: &Path,
    channel: &Path,
    patience: Duration,
    report: ReportTo<'_>,
) -> Result<Report, Error> {
    let unreadable = |source| Error::Read {
        path: from.to_owned(),
        source,
    };
    let file = fs_err::File::open(from).map_err(unreadable)?;
    let mut archive = tar::Archive::new(io::BufReader::with_capacity(256 << 10, file));
    let mut entries = archive.entries().map_err(unreadable)?;
    let manifest = Manifest::first(from, &mut entries)?;
    let waiting = channel.join(WAITING);
    fs_err::create_dir_all(channel).map_err(write_error(channel))?;
    let place = Place::Folder(channel.to_owned());
    let lock = Lock::take(&place, patience, &mut |owner| {
        report(Event::Waiting { owner });
    })?;
    check(&manifest, from, channel)?;
    report(Event::Total {
        bytes: manifest.report().bytes,
    });
    clear(&waiting)?;
    fs_err::create_dir_all(&waiting).map_err(write_error(&waiting))?;
    let received = receive(&manifest, from, &waiting, entries, report);
    let published = received.and_then(|files| {
        lock.check()?;
        publish_all(&manifest, channel, files)
    });
    clear(&waiting)?;
    published?;
    Ok(manifest.report())
}

/// Whether all is there that is not carried.
fn check(manifest: &Manifest, from: &Path, channel: &Path) -> Result<(), Error> {
    let carried: BTreeSet<&String> = manifest.carried.iter().collect();
    let lacks = |(path, size): &(&String, u64)| {
        let there = fs_err::metadata(channel.join(path));
        !there.is_ok_and(|there| there.is_file() && there.len() == *size)
    };
    let rest = manifest
        .files
        .iter()
        .filter(|(path, _)| !carried.contains(path));
    let lacking: Vec<_> = rest
        .map(|(path, file)| (path, file.size))
        .filter(lacks)
        .collect();
    // A package tells people more than a digest.
    let by_use = |(path, _): &&(&String, u64)| (rank(path), Kind::from_file_name(path).is_none());
    match lacking.iter().min_by_key(by_use) {
        None => Ok(()),
        Some((first, _)) => Err(Error::Lacking {
            channel: channel.to_owned(),
            archive: from.to_owned(),
            count: lacking.len(),
            first: (*first).clone(),
        }),
    }
}

/// Writes all files beside their places, and checks them; where each of them is.
fn receive(
    manifest: &Manifest,
    from: &Path,
    waiting: &Path,
    entries: tar::Entries<'_, impl io::Read>,
    report: ReportTo<'_>,
) -> Result<HashMap<String, PathBuf>, Error> {
    let damaged = |path: &str, problem: String| Error::Damaged {
        archive: from.to_owned(),
        path: path.to_owned(),
        problem,
    };
    let mut files = HashMap::new();
    let mut expected = manifest.carried.iter();
    for entry in entries {
        let path = expected.next();
        let mut entry = entry
            .map_err(|error| damaged(path.map_or(MANIFEST, String::as_str), error.to_string()))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(path) = path else {
            return Err(damaged(&name, "nothing tells what it is".to_owned()));
        };
        let promised = manifest.files.get(path);
        let promised = promised.filter(|_| name == *path && entry.header().entry_type().is_file());
        let promised =
            promised.ok_or_else(|| damaged(path, format!("`{name}` is in its place")))?;
        let draft = waiting.join(files.len().to_string());
        let out = fs_err::File::create_new(&draft).map_err(write_error(&draft))?;
        let mut out = HashingWriter::new(out);
        let mut piece = vec![0; 256 << 10];
        loop {
            let count = entry
                .read(&mut piece)
                .map_err(|error| damaged(path, error.to_string()))?;
            if count == 0 {
                break;
            }
            out.write_all(piece.get(..count).unwrap_or_default())
                .map_err(write_error(&draft))?;
            report(Event::Copied {
                path,
                bytes: count as u64,
            });
        }
        let (_, sha256, length): (_, Sha256, u64) = out.finish();
        if (length, sha256) != (promised.size, promised.sha256) {
            let problem = format!(
                "it has {length} bytes and the sha256 {sha256} instead of {} and {}",
                promised.size, promised.sha256
            );
            return Err(damaged(path, problem));
        }
        files.insert(path.clone(), draft);
    }
    match expected.next() {
        None => Ok(files),
        Some(path) => Err(damaged(path, "the file ends before it".to_owned())),
    }
}

/// Puts all into place, then takes away what the channel no longer has.
fn publish_all(
    manifest: &Manifest,
    channel: &Path,
    files: HashMap<String, PathBuf>,
) -> Result<(), Error> {
    // One call for thousands of files.
    let handle = fs_err::File::open(channel).map_err(write_error(channel))?;
    rustix::fs::syncfs(&handle).map_err(|error| write_error(channel)(error.into()))?;
    let mut files: Vec<_> = files.into_iter().collect();
    files.sort_by(|(one, _), (other, _)| rank(one).cmp(&rank(other)).then_with(|| one.cmp(other)));
    for (path, draft) in files {
        let place = channel.join(&path);
        if let Some(folder) = place.parent() {
            fs_err::create_dir_all(folder).map_err(write_error(folder))?;
        }
        fs_err::rename(&draft, &place).map_err(write_error(&place))?;
    }
    for path in &manifest.removed {
        let place = channel.join(path);
        match fs_err::remove_file(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(write_error(&place)(error));
            }
            _ => {}
        }
    }
    let kept = Manifest {
        carried: Vec::new(),
        removed: Vec::new(),
        ..manifest.clone()
    };
    let path = channel.join(KEPT);
    let text = serde_json::to_vec(&kept).map_err(|error| write_error(&path)(error.into()))?;
    let folder = path.parent().unwrap_or(channel);
    publish::draft(folder, &text, true)
        .and_then(|draft| draft.persist(&path).map_err(|error| error.error))
        .map(drop)
        .map_err(write_error(&path))
}

fn clear(waiting: &Path) -> Result<(), Error> {
    match fs_err::remove_dir_all(waiting) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(write_error(waiting)(error)),
        _ => Ok(()),
    }
}

fn write_error(path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::Write {
        path: path.to_owned(),
        source,
    }
}
