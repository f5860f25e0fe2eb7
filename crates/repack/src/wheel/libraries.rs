//! The libraries that a wheel's machine code needs: each has to be in the wheel, in a package of the
//! channel or part of the target's system. Code that needs one of a package gets a run path to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fs_err as fs;

use super::Error;
use super::error::local;
use super::file_name::FileName;
use crate::draft::Draft;
use crate::elf::{self, Edit};
use crate::paths;
use crate::target::Target;

/// Larger machine code is refused, because it is read as a whole.
const ELF_LIMIT: u64 = 1 << 30;

/// Libraries outside of a wheel.
#[derive(Debug, Clone, Default)]
pub(super) struct Outside {
    /// What the target's own system has.
    system: BTreeSet<String>,
    /// Libraries in `lib/` of the channel's packages, and what to depend on for them.
    packages: BTreeMap<String, Vec<String>>,
}

impl Outside {
    /// The libraries of a system and of packages.
    pub(super) fn new(system: &[String], packages: &[Draft]) -> Outside {
        let mut outside = Outside {
            system: system.iter().cloned().collect(),
            packages: BTreeMap::new(),
        };
        for package in packages {
            let needs = if package.run_exports.is_empty() {
                vec![package.name.clone()]
            } else {
                package.run_exports.clone()
            };
            for path in package.files.keys() {
                if let Some(library) = paths::library(path) {
                    outside.packages.insert(library.to_owned(), needs.clone());
                }
            }
        }
        outside
    }
}

/// A file of the wheel with machine code.
struct Code {
    path: String,
    source: std::path::PathBuf,
    elf: elf::Elf,
}

/// Checks all files of a package, edits those that need libraries of other packages, and returns
/// the packages that they need. `files` are paths in the package and where their content lies.
pub(super) fn find<'f>(
    wheel: &FileName,
    target: Target,
    files: impl Iterator<Item = (&'f str, &'f Path)>,
    outside: &Outside,
) -> Result<Vec<String>, Error> {
    let mut codes = Vec::new();
    for (path, source) in files {
        if let Some(elf) = read(wheel, target, path, source)? {
            codes.push(Code {
                path: path.to_owned(),
                source: source.to_owned(),
                elf,
            });
        }
    }
    let inside: BTreeSet<String> = codes.iter().map(|code| code.path.clone()).collect();
    let mut depends = BTreeSet::new();
    for code in &codes {
        let mut from_packages = false;
        for library in &code.elf.needed {
            let folders = run_path(code);
            if folders
                .iter()
                .any(|folder| inside.contains(&paths::join(folder, library)))
            {
                continue;
            }
            if outside.system.contains(library) {
                continue;
            }
            let Some(needs) = outside.packages.get(library) else {
                return Err(Error::Library {
                    wheel: wheel.text.clone(),
                    file: code.path.clone(),
                    library: library.clone(),
                });
            };
            depends.extend(needs.iter().cloned());
            from_packages |= !folders.iter().any(|folder| folder == "lib");
        }
        if from_packages {
            look_in_lib(wheel, target, code)?;
        }
    }
    Ok(depends.into_iter().collect())
}

fn read(
    wheel: &FileName,
    target: Target,
    path: &str,
    source: &Path,
) -> Result<Option<elf::Elf>, Error> {
    let wrong = |problem: String| Error::Elf {
        wheel: wheel.text.clone(),
        file: path.to_owned(),
        target: target.subdir,
        problem,
    };
    let mut start = [0; 4];
    let mut file = fs::File::open(source).map_err(local("read", source))?;
    let length = file.metadata().map_err(local("read", source))?.len();
    if length < 4 {
        return Ok(None);
    }
    std::io::Read::read_exact(&mut file, &mut start).map_err(local("read", source))?;
    if start != *b"\x7fELF" {
        return Ok(None);
    }
    if length > ELF_LIMIT {
        return Err(wrong("absurdly large".to_owned()));
    }
    let bytes = fs::read(source).map_err(local("read", source))?;
    let elf = elf::read(&bytes).map_err(|error| wrong(error.to_string()))?;
    if let Some(elf) = &elf
        && elf.machine != target.elf
    {
        return Err(wrong(format!("it is machine code number {}", elf.machine)));
    }
    Ok(elf)
}

/// The folders of the package where a file's libraries are looked for.
fn run_path(code: &Code) -> Vec<String> {
    let text = code.elf.run_path.as_deref().unwrap_or_default();
    let folder = paths::parent(&code.path);
    text.split(':')
        .filter_map(|entry| {
            let rest = entry
                .strip_prefix("$ORIGIN")
                .or_else(|| entry.strip_prefix("${ORIGIN}"))?;
            Some(paths::join(folder, rest.trim_start_matches('/')))
        })
        .collect()
}

/// Adds the prefix's `lib` to a file's run path.
fn look_in_lib(wheel: &FileName, target: Target, code: &Code) -> Result<(), Error> {
    let depth = code.path.matches('/').count();
    let lib = format!("$ORIGIN/{}lib", "../".repeat(depth));
    let run_path = match code.elf.run_path.as_deref() {
        None | Some("") => lib,
        Some(known) => format!("{known}:{lib}"),
    };
    let bytes = fs::read(&code.source).map_err(local("read", &code.source))?;
    let change = Edit {
        run_path: Some(run_path),
        texts: Vec::new(),
    };
    let edited = elf::edit(&bytes, &change).map_err(|error| Error::Elf {
        wheel: wheel.text.clone(),
        file: code.path.clone(),
        target: target.subdir,
        problem: format!("cannot give it a run path: {error}"),
    })?;
    fs::write(&code.source, edited).map_err(local("write", &code.source))
}
