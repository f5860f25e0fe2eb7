//! Which paths a package may hold: relative, clean, each once, and none below something that is no
//! directory. So a package can never lead a writer out of its own folder.

use std::collections::HashMap;

use super::Error;
use super::visit::EntryKind;

/// Linux allows paths of 4095 bytes.
const PATH_LIMIT: usize = 4095;

/// What all names of one package may take, with `NAME_COST` for each: about 2,000,000 names, many
/// times what the largest real packages have.
const NAMES_LIMIT: usize = 256 << 20;
const NAME_COST: usize = 64;

/// Whether a symbolic link at `path` leads out of the folder that `path` is relative to, at any
/// step on the way. Absolute targets do.
pub fn escapes(path: &str, target: &str) -> bool {
    if target.starts_with('/') {
        return true;
    }
    let mut depth = path
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .count()
        .saturating_sub(1);
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return true,
            },
            _ => depth += 1,
        }
    }
    false
}

/// A name from a tar header as a path; `None` for the folder itself (`./`).
pub(super) fn normalise(raw: &[u8]) -> Result<Option<String>, Error> {
    let problem = |problem| Error::Path {
        entry: lossy(raw),
        problem,
    };
    let text = std::str::from_utf8(raw).map_err(|_| problem("its name is not UTF-8"))?;
    if text.contains('\0') {
        return Err(problem("its name holds a NUL"));
    }
    if text.len() > PATH_LIMIT {
        return Err(problem("its name is longer than 4095 bytes"));
    }
    if text.starts_with('/') {
        return Err(problem("its path is absolute"));
    }
    let mut path = String::with_capacity(text.len());
    // A directory's name may end in a slash.
    for part in text.strip_suffix('/').unwrap_or(text).split('/') {
        match part {
            "." => continue,
            ".." => return Err(problem("its path leads upwards")),
            "" => return Err(problem("a part of its path is empty")),
            _ => {}
        }
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(part);
    }
    Ok((!path.is_empty()).then_some(path))
}

/// A name for an error message: no control characters, not endless.
pub(super) fn lossy(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let mut shown: String = text
        .chars()
        .take(200)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(200).is_some() {
        shown.push('…');
    }
    shown
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    File,
    SymbolicLink,
    Directory,
}

/// The paths that a package has so far.
#[derive(Default)]
pub(super) struct Layout {
    places: HashMap<String, Place>,
    names: usize,
}

impl Layout {
    /// Takes an entry in, or says why it cannot be.
    pub(super) fn add(&mut self, path: &str, kind: &EntryKind) -> Result<(), Error> {
        let entry = || lossy(path.as_bytes());
        for (end, _) in path.match_indices('/') {
            let parent = path.get(..end).unwrap_or_default();
            match self.places.get(parent) {
                Some(Place::Directory) => {}
                Some(_) => {
                    return Err(Error::NotDirectory {
                        entry: entry(),
                        parent: lossy(parent.as_bytes()),
                    });
                }
                None => self.insert(parent, Place::Directory)?,
            }
        }
        let place = match kind {
            EntryKind::File => Place::File,
            EntryKind::HardLink { target } => {
                let problem = |problem| Error::Link {
                    entry: entry(),
                    target: lossy(target.as_bytes()),
                    problem,
                };
                match self.places.get(target) {
                    Some(Place::File) => Place::File,
                    Some(_) => return Err(problem("is not a file")),
                    None => return Err(problem("is not an earlier entry of the package")),
                }
            }
            EntryKind::SymbolicLink { target } => {
                if escapes(path, target) {
                    return Err(Error::Link {
                        entry: entry(),
                        target: lossy(target.as_bytes()),
                        problem: "leads outside the package",
                    });
                }
                Place::SymbolicLink
            }
            EntryKind::Directory => Place::Directory,
        };
        match self.places.get(path) {
            None => self.insert(path, place),
            Some(Place::Directory) if place == Place::Directory => Ok(()),
            Some(_) => Err(Error::Duplicate { entry: entry() }),
        }
    }

    fn insert(&mut self, path: &str, place: Place) -> Result<(), Error> {
        self.names += path.len() + NAME_COST;
        if self.names > NAMES_LIMIT {
            return Err(Error::Limit {
                entry: lossy(path.as_bytes()),
                what: "the space for all names up to that",
                limit: NAMES_LIMIT as u64,
            });
        }
        self.places.insert(path.to_owned(), place);
        Ok(())
    }
}
