//! Indexing a folder: all packages of all platforms at once, in parallel, then one repodata for
//! each platform.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use archive::package::Kind;
use rayon::prelude::*;

use crate::record::record;
use crate::write::{publish, repodata};
use crate::{Error, Unusable};

#[cfg(test)]
mod tests;

/// The folders that are platforms (conda's `constants.KNOWN_SUBDIRS`).
const SUBDIRS: [&str; 19] = [
    "emscripten-wasm32",
    "freebsd-64",
    "linux-32",
    "linux-64",
    "linux-aarch64",
    "linux-armv6l",
    "linux-armv7l",
    "linux-ppc64",
    "linux-ppc64le",
    "linux-riscv64",
    "linux-s390x",
    "noarch",
    "osx-64",
    "osx-arm64",
    "wasi-wasm32",
    "win-32",
    "win-64",
    "win-arm64",
    "zos-z",
];

/// How a channel is indexed.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// How many packages are read at the same time; 0 for as many as there are processors.
    pub threads: usize,
}

/// What happens while a channel is indexed. Packages come in no particular order.
#[derive(Debug)]
pub enum Event<'a> {
    /// The folders are listed.
    Listed {
        /// How many packages will be read.
        packages: usize,
    },
    /// A package was read and will be in the repodata.
    Indexed {
        /// The platform's folder.
        subdir: &'a str,
        /// The file name.
        file: &'a str,
    },
    /// A package is left out.
    Skipped {
        /// The platform's folder.
        subdir: &'a str,
        /// The file name.
        file: &'a str,
        /// Why.
        reason: &'a Unusable,
    },
    /// The repodata of a platform is in place.
    Published {
        /// The platform's folder.
        subdir: &'a str,
        /// Whether it is another than before.
        changed: bool,
    },
}

/// What indexing came to.
#[derive(Debug)]
pub struct Report {
    /// The platforms, sorted by name.
    pub subdirs: Vec<Subdir>,
}

/// What indexing one platform came to.
#[derive(Debug)]
pub struct Subdir {
    /// The folder's name.
    pub name: String,
    /// How many packages are in the repodata.
    pub packages: usize,
    /// What is not, sorted by file name.
    pub skipped: Vec<Skipped>,
    /// Whether any file was written.
    pub changed: bool,
}

/// A package that is left out.
#[derive(Debug)]
pub struct Skipped {
    /// The file name; what of it is not UTF-8 is replaced.
    pub file: String,
    /// Why.
    pub reason: Unusable,
}

/// Writes `repodata.json` and `repodata.json.zst` for each platform whose folder is in `channel`, and
/// for noarch, whose folder is made. A package that cannot be used is left out and reported, and
/// stops nothing; files whose content would not change are not touched.
pub fn index(
    channel: &Path,
    options: &Options,
    report: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Report, Error> {
    let subdirs = subdirs(channel)?;
    let mut files = Vec::new();
    for (number, subdir) in subdirs.iter().enumerate() {
        let packages = list(&channel.join(subdir))?;
        files.extend(
            packages
                .into_iter()
                .map(|(name, kind)| (number, name, kind)),
        );
    }
    report(Event::Listed {
        packages: files.len(),
    });
    let threads = rayon::ThreadPoolBuilder::new().num_threads(options.threads);
    let pool = threads.build().map_err(|source| Error::Threads {
        threads: options.threads,
        source,
    })?;
    let read: Vec<_> = pool.install(|| {
        files
            .into_par_iter()
            // Packages differ in size by orders of magnitude.
            .with_max_len(1)
            .map(|(number, name, kind)| {
                let subdir = subdirs.get(number).copied().unwrap_or_default();
                (number, kind, read_one(channel, subdir, name, kind, report))
            })
            .collect()
    });
    let mut found: Vec<_> = subdirs.iter().map(|_| Found::default()).collect();
    for (number, kind, outcome) in read {
        let Some(found) = found.get_mut(number) else {
            continue;
        };
        match outcome {
            Ok(named) if kind == Kind::Conda => found.conda.push(named),
            Ok(named) => found.tar_bz2.push(named),
            Err(skipped) => found.skipped.push(skipped),
        }
    }
    let published: Result<Vec<_>, Error> = subdirs
        .iter()
        .zip(found)
        .map(|(&name, found)| {
            let changed = publish(
                &channel.join(name),
                &repodata(name, &found.tar_bz2, &found.conda),
            )?;
            report(Event::Published {
                subdir: name,
                changed,
            });
            Ok(Subdir {
                name: name.to_owned(),
                packages: found.tar_bz2.len() + found.conda.len(),
                skipped: found.skipped,
                changed,
            })
        })
        .collect();
    Ok(Report {
        subdirs: published?,
    })
}

/// What was found in one platform's folder, sorted by name.
#[derive(Default)]
struct Found {
    tar_bz2: Vec<(String, String)>,
    conda: Vec<(String, String)>,
    skipped: Vec<Skipped>,
}

fn subdirs(channel: &Path) -> Result<Vec<&'static str>, Error> {
    let path = || channel.to_owned();
    if !channel.is_dir() {
        return Err(Error::NotFolder { path: path() });
    }
    let name = fs_err::canonicalize(channel).map_err(|source| Error::List { source })?;
    if name
        .file_name()
        .is_some_and(|name| SUBDIRS.iter().any(|subdir| name == *subdir))
    {
        return Err(Error::NamedLikeSubdir { path: path() });
    }
    fs_err::create_dir_all(channel.join("noarch")).map_err(|source| Error::List { source })?;
    Ok(SUBDIRS
        .into_iter()
        .filter(|subdir| channel.join(subdir).is_dir())
        .collect())
}

/// The packages of a folder, sorted by name.
fn list(folder: &Path) -> Result<Vec<(OsString, Kind)>, Error> {
    let list = |source| Error::List { source };
    let mut packages = Vec::new();
    for entry in fs_err::read_dir(folder).map_err(list)? {
        let name = entry.map_err(list)?.file_name();
        if let Some(kind) = Kind::from_file_name(&name.to_string_lossy()) {
            packages.push((name, kind));
        }
    }
    packages.sort_unstable();
    Ok(packages)
}

fn read_one(
    channel: &Path,
    subdir: &str,
    name: OsString,
    kind: Kind,
    report: &(dyn Fn(Event<'_>) + Sync),
) -> Result<(String, String), Skipped> {
    let path: PathBuf = [channel.as_os_str(), subdir.as_ref(), &name]
        .iter()
        .collect();
    let (file, outcome) = match name.into_string() {
        Ok(file) => (file, record(&path, kind)),
        Err(name) => (name.to_string_lossy().into_owned(), Err(Unusable::Name)),
    };
    match outcome {
        Ok(record) => {
            report(Event::Indexed {
                subdir,
                file: &file,
            });
            Ok((file, record))
        }
        Err(reason) => {
            report(Event::Skipped {
                subdir,
                file: &file,
                reason: &reason,
            });
            Err(Skipped { file, reason })
        }
    }
}
