//! The layers of one image: how each group of packages becomes a tar stream, or is taken from a cache.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::sync::atomic::AtomicBool;

use archive::digest::Sha256;
use archive::payload::{Frame, Payload};
use installer::{Assembled, Prepared};
use rayon::prelude::*;
use runtime::compile;
use runtime::lay::{self, Extent, Laid, Settings};
use runtime::plan::{Kind, Package};

use super::cache::{self, Cache, Found};
use super::compile::Compiler;
use super::emulation::Pythons;
use super::items::Item;
use super::platform::Job;
use super::{BakedPackage, top};
use crate::error::Error;
use crate::event::Event;
use crate::layer::{Archive, LayerTree, Meta, Modules, Packed, Packer};
use crate::output::Staging;
use crate::python::Python;
use crate::root::{Node, Root};

/// A folder that we make.
pub(super) fn folder_meta(modified: u64) -> Meta {
    Meta {
        mode: 0o755,
        owner: (0, 0),
        modified,
    }
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
    pub(super) cancelled: &'a AtomicBool,
    pub(super) cache: &'a Cache<'a>,
    pub(super) pythons: &'a Pythons<'a>,
}

/// A layer that is in the image.
pub(super) struct Written {
    pub(super) packed: Packed,
    pub(super) packages: Vec<BakedPackage>,
    /// What it is made of.
    pub(super) key: Sha256,
    /// Whether it had been made before.
    pub(super) cached: bool,
}

impl LayerWriter<'_> {
    /// Writes the layer of each group of items. Returns what became of each item, too.
    pub(super) fn groups(
        &self,
        groups: &[Vec<usize>],
    ) -> Result<(Vec<Written>, Vec<Option<Laid>>), Error> {
        let sizes = self.items.iter().map(|item| item.head.size);
        (self.job.recipe.report)(Event::Layers {
            platform: self.job.platform,
            total: sizes.sum(),
        });
        // The longest first, so that no long layer starts last.
        let mut order: Vec<usize> = (0..groups.len()).collect();
        order.sort_by_key(|&layer| {
            let sizes = groups[layer].iter().map(|&item| self.items[item].head.size);
            std::cmp::Reverse(sizes.sum::<u64>())
        });
        let written = order
            .into_par_iter()
            .with_max_len(1)
            .map(|layer| Ok((layer, self.packages(layer, &groups[layer])?)))
            .collect::<Result<BTreeMap<usize, _>, Error>>()?;
        let mut laid: Vec<Option<Laid>> = self.items.iter().map(|_| None).collect();
        let mut layers = Vec::new();
        for (layer, (written, members)) in written {
            for (&item, one) in groups[layer].iter().zip(members) {
                laid[item] = Some(one);
            }
            layers.push(written);
        }
        Ok((layers, laid))
    }

    /// Writes the layer of these packages, or takes it from a cache.
    fn packages(&self, layer: usize, members: &[usize]) -> Result<(Written, Vec<Laid>), Error> {
        let modified = members
            .iter()
            .map(|member| newest(self.items[*member].package))
            .max();
        let modified = modified.unwrap_or(0);
        let items: Vec<&Item<'_>> = members.iter().map(|member| &self.items[*member]).collect();
        let folders: Vec<&str> = folders(self.root, self.prefix).collect();
        let frame = cache::Frame {
            prefix: self.prefix,
            folders: &folders,
            modified,
        };
        let key = cache::key(self.job, frame, &items);
        let found = self.cache.find(key, &items);
        let cached = found.is_some();
        let (found, laid) = if let Some(found) = found {
            (found, self.foresee(&items)?)
        } else {
            let (found, laid) = self.build(layer, members, modified)?;
            self.cache.keep(&key.to_string(), &found);
            (found, laid)
        };
        let packages = items
            .iter()
            .zip(&found.sizes)
            .map(|(item, size)| BakedPackage {
                name: item.dist().to_owned(),
                size: *size,
                env: item.env().map(str::to_owned),
                prefetched: item.prefetched(),
            });
        let written = Written {
            packages: packages.collect(),
            packed: found.packed,
            key,
            cached,
        };
        Ok((written, laid))
    }

    /// Of packages whose layer is there, what laying them would have told.
    fn foresee(&self, items: &[&Item<'_>]) -> Result<Vec<Laid>, Error> {
        let foresee = |item: &&Item<'_>| {
            let laid = lay::foresee(item.package.clone(), item.python());
            let laid = laid.map_err(|source| self.cannot_lay(item, source))?;
            (self.job.recipe.report)(Event::Bytes {
                bytes: item.head.size,
            });
            Ok(laid)
        };
        items.iter().map(foresee).collect()
    }

    fn build(
        &self,
        layer: usize,
        members: &[usize],
        modified: u64,
    ) -> Result<(Found, Vec<Laid>), Error> {
        let archive = self.begin(&format!("{layer}"), modified)?;
        let scratch = self.staging.scratch();
        let mut tree = LayerTree::new(archive, self.prefix, modified, scratch);
        let (mut sizes, mut all) = (Vec::new(), Vec::new());
        for &member in members {
            let item = &self.items[member];
            let before = tree.length();
            tree.next_package(item.place, self.twins(members, member))
                .map_err(|source| self.cannot_write(source))?;
            let laid = self.lay(item, &tree)?;
            (self.job.recipe.report)(Event::Bytes {
                bytes: item.head.size,
            });
            sizes.push(tree.length() - before);
            all.push(laid);
        }
        let packer = tree
            .into_archive()
            .and_then(Archive::finish)
            .map_err(|source| self.cannot_write(source))?;
        let packed = packer.finish(self.staging)?;
        Ok((Found { packed, sizes }, all))
    }

    /// The files that an earlier package of the layer has, too: the same package in another environment.
    fn twins(&self, members: &[usize], member: usize) -> HashMap<String, String> {
        let item = &self.items[member];
        let earlier = members.iter().take_while(|other| **other != member);
        let mut earlier = earlier.map(|other| &self.items[*other]);
        let first = earlier.find(|other| other.dist() == item.dist() && !other.prefetched());
        match first {
            Some(first) if !item.prefetched() => item.twins_of(first),
            _ => HashMap::new(),
        }
    }

    fn lay(&self, item: &Item<'_>, tree: &LayerTree<Packer>) -> Result<Laid, Error> {
        let environment = item.environment;
        let payload = environment.frames.payload();
        let settings = self.settings(&environment.prefix, item.extent);
        let (package, python) = (item.package.clone(), item.python());
        let Some((compiler, python)) = item.compiler().zip(python) else {
            return lay::lay_package(&payload, package, python, tree, settings, &|_| {})
                .map_err(|source| self.cannot_lay(item, source));
        };
        let cannot = |source| Error::Compile {
            package: environment.called(item.dist()),
            source,
        };
        let own;
        let compiler: &dyn Python = match compiler {
            Compiler::Host(interpreter) => interpreter,
            Compiler::Own(_) => {
                own = self.pythons.of(environment, python).map_err(cannot)?;
                &own
            }
        };
        let modules = Modules::new(tree, item.dist(), self.staging.scratch());
        let modules = modules.map_err(|source| self.cannot_write(source))?;
        let laid = lay::lay_package(&payload, package, Some(python), &modules, settings, &|_| {})
            .map_err(|source| self.cannot_lay(item, source))?;
        let names = laid.modules.iter().map(|module| {
            let result = compile::compiled_path(module, python);
            (module.clone(), result)
        });
        let closed = |folder: &str| environment.closed.contains(folder);
        modules
            .finish(compiler, settings.prefix, names.collect(), &closed)
            .map_err(cannot)?;
        Ok(laid)
    }

    fn cannot_lay(&self, item: &Item<'_>, source: runtime::Error) -> Error {
        Error::Lay {
            platform: self.job.platform,
            package: item.environment.called(item.dist()),
            source,
        }
    }

    /// Writes the layer of what belongs to no package.
    pub(super) fn top(&self, shared: &top::Shared<'_>) -> Result<Packed, Error> {
        let archive = self.begin("top", shared.created)?;
        let settings = self.settings(&self.job.target.prefix, Extent::Prefix);
        let archive = shared.write(archive, self.staging, settings)?;
        let packer = archive
            .finish()
            .map_err(|source| self.cannot_write(source))?;
        packer.finish(self.staging)
    }

    fn settings<'s>(&'s self, prefix: &'s str, extent: Extent) -> Settings<'s> {
        Settings {
            prefix,
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
pub(super) fn known_folders<W: Write>(archive: &mut Archive<W>, root: &Root, path: &str) {
    for folder in folders(root, path) {
        archive.has_directory(folder);
    }
}

/// The folders on the way to a path that the base has.
fn folders<'p>(root: &Root, path: &'p str) -> impl Iterator<Item = &'p str> {
    let ends = path.match_indices('/').map(|(slash, _)| slash);
    let all = ends.chain([path.len()]).map(|end| &path[..end]);
    all.filter(|folder| root.node(folder) == Some(&Node::Directory))
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
