//! Where hotfixes come from: a package of them, a Python script, conda-forge's `patch_yaml` files, or a
//! file that the user put into the platform's folder. The order and the calling convention are
//! conda-index's (`_patch_repodata`); what instructions mean is [`crate::output::patch`]'s business.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use archive::package::{EntryKind, Kind, Package};
use fs_err::File;

use crate::output::patch::rules::{self, Rules};
use crate::output::patch::{self, Instructions};
use crate::output::repodata::{Each, Head};
use crate::place::Place;

mod script;
#[cfg(test)]
mod tests;

/// The file with a platform's instructions, in its folder.
pub(crate) const FILE: &str = "patch_instructions.json";

/// Instructions of one platform above this size, in bytes, are refused. Those of conda-forge's
/// largest have 60 MB.
const LIMIT: u64 = 1 << 30;

/// Why hotfixes could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The generator that was named is not there.
    #[error("there is no patch generator `{path}`")]
    Missing {
        /// What was named.
        path: PathBuf,
    },
    /// A file of instructions or rules could not be read.
    #[error("could not read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A package of instructions could not be read.
    #[error("could not read the patch package `{path}`")]
    Package {
        /// The package.
        path: PathBuf,
        /// The cause.
        #[source]
        source: archive::package::Error,
    },
    /// The instructions cannot be used.
    #[error("the hotfixes for {subdir} in `{path}` cannot be used")]
    Instructions {
        /// Where they came from.
        path: PathBuf,
        /// The platform.
        subdir: String,
        /// What is wrong with them.
        #[source]
        source: patch::Error,
    },
    /// A `patch_yaml` file cannot be used.
    #[error("the rules in `{path}` cannot be used")]
    Rules {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rules::Error,
    },
    /// There is nothing that could run the script.
    #[error("`{path}` needs Python, and there is no `python3` or `python` on the search path")]
    NoPython {
        /// The script.
        path: PathBuf,
    },
    /// The script could not be run.
    #[error("could not run `{path}`")]
    Run {
        /// The script.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The script failed.
    #[error("`{path}` failed for {subdir} ({status}): {stderr}")]
    Script {
        /// The script.
        path: PathBuf,
        /// The platform.
        subdir: String,
        /// How it ended.
        status: String,
        /// The end of what it wrote to its standard error.
        stderr: String,
    },
}

/// What makes instructions for every platform.
#[derive(Debug)]
pub(crate) enum Generator {
    /// A package that has `<subdir>/patch_instructions.json` among its files.
    Package(PathBuf, Kind),
    /// A Python script with a function `_patch_repodata(repodata, subdir)`.
    Script(PathBuf),
    /// conda-forge's rules.
    Rules(PathBuf, Box<Rules>),
}

impl Generator {
    /// The generator that the user names, or else `gen_patch.py` or the folder `patch_yaml` in the
    /// channel. A folder or a file with the ending of YAML means rules. Who may write to a bucket may not run
    /// programs on the machine that indexes it: there nothing is looked for.
    pub(crate) fn find(channel: &Place, given: Option<&Path>) -> Result<Option<Self>, Error> {
        let Some(path) = given else {
            let Place::Folder(channel) = channel else {
                return Ok(None);
            };
            let script = channel.join("gen_patch.py");
            if script.is_file() {
                return Ok(Some(Self::Script(script)));
            }
            let folder = channel.join("patch_yaml");
            return if folder.is_dir() {
                rules(&folder).map(Some)
            } else {
                Ok(None)
            };
        };
        if path.is_dir() || is_yaml(path) {
            return rules(path).map(Some);
        }
        if !path.is_file() {
            let path = path.to_owned();
            return Err(Error::Missing { path });
        }
        let kind = Kind::from_file_name(&path.to_string_lossy());
        Ok(Some(match kind {
            Some(kind) => Self::Package(path.to_owned(), kind),
            None => Self::Script(path.to_owned()),
        }))
    }

    /// The instructions for a platform whose records before patches are `each`; empty where the
    /// generator has none, in which case those of [`of_user`] count. A script that runs longer than
    /// `limit` is ended.
    pub(crate) fn instructions(
        &self,
        head: &Head<'_>,
        each: Each<'_>,
        limit: Duration,
    ) -> Result<Instructions, Error> {
        match self {
            Self::Package(path, kind) => match in_package(path, *kind, head.subdir)? {
                Some(text) => parse(path, head.subdir, &text),
                None => Ok(Instructions::default()),
            },
            Self::Script(path) => {
                let text = script::run(path, head, each, limit)?;
                parse(path, head.subdir, &text)
            }
            Self::Rules(path, rules) => {
                let text =
                    rules
                        .instructions(head.subdir, each)
                        .map_err(|source| Error::Rules {
                            path: path.clone(),
                            source,
                        })?;
                parse(path, head.subdir, text.as_bytes())
            }
        }
    }
}

/// The instructions that lie in a platform's folder; empty where none do.
pub(crate) fn of_user(platform: &Place, subdir: &str) -> Result<Instructions, Error> {
    let path = platform.path(FILE);
    let text = match platform {
        Place::Folder(_) if path.is_file() => Some(read(&path)?),
        Place::Folder(_) => None,
        Place::Bucket(_) => platform.read(FILE).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?,
    };
    match text {
        Some(text) => parse(&path, subdir, &text),
        None => Ok(Instructions::default()),
    }
}

fn parse(path: &Path, subdir: &str, text: &[u8]) -> Result<Instructions, Error> {
    Instructions::parse(text).map_err(|source| Error::Instructions {
        path: path.to_owned(),
        subdir: subdir.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let read = || {
        let mut text = Vec::new();
        File::open(path)?.take(LIMIT + 1).read_to_end(&mut text)?;
        if text.len() as u64 > LIMIT {
            return Err(io::Error::other("the file is above the limit of 1 GiB"));
        }
        Ok(text)
    };
    read().map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

fn in_package(path: &Path, kind: Kind, subdir: &str) -> Result<Option<Vec<u8>>, Error> {
    let wanted = format!("{subdir}/{FILE}");
    let package = |source| Error::Package {
        path: path.to_owned(),
        source,
    };
    let read = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(read)?;
    let mut found = None;
    Package::open(file, kind)
        .map_err(package)?
        .entries::<archive::package::Error>(&mut |entry| {
            if entry.kind == EntryKind::File && entry.path == wanted {
                if entry.size > LIMIT {
                    return Err(archive::package::Error::Limit {
                        entry: entry.path,
                        what: "its size",
                        limit: LIMIT,
                    });
                }
                let mut text = Vec::new();
                // What cannot be read here is reported when the walk goes on.
                if entry.content.read_to_end(&mut text).is_ok() {
                    found = Some(text);
                }
            }
            Ok(())
        })
        .map_err(package)?;
    Ok(found)
}

fn is_yaml(path: &Path) -> bool {
    path.is_file()
        && path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// The rules in a file, or in all YAML files of a folder in the order of their names.
fn rules(path: &Path) -> Result<Generator, Error> {
    let listing = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut files = Vec::new();
    if path.is_dir() {
        for entry in fs_err::read_dir(path).map_err(listing)? {
            let file = entry.map_err(listing)?.path();
            if is_yaml(&file) {
                files.push(file);
            }
        }
        files.sort_unstable();
    } else {
        files.push(path.to_owned());
    }
    let mut rules = Rules::default();
    for file in files {
        let text = read(&file)?;
        let added = std::str::from_utf8(&text)
            .map_err(|_| rules::Error::new("the text is not UTF-8".to_owned()))
            .and_then(|text| rules.add(text));
        added.map_err(|source| Error::Rules { path: file, source })?;
    }
    Ok(Generator::Rules(path.to_owned(), Box::new(rules)))
}
