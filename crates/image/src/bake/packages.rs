//! Which packages an image gets: those of a lock or of a finished installer, and those that lie in the package cache
//! alone.

use std::collections::BTreeMap;

use conda::{RepoDataRecord, Subdir};
use installer::{Finished, Resolution};
use spec::{Compression, Distribution, PackageSpec, Target};

use super::Recipe;
use crate::error::Error;
use crate::event::Event;

/// What is installed for one platform.
pub(super) enum Installed {
    /// Packages of the distribution's channels.
    Resolved(Resolution),
    /// What is in a finished installer.
    Finished(Box<Finished>),
}

impl Installed {
    /// The packages, in dependency order.
    pub(super) fn records(&self) -> &[RepoDataRecord] {
        match self {
            Installed::Resolved(resolution) => &resolution.records,
            Installed::Finished(finished) => finished.records(),
        }
    }
}

/// What an image for one platform gets.
pub(super) struct Packages {
    /// What is in the base environment.
    pub(super) installed: Installed,
    /// What is in other environments, by name.
    pub(super) envs: BTreeMap<String, Resolution>,
    /// What lies in the package cache alone.
    pub(super) prefetched: Option<Resolution>,
}

impl Recipe<'_> {
    /// All packages. Those of finished installers are there already, and come with no others.
    pub(super) fn packages(
        &self,
        finished: BTreeMap<Subdir, Finished>,
    ) -> Result<BTreeMap<Subdir, Packages>, Error> {
        if !finished.is_empty() {
            let finished = finished.into_iter();
            let packages = finished.map(|(platform, one)| {
                let packages = Packages {
                    installed: Installed::Finished(Box::new(one)),
                    envs: BTreeMap::new(),
                    prefetched: None,
                };
                (platform, packages)
            });
            return Ok(packages.collect());
        }
        let installed = self.resolve_installed()?;
        let mut envs = self.resolve_envs()?;
        let mut prefetched = self.resolve_prefetched(&installed)?;
        let packages = installed.into_iter().map(|(platform, one)| {
            let packages = Packages {
                installed: Installed::Resolved(one),
                envs: envs.remove(&platform).unwrap_or_default(),
                prefetched: prefetched.remove(&platform),
            };
            (platform, packages)
        });
        Ok(packages.collect())
    }

    /// What is installed: with the installer's lock where it is exactly the installer's, otherwise
    /// with one of the image's own.
    fn resolve_installed(&self) -> Result<BTreeMap<Subdir, Resolution>, Error> {
        let more = |platform: &Subdir| !self.definition.target(*platform).packages.is_empty();
        let own_lock = self.named.iter().chain(self.wanted).any(more);
        let platforms = if own_lock {
            self.named
        } else {
            &self.distribution.platforms
        };
        let mut targets: BTreeMap<Subdir, Target> = BTreeMap::new();
        for &platform in platforms.iter().chain(self.wanted) {
            targets.insert(platform, self.target(platform)?);
        }
        targets.retain(|platform, target| {
            self.wanted.contains(platform) || target.environment_file.is_none()
        });
        let mut options = self.installer_options();
        options.lock_file = own_lock.then(|| self.lock_path("lock"));
        Ok(self.resolve(&targets, &options)?)
    }

    /// What is in environments besides the base one. Each is solved on its own, and has its own lock.
    fn resolve_envs(&self) -> Result<BTreeMap<Subdir, BTreeMap<String, Resolution>>, Error> {
        let mut wanted: BTreeMap<String, BTreeMap<Subdir, Target>> = BTreeMap::new();
        for &platform in self.named.iter().chain(self.wanted) {
            for (name, env) in self.definition.target(platform).envs {
                let target = extra_target(self.distribution, platform, env.packages);
                wanted.entry(name).or_default().insert(platform, target);
            }
        }
        let mut resolved: BTreeMap<Subdir, BTreeMap<String, Resolution>> = BTreeMap::new();
        for (name, targets) in wanted {
            let mut options = self.installer_options();
            options.lock_file = Some(self.lock_path(&format!("envs.{name}.lock")));
            let solved = self.resolve(&targets, &options);
            let solved = solved.map_err(|source| Error::Env {
                name: name.clone(),
                source: Box::new(source),
            })?;
            for (platform, resolution) in solved {
                let envs = resolved.entry(platform).or_default();
                envs.insert(name.clone(), resolution);
            }
        }
        Ok(resolved)
    }

    /// What lies in the package cache: an environment of its own, which has as much as possible in
    /// common with what is installed.
    fn resolve_prefetched(
        &self,
        installed: &BTreeMap<Subdir, Resolution>,
    ) -> Result<BTreeMap<Subdir, Resolution>, Error> {
        let mut targets: BTreeMap<Subdir, Target> = BTreeMap::new();
        for &platform in self.named.iter().chain(self.wanted) {
            let specs = self.definition.target(platform).prefetch;
            if !specs.is_empty() {
                targets.insert(platform, extra_target(self.distribution, platform, specs));
            }
        }
        if targets.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut options = self.installer_options();
        options.lock_file = Some(self.lock_path("prefetch.lock"));
        options.favoured = installed
            .iter()
            .map(|(platform, resolution)| (*platform, resolution.records.clone()))
            .collect();
        Ok(self.resolve(&targets, &options)?)
    }

    fn resolve(
        &self,
        targets: &BTreeMap<Subdir, Target>,
        options: &installer::Options,
    ) -> Result<BTreeMap<Subdir, Resolution>, installer::Error> {
        let report = |event: installer::Event<'_>| (self.report)(Event::Installer(event));
        installer::resolve(self.distribution, targets, self.client, options, &report)
    }

    /// The installer's settings for a platform, with the packages that the image adds.
    pub(super) fn target(&self, platform: Subdir) -> Result<Target, Error> {
        let mut target = self.distribution.target(platform);
        let more = self.definition.target(platform).packages;
        if target.environment_file.is_some() && !more.is_empty() {
            return Err(Error::Definition {
                key: "packages",
                problem:
                    "the installer's packages come from an explicit list, which cannot be added to"
                        .into(),
            });
        }
        if target.specs.is_empty() && target.environment_file.is_none() {
            return Err(Error::Definition {
                key: "platforms",
                problem: format!("the installer's spec names no packages for {platform}"),
            });
        }
        if let Some(requested) = &mut target.user_requested_specs {
            requested.extend(more.iter().map(|spec| spec.raw.clone()));
        }
        target.specs.extend(more);
        // Each package keeps its own streams, so that a layer needs those of its packages alone.
        target.compression = Compression::Default;
        Ok(target)
    }
}

/// An environment of these packages from the installer's channels, and nothing else of the installer.
pub(super) fn extra_target(
    distribution: &Distribution,
    platform: Subdir,
    specs: Vec<PackageSpec>,
) -> Target {
    let mut target = distribution.target(platform);
    target.specs = specs;
    target.environment_file = None;
    target.exclude = Vec::new();
    target.user_requested_specs = None;
    target.extra_files = Vec::new();
    target.license_file = None;
    target.pre_install = None;
    target.post_install = None;
    target.ignore_duplicate_files = true;
    target.compression = Compression::Default;
    target.initialize_conda_is_explicit = false;
    target
}
