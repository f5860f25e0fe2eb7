//! The distribution of an image: what its spec says, or what finished installers are.

use std::collections::BTreeMap;
use std::path::Path;

use conda::Subdir;
use fs_err as fs;
use installer::Finished;
use spec::{Distribution, Image};

use crate::error::Error;

/// A distribution that was opened.
pub(super) struct Opened {
    pub(super) distribution: Distribution,
    /// Finished installers for the platforms that are wanted; none where there is a spec.
    pub(super) finished: BTreeMap<Subdir, Finished>,
}

/// Opens what the definition names, whose paths begin at `folder`. `platforms` are those that the user asks for.
pub(super) fn open(
    definition: &Image,
    folder: &Path,
    platforms: &[Subdir],
) -> Result<Opened, Error> {
    match &definition.installer {
        Some(spec) => Ok(Opened {
            distribution: read(&folder.join(spec))?,
            finished: BTreeMap::new(),
        }),
        None => finished(definition, folder, platforms),
    }
}

fn finished(definition: &Image, folder: &Path, platforms: &[Subdir]) -> Result<Opened, Error> {
    let mut any = None;
    let mut own = BTreeMap::new();
    for (platform, path) in definition.finished() {
        let path = folder.join(path);
        match platform {
            None => any = Some(Finished::open(&path)?),
            Some(platform) => {
                own.insert(platform, path);
            }
        }
    }
    let mut named: Vec<Subdir> = own.keys().copied().collect();
    named.extend(any.as_ref().map(Finished::platform));
    named.sort_unstable();
    named.dedup();
    let asked = if platforms.is_empty() {
        definition.platforms.as_ref().unwrap_or(&named)
    } else {
        platforms
    };
    let mut finished: BTreeMap<Subdir, Finished> = BTreeMap::new();
    for &platform in asked {
        if finished.contains_key(&platform) {
            continue;
        }
        let one = match own.get(&platform) {
            Some(path) => Some(Finished::open(path)?),
            None => any.take(),
        };
        let Some(one) = one else {
            return Err(lacking(platform, "there is no installer for it"));
        };
        if one.platform() != platform {
            let problem = format!("`{}` is for {}", one.path().display(), one.platform());
            return Err(lacking(platform, &problem));
        }
        finished.insert(platform, one);
    }
    let mut titles = finished.values().map(|one| (one.title(), one.path()));
    let Some(((name, version), first)) = titles.next() else {
        return Err(definition_error("no platform is named".to_owned()));
    };
    if let Some((other, path)) = titles.find(|(title, _)| *title != (name, version)) {
        return Err(definition_error(format!(
            "`{}` is {name} {version}, and `{}` is {} {}; an image is of one distribution",
            first.display(),
            path.display(),
            other.0,
            other.1
        )));
    }
    Ok(Opened {
        distribution: Distribution::named(name, version, named),
        finished,
    })
}

fn lacking(platform: Subdir, problem: &str) -> Error {
    definition_error(format!(
        "{platform} is asked for, and {problem}; name one as `installer` in `[target.{platform}]`"
    ))
}

fn definition_error(problem: String) -> Error {
    Error::Definition {
        key: "installer",
        problem,
    }
}

/// The installer's spec. Its warnings are said when the installer is built.
fn read(path: &Path) -> Result<Distribution, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    match Distribution::parse(&text) {
        Ok(parsed) => Ok(parsed.distribution),
        Err(error) => Err(Error::Spec {
            text: error.render(&path.display().to_string()),
        }),
    }
}
