//! Which Debian packages a definition stands for, and their files: from the store, a folder or the
//! archive, and never with other bytes than those of the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::apt::Apt;
use super::archive;
use crate::definition::Definition;
use crate::lock::Deb;
use crate::repack::{Context, Event};
use crate::{Error, error, store};

/// The names of the Debian packages that a definition needs, sorted.
pub(crate) fn names(definition: &Definition) -> Vec<&str> {
    let debs = definition.packages.iter().flat_map(|one| &one.debs);
    let names: BTreeSet<&str> = debs.map(String::as_str).collect();
    names.into_iter().collect()
}

/// What the lock holds for this platform, or what is newest where it lacks something and may be
/// changed.
pub(crate) fn pins(context: &Context<'_>, locked: Option<&Vec<Deb>>) -> Result<Vec<Deb>, Error> {
    let wanted = names(context.definition);
    let known = locked.map(Vec::as_slice).unwrap_or_default();
    let find = |name: &&str| known.iter().find(|deb| deb.name == *name).cloned();
    let found: Option<Vec<Deb>> = wanted.iter().map(find).collect();
    if let Some(found) = found {
        return Ok(found);
    }
    let missing = |name: &&&str| !known.iter().any(|deb| deb.name == **name);
    context.may_resolve(wanted.iter().find(missing).copied().unwrap_or_default())?;
    (context.report)(Event::Stage(&format!(
        "resolve Debian packages for {}",
        context.target.subdir
    )));
    let mut resolved = match &context.options.debs {
        Some(folder) => pins_of_folder(context, folder, &wanted)?,
        None => with_apt(context, |apt| apt.resolve(&wanted))?,
    };
    // What is locked stays as it is.
    for deb in &mut resolved {
        if let Some(locked) = known.iter().find(|locked| locked.name == deb.name) {
            *deb = locked.clone();
        }
    }
    Ok(resolved)
}

/// The files of the pinned packages, checked, by the packages' names.
pub(crate) fn fetch(
    context: &Context<'_>,
    pins: &[Deb],
) -> Result<BTreeMap<String, PathBuf>, Error> {
    let mut files = BTreeMap::new();
    let mut absent = Vec::new();
    let folder = match &context.options.debs {
        Some(folder) => read_folder(folder)?,
        None => Vec::new(),
    };
    for pin in pins {
        if let Some(path) = context.store.find(&pin.sha256)? {
            files.insert(pin.name.clone(), path);
        } else if let Some((_, path)) = folder.iter().find(|(control, _)| {
            (&control.name, &control.version, &control.architecture)
                == (&pin.name, &pin.version, &pin.architecture)
        }) {
            let path = context.store.admit(path, &pin.sha256)?;
            files.insert(pin.name.clone(), path);
        } else {
            absent.push(pin);
        }
    }
    let Some(first) = absent.first() else {
        return Ok(files);
    };
    let place = match &context.options.debs {
        Some(folder) => format!("`{}`", folder.display()),
        None => "the cache".to_owned(),
    };
    if context.options.debs.is_some() || context.options.offline {
        return Err(Error::NoDeb {
            name: format!("{} {} ({})", first.name, first.version, first.architecture),
            place,
        });
    }
    (context.report)(Event::Stage(&format!(
        "fetch {} Debian packages for {}",
        absent.len(),
        context.target.subdir
    )));
    let downloaded = with_apt(context, |apt| {
        let paths = apt.download(&absent)?;
        paths
            .into_iter()
            .map(|path| {
                let control = control(&path)?;
                let pin = absent.iter().find(|pin| pin.name == control.name);
                pin.map(|pin| Ok((pin.name.clone(), context.store.admit(&path, &pin.sha256)?)))
                    .transpose()
            })
            .collect::<Result<Vec<_>, Error>>()
    })?;
    files.extend(downloaded.into_iter().flatten());
    for pin in absent {
        if !files.contains_key(&pin.name) {
            return Err(Error::NoDeb {
                name: format!("{} {}", pin.name, pin.version),
                place: "the archive".to_owned(),
            });
        }
    }
    Ok(files)
}

/// Runs something with a state of apt that goes afterwards.
fn with_apt<T>(
    context: &Context<'_>,
    run: impl FnOnce(&Apt) -> Result<T, Error>,
) -> Result<T, Error> {
    let folder = context
        .work
        .join(format!("apt-{}", context.target.architecture));
    let apt = if folder.is_dir() {
        Apt::reopen(&folder)
    } else {
        Apt::new(&folder, context.target, &context.definition.debian.suites)?
    };
    run(&apt)
}

fn pins_of_folder(
    context: &Context<'_>,
    folder: &Path,
    wanted: &[&str],
) -> Result<Vec<Deb>, Error> {
    let files = read_folder(folder)?;
    let mut pins = Vec::new();
    for name in wanted {
        let mut fitting = files.iter().filter(|(control, _)| {
            control.name == *name
                && ["all", context.target.architecture].contains(&control.architecture.as_str())
        });
        let none = || Error::NoDeb {
            name: format!("{name} ({})", context.target.architecture),
            place: format!("`{}`", folder.display()),
        };
        let (control, path) = fitting.next().ok_or_else(none)?;
        if let Some((other, _)) = fitting.next() {
            return Err(Error::SeveralDebs {
                name: (*name).to_owned(),
                versions: format!("{} and {}", control.version, other.version),
                folder: folder.to_owned(),
            });
        }
        let size = fs::metadata(path).map_err(error::file("read", path))?.len();
        pins.push(Deb {
            name: control.name.clone(),
            version: control.version.clone(),
            architecture: control.architecture.clone(),
            suite: String::new(),
            size,
            sha256: store::digest(path)?,
        });
    }
    Ok(pins)
}

/// The `.deb` files of a folder, with what they say of themselves, in the order of their names.
fn read_folder(folder: &Path) -> Result<Vec<(archive::Control, PathBuf)>, Error> {
    let listed = fs::read_dir(folder).and_then(|entries| {
        entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()
    });
    let mut paths = listed.map_err(error::file("list", folder))?;
    paths.retain(|path| path.extension().is_some_and(|suffix| suffix == "deb"));
    paths.sort();
    paths
        .into_iter()
        .map(|path| Ok((control(&path)?, path)))
        .collect()
}

fn control(path: &Path) -> Result<archive::Control, Error> {
    archive::control(path).map_err(|source| Error::Deb {
        file: path.to_owned(),
        source,
    })
}
