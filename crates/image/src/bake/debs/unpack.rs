//! Unpacks Debian packages into a layer, as dpkg would without running their scripts: files, and the books.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use ::archive::digest::Md5;
use debian::books::{self, Status, Triggers};
use debian::deb::{self, Control, Entry, Kind};
use debian::{Package, Relation, Version, relation};
use fs_err as fs;
use spec::{Archive, DebianLike};

use super::super::BakedPackage;
use super::super::platform::Job;
use super::archives::Sources;
use super::error::DebsError;
use super::lock::LockedDeb;
use super::unconfigured::is_unconfigured;
use super::writer::{Fault, Writer};
use super::{Failure, STATUS, Stage, locale, made};
use crate::error::Error;
use crate::event::Event;
use crate::layer::{Meta, Packed, Packer, What};
use crate::output::Staging;
use crate::root::{Node, Root};
use crate::sbom::{self, Component};

/// Where dpkg keeps what it knows of packages.
const INFO: &str = "var/lib/dpkg/info";

/// What may lie there of a package (deb-conffiles(5) and the like).
const INFO_FILES: [&str; 13] = [
    "conffiles",
    "config",
    "isinstalled",
    "list",
    "md5sums",
    "postinst",
    "postrm",
    "preinst",
    "prerm",
    "shlibs",
    "symbols",
    "templates",
    "triggers",
];

/// Configuration files are read into memory; a longer one is a file like any other.
const LONGEST_CONFIGURATION: u64 = 16 << 20;

/// What a layer of packages is made with.
pub(super) struct Layer<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) stage: Stage,
    pub(super) architecture: &'a str,
    pub(super) archive: &'a Archive,
    pub(super) sources: &'a Sources,
    pub(super) staging: &'a Staging,
}

/// A layer that was written.
pub(super) struct Done {
    pub(super) packed: Packed,
    pub(super) packages: Vec<BakedPackage>,
    pub(super) made: Vec<String>,
    pub(super) unconfigured: Vec<String>,
    /// The packages, for the bills of materials.
    pub(super) components: Vec<Component>,
}

/// A package on its way.
pub(super) struct Incoming<'a> {
    pub(super) package: Package,
    pub(super) control: Control,
    title: String,
    file: &'a Path,
    deb: &'a LockedDeb,
    /// Of whom it may take files over.
    replaces: Vec<Relation>,
    /// What is in it, as its list says.
    list: Vec<String>,
    conffiles: Vec<(String, String)>,
}

impl Incoming<'_> {
    /// What is in it, with a slash in front.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(String::as_str)
    }
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
        let blob = self
            .staging
            .blob(&format!("{}-{name}", self.job.platform))?;
        let compression = self.job.recipe.definition.compression;
        let packer = Packer::new(blob, compression).map_err(|source| Error::Write {
            path: self.staging.scratch().to_owned(),
            source,
        })?;
        let mut writer = Writer::new(packer, root, self.staging, modified.unwrap_or(0));
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
            packages.push(BakedPackage {
                name: all[number].deb.title(),
                size: writer.length() - before,
                env: None,
                prefetched: false,
            });
        }
        self.books(&mut writer, &mut status, &all)?;
        made::after(&mut writer, self, &all)?;
        if let Some(locales) = locales {
            let before = writer.length();
            locale::write(&mut writer, locales)?;
            packages.push(BakedPackage {
                name: format!("{} of {}", locales.0, locales.1.title()),
                size: writer.length() - before,
                env: None,
                prefetched: false,
            });
        }
        let (packer, made) = writer.finish()?;
        let unconfigured = all
            .iter()
            .filter(|one| is_unconfigured(&one.package.name, &one.control))
            .map(|one| one.package.name.clone())
            .collect();
        Ok(Done {
            packed: packer.finish(self.staging)?,
            packages,
            made,
            unconfigured,
            components: self.components(&all, &status),
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

    /// Hides what an earlier version of a package had and this one has not.
    fn clear(
        &self,
        writer: &mut Writer<'_>,
        incoming: &Incoming<'_>,
        old_conffiles: &HashMap<String, String>,
        owners: &HashMap<String, usize>,
    ) -> Result<(), Failure> {
        let name = &incoming.package.name;
        let stems = [name.clone(), format!("{name}:{}", self.architecture)];
        let lists = stems.iter().map(|stem| format!("{INFO}/{stem}.list"));
        let lists: Vec<String> = lists
            .filter_map(|path| writer.root.text(&path).map(str::to_owned))
            .collect();
        let new: BTreeSet<&str> = incoming.list.iter().map(String::as_str).collect();
        let gone: Vec<&str> = lists
            .iter()
            .flat_map(|list| list.lines())
            .filter(|path| !new.contains(path) && !old_conffiles.contains_key(*path))
            .collect();
        for path in gone {
            let path = path.trim_start_matches('/');
            let place = writer.place(path).map_err(|fault| writer.ours(fault))?;
            // The same place may have a new name, and folders are shared.
            let node = writer.root.node(&place);
            if !owners.contains_key(&place) && matches!(node, Some(Node::Other | Node::Link(_))) {
                writer.whiteout(path).map_err(|fault| writer.ours(fault))?;
            }
        }
        let book = incoming.package.book_name();
        for stem in &stems {
            for kind in INFO_FILES {
                let stays =
                    *stem == book && (incoming.control.files.contains_key(kind) || kind == "list");
                let path = format!("{INFO}/{stem}.{kind}");
                if !stays && writer.is_there(&path) {
                    writer.whiteout(&path).map_err(|fault| writer.ours(fault))?;
                }
            }
        }
        Ok(())
    }

    /// Writes dpkg's books and apt's.
    fn books(
        &self,
        writer: &mut Writer<'_>,
        status: &mut Status,
        all: &[Incoming<'_>],
    ) -> Result<(), Failure> {
        let (plain, program) = (writer.meta(0o644), writer.meta(0o755));
        let mut triggers = Triggers::default();
        const TRIGGERS: &str = "var/lib/dpkg/triggers/";
        for (path, text) in writer.root.texts_below(TRIGGERS) {
            triggers.add_known(path.strip_prefix(TRIGGERS).unwrap_or(path), text);
        }
        for one in all {
            let book = one.package.book_name();
            let mut list = one.list.join("\n");
            list.push('\n');
            writer.file(&format!("{INFO}/{book}.list"), plain, &list)?;
            for (kind, bytes) in &one.control.files {
                if !INFO_FILES.contains(&kind.as_str()) || kind == "list" {
                    continue;
                }
                let script = ["postinst", "postrm", "preinst", "prerm", "config"];
                let meta = if script.contains(&kind.as_str()) {
                    program
                } else {
                    plain
                };
                let path = format!("{INFO}/{book}.{kind}");
                let what = What::File(bytes.len() as u64);
                let written = writer.entry(&path, meta, what, &mut bytes.as_slice());
                written.map_err(|fault| writer.ours(fault))?;
            }
            triggers.enter(&one.package.name, &one.control);
            status.enter(&one.control, &one.conffiles);
        }
        if all.is_empty() {
            return Ok(());
        }
        writer.file(STATUS, plain, &status.text())?;
        for (name, text) in triggers.texts() {
            writer.file(&format!("{TRIGGERS}{name}"), plain, &text)?;
        }
        if self.stage == Stage::Root {
            // What else dpkg has from its own scripts.
            writer.file(&format!("{INFO}/format"), plain, "1\n")?;
            writer.file("var/lib/dpkg/available", plain, "")?;
            writer.file("var/lib/dpkg/cmethopt", plain, "apt apt\n")?;
            writer.file("var/lib/dpkg/diversions", plain, "")?;
            for folder in ["alternatives", "parts", "updates"] {
                writer.folder(&format!("var/lib/dpkg/{folder}"), program)?;
            }
        }
        const STATES: &str = "var/lib/apt/extended_states";
        let split = |automatic: bool| {
            let chosen = all.iter().filter(move |one| one.deb.automatic == automatic);
            chosen.filter(|one| apt_may_remove(one))
        };
        let automatic: Vec<(&str, &str)> = split(true)
            .map(|one| {
                let architecture = match one.package.architecture.as_str() {
                    "all" => self.architecture,
                    own => own,
                };
                (one.package.name.as_str(), architecture)
            })
            .collect();
        let manual: Vec<&str> = split(false).map(|one| one.package.name.as_str()).collect();
        let known = writer.root.text(STATES).unwrap_or_default();
        let states = books::extended_states(known, &automatic, &manual);
        if !states.is_empty() {
            writer.file(STATES, plain, &states)?;
        }
        Ok(())
    }
}

/// Essential packages are never taken away by apt, whoever wanted them.
fn apt_may_remove(one: &Incoming<'_>) -> bool {
    !one.package.essential
}

/// Reads what a package says of itself, which must be what the index said.
fn incoming<'a>(deb: &'a LockedDeb, file: &'a Path) -> Result<Incoming<'a>, DebsError> {
    let unusable = |source| DebsError::Deb {
        package: deb.title(),
        source,
    };
    let opened = fs::File::open(file).map_err(|source| unusable(deb::DebError::Read { source }))?;
    let control = deb::control(opened).map_err(unusable)?;
    let package = Package::of(&control.paragraph);
    let package = package.ok_or_else(|| unusable(nameless()))?;
    let same = package.name == deb.name
        && package.version == Version::new(&deb.version)
        && package.architecture == deb.architecture;
    if !same {
        let Package {
            name,
            version,
            architecture,
            ..
        } = package;
        return Err(DebsError::OtherPackage {
            package: deb.title(),
            found: format!("{name}_{version}_{architecture}"),
        });
    }
    let field = control.paragraph.get("Replaces").unwrap_or_default();
    let replaces = relation::parse(field, &package.architecture).unwrap_or_default();
    Ok(Incoming {
        replaces: replaces.into_iter().flatten().collect(),
        package,
        control,
        title: deb.title(),
        file,
        deb,
        list: Vec::new(),
        conffiles: Vec::new(),
    })
}

fn nameless() -> deb::DebError {
    deb::DebError::Format {
        problem: "its control file names no package".to_owned(),
    }
}

/// By name, but the base system's own files first, and whoever takes files over from others before those.
fn in_order(all: &mut Vec<Incoming<'_>>) {
    all.sort_by(|one, other| one.package.name.cmp(&other.package.name));
    let mut todo: Vec<Incoming<'_>> = std::mem::take(all);
    if let Some(first) = todo.iter().position(|one| one.package.name == "base-files") {
        all.push(todo.remove(first));
    }
    while !todo.is_empty() {
        let free = (0..todo.len()).find(|&place| {
            let others = todo.iter().enumerate();
            let mut others = others.filter(|(other, _)| *other != place);
            !others.any(|(_, other)| replaces(other, &todo[place]))
        });
        // In a circle, the name decides.
        all.push(todo.remove(free.unwrap_or(0)));
    }
}

/// Whether one package may take over files of another.
fn replaces(one: &Incoming<'_>, other: &Incoming<'_>) -> bool {
    one.replaces.iter().any(|relation| {
        relation.name == other.package.name && relation.takes(&other.package.version)
    })
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
