//! Which packages stay: what the roots can select, and what that can select, to a fixed point. A package
//! stays only if some spec can select it, not because its name is needed.

use std::collections::HashMap;

use spec::Keep;

use super::by_id::ById;
use super::candidate::{Id, Pool};
use super::rules::Rules;
use super::spec_table::SpecId;

/// Who asks for a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// The definition.
    Root,
    /// A package that stays.
    Package(Id),
}

/// Why a package stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Somebody's spec selects it.
    Selected(Asker, SpecId),
    /// It belongs to a solution for what the definition asks for, though `keep` has no room for it.
    Solution,
}

/// What stays.
#[derive(Debug, Default)]
pub(super) struct Closure {
    kept: ById<Reason>,
    /// What cannot be installed, and the dependency that nothing satisfies.
    dead: ById<SpecId>,
}

/// The specs that were followed, by their numbers.
#[derive(Debug, Default)]
struct Seen(Vec<bool>);

impl Seen {
    /// Adds one; whether it is new.
    fn add(&mut self, spec: SpecId) -> bool {
        let number = spec.0 as usize;
        if self.0.len() <= number {
            self.0.resize(number + 1, false);
        }
        let seen = self.0.get_mut(number);
        seen.is_some_and(|seen| !std::mem::replace(seen, true))
    }

    fn contains(&self, spec: SpecId) -> bool {
        self.0.get(spec.0 as usize).is_some_and(|seen| *seen)
    }
}

impl Closure {
    /// Follows the roots. With `drops_dead_ends`, packages go whose dependencies nothing satisfies.
    pub(super) fn new(
        pool: &mut Pool<'_>,
        rules: &Rules,
        roots: &[SpecId],
        keep: Keep,
        follows: bool,
        drops_dead_ends: bool,
    ) -> Self {
        let mut closure = Self::default();
        if drops_dead_ends {
            // All that could ever be asked for, whatever there is room for.
            closure.follow(pool, rules, roots, Keep::default(), follows);
            closure.bury(pool);
            closure.kept.clear();
        }
        closure.follow(pool, rules, roots, keep, follows);
        closure
    }

    /// What stays and why.
    pub(super) fn kept(&self) -> &ById<Reason> {
        &self.kept
    }

    /// The dependency that nothing satisfies, of a package that cannot be installed.
    pub(super) fn dead_end(&self, id: Id) -> Option<SpecId> {
        self.dead.get(id).copied()
    }

    /// Whether a package may stay at all.
    pub(super) fn is_alive(&self, id: Id) -> bool {
        !self.dead.contains(id)
    }

    /// Adds packages of solutions.
    pub(super) fn add_solutions(&mut self, ids: Vec<Id>) {
        for id in ids {
            self.kept.add(id, Reason::Solution);
        }
    }

    fn follow(
        &mut self,
        pool: &mut Pool<'_>,
        rules: &Rules,
        roots: &[SpecId],
        keep: Keep,
        follows: bool,
    ) {
        let mut seen = Seen::default();
        let mut open: Vec<(SpecId, Asker)> =
            roots.iter().map(|root| (*root, Asker::Root)).collect();
        // The first who asks is the reason that is told: the shortest way from a root.
        let mut next = Vec::new();
        while !open.is_empty() {
            for (id, asker) in open.drain(..) {
                if !seen.add(id) || pool.specs.get(id).is_virtual() {
                    continue;
                }
                let name = pool.specs.get(id).name.clone();
                let slot = pool.slot(&name, rules);
                let is_alive = |id: Id| self.is_alive(id);
                for found in pool.select(pool.specs.get(id), slot, keep, &is_alive) {
                    let is_new = self.kept.add(found, Reason::Selected(asker, id));
                    if is_new && follows {
                        let asked = pool.asked(pool.get(found)).iter();
                        let asked = asked.filter(|spec| !seen.contains(**spec));
                        next.extend(asked.map(|spec| (*spec, Asker::Package(found))));
                    }
                }
            }
            std::mem::swap(&mut open, &mut next);
        }
    }

    /// Finds what cannot be installed: a dependency has nothing left that satisfies it. Each link is looked at
    /// once.
    fn bury(&mut self, pool: &Pool<'_>) {
        let mut left: HashMap<SpecId, usize> = HashMap::new();
        let mut satisfies: HashMap<Id, Vec<SpecId>> = HashMap::new();
        let mut users: HashMap<SpecId, Vec<Id>> = HashMap::new();
        let mut due: Vec<(Id, SpecId)> = Vec::new();
        for id in self.kept.ids() {
            for spec in pool.needed(pool.get(id)) {
                let wanted = pool.specs.get(*spec);
                if wanted.is_virtual() || wanted.is_conditional() {
                    continue;
                }
                users.entry(*spec).or_default().push(id);
                left.entry(*spec).or_insert_with(|| {
                    let Some(slot) = pool.known_slot(&wanted.name) else {
                        return 0;
                    };
                    let found = pool.select(wanted, slot, Keep::default(), &|_| true);
                    for one in &found {
                        satisfies.entry(*one).or_default().push(*spec);
                    }
                    found.len()
                });
            }
        }
        for (spec, count) in &left {
            if *count == 0 {
                due.extend(users.get(spec).into_iter().flatten().map(|id| (*id, *spec)));
            }
        }
        while let Some((id, spec)) = due.pop() {
            if !self.dead.add(id, spec) {
                continue;
            }
            for spec in satisfies.get(&id).into_iter().flatten() {
                if let Some(count) = left.get_mut(spec) {
                    *count -= 1;
                    if *count == 0 {
                        let waiting = users.get(spec).into_iter().flatten();
                        due.extend(waiting.map(|id| (*id, *spec)));
                    }
                }
            }
        }
    }
}
