//! Finding what can be taken over where the user points to.

use std::path::{Path, PathBuf};

use super::{Error, Form, REPODATA, Source, database, repodata, shards, subdir_of};
use crate::index::SUBDIRS;

/// What JSON files may be compressed with, the quickest to read first.
const ENDINGS: [&str; 3] = ["", ".zst", ".bz2"];

/// What there is at a path: a file, the folder of a platform, or that of a channel.
pub(crate) fn find(path: &Path) -> Result<Vec<Source>, Error> {
    if path.is_file() {
        return Ok(vec![of_file(path)?]);
    }
    if !path.is_dir() {
        return Err(Error::Missing {
            path: path.to_owned(),
        });
    }
    let mut sources: Vec<Source> = SUBDIRS
        .iter()
        .filter_map(|subdir| of_folder(&path.join(subdir), subdir))
        .collect();
    // The link to a folder has the name that counts.
    let named = subdir_of(path).or_else(|| subdir_of(&fs_err::canonicalize(path).ok()?));
    if sources.is_empty()
        && let Some(subdir) = named
    {
        sources.extend(of_folder(path, &subdir));
    }
    if sources.is_empty() {
        return Err(Error::Nothing {
            path: path.to_owned(),
        });
    }
    Ok(sources)
}

/// The first of what the folder of a platform has.
fn of_folder(folder: &Path, subdir: &str) -> Option<Source> {
    let database = folder.join(".cache").join(database::FILE);
    let index = folder.join(crate::output::shards::INDEX);
    let found = if database.is_file() {
        Some((Form::Database, database))
    } else if let Some(path) = REPODATA.iter().find_map(|name| json(folder, name)) {
        Some((Form::Repodata, path))
    } else {
        index.is_file().then_some((Form::Shards, index))
    };
    let (form, path) = found?;
    Some(Source {
        subdir: subdir.to_owned(),
        beside: beside(&path, form),
        path,
        form,
    })
}

fn of_file(path: &Path) -> Result<Source, Error> {
    let folder = path.parent().and_then(|folder| match folder {
        folder if folder.as_os_str().is_empty() => std::env::current_dir().ok(),
        folder => Some(folder.to_owned()),
    });
    let (form, told) = if database::is_one(path) {
        (Form::Database, None)
    } else if shards::is_index(path) {
        (Form::Shards, shards::subdir(path)?)
    } else {
        (Form::Repodata, repodata::subdir(path)?)
    };
    let by_folder = || {
        let folder = folder.as_deref()?;
        match form {
            Form::Database => subdir_of(folder.parent()?),
            Form::Repodata | Form::Shards => subdir_of(folder),
        }
    };
    let subdir = told
        .filter(|subdir| SUBDIRS.contains(&subdir.as_str()))
        .or_else(by_folder)
        .ok_or_else(|| Error::Platform {
            path: path.to_owned(),
        })?;
    Ok(Source {
        subdir,
        beside: beside(path, form),
        path: path.to_owned(),
        form,
    })
}

/// Files in the same folder that tell what repodata does not.
fn beside(path: &Path, form: Form) -> Vec<PathBuf> {
    let Some(folder) = path.parent().filter(|_| form == Form::Repodata) else {
        return Vec::new();
    };
    let index = folder.join(crate::output::shards::INDEX);
    json(folder, "run_exports.json")
        .or_else(|| index.is_file().then_some(index))
        .into_iter()
        .collect()
}

fn json(folder: &Path, name: &str) -> Option<PathBuf> {
    ENDINGS
        .iter()
        .map(|ending| folder.join(format!("{name}{ending}")))
        .find(|path| path.is_file())
}
