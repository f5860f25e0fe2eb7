//! The packages of an image on their way into layers: those of its environments, and those that lie in the package
//! cache alone.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Write;

use runtime::compile::PROGRAM;
use runtime::lay::Extent;
use runtime::plan::{Entry, File, Kind, Package, PackageHead, Python};

use super::compile::Compiler;
use super::environments::{Environment, Environments};
use crate::group::Subject;

/// A package on its way into a layer.
pub(super) struct Item<'a> {
    pub(super) head: &'a PackageHead,
    pub(super) package: &'a Package,
    /// Whose package it is.
    pub(super) environment: &'a Environment,
    /// Where the root of its files lies in the image.
    pub(super) place: &'a str,
    pub(super) extent: Extent,
}

impl Item<'_> {
    /// `NAME-VERSION-BUILD`.
    pub(super) fn dist(&self) -> &str {
        &self.package.dist
    }

    /// Whether it lies in the package cache alone.
    pub(super) fn prefetched(&self) -> bool {
        !self.extent.has_prefix()
    }

    /// The environment that it is installed into, if not the base one.
    pub(super) fn env(&self) -> Option<&str> {
        let name = self.environment.name.as_deref();
        name.filter(|_| self.extent.has_prefix())
    }

    /// What the grouping looks at.
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            name: &self.head.name,
            noarch: self.head.subdir == "noarch",
            prefetched: self.prefetched(),
        }
    }

    /// What compiles its modules, if they are compiled.
    pub(super) fn compiler(&self) -> Option<&Compiler> {
        let compiled = self.extent.has_prefix() && self.package.compile;
        let compiler = self.environment.compiler.as_ref();
        compiler.filter(|_| compiled)
    }

    /// Whether its modules stay as they are, to be compiled some day.
    pub(super) fn is_not_compiled(&self) -> bool {
        self.extent.has_prefix() && self.compiler().is_none()
    }

    /// The files that it has in common with the same package in another environment, where these are.
    pub(super) fn twins_of(&self, other: &Item<'_>) -> HashMap<String, String> {
        let there: HashMap<&str, (&str, &File)> = plain_files(other.package)
            .map(|(entry, file)| (source(entry), (entry.path.as_str(), file)))
            .collect();
        let twin = |(entry, file): (&Entry, &File)| {
            let (path, other_file) = there.get(source(entry))?;
            let of = |file: &File| (file.sha256, file.size, file.mode, file.modified);
            let place = format!("{}/{path}", other.place);
            (of(file) == of(other_file)).then(|| (entry.path.clone(), place))
        };
        plain_files(self.package).filter_map(twin).collect()
    }

    pub(super) fn python(&self) -> Option<&Python> {
        self.environment.prepared.planned.plan.python.as_ref()
    }

    /// The paths of its entries in the prefix.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.package.entries.iter().map(|entry| &*entry.path)
    }

    /// Writes all that its part of a layer follows from. Frames have numbers in the plan, which other
    /// packages change; what counts is their order.
    pub(super) fn describe(&self, sink: &mut impl Write) {
        let mut package = self.package.clone();
        let entries = package.entries.iter_mut().chain(&mut package.info);
        let mut files: Vec<&mut File> = entries
            .filter_map(|entry| match &mut entry.kind {
                Kind::File(file) => Some(file),
                _ => None,
            })
            .collect();
        let frames: BTreeSet<usize> = files.iter().map(|file| file.frame).collect();
        let frames: Vec<usize> = frames.into_iter().collect();
        for file in &mut files {
            file.frame = frames.binary_search(&file.frame).unwrap_or(0);
        }
        let settings = (format!("{:?}", self.extent), self.python());
        // Plans have a form in JSON, and a digest takes everything.
        let _ = serde_json::to_writer(&mut *sink, &settings);
        if let Some(env) = self.env() {
            let _ = serde_json::to_writer(&mut *sink, &[env]);
        }
        if let Some(compiler) = self.compiler() {
            let _ = serde_json::to_writer(&mut *sink, &(PROGRAM, compiler.version()));
        }
        let _ = serde_json::to_writer(&mut *sink, &package);
    }
}

/// All packages: what is installed, the base environment first, then what is only in the package cache, of which
/// there is one.
pub(super) fn items(environments: &Environments) -> Vec<Item<'_>> {
    let Some(base) = environments.base() else {
        return Vec::new();
    };
    let prefetched = environments.prefetched.as_ref();
    let also: HashSet<&str> = prefetched.into_iter().flat_map(dists).collect();
    let keep = base.prepared.planned.plan.keep_packages;
    let mut items: Vec<Item<'_>> = environments.installed.iter().flat_map(all).collect();
    for item in &mut items {
        let is_base = item.environment.name.is_none();
        if is_base && (keep || also.contains(item.dist())) {
            item.extent = Extent::PrefixAndCache;
        }
    }
    // Files of other environments are no links into it, which would have to lie in the same layer.
    let others = environments.installed.iter().skip(1).filter(|_| keep);
    let mut known: HashSet<&str> = dists(base).collect();
    for environment in prefetched.into_iter().chain(others) {
        for item in all(environment) {
            if known.insert(&item.package.dist) {
                items.push(Item {
                    extent: Extent::Cache,
                    place: &base.place,
                    ..item
                });
            }
        }
    }
    items
}

/// The packages of an environment, installed.
fn all(environment: &Environment) -> impl Iterator<Item = Item<'_>> {
    let plan = &environment.prepared.planned.plan;
    let packages = plan.packages.iter().zip(environment.packages());
    packages.map(|(head, package)| Item {
        head,
        package,
        environment,
        place: &environment.place,
        extent: Extent::Prefix,
    })
}

fn dists(environment: &Environment) -> impl Iterator<Item = &str> {
    let packages = environment.packages().iter();
    packages.map(|package| package.dist.as_str())
}

/// The files of a package that are the same in every prefix.
fn plain_files(package: &Package) -> impl Iterator<Item = (&Entry, &File)> {
    package
        .entries
        .iter()
        .filter_map(|entry| match &entry.kind {
            Kind::File(file) if file.size > 0 && file.placeholder.is_none() => {
                let linked = !entry.no_link && entry.clobbered_by.is_none();
                linked.then_some((entry, file))
            }
            _ => None,
        })
}

/// Where an entry is in its package.
fn source(entry: &Entry) -> &str {
    entry.source.as_ref().unwrap_or(&entry.path)
}
