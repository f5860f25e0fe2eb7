//! From a spec to a self-extracting installer:
//!
//! ```text
//! spec::Distribution ─ resolve ─► records ─ fetch ─► packages ─ scan ─► Scan
//!      header ++ runtime ++ payload ◄─ pack ◄─ plan ◄────────────────────┘
//! ```
//!
//! [`build()`] does it all; [`resolve()`] and [`prepare()`] are what comes before an installer is
//! written, for who writes something else; [`plan`] is the part that reasons, and pure. Nothing of the target is
//! run on the way: any platform's installer is built on any host.

mod build;
mod cache;
mod error;
mod event;
mod finished;
mod frames;
pub mod header;
mod outputs;
mod pack;
pub mod plan;
mod record;
mod repack;
mod resolve;
mod runtimes;
pub mod scan;
mod settings;
mod solid;

pub use build::{Built, LockMode, Options, Prepared, build, prepare};
pub use error::Error;
pub use event::{Event, Stage, Warning};
pub use finished::Finished;
pub use frames::{Assembled, Frames};
pub use resolve::{Resolution, resolve};
pub use runtimes::beside;
pub use settings::{explicit, newest};

/// Who is told what happens.
pub type Report<'a> = &'a (dyn Fn(Event<'_>) + Sync);
