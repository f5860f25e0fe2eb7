//! Whether a lock is still the answer to a spec: what `--locked` asks before it trusts one.

use std::collections::HashSet;

use conda::{MatchSpec, Matches as _, PackageName, RepoDataRecord, Subdir, credentials};
use url::Url;

use super::Lock;
use crate::order::missing_dependencies;
use crate::virtual_package::virtual_packages;

impl Lock {
    /// `Ok` where the lock holds `platform`, comes from exactly `channels`, has a record for each
    /// of `specs`, all dependencies of its records, none of the names in `exclude`, and nothing
    /// that no spec asks for. Otherwise why not, in words.
    ///
    /// `specs` may hold virtual ones (`__glibc >=2.28`): they raise the platform's baseline, as
    /// they do for the solve. A dependency on an excluded name counts as met.
    pub fn satisfies(
        &self,
        platform: Subdir,
        specs: &[MatchSpec],
        channels: &[Url],
        exclude: &[PackageName],
    ) -> Result<(), String> {
        let records = self
            .platforms
            .get(&platform)
            .ok_or_else(|| format!("it holds no packages for {platform}"))?;
        let bare = |urls: &[Url]| -> Vec<String> {
            urls.iter()
                .map(|url| {
                    credentials::without(url)
                        .as_str()
                        .trim_end_matches('/')
                        .to_owned()
                })
                .collect()
        };
        let (locked, wanted) = (bare(&self.channels), bare(channels));
        if locked != wanted {
            return Err(format!(
                "it was made from other channels ({}) than the spec names ({})",
                locked.join(", "),
                wanted.join(", ")
            ));
        }
        let excluded: HashSet<&str> = exclude.iter().map(PackageName::as_normalized).collect();
        let (virtuals, specs): (Vec<MatchSpec>, Vec<MatchSpec>) =
            specs.iter().cloned().partition(is_virtual);
        for spec in &specs {
            if spec_name(spec).is_some_and(|name| excluded.contains(name)) {
                continue;
            }
            if !records.iter().any(|record| matches(spec, record)) {
                return Err(format!("no package in it matches `{spec}`"));
            }
        }
        if let Some(record) = records
            .iter()
            .find(|record| excluded.contains(record.package_record.name.as_normalized()))
        {
            return Err(format!(
                "it holds `{}`, which the spec excludes",
                record.identifier
            ));
        }
        let provided = virtual_packages(platform, &virtuals);
        if let Some(missing) = missing_dependencies(records, &provided)
            .into_iter()
            .find(|missing| !excluded.contains(dependency_name(&missing.dependency).as_str()))
        {
            return Err(format!(
                "`{}` in it needs `{}`, which it does not provide",
                missing.package, missing.dependency
            ));
        }
        // What an excluded package alone needed stays in the lock.
        if excluded.is_empty()
            && let Some(record) = unneeded(records, &specs)
        {
            return Err(format!(
                "it holds `{}`, which nothing asks for",
                record.identifier
            ));
        }
        Ok(())
    }
}

/// The channel of a spec is left to the solve: it may be an alias that only the client knows.
fn matches(spec: &MatchSpec, record: &RepoDataRecord) -> bool {
    spec.matches(&record.package_record)
}

fn spec_name(spec: &MatchSpec) -> Option<&str> {
    spec.name.as_exact().map(PackageName::as_normalized)
}

fn is_virtual(spec: &MatchSpec) -> bool {
    spec_name(spec).is_some_and(|name| name.starts_with("__"))
}

fn dependency_name(dependency: &str) -> String {
    PackageName::normalized_name_from_matchspec_str(dependency).into_owned()
}

/// A record that no spec leads to.
fn unneeded<'a>(records: &'a [RepoDataRecord], specs: &[MatchSpec]) -> Option<&'a RepoDataRecord> {
    let mut reached: HashSet<String> = specs
        .iter()
        .filter_map(spec_name)
        .map(str::to_owned)
        .collect();
    // Dependencies come before their dependents, so that one walk backwards reaches nearly all;
    // cycles need more.
    loop {
        let before = reached.len();
        for record in records.iter().rev() {
            if reached.contains(record.package_record.name.as_normalized()) {
                reached.extend(
                    record
                        .package_record
                        .depends
                        .iter()
                        .map(|text| dependency_name(text)),
                );
            }
        }
        if reached.len() == before {
            break;
        }
    }
    records
        .iter()
        .find(|record| !reached.contains(record.package_record.name.as_normalized()))
}
