//! Layers that need not be built: those that earlier runs left in the cache folder, and those of images that
//! the user names (`--cache-from`). A layer is known by what it is made of, so a cache cannot be out of date;
//! what it holds is checked against both digests before it is used.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use archive::digest::{HashingReader, HashingWriter, Sha256};
use fetch::registry::{Blob, Registry};
use fs_err as fs;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::layers::Item;
use super::pins;
use super::platform::Job;
use crate::base::{self, Entry, EntryKind, Form, Packing, Source};
use crate::error::Error;
use crate::event::{Event, Warning};
use crate::layer::Packed;
use crate::oci::{self, Digest};
use crate::output::Staging;

/// Changes when the same inputs come to another layer.
const FORMAT: u32 = 1;

/// Layers that were not used for so long are removed.
const KEPT: Duration = Duration::from_hours(30 * 24);

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

/// A layer as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    digest: Digest,
    size: u64,
    media_type: String,
    diff_id: Digest,
    unpacked: u64,
    /// Bytes of each package's files.
    sizes: Vec<u64>,
}

/// A layer that is in the image now, and how many bytes each package has in it.
pub(super) struct Found {
    pub(super) packed: Packed,
    pub(super) sizes: Vec<u64>,
}

/// Where layers may come from.
pub(super) struct Cache<'a> {
    job: &'a Job<'a>,
    staging: &'a Staging,
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
            sources,
        }
    }

    /// The layer of these inputs, if it is anywhere.
    pub(super) fn find(&self, key: Sha256, members: &[&Item<'_>], prefix: &str) -> Option<Found> {
        let key = key.to_string();
        if !self.job.recipe.options.no_cache
            && let Some(found) = self.kept(&key, members.len())
        {
            return Some(found);
        }
        self.sources.iter().find_map(|images| {
            let layer = images.layers.get(&key)?;
            match self.take(images, layer, members, prefix) {
                Ok(found) => {
                    self.keep(&key, &found);
                    Some(found)
                }
                Err(error) => {
                    tell(self.job, images.name, &error);
                    None
                }
            }
        })
    }

    /// Remembers a layer. A cache that cannot be written is none.
    pub(super) fn keep(&self, key: &str, found: &Found) {
        if self.job.recipe.options.no_cache {
            return;
        }
        // The next run builds it again.
        let _ = self.try_keep(key, found);
    }

    fn try_keep(&self, key: &str, found: &Found) -> Result<(), Error> {
        let packed = &found.packed;
        let kept = Kept {
            digest: packed.digest,
            size: packed.size,
            media_type: packed.media_type.to_owned(),
            diff_id: packed.diff_id,
            unpacked: packed.unpacked,
            sizes: found.sizes.clone(),
        };
        let path = self.blob(packed.digest);
        let from = self.staging.place(packed.digest);
        let write = |source| Error::Write {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(self.folder().join("blobs")).map_err(write)?;
        // The same file, where the system lets it be: it is checked whenever it is used.
        if !path.exists() && fs::hard_link(&from, &path).is_err() {
            let mut draft = installer::Draft::beside(&path)?;
            let mut from = fs::File::open(from).map_err(write)?;
            io::copy(&mut from, &mut draft).map_err(write)?;
            draft.publish(&path, 0o644, false)?;
        }
        let path = self.entry(key);
        let mut draft = installer::Draft::beside(&path)?;
        draft
            .write_all(&oci::canonical(&kept))
            .map_err(|source| Error::Write {
                path: path.clone(),
                source,
            })?;
        draft.publish(&path, 0o644, false)?;
        Ok(())
    }

    /// A layer of an earlier run. One that is not what it was is forgotten.
    fn kept(&self, key: &str, members: usize) -> Option<Found> {
        let entry = self.entry(key);
        let text = fs::read(&entry).ok()?;
        let kept: Kept = serde_json::from_slice(&text).ok()?;
        let media_type = [oci::LAYER_GZIP, oci::LAYER_ZSTD]
            .into_iter()
            .find(|known| **known == kept.media_type)?;
        let path = self.blob(kept.digest);
        let usable =
            kept.sizes.len() == members && self.adopt(&path, kept.digest).is_ok_and(|whole| whole);
        if !usable {
            let _ = fs::remove_file(entry);
            let _ = fs::remove_file(path);
            return None;
        }
        // What is used stays.
        for path in [entry, path] {
            if let Ok(file) = fs::OpenOptions::new().append(true).open(path) {
                let _ = file.file().set_modified(SystemTime::now());
            }
        }
        Some(Found {
            packed: Packed {
                digest: kept.digest,
                size: kept.size,
                media_type,
                diff_id: kept.diff_id,
                unpacked: kept.unpacked,
            },
            sizes: kept.sizes,
        })
    }

    /// Puts a kept blob into the image; whether it is still the one that it should be.
    fn adopt(&self, path: &Path, digest: Digest) -> Result<bool, Error> {
        let read = |source| Error::Read {
            path: path.to_owned(),
            source,
        };
        let file = fs::File::open(path).map_err(read)?;
        let mut reader = HashingReader::new(file);
        io::copy(&mut reader, &mut io::sink()).map_err(read)?;
        let (_, sha256, _) = reader.finish();
        if Digest(sha256) != digest {
            return Ok(false);
        }
        self.staging.adopt(path, digest)?;
        Ok(true)
    }

    /// Takes a layer of an image that the user named.
    fn take(
        &self,
        images: &Images<'_>,
        layer: &base::Layer,
        members: &[&Item<'_>],
        prefix: &str,
    ) -> Result<Found, Error> {
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
        let places = places(members, prefix);
        let mut sizes = vec![0; members.len()];
        let name = format!("taken-{}", layer.diff_id.0);
        let mut blob = self.staging.blob(&name)?;
        let passed = base::pass(store, layer, Some(&mut blob), &mut |entry: Entry<'_>| {
            if entry.kind == EntryKind::File
                && let Some(member) = places.of(&entry.path)
            {
                sizes[member] += entry.size;
            }
            Ok(())
        })
        .map_err(cannot)?;
        let media_type = match passed.packing {
            Packing::Plain => oci::LAYER_TAR,
            Packing::Gzip => oci::LAYER_GZIP,
            Packing::Zstd => oci::LAYER_ZSTD,
        };
        let (digest, size) = self.staging.store(blob)?;
        Ok(Found {
            packed: Packed {
                digest,
                size,
                media_type,
                diff_id: layer.diff_id,
                unpacked: passed.unpacked,
            },
            sizes,
        })
    }

    fn folder(&self) -> PathBuf {
        self.job.recipe.options.cache_dir.join("images/layers")
    }

    fn entry(&self, key: &str) -> PathBuf {
        self.folder().join(format!("{key}.json"))
    }

    fn blob(&self, digest: Digest) -> PathBuf {
        self.folder().join("blobs").join(digest.0.to_string())
    }

    /// Removes what was not used for long.
    pub(super) fn tidy(&self) {
        for folder in [self.folder(), self.folder().join("blobs")] {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let Ok(found) = entry.metadata() else {
                    continue;
                };
                let age = found.modified().ok().and_then(|then| then.elapsed().ok());
                if found.is_file() && age.is_some_and(|age| age > KEPT) {
                    // Another process may have been quicker.
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
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
    let path = Path::new(name);
    let (source, registry) = if !name.starts_with("docker://") && path.exists() {
        (Source::open(path, Form::Any).map_err(cannot)?, None)
    } else {
        let text = name.strip_prefix("docker://").unwrap_or(name);
        let reference = pins::reference(text)?;
        let registry = recipe
            .client
            .registry(&reference, recipe.options.plain_http);
        let registry = registry.map_err(|source| cannot(source.into()))?;
        let top = if let Some(sha256) = reference.sha256() {
            Digest(Sha256(sha256))
        } else {
            let tagged = registry.tagged();
            let tagged = tagged.map_err(|source| cannot(source.into()))?;
            Digest(Sha256(tagged.sha256))
        };
        let report = |event: fetch::Event<'_>| (recipe.report)(Event::Fetch(event));
        let pulled = base::pull(&registry, top, &job.engine, name, &report);
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

fn places(members: &[&Item<'_>], prefix: &str) -> Places {
    let mut files = HashMap::new();
    let mut folders = Vec::new();
    for (number, item) in members.iter().enumerate() {
        for path in item.paths() {
            files.insert(format!("{prefix}/{path}"), number);
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
