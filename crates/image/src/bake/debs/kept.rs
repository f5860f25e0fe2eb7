//! Layers of Debian packages that need not be unpacked again: an earlier run left the layer among those of conda's
//! packages, and beside it what the root file system came to with it. Known by all that the layer is made of, so what
//! lies there cannot be out of date; its bytes are checked before they are used.

use ::archive::digest::Sha256;
use fs_err as fs;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::BakedPackage;
use super::super::cache::{Found, Shelf};
use super::super::ground::Ground;
use super::super::listing::Place;
use super::archives::{Source, keyring_path};
use super::lock::LockedDeb;
use super::unpack::{Done, Layer};
use crate::error::Error;
use crate::oci;
use crate::root::Root;
use crate::sbom::Component;

/// Changes when the same inputs come to another layer or listing.
const FORMAT: u32 = 1;

/// What an earlier run knew of a layer besides its bytes.
#[derive(Serialize, Deserialize)]
struct Listing<R> {
    /// What the packages are called.
    packages: Vec<String>,
    made: Vec<String>,
    unconfigured: Vec<String>,
    components: Vec<Component>,
    /// What the layers up to this one come to.
    root: R,
}

/// What a layer is made of, in one number.
pub(super) fn key(
    layer: &Layer<'_>,
    ground: &Ground,
    debs: &[LockedDeb],
    compiled: Option<(&str, &LockedDeb)>,
) -> Result<Sha256, Error> {
    let job = layer.job;
    let archive = layer.archive;
    let (keyring, _) = keyring_path(job.recipe.folder, archive, layer.sources.distribution);
    let own_keys = archive.keyring.is_some() && !archive.trusted;
    let keys = if own_keys {
        // They are in the image.
        let read = fs::File::open(&keyring).and_then(Sha256::of_reader);
        Some(read.map_err(|source| Error::Read {
            path: keyring.clone(),
            source,
        })?)
    } else {
        None
    };
    let below = ground.stack.steps().iter().map(|step| &step.diff_id);
    let below: Vec<_> = ground.diff_ids.iter().chain(below).collect();
    let sources: Vec<String> = layer.sources.all.iter().map(Source::line).collect();
    let settings = json!({
        "format": FORMAT,
        "program": env!("CARGO_PKG_VERSION"),
        "compression": format!("{:?}", job.recipe.definition.compression),
        "stage": format!("{:?}", layer.stage),
        "architecture": layer.architecture,
        "below": below,
        "debs": debs,
        "distribution": format!("{:?}", layer.sources.distribution),
        "sources": sources,
        "trusted": archive.trusted,
        "keys": keys,
        "keyring": if own_keys { None } else { Some(keyring) },
        "locale": job.target.locale,
        "compiled": compiled,
    });
    Ok(Sha256::of(&oci::canonical(&settings)))
}

/// The layer of an earlier run, if it is whole; the root becomes the one that it was then.
pub(super) fn take(layer: &Layer<'_>, key: Sha256, root: &mut Root) -> Option<Done> {
    let listing: Listing<Root> = Place::keyed(layer.job, key).read()?;
    let shelf = Shelf::of(layer.job, layer.staging);
    let found = shelf.kept(&key.to_string(), listing.packages.len())?;
    let packages = listing.packages.into_iter().zip(&found.sizes);
    let packages = packages.map(|(name, size)| BakedPackage {
        name,
        size: *size,
        env: None,
        prefetched: false,
    });
    *root = listing.root;
    Some(Done {
        packages: packages.collect(),
        packed: found.packed,
        made: listing.made,
        unconfigured: listing.unconfigured,
        components: listing.components,
    })
}

/// Remembers a layer for later runs.
pub(super) fn keep(layer: &Layer<'_>, key: Sha256, done: &Done, root: &Root) {
    let found = Found {
        packed: done.packed.clone(),
        sizes: done.packages.iter().map(|package| package.size).collect(),
    };
    Shelf::of(layer.job, layer.staging).keep(&key.to_string(), &found);
    let names = done.packages.iter().map(|package| package.name.clone());
    Place::keyed(layer.job, key).write(&Listing {
        packages: names.collect(),
        made: done.made.clone(),
        unconfigured: done.unconfigured.clone(),
        components: done.components.clone(),
        root,
    });
}
