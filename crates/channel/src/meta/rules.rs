//! What a definition leaves out before anybody asks what is needed.

use std::collections::HashMap;

use conda::{MatchSpec, ParseStrictness, VersionSpec};
use spec::{MetaChannel, PackageSpec, Patterns};

use super::candidate::{Candidate, Pool};
use crate::glob::Glob;

/// Why a package is left out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cut {
    /// The same package is there as `.conda`.
    Twin,
    /// Another channel comes first and has the name.
    Channel,
    /// A pattern of `exclude` fits.
    Excluded(String),
    /// The blacklist names it.
    Blacklisted(String),
    /// None of the pins of its name fits.
    Pinned,
    /// It came into its channel after `exclude_newer`.
    Newer,
    /// There is the same build with a higher number.
    BuildNumber,
    /// Nothing that is left satisfies a dependency.
    DeadEnd(String),
    /// `keep` has no room for it.
    Keep,
    /// Nothing that stays can select it.
    Unreached,
}

/// The rules of a definition, ready to be applied.
#[derive(Debug, Default)]
pub(super) struct Rules {
    exclude: Matcher,
    include: Matcher,
    blacklist: Vec<Blacklisted>,
    pins: HashMap<String, Vec<VersionSpec>>,
    newest_ms: Option<i64>,
    /// Builds that are there with a higher number are left out.
    pub(super) max_build_number: bool,
}

/// A line of a blacklist.
#[derive(Debug, Clone)]
pub(super) struct Blacklisted {
    /// The platform that it is about; all without one.
    pub(super) subdir: Option<String>,
    pub(super) what: What,
}

/// What a line of a blacklist names.
#[derive(Debug, Clone)]
pub(super) enum What {
    File(String),
    Spec(Box<MatchSpec>, String),
}

#[derive(Debug, Default)]
struct Matcher {
    names: Vec<(Glob, String)>,
    specs: HashMap<String, Vec<(MatchSpec, String)>>,
    licenses: Vec<(Glob, String)>,
    features: Vec<(Glob, String)>,
}

/// The names that a definition's own rules are about, each with its key. Patterns are about no certain name.
pub(super) fn names(definition: &MetaChannel) -> impl Iterator<Item = (&'static str, &str)> {
    let pins = definition.pins.keys();
    let pins = pins.map(|name| ("pins", name.as_normalized()));
    let patterns = [
        ("exclude", &definition.exclude),
        ("include", &definition.include),
    ];
    let named = patterns.into_iter().flat_map(|(key, patterns)| {
        let names = patterns.names.iter().map(String::as_str);
        let names = names.filter(|name| !name.contains(['*', '?', '[']));
        let specs = patterns.specs.iter().filter_map(PackageSpec::name);
        let specs = specs.map(conda::PackageName::as_normalized);
        names.chain(specs).map(move |name| (key, name))
    });
    pins.chain(named)
}

impl Rules {
    /// `pins` are those of files; `newest_ms` is the instant that `exclude_newer` means.
    pub(super) fn new(
        definition: &MetaChannel,
        pins: &[(String, Vec<String>)],
        blacklist: Vec<Blacklisted>,
        newest_ms: Option<i64>,
    ) -> Self {
        let own = definition
            .pins
            .iter()
            .map(|(name, versions)| (name.as_normalized().to_owned(), versions.clone()));
        // The definition's own come last, and count.
        let pins = pins.iter().cloned().chain(own).map(|(name, versions)| {
            let parse = |text: &String| VersionSpec::from_str(text, ParseStrictness::Lenient).ok();
            (name, versions.iter().filter_map(parse).collect())
        });
        Self {
            exclude: Matcher::new(&definition.exclude),
            include: Matcher::new(&definition.include),
            blacklist,
            pins: pins.collect(),
            newest_ms,
            max_build_number: definition.keep.max_build_number,
        }
    }

    /// Why a package of this name is left out, if it is.
    pub(super) fn cut(
        &self,
        pool: &Pool<'_>,
        name: &str,
        candidate: &Candidate<'_>,
    ) -> Option<Cut> {
        if let (Some(newest), Some(time)) = (self.newest_ms, candidate.time_ms)
            && time > newest
        {
            return Some(Cut::Newer);
        }
        if let Some(pins) = self.pins.get(name)
            && !pins.iter().any(|pin| pin.matches(&candidate.version))
        {
            return Some(Cut::Pinned);
        }
        let cut = match self.exclude.find(pool, name, candidate) {
            Some(pattern) => Some(Cut::Excluded(pattern)),
            None => self
                .blacklisted(pool, name, candidate)
                .map(Cut::Blacklisted),
        }?;
        let is_included = self.include.find(pool, name, candidate).is_some();
        (!is_included).then_some(cut)
    }

    fn blacklisted(
        &self,
        pool: &Pool<'_>,
        name: &str,
        candidate: &Candidate<'_>,
    ) -> Option<String> {
        let subdir = pool.subdir(candidate);
        let lines = self.blacklist.iter();
        lines
            .filter(|line| line.subdir.as_deref().is_none_or(|wanted| wanted == subdir))
            .find_map(|line| match &line.what {
                What::File(file) => (pool.file(candidate) == file).then(|| file.clone()),
                What::Spec(spec, text) => {
                    let is_one = spec
                        .name
                        .as_exact()
                        .is_some_and(|wanted| wanted.as_normalized() == name);
                    (is_one && pool.fits(spec, candidate)).then(|| text.clone())
                }
            })
    }
}

impl Matcher {
    fn new(patterns: &Patterns) -> Self {
        let globs = |patterns: &[String], lower: bool| {
            let glob = |pattern: &String| {
                let text = if lower {
                    pattern.to_lowercase()
                } else {
                    pattern.clone()
                };
                (Glob::new(&text), pattern.clone())
            };
            patterns.iter().map(glob).collect()
        };
        let mut specs: HashMap<String, Vec<(MatchSpec, String)>> = HashMap::new();
        for spec in &patterns.specs {
            if let Some(name) = spec.name() {
                let entry = specs.entry(name.as_normalized().to_owned()).or_default();
                entry.push((spec.match_spec.clone(), spec.raw.clone()));
            }
        }
        Self {
            names: globs(&patterns.names, true),
            specs,
            licenses: globs(&patterns.licenses, true),
            features: globs(&patterns.features, false),
        }
    }

    /// The first pattern that fits.
    fn find(&self, pool: &Pool<'_>, name: &str, candidate: &Candidate<'_>) -> Option<String> {
        let first = |globs: &[(Glob, String)], text: &str| {
            let found = globs.iter().find(|(glob, _)| glob.matches(text));
            found.map(|(_, pattern)| pattern.clone())
        };
        first(&self.names, name)
            .or_else(|| {
                let specs = self.specs.get(name).into_iter().flatten();
                let found = specs
                    .into_iter()
                    .find(|(spec, _)| pool.fits(spec, candidate));
                found.map(|(_, text)| text.clone())
            })
            .or_else(|| {
                let license = candidate.license.as_deref().unwrap_or_default();
                if self.licenses.is_empty() {
                    return None;
                }
                first(&self.licenses, &license.to_lowercase())
            })
            .or_else(|| {
                let mut features = candidate.features.iter();
                features.find_map(|feature| first(&self.features, feature))
            })
    }
}
