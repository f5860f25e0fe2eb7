//! From a definition to an image: each platform's base, prefix and layers, then one index over all.

mod assemble;
mod baked;
mod bills;
mod cache;
mod checks;
mod compile;
mod debs;
mod distribution;
mod dry;
mod emulation;
mod environments;
mod ground;
mod items;
mod layers;
mod listing;
mod packages;
mod pins;
mod platform;
mod push;
mod scripts;
mod stack;
mod top;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use conda::Subdir;
use spec::{Distribution, Image, ImageTarget, LinkScripts, Pyc};

use crate::base::{Form, Source};
use crate::error::Error;
use crate::event::{Event, Warning};
use crate::oci::{self, Descriptor, DockerImage, Index, Platform};
use crate::output::{Check, Staging};
use crate::{Report, config};

pub use baked::{Baked, BakedImage, BakedLayer, BakedPackage, LayerKind, Pushed};
pub use debs::DebsError;

/// What the user decides.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The definition's file: relative paths in it start in its folder.
    pub definition: PathBuf,
    /// Where the image is written: a tar file if the name ends so, else a folder.
    pub output: Option<PathBuf>,
    /// Names in registries that the image is sent to.
    pub push: Vec<String>,
    /// Whether registries elsewhere than on loopback may be spoken to without TLS.
    pub plain_http: bool,
    /// Where downloads and scans are kept.
    pub cache_dir: PathBuf,
    /// Platforms to bake for, instead of the definition's.
    pub platforms: Vec<Subdir>,
    /// How the lock is used.
    pub lock: installer::LockMode,
    /// Resolve, and write nothing.
    pub dry_run: bool,
    /// Threads that read packages and write layers; 0 is one for each processor.
    pub threads: usize,
    /// Layouts, archives and names in registries whose layers are taken where nothing changed.
    pub cache_from: Vec<String>,
    /// Build every layer that `cache_from` does not have, and remember none.
    pub no_cache: bool,
    /// Annotations of every manifest, over those of the definition.
    pub annotations: BTreeMap<String, String>,
    /// Write and attach no bills of materials.
    pub no_sbom: bool,
    /// The time of the image in seconds since the epoch; that of its newest package if not said.
    pub source_date_epoch: Option<i64>,
}

/// Bakes the image for each platform, and writes them all into one place.
pub fn bake(
    definition: &Image,
    client: &fetch::Client,
    options: &Options,
    report: Report<'_>,
) -> Result<Baked, Error> {
    let emulates =
        definition.pyc == Pyc::Emulate || definition.link_scripts == LinkScripts::Emulate;
    let check = if emulates || !options.push.is_empty() {
        // Layers are read before the image is complete.
        Check::First
    } else {
        Check::Last
    };
    let whole = || match attempt(definition, client, options, report, check) {
        Err(Error::Damaged { path }) => {
            report(Event::Warning(Warning::Damaged { path: &path }));
            attempt(definition, client, options, report, Check::First)
        }
        done => done,
    };
    client.healing(whole, Error::is_integrity, |path| {
        report(Event::Warning(Warning::Refetched { path }));
    })
}

fn attempt(
    definition: &Image,
    client: &fetch::Client,
    options: &Options,
    report: Report<'_>,
    check: Check,
) -> Result<Baked, Error> {
    let folder = folder(&options.definition);
    let opened = distribution::open(definition, &folder, &options.platforms)?;
    let distribution = opened.distribution;
    let spec = match &definition.installer {
        Some(path) => folder.join(path),
        None => options.definition.clone(),
    };
    let named = definition
        .platforms
        .as_ref()
        .unwrap_or(&distribution.platforms);
    let wanted = if options.platforms.is_empty() {
        named
    } else {
        &options.platforms
    };
    for &platform in wanted {
        Platform::of(platform).ok_or(Error::Platform { platform })?;
    }
    let references = push::references(&options.push)?;
    let output = options.output.as_deref();
    let staging = if options.dry_run {
        None
    } else {
        Some(match output {
            Some(output) => Staging::begin(output, check)?,
            None => Staging::unnamed(&options.cache_dir, check)?,
        })
    };
    let recipe = Recipe {
        definition,
        distribution: &distribution,
        folder: &folder,
        spec: &spec,
        named,
        wanted,
        client,
        options,
        report,
        pins: pins::Pins::new(),
    };
    let recipe = Recipe {
        pins: recipe.pins()?,
        ..recipe
    };
    let mut all = recipe.packages(opened.finished)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build()
        .map_err(|error| Error::Definition {
            key: "threads",
            problem: error.to_string(),
        })?;
    let mut images = Vec::new();
    let mut done = Vec::new();
    for &platform in wanted {
        let engine = Platform::of(platform).ok_or(Error::Platform { platform })?;
        let Some(packages) = all.remove(&platform) else {
            continue;
        };
        let job = platform::Job::new(&recipe, platform, engine, staging.as_ref());
        let (image, made) = pool.install(|| job.bake(packages))?;
        images.push(image);
        done.extend(made);
    }
    let tags = recipe.tags();
    let Some(staging) = staging else {
        return Ok(Baked {
            output: None,
            digest: None,
            tags,
            pushed: Vec::new(),
            sboms: Vec::new(),
            images,
        });
    };
    let top = over_all(&staging, &done)?;
    let bills = if options.no_sbom {
        Vec::new()
    } else {
        bills::attach(&staging, &done)?
    };
    let mut pushed = Vec::new();
    for reference in &references {
        let image = push::Image {
            done: &done,
            bills: &bills,
            top: &top,
        };
        pushed.push(push::push(&recipe, &staging, &image, reference)?);
    }
    let digest = top.digest.to_string();
    let mut sboms = Vec::new();
    let output = match output {
        None => None,
        Some(output) => {
            recipe.tell_replaced(output, &tags);
            let written = pool.install(|| finish(staging, &done, &bills, top, &tags))?;
            report(Event::Wrote(&written));
            for bill in &bills {
                sboms.push(bill.write_beside(output)?);
            }
            Some(written)
        }
    };
    Ok(Baked {
        output,
        digest: Some(digest),
        tags,
        pushed,
        sboms,
        images,
    })
}

/// What all platforms have in common.
pub(crate) struct Recipe<'a> {
    pub(crate) definition: &'a Image,
    pub(crate) distribution: &'a Distribution,
    /// The definition's folder.
    pub(crate) folder: &'a Path,
    /// The installer's spec; the definition where there is none.
    pub(crate) spec: &'a Path,
    /// The platforms that the files name.
    named: &'a [Subdir],
    /// The platforms that are baked.
    wanted: &'a [Subdir],
    pub(crate) client: &'a fetch::Client,
    pub(crate) options: &'a Options,
    pub(crate) report: Report<'a>,
    /// What bases in registries stand for.
    pins: pins::Pins,
}

/// A finished image, for the index.
pub(crate) struct Made {
    pub(crate) manifest: Descriptor,
    /// Configuration and layers.
    pub(crate) blobs: Vec<Descriptor>,
    pub(crate) docker: DockerImage,
    /// Where the base came from, if from a registry, and which of the blobs are its.
    pub(crate) base: Option<(fetch::registry::Reference, BTreeSet<oci::Digest>)>,
    pub(crate) platform: Subdir,
    pub(crate) bill: crate::sbom::Bill,
}

impl Recipe<'_> {
    pub(crate) fn installer_options(&self) -> installer::Options {
        installer::Options {
            spec: self.spec.to_owned(),
            cache_dir: self.options.cache_dir.clone(),
            lock: self.options.lock,
            dry_run: self.options.dry_run,
            threads: self.options.threads,
            source_date_epoch: self.options.source_date_epoch,
            ..installer::Options::default()
        }
    }

    /// Names the images that are lost with the layout that another one takes the place of.
    fn tell_replaced(&self, output: &Path, tags: &[String]) {
        let Ok(before) = Source::open(output, Form::Layout) else {
            return;
        };
        let mut names = before.names();
        names.retain(|name| !tags.contains(name));
        if !names.is_empty() {
            (self.report)(Event::Warning(Warning::Replaced {
                path: output,
                names: &names,
            }));
        }
    }

    fn lock_path(&self, ending: &str) -> PathBuf {
        self.options.definition.with_extension(ending)
    }

    /// What the image is called: as the definition says, else after the distribution.
    fn tags(&self) -> Vec<String> {
        let mut tags: Vec<String> = Vec::new();
        for &platform in self.wanted {
            for tag in self.definition.target(platform).tags {
                if !tags.contains(&tag) {
                    tags.push(tag);
                }
            }
        }
        if tags.is_empty() {
            let Distribution { name, version, .. } = self.distribution;
            let name = name.to_lowercase();
            let name = name.trim_matches(['_', '-', '.']);
            tags.push(format!("{name}:{version}"));
        }
        tags
    }
}

/// The one image, or an index over several.
fn over_all(staging: &Staging, done: &[Made]) -> Result<Descriptor, Error> {
    if let [one] = done {
        return Ok(one.manifest.clone());
    }
    let index = Index {
        schema_version: 2,
        media_type: Some(oci::INDEX.to_owned()),
        manifests: done.iter().map(|made| made.manifest.clone()).collect(),
        annotations: None,
    };
    let (digest, size) = staging.document(&oci::canonical(&index))?;
    Ok(Descriptor::new(oci::INDEX, (digest, size)))
}

/// Puts the layout in its place. `top` is the image or the index over several.
fn finish(
    staging: Staging,
    done: &[Made],
    bills: &[bills::Attached],
    mut top: Descriptor,
    tags: &[String],
) -> Result<PathBuf, Error> {
    let mut manifests: Vec<Descriptor> = tags
        .iter()
        .map(|tag| {
            let names = [oci::REFERENCE, oci::CONTAINERD_NAME];
            let names = names.map(|key| (key.to_owned(), tag.clone()));
            top.annotations = Some(BTreeMap::from(names));
            top.clone()
        })
        .collect();
    // A tar file holds nothing but the image, so that tools need not be told which one is meant.
    if !staging.is_tar() {
        manifests.extend(bills.iter().map(|bill| bill.manifest.clone()));
    }
    let index = Index {
        schema_version: 2,
        media_type: Some(oci::INDEX.to_owned()),
        manifests,
        annotations: None,
    };
    let docker: Vec<DockerImage> = done
        .iter()
        .map(|made| {
            let mut image = made.docker.clone();
            let architecture = made.manifest.platform.as_ref();
            let name = |tag: &String| match (architecture, done.len()) {
                (Some(platform), 2..) => format!("{tag}-{}", platform.architecture),
                _ => tag.clone(),
            };
            image.repo_tags = Some(tags.iter().map(name).collect());
            image
        })
        .collect();
    staging.finish(&index, &docker)
}

fn folder(definition: &Path) -> PathBuf {
    match definition.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// What an image says of itself in its manifest. `base` is its name and the digest of its manifest,
/// `licences` those of the packages.
pub(crate) fn annotations(
    recipe: &Recipe<'_>,
    target: &ImageTarget,
    created: u64,
    base: (Option<String>, Option<String>),
    licences: Option<String>,
) -> BTreeMap<String, String> {
    let key = |name: &str| format!("org.opencontainers.image.{name}");
    let Distribution { name, version, .. } = recipe.distribution;
    let mut annotations = BTreeMap::from([
        (key("created"), config::time(created)),
        (key("title"), name.clone()),
        (key("version"), version.clone()),
    ]);
    let (name, digest) = base;
    annotations.extend(name.map(|name| (key("base.name"), name)));
    annotations.extend(digest.map(|digest| (key("base.digest"), digest)));
    annotations.extend(licences.map(|licences| (key("licenses"), licences)));
    annotations.extend(target.annotations.clone());
    annotations.extend(recipe.options.annotations.clone());
    annotations
}
