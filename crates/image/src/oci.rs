//! The documents of an image: descriptors, manifests and indexes of the OCI image specification 1.1,
//! and `manifest.json` as `docker save` writes it. A configuration stays a tree, since bases have keys
//! that the specification does not know (Docker's `Healthcheck`, `Shell`) and that must survive.

use std::collections::BTreeMap;
use std::fmt;

use archive::digest::Sha256;
use conda::Subdir;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

/// A tree of JSON with its keys in order.
pub(crate) type Object = Map<String, Value>;

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// What has no configuration has this one: `{}` (image specification, "Guidance for an Empty Descriptor").
pub(crate) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
pub(crate) const EMPTY_TEXT: &[u8] = b"{}";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub(crate) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LAYER_TAR: &str = "application/vnd.docker.image.rootfs.diff.tar";
pub(crate) const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
pub(crate) const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";

/// With what names begin that take away what the layers below have, and the name that takes away all that they have in
/// its folder (image specification, "Layer Filesystem Changeset").
pub(crate) const WHITEOUT: &str = ".wh.";
pub(crate) const OPAQUE: &str = ".wh..wh..opq";

/// The name of an image in an index.
pub(crate) const REFERENCE: &str = "org.opencontainers.image.ref.name";

/// The same, as containerd and Docker from 25 on read it.
pub(crate) const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// A digest as documents write it: `sha256:` and 64 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Digest(pub(crate) Sha256);

impl Digest {
    /// Where its blob lies in a layout.
    pub(crate) fn path(self) -> String {
        format!("blobs/sha256/{}", self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sha256:{}", self.0)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hex = text.strip_prefix("sha256:").ok_or_else(|| {
            let shown: String = text.chars().take(80).collect();
            de::Error::custom(format!("`{shown}` is no sha256 digest"))
        })?;
        hex.parse().map(Digest).map_err(de::Error::custom)
    }
}

/// What a document says of another one or of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    /// What the manifest that it names is, where that is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
}

impl Descriptor {
    /// What is said of a blob or document, and no more.
    pub(crate) fn new(media_type: &str, (digest, size): (Digest, u64)) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            annotations: None,
            platform: None,
            artifact_type: None,
        }
    }
}

/// The CPU and system of an image, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Platform {
    pub(crate) architecture: String,
    pub(crate) os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) variant: Option<String>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

/// Several images, or what a layout holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) manifests: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

/// One image of `docker save`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DockerImage {
    pub(crate) config: String,
    #[serde(default)]
    pub(crate) repo_tags: Option<Vec<String>>,
    pub(crate) layers: Vec<String>,
}

impl Platform {
    /// What conda's platform is called there, if it is called anything.
    pub(crate) fn of(platform: Subdir) -> Option<Platform> {
        let (architecture, variant) = match platform {
            Subdir::Linux64 => ("amd64", None),
            Subdir::LinuxAarch64 => ("arm64", Some("v8")),
            Subdir::LinuxPpc64le => ("ppc64le", None),
            Subdir::LinuxS390X => ("s390x", None),
            Subdir::LinuxRiscv64 => ("riscv64", None),
            Subdir::LinuxArmV7l => ("arm", Some("v7")),
            Subdir::LinuxArmV6l => ("arm", Some("v6")),
            Subdir::Linux32 => ("386", None),
            _ => return None,
        };
        Some(Platform {
            architecture: architecture.to_owned(),
            os: "linux".to_owned(),
            variant: variant.map(str::to_owned),
        })
    }

    /// Whether an image of this platform runs where `wanted` is asked for. Many images for arm64 have
    /// no variant, which means v8.
    pub(crate) fn fits(&self, wanted: &Platform) -> bool {
        let variant = |platform: &Platform| match (&*platform.architecture, &platform.variant) {
            ("arm64", None) => Some("v8".to_owned()),
            (_, variant) => variant.clone(),
        };
        self.architecture == wanted.architecture
            && self.os == wanted.os
            && variant(self) == variant(wanted)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(formatter, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// The document as bytes: compact, every object's keys in order, so that the same content has the
/// same digest.
pub(crate) fn canonical<T: Serialize>(document: &T) -> Vec<u8> {
    // Text keys and values, and no floats: nothing that JSON has no form for.
    let tree = serde_json::to_value(document).unwrap_or_default();
    serde_json::to_vec(&sorted(tree)).unwrap_or_default()
}

/// The same tree with every object's keys in order.
pub(crate) fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let by_key: BTreeMap<String, Value> = object
                .into_iter()
                .map(|(key, value)| (key, sorted(value)))
                .collect();
            Value::Object(by_key.into_iter().collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_have_the_names_that_engines_know() {
        let name = |subdir| Platform::of(subdir).map(|platform| platform.to_string());
        assert_eq!(name(Subdir::Linux64).as_deref(), Some("linux/amd64"));
        assert_eq!(
            name(Subdir::LinuxAarch64).as_deref(),
            Some("linux/arm64/v8")
        );
        assert_eq!(name(Subdir::Osx64), None);
        let arm = Platform::of(Subdir::LinuxAarch64).unwrap();
        let bare = Platform {
            variant: None,
            ..arm.clone()
        };
        assert!(bare.fits(&arm) && !bare.fits(&Platform::of(Subdir::Linux64).unwrap()));
    }

    #[test]
    fn documents_have_one_form() {
        let one = serde_json::json!({ "b": { "d": 1, "c": [ { "z": 1, "a": 2 } ] }, "a": null });
        assert_eq!(
            String::from_utf8(canonical(&one)).unwrap(),
            r#"{"a":null,"b":{"c":[{"a":2,"z":1}],"d":1}}"#
        );
    }

    #[test]
    fn only_sha256_is_a_digest() {
        let digest = Digest(Sha256::of(b"x"));
        let text = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<Digest>(&text).unwrap(), digest);
        for wrong in ["\"sha512:00\"", "\"sha256:00\"", "\"\"", "7"] {
            assert!(serde_json::from_str::<Digest>(wrong).is_err(), "{wrong}");
        }
    }
}
