//! Layers of Debian packages that need not be unpacked again: an earlier run left the layer among those of conda's
//! packages, and beside it what the root file system came to with it. Known by all that the layer is made of, so what
//! lies there cannot be out of date; its bytes are checked before they are used.

use ::archive::digest::Sha256;
use fs_err as fs;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::cache::Found;
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
const FORMAT: u32 = 2;

/// What is to be told of a layer besides what is in it. Images have it, too, so that `--cache-from` can take the layer.
#[derive(Serialize, Deserialize)]
pub(super) struct Account {
    /// What the packages are called, with their bytes in the layer.
    pub(super) packages: Vec<(String, u64)>,
    /// See [`crate::BakedImage`].
    pub(super) made: Vec<String>,
    pub(super) unconfigured: Vec<String>,
    /// The packages, for the bills of materials.
    pub(super) components: Vec<Component>,
}

/// What an earlier run knew of a layer besides its bytes: its account, and what the layers up to this one come to.
type Listing<A, R> = (A, R);

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

/// The layer of an earlier run, or of an image that the user named, if it is whole; the root becomes that with it.
pub(super) fn take(layer: &Layer<'_>, key: Sha256, root: &mut Root) -> Option<Done> {
    if let Some(done) = known(layer, key, root) {
        return Some(done);
    }
    let (packed, with, account) = layer.cache.on(root, key)?;
    *root = with;
    let done = Done { packed, account };
    keep(layer, key, &done, root);
    Some(done)
}

/// The layer of an earlier run.
fn known(layer: &Layer<'_>, key: Sha256, root: &mut Root) -> Option<Done> {
    let listing: Option<Listing<Account, Root>> = Place::keyed(layer.job, key).read();
    let (account, with) = listing?;
    let found = layer.cache.shelf().kept(&key.to_string(), 0)?;
    *root = with;
    let packed = found.packed;
    Some(Done { packed, account })
}

/// Remembers a layer for later runs.
pub(super) fn keep(layer: &Layer<'_>, key: Sha256, done: &Done, root: &Root) {
    let found = Found {
        packed: done.packed.clone(),
        // They are in the account.
        sizes: Vec::new(),
    };
    layer.cache.shelf().keep(&key.to_string(), &found);
    let listing: Listing<_, _> = (&done.account, root);
    Place::keyed(layer.job, key).write(&listing);
}
