//! Which packages have to come so that those that are wanted work. As apt does: the newest version of each
//! package, the first alternative that can be had, nothing that is only recommended. The same question has the
//! same answer, whatever the order of the index.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use crate::index::Package;
use crate::relation::{self, Alternatives, Relation};

#[cfg(test)]
mod tests;

/// How often a choice that turned out wrong is taken back.
const MOST_RESTARTS: usize = 200;

/// What can be installed: the newest version of each package.
pub struct Pool {
    architecture: String,
    packages: Vec<Package>,
    by_name: HashMap<String, usize>,
    providers: HashMap<String, Vec<usize>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// Nothing can be had that is wanted.
    #[error("{}{} cannot be had{}", needed(.chain), .wanted, hint(.found))]
    Missing {
        /// What is wanted.
        wanted: String,
        /// The version that there is, if the name is known.
        found: Option<String>,
        /// Who needs whom, from what the user wants on.
        chain: Vec<String>,
    },
    /// Two packages that exclude each other.
    #[error("{0}")]
    Conflict(Box<Conflict>),
    /// A package whose fields cannot be read.
    #[error("the dependencies of {package} cannot be read")]
    Relations {
        /// The package.
        package: String,
    },
}

/// Two packages that exclude each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{package} and {}{other} exclude each other", needed(.chain), needed(.other_chain))]
pub struct Conflict {
    /// One, with its version.
    pub package: String,
    /// Who needs it.
    pub chain: Vec<String>,
    /// The other.
    pub other: String,
    /// Who needs that.
    pub other_chain: Vec<String>,
}

fn needed(chain: &[String]) -> String {
    chain
        .iter()
        .flat_map(|name| [name.as_str(), " needs "])
        .collect()
}

#[expect(
    clippy::ref_option,
    reason = "the form of the error hands its fields on so"
)]
fn hint(found: &Option<String>) -> String {
    let found = found.as_ref();
    found.map_or_else(String::new, |version| format!(" (there is {version})"))
}

impl Pool {
    /// The newest version of each package counts; of the same version, the one that comes first.
    pub fn new(architecture: &str, packages: Vec<Package>) -> Pool {
        let mut by_name: HashMap<String, usize> = HashMap::new();
        for (index, package) in packages.iter().enumerate() {
            match by_name.get_mut(&package.name) {
                Some(known) if packages[*known].version >= package.version => {}
                Some(known) => *known = index,
                None => drop(by_name.insert(package.name.clone(), index)),
            }
        }
        let mut providers: HashMap<String, Vec<usize>> = HashMap::new();
        for &index in by_name.values() {
            for (name, _) in &packages[index].provides {
                providers.entry(name.clone()).or_default().push(index);
            }
        }
        for all in providers.values_mut() {
            all.sort_by_key(|index| (packages[*index].priority, packages[*index].name.clone()));
            all.dedup();
        }
        Pool {
            architecture: architecture.to_owned(),
            packages,
            by_name,
            providers,
        }
    }

    /// The newest version of a package.
    pub fn package(&self, name: &str) -> Option<&Package> {
        self.by_name.get(name).map(|index| &self.packages[*index])
    }

    /// The newest versions, by name.
    pub fn newest(&self) -> impl Iterator<Item = &Package> {
        let sorted: BTreeMap<&String, &usize> = self.by_name.iter().collect();
        sorted.into_values().map(|index| &self.packages[*index])
    }

    /// What answers a relation, the preferred one first: the package of that name, then those that provide it.
    fn answers(&self, relation: &Relation) -> Vec<&Package> {
        let named = self.package(&relation.name);
        let providers = self.providers.get(&relation.name).into_iter().flatten();
        let providers = providers.map(|index| &self.packages[*index]);
        named
            .into_iter()
            .chain(providers.filter(|package| package.name != relation.name))
            .filter(|package| package.answers(relation))
            .collect()
    }
}

/// The packages that have to come for `wanted`, sorted by name. `installed` is what is there and stays; what comes
/// under a name that is there takes its place.
pub fn resolve<'p>(
    pool: &'p Pool,
    installed: &'p [Package],
    wanted: &[Alternatives],
) -> Result<Vec<&'p Package>, Unresolved> {
    let mut banned: BTreeSet<&str> = BTreeSet::new();
    for _ in 0..MOST_RESTARTS {
        let mut attempt = Attempt::new(pool, installed, &banned);
        match attempt.run(wanted) {
            Ok(()) => return Ok(attempt.result()),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Choice(name, error)) => {
                if !banned.insert(name) {
                    return Err(error);
                }
            }
        }
    }
    let mut attempt = Attempt::new(pool, installed, &banned);
    match attempt.run(wanted) {
        Ok(()) => Ok(attempt.result()),
        Err(Failure::Final(error) | Failure::Choice(_, error)) => Err(error),
    }
}

/// Why an attempt ended.
enum Failure<'p> {
    Final(Unresolved),
    /// It may go well without this package, which was one of several that could have been taken.
    Choice(&'p str, Unresolved),
}

/// A package that is taken.
struct Taken<'p> {
    package: &'p Package,
    /// Who needs it.
    parent: Option<&'p str>,
    /// Whether another one could have been taken.
    chosen: bool,
    new: bool,
}

struct Attempt<'p, 'b> {
    pool: &'p Pool,
    installed: &'p [Package],
    banned: &'b BTreeSet<&'p str>,
    taken: BTreeMap<&'p str, Taken<'p>>,
    /// What those that are taken provide, and who does.
    provided: HashMap<&'p str, Vec<&'p str>>,
    /// What those that are taken exclude.
    excluded: HashMap<String, Vec<(&'p str, Relation)>>,
    /// What is needed and by whom: first what leaves no choice.
    plain: VecDeque<(Alternatives, Option<&'p str>)>,
    open: VecDeque<(Alternatives, Option<&'p str>)>,
}

impl<'p, 'b> Attempt<'p, 'b> {
    fn new(
        pool: &'p Pool,
        installed: &'p [Package],
        banned: &'b BTreeSet<&'p str>,
    ) -> Attempt<'p, 'b> {
        let mut attempt = Attempt {
            pool,
            installed,
            banned,
            taken: BTreeMap::new(),
            provided: HashMap::new(),
            excluded: HashMap::new(),
            plain: VecDeque::new(),
            open: VecDeque::new(),
        };
        for package in installed {
            attempt.enter(Taken {
                package,
                parent: None,
                chosen: false,
                new: false,
            });
        }
        attempt
    }

    fn result(&self) -> Vec<&'p Package> {
        let new = self.taken.values().filter(|taken| taken.new);
        new.map(|taken| taken.package).collect()
    }

    fn run(&mut self, wanted: &[Alternatives]) -> Result<(), Failure<'p>> {
        for alternatives in wanted {
            self.ask(alternatives.clone(), None);
        }
        loop {
            if let Some((alternatives, parent)) = self.plain.pop_front() {
                self.satisfy(&alternatives, parent)?;
            } else if let Some((alternatives, parent)) = self.open.pop_front() {
                self.satisfy(&alternatives, parent)?;
            } else if !self.repair()? {
                return Ok(());
            }
        }
    }

    fn ask(&mut self, alternatives: Alternatives, parent: Option<&'p str>) {
        let simple = alternatives.len() == 1 && self.pool.answers(&alternatives[0]).len() == 1;
        let queue = if simple {
            &mut self.plain
        } else {
            &mut self.open
        };
        queue.push_back((alternatives, parent));
    }

    /// What is installed may need something else once a package was replaced.
    fn repair(&mut self) -> Result<bool, Failure<'p>> {
        let replaced = self.taken.values().any(|taken| taken.new);
        if !replaced {
            return Ok(false);
        }
        let old: Vec<&'p Package> = self
            .taken
            .values()
            .filter(|taken| !taken.new)
            .map(|taken| taken.package)
            .collect();
        let mut found = false;
        for package in old {
            // What cannot be read was no hindrance before.
            for alternatives in package.needs(&self.pool.architecture).unwrap_or_default() {
                if self.is_satisfied(&alternatives) {
                    continue;
                }
                let newer = self.pool.package(&package.name);
                let newer = newer.filter(|newer| newer.version > package.version);
                let could = |relation: &Relation| !self.pool.answers(relation).is_empty();
                if alternatives.iter().any(could) {
                    found = true;
                    self.ask(alternatives, Some(&package.name));
                } else if let Some(newer) = newer {
                    found = true;
                    self.take(newer, None, false)?;
                    break;
                } else if self.was_satisfied(&alternatives) {
                    return Err(Failure::Final(Unresolved::Missing {
                        wanted: relation::text(&alternatives),
                        found: None,
                        chain: vec![title(package)],
                    }));
                }
            }
        }
        Ok(found)
    }

    /// Whether what is installed was whole before, in this.
    fn was_satisfied(&self, alternatives: &[Relation]) -> bool {
        let answers = |relation: &Relation| self.installed.iter().any(|one| one.answers(relation));
        alternatives.iter().any(answers)
    }

    /// What is taken and answers a relation, by its own name or by what it provides.
    fn answering<'r>(&'r self, relation: &'r Relation) -> impl Iterator<Item = &'r Taken<'p>> {
        let named = self.taken.get(relation.name.as_str());
        let providers = self.provided.get(relation.name.as_str());
        let providers = providers.into_iter().flatten();
        named
            .into_iter()
            .chain(providers.filter_map(|name| self.taken.get(name)))
            .filter(|taken| taken.package.answers(relation))
    }

    fn is_satisfied(&self, alternatives: &[Relation]) -> bool {
        let is_answered = |relation| self.answering(relation).next().is_some();
        alternatives.iter().any(is_answered)
    }

    fn satisfy(
        &mut self,
        alternatives: &[Relation],
        parent: Option<&'p str>,
    ) -> Result<(), Failure<'p>> {
        if self.is_satisfied(alternatives) {
            return Ok(());
        }
        let all: Vec<&'p Package> = alternatives
            .iter()
            .flat_map(|relation| self.pool.answers(relation))
            .collect();
        let usable: Vec<&'p Package> = all
            .iter()
            .copied()
            .filter(|package| !self.banned.contains(package.name.as_str()))
            .collect();
        let several = usable.len() > 1;
        let free = usable
            .iter()
            .find(|package| self.obstacle(package).is_none());
        match free.or(usable.first()) {
            Some(package) => self.take(package, parent, several),
            None if all.is_empty() => {
                let known = alternatives
                    .iter()
                    .find_map(|one| self.pool.package(&one.name));
                Err(self.blamed(
                    parent,
                    Unresolved::Missing {
                        wanted: relation::text(alternatives),
                        found: known.map(|package| package.version.to_string()),
                        chain: self.chain(parent),
                    },
                ))
            }
            // All that there is was given up before.
            None => {
                let package = all[0];
                let error = self.conflict(package, parent, None);
                Err(self.blamed(parent, error))
            }
        }
    }

    /// A failure of what `parent` needs: it may go well without `parent`, or whoever wanted that.
    fn blamed(&self, parent: Option<&'p str>, error: Unresolved) -> Failure<'p> {
        let mut next = parent;
        while let Some(name) = next {
            let Some(taken) = self.taken.get(name) else {
                break;
            };
            if taken.chosen && taken.new {
                return Failure::Choice(name, error);
            }
            next = taken.parent;
        }
        Failure::Final(error)
    }

    fn take(
        &mut self,
        package: &'p Package,
        parent: Option<&'p str>,
        chosen: bool,
    ) -> Result<(), Failure<'p>> {
        while let Some(other) = self.obstacle(package) {
            // A newer version of what is installed may do.
            let newer = self.pool.package(other).filter(|newer| {
                self.taken.get(other).is_some_and(|old| {
                    !old.new && newer.version > old.package.version && newer.name != package.name
                })
            });
            let Some(newer) = newer else {
                let error = self.conflict(package, parent, Some(other));
                let culprit = self.taken.get(other).filter(|one| one.chosen && one.new);
                return Err(match culprit {
                    Some(_) => Failure::Choice(other, error),
                    None if chosen => Failure::Choice(&package.name, error),
                    None => match self.blamed(Some(other), error.clone()) {
                        Failure::Final(_) => self.blamed(parent, error),
                        found @ Failure::Choice(..) => found,
                    },
                });
            };
            self.leave(other);
            self.take(newer, parent, false)?;
        }
        let unread = || {
            Failure::Final(Unresolved::Relations {
                package: title(package),
            })
        };
        let needs = package.needs(&self.pool.architecture).ok_or_else(unread)?;
        self.leave(&package.name);
        self.enter(Taken {
            package,
            parent,
            chosen,
            new: true,
        });
        for alternatives in needs {
            self.ask(alternatives, Some(&package.name));
        }
        Ok(())
    }

    fn enter(&mut self, taken: Taken<'p>) {
        let package = taken.package;
        for (name, _) in &package.provides {
            self.provided.entry(name).or_default().push(&package.name);
        }
        let excludes = package.excludes(&self.pool.architecture);
        for relation in excludes.unwrap_or_default() {
            let name = relation.name.clone();
            let entry = self.excluded.entry(name).or_default();
            entry.push((&package.name, relation));
        }
        self.taken.insert(&package.name, taken);
    }

    fn leave(&mut self, name: &str) {
        if self.taken.remove(name).is_some() {
            for all in self.provided.values_mut() {
                all.retain(|other| *other != name);
            }
            for all in self.excluded.values_mut() {
                all.retain(|(other, _)| *other != name);
            }
        }
    }

    /// One that is taken and excludes the package, or is excluded by it. Nothing excludes itself, nor what it is
    /// another version of.
    fn obstacle(&self, package: &Package) -> Option<&'p str> {
        let provided = package.provides.iter().map(|(name, _)| name);
        let excluding = provided.chain([&package.name]).find_map(|name| {
            let mut all = self.excluded.get(name)?.iter();
            all.find(|(other, relation)| *other != package.name && package.answers(relation))
        });
        if let Some((other, _)) = excluding {
            return Some(other);
        }
        let excludes = package.excludes(&self.pool.architecture);
        excludes
            .unwrap_or_default()
            .into_iter()
            .find_map(|relation| {
                self.answering(&relation)
                    .map(|taken| taken.package.name.as_str())
                    .find(|name| *name != package.name)
            })
    }

    fn conflict(
        &self,
        package: &'p Package,
        parent: Option<&'p str>,
        other: Option<&'p str>,
    ) -> Unresolved {
        let other = other.or_else(|| self.obstacle(package));
        let taken = other.and_then(|other| self.taken.get(other));
        Unresolved::Conflict(Box::new(Conflict {
            package: title(package),
            chain: self.chain(parent),
            other: taken.map_or_else(
                || "another package".to_owned(),
                |taken| title(taken.package),
            ),
            other_chain: self.chain(taken.and_then(|taken| taken.parent)),
        }))
    }

    /// Who needs whom, down to `last`.
    fn chain(&self, last: Option<&str>) -> Vec<String> {
        let mut chain = Vec::new();
        let mut next = last;
        while let Some(name) = next
            && chain.len() <= self.taken.len()
        {
            chain.push(name.to_owned());
            next = self.taken.get(name).and_then(|taken| taken.parent);
        }
        chain.reverse();
        chain
    }
}

fn title(package: &Package) -> String {
    format!("{} {}", package.name, package.version)
}
