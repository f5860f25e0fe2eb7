//! The order in which records are installed, and what a list of records lacks. Used for explicit
//! lists, which nobody solved.

use std::collections::HashMap;

use conda::{
    GenericVirtualPackage, MatchSpec, Matches as _, PackageName, PackageRecord,
    ParseMatchSpecOptions, RepoDataRecord, RepodataRevision,
};

use crate::Error;

/// Sorting walks chains of dependencies on the stack; real distributions stay below a thousand.
pub(crate) const MOST_PACKAGES: usize = 5_000;

/// A dependency that neither a record of the list nor a virtual package satisfies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingDependency {
    /// File name of the archive that asks for it.
    pub package: String,
    /// The dependency as the record spells it.
    pub dependency: String,
}

/// `records` with each after its dependencies, where a cycle allows it, and the dependencies that
/// are not met: a warning, not an error, since the user said "exactly these". The order does not
/// depend on the order of the input.
///
/// Two records of one name are an error.
pub fn order(
    records: Vec<RepoDataRecord>,
    virtual_packages: &[GenericVirtualPackage],
) -> Result<(Vec<RepoDataRecord>, Vec<MissingDependency>), Error> {
    check_names(&records)?;
    let missing = missing_dependencies(&records, virtual_packages);
    Ok((PackageRecord::sort_topologically(records), missing))
}

/// No name twice, and not absurdly many.
pub(crate) fn check_names(records: &[RepoDataRecord]) -> Result<(), Error> {
    if records.len() > MOST_PACKAGES {
        return Err(Error::TooMany {
            count: records.len(),
            limit: MOST_PACKAGES,
        });
    }
    let mut seen: HashMap<&str, &RepoDataRecord> = HashMap::new();
    for record in records {
        let name = record.package_record.name.as_normalized();
        if let Some(first) = seen.insert(name, record) {
            return Err(Error::Duplicate {
                name: name.to_owned(),
                first: first.identifier.to_file_name(),
                second: record.identifier.to_file_name(),
            });
        }
    }
    Ok(())
}

/// Every dependency of `records` that nothing satisfies, sorted.
pub(crate) fn missing_dependencies(
    records: &[RepoDataRecord],
    virtual_packages: &[GenericVirtualPackage],
) -> Vec<MissingDependency> {
    let by_name: HashMap<&str, &PackageRecord> = records
        .iter()
        .map(|record| {
            (
                record.package_record.name.as_normalized(),
                &record.package_record,
            )
        })
        .collect();
    let mut missing: Vec<MissingDependency> = records
        .iter()
        .flat_map(|record| {
            record
                .package_record
                .depends
                .iter()
                .filter(|dependency| !is_met(dependency, &by_name, virtual_packages))
                .map(|dependency| MissingDependency {
                    package: record.identifier.to_file_name(),
                    dependency: dependency.clone(),
                })
        })
        .collect();
    missing.sort();
    missing.dedup();
    missing
}

fn is_met(
    dependency: &str,
    by_name: &HashMap<&str, &PackageRecord>,
    virtual_packages: &[GenericVirtualPackage],
) -> bool {
    let name = PackageName::normalized_name_from_matchspec_str(dependency);
    let record = by_name.get(name.as_ref());
    let options = ParseMatchSpecOptions::lenient().with_repodata_revision(RepodataRevision::V3);
    match MatchSpec::from_str(dependency, options) {
        // Only under a condition that the solver would decide.
        Ok(spec) if spec.condition.is_some() => true,
        Ok(spec) => {
            record.is_some_and(|record| spec.matches(*record))
                || virtual_packages.iter().any(|package| spec.matches(package))
        }
        // Old channels hold specs that no parser takes; there the name must do.
        Err(_) => {
            record.is_some()
                || virtual_packages
                    .iter()
                    .any(|package| package.name.as_normalized() == name)
        }
    }
}
