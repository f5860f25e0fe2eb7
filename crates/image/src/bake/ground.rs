//! What an image stands on: the base's layers, read to their end, checked and copied, and the root file
//! system that they come to. What an earlier run found in them is not looked for again ([`super::listing`]).

mod carry;

use std::path::PathBuf;

use archive::digest::Sha256;
use fetch::registry::Reference;
use spec::Base;

use crate::base::{self, Packing, Source};
use crate::error::Error;
use crate::event::Event;
use crate::layer::{Packed, Packer};
use crate::oci::{self, Digest};
use crate::root::Root;
use crate::sbom::Component;

use super::cache::{Found, Kept, Shelf};
use super::listing::{self, Listing};
use super::pins;
use super::platform::Job;
use super::stack::{Layer, Stack};
use carry::{AtHand, Failure, blob_name, carry, recheck};

/// A base that was read.
#[derive(Default)]
pub(super) struct Ground {
    pub(super) config: Option<oci::Object>,
    /// Its layers, and those of ours that lie below the packages of conda.
    pub(super) stack: Stack,
    pub(super) diff_ids: Vec<Digest>,
    pub(super) root: Root,
    pub(super) reference: Option<String>,
    pub(super) manifest: Option<Digest>,
    /// Its name, if it came from a registry.
    pub(super) registry: Option<Reference>,
    /// See [`super::BakedImage`].
    pub(super) made: Vec<String>,
    pub(super) unconfigured: Vec<String>,
    /// Debian packages, for the bills of materials.
    pub(super) components: Vec<Component>,
    /// Layers that are not in the image yet.
    at_hand: Option<AtHand>,
}

/// What the layers of a base come to.
struct Read {
    layers: Vec<Packed>,
    root: Root,
    /// Those that are still to be carried.
    at_hand: Vec<(usize, base::Layer)>,
}

impl Ground {
    /// With layers of a base that are still to be carried.
    fn with(self, source: Source, path: PathBuf, layers: Vec<(usize, base::Layer)>) -> Ground {
        let at_hand = AtHand {
            source,
            path,
            layers,
        };
        Ground {
            at_hand: Some(at_hand),
            ..self
        }
    }
}

impl Read {
    /// All layers are in the image.
    fn whole(layers: Vec<Packed>, root: Root) -> Read {
        Read {
            layers,
            root,
            at_hand: Vec::new(),
        }
    }
}

impl Job<'_> {
    /// Reads the base, and copies its layers but for those that [`Job::carry`] will. A dry run fetches none.
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
        let (ground, layers) = self.read(&source, image, &cannot)?;
        Ok(ground.with(source, path, layers))
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
        if self.staging.is_none() {
            self.check_layers(image.layers.len(), 1)?;
            return Ok(Ground {
                config: Some(image.config.clone()),
                stack: Stack::of_base(image.layers.iter().map(Layer::unread)),
                registry: Some(reference),
                ..Ground::default()
            });
        }
        let read = self.read(&source, image, &cannot);
        if read.as_ref().is_err_and(Error::is_integrity) {
            recheck(&registry, image.layers.iter()).map_err(cannot)?;
        }
        let (ground, layers) = read?;
        Ok(Ground {
            registry: Some(reference),
            ..ground.with(source, shown.into(), layers)
        })
    }

    /// Reads the layers of an image, and copies them.
    fn read(
        &self,
        source: &Source,
        image: &base::Image,
        cannot: &dyn Fn(base::Error) -> Error,
    ) -> Result<(Ground, Vec<(usize, base::Layer)>), Error> {
        self.check_layers(image.layers.len(), 1)?;
        (self.recipe.report)(Event::Base {
            platform: self.platform,
            total: image.layers.iter().map(|layer| layer.size).sum(),
        });
        let place = listing::Place::of(self, image);
        let listing = place.read();
        let read = listing.and_then(|listing| self.recall(source, image, listing));
        let read = match read {
            Some(read) => Ok(read),
            None => self.read_through(source, image, &place),
        };
        let Read {
            layers,
            root,
            at_hand,
        } = read.map_err(|failure| failure.named(cannot))?;
        let ground = Ground {
            config: Some(image.config.clone()),
            reference: image.names.first().cloned(),
            manifest: image.manifest,
            diff_ids: layers.iter().map(|packed| packed.diff_id).collect(),
            stack: Stack::of_base(layers.iter().map(Layer::of_base)),
            root,
            ..Ground::default()
        };
        Ok((ground, at_hand))
    }

    /// Reads all layers of an image, copies them, and leaves what they come to for later runs.
    fn read_through(
        &self,
        source: &Source,
        image: &base::Image,
        place: &listing::Place,
    ) -> Result<Read, Failure> {
        let mut root = Root::default();
        let mut layers = Vec::new();
        for (number, layer) in image.layers.iter().enumerate() {
            root.next_layer();
            layers.push(self.base_layer(source, layer, number, &mut root)?);
            (self.recipe.report)(Event::Bytes { bytes: layer.size });
        }
        let Some(staging) = self.staging else {
            return Ok(Read::whole(layers, root));
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
        Ok(Read::whole(layers, listing.root))
    }

    /// What an earlier run found in these layers. None if one that we compressed is not at hand as it was.
    fn recall(&self, source: &Source, image: &base::Image, listing: Listing) -> Option<Read> {
        let Listing { layers: kept, root } = listing;
        let mut layers = Vec::new();
        let mut at_hand = Vec::new();
        for (number, (layer, kept)) in image.layers.iter().zip(&kept).enumerate() {
            let packed = kept.packed()?;
            let found = match self.staging {
                None => source.store.size(&layer.member).ok() == Some(layer.size),
                Some(_) if layer.digest == Some(packed.digest) => {
                    at_hand.push((number, layer.clone()));
                    true
                }
                // It was compressed by us.
                Some(staging) => Shelf::of(self, staging)
                    .kept(&self.made_of(layer), 0)
                    .is_some_and(|found| found.packed.digest == packed.digest),
            };
            if !found {
                return None;
            }
            (self.recipe.report)(Event::Bytes { bytes: layer.size });
            layers.push(packed);
        }
        (layers.len() == image.layers.len()).then_some(Read {
            layers,
            root,
            at_hand,
        })
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
        number: usize,
        root: &mut Root,
    ) -> Result<Packed, Failure> {
        let packing = base::packing(&source.store, layer)?;
        let mut visit = |entry: base::Entry<'_>| root.add(entry);
        let packed = |digest, size, unpacked| Packed {
            digest,
            size,
            media_type: match packing {
                Packing::Plain => oci::LAYER_TAR,
                Packing::Gzip => oci::LAYER_GZIP,
                Packing::Zstd => oci::LAYER_ZSTD,
            },
            diff_id: layer.diff_id,
            unpacked,
        };
        let Some(staging) = self.staging else {
            let passed = base::pass(&source.store, layer, None, &mut visit)?;
            return Ok(packed(passed.digest, passed.size, passed.unpacked));
        };
        if let Some(digest) = layer.digest.filter(|_| packing != Packing::Plain) {
            // What is in it and what it is are found out side by side, and neither is believed without the other.
            let (carried, unpacked) = rayon::join(
                || carry(source, layer, number, staging),
                || base::walk(&source.store, layer, packing, &mut visit),
            );
            return Ok(packed(digest, carried?, unpacked?));
        }
        let mut blob = staging.blob(&blob_name(number))?;
        if packing != Packing::Plain {
            let passed = base::pass(&source.store, layer, Some(&mut blob), &mut visit)
                .map_err(|error| Failure::copied(error, staging))?;
            let (digest, size) = staging.store(blob)?;
            return Ok(packed(digest, size, passed.unpacked));
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
