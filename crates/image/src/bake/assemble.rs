//! An image of its layers: the configuration, the manifest and the bill of materials, and what the user is told.

use std::collections::BTreeMap;

use runtime::lay::Laid;
use spec::LinkScripts;

use super::environments::Environments;
use super::ground::Ground;
use super::items::Item;
use super::platform::Job;
use super::scripts::Outcome;
use super::{BakedImage, Made, annotations, bills};
use crate::config;
use crate::error::Error;
use crate::oci::{self, Descriptor, DockerImage, Manifest};
use crate::output::Staging;
use crate::sbom::{self, Bill, Licence};

/// What is known when all layers are written.
pub(super) struct Parts<'a> {
    /// The base, with all layers on it.
    pub(super) ground: Ground,
    pub(super) environments: &'a Environments,
    pub(super) items: &'a [Item<'a>],
    /// What became of each item.
    pub(super) laid: &'a [Option<Laid>],
    pub(super) scripts: &'a Outcome,
    /// Seconds since the epoch.
    pub(super) created: u64,
    /// See [`BakedImage`].
    pub(super) trimmed: BTreeMap<String, u64>,
    pub(super) unneeded: BTreeMap<String, u64>,
}

impl Job<'_> {
    /// Writes the documents of an image.
    pub(super) fn assemble(
        &self,
        staging: &Staging,
        parts: Parts<'_>,
    ) -> Result<(BakedImage, Made), Error> {
        let Parts {
            ground,
            environments,
            items,
            laid,
            scripts,
            created,
            trimmed,
            unneeded,
        } = parts;
        let config = self.configuration(&ground, scripts, created);
        let (config_digest, config_size) = staging.document(&oci::canonical(&config))?;
        let conda = bills::components(environments, items);
        let licences: Vec<Licence> = conda
            .iter()
            .map(|component| Licence::of(component.licence.as_deref()))
            .collect();
        let base_name = ground.reference;
        let base_digest = ground.manifest.map(|digest| digest.to_string());
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(oci::MANIFEST.to_owned()),
            config: Descriptor::new(oci::CONFIG, (config_digest, config_size)),
            layers: ground.stack.descriptors(),
            annotations: Some(annotations(
                self.recipe,
                &self.target,
                created,
                (base_name.clone(), base_digest.clone()),
                sbom::together(licences.iter()),
            )),
        };
        let (digest, size) = staging.document(&oci::canonical(&manifest))?;
        let descriptor = Descriptor {
            platform: Some(self.engine.clone()),
            ..Descriptor::new(oci::MANIFEST, (digest, size))
        };
        let layers = manifest.layers.iter();
        let made = Made {
            docker: DockerImage {
                config: config_digest.path(),
                repo_tags: None,
                layers: layers.map(|layer| layer.digest.path()).collect(),
            },
            base: ground
                .registry
                .map(|reference| (reference, ground.stack.digests_of_base())),
            platform: self.platform,
            bill: Bill {
                name: self.recipe.distribution.name.clone(),
                version: self.recipe.distribution.version.clone(),
                platform: self.engine.to_string(),
                created: config::time(created),
                image: digest,
                base: base_name.map(|name| (name, base_digest)),
                components: ground.components.into_iter().chain(conda).collect(),
            },
            manifest: descriptor,
            blobs: std::iter::once(manifest.config)
                .chain(manifest.layers)
                .collect(),
        };
        let layers = ground.stack.into_baked();
        let image = BakedImage {
            platform: self.platform,
            engine_platform: self.engine.to_string(),
            digest: Some(digest.to_string()),
            id: Some(config_digest.to_string()),
            size: layers.iter().map(|layer| layer.size).sum(),
            layers,
            not_compiled: not_compiled(items, laid),
            skipped_scripts: scripts.under(LinkScripts::Skip).to_vec(),
            emulated_scripts: scripts.under(LinkScripts::Emulate).to_vec(),
            first_run_scripts: scripts.under(LinkScripts::FirstRun).to_vec(),
            trimmed,
            unneeded,
            unconfigured: ground.unconfigured,
            made: ground.made,
        };
        Ok((image, made))
    }

    /// What engines are told of the image.
    fn configuration(&self, ground: &Ground, scripts: &Outcome, created: u64) -> oci::Object {
        let mut base = ground.config.clone();
        if let Some(config) = &mut base {
            // A base may say the same with other words; what was read counts.
            config.insert(
                "rootfs".into(),
                serde_json::json!({ "type": "layers", "diff_ids": ground.diff_ids }),
            );
        }
        let first = scripts.for_containers().first();
        let first = first.map(|runner| format!("{}/{}", self.left(), runner.path));
        config::make(
            base.as_ref(),
            &self.engine,
            &self.target,
            ground.stack.steps(),
            &config::time(created),
            first.as_deref(),
        )
    }
}

/// How many modules of each package stay as they are.
fn not_compiled(items: &[Item<'_>], laid: &[Option<Laid>]) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (item, laid) in items.iter().zip(laid) {
        if let Some(laid) = laid.as_ref().filter(|laid| !laid.modules.is_empty())
            && item.is_not_compiled()
        {
            *counts.entry(laid.dist.clone()).or_default() += laid.modules.len();
        }
    }
    counts
}
