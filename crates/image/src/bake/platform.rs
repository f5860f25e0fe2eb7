//! One platform's image: its base is read and checked, its packages are fetched and planned, each group
//! of packages becomes a layer, and one more holds what belongs to no package.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use conda::Subdir;
use installer::{Prepared, Resolution};
use rayon::prelude::*;
use runtime::lay::Laid;
use spec::{ImageTarget, LinkScripts, MOST_LAYERS};

use super::cache::Cache;
use super::compile::Compilers;
use super::emulation::Pythons;
use super::environments::Environment;
use super::ground::Ground;
use super::items::{Item, items};
use super::layers::{LayerWriter, Written};
use super::packages::Packages;
use super::{
    BakedImage, BakedLayer, BakedPackage, LayerKind, Made, Recipe, annotations, bills, top,
};
use crate::base;
use crate::config::{self, Step};
use crate::error::Error;
use crate::event::{Event, Warning};
use crate::group::{Subject, group};
use crate::layer::Packed;
use crate::oci::{self, Descriptor, DockerImage, Manifest, Platform};
use crate::output::Staging;
use crate::sbom::{self, Bill, Licence};

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
        self.debs(&mut ground)?;
        match self.staging {
            None => Ok((self.dry(&ground, &packages)?, None)),
            Some(staging) => {
                let (image, made) = self.write(staging, ground, packages, compilers)?;
                Ok((image, Some(made)))
            }
        }
    }

    fn dry(&self, ground: &Ground, packages: &Packages) -> Result<BakedImage, Error> {
        let records = self.records(packages);
        let subjects: Vec<Subject<'_>> = records
            .iter()
            .map(|(record, package)| Subject {
                name: record.package_record.name.as_normalized(),
                noarch: record.package_record.subdir == "noarch",
                prefetched: package.prefetched,
            })
            .collect();
        let groups = group(&subjects, self.budget(), packages.prefetched.is_some());
        self.check_layers(ground.layers.len(), groups.len() + 1)?;
        let mut layers: Vec<BakedLayer> = ground
            .layers
            .iter()
            .map(|(_, layer)| layer.clone())
            .collect();
        for members in groups {
            let packages: Vec<BakedPackage> = members
                .iter()
                .map(|&member| records[member].1.clone())
                .collect();
            layers.push(BakedLayer {
                kind: LayerKind::Packages,
                digest: None,
                diff_id: None,
                size: packages.iter().map(|package| package.size).sum(),
                unpacked: None,
                cached: false,
                packages,
            });
        }
        layers.push(BakedLayer {
            kind: LayerKind::Files,
            digest: None,
            diff_id: None,
            size: 0,
            unpacked: None,
            cached: false,
            packages: Vec::new(),
        });
        Ok(BakedImage {
            platform: self.platform,
            engine_platform: self.engine.to_string(),
            digest: None,
            id: None,
            size: layers.iter().map(|layer| layer.size).sum(),
            layers,
            not_compiled: BTreeMap::new(),
            skipped_scripts: Vec::new(),
            emulated_scripts: Vec::new(),
            first_run_scripts: Vec::new(),
            trimmed: BTreeMap::new(),
            unneeded: BTreeMap::new(),
            unconfigured: Vec::new(),
            made: Vec::new(),
        })
    }

    /// All packages, as the layers of a dry run have them.
    fn records<'p>(
        &self,
        packages: &'p Packages,
    ) -> Vec<(&'p conda::RepoDataRecord, BakedPackage)> {
        let described = |record, env: Option<&String>, prefetched| {
            let package = BakedPackage {
                name: dist(record),
                size: record.package_record.size.unwrap_or(0),
                env: env.cloned(),
                prefetched,
            };
            (record, package)
        };
        let base = packages.installed.records();
        let mut records: Vec<_> = base.iter().map(|one| described(one, None, false)).collect();
        for (name, env) in &packages.envs {
            let env = env.records.iter();
            records.extend(env.map(|one| described(one, Some(name), false)));
        }
        let keep = self.recipe.distribution.target(self.platform).keep_pkgs;
        let kept = packages.envs.values().filter(|_| keep);
        let mut known: HashSet<String> = base.iter().map(dist).collect();
        for resolution in packages.prefetched.iter().chain(kept) {
            for record in &resolution.records {
                if known.insert(dist(record)) {
                    records.push(described(record, None, true));
                }
            }
        }
        records
    }

    fn write(
        &self,
        staging: &Staging,
        ground: Ground,
        packages: Packages,
        compilers: Compilers,
    ) -> Result<(BakedImage, Made), Error> {
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

        let items = items(&environments);
        let subjects: Vec<Subject<'_>> = items.iter().map(Item::subject).collect();
        let groups = group(&subjects, self.budget(), environments.prefetched.is_some());
        let ours = groups.len() + 1 + usize::from(emulated);
        self.check_layers(ground.layers.len(), ours)?;
        let count = ground.layers.len() + ours;
        if count > MANY_LAYERS {
            self.warn(Warning::ManyLayers {
                platform: self.platform,
                count,
                base: ground.layers.len(),
            });
        }
        (self.recipe.report)(Event::Layers {
            platform: self.platform,
            total: items.iter().map(|item| item.head.size).sum(),
        });

        let laid: Vec<Mutex<Option<Laid>>> = items.iter().map(|_| Mutex::default()).collect();
        let cancelled = AtomicBool::new(false);
        // The longest first, so that no long layer starts last.
        let mut order: Vec<usize> = (0..groups.len()).collect();
        let weight = |layer: &usize| {
            groups[*layer]
                .iter()
                .map(|p| items[*p].head.size)
                .sum::<u64>()
        };
        order.sort_by_key(|layer| std::cmp::Reverse(weight(layer)));
        let cache = Cache::open(self, staging);
        let below = descriptors(&ground.layers);
        let pythons = Pythons::new(staging, &below);
        let writer = LayerWriter {
            job: self,
            staging,
            cache: &cache,
            root: &ground.root,
            prefix: &prefix,
            items: &items,
            laid: &laid,
            cancelled: &cancelled,
            pythons: &pythons,
        };
        let written: Vec<(usize, Written)> = order
            .par_iter()
            .with_max_len(1)
            .map(|&layer| Ok((layer, writer.packages(layer, &groups[layer])?)))
            .collect::<Result<_, Error>>()?;
        let mut written: BTreeMap<usize, Written> = written.into_iter().collect();
        cache.tidy();
        let laid: Vec<Option<Laid>> = laid
            .iter()
            .map(|slot| slot.lock().ok().and_then(|mut slot| slot.take()))
            .collect();
        let created = self.created(&environments.installed);
        let shared = top::Shared {
            job: self,
            environments: &environments.installed,
            items: &items,
            laid: &laid,
            prefix: &prefix,
            root: &ground.root,
            created,
            left: scripts.for_containers(),
            taken: RefCell::default(),
        };
        let last = writer.top(&shared)?;

        let base = ground.registry.map(|reference| {
            let base = ground.layers.iter();
            let base = base.filter(|(_, layer)| layer.kind == LayerKind::Base);
            let digests = base.map(|(layer, _)| layer.digest);
            (reference, digests.collect())
        });
        let mut layers = ground.layers;
        let mut steps = ground.steps;
        for layer in 0..groups.len() {
            if let Some(written) = written.remove(&layer) {
                let packages = written.packages;
                let name = |package: &BakedPackage| match &package.env {
                    Some(env) => format!("{} ({env})", package.name),
                    None => package.name.clone(),
                };
                let names: Vec<String> = packages.iter().map(name).collect();
                steps.push(Step {
                    diff_id: written.packed.diff_id,
                    comment: names.join(" "),
                });
                let (mut descriptor, mut layer) =
                    described(LayerKind::Packages, &written.packed, packages);
                let inputs = (base::INPUTS.to_owned(), written.key.to_string());
                descriptor.annotations = Some(BTreeMap::from([inputs]));
                layer.cached = written.cached;
                layers.push((descriptor, layer));
            }
        }
        steps.push(Step {
            diff_id: last.diff_id,
            comment: "files that belong to no package".to_owned(),
        });
        layers.push(described(LayerKind::Files, &last, Vec::new()));
        if emulated {
            let (all, base) = (descriptors(&layers), ground.config.as_ref());
            if let Some(changed) = self.run_scripts(staging, &all, base, &scripts, created)? {
                steps.push(Step {
                    diff_id: changed.diff_id,
                    comment: "what scripts of packages changed".to_owned(),
                });
                layers.push(described(LayerKind::Scripts, &changed, Vec::new()));
            }
        }
        let mut base_config = ground.config;
        if let Some(config) = &mut base_config {
            // A base may say the same with other words; what was read counts.
            config.insert(
                "rootfs".into(),
                serde_json::json!({ "type": "layers", "diff_ids": ground.diff_ids }),
            );
        }
        let first = scripts.for_containers().first();
        let first = first.map(|runner| format!("{}/{}", self.left(), runner.path));
        let config = config::make(
            base_config.as_ref(),
            &self.engine,
            &self.target,
            &steps,
            &config::time(created),
            first.as_deref(),
        );
        let (config_digest, config_size) = staging.document(&oci::canonical(&config))?;
        let base_name = ground.reference;
        let base_digest = ground.manifest.map(|digest| digest.to_string());
        let conda = bills::components(&environments, &items);
        let licences: Vec<Licence> = conda
            .iter()
            .map(|component| Licence::of(component.licence.as_deref()))
            .collect();
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(oci::MANIFEST.to_owned()),
            config: Descriptor::new(oci::CONFIG, (config_digest, config_size)),
            layers: descriptors(&layers),
            annotations: Some(annotations(
                self.recipe,
                &self.target,
                created,
                (base_name.clone(), base_digest.clone()),
                sbom::together(licences.iter()),
            )),
        };
        let (digest, size) = staging.document(&oci::canonical(&manifest))?;
        let blobs = [&manifest.config].into_iter().chain(&manifest.layers);
        let blobs = blobs.cloned().collect();
        let mut not_compiled: BTreeMap<String, usize> = BTreeMap::new();
        for (item, laid) in items.iter().zip(&laid) {
            if let Some(laid) = laid.as_ref().filter(|laid| !laid.modules.is_empty())
                && item.is_not_compiled()
            {
                *not_compiled.entry(laid.dist.clone()).or_default() += laid.modules.len();
            }
        }
        let docker = DockerImage {
            config: config_digest.path(),
            repo_tags: None,
            layers: manifest
                .layers
                .iter()
                .map(|layer| layer.digest.path())
                .collect(),
        };
        let layers: Vec<BakedLayer> = layers.into_iter().map(|(_, layer)| layer).collect();
        let image = BakedImage {
            platform: self.platform,
            engine_platform: self.engine.to_string(),
            digest: Some(digest.to_string()),
            id: Some(config_digest.to_string()),
            size: layers.iter().map(|layer| layer.size).sum(),
            layers,
            not_compiled,
            skipped_scripts: scripts.under(LinkScripts::Skip).to_vec(),
            emulated_scripts: scripts.under(LinkScripts::Emulate).to_vec(),
            first_run_scripts: scripts.under(LinkScripts::FirstRun).to_vec(),
            trimmed,
            unneeded,
            unconfigured: ground.unconfigured,
            made: ground.made,
        };
        let manifest = Descriptor {
            platform: Some(self.engine.clone()),
            ..Descriptor::new(oci::MANIFEST, (digest, size))
        };
        let bill = Bill {
            name: self.recipe.distribution.name.clone(),
            version: self.recipe.distribution.version.clone(),
            platform: self.engine.to_string(),
            created: config::time(created),
            image: manifest.digest,
            base: base_name.map(|name| (name, base_digest)),
            components: ground.components.into_iter().chain(conda).collect(),
        };
        Ok((
            image,
            Made {
                manifest,
                blobs,
                docker,
                base,
                platform: self.platform,
                bill,
            },
        ))
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
    fn budget(&self) -> usize {
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

fn descriptors(layers: &[(Descriptor, BakedLayer)]) -> Vec<Descriptor> {
    let descriptors = layers.iter().map(|(descriptor, _)| descriptor);
    descriptors.cloned().collect()
}

pub(super) fn described(
    kind: LayerKind,
    packed: &Packed,
    packages: Vec<BakedPackage>,
) -> (Descriptor, BakedLayer) {
    let descriptor = Descriptor::new(packed.media_type, (packed.digest, packed.size));
    let layer = BakedLayer {
        kind,
        digest: Some(packed.digest.to_string()),
        diff_id: Some(packed.diff_id.to_string()),
        size: packed.size,
        unpacked: Some(packed.unpacked),
        cached: false,
        packages,
    };
    (descriptor, layer)
}
