//! The packages of one platform that could be selected, name by name, read when they are first asked for.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use archive::package::Kind;
use conda::{MatchSpec, Matches as _, RepoDataRecord, Subdir, Version};

use super::fields::{Fields, exported};
use super::record;
use super::rules::{Cut, Rules};
use super::spec_table::{Spec, SpecId, Specs};
use super::upstream::{Listing, Upstream};
use spec::{Keep, Priority};

/// One package.
#[derive(Debug)]
pub(super) struct Candidate<'t> {
    /// Which listing it is in, and which row of it.
    pub(super) listing: usize,
    pub(super) row: u32,
    /// Most versions are those of many packages.
    pub(super) version: Arc<Version>,
    pub(super) build: Cow<'t, str>,
    pub(super) build_number: u64,
    pub(super) license: Option<Cow<'t, str>>,
    pub(super) features: Vec<String>,
    pub(super) time_ms: Option<i64>,
    /// Its length in bytes, if the record tells.
    pub(super) size: Option<u64>,
    /// Why it is left out before anybody asks for it.
    pub(super) cut: Option<Cut>,
    is_tracked: bool,
    /// Where in the pool is what it asks for, and how much of that it needs.
    asked: Range<usize>,
    needed: usize,
}

/// All packages of one name, the best first.
#[derive(Debug, Default)]
pub(super) struct Slot<'t> {
    pub(super) candidates: Vec<Candidate<'t>>,
    /// Where each version begins.
    versions: Vec<usize>,
}

/// Versions that were come across, by their text. Some are none.
#[derive(Debug, Default)]
struct Versions(HashMap<Box<str>, Option<Arc<Version>>>);

/// A package among all: its name's slot and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) slot: u32,
    pub(super) place: u32,
}

/// Where packages of a platform come from.
pub(super) struct Pool<'t> {
    upstream: &'t Upstream,
    /// The listings of each channel that are of this platform, the most important channel first.
    channels: Vec<Vec<usize>>,
    strict: bool,
    follows_run_exports: bool,
    pub(super) specs: Specs,
    /// What packages ask for, of one after the other: a list for each would be half a million of them.
    asked: Vec<SpecId>,
    versions: Versions,
    slots: Vec<Slot<'t>>,
    by_name: HashMap<Box<str>, u32>,
}

impl<'t> Pool<'t> {
    pub(super) fn new(
        upstream: &'t Upstream,
        platform: Subdir,
        priority: Priority,
        follows_run_exports: bool,
    ) -> Self {
        let channels = (0..upstream.channels.len())
            .map(|channel| {
                let listings = upstream.listings.iter().enumerate();
                listings
                    .filter(|(_, listing)| listing.channel == channel && listing.is_of(platform))
                    .map(|(number, _)| number)
                    .collect()
            })
            .collect();
        Self {
            upstream,
            channels,
            strict: priority == Priority::Strict,
            follows_run_exports,
            specs: Specs::default(),
            asked: Vec::new(),
            versions: Versions::default(),
            slots: Vec::new(),
            by_name: HashMap::new(),
        }
    }

    /// All slots that were asked for.
    pub(super) fn slots(&self) -> &[Slot<'t>] {
        &self.slots
    }

    /// All packages of the slots, the best of each first.
    pub(super) fn ids(&self) -> impl Iterator<Item = Id> {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        self.slots
            .iter()
            .enumerate()
            .flat_map(move |(slot, found)| {
                (0..found.candidates.len()).map(move |place| Id {
                    slot: number(slot),
                    place: number(place),
                })
            })
    }

    /// A package.
    pub(super) fn get(&self, id: Id) -> &Candidate<'t> {
        &self.slots[id.slot as usize].candidates[id.place as usize]
    }

    /// What a package needs.
    pub(super) fn needed(&self, candidate: &Candidate<'_>) -> &[SpecId] {
        let (needed, _) = self.asked(candidate).split_at(candidate.needed);
        needed
    }

    /// The same, and then what may be wanted with it: extras, what it imposes on others, pip.
    pub(super) fn asked(&self, candidate: &Candidate<'_>) -> &[SpecId] {
        self.asked.get(candidate.asked.clone()).unwrap_or_default()
    }

    pub(super) fn listing(&self, candidate: &Candidate<'_>) -> &'t Listing {
        &self.upstream.listings[candidate.listing]
    }

    /// A package's file name.
    pub(super) fn file(&self, candidate: &Candidate<'_>) -> &'t str {
        self.listing(candidate).text.file(candidate.row)
    }

    /// A package's record, as it stands upstream.
    pub(super) fn record(&self, candidate: &Candidate<'_>) -> &'t str {
        self.listing(candidate).text.record(candidate.row)
    }

    /// The platform's folder that a package is in.
    pub(super) fn subdir(&self, candidate: &Candidate<'_>) -> &'static str {
        self.listing(candidate).subdir.as_str()
    }

    /// A package as the solver sees it.
    pub(super) fn typed(&self, candidate: &Candidate<'_>) -> Option<RepoDataRecord> {
        let listing = self.listing(candidate);
        record::typed(
            self.record(candidate),
            self.file(candidate),
            listing.subdir,
            &listing.base_url,
            &self.upstream.channels[listing.channel].url,
        )
    }

    /// The packages of a name: its slot. `rules` say which are left out.
    pub(super) fn slot(&mut self, name: &str, rules: &Rules) -> u32 {
        if let Some(slot) = self.by_name.get(name) {
            return *slot;
        }
        let mut slot = self.read(name);
        for place in 0..slot.candidates.len() {
            let candidate = &slot.candidates[place];
            if candidate.cut.is_none() {
                let cut = rules.cut(self, name, candidate);
                slot.candidates[place].cut = cut;
            }
        }
        if rules.max_build_number {
            slot.cut_lower_builds();
        }
        let number = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(slot);
        self.by_name.insert(name.into(), number);
        number
    }

    /// The slot of a name that was asked for.
    pub(super) fn known_slot(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The names of all packages that anything led to, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let slots = self.by_name.iter();
        let filled = slots.filter(|(_, slot)| !self.slots[**slot as usize].candidates.is_empty());
        filled.map(|(name, _)| &**name)
    }

    fn read(&mut self, name: &str) -> Slot<'t> {
        let upstream = self.upstream;
        let mut candidates = Vec::new();
        let mut is_owned = false;
        for listings in &self.channels {
            let mut found = false;
            for number in listings {
                let listing = &upstream.listings[*number];
                let rows = listing.text.of_name(name);
                let stems = |kind: Kind| {
                    let files = rows.iter().map(|row| listing.text.file(*row));
                    files.filter_map(move |file| file.strip_suffix(kind.extension()))
                };
                let conda: HashSet<&str> = match stems(Kind::TarBz2).next() {
                    Some(_) => stems(Kind::Conda).collect(),
                    None => HashSet::new(),
                };
                for row in rows {
                    let Some(fields) = Fields::read(listing.text.record(*row)) else {
                        continue;
                    };
                    let Some(version) = self.versions.meaning(&fields.version) else {
                        continue;
                    };
                    found = true;
                    let file = listing.text.file(*row);
                    let is_twin = file
                        .strip_suffix(Kind::TarBz2.extension())
                        .is_some_and(|stem| conda.contains(stem));
                    let cut = match (is_twin, is_owned) {
                        (true, _) => Some(Cut::Twin),
                        (_, true) => Some(Cut::Channel),
                        _ => None,
                    };
                    let exports = self.follows_run_exports.then(|| {
                        let own = fields.run_exports.as_ref();
                        own.or_else(|| listing.run_exports.get(file))
                    });
                    let depends = fields.depends.iter().map(|text| &**text);
                    let besides = fields
                        .extra_depends
                        .iter()
                        .map(|text| &**text)
                        .chain(exports.flatten().map(exported).unwrap_or_default())
                        // conda adds it to what Python needs.
                        .chain((name == "python").then_some("pip"));
                    let start = self.asked.len();
                    let asked = depends.chain(besides).map(|text| self.specs.intern(text));
                    self.asked.extend(asked);
                    candidates.push(Candidate {
                        listing: *number,
                        row: *row,
                        version,
                        build: fields.build,
                        build_number: fields.build_number,
                        license: fields.license,
                        features: fields.features,
                        time_ms: fields.time_ms,
                        size: fields.size,
                        cut,
                        is_tracked: fields.is_tracked,
                        asked: start..self.asked.len(),
                        needed: fields.depends.len(),
                    });
                }
            }
            is_owned |= found && self.strict;
        }
        Slot::new(candidates)
    }

    /// Whether a package is what a spec means.
    pub(super) fn fits(&self, spec: &MatchSpec, candidate: &Candidate<'_>) -> bool {
        let version = spec.version.as_ref();
        version.is_none_or(|version| version.matches(&candidate.version))
            && self.fits_but_for_version(spec, candidate)
    }

    fn fits_but_for_version(&self, spec: &MatchSpec, candidate: &Candidate<'_>) -> bool {
        let build = spec.build.as_ref();
        if build.is_some_and(|build| !build.matches(&candidate.build)) {
            return false;
        }
        let number = spec.build_number.as_ref();
        if number.is_some_and(|number| !number.matches(&candidate.build_number)) {
            return false;
        }
        if let Some(channel) = &spec.channel
            && !self.upstream.channels[self.listing(candidate).channel].is(channel)
        {
            return false;
        }
        if let Some(subdir) = &spec.subdir
            && subdir != self.subdir(candidate)
        {
            return false;
        }
        let is_plain = spec.file_name.is_none()
            && spec.flags.is_none()
            && spec.md5.is_none()
            && spec.sha256.is_none()
            && spec.license.is_none()
            && spec.license_family.is_none()
            && spec.track_features.is_none();
        if is_plain {
            return true;
        }
        if let Some(file) = &spec.file_name
            && file != self.file(candidate)
        {
            return false;
        }
        self.typed(candidate)
            .is_some_and(|record| spec.matches(&record.package_record))
    }

    /// What a spec can select of a slot, the best first: of what is not left out and `is_alive`, as much
    /// as `keep` has room for.
    pub(super) fn select(
        &self,
        spec: &Spec,
        slot: u32,
        keep: Keep,
        is_alive: &dyn Fn(Id) -> bool,
    ) -> Vec<Id> {
        let mut selected = Vec::new();
        let Some(found) = self.slots.get(slot as usize) else {
            return selected;
        };
        let mut versions = 0;
        for (number, start) in found.versions.iter().enumerate() {
            let end = found.versions.get(number + 1);
            let end = end.copied().unwrap_or(found.candidates.len());
            let version = &found.candidates[*start].version;
            let wanted = spec.meaning.as_ref().and_then(|spec| spec.version.as_ref());
            if wanted.is_some_and(|wanted| !wanted.matches(version)) {
                continue;
            }
            let mut is_there = false;
            // Builds for different Pythons are not older and newer ones.
            let mut builds: HashMap<&str, usize> = HashMap::new();
            for place in *start..end {
                let candidate = &found.candidates[place];
                let id = Id {
                    slot,
                    place: u32::try_from(place).unwrap_or(u32::MAX),
                };
                let fits = || {
                    // One that is as new may be written otherwise (`1`, `1.0`): it is asked again.
                    let is_same = Arc::ptr_eq(version, &candidate.version);
                    spec.meaning.as_ref().is_none_or(|spec| {
                        if is_same {
                            self.fits_but_for_version(spec, candidate)
                        } else {
                            self.fits(spec, candidate)
                        }
                    })
                };
                if candidate.cut.is_some() || !is_alive(id) || !fits() {
                    continue;
                }
                if let Some(most) = keep.builds {
                    let count = builds.entry(variant(&candidate.build)).or_default();
                    if *count >= most {
                        continue;
                    }
                    *count += 1;
                }
                selected.push(id);
                is_there = true;
            }
            versions += usize::from(is_there);
            if keep.versions.is_some_and(|most| versions >= most) {
                break;
            }
        }
        selected
    }
}

/// Most are compared with one of the same text.
fn by_version(one: &Arc<Version>, other: &Arc<Version>) -> Ordering {
    if Arc::ptr_eq(one, other) {
        Ordering::Equal
    } else {
        one.cmp(other)
    }
}

impl Versions {
    /// What a version means.
    fn meaning(&mut self, text: &str) -> Option<Arc<Version>> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let version = text.parse().ok().map(Arc::new);
        self.0.insert(text.into(), version.clone());
        version
    }
}

impl<'t> Slot<'t> {
    fn new(mut candidates: Vec<Candidate<'t>>) -> Self {
        // As solvers prefer them: not weighed down, newest, built last.
        candidates.sort_by(|one, other| {
            by_version(&other.version, &one.version)
                .then_with(|| one.is_tracked.cmp(&other.is_tracked))
                .then_with(|| other.build_number.cmp(&one.build_number))
                .then_with(|| other.time_ms.cmp(&one.time_ms))
                .then_with(|| one.build.cmp(&other.build))
                .then_with(|| (one.listing, one.row).cmp(&(other.listing, other.row)))
        });
        let mut versions = Vec::new();
        for (place, candidate) in candidates.iter().enumerate() {
            let before = place.checked_sub(1).map(|before| &candidates[before]);
            if before.is_none_or(|before| by_version(&before.version, &candidate.version).is_ne()) {
                versions.push(place);
            }
        }
        Self {
            candidates,
            versions,
        }
    }

    /// Leaves out builds that are there with a higher number: those whose build strings are the same up to
    /// the last `_`, where only a number follows (conda-metachannel's `--max-build-no`).
    pub(super) fn cut_lower_builds(&mut self) {
        let mut highest: HashMap<(usize, String), u64> = HashMap::new();
        let key = |place: usize, candidate: &Candidate<'_>| {
            let (prefix, number) = candidate
                .build
                .rsplit_once('_')
                .unwrap_or(("", &candidate.build));
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| (place, prefix.to_owned()))
        };
        let version_of: Vec<usize> = (0..self.candidates.len())
            .map(|place| self.versions.partition_point(|start| *start <= place))
            .collect();
        for (candidate, version) in self.candidates.iter().zip(&version_of) {
            if let (None, Some(key)) = (&candidate.cut, key(*version, candidate)) {
                let number = highest.entry(key).or_default();
                *number = (*number).max(candidate.build_number);
            }
        }
        for (candidate, version) in self.candidates.iter_mut().zip(&version_of) {
            if candidate.cut.is_none()
                && let Some(key) = key(*version, candidate)
                && highest
                    .get(&key)
                    .is_some_and(|number| *number > candidate.build_number)
            {
                candidate.cut = Some(Cut::BuildNumber);
            }
        }
    }
}

/// What a build is made for: its string without number and hash, as conda-build makes it
/// (`py312h1234567_0`).
fn variant(build: &str) -> &str {
    const HASH: usize = 7;
    let is_number =
        |number: &str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let stem = match build.rsplit_once('_') {
        Some((stem, number)) if is_number(number) => stem,
        None if is_number(build) => "",
        _ => build,
    };
    let at = stem.len().saturating_sub(HASH);
    match (stem.get(..at), stem.get(at..)) {
        (Some(before), Some(hash))
            if hash.len() == HASH
                && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
                && before.ends_with('h') =>
        {
            before.get(..at - 1).unwrap_or_default()
        }
        _ => stem,
    }
}

#[cfg(test)]
mod tests {
    use super::variant;

    #[test]
    fn builds_for_the_same() {
        for (build, expected) in [
            ("py312h1234567_0", "py312"),
            ("py312h1234567_10", "py312"),
            ("h1234567_0", ""),
            ("0", ""),
            ("py36_1", "py36"),
            ("pyhd8ed1ab_0", "py"),
            (
                "cuda118py39hfea1234_201_cpython",
                "cuda118py39hfea1234_201_cpython",
            ),
            ("mpi_openmpi_hfea1234_3", "mpi_openmpi_"),
            ("", ""),
            ("_", "_"),
            ("ä_0", "ä"),
        ] {
            assert_eq!(variant(build), expected, "{build}");
        }
    }
}
