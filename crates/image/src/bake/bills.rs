//! The bills of materials of the images: as artifacts that refer to them (image specification 1.1,
//! `subject`), and as files beside the output.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use conda::Subdir;
use serde_json::json;

use super::Made;
use super::environments::Environments;
use super::items::Item;
use super::platform::dist;
use crate::error::Error;
use crate::oci::{self, Descriptor, Digest};
use crate::output::Staging;
use crate::sbom::{Component, Format, Kind};

/// A bill that refers to an image.
pub(super) struct Attached {
    /// The artifact.
    pub(super) manifest: Descriptor,
    /// Its configuration and the bill.
    pub(super) blobs: [Descriptor; 2],
    /// The image.
    pub(super) subject: Digest,
    platform: Subdir,
    format: Format,
    text: Vec<u8>,
}

/// Makes the bills of all images, and stores them.
pub(super) fn attach(staging: &Staging, done: &[Made]) -> Result<Vec<Attached>, Error> {
    let mut attached = Vec::new();
    for made in done {
        for format in Format::ALL {
            let text = made.bill.text(format);
            let media_type = format.media_type();
            let config = Descriptor::new(oci::EMPTY, staging.attachment(oci::EMPTY_TEXT)?);
            let bill = Descriptor::new(media_type, staging.attachment(&text)?);
            // It refers to what an index would name, and no more.
            let subject = Descriptor {
                platform: None,
                ..made.manifest.clone()
            };
            let document = json!({
                "schemaVersion": 2,
                "mediaType": oci::MANIFEST,
                "artifactType": media_type,
                "config": config,
                "layers": [bill],
                "subject": subject,
                "annotations": { "org.opencontainers.image.created": made.bill.created },
            });
            let stored = staging.attachment(&oci::canonical(&document))?;
            attached.push(Attached {
                manifest: Descriptor {
                    artifact_type: Some(media_type.to_owned()),
                    ..Descriptor::new(oci::MANIFEST, stored)
                },
                blobs: [config, bill],
                subject: made.manifest.digest,
                platform: made.platform,
                format,
                text,
            });
        }
    }
    Ok(attached)
}

impl Attached {
    /// Writes `NAME-PLATFORM.spdx.json` or `NAME-PLATFORM.cdx.json` beside the image.
    pub(super) fn write_beside(&self, output: &Path) -> Result<PathBuf, Error> {
        let stem = match output.extension() {
            Some(ending) if ending == "tar" => output.file_stem(),
            _ => output.file_name(),
        };
        let name = format!(
            "{}-{}.{}",
            stem.unwrap_or_default().to_string_lossy(),
            self.platform,
            self.format.ending()
        );
        let path = output.with_file_name(name);
        fetch::replace(&path, &self.text)?;
        Ok(path)
    }
}

/// The conda packages of an image, as their records describe them.
pub(super) fn components(environments: &Environments, items: &[Item<'_>]) -> Vec<Component> {
    let prefetched = environments.prefetched.iter();
    let records: HashMap<String, _> = prefetched
        .chain(&environments.installed)
        .flat_map(|environment| &environment.prepared.records)
        .map(|record| (dist(record), &record.package_record))
        .collect();
    items
        .iter()
        .map(|item| {
            let head = item.head;
            let record = records.get(item.dist());
            Component {
                name: head.name.clone(),
                version: head.version.clone(),
                kind: Kind::Conda {
                    build: head.build.clone(),
                    subdir: head.subdir.clone(),
                    channel: head.channel.clone(),
                },
                url: head.url.clone(),
                licence: record.and_then(|record| record.license.clone()),
                sha256: record.and_then(|r| Some(conda::hex::encode(&r.sha256?))),
                md5: record.and_then(|r| Some(conda::hex::encode(&r.md5?))),
                depends: record.map_or_else(Vec::new, |record| names(&record.depends)),
                env: item.environment.name.clone(),
                prefetched: item.prefetched(),
            }
        })
        .collect()
}

/// The names of packages that specs begin with.
fn names(depends: &[String]) -> Vec<String> {
    let name = |spec: &String| {
        let end = spec.find(|letter: char| letter.is_whitespace() || "<>=!~[".contains(letter));
        spec[..end.unwrap_or(spec.len())].to_lowercase()
    };
    depends.iter().map(name).collect()
}
