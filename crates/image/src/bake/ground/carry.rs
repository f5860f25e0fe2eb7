//! Layers of a base on their way into the image, as they are: nothing of them is believed before their bytes were
//! digested, whatever is known of them from earlier runs.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

use archive::digest::Hasher;
use fetch::registry::{Blob, Registry};
use rayon::prelude::*;

use super::Ground;
use crate::bake::platform::Job;
use crate::base::{self, Source};
use crate::error::Error;
use crate::oci::Digest;
use crate::output::Staging;

/// Layers that an earlier run has read through: what they come to is known, and whether they are still the same is not.
pub(super) struct AtHand {
    pub(super) source: Source,
    /// How messages call the image.
    pub(super) path: PathBuf,
    /// Each with its number among those of the base.
    pub(super) layers: Vec<(usize, base::Layer)>,
}

impl Job<'_> {
    /// Puts the layers into the image that an earlier run has read through, if they are still the same.
    pub(in crate::bake) fn carry(&self, staging: &Staging, ground: &Ground) -> Result<(), Error> {
        let Some(AtHand {
            source,
            path,
            layers,
        }) = &ground.at_hand
        else {
            return Ok(());
        };
        let cannot = |source| Error::Image {
            path: path.clone(),
            source,
        };
        let carried: Vec<Result<u64, Failure>> = layers
            .par_iter()
            .with_max_len(1)
            .map(|(number, layer)| carry(source, layer, *number, staging))
            .collect();
        let carried: Result<Vec<u64>, Failure> = carried.into_iter().collect();
        let carried = carried.map_err(|failure| failure.named(&cannot));
        if carried.as_ref().is_err_and(Error::is_integrity)
            && let Some(reference) = &ground.registry
        {
            let registry = self
                .recipe
                .client
                .registry(reference, self.recipe.options.plain_http)
                .map_err(|source| cannot(source.into()))?;
            recheck(&registry, layers.iter().map(|(_, layer)| layer)).map_err(cannot)?;
        }
        carried.map(drop)
    }
}

/// Puts a layer of the base into the image as it is, if it is still the one that the image names. Returns its length.
pub(super) fn carry(
    source: &Source,
    layer: &base::Layer,
    number: usize,
    staging: &Staging,
) -> Result<u64, Failure> {
    let member = layer.member.as_str();
    let unreadable = |source| base::Error::Read {
        member: member.to_owned(),
        source,
    };
    let mut reader = source.store.open_member(member)?;
    // A tar file takes the bytes from where they lie; a folder needs some of its own.
    let lent = source.store.path(member).filter(|_| staging.is_tar());
    let (actual, size) = if lent.is_some() {
        let digests = Hasher::new().all_of(reader).map_err(unreadable)?;
        (Digest(digests.sha256), digests.length)
    } else {
        let mut copy = staging.blob(&blob_name(number))?;
        let mut buffer = vec![0; 1 << 17];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(error).into()),
            };
            copy.write_all(&buffer[..count])
                .map_err(|source| Error::Write {
                    path: staging.scratch().to_owned(),
                    source,
                })?;
        }
        // What is written is digested on its way.
        staging.store(copy)?
    };
    if let Some(expected) = layer.digest.filter(|expected| *expected != actual) {
        return Err(Failure::Base(base::Error::Digest {
            member: member.to_owned(),
            expected: expected.to_string(),
            actual: actual.to_string(),
        }));
    }
    if let Some(path) = lent {
        staging.lend(&path, actual)?;
    }
    Ok(size)
}

/// What tells a blob of the base from others that are written at the same time.
pub(super) fn blob_name(number: usize) -> String {
    format!("base-{number}")
}

/// Has layers that were damaged in the store since they came fetched again the next time.
pub(super) fn recheck<'l>(
    registry: &Registry<'_>,
    layers: impl Iterator<Item = &'l base::Layer>,
) -> Result<(), base::Error> {
    let blob = |layer: &base::Layer| {
        Some(Blob {
            sha256: layer.digest?.0.0,
            size: layer.size,
        })
    };
    let blobs: Vec<Blob> = layers.filter_map(blob).collect();
    registry.recheck(&blobs).map_err(base::Error::from)
}

/// Why a layer of the base could not be had.
pub(super) enum Failure {
    Base(base::Error),
    Ours(Error),
}

impl Failure {
    /// The error, in which `cannot` says which image it is about.
    pub(super) fn named(self, cannot: &dyn Fn(base::Error) -> Error) -> Error {
        match self {
            Failure::Base(source) => cannot(source),
            Failure::Ours(error) => error,
        }
    }

    /// What went wrong while a layer was copied.
    pub(super) fn copied(error: base::Error, staging: &Staging) -> Failure {
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
