//! A package whose files are being written: what needs no bytes from the payload comes first,
//! hard links and the record last.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use archive::digest::Sha256;
use archive::payload::ReadAt;
use serde_json::Value;

use super::site::Site;
use super::work::Job;
use super::{Extent, Laid, Settings, lock};
use crate::error::Error;
use crate::plan::{Entry, File, Kind, LinkScripts, Package, Places, Python};
use crate::tree::{Attributes, Tree};
use crate::{compile, path, record, relocate};

/// Mode of entry points, before the umask, as rattler has it.
const ENTRY_POINT_MODE: u32 = 0o775;

/// What is written by us into every kept package.
const REPODATA_RECORD: &str = "info/repodata_record.json";

/// A package's plan, and what its files turned out to be.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) dist: String,
    package: Package,
    python: Option<Python>,
    /// Whether this is a package, with a record, rather than `extra_files`.
    recorded: bool,
    /// Digest and length of the entries whose content depends on the prefix.
    written: Mutex<HashMap<usize, (Sha256, u64)>>,
    /// How many files of the payload were written.
    files: AtomicUsize,
}

impl Loaded {
    /// Checks a package's plan.
    pub(super) fn package(package: Package, python: Option<&Python>) -> Result<Loaded, Error> {
        path::check_package(&package)?;
        Ok(Loaded {
            dist: package.dist.clone(),
            package,
            python: python.cloned(),
            recorded: true,
            written: Mutex::default(),
            files: AtomicUsize::new(0),
        })
    }

    /// `extra_files`, as if they were a package.
    pub(super) fn extra(entries: &[Entry]) -> Result<Loaded, Error> {
        let dist = "extra_files".to_owned();
        path::check_entries(&dist, entries)?;
        Ok(Loaded {
            dist,
            package: Package {
                entries: entries.to_vec(),
                ..Package::default()
            },
            python: None,
            recorded: false,
            written: Mutex::default(),
            files: AtomicUsize::new(0),
        })
    }

    /// The frames that hold bytes which are to be written.
    pub(super) fn frames(&self, extent: Extent) -> BTreeSet<usize> {
        self.all_jobs(extent).map(|job| job.file.frame).collect()
    }

    /// What is to be written from this frame.
    pub(super) fn jobs<'l>(
        &'l self,
        frame: usize,
        settings: Settings<'_>,
    ) -> impl Iterator<Item = Job<'l>> {
        let jobs = self.all_jobs(settings.extent);
        jobs.filter(move |job| job.file.frame == frame)
    }

    /// Makes folders, and what needs no bytes from the payload.
    pub(super) fn begin<S: ReadAt + ?Sized, T: Tree>(
        &self,
        site: &Site<'_, S, T>,
        settings: Settings<'_>,
    ) -> Result<(), Error> {
        let extent = settings.extent;
        let entries = self.package.entries.iter().enumerate();
        let entries = entries.filter(|(_, entry)| placed(entry, extent));
        site.directories(&self.dist, entries.clone().map(|(_, entry)| &*entry.path))?;
        for (index, entry) in entries {
            match &entry.kind {
                Kind::Directory => site.make_directory(&entry.path)?,
                Kind::SymbolicLink { target, .. } => symbolic_link(site, &entry.path, target)?,
                Kind::EntryPoint { body } => self.entry_point(site, index, entry, body)?,
                Kind::File(file) if file.size == 0 && !(extent.has_cache() && linked(entry)) => {
                    self.empty_file(site, &entry.path, file)?;
                }
                Kind::File(_) | Kind::HardLink { .. } => {}
            }
        }
        if extent.has_cache() {
            self.begin_kept(site, extent)?;
        }
        Ok(())
    }

    /// Makes what needs all files of the package, and its record.
    pub(super) fn end<S: ReadAt + ?Sized, T: Tree>(
        &self,
        site: &Site<'_, S, T>,
        settings: Settings<'_>,
    ) -> Result<(), Error> {
        let extent = settings.extent;
        let expected = self.all_jobs(extent).count();
        if self.files.load(Ordering::Acquire) != expected {
            let problem = format!("not all files of `{}` have a frame", self.dist);
            return Err(Error::Plan { problem });
        }
        let files = self.hard_link_targets()?;
        for entry in &self.package.entries {
            let Kind::HardLink { to } = &entry.kind else {
                continue;
            };
            if let Some((_, target, _)) = files.get(to.as_str()).filter(|_| extent.has_cache()) {
                hard_link(site, &self.kept_path(entry), &self.kept_path(target))?;
            }
            if placed(entry, extent) {
                hard_link(site, &entry.path, to)?;
            }
        }
        for entry in self.package.info.iter().filter(|_| extent.has_cache()) {
            if let Kind::HardLink { to } = &entry.kind {
                let to = format!("{}/{to}", self.folder());
                hard_link(site, &self.kept_path(entry), &to)?;
            }
        }
        if !self.recorded {
            return Ok(());
        }
        if extent.has_prefix() {
            let written = lock(&self.written);
            let record = record::Record {
                package: &self.package,
                prefix: settings.prefix,
                kept: extent.has_cache(),
                written: &written,
                hard_links: &files,
            };
            let path = format!("conda-meta/{}.json", self.dist);
            site.directories(&self.dist, [path.as_str()].into_iter())?;
            site.stream(&path, |sink| record.write(sink))?;
        }
        if extent.has_cache() {
            let path = format!("{}/{REPODATA_RECORD}", self.folder());
            site.directories(&self.dist, [path.as_str()].into_iter())?;
            site.stream(&path, |sink| {
                record::write_sorted(&self.package.record, sink)
            })?;
        }
        Ok(())
    }

    /// What remains to be known of it.
    pub(super) fn laid(&self) -> Laid {
        let field = |key: &str| self.package.record.get(key);
        Laid {
            dist: self.dist.clone(),
            modules: self.modules(),
            scripts: LinkScripts {
                pre_link: self.script(self.package.scripts.pre_link.as_deref()),
                post_link: self.script(self.package.scripts.post_link.as_deref()),
            },
            build_number: field("build_number").and_then(Value::as_u64).unwrap_or(0),
            md5: field("md5").and_then(Value::as_str).map(str::to_owned),
        }
    }

    /// Notes that a job is done; `result` is digest and length where they depend on the prefix.
    pub(super) fn note(&self, entry: usize, result: Option<(Sha256, u64)>) {
        if let Some(result) = result {
            lock(&self.written).insert(entry, result);
        }
        self.files.fetch_add(1, Ordering::AcqRel);
    }

    /// A link script, unless another package's file has its place.
    fn script(&self, path: Option<&str>) -> Option<String> {
        let own = |path: &&str| {
            self.package
                .entries
                .iter()
                .any(|e| e.path == **path && installed(e))
        };
        path.filter(own).map(str::to_owned)
    }

    fn modules(&self) -> Vec<String> {
        match &self.python {
            Some(python) if self.package.compile => compile::modules(&self.package.entries, python),
            _ => Vec::new(),
        }
    }

    /// All files that come from the payload.
    fn all_jobs(&self, extent: Extent) -> impl Iterator<Item = Job<'_>> {
        let keep = extent.has_cache();
        let entries = self.package.entries.iter().enumerate();
        let in_prefix = entries.clone().filter_map(move |(index, entry)| {
            let file = content(entry).filter(|_| placed(entry, extent))?;
            // A kept package's file is written there, and linked into the prefix.
            let copied = !(keep && linked(entry));
            // Empty files were written at the beginning, with what else needs no frame.
            (copied && file.size > 0).then(|| Job {
                package: self,
                entry: index,
                file,
                path: Cow::Borrowed(&entry.path),
                relocate: is_relocated(file),
                link: None,
                replace: !self.recorded,
            })
        });
        let kept = entries.filter_map(move |(index, entry)| {
            let file = content(entry).filter(|_| keep)?;
            let link = linked(entry) && placed(entry, extent);
            Some(self.kept_job(index, entry, file, link.then_some(entry.path.as_str())))
        });
        let info = self.package.info.iter().filter_map(move |entry| {
            let file = content(entry).filter(|_| keep && entry.path != REPODATA_RECORD)?;
            Some(self.kept_job(usize::MAX, entry, file, None))
        });
        in_prefix
            .chain(kept)
            .chain(info)
            .filter(|job| job.file.size > 0)
    }

    fn kept_job<'l>(
        &'l self,
        index: usize,
        entry: &'l Entry,
        file: &'l File,
        link: Option<&'l str>,
    ) -> Job<'l> {
        let path = self.kept_path(entry).into();
        Job {
            package: self,
            entry: index,
            file,
            path,
            relocate: false,
            link,
            replace: false,
        }
    }

    /// Folders, links and empty files of the package in `pkgs/`.
    fn begin_kept<S: ReadAt + ?Sized, T: Tree>(
        &self,
        site: &Site<'_, S, T>,
        extent: Extent,
    ) -> Result<(), Error> {
        let from_package = |entry: &&Entry| !matches!(entry.kind, Kind::EntryPoint { .. });
        let entries = self.package.entries.iter().filter(from_package);
        let entries = entries.map(|entry| (entry, linked(entry) && placed(entry, extent)));
        for (entry, linked) in entries.chain(self.package.info.iter().map(|entry| (entry, false))) {
            let path = self.kept_path(entry);
            site.directories(&self.dist, [path.as_str()].into_iter())?;
            match &entry.kind {
                Kind::Directory => site.make_directory(&path)?,
                Kind::SymbolicLink { target, .. } => symbolic_link(site, &path, target)?,
                Kind::File(file) if file.size == 0 && entry.path != REPODATA_RECORD => {
                    self.empty_file(site, &path, file)?;
                    if linked {
                        hard_link(site, &entry.path, &path)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn empty_file<S: ReadAt + ?Sized, T: Tree>(
        &self,
        site: &Site<'_, S, T>,
        path: &str,
        file: &File,
    ) -> Result<(), Error> {
        let attributes = Attributes {
            mode: file.mode,
            modified: Some(file.modified),
            replace: !self.recorded,
            size: Some(0),
        };
        site.small_file(path, &[], attributes)
            .map_err(site.cannot_write(path))
    }

    fn entry_point<S: ReadAt + ?Sized, T: Tree>(
        &self,
        site: &Site<'_, S, T>,
        index: usize,
        entry: &Entry,
        body: &str,
    ) -> Result<(), Error> {
        let Some(python) = &self.python else {
            let problem = format!("`{}` has an entry point, but there is no python", self.dist);
            return Err(Error::Plan { problem });
        };
        let executable = format!("{}/{}", site.settings.prefix, python.executable);
        let text = format!("{}\n{body}", relocate::python_shebang(&executable));
        let attributes = Attributes {
            mode: ENTRY_POINT_MODE,
            modified: None,
            replace: false,
            size: Some(text.len() as u64),
        };
        let written = site.small_file(&entry.path, text.as_bytes(), attributes);
        written.map_err(site.cannot_write(&entry.path))?;
        let result = (Sha256::of(text.as_bytes()), text.len() as u64);
        lock(&self.written).insert(index, result);
        Ok(())
    }

    /// The entries that hard links name, with their numbers and files.
    fn hard_link_targets(&self) -> Result<HashMap<&str, (usize, &Entry, &File)>, Error> {
        let entries = &self.package.entries;
        let wanted: HashSet<&str> = entries
            .iter()
            .filter_map(|entry| match &entry.kind {
                Kind::HardLink { to } => Some(to.as_str()),
                _ => None,
            })
            .collect();
        let files: HashMap<&str, (usize, &Entry, &File)> = entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| wanted.contains(entry.path.as_str()))
            .filter_map(|(index, entry)| {
                content(entry).map(|file| (entry.path.as_str(), (index, entry, file)))
            })
            .collect();
        match wanted.into_iter().find(|path| !files.contains_key(path)) {
            None => Ok(files),
            Some(path) => {
                let problem = format!("`{}` has a hard link to `{path}`, not a file", self.dist);
                Err(Error::Plan { problem })
            }
        }
    }

    fn folder(&self) -> String {
        format!("pkgs/{}", self.dist)
    }

    fn kept_path(&self, entry: &Entry) -> String {
        format!(
            "{}/{}",
            self.folder(),
            entry.source.as_ref().unwrap_or(&entry.path)
        )
    }
}

/// Whether something is written into the prefix for this entry.
pub(crate) fn installed(entry: &Entry) -> bool {
    entry.clobbered_by.is_none()
}

/// Whether something is written into the prefix for this entry, this time.
fn placed(entry: &Entry, extent: Extent) -> bool {
    extent.has_prefix() && installed(entry)
}

/// Whether the prefix's file is the one of the kept package.
fn linked(entry: &Entry) -> bool {
    !entry.no_link && content(entry).is_some_and(|file| !is_relocated(file))
}

fn symbolic_link<S: ReadAt + ?Sized, T: Tree>(
    site: &Site<'_, S, T>,
    path: &str,
    target: &str,
) -> Result<(), Error> {
    site.tree
        .symbolic_link(path, target)
        .map_err(site.cannot_write(path))
}

fn hard_link<S: ReadAt + ?Sized, T: Tree>(
    site: &Site<'_, S, T>,
    path: &str,
    existing: &str,
) -> Result<(), Error> {
    site.tree
        .hard_link(path, existing)
        .map_err(site.cannot_write(path))
}

fn is_relocated(file: &File) -> bool {
    file.placeholder
        .as_ref()
        .is_some_and(|placeholder| match &placeholder.places {
            Places::Text {
                shebang,
                occurrences,
            } => *shebang > 0 || !occurrences.is_empty(),
            Places::Binary { strings } => !strings.is_empty(),
        })
}

fn content(entry: &Entry) -> Option<&File> {
    match &entry.kind {
        Kind::File(file) => Some(file),
        _ => None,
    }
}
