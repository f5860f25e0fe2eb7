//! What a bake comes to, as the caller is told.

use std::collections::BTreeMap;
use std::path::PathBuf;

use conda::Subdir;
use serde::Serialize;

/// A finished image, or with `dry_run` what would be in it.
#[derive(Debug, Serialize)]
pub struct Baked {
    /// Where it is; none with `dry_run`.
    pub output: Option<PathBuf>,
    /// The digest of its manifest, or of the index over several.
    pub digest: Option<String>,
    /// What it is called.
    pub tags: Vec<String>,
    /// Where it was sent.
    pub pushed: Vec<Pushed>,
    /// Its bills of materials, beside the output.
    pub sboms: Vec<PathBuf>,
    /// The image for each platform.
    pub images: Vec<BakedImage>,
}

/// An image that was sent to a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// Its name there.
    pub reference: String,
    /// Blobs that were sent.
    pub sent: usize,
    /// Blobs that the registry had.
    pub present: usize,
    /// Blobs of the base that the registry took from its repository.
    pub mounted: usize,
}

/// The image for one platform.
#[derive(Debug, Serialize)]
pub struct BakedImage {
    /// The platform.
    pub platform: Subdir,
    /// The same, as engines call it.
    pub engine_platform: String,
    /// The digest of its manifest.
    pub digest: Option<String>,
    /// The digest of its configuration, which Docker calls the image's ID.
    pub id: Option<String>,
    /// Bytes of all layers as they are stored.
    pub size: u64,
    /// From the base upwards.
    pub layers: Vec<BakedLayer>,
    /// Packages whose Python modules are not compiled, with how many these are.
    pub not_compiled: BTreeMap<String, usize>,
    /// Scripts that did not run, and whose they are.
    pub skipped_scripts: Vec<String>,
    /// Scripts that ran under emulation.
    pub emulated_scripts: Vec<String>,
    /// Scripts that run when a container starts first.
    pub first_run_scripts: Vec<String>,
    /// Bytes that were left out of each package (`trim`).
    pub trimmed: BTreeMap<String, u64>,
    /// Bytes of what is in the prefix and could be left out, by the groups of `trim`.
    pub unneeded: BTreeMap<String, u64>,
    /// Debian packages with scripts of which more would have come than was made without them.
    pub unconfigured: Vec<String>,
    /// Files that Debian packages have scripts for, and that were made without them.
    pub made: Vec<String>,
}

/// One layer.
#[derive(Debug, Clone, Serialize)]
pub struct BakedLayer {
    /// What it is.
    pub kind: LayerKind,
    /// The digest of its file; none with `dry_run`.
    pub digest: Option<String>,
    /// The digest of the tar stream in it.
    pub diff_id: Option<String>,
    /// Bytes as they are stored; with `dry_run` those of the packages.
    pub size: u64,
    /// Bytes of the tar stream.
    pub unpacked: Option<u64>,
    /// Whether building it was saved.
    pub cached: bool,
    /// The packages in it.
    pub packages: Vec<BakedPackage>,
}

/// What a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// One of the base's.
    Base,
    /// Debian packages.
    Debs,
    /// Packages.
    Packages,
    /// Files that belong to no package.
    Files,
    /// What scripts of packages changed.
    Scripts,
}

/// A package in a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BakedPackage {
    /// `NAME-VERSION-BUILD`; `NAME_VERSION_ARCHITECTURE` of a Debian package.
    pub name: String,
    /// Bytes of its files in the layer; with `dry_run` of its archive.
    pub size: u64,
    /// The environment that it is installed into, if not the base one.
    pub env: Option<String>,
    /// Whether it lies in the package cache alone.
    pub prefetched: bool,
}
