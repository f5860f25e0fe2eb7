//! What must hold before a layer is written: a free place for the prefix, a prefix that fits, something
//! that starts programs, and nothing that is not wanted.

use std::collections::{BTreeMap, HashSet};

use spec::{Content, Pyc, TrimGroup};

use super::environments::{Environment, Environments};
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

    /// The definition's files are there.
    pub(super) fn check_files(&self) -> Result<(), Error> {
        for file in &self.target.files {
            let Content::Source(source) = &file.content else {
                continue;
            };
            let path = self.recipe.folder.join(source);
            fs_err::metadata(&path).map_err(|error| Error::Definition {
                key: "files",
                problem: format!("`{}` cannot be read: {error}", path.display()),
            })?;
        }
        Ok(())
    }

    /// The files of the packages have room for the prefix.
    pub(super) fn check_prefix(environment: &Environment) -> Result<(), Error> {
        let prefix = &environment.prefix;
        match &environment.prepared.planned.plan.prefix.longest {
            Some(longest) if prefix.len() > longest.length => Err(Error::Definition {
                key: environment.key(),
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

    /// Leaves out what the definition does not want. What lies in the package cache, too, stays whole:
    /// who links it from there looks for all of its files.
    pub(super) fn trim(&self, environments: &mut Environments) -> BTreeMap<String, u64> {
        let trimmer = Trimmer::new(&self.target.trim);
        let prefetched = environments.prefetched.iter();
        let prefetched = prefetched.flat_map(Environment::packages);
        let cached: HashSet<&str> = prefetched.map(|package| &*package.dist).collect();
        let mut trimmed = BTreeMap::new();
        for environment in &mut environments.installed {
            let is_base = environment.name.is_none();
            let planned = &mut environment.prepared.planned;
            if planned.plan.keep_packages {
                continue;
            }
            for package in &mut planned.packages {
                if is_base && cached.contains(package.dist.as_str()) {
                    continue;
                }
                let saved = trimmer.trim(package);
                if saved > 0 {
                    *trimmed.entry(package.dist.clone()).or_default() += saved;
                }
            }
        }
        trimmed
    }

    /// What most containers have no use for, told where it is large.
    pub(super) fn unneeded(&self, environments: &[Environment]) -> BTreeMap<String, u64> {
        let mut sum = BTreeMap::new();
        for package in environments.iter().flat_map(Environment::packages) {
            trim::unneeded(package, &mut sum);
        }
        let has_bytecode = self.recipe.definition.pyc != Pyc::Skip;
        for (group, bytes) in &sum {
            let is_wanted = has_bytecode && *group == TrimGroup::Pycache;
            if *bytes >= MUCH && !is_wanted {
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

    /// Something must start the programs.
    pub(super) fn check_loader(&self, environments: &[Environment], root: &Root) {
        let loaders = environments.iter();
        let mut loaders = loaders.map(|one| &one.prepared.planned.plan.requires.loaders);
        let Some(loaders) = loaders.find(|loaders| !loaders.is_empty()) else {
            return;
        };
        let there = |loader: &String| {
            let place = root.resolve(loader.trim_start_matches('/'));
            place.is_ok_and(|place| root.node(&place).is_some())
        };
        if !loaders.iter().any(there) {
            self.warn(Warning::NoLoader {
                platform: self.platform,
                loaders,
            });
        }
    }
}
