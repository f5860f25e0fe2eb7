//! The packages of a plan while threads write their files: which are under way, and which are done.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use archive::payload::ReadAt;

use super::package::Loaded;
use super::site::Site;
use super::{Laid, Task, lock};
use crate::error::Error;
use crate::event::Event;
use crate::plan::{Package, Plan};
use crate::tree::Tree;

/// All packages of a plan.
pub(super) struct Packages<'a> {
    plan: &'a Plan,
    slots: Vec<Slot>,
}

/// A package on its way.
#[derive(Default)]
struct Slot {
    /// How many tasks still have bytes for it.
    left: AtomicUsize,
    loaded: Mutex<Option<Arc<Loaded>>>,
    laid: OnceLock<Laid>,
}

impl<'a> Packages<'a> {
    pub(super) fn new(plan: &'a Plan, tasks: &[Task]) -> Self {
        let slots: Vec<Slot> = plan.packages.iter().map(|_| Slot::default()).collect();
        for slot in tasks
            .iter()
            .flat_map(|task| &task.packages)
            .filter_map(|package| slots.get(*package))
        {
            slot.left.fetch_add(1, Ordering::Relaxed);
        }
        Packages { plan, slots }
    }

    /// The plan of a package; the first thread that asks reads it and makes what needs no bytes.
    pub(super) fn load<S: ReadAt + ?Sized, T: Tree>(
        &self,
        site: &Site<'_, S, T>,
        package: usize,
    ) -> Result<Arc<Loaded>, Error> {
        let (Some(slot), Some(head)) = (self.slots.get(package), self.plan.packages.get(package))
        else {
            return Err(Error::Plan {
                problem: format!("there is no package {package}"),
            });
        };
        let mut loaded = lock(&slot.loaded);
        if let Some(loaded) = &*loaded {
            return Ok(Arc::clone(loaded));
        }
        if site.stopped() {
            return Err(Error::Cancelled);
        }
        let read: Package = site
            .payload
            .json(head.plan)
            .map_err(|source| Error::Payload { source })?;
        let package = Loaded::package(read, self.plan.python.as_ref())?;
        package.begin(site, site.settings)?;
        let package = Arc::new(package);
        *loaded = Some(Arc::clone(&package));
        Ok(package)
    }

    /// One task less for this package; the last one completes it.
    pub(super) fn finish_part<S: ReadAt + ?Sized, T: Tree>(
        &self,
        site: &Site<'_, S, T>,
        package: usize,
        loaded: &Loaded,
    ) -> Result<(), Error> {
        let Some(slot) = self.slots.get(package) else {
            return Ok(());
        };
        if slot.left.fetch_sub(1, Ordering::AcqRel) != 1 {
            return Ok(());
        }
        lock(&slot.loaded).take();
        loaded.end(site, site.settings)?;
        (site.report)(Event::Package { dist: &loaded.dist });
        // Only the thread of the last task comes here.
        let _ = slot.laid.set(loaded.laid());
        Ok(())
    }

    /// What became of all packages.
    pub(super) fn finish(self) -> Result<Vec<Laid>, Error> {
        let laid: Option<Vec<Laid>> = self
            .slots
            .into_iter()
            .map(|slot| slot.laid.into_inner())
            .collect();
        laid.ok_or_else(|| Error::Plan {
            problem: "a package was left out".to_owned(),
        })
    }
}
