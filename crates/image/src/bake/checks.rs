//! What must hold before a layer is written: a free place for the prefix, a prefix that fits, nothing
//! that only the target could run, something that starts programs, and nothing that is not wanted.

use std::collections::{BTreeMap, HashSet};

use installer::Prepared;
use spec::LinkScripts;

use super::platform::Job;
use crate::error::Error;
use crate::event::Warning;
use crate::root::{Node, Root};
use crate::trim::{self, Trimmer};

/// So many bytes that nobody needs are worth a warning.
const MUCH: u64 = 10_000_000;

impl Job<'_> {
    /// Where the prefix lies in the image, which must be free.
    pub(super) fn prefix(&self, root: &Root) -> Result<String, Error> {
        let prefix = &self.target.prefix;
        let refuse = |problem| Error::Definition {
            key: "prefix",
            problem,
        };
        let place = root
            .resolve(prefix.trim_start_matches('/'))
            .map_err(|error| refuse(error.to_string()))?;
        let occupied = match root.node(&place) {
            None => false,
            Some(Node::Directory) => root.has_below(&place),
            Some(_) => true,
        };
        if place.is_empty() || occupied {
            return Err(refuse(format!(
                "there is something at `{prefix}` in the base"
            )));
        }
        Ok(place)
    }

    pub(super) fn check_prefix(&self, prepared: &Prepared) -> Result<(), Error> {
        let prefix = &self.target.prefix;
        match &prepared.planned.plan.prefix.longest {
            Some(longest) if prefix.len() > longest.length => Err(Error::Definition {
                key: "prefix",
                problem: format!(
                    "`{prefix}` has {} bytes, and `{}` in {} has room for {}",
                    prefix.len(),
                    longest.file,
                    longest.package,
                    longest.length
                ),
            }),
            _ => Ok(()),
        }
    }

    /// What only the target could run: refused, or named and left out.
    pub(super) fn scripts(&self, prepared: &Prepared) -> Result<Vec<String>, Error> {
        let mut found: Vec<(&str, &str)> = Vec::new();
        let planned = &prepared.planned;
        for package in &planned.packages {
            for (kind, script) in [
                ("pre-link script", &package.scripts.pre_link),
                ("post-link script", &package.scripts.post_link),
            ] {
                if script.is_some() {
                    found.push((kind, package.dist.as_str()));
                }
            }
        }
        let scripts = &planned.plan.scripts;
        for (kind, script) in [
            ("pre_install script", &scripts.pre_install),
            ("post_install script", &scripts.post_install),
        ] {
            if script.is_some() {
                found.push((kind, &self.recipe.distribution.name));
            }
        }
        let names: Vec<String> = found
            .iter()
            .map(|(kind, whose)| format!("the {kind} of {whose}"))
            .collect();
        match self.recipe.definition.link_scripts {
            LinkScripts::Error if !found.is_empty() => Err(Error::Scripts {
                platform: self.platform,
                scripts: names,
            }),
            LinkScripts::Error => Ok(names),
            LinkScripts::Skip => {
                for (scripts, package) in &found {
                    self.warn(Warning::ScriptSkipped {
                        platform: self.platform,
                        scripts,
                        package,
                    });
                }
                Ok(names)
            }
        }
    }

    /// Leaves out what the definition does not want. What lies in the package cache, too, stays whole:
    /// who links it from there looks for all of its files.
    pub(super) fn trim(
        &self,
        prepared: &mut Prepared,
        prefetched: Option<&Prepared>,
    ) -> BTreeMap<String, u64> {
        let trimmer = Trimmer::new(&self.target.trim);
        let cached: HashSet<&str> = prefetched
            .into_iter()
            .flat_map(|prepared| &prepared.planned.packages)
            .map(|package| package.dist.as_str())
            .collect();
        let planned = &mut prepared.planned;
        let mut trimmed = BTreeMap::new();
        if planned.plan.keep_packages {
            return trimmed;
        }
        for package in &mut planned.packages {
            if !cached.contains(package.dist.as_str()) {
                let saved = trimmer.trim(package);
                if saved > 0 {
                    trimmed.insert(package.dist.clone(), saved);
                }
            }
        }
        trimmed
    }

    /// What most containers have no use for, told where it is large.
    pub(super) fn unneeded(&self, prepared: &Prepared) -> BTreeMap<String, u64> {
        let mut sum = BTreeMap::new();
        for package in &prepared.planned.packages {
            trim::unneeded(package, &mut sum);
        }
        for (group, bytes) in &sum {
            if *bytes >= MUCH {
                self.warn(Warning::Unneeded {
                    platform: self.platform,
                    group: group.name(),
                    megabytes: bytes / 1_000_000,
                });
            }
        }
        sum.into_iter()
            .filter(|(_, bytes)| *bytes > 0)
            .map(|(group, bytes)| (group.name().to_owned(), bytes))
            .collect()
    }

    pub(super) fn check_loader(&self, prepared: &Prepared, root: &Root) {
        let loaders = &prepared.planned.plan.requires.loaders;
        let there = |loader: &String| {
            let place = root.resolve(loader.trim_start_matches('/'));
            place.is_ok_and(|place| root.node(&place).is_some())
        };
        if !loaders.is_empty() && !loaders.iter().any(there) {
            self.warn(Warning::NoLoader {
                platform: self.platform,
                loaders,
            });
        }
    }
}
