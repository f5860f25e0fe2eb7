//! What is in an image, as a bill of materials in the two forms that scanners read: SPDX 2.3 and `CycloneDX`
//! 1.6, both as JSON. Pure: the same image has the same bills, byte for byte.

mod cyclonedx;
mod licence;
mod spdx;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::oci::{self, Digest};

pub(crate) use licence::{Licence, together};

/// What a bill is about.
#[derive(Debug, Clone)]
pub(crate) struct Bill {
    /// The distribution.
    pub(crate) name: String,
    pub(crate) version: String,
    /// The platform, as engines call it.
    pub(crate) platform: String,
    /// The time of the image, as documents write it.
    pub(crate) created: String,
    /// The digest of its manifest.
    pub(crate) image: Digest,
    /// What it stands on: the name, and the digest of the manifest where it is known.
    pub(crate) base: Option<(String, Option<String>)>,
    /// The packages, those that lie lower first.
    pub(crate) components: Vec<Component>,
}

/// A package in an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) kind: Kind,
    /// Where the archive comes from, without credentials.
    pub(crate) url: String,
    /// What the record says.
    pub(crate) licence: Option<String>,
    pub(crate) sha256: Option<String>,
    pub(crate) md5: Option<String>,
    /// The names of what it needs.
    pub(crate) depends: Vec<String>,
    /// Whose it is among environments, if not the base one's.
    pub(crate) env: Option<String>,
    /// Whether it lies in the package cache alone.
    pub(crate) prefetched: bool,
}

/// Whether it is Debian's, its environment, its name.
type Key<'n> = (bool, Option<&'n str>, &'n str);

/// Whose package it is. Packages of two kinds may have one name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Kind {
    Conda {
        build: String,
        subdir: String,
        /// The channel's name, or its address without credentials.
        channel: String,
    },
    Debian {
        /// `debian` or `ubuntu`.
        vendor: String,
        suite: String,
        architecture: String,
    },
}

/// The forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Spdx,
    CycloneDx,
}

impl Format {
    pub(crate) const ALL: [Format; 2] = [Format::Spdx, Format::CycloneDx];

    /// The type of such a document, which is also what an artifact with one in it is.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Format::Spdx => "application/spdx+json",
            Format::CycloneDx => "application/vnd.cyclonedx+json",
        }
    }

    /// How the names of such files end.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Format::Spdx => "spdx.json",
            Format::CycloneDx => "cdx.json",
        }
    }
}

impl Bill {
    /// The document, in lines.
    pub(crate) fn text(&self, format: Format) -> Vec<u8> {
        let document: Value = match format {
            Format::Spdx => spdx::document(self),
            Format::CycloneDx => cyclonedx::document(self),
        };
        format!("{:#}\n", oci::sorted(document)).into_bytes()
    }

    /// What the image is called among packages (package-url specification, type `oci`).
    fn purl(&self) -> String {
        let name = self.name.to_lowercase();
        let (os, architecture) = self.platform.split_once('/').unwrap_or(("linux", ""));
        debug_assert_eq!(os, "linux");
        let architecture = architecture.split('/').next().unwrap_or_default();
        format!(
            "pkg:oci/{}@{}?arch={}",
            encoded(&name),
            encoded(&self.image.to_string()),
            encoded(architecture)
        )
    }
}

impl Component {
    /// What the package is called (package-url specification, types `conda` and `deb`).
    pub(crate) fn purl(&self) -> String {
        let (name, version) = (encoded(&self.name), encoded(&self.version));
        match &self.kind {
            Kind::Conda {
                build,
                subdir,
                channel,
            } => {
                let kind = if self.url.ends_with(".tar.bz2") {
                    "tar.bz2"
                } else {
                    "conda"
                };
                // Where a channel lies is no part of its name: a folder of this machine least of all.
                let channel = if channel.contains("://") || channel.starts_with('/') {
                    let mut names = channel.rsplit('/');
                    names.find(|name| !name.is_empty()).unwrap_or_default()
                } else {
                    channel
                };
                format!(
                    "pkg:conda/{name}@{version}?build={}&channel={}&subdir={}&type={kind}",
                    encoded(build),
                    encoded(channel),
                    encoded(subdir),
                )
            }
            Kind::Debian {
                vendor,
                suite,
                architecture,
            } => format!(
                "pkg:deb/{vendor}/{name}@{version}?arch={}&distro={}",
                encoded(architecture),
                encoded(suite)
            ),
        }
    }

    /// Tells it from others in the image.
    fn key(&self) -> Key<'_> {
        self.key_of(&self.name)
    }

    /// The same for what it needs.
    fn key_of<'n>(&'n self, name: &'n str) -> Key<'n> {
        let debian = matches!(self.kind, Kind::Debian { .. });
        (debian, self.env.as_deref(), name)
    }

    /// Where others can have it, if they can.
    fn address(&self) -> Option<&str> {
        let public = self.url.starts_with("https://") || self.url.starts_with("http://");
        public.then_some(self.url.as_str())
    }
}

/// Percent-encoding of a part of a package URL.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
