//! One path, several packages: who wins. The rule is rattler's (`ClobberRegistry::unclobber` with
//! records in topological order) and conda's, which links packages in that order: the package that
//! stands last in dependency order has the path, so that one can override a file of its dependency.
//! Files of `extra_files` and the installer's own texts win over all packages.

use std::collections::HashMap;

use runtime::plan::{Entry, Kind, Package, Text};

use super::EntryError;

/// A path that several packages have.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Clobber {
    /// The path, relative to the prefix.
    pub path: String,
    /// Who keeps it.
    pub winner: String,
    /// Whose file is not written.
    pub loser: String,
}

/// Who owns a path so far.
struct Owner {
    name: String,
    directory: bool,
}

/// Marks the entries that lose, and names each pair. A file where another package needs a
/// directory is an error: nothing that could be written there would serve both.
pub(super) fn resolve(
    packages: &mut [Package],
    extra: &[Entry],
    texts: &[Text],
) -> Result<Vec<Clobber>, EntryError> {
    let mut owners: HashMap<String, Owner> = HashMap::new();
    let ours = extra
        .iter()
        .map(|entry| (&entry.path, "extra_files"))
        .chain(texts.iter().map(|text| (&text.path, "the installer")));
    for (path, name) in ours {
        claim_parents(&mut owners, path, name)?;
        let owner = Owner {
            name: name.to_owned(),
            directory: false,
        };
        if let Some(other) = owners.insert(path.clone(), owner)
            && other.directory
        {
            return Err(file_and_directory(path, name, &other.name));
        }
    }
    let mut clobbers = Vec::new();
    for package in packages.iter_mut().rev() {
        let dist = package.dist.clone();
        for entry in &mut package.entries {
            claim_parents(&mut owners, &entry.path, &dist)?;
            let directory = entry.kind == Kind::Directory;
            match owners.get(&entry.path) {
                None => {
                    owners.insert(
                        entry.path.clone(),
                        Owner {
                            name: dist.clone(),
                            directory,
                        },
                    );
                }
                Some(owner) if owner.directory && directory => {}
                Some(owner) if owner.directory || directory => {
                    let (file, below) = if directory {
                        (&owner.name, &dist)
                    } else {
                        (&dist, &owner.name)
                    };
                    return Err(file_and_directory(&entry.path, file, below));
                }
                Some(owner) => {
                    entry.clobbered_by = Some(owner.name.clone());
                    clobbers.push(Clobber {
                        path: entry.path.clone(),
                        winner: owner.name.clone(),
                        loser: dist.clone(),
                    });
                }
            }
        }
    }
    unlink_from_losers(packages);
    clobbers.sort_by(|a, b| (&a.path, &a.loser).cmp(&(&b.path, &b.loser)));
    Ok(clobbers)
}

/// Every folder above `path` is a directory from now on.
fn claim_parents(
    owners: &mut HashMap<String, Owner>,
    path: &str,
    dist: &str,
) -> Result<(), EntryError> {
    let mut end = path.len();
    while let Some(slash) = path[..end].rfind('/') {
        match owners.get(&path[..slash]) {
            Some(owner) if owner.directory => return Ok(()),
            Some(owner) => return Err(file_and_directory(&path[..slash], &owner.name, dist)),
            None => {
                let owner = Owner {
                    name: dist.to_owned(),
                    directory: true,
                };
                owners.insert(path[..slash].to_owned(), owner);
            }
        }
        end = slash;
    }
    Ok(())
}

fn file_and_directory(path: &str, file: &str, directory: &str) -> EntryError {
    EntryError::FileAndDirectory {
        path: path.to_owned(),
        file_package: file.to_owned(),
        directory_package: directory.to_owned(),
    }
}

/// A hard link to an entry that is not written becomes a file with the same bytes.
fn unlink_from_losers(packages: &mut [Package]) {
    for package in packages {
        let lost: HashMap<String, Kind> = package
            .entries
            .iter()
            .filter(|entry| entry.clobbered_by.is_some())
            .map(|entry| (entry.path.clone(), entry.kind.clone()))
            .collect();
        for entry in &mut package.entries {
            if let Kind::HardLink { to } = &entry.kind
                && let Some(kind @ Kind::File(_)) = lost.get(to)
            {
                entry.kind = kind.clone();
            }
        }
    }
}
