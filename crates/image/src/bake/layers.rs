//! The layers of one image: which packages there are, and how each group of them becomes a tar stream.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use archive::payload::{Frame, Payload};
use installer::{Assembled, Prepared};
use runtime::lay::{self, Extent, Laid, Settings};
use runtime::plan::{Kind, Package, PackageHead, Python};

use super::platform::Job;
use super::{BakedPackage, top};
use crate::error::Error;
use crate::event::Event;
use crate::layer::{Archive, LayerTree, Meta, Packed, Packer};
use crate::output::Staging;
use crate::root::{Node, Root};

/// A folder that we make.
pub(super) fn folder_meta(modified: u64) -> Meta {
    Meta {
        mode: 0o755,
        owner: (0, 0),
        modified,
    }
}

/// A package on its way into a layer.
pub(super) struct Item<'a> {
    pub(super) head: &'a PackageHead,
    package: &'a Package,
    python: Option<&'a Python>,
    pub(super) extent: Extent,
    frames: &'a Frames,
    pub(super) prefetched: bool,
}

/// The frames of one plan.
pub(super) struct Frames {
    frames: Vec<Frame>,
    source: Assembled,
}

impl Frames {
    pub(super) fn of(prepared: &Prepared) -> Frames {
        let (frames, source) = prepared.frames.assembled();
        Frames { frames, source }
    }

    /// The frames as the runtime reads them.
    pub(super) fn payload(&self) -> Payload<'_, Assembled> {
        Payload::of_frames(&self.source, self.frames.clone())
    }
}

/// What the layers of one image have in common while they are written.
pub(super) struct LayerWriter<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) staging: &'a Staging,
    pub(super) root: &'a Root,
    pub(super) prefix: &'a str,
    pub(super) items: &'a [Item<'a>],
    pub(super) laid: &'a [Mutex<Option<Laid>>],
    pub(super) cancelled: &'a AtomicBool,
}

impl LayerWriter<'_> {
    /// Writes the layer of these packages.
    pub(super) fn packages(
        &self,
        layer: usize,
        members: &[usize],
    ) -> Result<(Packed, Vec<BakedPackage>), Error> {
        let modified = members
            .iter()
            .map(|member| newest(self.items[*member].package))
            .max();
        let modified = modified.unwrap_or(0);
        let archive = self.begin(&format!("{layer}"), modified)?;
        let scratch = self.staging.scratch();
        let tree = LayerTree::new(archive, self.prefix, modified, scratch);
        let mut packages = Vec::new();
        for &member in members {
            let item = &self.items[member];
            let before = tree.length();
            tree.next_package();
            let laid = self.lay(item, &tree)?;
            (self.job.recipe.report)(Event::Bytes {
                bytes: item.head.size,
            });
            packages.push(BakedPackage {
                name: laid.dist.clone(),
                size: tree.length() - before,
                prefetched: item.prefetched,
            });
            if let Ok(mut slot) = self.laid[member].lock() {
                *slot = Some(laid);
            }
        }
        let packer = tree
            .into_archive()
            .and_then(Archive::finish)
            .map_err(|source| self.cannot_write(source))?;
        Ok((packer.finish(self.staging)?, packages))
    }

    fn lay(&self, item: &Item<'_>, tree: &LayerTree<Packer>) -> Result<Laid, Error> {
        let payload = item.frames.payload();
        lay::lay_package(
            &payload,
            item.package.clone(),
            item.python,
            tree,
            self.settings(item.extent),
            &|_| {},
        )
        .map_err(|source| Error::Lay {
            platform: self.job.platform,
            package: item.package.dist.clone(),
            source,
        })
    }

    /// Writes the layer of what belongs to no package.
    pub(super) fn top(&self, shared: &top::Shared<'_>) -> Result<Packed, Error> {
        let archive = self.begin("top", shared.created)?;
        let archive = shared.write(archive, self.staging, self.settings(Extent::Prefix))?;
        let packer = archive
            .finish()
            .map_err(|source| self.cannot_write(source))?;
        packer.finish(self.staging)
    }

    fn settings(&self, extent: Extent) -> Settings<'_> {
        Settings {
            prefix: &self.job.target.prefix,
            extent,
            threads: 1,
            cancelled: self.cancelled,
        }
    }

    /// Begins a layer with the folders that lead to the prefix. Those of the base stay as they are.
    fn begin(&self, name: &str, modified: u64) -> Result<Archive<Packer>, Error> {
        let name = format!("{}-{name}", self.job.platform);
        let begin = |blob| -> std::io::Result<Archive<Packer>> {
            let packer = Packer::new(blob, self.job.recipe.definition.compression)?;
            let mut archive = Archive::new(packer);
            known_folders(&mut archive, self.root, self.prefix);
            archive.parents(&format!("{}/", self.prefix), folder_meta(modified))?;
            Ok(archive)
        };
        begin(self.staging.blob(&name)?).map_err(|source| self.cannot_write(source))
    }

    fn cannot_write(&self, source: std::io::Error) -> Error {
        Error::Write {
            path: self.staging.scratch().to_owned(),
            source,
        }
    }
}

/// Tells a layer which folders on the way to a path the base has.
pub(super) fn known_folders<W: std::io::Write>(archive: &mut Archive<W>, root: &Root, path: &str) {
    for (slash, _) in path.match_indices('/').chain([(path.len(), "")]) {
        let folder = &path[..slash];
        if root.node(folder) == Some(&Node::Directory) {
            archive.has_directory(folder);
        }
    }
}

/// All packages: what is installed, then what is only prefetched.
pub(super) fn items<'a>(
    prepared: &'a Prepared,
    frames: &'a Frames,
    prefetched: Option<(&'a Prepared, &'a Frames)>,
) -> Vec<Item<'a>> {
    let also: HashSet<&str> = prefetched
        .iter()
        .flat_map(|(prepared, _)| &prepared.planned.packages)
        .map(|package| package.dist.as_str())
        .collect();
    let plan = &prepared.planned.plan;
    let mut items: Vec<Item<'_>> = plan
        .packages
        .iter()
        .zip(&prepared.planned.packages)
        .map(|(head, package)| Item {
            head,
            package,
            python: plan.python.as_ref(),
            extent: if plan.keep_packages || also.contains(package.dist.as_str()) {
                Extent::PrefixAndCache
            } else {
                Extent::Prefix
            },
            frames,
            prefetched: false,
        })
        .collect();
    let installed: HashSet<&str> = prepared
        .planned
        .packages
        .iter()
        .map(|package| package.dist.as_str())
        .collect();
    if let Some((prepared, frames)) = prefetched {
        let plan = &prepared.planned.plan;
        let packages = plan.packages.iter().zip(&prepared.planned.packages);
        let only = packages.filter(|(_, package)| !installed.contains(package.dist.as_str()));
        items.extend(only.map(|(head, package)| Item {
            head,
            package,
            python: plan.python.as_ref(),
            extent: Extent::Cache,
            frames,
            prefetched: true,
        }));
    }
    items
}

/// The time of a package's newest file: it follows from the package, and stays when the image is baked
/// at another time.
fn newest(package: &Package) -> u64 {
    let files = package.entries.iter().chain(&package.info);
    let times = files.filter_map(|entry| match &entry.kind {
        Kind::File(file) => u64::try_from(file.modified).ok(),
        _ => None,
    });
    times.max().unwrap_or(0)
}
