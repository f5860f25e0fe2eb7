//! Unpacks Debian packages into a layer, as dpkg would without running their scripts.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;

use ::archive::digest::Md5;
use debian::books::{self, Status};
use debian::deb::{self, Entry, Kind};
use fs_err as fs;
use spec::{Archive, DebianLike};

use super::super::cache::Cache;
use super::super::platform::Job;
use super::archives::Sources;
use super::error::DebsError;
use super::incoming::{Incoming, in_order, incoming, replaces};
use super::kept::Account;
use super::lock::LockedDeb;
use super::unconfigured::is_unconfigured;
use super::writer::{Fault, Writer};
use super::{Failure, STATUS, Stage, locale, made};
use crate::error::Error;
use crate::event::Event;
use crate::layer::{Meta, Packed, Packer, What};
use crate::root::{Node, Root};
use crate::sbom::{self, Component};

/// Configuration files are read into memory; a longer one is a file like any other.
const LONGEST_CONFIGURATION: u64 = 16 << 20;

/// What a layer of packages is made with.
pub(super) struct Layer<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) stage: Stage,
    pub(super) architecture: &'a str,
    pub(super) archive: &'a Archive,
    pub(super) sources: &'a Sources,
    pub(super) cache: &'a Cache<'a>,
}

/// A layer that was written.
pub(super) struct Done {
    pub(super) packed: Packed,
    pub(super) account: Account,
}

impl Layer<'_> {
    /// Writes the layer, and takes it into the root.
    pub(super) fn write(
        &self,
        root: &mut Root,
        debs: &[LockedDeb],
        files: &[PathBuf],
        locales: Option<&(&str, &LockedDeb, PathBuf)>,
    ) -> Result<Done, Failure> {
        let mut all = Vec::new();
        for (deb, file) in debs.iter().zip(files) {
            all.push(incoming(deb, file)?);
        }
        in_order(&mut all);
        (self.job.recipe.report)(Event::Layers {
            platform: self.job.platform,
            total: debs.iter().map(|deb| deb.size).sum(),
        });
        let modified = all.iter().map(|one| one.control.modified).max();
        root.next_layer();
        let name = match self.stage {
            Stage::Root => "root",
            Stage::More => "debs",
        };
        let staging = self.cache.staging();
        let blob = staging.blob(&format!("{}-{name}", self.job.platform))?;
        let compression = self.job.recipe.definition.compression;
        let packer = Packer::new(blob, compression).map_err(|source| Error::Write {
            path: staging.scratch().to_owned(),
            source,
        })?;
        let mut writer = Writer::new(packer, root, staging, modified.unwrap_or(0));
        if self.stage == Stage::Root {
            made::before(&mut writer, self.architecture)?;
        }
        let mut status = Status::parse(writer.root.text(STATUS).unwrap_or_default());
        let mut owners: HashMap<String, usize> = HashMap::new();
        let mut packages = Vec::new();
        for number in 0..all.len() {
            let before = writer.length();
            self.unpack(&mut writer, &mut all, number, &mut owners, &status)?;
            (self.job.recipe.report)(Event::Bytes {
                bytes: all[number].deb.size,
            });
            packages.push((all[number].deb.title(), writer.length() - before));
        }
        self.books(&mut writer, &mut status, &all)?;
        made::after(&mut writer, self, &all)?;
        if let Some(locales) = locales {
            let before = writer.length();
            locale::write(&mut writer, locales)?;
            let name = format!("{} of {}", locales.0, locales.1.title());
            packages.push((name, writer.length() - before));
        }
        let (packer, made) = writer.finish()?;
        let unconfigured = all
            .iter()
            .filter(|one| is_unconfigured(&one.package.name, &one.control))
            .map(|one| one.package.name.clone())
            .collect();
        Ok(Done {
            packed: packer.finish(staging)?,
            account: Account {
                packages,
                made,
                unconfigured,
                components: self.components(&all, &status),
            },
        })
    }

    /// The packages, as bills of materials describe them. Their licences are in files, not in their records.
    fn components(&self, all: &[Incoming<'_>], status: &Status) -> Vec<Component> {
        let incoming: HashSet<&str> = all.iter().map(|one| one.package.name.as_str()).collect();
        let there =
            |name: &str| incoming.contains(name) || status.get(name, self.architecture).is_some();
        let one = |one: &Incoming<'_>| {
            let needs = one.package.needs(self.architecture).unwrap_or_default();
            let depends = needs.iter().filter_map(|needed| {
                let mut names = needed.iter().map(|relation| &relation.name);
                names.find(|name| there(name)).cloned()
            });
            Component {
                name: one.deb.name.clone(),
                version: one.deb.version.clone(),
                kind: sbom::Kind::Debian {
                    vendor: match self.sources.distribution {
                        DebianLike::Debian => "debian".to_owned(),
                        DebianLike::Ubuntu => "ubuntu".to_owned(),
                    },
                    suite: self.sources.suite().to_owned(),
                    architecture: one.deb.architecture.clone(),
                },
                url: one.deb.url.clone(),
                licence: None,
                sha256: Some(one.deb.sha256.clone()),
                md5: None,
                depends: depends.collect(),
                env: None,
                prefetched: false,
            }
        };
        all.iter().map(one).collect()
    }

    /// Unpacks one package.
    fn unpack(
        &self,
        writer: &mut Writer<'_>,
        all: &mut [Incoming<'_>],
        number: usize,
        owners: &mut HashMap<String, usize>,
        status: &Status,
    ) -> Result<(), Failure> {
        let name = all[number].package.name.clone();
        let title = all[number].title.clone();
        let old = status.get(&name, self.architecture);
        let old_conffiles: HashMap<String, String> = old
            .and_then(|old| old.get("Conffiles"))
            .unwrap_or_default()
            .lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                Some((words.next()?.to_owned(), words.next()?.to_owned()))
            })
            .collect();
        let conffiles: HashSet<String> = books::conffiles(&all[number].control)
            .into_iter()
            .map(str::to_owned)
            .collect();
        let file = fs::File::open(all[number].file).map_err(|source| DebsError::Deb {
            package: title.clone(),
            source: deb::DebError::Read { source },
        })?;
        let mut note = None;
        let mut list = vec!["/.".to_owned()];
        let mut sums = Vec::new();
        let unpacked = deb::contents(file, &mut |entry| {
            if entry.path.is_empty() {
                return Ok(());
            }
            let listed = format!("/{}", entry.path);
            let put = if conffiles.contains(&listed) {
                conffile(writer, entry, old_conffiles.get(&listed)).map(|sum| {
                    sums.extend(sum.map(|sum| (listed.clone(), sum)));
                    true
                })
            } else {
                put(writer, entry, all, number, owners)
            };
            match put {
                Ok(true) => list.push(listed),
                Ok(false) => {}
                Err(fault) => return Err(fault.noted(&mut note)),
            }
            Ok(())
        });
        unpacked.map_err(|error| writer.failed(&title, error, note))?;
        all[number].list = list;
        all[number].conffiles = sums;
        if old.is_some() {
            self.clear(writer, &all[number], &old_conffiles, owners)?;
        }
        Ok(())
    }
}

/// Writes an entry; `false` if it is another package's now.
fn put(
    writer: &mut Writer<'_>,
    entry: Entry<'_>,
    all: &mut [Incoming<'_>],
    number: usize,
    owners: &mut HashMap<String, usize>,
) -> Result<bool, Fault> {
    let meta = Meta {
        mode: entry.mode,
        owner: entry.owner,
        modified: entry.modified,
    };
    if entry.kind == Kind::Directory {
        writer.directory(&entry.path, meta)?;
        return Ok(true);
    }
    let place = writer.place(&entry.path)?;
    if let Some(&other) = owners.get(&place) {
        if other == number {
            return Err(Fault::Place {
                path: entry.path,
                problem: "it is there twice".to_owned(),
            });
        }
        if replaces(&all[other], &all[number]) {
            return Ok(false);
        }
        if !replaces(&all[number], &all[other]) {
            return Err(Fault::Place {
                path: entry.path,
                problem: format!("{} has it, too", all[other].title),
            });
        }
        let listed = format!("/{}", entry.path);
        all[other].list.retain(|path| *path != listed);
    }
    let link;
    let what = match &entry.kind {
        Kind::File(size) => What::File(*size),
        Kind::Link(target) => {
            if writer.root.node(&place) == Some(&Node::Link(target.clone())) {
                return Ok(true);
            }
            What::Link(target)
        }
        Kind::HardLink(target) => {
            link = writer.place(target)?;
            if owners.get(&link) != Some(&number) {
                return Err(Fault::Place {
                    path: entry.path,
                    problem: "it is a link to a file that the package does not have".to_owned(),
                });
            }
            What::HardLink(&link)
        }
        Kind::Directory => What::Directory,
    };
    writer.entry(&entry.path, meta, what, entry.content)?;
    owners.insert(place, number);
    Ok(true)
}

/// Writes a configuration file, but not over one that somebody changed; returns its digest.
fn conffile(
    writer: &mut Writer<'_>,
    entry: Entry<'_>,
    old: Option<&String>,
) -> Result<Option<String>, Fault> {
    let meta = Meta {
        mode: entry.mode,
        owner: entry.owner,
        modified: entry.modified,
    };
    let size = match entry.kind {
        Kind::File(size) if size <= LONGEST_CONFIGURATION => size,
        Kind::Link(target) => {
            if !writer.is_there(&entry.path) {
                writer.entry(&entry.path, meta, What::Link(&target), &mut io::empty())?;
            }
            return Ok(None);
        }
        _ => {
            return Err(Fault::Place {
                path: entry.path,
                problem: "it is no usable configuration file".to_owned(),
            });
        }
    };
    let mut bytes = Vec::new();
    entry.content.read_to_end(&mut bytes)?;
    let sum = Md5::of(&bytes).to_string();
    let place = writer.place(&entry.path)?;
    let there = writer.root.configuration(&place).map(|sum| sum.to_string());
    let what = What::File(size);
    match (there, old) {
        // What is there already is what the package brings.
        (Some(there), _) if there == sum => {}
        (Some(there), Some(old)) if there == *old => {
            writer.entry(&entry.path, meta, what, &mut bytes.as_slice())?;
        }
        // The package brings what it brought before; what is there was changed on purpose.
        (Some(_), Some(old)) if *old == sum => {}
        (Some(_), _) => {
            let beside = format!("{}.dpkg-dist", entry.path);
            writer.entry(&beside, meta, what, &mut bytes.as_slice())?;
        }
        (None, _) => writer.entry(&entry.path, meta, what, &mut bytes.as_slice())?,
    }
    Ok(Some(sum))
}
