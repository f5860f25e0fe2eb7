//! Executes a [`plan`] on the user's machine.
//!
//! [`install()`] prepares a prefix where nobody sees it, puts it in its place, runs scripts, and
//! undoes everything if one of these fails; [`lay`] writes a plan's files into a [`tree`], a
//! prefix on disk or a layer of an image; [`history`] and [`keep`] are what belongs to no single
//! package; [`command`] is the installer's command line. Nothing here
//! solves, downloads or reads packages: all conda knowledge went into the plan.

pub mod command;
pub mod compile;
mod error;
mod event;
#[cfg(test)]
mod fixture;
pub mod history;
mod install;
pub mod keep;
pub mod lay;
mod lock;
mod path;
mod place;
pub mod plan;
mod process;
pub mod record;
pub mod relocate;
mod scripts;
pub mod tree;

pub use error::Error;
pub use event::Event;
pub use install::{Installed, Options, install};
pub use place::{PrefixState, Recovery, prefix_state, recover};
pub use process::MISLEADING;
