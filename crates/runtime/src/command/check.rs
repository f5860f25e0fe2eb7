//! `--check`: everything in the file is read, compared with its digest and decoded, and every
//! file's content is compared with the digest in the plan of its package.

use std::io::{self, Read as _};
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use archive::digest::{Hasher, Sha256};
use archive::payload::{self, Decoder, Part, Payload, ReadAt};

use crate::plan::{Entry, Kind, Package, Plan};

#[cfg(test)]
mod tests;

/// Why the file cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Payload(#[from] payload::Error),
    #[error("`{path}` of {owner} is damaged: its sha256 is {actual}, expected {expected}")]
    File {
        owner: String,
        path: String,
        expected: Sha256,
        actual: Sha256,
    },
    #[error("`{path}` of {owner} lies outside {part}")]
    Outside {
        owner: String,
        path: String,
        part: Part,
    },
}

/// What was verified.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) packages: usize,
    pub(super) files: usize,
    /// Decoded bytes of all frames.
    pub(super) bytes: u64,
}

/// Verifies all frames, `threads` at a time. Header, runtime and index are verified already.
pub(super) fn check<S: ReadAt + ?Sized>(
    payload: &Payload<'_, S>,
    plan: &Plan,
    threads: NonZeroUsize,
) -> Result<Checked, Error> {
    let read = |head: &crate::plan::PackageHead| payload.json(head.plan);
    let packages: Vec<Package> = plan.packages.iter().map(read).collect::<Result<_, _>>()?;
    let mut frames: Vec<Vec<Content<'_>>> = Vec::new();
    frames.resize_with(payload.index.frames.len(), Vec::new);
    collect(&mut frames, "extra_files", &plan.extra)?;
    for package in &packages {
        collect(&mut frames, &package.dist, &package.entries)?;
        collect(&mut frames, &package.dist, &package.info)?;
    }

    let next = AtomicUsize::new(0);
    let failures: Mutex<Vec<Error>> = Mutex::new(Vec::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(contents) = frames.get(number) else {
                return;
            };
            if let Err(error) = verify(payload, number, contents) {
                next.store(frames.len(), Ordering::Relaxed);
                failures
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .push(error);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads.get() {
            scope.spawn(work);
        }
    });
    match failures
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .pop()
    {
        Some(error) => Err(error),
        None => Ok(Checked {
            packages: packages.len(),
            files: frames.iter().map(Vec::len).sum(),
            bytes: payload.index.frames.iter().map(|frame| frame.size).sum(),
        }),
    }
}

/// A file's bytes in a frame.
#[derive(Debug, Clone, Copy)]
struct Content<'a> {
    owner: &'a str,
    path: &'a str,
    offset: u64,
    size: u64,
    sha256: Sha256,
}

fn collect<'a>(
    frames: &mut [Vec<Content<'a>>],
    owner: &'a str,
    entries: &'a [Entry],
) -> Result<(), Error> {
    for entry in entries {
        let Kind::File(file) = &entry.kind else {
            continue;
        };
        let frame = frames.get_mut(file.frame);
        let frame = frame.ok_or(payload::Error::NoFrame { number: file.frame })?;
        let (offset, size, sha256) = (file.offset, file.size, file.sha256);
        frame.push(Content {
            owner,
            path: &entry.path,
            offset,
            size,
            sha256,
        });
    }
    Ok(())
}

/// Decodes a frame from its start to its end, and digests each file's bytes as they go by. Several
/// files may share bytes.
fn verify<S: ReadAt + ?Sized>(
    payload: &Payload<'_, S>,
    number: usize,
    contents: &[Content<'_>],
) -> Result<(), Error> {
    let mut waiting = contents.to_vec();
    waiting.sort_by_key(|content| std::cmp::Reverse(content.offset));
    let mut open: Vec<(Content<'_>, Hasher)> = Vec::new();
    let mut decoder = Decoder::new();
    let mut reader = payload.frame(number, &mut decoder)?;
    let mut buffer = vec![0; 1 << 17];
    let mut position = 0;
    loop {
        while let Some(content) = waiting.pop_if(|content| content.offset <= position) {
            open.push((content, Hasher::new()));
        }
        for (content, hasher) in open.extract_if(.., |(content, _)| end(content) <= position) {
            let actual = hasher.finish().sha256;
            if actual != content.sha256 {
                let (owner, path) = (content.owner.to_owned(), content.path.to_owned());
                return Err(Error::File {
                    owner,
                    path,
                    expected: content.sha256,
                    actual,
                });
            }
        }
        // The next piece ends where a file begins or ends, so that each belongs to whole files.
        let ends = open.iter().map(|(content, _)| end(content));
        let border = ends
            .chain(waiting.last().map(|content| content.offset))
            .min();
        let length = border
            .map_or(u64::MAX, |border| border - position)
            .min(buffer.len() as u64);
        let piece = usize::try_from(length).unwrap_or(buffer.len());
        let piece = buffer.get_mut(..piece).unwrap_or_default();
        let read = match reader.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result.map_err(|source| payload::Error::Decode {
                part: Part::Frame(number),
                source,
            })?,
        };
        if read == 0 {
            break;
        }
        for (_, hasher) in &mut open {
            hasher.update(piece.get(..read).unwrap_or_default());
        }
        position += read as u64;
    }
    match open.first().map(|(content, _)| content).or(waiting.last()) {
        Some(Content { owner, path, .. }) => {
            let (owner, path) = ((*owner).to_owned(), (*path).to_owned());
            Err(Error::Outside {
                owner,
                path,
                part: Part::Frame(number),
            })
        }
        None => Ok(()),
    }
}

fn end(content: &Content<'_>) -> u64 {
    content.offset.saturating_add(content.size)
}
