//! One platform's image: its base is read and checked, its packages are fetched and planned, each group
//! of packages becomes a layer, and one more holds what belongs to no package.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use archive::payload::{Frame, Payload};
use conda::Subdir;
use installer::{Assembled, Prepared, Resolution};
use rayon::prelude::*;
use runtime::lay::{self, Extent, Laid, Settings};
use runtime::plan::{Kind, Package, PackageHead, Python};
use spec::{ImageTarget, LinkScripts, MOST_LAYERS};

use super::{
    BakedImage, BakedLayer, BakedPackage, LayerKind, Made, Recipe, annotations, prefetch_target,
    top,
};
use crate::base::{self, Packing, Source};
use crate::config::{self, Step};
use crate::error::Error;
use crate::event::{Event, Warning};
use crate::group::{Subject, group};
use crate::layer::{Archive, LayerTree, Meta, Packed, Packer};
use crate::oci::{self, Descriptor, Digest, DockerImage, Manifest, Platform};
use crate::output::Staging;
use crate::root::{Node, Root};

/// More layers than this are worth a warning: each is a mount at every start.
const MANY_LAYERS: usize = 60;

/// A folder that we make.
pub(super) fn folder_meta(modified: u64) -> Meta {
    Meta {
        mode: 0o755,
        owner: (0, 0),
        modified,
    }
}

/// The baking of one platform.
pub(super) struct Job<'a> {
    pub(super) recipe: &'a Recipe<'a>,
    pub(super) platform: Subdir,
    engine: Platform,
    pub(super) target: ImageTarget,
    staging: Option<&'a Staging>,
}

/// A base that was read.
#[derive(Default)]
pub(super) struct Ground {
    config: Option<oci::Object>,
    layers: Vec<(Descriptor, BakedLayer)>,
    diff_ids: Vec<Digest>,
    pub(super) root: Root,
    reference: Option<String>,
    manifest: Option<Digest>,
}

/// A package on its way into a layer.
pub(super) struct Item<'a> {
    pub(super) head: &'a PackageHead,
    package: &'a Package,
    python: Option<&'a Python>,
    pub(super) extent: Extent,
    frames: &'a Frames,
    prefetched: bool,
}

/// The frames of one plan.
pub(super) struct Frames {
    frames: Vec<Frame>,
    source: Assembled,
}

impl Frames {
    fn of(prepared: &Prepared) -> Frames {
        let (frames, source) = prepared.frames.assembled();
        Frames { frames, source }
    }

    /// The frames as the runtime reads them.
    pub(super) fn payload(&self) -> Payload<'_, Assembled> {
        Payload::of_frames(&self.source, self.frames.clone())
    }
}

impl<'a> Job<'a> {
    pub(super) fn new(
        recipe: &'a Recipe<'a>,
        platform: Subdir,
        staging: Option<&'a Staging>,
    ) -> Job<'a> {
        // The caller has checked that there is such a platform.
        let engine = Platform::of(platform).unwrap_or(Platform {
            architecture: String::new(),
            os: String::new(),
            variant: None,
        });
        Job {
            recipe,
            platform,
            engine,
            target: recipe.definition.target(platform),
            staging,
        }
    }

    /// Bakes, or with a dry run says what would be baked.
    pub(super) fn bake(
        &self,
        resolution: Resolution,
        prefetch: Option<Resolution>,
    ) -> Result<(BakedImage, Option<Made>), Error> {
        let ground = self.ground()?;
        match self.staging {
            None => {
                let prefetch = prefetch.as_ref();
                Ok((self.dry(&ground, &resolution, prefetch)?, None))
            }
            Some(staging) => {
                let (image, made) = self.write(staging, ground, resolution, prefetch)?;
                Ok((image, Some(made)))
            }
        }
    }

    /// Reads the base, and copies its layers.
    fn ground(&self) -> Result<Ground, Error> {
        let Some((path, form, reference)) = base::place(&self.target.base, self.recipe.folder)
        else {
            return Ok(Ground::default());
        };
        let cannot = |source| Error::Image {
            path: path.clone(),
            source,
        };
        let source = Source::open(&path, form).map_err(cannot)?;
        let image = source
            .image(&self.engine, reference.as_deref())
            .map_err(cannot)?;
        self.check_layers(image.layers.len(), 1)?;
        (self.recipe.report)(Event::Base {
            platform: self.platform,
            total: image.layers.iter().map(|layer| layer.size).sum(),
        });
        let mut ground = Ground {
            config: Some(image.config.clone()),
            reference: image.reference.clone(),
            manifest: image.manifest,
            ..Ground::default()
        };
        for (number, layer) in image.layers.iter().enumerate() {
            ground.root.next_layer();
            let packed = self
                .base_layer(&source, layer, &format!("base-{number}"), &mut ground.root)
                .map_err(|error| match error {
                    Failure::Base(source) => cannot(source),
                    Failure::Ours(error) => error,
                })?;
            (self.recipe.report)(Event::Bytes { bytes: layer.size });
            ground.diff_ids.push(packed.diff_id);
            ground
                .layers
                .push(described(LayerKind::Base, &packed, Vec::new()));
        }
        Ok(ground)
    }

    fn base_layer(
        &self,
        source: &Source,
        layer: &base::Layer,
        name: &str,
        root: &mut Root,
    ) -> Result<Packed, Failure> {
        let packing = base::packing(&source.store, layer)?;
        let mut visit = |entry: base::Entry<'_>| root.add(entry);
        let packed = |passed: base::Passed, digest, size| Packed {
            digest,
            size,
            media_type: match passed.packing {
                Packing::Plain => oci::LAYER_TAR,
                Packing::Gzip => oci::LAYER_GZIP,
                Packing::Zstd => oci::LAYER_ZSTD,
            },
            diff_id: layer.diff_id,
            unpacked: passed.unpacked,
        };
        let Some(staging) = self.staging else {
            let passed = base::pass(&source.store, layer, None, &mut visit)?;
            return Ok(packed(passed, passed.digest, passed.size));
        };
        let mut blob = staging.blob(name)?;
        if packing != Packing::Plain {
            let passed = base::pass(&source.store, layer, Some(&mut blob), &mut visit)
                .map_err(|error| Failure::copied(error, staging))?;
            let (digest, size) = staging.store(blob)?;
            return Ok(packed(passed, digest, size));
        }
        // What `docker save` wrote is not compressed; the image of it is.
        let compression = self.recipe.definition.compression;
        let mut packer = Packer::new(blob, compression).map_err(|source| Error::Write {
            path: staging.scratch().to_owned(),
            source,
        })?;
        base::pass(&source.store, layer, Some(&mut packer), &mut visit)
            .map_err(|error| Failure::copied(error, staging))?;
        Ok(packer.finish(staging)?)
    }

    fn dry(
        &self,
        ground: &Ground,
        resolution: &Resolution,
        prefetch: Option<&Resolution>,
    ) -> Result<BakedImage, Error> {
        let installed: HashSet<String> = resolution.records.iter().map(dist).collect();
        let prefetched = prefetch.into_iter().flat_map(|prefetch| &prefetch.records);
        let records: Vec<(&conda::RepoDataRecord, bool)> = resolution
            .records
            .iter()
            .map(|record| (record, false))
            .chain(
                prefetched
                    .filter(|record| !installed.contains(&dist(record)))
                    .map(|record| (record, true)),
            )
            .collect();
        let subjects: Vec<Subject<'_>> = records
            .iter()
            .map(|(record, prefetched)| Subject {
                name: record.package_record.name.as_normalized(),
                noarch: record.package_record.subdir == "noarch",
                prefetched: *prefetched,
            })
            .collect();
        let groups = group(&subjects, self.budget(), prefetch.is_some());
        self.check_layers(ground.layers.len(), groups.len() + 1)?;
        let mut layers: Vec<BakedLayer> = ground
            .layers
            .iter()
            .map(|(_, layer)| layer.clone())
            .collect();
        for members in groups {
            let packages: Vec<BakedPackage> = members
                .iter()
                .map(|&member| {
                    let (record, prefetched) = records[member];
                    BakedPackage {
                        name: dist(record),
                        size: record.package_record.size.unwrap_or(0),
                        prefetched,
                    }
                })
                .collect();
            layers.push(BakedLayer {
                kind: LayerKind::Packages,
                digest: None,
                diff_id: None,
                size: packages.iter().map(|package| package.size).sum(),
                unpacked: None,
                packages,
            });
        }
        layers.push(BakedLayer {
            kind: LayerKind::Files,
            digest: None,
            diff_id: None,
            size: 0,
            unpacked: None,
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
        })
    }

    fn write(
        &self,
        staging: &Staging,
        ground: Ground,
        resolution: Resolution,
        prefetch: Option<Resolution>,
    ) -> Result<(BakedImage, Made), Error> {
        let prefix = self.prefix(&ground.root)?;
        let prepared = self.prepare(self.recipe.target(self.platform)?, resolution)?;
        let prefetched = prefetch
            .map(|resolution| {
                let specs = self.target.prefetch.clone();
                let target = prefetch_target(self.recipe.distribution, self.platform, specs);
                self.prepare(target, resolution)
            })
            .transpose()?;
        self.check_prefix(&prepared)?;
        let skipped = self.scripts(&prepared)?;
        self.check_loader(&prepared, &ground.root);

        let frames = Frames::of(&prepared);
        let more_frames = prefetched.as_ref().map(Frames::of);
        let items = items(
            &prepared,
            &frames,
            prefetched.as_ref().zip(more_frames.as_ref()),
        );
        let subjects: Vec<Subject<'_>> = items
            .iter()
            .map(|item| Subject {
                name: &item.head.name,
                noarch: item.head.subdir == "noarch",
                prefetched: item.prefetched,
            })
            .collect();
        let groups = group(&subjects, self.budget(), prefetched.is_some());
        let ours = groups.len() + 1;
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
        let writer = LayerWriter {
            job: self,
            staging,
            root: &ground.root,
            prefix: &prefix,
            items: &items,
            laid: &laid,
            cancelled: &cancelled,
        };
        let written: Vec<(usize, (Packed, Vec<BakedPackage>))> = order
            .par_iter()
            .with_max_len(1)
            .map(|&layer| Ok((layer, writer.packages(layer, &groups[layer])?)))
            .collect::<Result<_, Error>>()?;
        let mut written: BTreeMap<usize, _> = written.into_iter().collect();
        let laid: Vec<Option<Laid>> = laid
            .iter()
            .map(|slot| slot.lock().ok().and_then(|mut slot| slot.take()))
            .collect();
        let created = self.created(&prepared);
        let shared = top::Shared {
            job: self,
            prepared: &prepared,
            frames: &frames,
            items: &items,
            laid: &laid,
            prefix: &prefix,
            root: &ground.root,
            created,
        };
        let last = writer.top(&shared)?;

        let mut layers = ground.layers;
        let mut steps = Vec::new();
        for layer in 0..groups.len() {
            if let Some((packed, packages)) = written.remove(&layer) {
                let names: Vec<&str> = packages.iter().map(|p| p.name.as_str()).collect();
                steps.push(Step {
                    diff_id: packed.diff_id,
                    comment: names.join(" "),
                });
                layers.push(described(LayerKind::Packages, &packed, packages));
            }
        }
        steps.push(Step {
            diff_id: last.diff_id,
            comment: "files that belong to no package".to_owned(),
        });
        layers.push(described(LayerKind::Files, &last, Vec::new()));
        let mut base_config = ground.config;
        if let Some(config) = &mut base_config {
            // A base may say the same with other words; what was read counts.
            config.insert(
                "rootfs".into(),
                serde_json::json!({ "type": "layers", "diff_ids": ground.diff_ids }),
            );
        }
        let config = config::make(
            base_config.as_ref(),
            &self.engine,
            &self.target,
            &steps,
            &config::time(created),
        );
        let (config_digest, config_size) = staging.document(&oci::canonical(&config))?;
        let base = ground.reference.as_deref();
        let digest = ground.manifest.map(|digest| digest.to_string());
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(oci::MANIFEST.to_owned()),
            config: Descriptor {
                media_type: oci::CONFIG.to_owned(),
                digest: config_digest,
                size: config_size,
                annotations: None,
                platform: None,
            },
            layers: layers
                .iter()
                .map(|(descriptor, _)| descriptor.clone())
                .collect(),
            annotations: Some(annotations(
                self.recipe,
                &self.target,
                created,
                base,
                digest,
            )),
        };
        let (digest, size) = staging.document(&oci::canonical(&manifest))?;
        let not_compiled = laid
            .iter()
            .flatten()
            .filter(|laid| !laid.modules.is_empty())
            .map(|laid| (laid.dist.clone(), laid.modules.len()))
            .collect();
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
            skipped_scripts: skipped,
        };
        let manifest = Descriptor {
            media_type: oci::MANIFEST.to_owned(),
            digest,
            size,
            annotations: None,
            platform: Some(self.engine.clone()),
        };
        Ok((image, Made { manifest, docker }))
    }

    fn prepare(&self, target: spec::Target, resolution: Resolution) -> Result<Prepared, Error> {
        let recipe = self.recipe;
        let report = |event: installer::Event<'_>| (recipe.report)(Event::Installer(event));
        let options = recipe.installer_options();
        Ok(installer::prepare(
            recipe.distribution,
            &target,
            resolution,
            recipe.client,
            &options,
            &report,
        )?)
    }

    /// Layers for packages; one of all is for what belongs to none.
    fn budget(&self) -> usize {
        self.recipe.definition.layers.saturating_sub(1).max(1)
    }

    fn check_layers(&self, base: usize, ours: usize) -> Result<(), Error> {
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

    /// Where the prefix lies in the image, which must be free.
    fn prefix(&self, root: &Root) -> Result<String, Error> {
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

    fn check_prefix(&self, prepared: &Prepared) -> Result<(), Error> {
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
    fn scripts(&self, prepared: &Prepared) -> Result<Vec<String>, Error> {
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

    fn check_loader(&self, prepared: &Prepared, root: &Root) {
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

    fn warn(&self, warning: Warning<'_>) {
        (self.recipe.report)(Event::Warning(warning));
    }

    /// The time that the image bears.
    fn created(&self, prepared: &Prepared) -> u64 {
        let seconds = self
            .recipe
            .options
            .source_date_epoch
            .unwrap_or_else(|| installer::newest(&prepared.records));
        u64::try_from(seconds).unwrap_or(0)
    }
}

/// Why a layer of the base could not be had.
enum Failure {
    Base(base::Error),
    Ours(Error),
}

impl Failure {
    /// What went wrong while a layer was copied.
    fn copied(error: base::Error, staging: &Staging) -> Failure {
        match error {
            base::Error::Copy { source } => Failure::Ours(Error::Write {
                path: staging.scratch().to_owned(),
                source,
            }),
            error => Failure::Base(error),
        }
    }
}

impl From<base::Error> for Failure {
    fn from(error: base::Error) -> Failure {
        Failure::Base(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Ours(error)
    }
}

/// What the layers of one image have in common while they are written.
pub(super) struct LayerWriter<'a> {
    job: &'a Job<'a>,
    staging: &'a Staging,
    root: &'a Root,
    prefix: &'a str,
    items: &'a [Item<'a>],
    laid: &'a [Mutex<Option<Laid>>],
    cancelled: &'a AtomicBool,
}

impl LayerWriter<'_> {
    /// Writes the layer of these packages.
    fn packages(
        &self,
        layer: usize,
        members: &[usize],
    ) -> Result<(Packed, Vec<BakedPackage>), Error> {
        let modified = members
            .iter()
            .map(|member| newest(self.items[*member].package))
            .max();
        let modified = modified.unwrap_or(0);
        let archive = self.begin(&format!("{layer}"), modified)?;
        let scratch = self.staging.scratch();
        let tree = LayerTree::new(archive, self.prefix, modified, scratch);
        let mut packages = Vec::new();
        for &member in members {
            let item = &self.items[member];
            let before = tree.length();
            tree.next_package();
            let laid = self.lay(item, &tree)?;
            (self.job.recipe.report)(Event::Bytes {
                bytes: item.head.size,
            });
            packages.push(BakedPackage {
                name: laid.dist.clone(),
                size: tree.length() - before,
                prefetched: item.prefetched,
            });
            if let Ok(mut slot) = self.laid[member].lock() {
                *slot = Some(laid);
            }
        }
        let packer = tree
            .into_archive()
            .and_then(Archive::finish)
            .map_err(|source| self.cannot_write(source))?;
        Ok((packer.finish(self.staging)?, packages))
    }

    fn lay(&self, item: &Item<'_>, tree: &LayerTree<Packer>) -> Result<Laid, Error> {
        let payload = item.frames.payload();
        lay::lay_package(
            &payload,
            item.package.clone(),
            item.python,
            tree,
            self.settings(item.extent),
            &|_| {},
        )
        .map_err(|source| Error::Lay {
            platform: self.job.platform,
            package: item.package.dist.clone(),
            source,
        })
    }

    /// Writes the layer of what belongs to no package.
    fn top(&self, shared: &top::Shared<'_>) -> Result<Packed, Error> {
        let archive = self.begin("top", shared.created)?;
        let archive = shared.write(archive, self.staging, self.settings(Extent::Prefix))?;
        let packer = archive
            .finish()
            .map_err(|source| self.cannot_write(source))?;
        packer.finish(self.staging)
    }

    fn settings(&self, extent: Extent) -> Settings<'_> {
        Settings {
            prefix: &self.job.target.prefix,
            extent,
            threads: 1,
            cancelled: self.cancelled,
        }
    }

    /// Begins a layer with the folders that lead to the prefix. Those of the base stay as they are.
    fn begin(&self, name: &str, modified: u64) -> Result<Archive<Packer>, Error> {
        let name = format!("{}-{name}", self.job.platform);
        let begin = |blob| -> std::io::Result<Archive<Packer>> {
            let packer = Packer::new(blob, self.job.recipe.definition.compression)?;
            let mut archive = Archive::new(packer);
            known_folders(&mut archive, self.root, self.prefix);
            archive.parents(&format!("{}/", self.prefix), folder_meta(modified))?;
            Ok(archive)
        };
        begin(self.staging.blob(&name)?).map_err(|source| self.cannot_write(source))
    }

    fn cannot_write(&self, source: std::io::Error) -> Error {
        Error::Write {
            path: self.staging.scratch().to_owned(),
            source,
        }
    }
}

/// Tells a layer which folders on the way to a path the base has.
pub(super) fn known_folders<W: std::io::Write>(archive: &mut Archive<W>, root: &Root, path: &str) {
    for (slash, _) in path.match_indices('/').chain([(path.len(), "")]) {
        let folder = &path[..slash];
        if root.node(folder) == Some(&Node::Directory) {
            archive.has_directory(folder);
        }
    }
}

/// All packages: what is installed, then what is only prefetched.
fn items<'a>(
    prepared: &'a Prepared,
    frames: &'a Frames,
    prefetched: Option<(&'a Prepared, &'a Frames)>,
) -> Vec<Item<'a>> {
    let also: HashSet<&str> = prefetched
        .iter()
        .flat_map(|(prepared, _)| &prepared.planned.packages)
        .map(|package| package.dist.as_str())
        .collect();
    let plan = &prepared.planned.plan;
    let mut items: Vec<Item<'_>> = plan
        .packages
        .iter()
        .zip(&prepared.planned.packages)
        .map(|(head, package)| Item {
            head,
            package,
            python: plan.python.as_ref(),
            extent: if plan.keep_packages || also.contains(package.dist.as_str()) {
                Extent::PrefixAndCache
            } else {
                Extent::Prefix
            },
            frames,
            prefetched: false,
        })
        .collect();
    let installed: HashSet<&str> = prepared
        .planned
        .packages
        .iter()
        .map(|package| package.dist.as_str())
        .collect();
    if let Some((prepared, frames)) = prefetched {
        let plan = &prepared.planned.plan;
        let packages = plan.packages.iter().zip(&prepared.planned.packages);
        let only = packages.filter(|(_, package)| !installed.contains(package.dist.as_str()));
        items.extend(only.map(|(head, package)| Item {
            head,
            package,
            python: plan.python.as_ref(),
            extent: Extent::Cache,
            frames,
            prefetched: true,
        }));
    }
    items
}

/// The time of a package's newest file: it follows from the package, and stays when the image is baked
/// at another time.
fn newest(package: &Package) -> u64 {
    let files = package.entries.iter().chain(&package.info);
    let times = files.filter_map(|entry| match &entry.kind {
        Kind::File(file) => u64::try_from(file.modified).ok(),
        _ => None,
    });
    times.max().unwrap_or(0)
}

fn dist(record: &conda::RepoDataRecord) -> String {
    let package = &record.package_record;
    let name = package.name.as_normalized();
    format!("{name}-{}-{}", package.version, package.build)
}

fn described(
    kind: LayerKind,
    packed: &Packed,
    packages: Vec<BakedPackage>,
) -> (Descriptor, BakedLayer) {
    let descriptor = Descriptor {
        media_type: packed.media_type.to_owned(),
        digest: packed.digest,
        size: packed.size,
        annotations: None,
        platform: None,
    };
    let layer = BakedLayer {
        kind,
        digest: Some(packed.digest.to_string()),
        diff_id: Some(packed.diff_id.to_string()),
        size: packed.size,
        unpacked: Some(packed.unpacked),
        packages,
    };
    (descriptor, layer)
}
