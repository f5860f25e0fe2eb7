//! One platform's image: its base is read and checked, its packages are fetched and planned, each group
//! of packages becomes a layer, and one more holds what belongs to no package.

use std::cell::{OnceCell, RefCell};
use std::sync::atomic::AtomicBool;

use conda::Subdir;
use installer::{Prepared, Resolution};
use spec::{ImageTarget, LinkScripts, MOST_LAYERS};

use super::assemble::Parts;
use super::cache::Cache;
use super::compile::Compilers;
use super::emulation::Pythons;
use super::environments::Environment;
use super::ground::Ground;
use super::items::{Item, items};
use super::layers::LayerWriter;
use super::packages::Packages;
use super::{BakedImage, LayerKind, Made, Recipe, top};
use crate::error::Error;
use crate::event::{Event, Warning};
use crate::group::{Subject, group};
use crate::oci::Platform;
use crate::output::Staging;

/// More layers than this are worth a warning: each is a mount at every start.
const MANY_LAYERS: usize = 60;

/// The baking of one platform.
pub(super) struct Job<'a> {
    pub(super) recipe: &'a Recipe<'a>,
    pub(super) platform: Subdir,
    pub(super) engine: Platform,
    pub(super) target: ImageTarget,
    pub(super) staging: Option<&'a Staging>,
}

impl<'a> Job<'a> {
    pub(super) fn new(
        recipe: &'a Recipe<'a>,
        platform: Subdir,
        engine: Platform,
        staging: Option<&'a Staging>,
    ) -> Job<'a> {
        Job {
            recipe,
            platform,
            engine,
            target: recipe.definition.target(platform),
            staging,
        }
    }

    /// Bakes, or with a dry run says what would be baked.
    pub(super) fn bake(&self, packages: Packages) -> Result<(BakedImage, Option<Made>), Error> {
        self.check_files()?;
        self.check_emulation()?;
        let compilers = self.compilers(&packages)?;
        let mut ground = self.ground()?;
        let Some(staging) = self.staging else {
            self.debs(&mut ground, None)?;
            return Ok((self.dry(ground, &packages)?, None));
        };
        let cache = Cache::open(self, staging);
        self.debs(&mut ground, Some(&cache))?;
        let (image, made) = self.write(&cache, ground, packages, compilers)?;
        Ok((image, Some(made)))
    }

    fn write(
        &self,
        cache: &Cache<'_>,
        mut ground: Ground,
        packages: Packages,
        compilers: Compilers,
    ) -> Result<(BakedImage, Made), Error> {
        let staging = cache.staging();
        let prefix = self.prefix(&ground.root)?;
        let (carried, environments) = rayon::join(
            || self.carry(staging, &ground),
            || self.environments(&prefix, packages, compilers),
        );
        carried?;
        let mut environments = environments?;
        for environment in &environments.installed {
            Job::check_prefix(environment)?;
        }
        let scripts = self.scripts(&environments.installed, &ground.root)?;
        let emulated = !scripts.under(LinkScripts::Emulate).is_empty();
        self.check_loader(&environments.installed, &ground.root);
        let trimmed = self.trim(&mut environments);
        let unneeded = self.unneeded(&environments.installed);
        let created = self.created(&environments.installed);

        let items = items(&environments);
        let subjects: Vec<Subject<'_>> = items.iter().map(Item::subject).collect();
        let groups = group(&subjects, self.budget(), environments.prefetched.is_some());
        self.check_count(&ground, groups.len() + 1 + usize::from(emulated))?;
        let below = ground.stack.descriptors();
        let writer = LayerWriter {
            job: self,
            staging,
            cache,
            root: &ground.root,
            prefix: &prefix,
            items: &items,
            cancelled: &AtomicBool::new(false),
            pythons: &Pythons::new(staging, &below),
        };
        let (written, laid) = writer.groups(&groups)?;
        cache.tidy();
        let last = writer.top(&top::Shared {
            job: self,
            environments: &environments.installed,
            items: &items,
            laid: &laid,
            prefix: &prefix,
            root: &ground.root,
            created,
            left: scripts.for_containers(),
            taken: RefCell::default(),
            packaged: OnceCell::new(),
        })?;
        for layer in written {
            ground.stack.push_packages(layer);
        }
        ground
            .stack
            .push(LayerKind::Files, &last, Vec::new(), false);
        if emulated {
            let (all, base) = (ground.stack.descriptors(), ground.config.as_ref());
            if let Some(changed) = self.run_scripts(staging, &all, base, &scripts, created)? {
                let stack = &mut ground.stack;
                stack.push(LayerKind::Scripts, &changed, Vec::new(), false);
            }
        }
        let parts = Parts {
            ground,
            environments: &environments,
            items: &items,
            laid: &laid,
            scripts: &scripts,
            created,
            trimmed,
            unneeded,
        };
        self.assemble(staging, parts)
    }

    pub(super) fn prepare(
        &self,
        target: &spec::Target,
        resolution: Resolution,
    ) -> Result<Prepared, installer::Error> {
        let recipe = self.recipe;
        let report = |event: installer::Event<'_>| (recipe.report)(Event::Installer(event));
        let options = recipe.installer_options();
        installer::prepare(
            recipe.distribution,
            target,
            resolution,
            recipe.client,
            &options,
            &report,
        )
    }

    /// Layers for packages; one of all is for what belongs to none.
    pub(super) fn budget(&self) -> usize {
        self.recipe.definition.layers.saturating_sub(1).max(1)
    }

    pub(super) fn check_layers(&self, base: usize, ours: usize) -> Result<(), Error> {
        if base + ours > MOST_LAYERS {
            return Err(Error::Layers {
                platform: self.platform,
                base,
                ours,
                most: MOST_LAYERS,
            });
        }
        Ok(())
    }

    /// The layers to come fit on those of the base. Many of them are worth a warning.
    fn check_count(&self, ground: &Ground, ours: usize) -> Result<(), Error> {
        let base = ground.stack.len();
        self.check_layers(base, ours)?;
        if base + ours > MANY_LAYERS {
            self.warn(Warning::ManyLayers {
                platform: self.platform,
                count: base + ours,
                base,
            });
        }
        Ok(())
    }

    pub(super) fn warn(&self, warning: Warning<'_>) {
        (self.recipe.report)(Event::Warning(warning));
    }

    /// The time that the image bears.
    fn created(&self, environments: &[Environment]) -> u64 {
        let newest = || {
            let records = environments.iter().map(|one| &one.prepared.records);
            records.map(|records| installer::newest(records)).max()
        };
        let said = self.recipe.options.source_date_epoch;
        let seconds = said.or_else(newest).unwrap_or(0);
        u64::try_from(seconds).unwrap_or(0)
    }
}

/// `NAME-VERSION-BUILD`.
pub(super) fn dist(record: &conda::RepoDataRecord) -> String {
    let package = &record.package_record;
    let name = package.name.as_normalized();
    format!("{name}-{}-{}", package.version, package.build)
}
