//! An image in a registry: from what its name or digest stands for down to the one image for a platform.
//! Documents first, which say what it is made of; layers when they are wanted.

use std::collections::{BTreeSet, HashMap};

use archive::digest::Sha256;
use fetch::registry::{Blob, Reference, Registry};
use serde_json::Value;

use super::{DEEPEST, Error, LONGEST_DOCUMENT, MOST_IMAGES, Source, Store, image, parse};
use crate::oci::{self, Descriptor, Digest, Index, Manifest, Platform};

type Report<'a> = &'a (dyn Fn(fetch::Event<'_>) + Sync);

/// What a document turned out to be. Its own words count, not the registry's.
enum Document {
    Image(Box<Manifest>),
    Index(Index),
}

/// What a name stands for now: the digest of a manifest or an index.
pub(crate) fn top(registry: &Registry<'_>, reference: &Reference) -> Result<Digest, Error> {
    match reference.sha256() {
        Some(sha256) => Ok(Digest(Sha256(sha256))),
        None => Ok(Digest(Sha256(registry.tagged()?.sha256))),
    }
}

/// The image for `platform`, or those for all, among those that the manifest or index `top` stands for. Its layers are
/// not there yet.
pub(crate) fn pull(
    registry: &Registry<'_>,
    top: Digest,
    platform: Option<&Platform>,
    reference: &str,
    report: Report<'_>,
) -> Result<Source, Error> {
    let mut search = Search {
        registry,
        platform,
        reference,
        report,
        files: HashMap::new(),
        found: Vec::new(),
        read: 0,
        others: BTreeSet::new(),
    };
    search.descend(top, 0)?;
    if let (Some(platform), true) = (platform, search.found.is_empty()) {
        return Err(Error::Platform {
            wanted: platform.to_string(),
            found: search.others.into_iter().collect(),
        });
    }
    let store = Store::Fetched(search.files);
    let images = search
        .found
        .iter()
        .map(|descriptor| image(&store, descriptor, &[reference.to_owned()]))
        .collect::<Result<_, _>>()?;
    Ok(Source {
        store,
        images,
        unusable: Vec::new(),
    })
}

/// Fetches the layers of an image of `source`.
pub(crate) fn pull_layers(
    registry: &Registry<'_>,
    source: &mut Source,
    manifest: Option<Digest>,
    report: Report<'_>,
) -> Result<(), Error> {
    let wanted = source.images.iter().find(|one| one.manifest == manifest);
    let mut seen = BTreeSet::new();
    let layers: Vec<(String, Blob)> = wanted
        .into_iter()
        .flat_map(|image| &image.layers)
        .filter_map(|layer| {
            let blob = Blob {
                sha256: layer.digest?.0.0,
                size: layer.size,
            };
            seen.insert(blob.sha256)
                .then(|| (layer.member.clone(), blob))
        })
        .collect();
    let blobs: Vec<Blob> = layers.iter().map(|(_, blob)| *blob).collect();
    let paths = registry.blobs(&blobs, report)?;
    if let Store::Fetched(files) = &mut source.store {
        files.extend(layers.into_iter().map(|(member, _)| member).zip(paths));
    }
    Ok(())
}

struct Search<'a> {
    registry: &'a Registry<'a>,
    platform: Option<&'a Platform>,
    reference: &'a str,
    report: Report<'a>,
    files: HashMap<String, std::path::PathBuf>,
    found: Vec<Descriptor>,
    /// Manifests and indexes that were read.
    read: usize,
    /// The platforms of images that do not fit.
    others: BTreeSet<String>,
}

impl Search<'_> {
    fn descend(&mut self, digest: Digest, depth: usize) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(Error::Deep);
        }
        self.read += 1;
        if self.read > MOST_IMAGES {
            return Err(Error::ManyImages);
        }
        let name = format!("{}@{digest}", self.reference);
        let manifest = self.registry.manifest(digest.0.0)?;
        match document(&name, &manifest.bytes)? {
            Document::Index(index) => {
                for descriptor in &index.manifests {
                    match &*descriptor.media_type {
                        oci::INDEX | oci::DOCKER_INDEX | oci::MANIFEST | oci::DOCKER_MANIFEST => {}
                        // Other things may lie in an index.
                        _ => continue,
                    }
                    match &descriptor.platform {
                        // Statements of who built an image lie beside it, as an image for no machine.
                        Some(platform) if platform.architecture == "unknown" => {}
                        Some(platform)
                            if self.platform.is_some_and(|wanted| !platform.fits(wanted)) =>
                        {
                            self.others.insert(platform.to_string());
                        }
                        _ => self.descend(descriptor.digest, depth + 1)?,
                    }
                }
                Ok(())
            }
            Document::Image(document) => {
                let Descriptor {
                    digest: id, size, ..
                } = document.config;
                if size > LONGEST_DOCUMENT {
                    return Err(Error::Long {
                        member: id.path(),
                        limit: LONGEST_DOCUMENT,
                    });
                }
                let blob = Blob {
                    sha256: id.0.0,
                    size,
                };
                let paths = self.registry.blobs(&[blob], self.report)?;
                self.files.extend([id.path()].into_iter().zip(paths));
                let kept = self.registry.kept(manifest.sha256);
                self.files.insert(digest.path(), kept);
                let size = manifest.bytes.len() as u64;
                self.found
                    .push(Descriptor::new(oci::MANIFEST, (digest, size)));
                Ok(())
            }
        }
    }
}

/// Reads a manifest or an index. A document that could be either is none: who reads it as the other one
/// would see another image (distribution specification, "mediaType" of manifests).
fn document(name: &str, bytes: &[u8]) -> Result<Document, Error> {
    let tree: Value = parse(name, bytes)?;
    let said = tree.get("mediaType").and_then(Value::as_str);
    let has = |key: &str| tree.get(key).is_some();
    let index = match said {
        Some(oci::INDEX | oci::DOCKER_INDEX) => true,
        Some(oci::MANIFEST | oci::DOCKER_MANIFEST) => false,
        Some(other) => return Err(other_type(name, other)),
        None if tree.get("schemaVersion") == Some(&Value::from(1)) => {
            return Err(other_type(name, "schema 1 of Docker"));
        }
        None if has("manifests") || has("layers") => has("manifests"),
        None => return Err(other_type(name, "no type")),
    };
    if has("manifests") && (has("layers") || has("config")) {
        return Err(other_type(name, "two types at once"));
    }
    if index {
        Ok(Document::Index(parse(name, bytes)?))
    } else {
        Ok(Document::Image(parse(name, bytes)?))
    }
}

fn other_type(name: &str, media_type: &str) -> Error {
    Error::ManifestType {
        name: name.to_owned(),
        media_type: media_type.chars().take(100).collect(),
    }
}
