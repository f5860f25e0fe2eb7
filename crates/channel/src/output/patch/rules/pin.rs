//! The bounds of dependencies as conda-build writes them: `NAME >=LOWER,<UPPERa0 BUILD`.

use std::cmp::Ordering;
use std::str::FromStr as _;
use std::sync::LazyLock;

use pep440_rs::Version;
use regex::Regex;

use crate::output::current::version::VersionOrder;

/// The bound that a dependency gets.
pub(super) struct Bound {
    /// How many components of the lower bound stay.
    pub(super) max_pin: Option<usize>,
    /// Or the upper bound itself.
    pub(super) upper: Option<String>,
}

#[expect(
    clippy::expect_used,
    reason = "the expression is ours and does not depend on input"
)]
static PINNED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^>=([0-9]+(?:\.[0-9]+)*a?),<([0-9]+(?:\.[0-9]+)*)a0$").expect("a sound expression")
});

#[expect(
    clippy::expect_used,
    reason = "the expression is ours and does not depend on input"
)]
static AT_LEAST: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^>=([0-9]+(?:\.[0-9]+)*a?)[^<*]*$").expect("a sound expression"));

const OPERATORS: [&str; 6] = ["==", ">=", "<=", ">", "<", "!="];

/// The order of PEP 440, which conda-forge's script takes; where a version is none of those, conda's.
pub(super) fn compare_versions(left: &str, right: &str) -> Ordering {
    if let (Ok(left), Ok(right)) = (Version::from_str(left), Version::from_str(right)) {
        return left.cmp(&right);
    }
    match (VersionOrder::parse(left), VersionOrder::parse(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => left.cmp(right),
    }
}

/// The name of a dependency.
pub(super) fn name(dependency: &str) -> &str {
    dependency.split(' ').next().unwrap_or(dependency)
}

/// An exact pin `NAME VERSION BUILD` without its build, and from that version on.
pub(super) fn relaxed(dependency: &str, max_pin: Option<usize>) -> Option<String> {
    let parts: Vec<_> = dependency.split(' ').collect();
    let [name, version, _] = *parts else {
        return None;
    };
    if OPERATORS
        .iter()
        .any(|operator| version.starts_with(operator))
    {
        return None;
    }
    Some(match max_pin {
        Some(kept) => format!("{name} >={version},<{}a0", next(version, kept)?.join(".")),
        None => format!("{name} >={version}"),
    })
}

/// The dependency with an upper bound that is lower, if the new one is.
pub(super) fn tighten(dependency: &str, bound: &mut Bound) -> Option<String> {
    let parts: Vec<_> = dependency.split(' ').collect();
    let (name, version, build) = match *parts {
        [name] => {
            let upper = closed(bound)?;
            return Some(format!("{name} <{upper}a0"));
        }
        [name, version] => (name, version, String::new()),
        [name, version, build] => (name, version, format!(" {build}")),
        _ => return None,
    };
    if let Some(lower) = AT_LEAST.captures(version).and_then(|found| found.get(1)) {
        let lower = lower.as_str();
        let upper = new_upper(lower, bound)?;
        let lower = padded(split(lower), upper.len());
        let upper = padded(upper, lower.len());
        let is_below = compare_versions(&lower.join("."), &upper.join(".")).is_lt();
        return is_below.then(|| format!("{name} {version},<{}a0{build}", with_zero(upper)));
    }
    if let Some((lower, upper)) = pinned(version) {
        let new = new_upper(lower, bound)?;
        let upper = padded(split(upper), new.len());
        let new = padded(new, upper.len());
        let is_above = compare_versions(&upper.join("."), &new.join(".")).is_gt();
        return is_above.then(|| format!("{name} >={lower},<{}a0{build}", with_zero(new)));
    }
    let old = version.strip_prefix('<').filter(|_| build.is_empty())?;
    let upper = closed(bound)?;
    // What follows a second `<` makes no sense.
    let old = old.split('<').next().unwrap_or(old);
    let is_above = match old.strip_prefix('=') {
        Some(old) => compare_versions(old, &upper).is_ge(),
        None => compare_versions(old, &upper).is_gt(),
    };
    is_above.then(|| format!("{name} <{upper}a0"))
}

/// The dependency with an upper bound that is higher, if the new one is, or without any.
pub(super) fn loosen(dependency: &str, bound: &mut Bound) -> Option<String> {
    let parts: Vec<_> = dependency.split(' ').collect();
    let (name, version, build) = match *parts {
        [name, version] => (name, version, String::new()),
        [name, version, build] => (name, version, format!(" {build}")),
        _ => return None,
    };
    let (lower, upper) = pinned(version)?;
    if bound.max_pin.is_none() && bound.upper.as_deref().is_none_or(|upper| upper == "None") {
        return Some(format!("{name} >={lower}{build}"));
    }
    let new = new_upper(lower, bound)?;
    let upper = padded(split(upper), new.len());
    let new = padded(new, upper.len());
    // Component by component as text, as the script compares them.
    (upper < new).then(|| format!("{name} >={lower},<{}a0{build}", with_zero(new)))
}

fn pinned(version: &str) -> Option<(&str, &str)> {
    let found = PINNED.captures(version)?;
    Some((found.get(1)?.as_str(), found.get(2)?.as_str()))
}

fn new_upper(lower: &str, bound: &Bound) -> Option<Vec<String>> {
    match (&bound.upper, bound.max_pin) {
        (Some(upper), _) => Some(split(upper)),
        (None, Some(kept)) => next(lower, kept),
        (None, None) => None,
    }
}

/// The explicit upper bound with a zero at its end, which it keeps.
fn closed(bound: &mut Bound) -> Option<String> {
    let upper = with_zero(split(bound.upper.as_deref()?));
    bound.upper = Some(upper.clone());
    Some(upper)
}

/// The first version that differs from this one in the first `kept` components.
fn next(version: &str, kept: usize) -> Option<Vec<String>> {
    let mut components = padded(split(version), kept);
    let last = components.get_mut(kept.checked_sub(1)?)?;
    *last = last.parse::<u64>().ok()?.checked_add(1)?.to_string();
    for component in components.iter_mut().skip(kept) {
        "0".clone_into(component);
    }
    Some(components)
}

fn split(version: &str) -> Vec<String> {
    version.split('.').map(str::to_owned).collect()
}

fn padded(mut components: Vec<String>, length: usize) -> Vec<String> {
    // A pin of thousands of components is a mistake in the rule.
    while components.len() < length.min(1000) {
        components.push("0".to_owned());
    }
    components
}

fn with_zero(mut components: Vec<String>) -> String {
    if components.last().is_none_or(|last| last != "0") {
        components.push("0".to_owned());
    }
    components.join(".")
}
