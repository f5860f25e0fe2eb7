//! What a package needs: the requirements of its wheel in conda's words, and the Python that it fits.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;

use conda::{ParseStrictness, VersionSpec};
use pep508_rs::{ExtraName, MarkerEnvironment, PackageName, Requirement};

use super::resolve::{self, Closure};
use super::source::Found;
use super::tags::Machine;
use super::{Error, Settings, marker, names, specifier};

/// What a package needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Depends {
    /// The other packages, in order of their names.
    pub(super) packages: Vec<String>,
    /// The condition on Python's version; empty where any will do.
    pub(super) python: String,
    /// Whether other processors would need the same.
    pub(super) same_everywhere: bool,
}

/// What a wheel needs. `closure` has all wheels.
pub(super) fn depends(
    found: &Found,
    closure: &Closure,
    settings: &Settings,
    machine: &Machine,
) -> Result<Depends, Error> {
    let environment = marker::environment(machine)?;
    let (platform, pythons) = marker::others(machine)?;
    let none = BTreeSet::new();
    let extras = closure.asked.get(&found.name.project).unwrap_or(&none);
    let of = |environment: &MarkerEnvironment| {
        resolve::applying(found, extras, environment, &settings.skip)
    };
    let own = of(&environment);
    Ok(Depends {
        packages: packages(found, &own, closure, settings, &environment)?,
        python: python(found, machine, &pythons, &|environment| {
            of(environment) == own
        }),
        same_everywhere: of(&platform) == own,
    })
}

fn packages(
    found: &Found,
    own: &[&Requirement],
    closure: &Closure,
    settings: &Settings,
    environment: &MarkerEnvironment,
) -> Result<Vec<String>, Error> {
    let wheel = &found.name.text;
    let mut specs: BTreeMap<&PackageName, Vec<String>> = BTreeMap::new();
    let mut seen: BTreeSet<(&PackageName, ExtraName)> = BTreeSet::new();
    let mut queue: Vec<&Requirement> = own.to_vec();
    while let Some(requirement) = queue.pop() {
        // conda has no extras: who needs another package with an extra needs the extra's packages.
        let other = closure.wheels.get(&requirement.name);
        for extra in &requirement.extras {
            if let Some(other) = other
                && seen.insert((&requirement.name, extra.clone()))
            {
                let plain = resolve::applying(other, &BTreeSet::new(), environment, &settings.skip);
                let extras = BTreeSet::from([extra.clone()]);
                let more = resolve::applying(other, &extras, environment, &settings.skip);
                queue.extend(more.into_iter().filter(|one| !plain.contains(one)));
            }
        }
        if requirement.name == found.name.project {
            continue;
        }
        let conditions = resolve::conditions(requirement, wheel)?;
        let spec = specifier::translate(&conditions);
        check(found, requirement, &spec, other)?;
        let all = specs.entry(&requirement.name).or_default();
        for one in spec.split(',').filter(|one| !one.is_empty()) {
            if !all.iter().any(|known| known == one) {
                all.push(one.to_owned());
            }
        }
    }
    let mut packages: Vec<String> = specs
        .into_iter()
        .map(|(project, conditions)| {
            let name = names::conda(project, &settings.names);
            format!("{name} {}", conditions.join(","))
                .trim_end()
                .to_owned()
        })
        .collect();
    packages.sort();
    Ok(packages)
}

/// A condition has to be one to conda too, and must let in the package that was made for it.
fn check(
    found: &Found,
    requirement: &Requirement,
    spec: &str,
    other: Option<&Found>,
) -> Result<(), Error> {
    if spec.is_empty() {
        return Ok(());
    }
    let wrong = || Error::MatchSpec {
        wheel: found.name.text.clone(),
        requirement: requirement.to_string(),
        spec: spec.to_owned(),
    };
    let condition = VersionSpec::from_str(spec, ParseStrictness::Strict).map_err(|_| wrong())?;
    let Some(other) = other else { return Ok(()) };
    let version = conda::Version::from_str(&other.name.version.to_string()).map_err(|_| wrong())?;
    if condition.matches(&version) {
        return Ok(());
    }
    Err(Error::Unmatched {
        wheel: found.name.text.clone(),
        spec: format!("{} {spec}", requirement.name),
        made: format!("{} {}", requirement.name, other.name.version),
    })
}

/// The versions of Python that a wheel is for and on which it needs the same packages.
fn python(
    found: &Found,
    machine: &Machine,
    pythons: &[MarkerEnvironment],
    same: &dyn Fn(&MarkerEnvironment) -> bool,
) -> String {
    let conditions = &found.metadata.requires_python;
    let mut parts: Vec<String> = specifier::translate(conditions)
        .split(',')
        .filter(|one| !one.is_empty())
        .map(str::to_owned)
        .collect();
    let minor = |environment: &MarkerEnvironment| {
        let release = environment.python_version().version.release().to_vec();
        release
            .get(1)
            .and_then(|minor| u32::try_from(*minor).ok())
            .unwrap_or(0)
    };
    let admitted = |environment: &&MarkerEnvironment| {
        specifier::contains(conditions, &environment.python_full_version().version)
    };
    let differing = |environment: &&MarkerEnvironment| !same(environment);
    let unlike: Vec<u32> = pythons
        .iter()
        .filter(admitted)
        .filter(differing)
        .map(minor)
        .collect();
    if let Some(last) = unlike
        .iter()
        .filter(|minor| **minor < machine.minor.1)
        .max()
    {
        // This lies within what the author admits, so it is the narrower bound.
        parts.retain(|part| !part.starts_with('>'));
        parts.insert(0, format!(">={}.{}", machine.minor.0, last + 1));
    }
    if let Some(first) = unlike
        .iter()
        .filter(|minor| **minor > machine.minor.1)
        .min()
    {
        parts.retain(|part| !part.starts_with('<'));
        parts.push(format!("<{}.{first}.0a0", machine.minor.0));
    }
    parts.join(",")
}
