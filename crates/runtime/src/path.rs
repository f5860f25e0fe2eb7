//! The paths of a plan, checked again before they are used: the plan is verified, but what wrote
//! it read packages.

use crate::error::Error;
use crate::plan::{Entry, Kind, Package};

/// The folder inside an existing prefix that an installation works in.
pub(crate) const WORKSHOP: &str = ".installing";

/// Checks that `path` is relative and made of plain names; `owner` is named if it is not.
pub(crate) fn check(owner: &str, path: &str) -> Result<(), Error> {
    let plain = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
    if path.split('/').all(plain) && path.split('/').next() != Some(WORKSHOP) {
        Ok(())
    } else {
        Err(Error::Outside {
            owner: owner.to_owned(),
            path: path.to_owned(),
        })
    }
}

/// Checks all paths of a package.
pub(crate) fn check_package(package: &Package) -> Result<(), Error> {
    let dist = &package.dist;
    check(dist, dist)?;
    if dist.contains('/') || dist.starts_with('.') {
        return Err(Error::Outside {
            owner: dist.clone(),
            path: dist.clone(),
        });
    }
    check_entries(dist, &package.entries)?;
    check_entries(dist, &package.info)?;
    let scripts = [&package.scripts.pre_link, &package.scripts.post_link];
    scripts
        .into_iter()
        .flatten()
        .try_for_each(|path| check(dist, path))
}

/// Checks all paths of these entries.
pub(crate) fn check_entries(owner: &str, entries: &[Entry]) -> Result<(), Error> {
    for entry in entries {
        check(owner, &entry.path)?;
        if let Some(source) = &entry.source {
            check(owner, source)?;
        }
        match &entry.kind {
            Kind::HardLink { to } => check(owner, to)?,
            Kind::SymbolicLink { target, .. } if target.is_empty() || target.contains('\0') => {
                return Err(Error::Outside {
                    owner: owner.to_owned(),
                    path: entry.path.clone(),
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// All folders above `path`, outermost first.
pub(crate) fn parents(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/')
        .filter_map(|(position, _)| path.get(..position))
}
