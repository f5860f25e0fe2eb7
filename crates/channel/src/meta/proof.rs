//! The proof: what the roots and sets come to on the whole channels and on what stays, with rattler's
//! solver and the virtual packages of the definition.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use conda::{GenericVirtualPackage, MatchSpec, RepoDataRecord, Subdir};
use spec::{MetaChannel, PackageSpec, Priority};

use super::Error;
use super::candidate::{Id, Pool};
use super::upstream::Upstream;

mod side;

use side::Side;

/// What was solved on both sides, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The platform.
    pub platform: String,
    /// The specs that were solved together, as the definition has them.
    pub specs: Vec<String>,
    /// How the sides compare.
    pub outcome: Outcome,
}

/// How the solutions on the whole channels and on the result compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Both have the same solution, of so many packages.
    Same(usize),
    /// Neither has one. Why, as the solver tells it of the whole channels.
    None(String),
    /// The solutions differ: file names that only the whole channels' has, and those that only the result's
    /// has.
    Different(Vec<String>, Vec<String>),
    /// The whole channels have a solution and the result has none. Why, as the solver tells it.
    Lost(String),
    /// The result has a solution and the whole channels have none: another channel's package has won.
    Gained,
}

/// What one side comes to: `SUBDIR/FILE` of each package.
type Solution = Result<BTreeSet<String>, String>;

/// Both sides, for one platform.
pub(super) struct Sides {
    virtual_packages: Vec<GenericVirtualPackage>,
    mixes: bool,
    whole: Side,
}

impl Sides {
    /// Reads all records of the names that the roots lead to.
    pub(super) fn new(definition: &MetaChannel, platform: Subdir, upstream: &Upstream) -> Self {
        let wishes = definition.virtual_specs(platform);
        let wishes: Vec<MatchSpec> = wishes.iter().map(|spec| spec.match_spec.clone()).collect();
        let asked = questions(definition, platform);
        let roots = asked.iter().flatten().filter_map(|spec| spec.name());
        Self {
            virtual_packages: solve::virtual_packages(platform, &wishes),
            mixes: definition.priority == Priority::Flexible,
            whole: Side::whole(
                upstream,
                platform,
                roots.map(|name| name.as_normalized().to_owned()),
            ),
        }
    }

    /// What the whole channels have for some specs.
    pub(super) fn on_whole(&self, specs: &[PackageSpec]) -> Result<Solution, Error> {
        self.solve(&self.whole, specs)
    }

    /// What some packages of the pool have for them, as one channel.
    pub(super) fn on_part(&self, part: &Side, specs: &[PackageSpec]) -> Result<Solution, Error> {
        // The channel that a spec names is not there any more.
        let anywhere = |spec: &PackageSpec| {
            let mut spec = spec.clone();
            spec.match_spec.channel = None;
            spec
        };
        let specs: Vec<PackageSpec> = specs.iter().map(anywhere).collect();
        self.solve(part, &specs)
    }

    fn solve(&self, side: &Side, specs: &[PackageSpec]) -> Result<Solution, Error> {
        let request = solve::Request {
            records: &side.in_reach(specs.iter().filter_map(PackageSpec::name)),
            specs: specs.iter().map(|spec| spec.match_spec.clone()).collect(),
            virtual_packages: self.virtual_packages.clone(),
            locked: Vec::new(),
            mix_channels: self.mixes,
        };
        match solve::solve(&request) {
            Ok(records) => Ok(Ok(records.iter().map(key).collect())),
            Err(solve::Error::Unsolvable { explanation }) => Ok(Err(explanation)),
            Err(source) => Err(Error::Solve {
                specs: specs.iter().map(|spec| spec.raw.clone()).collect(),
                source,
            }),
        }
    }
}

/// What is solved for a platform: each root alone, and each set. Without sets, all roots together.
pub(super) fn questions(definition: &MetaChannel, platform: Subdir) -> Vec<Vec<PackageSpec>> {
    let roots = definition.roots(platform);
    let mut questions: Vec<Vec<PackageSpec>> =
        roots.iter().map(|root| vec![root.clone()]).collect();
    match definition.sets(platform) {
        [] if roots.len() > 1 => questions.push(roots.to_vec()),
        sets => questions.extend(sets.iter().cloned()),
    }
    questions
}

/// Whether a question is the default set: that all roots fit together is hoped for, not asked for.
pub(super) fn is_hoped_for(
    definition: &MetaChannel,
    platform: Subdir,
    specs: &[PackageSpec],
) -> bool {
    definition.sets(platform).is_empty() && specs.len() > 1
}

/// Compares the two sides.
pub(super) fn compare(whole: Solution, part: Solution) -> Outcome {
    match (whole, part) {
        (Err(explanation), Err(_)) => Outcome::None(explanation),
        (Err(_), Ok(_)) => Outcome::Gained,
        (Ok(_), Err(explanation)) => Outcome::Lost(explanation),
        (Ok(whole), Ok(part)) if whole == part => Outcome::Same(whole.len()),
        (Ok(whole), Ok(part)) => Outcome::Different(
            whole.difference(&part).cloned().collect(),
            part.difference(&whole).cloned().collect(),
        ),
    }
}

/// The packages of the pool that stay, as one channel in the order of the whole ones.
pub(super) fn part(pool: &Pool<'_>, kept: impl Iterator<Item = Id>) -> Side {
    let mut kept: Vec<_> = kept.map(|id| pool.get(id)).collect();
    kept.sort_by_key(|candidate| (candidate.listing, candidate.row));
    let mut folders: BTreeMap<&str, Vec<RepoDataRecord>> = BTreeMap::new();
    let mut seen = HashSet::new();
    for candidate in kept {
        let subdir = pool.subdir(candidate);
        if seen.insert((subdir, pool.file(candidate)))
            && let Some(mut record) = pool.typed(candidate)
        {
            record.channel = Some("merged".to_owned());
            folders.entry(subdir).or_default().push(record);
        }
    }
    Side::new(folders.into_values().collect())
}

/// Where the packages of solutions are in the pool.
pub(super) fn places(pool: &Pool<'_>, solution: &BTreeSet<String>) -> Vec<Id> {
    let mut found = Vec::new();
    for (number, slot) in pool.slots().iter().enumerate() {
        for (place, candidate) in slot.candidates.iter().enumerate() {
            let key = format!("{}/{}", pool.subdir(candidate), pool.file(candidate));
            if candidate.cut.is_none() && solution.contains(&key) {
                found.push(Id {
                    slot: u32::try_from(number).unwrap_or(u32::MAX),
                    place: u32::try_from(place).unwrap_or(u32::MAX),
                });
            }
        }
    }
    found
}

fn key(record: &RepoDataRecord) -> String {
    format!(
        "{}/{}",
        record.package_record.subdir,
        record.identifier.to_file_name()
    )
}
