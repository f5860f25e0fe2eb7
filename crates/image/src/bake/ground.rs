//! What an image stands on: the base's layers, read to their end, checked and copied, and the root file
//! system that they come to. What an earlier run found in them is not looked for again ([`super::listing`]).

use std::io;

use archive::digest::Sha256;
use fetch::registry::{Blob, Reference};
use spec::Base;

use crate::base::{self, Packing, Source};
use crate::config::Step;
use crate::error::Error;
use crate::event::Event;
use crate::layer::{Packed, Packer};
use crate::oci::{self, Descriptor, Digest};
use crate::output::Staging;
use crate::root::Root;
use crate::sbom::Component;

use super::cache::{Found, Kept, Shelf};
use super::listing::{self, Listing};
use super::platform::{Job, described};
use super::{BakedLayer, LayerKind, pins};

/// A base that was read.
#[derive(Default)]
pub(super) struct Ground {
    pub(super) config: Option<oci::Object>,
    pub(super) layers: Vec<(Descriptor, BakedLayer)>,
    pub(super) diff_ids: Vec<Digest>,
    pub(super) root: Root,
    pub(super) reference: Option<String>,
    pub(super) manifest: Option<Digest>,
    /// Its name, if it came from a registry.
    pub(super) registry: Option<Reference>,
    /// Layers of ours that lie below the packages of conda.
    pub(super) steps: Vec<Step>,
    /// See [`super::BakedImage`].
    pub(super) made: Vec<String>,
    pub(super) unconfigured: Vec<String>,
    /// Debian packages, for the bills of materials.
    pub(super) components: Vec<Component>,
}

impl Job<'_> {
    /// Reads the base, and copies its layers. A dry run fetches none.
    pub(super) fn ground(&self) -> Result<Ground, Error> {
        if let Base::Registry(text) = &self.target.base {
            return self.pulled(text);
        }
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
        self.read(&source, image, &cannot)
    }

    /// The base in a registry, as it was pinned.
    fn pulled(&self, text: &str) -> Result<Ground, Error> {
        let recipe = self.recipe;
        let reference = pins::reference(text)?;
        let name = reference.to_string();
        let shown = pins::shown(&reference);
        let cannot = |source| Error::Image {
            path: shown.clone().into(),
            source,
        };
        let Some(&pin) = recipe.pins.get(&name) else {
            return Ok(Ground::default());
        };
        (recipe.report)(Event::Pull { reference: &name });
        let report = |event: fetch::Event<'_>| (recipe.report)(Event::Fetch(event));
        let registry = recipe
            .client
            .registry(&reference, recipe.options.plain_http)
            .map_err(|source| cannot(source.into()))?;
        let mut source =
            base::pull(&registry, pin, Some(&self.engine), &name, &report).map_err(cannot)?;
        let manifest = source.image(&self.engine, None).map_err(cannot)?.manifest;
        if self.staging.is_some() {
            base::pull_layers(&registry, &mut source, manifest, &report).map_err(cannot)?;
        }
        let image = source.image(&self.engine, None).map_err(cannot)?;
        let ground = if self.staging.is_some() {
            self.read(&source, image, &cannot)
        } else {
            self.check_layers(image.layers.len(), 1)?;
            Ok(Ground {
                config: Some(image.config.clone()),
                layers: image.layers.iter().filter_map(named).collect(),
                ..Ground::default()
            })
        };
        // What was damaged in the store since it came is fetched again the next time.
        if ground.as_ref().is_err_and(Error::is_integrity) {
            let blobs: Vec<Blob> = image.layers.iter().filter_map(blob).collect();
            registry
                .recheck(&blobs)
                .map_err(|source| cannot(source.into()))?;
        }
        Ok(Ground {
            registry: Some(reference),
            ..ground?
        })
    }

    /// Reads the layers of an image, and copies them.
    fn read(
        &self,
        source: &Source,
        image: &base::Image,
        cannot: &dyn Fn(base::Error) -> Error,
    ) -> Result<Ground, Error> {
        self.check_layers(image.layers.len(), 1)?;
        (self.recipe.report)(Event::Base {
            platform: self.platform,
            total: image.layers.iter().map(|layer| layer.size).sum(),
        });
        let place = listing::Place::of(self, image);
        let read = match place.read() {
            Some(listing) => self.recall(source, image, listing),
            None => Ok(None),
        };
        let read = match read {
            Ok(Some(read)) => Ok(read),
            Ok(None) => self.read_through(source, image, &place),
            Err(failure) => Err(failure),
        };
        let (layers, root) = read.map_err(|failure| match failure {
            Failure::Base(source) => cannot(source),
            Failure::Ours(error) => error,
        })?;
        let described = |packed: &Packed| described(LayerKind::Base, packed, Vec::new());
        Ok(Ground {
            config: Some(image.config.clone()),
            reference: image.reference.clone(),
            manifest: image.manifest,
            diff_ids: layers.iter().map(|packed| packed.diff_id).collect(),
            layers: layers.iter().map(described).collect(),
            root,
            ..Ground::default()
        })
    }

    /// Reads all layers of an image, copies them, and leaves what they come to for later runs.
    fn read_through(
        &self,
        source: &Source,
        image: &base::Image,
        place: &listing::Place,
    ) -> Result<(Vec<Packed>, Root), Failure> {
        let mut root = Root::default();
        let mut layers = Vec::new();
        for (number, layer) in image.layers.iter().enumerate() {
            root.next_layer();
            let name = format!("base-{number}");
            layers.push(self.base_layer(source, layer, &name, &mut root)?);
            (self.recipe.report)(Event::Bytes { bytes: layer.size });
        }
        let Some(staging) = self.staging else {
            return Ok((layers, root));
        };
        let shelf = Shelf::of(self, staging);
        for (layer, packed) in image.layers.iter().zip(&layers) {
            if layer.digest != Some(packed.digest) {
                let found = Found {
                    packed: packed.clone(),
                    sizes: Vec::new(),
                };
                shelf.keep(&self.made_of(layer), &found);
            }
        }
        let listing = Listing {
            layers: layers.iter().map(|layer| Kept::new(layer, &[])).collect(),
            root,
        };
        place.write(&listing);
        Ok((layers, listing.root))
    }

    /// What an earlier run found in these layers. None if one of them is not at hand as it was; bytes that are
    /// other ones than the image names are an error, as they are when they are read through.
    fn recall(
        &self,
        source: &Source,
        image: &base::Image,
        listing: Listing,
    ) -> Result<Option<(Vec<Packed>, Root)>, Failure> {
        let Listing { layers: kept, root } = listing;
        let mut layers = Vec::new();
        for (number, (layer, kept)) in image.layers.iter().zip(&kept).enumerate() {
            let Some(packed) = kept.packed() else {
                return Ok(None);
            };
            let at_hand = match self.staging {
                None => source.store.size(&layer.member).ok() == Some(layer.size),
                Some(staging) if layer.digest == Some(packed.digest) => {
                    let name = format!("base-{number}");
                    carry(source, layer, (packed.digest, &name), staging)?;
                    true
                }
                // It was compressed by us.
                Some(staging) => Shelf::of(self, staging)
                    .kept(&self.made_of(layer), 0)
                    .is_some_and(|found| found.packed.digest == packed.digest),
            };
            if !at_hand {
                return Ok(None);
            }
            (self.recipe.report)(Event::Bytes { bytes: layer.size });
            layers.push(packed);
        }
        Ok((layers.len() == image.layers.len()).then_some((layers, root)))
    }

    /// The key of a layer of the base that we compressed.
    fn made_of(&self, layer: &base::Layer) -> String {
        let made_of = serde_json::json!({
            "base": layer.diff_id,
            "program": env!("CARGO_PKG_VERSION"),
            "compression": format!("{:?}", self.recipe.definition.compression),
        });
        Sha256::of(&oci::canonical(&made_of)).to_string()
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
}

/// Puts a layer of the base into the image as it is, if it is still the one that the image names.
fn carry(
    source: &Source,
    layer: &base::Layer,
    (digest, name): (Digest, &str),
    staging: &Staging,
) -> Result<(), Failure> {
    let member = layer.member.as_str();
    let unreadable = |source| base::Error::Read {
        member: member.to_owned(),
        source,
    };
    let mut reader = source.store.open_member(member)?;
    // A tar file takes the bytes from where they lie; a folder needs some of its own.
    let lent = source.store.path(member).filter(|_| staging.is_tar());
    let actual = if lent.is_some() {
        Digest(Sha256::of_reader(reader).map_err(unreadable)?)
    } else {
        let mut copy = staging.blob(name)?;
        let mut buffer = vec![0; 1 << 17];
        loop {
            let count = match io::Read::read(&mut reader, &mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(error).into()),
            };
            io::Write::write_all(&mut copy, &buffer[..count]).map_err(|source| Error::Write {
                path: staging.scratch().to_owned(),
                source,
            })?;
        }
        // What is written is digested on its way.
        staging.store(copy)?.0
    };
    if actual != digest {
        return Err(Failure::Base(base::Error::Digest {
            member: member.to_owned(),
            expected: digest.to_string(),
            actual: actual.to_string(),
        }));
    }
    if let Some(path) = lent {
        staging.lend(&path, digest)?;
    }
    Ok(())
}

fn blob(layer: &base::Layer) -> Option<Blob> {
    Some(Blob {
        sha256: layer.digest?.0.0,
        size: layer.size,
    })
}

/// A layer that was not read, as its image describes it.
fn named(layer: &base::Layer) -> Option<(Descriptor, BakedLayer)> {
    let packed = Packed {
        digest: layer.digest?,
        size: layer.size,
        media_type: oci::LAYER_GZIP,
        diff_id: layer.diff_id,
        unpacked: 0,
    };
    let (descriptor, layer) = described(LayerKind::Base, &packed, Vec::new());
    let layer = BakedLayer {
        unpacked: None,
        ..layer
    };
    Some((descriptor, layer))
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
