//! Python wheels become packages: `noarch: python` for those without machine code, packages of the
//! platform for those with extension modules. A wheel comes from a stranger; nothing of it is run.
//!
//! ```text
//! Section ─► resolve ─► source (pip, a folder, a lock) ─► archive, metadata, record ─► convert ─► Draft
//! ```

mod archive;
mod convert;
mod depends;
mod error;
mod file_name;
mod layout;
mod libraries;
mod license;
mod marker;
mod metadata;
mod names;
mod record;
mod resolve;
mod source;
mod specifier;
mod tags;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;

use pep508_rs::{PackageName, Requirement};

use crate::draft::Draft;
use crate::repack::{Context, LockMode};

pub use error::Error;
use resolve::Closure;
use source::{Getter, Source};
use tags::Machine;

/// The `[wheels]` section of a definition.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Section {
    /// What is wanted, such as `numpy`, `pytest >=8` or `requests[socks]`. What they need comes along.
    pub(crate) packages: Vec<String>,
    /// The number of all packages that come from wheels.
    #[serde(default)]
    pub(crate) build_number: u64,
    /// conda's names of projects that are not called as conda-forge calls them.
    #[serde(default)]
    pub(crate) names: BTreeMap<String, String>,
    /// What is known better than the wheels' authors do, by project.
    #[serde(default)]
    pub(crate) package: BTreeMap<String, Own>,
}

/// A `[wheels.package.NAME]` of a definition.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Own {
    /// One line that says what it is.
    pub(crate) summary: Option<String>,
    /// SPDX.
    pub(crate) license: Option<String>,
    /// The home page.
    pub(crate) home: Option<String>,
    /// Projects that it claims to need, but does not.
    #[serde(default)]
    pub(crate) skip: Vec<String>,
    /// Match specs of what it needs besides.
    #[serde(default)]
    pub(crate) depends: Vec<String>,
}

/// A wheel of the lock.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pin {
    /// The file name, which holds name, version and tags.
    pub(crate) file: String,
    /// In bytes.
    pub(crate) size: u64,
    /// In hexadecimal digits.
    pub(crate) sha256: String,
}

/// The wheels that a definition asks for, with all that they need.
pub(crate) struct Wheels {
    settings: Settings,
    machine: Machine,
    closure: Closure,
}

/// Finds the wheels, where the definition asks for any. `known` are those of the lock; what may be
/// done with them is the options' to say.
pub(crate) fn find(context: &Context<'_>, known: &[Pin]) -> Result<Option<Wheels>, crate::Error> {
    let Some(section) = &context.definition.wheels else {
        return Ok(None);
    };
    let settings = Settings::new(section, context.options.timestamp)?;
    let definition = context.definition;
    let glibc = &definition.debian.glibc;
    let machine = Machine::new(context.target, &definition.python, glibc)?;
    let getter = Getter {
        machine: &machine,
        store: context.store,
        work: context.work,
        offline: context.options.offline,
    };
    let folder = context.options.wheels.as_deref();
    let fresh = folder.map_or(Source::Pip, Source::Folder);
    let mode = context.options.lock_mode;
    let source = match mode {
        LockMode::Update => fresh,
        LockMode::Locked => Source::Pins(getter.pinned(known, folder)?, None),
        LockMode::Follow => Source::Pins(getter.pinned(known, folder)?, Some(Box::new(fresh))),
    };
    let closure = match resolve::resolve(&settings.roots, &settings.skip, &getter, &source) {
        Err(crate::Error::Wheel(error @ Error::NoWheel { .. })) if mode == LockMode::Locked => {
            return Err(crate::Error::Locked {
                path: context.lock.to_owned(),
                problem: error.to_string(),
            });
        }
        other => other?,
    };
    Ok(Some(Wheels {
        settings,
        machine,
        closure,
    }))
}

impl Wheels {
    /// What a lock says of them, sorted by file name.
    pub(crate) fn pins(&self) -> Vec<Pin> {
        let wheels = self.closure.wheels.values();
        let mut pins: Vec<Pin> = wheels.map(|found| found.pin.clone()).collect();
        pins.sort_by(|one, other| one.file.cmp(&other.file));
        pins
    }

    /// Makes packages of them. `others` are the channel's other packages, which may hold libraries
    /// that the wheels need.
    pub(crate) fn drafts(
        &self,
        context: &Context<'_>,
        others: &[Draft],
    ) -> Result<Vec<Draft>, crate::Error> {
        let outside = libraries::Outside::new(&context.definition.debian.system, others);
        let work = context.work.join("wheels");
        let mut drafts: Vec<Draft> = Vec::new();
        let mut made: BTreeMap<String, String> = BTreeMap::new();
        for found in self.closure.wheels.values() {
            let (closure, settings) = (&self.closure, &self.settings);
            let draft = convert::draft(found, closure, settings, &self.machine, &outside, &work)?;
            if let Some(first) = made.insert(draft.name.clone(), found.pin.file.clone()) {
                return Err(Error::SameName {
                    name: draft.name,
                    first,
                    second: found.pin.file.clone(),
                }
                .into());
            }
            drafts.push(draft);
        }
        Ok(drafts)
    }
}

/// A section whose texts were read.
#[derive(Debug, Default)]
struct Settings {
    roots: Vec<Requirement>,
    build_number: u64,
    names: BTreeMap<PackageName, String>,
    own: BTreeMap<PackageName, Own>,
    skip: BTreeMap<PackageName, BTreeSet<PackageName>>,
    /// In seconds.
    timestamp: Option<u64>,
}

impl Settings {
    fn new(section: &Section, timestamp: Option<u64>) -> Result<Settings, Error> {
        let project = |text: &String| {
            PackageName::from_str(text).map_err(|_| Error::Project {
                project: text.clone(),
            })
        };
        let mut settings = Settings {
            roots: resolve::requirements(&section.packages)?,
            build_number: section.build_number,
            timestamp,
            ..Settings::default()
        };
        for (name, conda) in &section.names {
            if conda::PackageName::from_str(conda).is_err() {
                return Err(Error::Project {
                    project: conda.clone(),
                });
            }
            settings.names.insert(project(name)?, conda.clone());
        }
        for (name, own) in &section.package {
            let skip: Result<BTreeSet<PackageName>, Error> = own.skip.iter().map(project).collect();
            settings.skip.insert(project(name)?, skip?);
            settings.own.insert(project(name)?, own.clone());
        }
        Ok(settings)
    }
}
