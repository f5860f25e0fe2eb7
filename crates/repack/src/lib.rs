//! A channel for a CPU that has none: what Debian and the Python Package Index already hold for it
//! becomes conda packages.
//!
//! ```text
//! Definition ─► Lock ─► .deb files ─► debian::drafts ─┐
//!                  └──► wheels ─────► wheel::drafts ──┴─► Draft ─► package::write ─► channel::index
//! ```
//!
//! Nothing of the target is run: ELF files are read, never loaded.

mod compile;
mod debian;
mod definition;
mod draft;
mod elf;
mod error;
mod libraries;
mod lock;
mod package;
mod paths;
mod program;
mod repack;
mod store;
mod target;
mod wheel;

pub use crate::debian::DebError;
pub use elf::ElfError;
pub use error::Error;
pub use repack::{DEFAULT_ZSTD_LEVEL, Event, LockMode, Made, Options, Report, repack};
pub use wheel::Error as WheelError;
