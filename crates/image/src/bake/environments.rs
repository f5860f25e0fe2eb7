//! The environments of an image: the base one in the prefix, and those of `envs` below it. Each is planned on its own,
//! with its own prefix; what is only prefetched is planned like one, too.

use std::collections::{BTreeSet, HashSet};

use installer::Prepared;
use runtime::plan::{Kind, Package};

use super::compile::{Compiler, Compilers};
use super::layers::Frames;
use super::packages::{Installed, Packages, extra_target};
use super::platform::Job;
use crate::error::Error;

/// The folder of a prefix in which conda looks for environments.
const FOLDER: &str = "envs";

/// An environment, planned.
pub(super) struct Environment {
    /// Its name; none for the base environment.
    pub(super) name: Option<String>,
    /// Its prefix, as its files name it.
    pub(super) prefix: String,
    /// Where that lies in the image.
    pub(super) place: String,
    pub(super) prepared: Prepared,
    pub(super) frames: Frames,
    /// What compiles its Python modules; none if they stay as they are.
    pub(super) compiler: Option<Compiler>,
    /// Where bytecode would go, and something else is that may lead elsewhere.
    pub(super) closed: HashSet<String>,
}

/// All of an image.
pub(super) struct Environments {
    /// The base environment first.
    pub(super) installed: Vec<Environment>,
    /// What lies in the package cache alone; its prefix is that of the base environment.
    pub(super) prefetched: Option<Environment>,
}

impl Environment {
    fn new(name: Option<&str>, (prefix, place): (&str, &str), prepared: Prepared) -> Environment {
        let below = |folder: &str| match name {
            Some(name) => format!("{folder}/{FOLDER}/{name}"),
            None => folder.to_owned(),
        };
        Environment {
            name: name.map(str::to_owned),
            prefix: below(prefix),
            place: below(place),
            frames: Frames::of(&prepared),
            compiler: None,
            closed: closed(&prepared),
            prepared,
        }
    }

    /// The plans of its packages.
    pub(super) fn packages(&self) -> &[Package] {
        &self.prepared.planned.packages
    }

    /// A package of it, as messages call it.
    pub(super) fn called(&self, package: &str) -> String {
        match &self.name {
            Some(name) => format!("{package} in `{name}`"),
            None => package.to_owned(),
        }
    }

    /// The key of the definition that says where it is.
    pub(super) fn key(&self) -> &'static str {
        if self.name.is_some() {
            "envs"
        } else {
            "prefix"
        }
    }
}

impl Environments {
    /// The base environment.
    pub(super) fn base(&self) -> Option<&Environment> {
        self.installed.first()
    }
}

impl Job<'_> {
    /// Fetches and plans all. `place` is where the prefix lies in the image.
    pub(super) fn environments(
        &self,
        place: &str,
        packages: Packages,
        mut compilers: Compilers,
    ) -> Result<Environments, Error> {
        let recipe = self.recipe;
        let target = &self.target;
        let prefix = (target.prefix.as_str(), place);
        let extra = |specs| extra_target(recipe.distribution, self.platform, specs);
        let base = match packages.installed {
            Installed::Resolved(resolution) => {
                self.prepare(&recipe.target(self.platform)?, resolution)?
            }
            Installed::Finished(finished) => finished.prepare()?,
        };
        let mut installed = vec![Environment::new(None, prefix, base)];
        for (name, resolution) in packages.envs {
            let specs = target.envs.get(&name).map(|env| env.packages.clone());
            let prepared = self.prepare(&extra(specs.unwrap_or_default()), resolution);
            let prepared = prepared.map_err(|source| Error::Env {
                name: name.clone(),
                source: Box::new(source),
            })?;
            installed.push(Environment::new(Some(&name), prefix, prepared));
        }
        let prefetched = match packages.prefetched {
            None => None,
            Some(resolution) => {
                let prepared = self.prepare(&extra(target.prefetch.clone()), resolution)?;
                Some(Environment::new(None, prefix, prepared))
            }
        };
        check_places(&installed)?;
        for environment in &mut installed {
            environment.compiler = compilers.remove(&environment.name);
        }
        Ok(Environments {
            installed,
            prefetched,
        })
    }
}

/// What has the name of a folder of bytecode, and is none.
fn closed(prepared: &Prepared) -> HashSet<String> {
    let packages = prepared.planned.packages.iter();
    let entries = packages.flat_map(|package| &package.entries);
    let closed = entries
        .filter(|entry| entry.path.ends_with("/__pycache__") && entry.kind != Kind::Directory);
    closed.map(|entry| entry.path.clone()).collect()
}

/// Nothing of the base environment may lie where another one goes.
fn check_places(environments: &[Environment]) -> Result<(), Error> {
    let names = environments.iter().filter_map(|one| one.name.as_deref());
    let names: BTreeSet<&str> = names.collect();
    let Some(base) = environments.first().filter(|_| !names.is_empty()) else {
        return Ok(());
    };
    let plan = &base.prepared.planned.plan;
    let packages = base.packages().iter();
    let entries = packages.flat_map(|package| {
        let entries = package.entries.iter();
        entries.map(|entry| (&*package.dist, &*entry.path, entry.kind == Kind::Directory))
    });
    let extra = plan
        .extra
        .iter()
        .map(|entry| ("extra_files", &*entry.path, false));
    for (whose, path, folder) in entries.chain(extra) {
        let mut parts = path.splitn(3, '/');
        if parts.next() != Some(FOLDER) {
            continue;
        }
        let taken = match parts.next() {
            None => !folder,
            Some(name) => names.contains(name),
        };
        if taken {
            return Err(Error::Definition {
                key: FOLDER,
                problem: format!("{whose} has something at `{path}` of the prefix"),
            });
        }
    }
    Ok(())
}
