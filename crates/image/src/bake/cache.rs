//! Layers that need not be built: those that earlier runs left in the cache folder, and those of images that
//! the user names (`--cache-from`). A layer is known by what it is made of, so a cache cannot be out of date;
//! what it holds is checked against both digests before it is used.

mod shelf;

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use archive::digest::{HashingWriter, Sha256};
use fetch::registry::{Blob, Registry};
use runtime::compile;
use serde::de::DeserializeOwned;
use serde_json::json;
use spec::Base;

use super::items::Item;
use super::pins;
use super::platform::Job;
use crate::base::{self, Entry, EntryKind, Packing, Source};
use crate::error::Error;
use crate::event::{Event, Warning};
use crate::layer::Packed;
use crate::oci;
use crate::output::Staging;
use crate::root::Root;

pub(super) use shelf::{Found, Kept, Shelf};

/// Changes when the same inputs come to another layer.
const FORMAT: u32 = 3;

/// What a layer is made of, apart from its packages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    /// Where the prefix lies in the image.
    pub(super) prefix: &'a str,
    /// The folders on the way to it that the base has.
    pub(super) folders: &'a [&'a str],
    /// The time of what has none of its own.
    pub(super) modified: u64,
}

/// Where layers may come from.
pub(super) struct Cache<'a> {
    job: &'a Job<'a>,
    staging: &'a Staging,
    shelf: Shelf<'a>,
    sources: Vec<Images<'a>>,
}

/// An image that the user names, by what its layers are made of.
struct Images<'a> {
    name: &'a str,
    source: Source,
    registry: Option<Registry<'a>>,
    layers: HashMap<String, base::Layer>,
}

impl<'a> Cache<'a> {
    /// Opens what the user named. What is not there, or is for other platforms only, is told and does no
    /// harm: the first run of all has no cache.
    pub(super) fn open(job: &'a Job<'a>, staging: &'a Staging) -> Cache<'a> {
        let mut sources = Vec::new();
        for name in &job.recipe.options.cache_from {
            match open(job, name) {
                Ok(images) => sources.push(images),
                Err(error) => tell(job, name, &error),
            }
        }
        Cache {
            job,
            staging,
            shelf: Shelf::of(job, staging),
            sources,
        }
    }

    /// Where layers come to be.
    pub(super) fn staging(&self) -> &'a Staging {
        self.staging
    }

    /// The layer of these inputs, if it is anywhere.
    pub(super) fn find(&self, key: Sha256, members: &[&Item<'_>]) -> Option<Found> {
        let key = key.to_string();
        if let Some(found) = self.shelf.kept(&key, members.len()) {
            return Some(found);
        }
        let found = self.taken(&key, |images, layer| {
            let places = places(members);
            let mut sizes = vec![0; members.len()];
            let packed = self.take(images, layer, &mut |entry: Entry<'_>| {
                if entry.kind == EntryKind::File
                    && let Some(member) = places.of(&entry.path)
                {
                    sizes[member] += entry.size;
                }
                Ok(())
            })?;
            Ok(Found { packed, sizes })
        })?;
        self.shelf.keep(&key, &found);
        Some(found)
    }

    /// The layer of these inputs in an image that the user named, on a root, with what the image tells of it.
    pub(super) fn on<T: DeserializeOwned>(
        &self,
        root: &Root,
        key: Sha256,
    ) -> Option<(Packed, Root, T)> {
        self.taken(&key.to_string(), |images, layer| {
            let account = layer.account.as_deref().unwrap_or_default();
            let account = serde_json::from_str(account).map_err(|source| Error::Image {
                path: images.name.into(),
                source: base::Error::Json {
                    member: base::ACCOUNT.to_owned(),
                    source,
                },
            })?;
            let mut root = root.clone();
            root.next_layer();
            let packed = self.take(images, layer, &mut |entry| root.add(entry))?;
            Ok((packed, root, account))
        })
    }

    /// What `take` makes of the layer of these inputs in the first image with which it can.
    fn taken<T>(
        &self,
        key: &str,
        take: impl Fn(&Images<'_>, &base::Layer) -> Result<T, Error>,
    ) -> Option<T> {
        self.sources.iter().find_map(|images| {
            let taken = take(images, images.layers.get(key)?);
            if taken.as_ref().is_err_and(Error::is_integrity) {
                // For the next run; this one builds the layer.
                let _ = self.job.recipe.client.heal();
            }
            taken
                .map_err(|error| tell(self.job, images.name, &error))
                .ok()
        })
    }

    /// What earlier runs left.
    pub(super) fn shelf(&self) -> &Shelf<'a> {
        &self.shelf
    }

    /// Remembers a layer.
    pub(super) fn keep(&self, key: &str, found: &Found) {
        self.shelf.keep(key, found);
    }

    /// Removes what was not used for long.
    pub(super) fn tidy(&self) {
        self.shelf.tidy();
    }

    /// Takes a layer of an image that the user named, and shows what is in it.
    fn take(
        &self,
        images: &Images<'_>,
        layer: &base::Layer,
        visit: &mut dyn FnMut(Entry<'_>) -> Result<(), base::Error>,
    ) -> Result<Packed, Error> {
        let cannot = |source| Error::Image {
            path: images.name.into(),
            source,
        };
        let fetched;
        let store = match (&images.registry, layer.digest) {
            (Some(registry), Some(digest)) => {
                let blob = Blob {
                    sha256: digest.0.0,
                    size: layer.size,
                };
                let report = |event: fetch::Event<'_>| {
                    (self.job.recipe.report)(Event::Fetch(event));
                };
                let paths = registry.blobs(&[blob], &report);
                let paths = paths.map_err(|source| cannot(source.into()))?;
                let members = [layer.member.clone()].into_iter().zip(paths);
                fetched = base::Store::Fetched(members.collect());
                &fetched
            }
            _ => &images.source.store,
        };
        let name = format!("taken-{}", layer.diff_id.0);
        let mut blob = self.staging.blob(&name)?;
        let passed = base::pass(store, layer, Some(&mut blob), visit).map_err(cannot)?;
        let media_type = match passed.packing {
            Packing::Plain => oci::LAYER_TAR,
            Packing::Gzip => oci::LAYER_GZIP,
            Packing::Zstd => oci::LAYER_ZSTD,
        };
        let (digest, size) = self.staging.store(blob)?;
        Ok(Packed {
            digest,
            size,
            media_type,
            diff_id: layer.diff_id,
            unpacked: passed.unpacked,
        })
    }
}

/// What a layer of these packages is made of, in one number.
pub(super) fn key(job: &Job<'_>, frame: Frame<'_>, members: &[&Item<'_>]) -> Sha256 {
    let mut sink = HashingWriter::new(io::sink());
    let settings = json!({
        "format": FORMAT,
        "program": env!("CARGO_PKG_VERSION"),
        "compression": format!("{:?}", job.recipe.definition.compression),
        "named": job.target.prefix,
        "prefix": frame.prefix,
        "folders": frame.folders,
        "modified": frame.modified,
    });
    // A sink takes everything.
    let _ = sink.write_all(&oci::canonical(&settings));
    for item in members {
        item.describe(&mut sink);
    }
    let (_, sha256, _) = sink.finish();
    sha256
}

fn open<'a>(job: &'a Job<'a>, name: &'a str) -> Result<Images<'a>, Error> {
    let recipe = job.recipe;
    let cannot = |source| Error::Image {
        path: name.into(),
        source,
    };
    let named = Base::named(name).map_err(|problem| Error::Definition {
        key: "--cache-from",
        problem,
    })?;
    // A name in a registry needs no `docker://`.
    let text = match &named {
        Base::Registry(text) => Some(text),
        Base::Path(text) if !Path::new(text).exists() => Some(text),
        _ => None,
    };
    let place = base::place(&named, Path::new(""));
    let (source, registry) = if let (None, Some((path, form, _))) = (text, place) {
        (Source::open(&path, form).map_err(cannot)?, None)
    } else {
        let reference = pins::reference(text.map_or(name, String::as_str))?;
        let registry = recipe
            .client
            .registry(&reference, recipe.options.plain_http);
        let registry = registry.map_err(|source| cannot(source.into()))?;
        let top = base::top(&registry, &reference).map_err(cannot)?;
        let report = |event: fetch::Event<'_>| (recipe.report)(Event::Fetch(event));
        let pulled = base::pull(&registry, top, Some(&job.engine), name, &report);
        (pulled.map_err(cannot)?, Some(registry))
    };
    // Several names of one image, or several images: all that fit will do.
    let fitting = source
        .images()
        .iter()
        .filter(|image| image.platform.fits(&job.engine));
    let layers = fitting
        .flat_map(|image| &image.layers)
        .filter_map(|layer| Some((layer.inputs.clone()?, layer.clone())))
        .collect();
    Ok(Images {
        name,
        source,
        registry,
        layers,
    })
}

fn tell(job: &Job<'_>, name: &str, error: &Error) {
    let mut reason = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        reason = format!("{reason}: {cause}");
        next = cause.source();
    }
    job.warn(Warning::NoCache {
        platform: job.platform,
        name,
        reason: &reason,
    });
}

/// Whose a path is.
struct Places {
    files: HashMap<String, usize>,
    folders: Vec<String>,
}

fn places(members: &[&Item<'_>]) -> Places {
    let mut files = HashMap::new();
    let mut folders = Vec::new();
    for (number, item) in members.iter().enumerate() {
        let prefix = item.place;
        for path in item.paths() {
            files.insert(format!("{prefix}/{path}"), number);
        }
        if let Some((_, python)) = item.compiler().zip(item.python()) {
            for path in item.paths() {
                let compiled = compile::compiled_path(path, python);
                files
                    .entry(format!("{prefix}/{compiled}"))
                    .or_insert(number);
            }
        }
        let dist = item.dist();
        files.insert(format!("{prefix}/conda-meta/{dist}.json"), number);
        folders.push(format!("{prefix}/pkgs/{dist}/"));
    }
    Places { files, folders }
}

impl Places {
    fn of(&self, path: &str) -> Option<usize> {
        let file = self.files.get(path).copied();
        file.or_else(|| {
            self.folders
                .iter()
                .position(|folder| path.starts_with(folder))
        })
    }
}
