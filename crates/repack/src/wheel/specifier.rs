//! Conditions on versions: from Python's language (the version specifiers specification, formerly
//! PEP 440) to conda's (`conda.models.version.VersionSpec`). The two agree in most things. They do
//! not where Python leaves a version's pre-releases out without being told: there the translation
//! says it, as conda's users do (`<2a0`).
//!
//! What conda cannot say is let through: post-releases of `V` for `>V`, which Python excludes. Local
//! versions (`1.0+cpu`) are to conda versions of their own, which `==1.0` does not match. Pre-releases
//! of different lengths (`1.4rc1`, `1.4.0b2`) have an order of their own in conda.

use pep440_rs::{Operator, Version, VersionSpecifier, VersionSpecifiers};

/// conda's form; empty where there is no condition.
pub(super) fn translate(specifiers: &VersionSpecifiers) -> String {
    let mut all: Vec<String> = Vec::new();
    for specifier in specifiers.iter() {
        for one in translate_one(specifier) {
            if !all.contains(&one) {
                all.push(one);
            }
        }
    }
    all.join(",")
}

/// Whether a version fits, by Python's rules. `pep440_rs` forgets to fill up a short version with zeros
/// (`1` is `1.0`) where it compares beginnings, and epochs and pre-releases of the limit for `<`.
pub(super) fn contains(specifiers: &VersionSpecifiers, version: &Version) -> bool {
    specifiers.iter().all(|specifier| {
        let wanted = specifier.version().release().len();
        let mut release = version.release().to_vec();
        if release.len() < wanted {
            release.resize(wanted, 0);
        }
        match specifier.operator() {
            Operator::EqualStar | Operator::NotEqualStar | Operator::TildeEqual => {
                specifier.contains(&version.clone().with_release(release))
            }
            Operator::LessThan => is_less(specifier.version(), version),
            _ => specifier.contains(version),
        }
    })
}

/// `<2` does not mean `2rc1`, but `<2rc1` means `2b1`.
fn is_less(limit: &Version, version: &Version) -> bool {
    let version = version.clone().without_local();
    let of_limit = || release(&version, version.release()) == release(limit, limit.release());
    let left_out = !limit.any_prerelease() && version.any_prerelease() && of_limit();
    version < *limit && !left_out
}

fn translate_one(specifier: &VersionSpecifier) -> Vec<String> {
    let version = specifier.version();
    match specifier.operator() {
        Operator::Equal | Operator::ExactEqual => vec![format!("=={version}")],
        Operator::NotEqual => vec![format!("!={version}")],
        Operator::GreaterThanEqual => vec![format!(">={version}")],
        Operator::LessThanEqual => vec![format!("<={version}")],
        Operator::GreaterThan => vec![format!(">{version}")],
        Operator::LessThan if version.any_prerelease() || version.is_post() => {
            vec![format!("<{version}")]
        }
        Operator::LessThan => vec![format!("<{}", before(version))],
        Operator::EqualStar => beginning(version),
        Operator::NotEqualStar => not_beginning(version),
        Operator::TildeEqual => {
            let mut shorter = version.release().to_vec();
            shorter.pop();
            let mut all = vec![format!(">={version}")];
            all.extend(beginning(&release(version, &shorter)));
            all
        }
    }
}

/// The lowest of a release's pre-releases, in the form that is below all their spellings: trailing
/// zeros would lift it above `2rc1`.
fn before(version: &Version) -> String {
    let mut numbers = version.release().to_vec();
    while numbers.len() > 1 && numbers.last() == Some(&0) {
        numbers.pop();
    }
    format!("{}a0", release(version, &numbers))
}

/// `1.4.*`. What ends in zero becomes a range: in Python `1` begins with `1.0`.
fn beginning(version: &Version) -> Vec<String> {
    let numbers = version.release();
    match numbers.split_last() {
        Some((&0, rest)) if !rest.is_empty() => {
            let mut next = rest.to_vec();
            next.push(1);
            let lower = before(version);
            vec![
                format!(">={lower}"),
                format!("<{}", before(&release(version, &next))),
            ]
        }
        _ => vec![format!("{version}.*")],
    }
}

fn not_beginning(version: &Version) -> Vec<String> {
    let mut all = vec![format!("!={version}.*")];
    let mut numbers = version.release().to_vec();
    while numbers.len() > 1 && numbers.last() == Some(&0) {
        numbers.pop();
    }
    if numbers.len() < version.release().len() {
        all.push(format!("!={}", release(version, &numbers)));
    }
    all
}

fn release(version: &Version, numbers: &[u64]) -> Version {
    Version::new(numbers.iter().copied()).with_epoch(version.epoch())
}

#[cfg(test)]
mod tests;
