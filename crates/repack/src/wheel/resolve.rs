//! Which wheels are needed: the definition's requirements and everything that they need on the
//! target. pip would evaluate markers for the machine that it runs on; so it is asked for one
//! version at a time only, and the closure is made here.
//!
//! There is no backtracking: each project gets the newest version that fits all conditions found so
//! far, and is asked for again when a later condition excludes it. The result satisfies everything;
//! where this does not end, an error says which projects to pin.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;

use pep440_rs::{VersionSpecifier, VersionSpecifiers};
use pep508_rs::{ExtraName, MarkerEnvironment, PackageName, Requirement, VersionOrUrl};

use super::source::{Found, Getter, Source, Want};
use super::{Error, marker, specifier};

/// More rounds than any chain of conditions has.
const ROUNDS: usize = 100;

/// The wheels, by project.
#[derive(Debug, Default)]
pub(super) struct Closure {
    /// The wheels.
    pub(super) wheels: BTreeMap<PackageName, Found>,
    /// The extras that the definition asks for.
    pub(super) asked: BTreeMap<PackageName, BTreeSet<ExtraName>>,
}

/// Reads the definition's requirements.
pub(super) fn requirements(texts: &[String]) -> Result<Vec<Requirement>, Error> {
    texts
        .iter()
        .map(|text| {
            Requirement::from_str(text).map_err(|source| Error::Asked {
                requirement: text.clone(),
                source: Box::new(source),
            })
        })
        .collect()
}

/// Finds all wheels. `skip` names requirements of a project that do not count.
pub(super) fn resolve(
    roots: &[Requirement],
    skip: &BTreeMap<PackageName, BTreeSet<PackageName>>,
    getter: &Getter<'_>,
    source: &Source<'_>,
) -> Result<Closure, crate::Error> {
    let environment = marker::environment(getter.machine)?;
    let mut known: BTreeMap<(PackageName, String), Found> = BTreeMap::new();
    let mut selected: BTreeMap<PackageName, Found> = BTreeMap::new();
    let mut unsettled = BTreeSet::new();
    for _ in 0..ROUNDS {
        let wants = wants(roots, skip, &selected, &environment)?;
        selected.retain(|project, _| wants.contains_key(project));
        let open: Vec<&Want> = wants
            .values()
            .filter(|want| {
                let fits = |one: &Found| specifier::contains(&want.specifiers, &one.name.version);
                !selected.get(&want.project).is_some_and(fits)
            })
            .collect();
        if open.is_empty() {
            return Ok(Closure {
                wheels: selected,
                asked: asked(roots, &environment),
            });
        }
        unsettled = open.iter().map(|want| want.project.to_string()).collect();
        let unknown: Vec<Want> = open
            .iter()
            .filter(|want| !known.contains_key(&(want.project.clone(), want.text())))
            .map(|want| (*want).clone())
            .collect();
        if !unknown.is_empty() {
            let found = getter.find(source, &unknown)?;
            for want in unknown {
                if let Some(one) = found.iter().find(|one| one.name.project == want.project) {
                    known.insert((want.project.clone(), want.text()), one.clone());
                }
            }
        }
        for want in open {
            if let Some(found) = known.get(&(want.project.clone(), want.text())) {
                selected.insert(want.project.clone(), found.clone());
            }
        }
    }
    Err(Error::Unsettled {
        target: getter.machine.target.subdir,
        packages: unsettled.into_iter().collect::<Vec<_>>().join(", "),
    }
    .into())
}

/// A wheel's requirements that count on the target, with these extras.
pub(super) fn applying<'f>(
    found: &'f Found,
    extras: &BTreeSet<ExtraName>,
    environment: &MarkerEnvironment,
    skip: &BTreeMap<PackageName, BTreeSet<PackageName>>,
) -> Vec<&'f Requirement> {
    let extras: Vec<ExtraName> = extras.iter().cloned().collect();
    let skipped = skip.get(&found.name.project);
    let counts = |one: &&Requirement| {
        one.evaluate_markers(environment, &extras)
            && !skipped.is_some_and(|skipped| skipped.contains(&one.name))
    };
    found.metadata.requires.iter().filter(counts).collect()
}

/// The conditions on a requirement's version.
pub(super) fn conditions(
    requirement: &Requirement,
    wanted_by: &str,
) -> Result<VersionSpecifiers, Error> {
    match &requirement.version_or_url {
        None => Ok(VersionSpecifiers::empty()),
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => Ok(specifiers.clone()),
        Some(VersionOrUrl::Url(_)) => Err(Error::Url {
            requirement: requirement.name.to_string(),
            wanted_by: wanted_by.to_owned(),
        }),
    }
}

fn asked(
    roots: &[Requirement],
    environment: &MarkerEnvironment,
) -> BTreeMap<PackageName, BTreeSet<ExtraName>> {
    let mut asked: BTreeMap<PackageName, BTreeSet<ExtraName>> = BTreeMap::new();
    for root in roots
        .iter()
        .filter(|root| root.evaluate_markers(environment, &[]))
    {
        let extras = asked.entry(root.name.clone()).or_default();
        extras.extend(root.extras.iter().cloned());
    }
    asked
}

/// Everything that is wanted, as far as the selected wheels tell.
fn wants(
    roots: &[Requirement],
    skip: &BTreeMap<PackageName, BTreeSet<PackageName>>,
    selected: &BTreeMap<PackageName, Found>,
    environment: &MarkerEnvironment,
) -> Result<BTreeMap<PackageName, Want>, Error> {
    let mut conditions_of: BTreeMap<PackageName, (Vec<VersionSpecifier>, BTreeSet<String>)> =
        BTreeMap::new();
    let mut done: BTreeMap<PackageName, BTreeSet<ExtraName>> = BTreeMap::new();
    let applying_roots = roots
        .iter()
        .filter(|root| root.evaluate_markers(environment, &[]));
    let mut queue: Vec<(String, &Requirement)> = applying_roots
        .map(|root| ("the definition".to_owned(), root))
        .collect();
    while let Some((wanted_by, requirement)) = queue.pop() {
        let (all, by) = conditions_of.entry(requirement.name.clone()).or_default();
        for one in conditions(requirement, &wanted_by)?.iter() {
            if !all.contains(one) {
                all.push(one.clone());
            }
        }
        by.insert(wanted_by);
        let first = !done.contains_key(&requirement.name);
        let extras = done.entry(requirement.name.clone()).or_default();
        let before = extras.len();
        extras.extend(requirement.extras.iter().cloned());
        let more = extras.len() > before;
        if let Some(found) = selected.get(&requirement.name)
            && (first || more)
        {
            let name = format!("{} {}", found.name.project, found.name.version);
            for next in applying(found, extras, environment, skip) {
                queue.push((name.clone(), next));
            }
        }
    }
    Ok(conditions_of
        .into_iter()
        .map(|(project, (mut all, by))| {
            all.sort_by_key(ToString::to_string);
            let want = Want {
                project: project.clone(),
                specifiers: all.into_iter().collect(),
                wanted_by: by.into_iter().collect::<Vec<_>>().join(", "),
            };
            (project, want)
        })
        .collect())
}
