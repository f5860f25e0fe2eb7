//! Sends a finished image to a registry: blobs that it lacks, then the manifest of each platform, then
//! what the tag names. So the tag never names what is not there. What refers to the image comes last.

use std::collections::{BTreeMap, BTreeSet};

use fetch::registry::{Reference, Registry, Sent, Upload};
use fs_err as fs;
use serde_json::{Value, json};

use super::bills::Attached;
use super::{Made, Pushed, Recipe};
use crate::error::Error;
use crate::event::Event;
use crate::oci::{self, Descriptor, Digest, Object};
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

/// What is sent.
pub(super) struct Image<'a> {
    pub(super) done: &'a [Made],
    /// What refers to the images.
    pub(super) bills: &'a [Attached],
    /// The one image, or the index over several.
    pub(super) top: &'a Descriptor,
}

/// Sends an image and what refers to it.
pub(super) fn push(
    recipe: &Recipe<'_>,
    staging: &Staging,
    image: &Image<'_>,
    reference: &Reference,
) -> Result<Pushed, Error> {
    let Image { done, bills, top } = *image;
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
        .chain(bills.iter().flat_map(|bill| &bill.blobs))
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
    };
    for made in done
        .iter()
        .filter(|made| made.manifest.digest != top.digest)
    {
        manifest(&made.manifest, "")?;
    }
    manifest(top, reference.tag())?;
    let mut unlisted: BTreeMap<Digest, Vec<Descriptor>> = BTreeMap::new();
    for bill in bills {
        if !manifest(&bill.manifest, "")? {
            let of_image = unlisted.entry(bill.subject).or_default();
            of_image.push(bill.manifest.clone());
        }
    }
    for (subject, referrers) in unlisted {
        list(&registry, subject, referrers).map_err(failed)?;
    }
    Ok(pushed)
}

/// Names referrers under the tag that stands in for a registry's own list of them (distribution
/// specification, "Referrers Tag Schema"), beside those of others.
fn list(
    registry: &Registry<'_>,
    subject: Digest,
    referrers: Vec<Descriptor>,
) -> Result<(), fetch::registry::Error> {
    let tag = subject.to_string().replace(':', "-");
    let before = registry.named(&tag)?;
    let index = before.and_then(|before| serde_json::from_slice::<Object>(&before.bytes).ok());
    let mut index = index.unwrap_or_default();
    // Others may name what we know nothing of. What is no index is nobody's, and gives way.
    let mut all = if let Some(Value::Array(all)) = index.remove("manifests") {
        all
    } else {
        index.clear();
        index.insert("schemaVersion".to_owned(), 2.into());
        index.insert("mediaType".to_owned(), oci::INDEX.into());
        Vec::new()
    };
    let known = all.len();
    for referrer in referrers {
        let digest = Value::String(referrer.digest.to_string());
        if !all.iter().any(|one| one.get("digest") == Some(&digest)) {
            all.push(json!(referrer));
        }
    }
    if all.len() == known {
        return Ok(());
    }
    index.insert("manifests".to_owned(), Value::Array(all));
    let bytes = oci::canonical(&index);
    let digest = Digest(archive::digest::Sha256::of(&bytes)).to_string();
    registry.push_manifest(&tag, oci::INDEX, &digest, &bytes)?;
    Ok(())
}
