//! Sends a finished image to a registry: blobs that it lacks, then the manifest of each platform, then
//! what the tag names. So the tag never names what is not there.

use std::collections::BTreeSet;

use fetch::registry::{Reference, Sent, Upload};
use fs_err as fs;

use super::{Made, Pushed, Recipe};
use crate::error::Error;
use crate::event::Event;
use crate::oci::Descriptor;
use crate::output::Staging;

/// The names, before anything is baked for them.
pub(super) fn references(texts: &[String]) -> Result<Vec<Reference>, Error> {
    let parse = |text: &String| {
        Reference::parse(text).map_err(|source| Error::Push {
            reference: text.clone(),
            source,
        })
    };
    texts.iter().map(parse).collect()
}

/// Sends all images and `top`, which is one of them or the index over them.
pub(super) fn push(
    recipe: &Recipe<'_>,
    staging: &Staging,
    done: &[Made],
    top: &Descriptor,
    reference: &Reference,
) -> Result<Pushed, Error> {
    let name = reference.to_string();
    let failed = |source| Error::Push {
        reference: name.clone(),
        source,
    };
    let registry = recipe
        .client
        .registry(reference, recipe.options.plain_http)
        .map_err(failed)?;
    let mut seen = BTreeSet::new();
    let blobs: Vec<&Descriptor> = done
        .iter()
        .flat_map(|made| &made.blobs)
        .filter(|blob| seen.insert(blob.digest))
        .collect();
    (recipe.report)(Event::Push {
        reference: &name,
        total: blobs.iter().map(|blob| blob.size).sum(),
    });
    // What the base's repository has there, the registry need not be sent.
    let from = |blob: &Descriptor| {
        let bases = done.iter().filter_map(|made| made.base.as_ref());
        let mut same = bases.filter(|(base, blobs)| {
            base.host() == reference.host()
                && base.name() != reference.name()
                && blobs.contains(&blob.digest)
        });
        same.next().map(|(base, _)| base.name().to_owned())
    };
    let uploads: Vec<Upload> = blobs
        .into_iter()
        .map(|blob| Upload {
            digest: blob.digest.to_string(),
            size: blob.size,
            path: staging.place(blob.digest),
            from: from(blob),
        })
        .collect();
    let sent = |bytes| (recipe.report)(Event::Bytes { bytes });
    let became = registry.push_blobs(&uploads, &sent).map_err(failed)?;
    let count = |wanted: Sent| became.iter().filter(|one| **one == wanted).count();
    let pushed = Pushed {
        reference: name.clone(),
        sent: count(Sent::Uploaded),
        present: count(Sent::Present),
        mounted: count(Sent::Mounted),
    };
    let manifest = |descriptor: &Descriptor, tag: &str| {
        let path = staging.place(descriptor.digest);
        let bytes = fs::read(&path).map_err(|source| Error::Read {
            path: path.clone(),
            source,
        })?;
        let digest = descriptor.digest.to_string();
        let tag = if tag.is_empty() { &digest } else { tag };
        registry
            .push_manifest(tag, &descriptor.media_type, &digest, &bytes)
            .map_err(failed)
            .map(drop)
    };
    for made in done
        .iter()
        .filter(|made| made.manifest.digest != top.digest)
    {
        manifest(&made.manifest, "")?;
    }
    manifest(top, reference.tag())?;
    Ok(pushed)
}
