//! The packages in a folder against the records of its index.

use std::collections::HashSet;
use std::io::{self, Read as _};
use std::path::Path;

use archive::digest::Hasher;
use archive::package::Kind;
use rayon::prelude::*;

use super::{Error, Event, Fault, Listing, Problem, Report, ReportTo, Subfolder};
use crate::promise::Promise;

/// How much is read at a time, in bytes.
const PIECE: usize = 256 << 10;

/// Reads all packages, a few at a time.
pub(super) fn check(
    listings: &[Listing],
    found: &mut Report,
    report: ReportTo<'_>,
) -> Result<(), Error> {
    let mut jobs = Vec::new();
    for listing in listings {
        let mut subdir = Subfolder {
            name: listing.subdir.clone(),
            records: listing.records.len(),
            ..Subfolder::default()
        };
        let mut there = names(&listing.folder)?;
        for row in 0..u32::try_from(listing.records.len()).unwrap_or(u32::MAX) {
            let file = listing.records.file(row);
            if there.remove(file) {
                let length = fs_err::metadata(listing.folder.join(file));
                let length = length.map_or(0, |metadata| metadata.len());
                subdir.packages += 1;
                subdir.bytes += length;
                jobs.push((length, listing, row));
            } else if listing.is_whole {
                let path = format!("{}/{file}", listing.subdir);
                found.problems.push(Problem::new(path, Fault::Missing));
            }
        }
        subdir.unnamed = there.len();
        found.subdirs.push(subdir);
    }
    // The longest one must not be the last that is begun.
    jobs.sort_by_key(|(length, ..)| std::cmp::Reverse(*length));
    report(Event::Reading {
        bytes: jobs.iter().map(|(length, ..)| length).sum(),
    });
    let check = |(_, listing, row): &(u64, &Listing, u32)| {
        let file = listing.records.file(*row);
        let promise = Promise::of(listing.records.record(*row));
        let fault = read(&listing.folder.join(file), &promise, report)?;
        Some(Problem::new(format!("{}/{file}", listing.subdir), fault))
    };
    let faults: Vec<Problem> = jobs.par_iter().with_max_len(1).filter_map(check).collect();
    found.problems.extend(faults);
    Ok(())
}

/// What is wrong with a package.
pub(super) fn read(path: &Path, promise: &Promise, report: ReportTo<'_>) -> Option<Fault> {
    match fault(path, promise, report) {
        Ok(fault) => fault,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Fault::Missing),
        Err(error) => Some(Fault::Unreadable {
            reason: error.to_string(),
        }),
    }
}

fn fault(path: &Path, promise: &Promise, report: ReportTo<'_>) -> io::Result<Option<Fault>> {
    let mut file = fs_err::File::open(path)?;
    let length = file.metadata()?.len();
    if let Some(expected) = promise.size
        && expected != length
    {
        report(Event::Read { bytes: length });
        return Ok(Some(Fault::Size {
            expected,
            found: length,
        }));
    }
    let mut hasher = match promise.md5 {
        Some(_) => Hasher::with_md5(),
        None => Hasher::new(),
    };
    let mut piece = vec![0; PIECE];
    loop {
        let count = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(piece.get(..count).unwrap_or_default());
        report(Event::Read {
            bytes: count as u64,
        });
    }
    let digests = hasher.finish();
    let wrong = |algorithm, expected: String, found: String| {
        (expected != found).then_some(Fault::Digest {
            algorithm,
            expected,
            found,
        })
    };
    let sha256 = promise
        .sha256
        .and_then(|expected| wrong("sha256", expected.to_string(), digests.sha256.to_string()));
    let md5 = promise.md5.zip(digests.md5);
    let md5 =
        md5.and_then(|(expected, found)| wrong("md5", expected.to_string(), found.to_string()));
    Ok(sha256.or(md5))
}

/// The names of all packages in a folder.
fn names(folder: &Path) -> Result<HashSet<String>, Error> {
    let failed = |source| Error::Read {
        path: folder.to_owned(),
        source,
    };
    let mut names = HashSet::new();
    for entry in fs_err::read_dir(folder).map_err(failed)? {
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string()
            && Kind::from_file_name(&name).is_some()
        {
            names.insert(name);
        }
    }
    Ok(names)
}
