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

/// Finds the wheels that the definition asks for, and all that they need. `known` are those of the
/// lock; what may be done with them is the options' to say.
pub(crate) fn pins(context: &Context<'_>, known: &[Pin]) -> Result<Vec<Pin>, crate::Error> {
    let Some(section) = &context.definition.wheels else {
        return Ok(Vec::new());
    };
    let settings = Settings::new(section, context.options.timestamp)?;
    let machine = machine(context)?;
    let getter = getter(context, &machine);
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
    let mut pins: Vec<Pin> = closure
        .wheels
        .into_values()
        .map(|found| found.pin)
        .collect();
    pins.sort_by(|one, other| one.file.cmp(&other.file));
    Ok(pins)
}

/// Makes the packages of these wheels. `others` are the channel's other packages, which may hold
/// libraries that the wheels need.
pub(crate) fn drafts(
    context: &Context<'_>,
    pins: &[Pin],
    others: &[Draft],
) -> Result<Vec<Draft>, crate::Error> {
    let Some(section) = &context.definition.wheels else {
        return Ok(Vec::new());
    };
    let settings = Settings::new(section, context.options.timestamp)?;
    let machine = machine(context)?;
    let getter = getter(context, &machine);
    let pinned = getter.pinned(pins, context.options.wheels.as_deref())?;
    let source = Source::Pins(pinned, None);
    let closure = resolve::resolve(&settings.roots, &settings.skip, &getter, &source)?;
    let outside = libraries::Outside::new(&context.definition.debian.system, others);
    let work = context.work.join("wheels");
    let mut drafts: Vec<Draft> = Vec::new();
    let mut made: BTreeMap<String, String> = BTreeMap::new();
    for found in closure.wheels.values() {
        let draft = convert::draft(found, &closure, &settings, &machine, &outside, &work)?;
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

fn machine(context: &Context<'_>) -> Result<Machine, Error> {
    let definition = context.definition;
    Machine::new(context.target, &definition.python, &definition.debian.glibc)
}

fn getter<'a>(context: &'a Context<'_>, machine: &'a Machine) -> Getter<'a> {
    Getter {
        machine,
        store: context.store,
        work: context.work,
        offline: context.options.offline,
    }
}
