//! What is in an image, by layer and package, and how two images differ. Packages are found by what
//! conda knows them by, the records in `conda-meta`, wherever the prefix lies and whoever made the image.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fetch::registry::Reference;
use serde::Serialize;
use serde_json::Value;
use spec::Base;

use crate::base::{self, Entry, EntryKind, Source};
use crate::error::Error;
use crate::oci::Object;

/// A record that is longer is not read, nor is one after so many bytes of a layer's: the longest have a few megabytes,
/// and all of a large distribution a hundred.
const LONGEST_RECORD: u64 = 16 << 20;
const MOST_RECORDS: u64 = 256 << 20;

/// One image for one platform.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspected {
    /// The platform, as engines call it.
    pub platform: String,
    /// What the image is called.
    pub tag: Option<String>,
    /// The digest of its manifest, if it has one.
    pub digest: Option<String>,
    /// The digest of its configuration.
    pub id: String,
    /// When it was made, as it says.
    pub created: Option<String>,
    /// How a container of it runs.
    pub config: Object,
    /// What its manifest says of it.
    pub annotations: BTreeMap<String, String>,
    /// Bytes of all layers as they are stored.
    pub size: u64,
    /// From the lowest upwards.
    pub layers: Vec<InspectedLayer>,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InspectedLayer {
    /// The digest of its file.
    pub digest: String,
    /// The digest of the tar stream in it.
    pub diff_id: String,
    /// Bytes as it is stored.
    pub size: u64,
    /// Bytes of the tar stream.
    pub unpacked: u64,
    /// Files, folders and links.
    pub entries: u64,
    /// The packages that it has the records of.
    pub packages: Vec<InspectedPackage>,
    /// Bytes of files that belong to none of them.
    pub other: u64,
}

/// A package in a layer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct InspectedPackage {
    /// `NAME-VERSION-BUILD`.
    pub name: String,
    /// Its prefix, or for one in the package cache alone that folder.
    pub prefix: String,
    /// Whether it lies in the package cache alone.
    pub prefetched: bool,
    /// Bytes of its files in the layer.
    pub size: u64,
}

impl InspectedPackage {
    /// Where it is if not in the base environment: the name of another one, or `prefetched`.
    pub fn mark(&self) -> Option<&str> {
        if self.prefetched {
            return Some("prefetched");
        }
        let (_, env) = self.prefix.rsplit_once("/envs/")?;
        Some(env)
    }
}

/// How an image for one platform differs from another one.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Difference {
    /// The platform.
    pub platform: String,
    /// Packages that only the second has.
    pub added: Vec<String>,
    /// Packages that only the first has.
    pub removed: Vec<String>,
    /// Packages that both have in different builds: before and after.
    pub changed: Vec<(String, String)>,
    /// Keys of the configuration that differ: before and after.
    pub config: BTreeMap<String, (Value, Value)>,
    /// Layers that both have, by digest of their tar streams.
    pub layers_kept: usize,
    /// Layers that only the second has.
    pub layers_new: usize,
    /// Bytes, as stored, of the layers that only the second has.
    pub bytes_new: u64,
}

impl Difference {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        let Difference {
            added,
            removed,
            changed,
            config,
            layers_new,
            ..
        } = self;
        let packages = added.is_empty() && removed.is_empty() && changed.is_empty();
        packages && config.is_empty() && *layers_new == 0
    }
}

/// How images in registries are reached.
pub struct Network<'a> {
    /// Who fetches.
    pub client: &'a fetch::Client,
    /// Whether registries elsewhere than on loopback may be spoken to without TLS.
    pub plain_http: bool,
    /// Who is told what comes.
    pub report: &'a (dyn Fn(fetch::Event<'_>) + Sync),
}

/// Reads all images at a place that are meant: every layer, with its digests. There are none in what is no place,
/// as a registry.
pub fn inspect(place: &Base) -> Result<Vec<Inspected>, Error> {
    let Some((path, form, reference)) = base::place(place, Path::new("")) else {
        return Ok(Vec::new());
    };
    let source = Source::open(&path, form);
    let images = source.and_then(|source| all(&source, reference.as_deref()));
    images.map_err(|source| Error::Image { path, source })
}

/// Reads all images that a name in a registry stands for.
pub fn inspect_pulled(name: &str, network: &Network<'_>) -> Result<Vec<Inspected>, Error> {
    let attempt = || {
        let images = pulled(name, network).and_then(|source| all(&source, None));
        images.map_err(|source| Error::Image {
            path: format!("docker://{name}").into(),
            source,
        })
    };
    let client = network.client;
    client.healing(attempt, Error::is_integrity, |_| ())
}

fn all(source: &Source, reference: Option<&str>) -> Result<Vec<Inspected>, base::Error> {
    let mut seen = BTreeSet::new();
    let mut images = Vec::new();
    for image in source.of_name(reference)? {
        // One image may have several names.
        if !seen.insert(image.config_digest) {
            continue;
        }
        let layers: Vec<InspectedLayer> = image
            .layers
            .iter()
            .map(|one| layer(source, one))
            .collect::<Result<_, _>>()?;
        let config = match image.config.get("config") {
            Some(Value::Object(config)) => config.clone(),
            _ => Object::new(),
        };
        let created = image.config.get("created").and_then(Value::as_str);
        images.push(Inspected {
            platform: image.platform.to_string(),
            tag: image.names.first().cloned(),
            digest: image.manifest.map(|digest| digest.to_string()),
            id: image.config_digest.to_string(),
            created: created.map(str::to_owned),
            config,
            annotations: image.annotations.clone(),
            size: layers.iter().map(|layer| layer.size).sum(),
            layers,
        });
    }
    Ok(images)
}

/// All images that a name in a registry stands for, with their layers.
fn pulled(name: &str, network: &Network<'_>) -> Result<Source, base::Error> {
    let reference = Reference::pinned(name)?;
    let registry = network.client.registry(&reference, network.plain_http)?;
    let top = base::top(&registry, &reference)?;
    let mut source = base::pull(&registry, top, None, name, network.report)?;
    let manifests: Vec<_> = source.images().iter().map(|one| one.manifest).collect();
    for manifest in manifests {
        base::pull_layers(&registry, &mut source, manifest, network.report)?;
    }
    Ok(source)
}

/// How `new` differs from `old`, for each platform that both have.
pub fn diff(old: &[Inspected], new: &[Inspected]) -> Vec<Difference> {
    let mut differences = Vec::new();
    for after in new {
        if let Some(before) = old.iter().find(|image| image.platform == after.platform) {
            differences.push(difference(before, after));
        }
    }
    differences
}

fn difference(old: &Inspected, new: &Inspected) -> Difference {
    let (before, after) = (packages(old), packages(new));
    let mut difference = Difference {
        platform: new.platform.clone(),
        ..Difference::default()
    };
    for (key, name) in &after {
        match before.get(key) {
            None => difference.added.push(name.clone()),
            Some(other) if other != name => {
                difference.changed.push((other.clone(), name.clone()));
            }
            Some(_) => {}
        }
    }
    let gone = before.iter().filter(|(key, _)| !after.contains_key(*key));
    difference.removed = gone.map(|(_, name)| name.clone()).collect();
    let keys: BTreeSet<&String> = old.config.keys().chain(new.config.keys()).collect();
    for key in keys {
        let value = |image: &Inspected| image.config.get(key).cloned().unwrap_or_default();
        let (before, after) = (value(old), value(new));
        if before != after {
            difference.config.insert(key.clone(), (before, after));
        }
    }
    let known: BTreeSet<&str> = old
        .layers
        .iter()
        .map(|layer| layer.diff_id.as_str())
        .collect();
    for layer in &new.layers {
        if known.contains(layer.diff_id.as_str()) {
            difference.layers_kept += 1;
        } else {
            difference.layers_new += 1;
            difference.bytes_new += layer.size;
        }
    }
    difference
}

/// The packages by name and place. What is not in the base environment has a mark of where it is.
fn packages(image: &Inspected) -> BTreeMap<(String, String), String> {
    let all = image.layers.iter().flat_map(|layer| &layer.packages);
    all.map(|package| {
        let name = package.name.rsplitn(3, '-').nth(2).unwrap_or(&package.name);
        let place = if package.prefetched {
            "pkgs"
        } else {
            &package.prefix
        };
        let shown = match package.mark() {
            Some(mark) => format!("{} ({mark})", package.name),
            None => package.name.clone(),
        };
        ((name.to_owned(), place.to_owned()), shown)
    })
    .collect()
}

/// A record that was found in a layer.
struct Record {
    name: String,
    prefix: String,
    files: Vec<String>,
}

fn layer(source: &Source, layer: &base::Layer) -> Result<InspectedLayer, base::Error> {
    let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
    let mut records = Vec::new();
    let (mut entries, mut read) = (0, 0);
    let passed = base::pass(&source.store, layer, None, &mut |entry: Entry<'_>| {
        entries += 1;
        if entry.kind != EntryKind::File {
            return Ok(());
        }
        if let Some((prefix, name)) = record_place(&entry.path)
            && entry.size <= LONGEST_RECORD
            && read + entry.size <= MOST_RECORDS
        {
            read += entry.size;
            let mut text = Vec::new();
            // A layer that ends too early is an error of its own.
            if entry.content.read_to_end(&mut text).is_ok() {
                records.push(Record {
                    files: files(&text),
                    name: name.to_owned(),
                    prefix: prefix.to_owned(),
                });
            }
        }
        sizes.insert(entry.path, entry.size);
        Ok(())
    })?;
    let mut packages = Vec::new();
    for record in &records {
        let mut size = 0;
        let prefix = &record.prefix;
        for file in &record.files {
            size += sizes.remove(&format!("{prefix}/{file}")).unwrap_or(0);
        }
        size += sizes
            .remove(&format!("{prefix}/conda-meta/{}.json", record.name))
            .unwrap_or(0);
        size += below(&mut sizes, &format!("{prefix}/pkgs/{}/", record.name));
        packages.push(InspectedPackage {
            name: record.name.clone(),
            prefix: format!("/{prefix}"),
            prefetched: false,
            size,
        });
    }
    // What is left in package caches.
    let mut cached = BTreeSet::new();
    for path in sizes.keys() {
        if let Some(folder) = path.strip_suffix("/info/repodata_record.json")
            && let Some((cache, _)) = folder.rsplit_once('/')
            && (cache.ends_with("/pkgs") || cache == "pkgs")
        {
            cached.insert(folder.to_owned());
        }
    }
    for folder in cached {
        let size = below(&mut sizes, &format!("{folder}/"));
        let (cache, name) = folder.rsplit_once('/').unwrap_or(("", &folder));
        packages.push(InspectedPackage {
            name: name.to_owned(),
            prefix: format!("/{cache}"),
            prefetched: true,
            size,
        });
    }
    packages.sort();
    Ok(InspectedLayer {
        digest: passed.digest.to_string(),
        diff_id: layer.diff_id.to_string(),
        size: passed.size,
        unpacked: passed.unpacked,
        entries,
        packages,
        other: sizes.values().sum(),
    })
}

/// The bytes of what lies below a folder, which are then accounted for.
fn below(sizes: &mut BTreeMap<String, u64>, folder: &str) -> u64 {
    let paths: Vec<String> = sizes
        .range(folder.to_owned()..)
        .map(|(path, _)| path)
        .take_while(|path| path.starts_with(folder))
        .cloned()
        .collect();
    paths.iter().filter_map(|path| sizes.remove(path)).sum()
}

/// The prefix and the package of a record: `opt/conda/conda-meta/NAME-VERSION-BUILD.json`.
fn record_place(path: &str) -> Option<(&str, &str)> {
    let (folder, file) = path.rsplit_once('/')?;
    let prefix = folder.strip_suffix("/conda-meta")?;
    let name = file.strip_suffix(".json")?;
    (name.split('-').count() >= 3).then_some((prefix, name))
}

/// The files that a record names.
fn files(text: &[u8]) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Files {
        #[serde(default)]
        files: Vec<String>,
    }
    serde_json::from_slice::<Files>(text).map_or(Vec::new(), |record| record.files)
}
