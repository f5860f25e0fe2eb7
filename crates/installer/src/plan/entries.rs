//! Where the files of one package go: noarch Python mapping, entry points, and the files that
//! exist only in the package's folder.

use std::collections::HashMap;
use std::path::{Component, Path};

use rattler::install::{PythonInfo, python_entry_point_template};

use conda::package::EntryPoint;
use runtime::plan::{Entry, File, Kind};

use super::{Bytes, Extra, Input, Item, ItemKind, record};

/// Why a package cannot be planned for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A noarch Python package, but no Python.
    #[error("`{package}` is a noarch Python package, but no python is among the packages")]
    NoPython {
        /// The package.
        package: String,
    },
    /// The Python's version has no minor number.
    #[error("`{package}`: {reason}")]
    PythonVersion {
        /// The package.
        package: String,
        /// rattler's reason, whose type has no public name.
        reason: String,
    },
    /// `link.json` has an entry point that cannot be written.
    #[error("`{package}` has an impossible entry point `{entry_point}`")]
    EntryPoint {
        /// The package.
        package: String,
        /// What its `link.json` says.
        entry_point: String,
    },
    /// A path that leads outside the prefix, or nowhere.
    #[error("`{package}` has a file at `{path}`, which lies outside the prefix")]
    Outside {
        /// The package.
        package: String,
        /// The path after mapping.
        path: String,
    },
    /// Two files of one package go to one path.
    #[error("`{package}` has two files for `{path}`")]
    Twice {
        /// The package.
        package: String,
        /// The path after mapping.
        path: String,
    },
    /// A file where another package needs a directory.
    #[error(
        "`{path}` is a file or link in `{file_package}` and a directory in `{directory_package}`"
    )]
    FileAndDirectory {
        /// The path.
        path: String,
        /// The package that has a file or link there.
        file_package: String,
        /// The package that has files below it.
        directory_package: String,
    },
    /// A path that belongs to the installation itself.
    #[error("`{package}` has a file at `{path}`, which the installer itself writes")]
    Reserved {
        /// The package.
        package: String,
        /// The path.
        path: String,
    },
}

/// The entries of the prefix, sorted by path.
pub(super) fn prefix(input: &Input<'_>, python: Option<&PythonInfo>) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    let links = Links::of(input);
    for item in input.scan.content.iter().filter(|item| item.listed) {
        let path = target_path(python, &item.path);
        // A link to what is not in the prefix is a file of its own.
        let first = links.first(item);
        let what = if first.listed { item } else { first };
        entries.push(Entry {
            source: (path != item.path).then(|| item.path.clone()),
            kind: kind(input, what, &links, |to| target_path(python, to)),
            path,
            clobbered_by: None,
            no_link: item.no_link,
        });
    }
    if let Some(python) = python {
        for text in &input.scan.entry_points {
            entries.push(entry_point(input, python, text)?);
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let package = || record::dist(input.record);
    for entry in &entries {
        check(&entry.path, &package)?;
    }
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].path == pair[1].path) {
        return Err(Error::Twice {
            package: package(),
            path: pair[0].path.clone(),
        });
    }
    Ok(entries)
}

/// The entries that only the extracted package has: `info/`, and what `paths.json` does not list.
pub(super) fn package_folder(input: &Input<'_>) -> Result<Vec<Entry>, Error> {
    let unlisted = input.scan.content.iter().filter(|item| !item.listed);
    let links = Links::of(input);
    let mut entries: Vec<Entry> = unlisted
        .chain(&input.scan.info)
        .map(|item| Entry {
            path: item.path.clone(),
            source: None,
            kind: kind(input, item, &links, str::to_owned),
            clobbered_by: None,
            no_link: false,
        })
        .collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let package = || record::dist(input.record);
    entries
        .iter()
        .try_for_each(|entry| plain(&entry.path, &package))?;
    Ok(entries)
}

/// An entry for a file of `extra_files`.
pub(super) fn extra(extra: &Extra) -> Entry {
    Entry {
        path: extra.path.clone(),
        source: None,
        kind: Kind::File(file(&extra.bytes, extra.bytes.part)),
        clobbered_by: None,
        no_link: false,
    }
}

/// What hard links of a package lead to. One may name another one, which the runtime does not follow.
struct Links<'a>(HashMap<&'a str, &'a Item>);

impl<'a> Links<'a> {
    fn of(input: &Input<'a>) -> Links<'a> {
        let is_link = |item: &&Item| matches!(item.kind, ItemKind::HardLink { .. });
        if !input
            .scan
            .content
            .iter()
            .chain(&input.scan.info)
            .any(|item| is_link(&item))
        {
            return Links(HashMap::new());
        }
        let items = input.scan.content.iter().chain(&input.scan.info);
        Links(items.map(|item| (item.path.as_str(), item)).collect())
    }

    /// The file that an item is another name of, or itself. A link names an earlier item, so there is no circle.
    fn first<'i>(&self, item: &'i Item) -> &'i Item
    where
        'a: 'i,
    {
        let mut first = item;
        for _ in 0..self.0.len() {
            match &first.kind {
                ItemKind::HardLink { to } => match self.0.get(to.as_str()) {
                    Some(next) => first = next,
                    None => break,
                },
                _ => break,
            }
        }
        first
    }
}

fn kind(input: &Input<'_>, item: &Item, links: &Links<'_>, map: impl Fn(&str) -> String) -> Kind {
    match &item.kind {
        ItemKind::File(bytes) => {
            // A scan's part numbers are its own; a number out of range cannot come from one.
            let frame = input.frames.get(bytes.part).copied().unwrap_or(usize::MAX);
            Kind::File(file(bytes, frame))
        }
        ItemKind::HardLink { .. } => Kind::HardLink {
            to: map(&links.first(item).path),
        },
        ItemKind::SymbolicLink { target, listed } => Kind::SymbolicLink {
            target: target.clone(),
            listed: *listed,
        },
        ItemKind::Directory => Kind::Directory,
    }
}

fn file(bytes: &Bytes, frame: usize) -> File {
    File {
        frame,
        offset: bytes.offset,
        size: bytes.size,
        mode: bytes.mode,
        modified: bytes.modified,
        sha256: bytes.sha256,
        placeholder: bytes.placeholder.clone(),
    }
}

fn target_path(python: Option<&PythonInfo>, path: &str) -> String {
    match python {
        None => path.to_owned(),
        Some(python) => python
            .get_python_noarch_target_path(Path::new(path))
            .to_string_lossy()
            .into_owned(),
    }
}

fn entry_point(input: &Input<'_>, python: &PythonInfo, text: &str) -> Result<Entry, Error> {
    let impossible = || Error::EntryPoint {
        package: record::dist(input.record),
        entry_point: text.to_owned(),
    };
    let parsed: EntryPoint = text.parse().map_err(|_| impossible())?;
    let command = parsed.command.as_str();
    if command.is_empty() || command.contains(['/', '\0']) || matches!(command, "." | "..") {
        return Err(impossible());
    }
    // The first line depends on the prefix: the runtime writes it, by the same rule.
    let script = python_entry_point_template("/", false, &parsed, python);
    let body = script
        .strip_prefix(&python.shebang("/"))
        .ok_or_else(impossible)?;
    Ok(Entry {
        path: format!("{}/{command}", python.bin_dir.to_string_lossy()),
        source: None,
        kind: Kind::EntryPoint {
            body: body.trim_start_matches('\n').to_owned(),
        },
        clobbered_by: None,
        no_link: false,
    })
}

fn check(path: &str, package: &dyn Fn() -> String) -> Result<(), Error> {
    plain(path, package)?;
    let reserved = path.strip_prefix("conda-meta/").is_some_and(|name| {
        name == "history" || Path::new(name).extension().is_some_and(|end| end == "json")
    });
    if reserved {
        return Err(Error::Reserved {
            package: package(),
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// Relative, with plain names only.
fn plain(path: &str, package: &dyn Fn() -> String) -> Result<(), Error> {
    let normal = |part| matches!(part, Component::Normal(_));
    let names = path.split('/').all(|name| !matches!(name, "" | "." | ".."));
    if names && !path.contains('\0') && Path::new(path).components().all(normal) {
        Ok(())
    } else {
        Err(Error::Outside {
            package: package(),
            path: path.to_owned(),
        })
    }
}
