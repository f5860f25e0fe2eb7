//! Lays a plan's files into a [`Tree`]: threads take frames, largest first; each frame is verified
//! and decoded once, and its bytes go straight to where they belong. [`lay`] does so for a whole plan,
//! [`lay_package`] for one package after the other, where their order matters.
//!
//! Memory: a window and a buffer per thread ([`work`]), and the plans of the packages that are
//! under way ([`package`]), whatever the size of the packages.

mod package;
mod packages;
mod site;
mod work;

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use archive::payload::{Payload, ReadAt};

use crate::error::Error;
use crate::event::Event;
use crate::plan::{Entry, LinkScripts, Package, Plan, Python};
use crate::tree::Tree;
use package::Loaded;
use packages::Packages;
use site::Site;
use work::Buffer;

pub(crate) use package::installed;

/// How a plan is laid.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// The prefix that files are to name, absolute.
    pub prefix: &'a str,
    /// What of a package is laid.
    pub extent: Extent,
    /// How many threads decode and write; 0 means one.
    pub threads: usize,
    /// Set from outside to stop.
    pub cancelled: &'a AtomicBool,
}

/// What of a package is laid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Its files in the prefix, and its record.
    Prefix,
    /// These, and the extracted package in `pkgs/`; files without a placeholder are hard links.
    PrefixAndCache,
    /// The extracted package in `pkgs/` alone: it is there to be installed later.
    Cache,
}

impl Extent {
    /// Whether the package is installed.
    pub fn has_prefix(self) -> bool {
        self != Extent::Cache
    }

    /// Whether the extracted package stays.
    pub fn has_cache(self) -> bool {
        self != Extent::Prefix
    }
}

/// What the rest of an installation needs to know of a package whose files are in place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Laid {
    /// `NAME-VERSION-BUILD`.
    pub dist: String,
    /// Python modules to compile, relative to the prefix.
    pub modules: Vec<String>,
    /// Its link scripts.
    pub scripts: LinkScripts,
    /// `PKG_BUILDNUM` of link scripts.
    pub build_number: u64,
    /// MD5 of the archive, if the record has it.
    pub md5: Option<String>,
}

/// Puts the files of `plan` into `tree`, whose root is empty: packages with their records in
/// `conda-meta/`, then files of `extra_files`, then the installer's own texts. Returns the
/// packages in the plan's order.
///
/// After an error the tree holds some part of the plan.
pub fn lay<S: ReadAt + ?Sized, T: Tree>(
    payload: &Payload<'_, S>,
    plan: &Plan,
    tree: &T,
    settings: Settings<'_>,
    report: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Vec<Laid>, Error> {
    let tasks = tasks(plan, settings.extent.has_cache())?;
    let site = Site::new(payload, tree, settings, report);
    let packages = Packages::new(plan, &tasks);
    let frame_size = |frame: usize| {
        payload
            .index
            .frames
            .get(frame)
            .map_or(0, |frame| frame.size)
    };
    report(Event::Started {
        packages: plan.packages.len(),
        bytes: tasks
            .iter()
            .map(|task| task.frame.map_or(0, frame_size))
            .sum(),
    });
    site.directories("the installer", ["conda-meta/history"].into_iter())?;
    run(&site, &packages, &tasks)?;
    extra(&site, &plan.extra)?;
    for text in &plan.texts {
        crate::path::check("the installer", &text.path)?;
        site.directories("the installer", [text.path.as_str()].into_iter())?;
        site.text(&text.path, text.text.as_bytes(), true)?;
    }
    packages.finish()
}

/// Puts the files of one package into `tree`, in an order that depends on nothing but the package.
/// Its frames are those of `payload`; `python` is the plan's.
pub fn lay_package<S: ReadAt + ?Sized, T: Tree>(
    payload: &Payload<'_, S>,
    package: Package,
    python: Option<&Python>,
    tree: &T,
    settings: Settings<'_>,
    report: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Laid, Error> {
    let site = Site::new(payload, tree, settings, report);
    let loaded = Loaded::package(package, python)?;
    whole(&site, &loaded)?;
    Ok(loaded.laid())
}

/// What [`lay_package`] returns, without laying anything: for who has the package's files already.
pub fn foresee(package: Package, python: Option<&Python>) -> Result<Laid, Error> {
    Ok(Loaded::package(package, python)?.laid())
}

/// Puts files of `extra_files` into `tree`.
pub fn lay_extra<S: ReadAt + ?Sized, T: Tree>(
    payload: &Payload<'_, S>,
    entries: &[Entry],
    tree: &T,
    settings: Settings<'_>,
    report: &(dyn Fn(Event<'_>) + Sync),
) -> Result<(), Error> {
    extra(&Site::new(payload, tree, settings, report), entries)
}

/// What a thread does in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Task {
    /// The frame to decode; none for a package without any.
    frame: Option<usize>,
    /// The packages that have bytes in it.
    packages: Vec<usize>,
}

/// The frames that this installation needs, in the plan's order, then the packages without one.
fn tasks(plan: &Plan, keep: bool) -> Result<Vec<Task>, Error> {
    let mut frames = HashSet::new();
    let mut tasks = Vec::new();
    let mut untouched: Vec<bool> = vec![true; plan.packages.len()];
    for work in plan.work.iter().filter(|work| keep || !work.info) {
        if work.packages.is_empty() {
            continue;
        }
        if !frames.insert(work.frame) {
            let problem = format!("frame {} is listed twice", work.frame);
            return Err(Error::Plan { problem });
        }
        let mut packages = work.packages.clone();
        packages.sort_unstable();
        packages.dedup();
        for &package in &packages {
            let Some(flag) = untouched.get_mut(package) else {
                let problem = format!("there is no package {package}");
                return Err(Error::Plan { problem });
            };
            *flag = false;
        }
        tasks.push(Task {
            frame: Some(work.frame),
            packages,
        });
    }
    let alone = untouched
        .iter()
        .enumerate()
        .filter(|(_, untouched)| **untouched);
    tasks.extend(alone.map(|(package, _)| Task {
        frame: None,
        packages: vec![package],
    }));
    Ok(tasks)
}

fn run<S: ReadAt + ?Sized, T: Tree>(
    site: &Site<'_, S, T>,
    packages: &Packages<'_>,
    tasks: &[Task],
) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let worker = || {
        let mut buffer = Buffer::new();
        while !site.stopped() {
            let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) else {
                return;
            };
            if let Err(error) = carry_out(site, packages, task, &mut buffer) {
                site.stop();
                let mut failure = lock(&failure);
                // What the other threads say when they are told to stop is not the reason.
                if !matches!((&error, &*failure), (Error::Cancelled, Some(_))) {
                    failure.get_or_insert(error);
                }
            }
        }
    };
    let threads = site.settings.threads.clamp(1, tasks.len().max(1));
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(worker);
        }
        worker();
    });
    if site.settings.cancelled.load(Ordering::Relaxed) {
        return Err(Error::Cancelled);
    }
    match failure
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
    {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

fn carry_out<S: ReadAt + ?Sized, T: Tree>(
    site: &Site<'_, S, T>,
    packages: &Packages<'_>,
    task: &Task,
    buffer: &mut Buffer,
) -> Result<(), Error> {
    let load = |&package: &usize| packages.load(site, package).map(|loaded| (package, loaded));
    let under_way = task
        .packages
        .iter()
        .map(load)
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(frame) = task.frame {
        let jobs = under_way
            .iter()
            .flat_map(|(_, loaded)| loaded.jobs(frame, site.settings));
        work::decode(site, frame, jobs.collect(), buffer)?;
    }
    for (package, loaded) in under_way {
        packages.finish_part(site, package, &loaded)?;
    }
    Ok(())
}

/// Files of `extra_files`, after everything whose place they may take.
fn extra<S: ReadAt + ?Sized, T: Tree>(
    site: &Site<'_, S, T>,
    entries: &[Entry],
) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let settings = Settings {
        extent: Extent::Prefix,
        ..site.settings
    };
    let site = Site::new(site.payload, site.tree, settings, site.report);
    whole(&site, &Loaded::extra(entries)?)
}

/// All frames of a package, one after the other.
fn whole<S: ReadAt + ?Sized, T: Tree>(site: &Site<'_, S, T>, loaded: &Loaded) -> Result<(), Error> {
    let settings = site.settings;
    loaded.begin(site, settings)?;
    let mut buffer = Buffer::new();
    for frame in loaded.frames(settings.extent) {
        let jobs = loaded.jobs(frame, settings).collect();
        work::decode(site, frame, jobs, &mut buffer)?;
    }
    loaded.end(site, settings)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
