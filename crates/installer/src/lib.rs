//! From a spec to a self-extracting installer:
//!
//! ```text
//! spec::Distribution ─ resolve ─► records ─ fetch ─► packages ─ scan ─► Scan
//!      header ++ runtime ++ payload ◄─ pack ◄─ plan ◄────────────────────┘
//! ```
//!
//! [`build()`] does it all; [`plan`] is the part that reasons, and pure. Nothing of the target is
//! run on the way: any platform's installer is built on any host.

mod build;
mod cache;
mod draft;
mod error;
mod event;
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

pub use build::{Built, LockMode, Options, build};
pub use error::Error;
pub use event::{Event, Stage, Warning};
pub use runtimes::beside;

/// Who is told what happens.
pub type Report<'a> = &'a (dyn Fn(Event<'_>) + Sync);
