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

/// By platform: what is installed, and what is prefetched.
pub(super) type Packages = (BTreeMap<Subdir, Installed>, BTreeMap<Subdir, Resolution>);

impl Recipe<'_> {
    /// All packages. Those of finished installers are there already, and come with no others.
    pub(super) fn packages(&self, finished: BTreeMap<Subdir, Finished>) -> Result<Packages, Error> {
        if !finished.is_empty() {
            let installed = finished.into_iter();
            let installed =
                installed.map(|(platform, one)| (platform, Installed::Finished(Box::new(one))));
            return Ok((installed.collect(), BTreeMap::new()));
        }
        let installed = self.resolve_installed()?;
        let prefetched = self.resolve_prefetched(&installed)?;
        let installed = installed.into_iter();
        let installed = installed.map(|(platform, one)| (platform, Installed::Resolved(one)));
        Ok((installed.collect(), prefetched))
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
        self.resolve(&targets, &options)
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
                targets.insert(
                    platform,
                    prefetch_target(self.distribution, platform, specs),
                );
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
        self.resolve(&targets, &options)
    }

    fn resolve(
        &self,
        targets: &BTreeMap<Subdir, Target>,
        options: &installer::Options,
    ) -> Result<BTreeMap<Subdir, Resolution>, Error> {
        let report = |event: installer::Event<'_>| (self.report)(Event::Installer(event));
        Ok(installer::resolve(
            self.distribution,
            targets,
            self.client,
            options,
            &report,
        )?)
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
pub(super) fn prefetch_target(
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
