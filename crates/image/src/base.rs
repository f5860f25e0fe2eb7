//! Images that are there already, as bases and to be looked at: an OCI layout in a folder or in a tar
//! file, what `docker save` writes, or what a registry gives. Finds the image for a platform and says what it is made of;
//! everything is hostile until its digest or its form was checked.

mod beside;
mod error;
mod gate;
mod layer;
mod pull;
mod store;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::oci::{self, Descriptor, Digest, DockerImage, Index, Manifest, Object, Platform};

/// The annotation of a layer that says what it is made of.
pub(crate) const INPUTS: &str = "org.archiconda.layer.inputs";

/// That which says what else is to be told of a layer of Debian packages, as JSON.
pub(crate) const ACCOUNT: &str = "org.archiconda.layer.account";

pub use error::Error;
pub(crate) use layer::{Budget, Entry, EntryKind, Packing, decoder, entries, packing, pass, walk};
pub(crate) use pull::{pull, pull_layers, top};
pub(crate) use store::Store;

/// A document longer than this is none.
const LONGEST_DOCUMENT: u64 = 8 << 20;

/// How deep indexes may lie in each other: tools write two levels.
const DEEPEST: usize = 4;

/// How many images, and indexes of them, an index may name.
const MOST_IMAGES: usize = 1000;

/// One image for one platform.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) platform: Platform,
    /// What it is called.
    pub(crate) names: Vec<String>,
    /// The digest of its manifest; none for what `docker save` writes.
    pub(crate) manifest: Option<Digest>,
    pub(crate) config: Object,
    pub(crate) config_digest: Digest,
    pub(crate) layers: Vec<Layer>,
    pub(crate) annotations: std::collections::BTreeMap<String, String>,
}

/// One of its layers.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    /// Its file in the store.
    pub(crate) member: String,
    /// The digest of that file, where the image says it.
    pub(crate) digest: Option<Digest>,
    /// Length of the file in bytes.
    pub(crate) size: u64,
    /// How it is compressed; what its first bytes say counts where the image does not say it.
    pub(crate) packing: Option<Packing>,
    /// The digest of the tar stream in it.
    pub(crate) diff_id: Digest,
    /// What it was made of, if we made it.
    pub(crate) inputs: Option<String>,
    /// What is to be told of it besides what is in it, if we made it of Debian packages.
    pub(crate) account: Option<String>,
}

/// Which form a place has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Whatever is found.
    Any,
    /// An OCI layout in a folder.
    Layout,
    /// An OCI layout in a tar file.
    OciArchive,
    /// What `docker save` writes.
    DockerArchive,
}

/// A place with images.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) store: Store,
    images: Vec<Image>,
    unusable: Vec<Unusable>,
}

/// What is called an image and cannot be read. It concerns only who asks for it.
#[derive(Debug)]
struct Unusable {
    names: Vec<String>,
    /// Where its index says it.
    platform: Option<Platform>,
    error: Arc<Error>,
}

impl Source {
    /// Opens a place and reads what all its images say of themselves.
    pub(crate) fn open(path: &Path, form: Form) -> Result<Source, Error> {
        let store = Store::open(path)?;
        let folder = matches!(store, Store::Folder(_));
        let layout = store.has("index.json");
        let found = match form {
            Form::Layout => folder && layout,
            Form::OciArchive => !folder && layout,
            Form::DockerArchive => !folder && store.has("manifest.json"),
            Form::Any => layout || (!folder && store.has("manifest.json")),
        };
        if !found {
            return Err(Error::NotAnImage);
        }
        let docker = form == Form::DockerArchive || !layout;
        let mut found = Found::default();
        if docker {
            found.images = docker_images(&store)?;
        } else {
            let index: Index = document(&store, "index.json", None)?;
            collect(&store, &index, &[], 0, &mut found)?;
        }
        Ok(Source {
            store,
            images: found.images,
            unusable: found.unusable,
        })
    }

    /// The images, each once.
    pub(crate) fn images(&self) -> &[Image] {
        &self.images
    }

    /// The one image for a platform, among those of that name if one is given.
    pub(crate) fn image(
        &self,
        platform: &Platform,
        reference: Option<&str>,
    ) -> Result<&Image, Error> {
        let all = self.of_name(reference)?;
        let fitting: Vec<&Image> = all
            .iter()
            .copied()
            .filter(|image| image.platform.fits(platform))
            .collect();
        let Some(first) = fitting.first() else {
            self.check_unusable(reference, Some(platform))?;
            let found: BTreeSet<String> =
                all.iter().map(|image| image.platform.to_string()).collect();
            return Err(Error::Platform {
                wanted: platform.to_string(),
                found: found.into_iter().collect(),
            });
        };
        let same = |image: &&Image| image.config_digest == first.config_digest;
        if fitting.iter().all(same) {
            Ok(first)
        } else {
            Err(Error::Ambiguous {
                found: self.names(),
            })
        }
    }

    /// The images of that name if one is given, else all.
    pub(crate) fn of_name(&self, reference: Option<&str>) -> Result<Vec<&Image>, Error> {
        let images = self.images.iter();
        let all: Vec<&Image> = images
            .filter(|image| is_called(&image.names, reference))
            .collect();
        if !all.is_empty() {
            return Ok(all);
        }
        self.check_unusable(reference, None)?;
        match reference {
            None => Ok(all),
            Some(reference) => Err(Error::NoReference {
                reference: reference.to_owned(),
                found: self.names(),
            }),
        }
    }

    /// Whether what is asked for is there and cannot be read; its index need not say for which platform it is.
    fn check_unusable(
        &self,
        reference: Option<&str>,
        platform: Option<&Platform>,
    ) -> Result<(), Error> {
        let fits = |one: &Unusable| match (&one.platform, platform) {
            (Some(one), Some(wanted)) => one.fits(wanted),
            _ => true,
        };
        let mut unusable = self.unusable.iter();
        match unusable.find(|one| is_called(&one.names, reference) && fits(one)) {
            Some(unusable) => Err(Error::Unusable(Arc::clone(&unusable.error))),
            None => Ok(()),
        }
    }

    /// What the images are called.
    pub(crate) fn names(&self) -> Vec<String> {
        let names: BTreeSet<&String> = self.images.iter().flat_map(|image| &image.names).collect();
        names.into_iter().cloned().collect()
    }
}

/// Where an image on this machine is.
pub(crate) fn place(base: &spec::Base, folder: &Path) -> Option<(PathBuf, Form, Option<String>)> {
    use spec::Base;
    let (path, form, reference) = match base {
        Base::Scratch | Base::Registry(_) | Base::Debian(_) => return None,
        Base::Path(path) => (path, Form::Any, &None),
        Base::Layout { path, reference } => (path, Form::Layout, reference),
        Base::OciArchive { path, reference } => (path, Form::OciArchive, reference),
        Base::DockerArchive { path, reference } => (path, Form::DockerArchive, reference),
    };
    Some((folder.join(path), form, reference.clone()))
}

/// Whether one of these is the name that is asked for, if one is. A tag alone says enough, as in `docker pull`.
fn is_called(names: &[String], reference: Option<&str>) -> bool {
    let is_it = |name: &String, wanted: &str| {
        name == wanted || name.rsplit_once(':').is_some_and(|(_, tag)| tag == wanted)
    };
    reference.is_none_or(|wanted| names.iter().any(|name| is_it(name, wanted)))
}

/// What was found below an index so far.
#[derive(Default)]
struct Found {
    images: Vec<Image>,
    unusable: Vec<Unusable>,
    /// Documents that were read.
    read: usize,
}

/// The images below an index. An index in it has the name that all its images have.
fn collect(
    store: &Store,
    index: &Index,
    above: &[String],
    depth: usize,
    found: &mut Found,
) -> Result<(), Error> {
    if depth > DEEPEST {
        return Err(Error::Deep);
    }
    for descriptor in &index.manifests {
        // What is attached to images lies beside them.
        if descriptor.artifact_type.is_some() {
            continue;
        }
        // Of containerd's, the first is a tag alone.
        let keys = [oci::REFERENCE, oci::CONTAINERD_NAME].into_iter();
        let names = keys.filter_map(|key| annotation(descriptor, key).cloned());
        let mut names: Vec<String> = names.collect();
        if names.is_empty() {
            names.extend_from_slice(above);
        }
        match &*descriptor.media_type {
            oci::INDEX | oci::DOCKER_INDEX => {
                found.count()?;
                match blob::<Index>(store, descriptor) {
                    Ok(inner) => collect(store, &inner, &names, depth + 1, found)?,
                    Err(error) => found.give_up(names, None, error),
                }
            }
            oci::MANIFEST | oci::DOCKER_MANIFEST => {
                // Statements of who built an image lie beside it, as an image for no machine.
                let platform = descriptor.platform.as_ref();
                if platform.is_some_and(|platform| platform.architecture == "unknown") {
                    continue;
                }
                found.count()?;
                match image(store, descriptor, &names) {
                    Ok(image) => found.images.push(image),
                    Err(error) => found.give_up(names, platform.cloned(), error),
                }
            }
            // Other things may lie in a layout.
            _ => {}
        }
    }
    Ok(())
}

impl Found {
    /// Counts a document. One index may name another many times, and that one a third.
    fn count(&mut self) -> Result<(), Error> {
        self.read += 1;
        if self.read > MOST_IMAGES {
            return Err(Error::ManyImages);
        }
        Ok(())
    }

    /// Goes on without an image. Archives often name those of all platforms and have those of one.
    fn give_up(&mut self, names: Vec<String>, platform: Option<Platform>, error: Error) {
        self.unusable.push(Unusable {
            names,
            platform,
            error: Arc::new(error),
        });
    }
}

fn annotation<'d>(descriptor: &'d Descriptor, key: &str) -> Option<&'d String> {
    descriptor.annotations.as_ref()?.get(key)
}

fn image(store: &Store, descriptor: &Descriptor, names: &[String]) -> Result<Image, Error> {
    let manifest: Manifest = blob(store, descriptor)?;
    let config: Object = blob(store, &manifest.config)?;
    let diff_ids = diff_ids(&config)?;
    if diff_ids.len() != manifest.layers.len() {
        return Err(Error::LayerCount {
            manifest: manifest.layers.len(),
            config: diff_ids.len(),
        });
    }
    let layers = manifest
        .layers
        .iter()
        .zip(diff_ids)
        .map(|(layer, diff_id)| {
            let packing = match &*layer.media_type {
                oci::LAYER_TAR | oci::DOCKER_LAYER_TAR => Packing::Plain,
                oci::LAYER_GZIP | oci::DOCKER_LAYER => Packing::Gzip,
                oci::LAYER_ZSTD | oci::DOCKER_LAYER_ZSTD => Packing::Zstd,
                other => {
                    return Err(Error::MediaType {
                        media_type: other.to_owned(),
                    });
                }
            };
            Ok(Layer {
                member: layer.digest.path(),
                digest: Some(layer.digest),
                size: layer.size,
                packing: Some(packing),
                diff_id,
                inputs: annotation(layer, INPUTS).cloned(),
                account: annotation(layer, ACCOUNT).cloned(),
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Image {
        platform: platform(&config)?,
        names: names.to_vec(),
        manifest: Some(descriptor.digest),
        config,
        config_digest: manifest.config.digest,
        layers,
        annotations: manifest.annotations.unwrap_or_default(),
    })
}

fn docker_images(store: &Store) -> Result<Vec<Image>, Error> {
    let listed: Vec<DockerImage> = document(store, "manifest.json", None)?;
    let mut images = Vec::new();
    for one in listed.into_iter().take(MOST_IMAGES) {
        let text = store.read(&one.config, LONGEST_DOCUMENT)?;
        let config: Object = parse(&one.config, &text)?;
        let diff_ids = diff_ids(&config)?;
        if diff_ids.len() != one.layers.len() {
            return Err(Error::LayerCount {
                manifest: one.layers.len(),
                config: diff_ids.len(),
            });
        }
        let mut layers = Vec::new();
        for (member, diff_id) in one.layers.into_iter().zip(diff_ids) {
            layers.push(Layer {
                size: store.size(&member)?,
                member,
                digest: None,
                packing: None,
                diff_id,
                inputs: None,
                account: None,
            });
        }
        images.push(Image {
            platform: platform(&config)?,
            names: one.repo_tags.unwrap_or_default(),
            manifest: None,
            config_digest: Digest(archive::digest::Sha256::of(&text)),
            config,
            layers,
            annotations: std::collections::BTreeMap::new(),
        });
    }
    Ok(images)
}

fn platform(config: &Object) -> Result<Platform, Error> {
    let field = |key: &str| config.get(key).and_then(Value::as_str).map(str::to_owned);
    match (field("architecture"), field("os")) {
        (Some(architecture), Some(os)) => Ok(Platform {
            architecture,
            os,
            variant: field("variant").filter(|variant| !variant.is_empty()),
        }),
        _ => Err(Error::Config {
            problem: "does not say for which platform the image is",
        }),
    }
}

fn diff_ids(config: &Object) -> Result<Vec<Digest>, Error> {
    let ids = config
        .get("rootfs")
        .and_then(|rootfs| rootfs.get("diff_ids"));
    ids.and_then(|ids| serde_json::from_value(ids.clone()).ok())
        .ok_or(Error::Config {
            problem: "does not name its layers",
        })
}

/// A document that a descriptor names.
fn blob<T: DeserializeOwned>(store: &Store, descriptor: &Descriptor) -> Result<T, Error> {
    document(store, &descriptor.digest.path(), Some(descriptor))
}

fn document<T: DeserializeOwned>(
    store: &Store,
    member: &str,
    descriptor: Option<&Descriptor>,
) -> Result<T, Error> {
    let bytes = store.read(member, LONGEST_DOCUMENT)?;
    if let Some(descriptor) = descriptor {
        let actual = Digest(archive::digest::Sha256::of(&bytes));
        if actual != descriptor.digest {
            return Err(Error::Digest {
                member: member.to_owned(),
                expected: descriptor.digest.to_string(),
                actual: actual.to_string(),
            });
        }
    }
    parse(member, &bytes)
}

fn parse<T: DeserializeOwned>(member: &str, bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|source| Error::Json {
        member: member.to_owned(),
        source,
    })
}
