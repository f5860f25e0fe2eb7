//! Container images with a distribution inside, without an engine, root or emulation:
//!
//! ```text
//! spec::Image ─ base ─► its layers, checked, and where its paths lead
//!      │        installer::resolve, prepare ─► plans, frames
//!      │        group ─► which packages share a layer
//!      ▼        layer ─► runtime::lay into tar, hashed, compressed, hashed
//! index ◄─ manifest ◄─ config ◄─ blobs ─► output: a folder or a tar file, by rename
//! ```
//!
//! [`bake()`] does it all; [`inspect`] says what is in an image, and how two differ. Layers come from the
//! library that installers run on the target (`runtime::lay`): the prefix in an image is the one that
//! the `.sh` installs. Nothing of the target is run unless the definition wants it, and then in a userland of its own;
//! what would have to run is named.

mod bake;
mod base;
mod config;
mod error;
mod event;
mod group;
pub mod inspect;
mod layer;
mod oci;
mod output;
mod process;
mod python;
mod root;
mod sbom;
mod scratch;
mod trim;
mod userland;

pub use bake::{
    Baked, BakedImage, BakedLayer, BakedPackage, DebsError, LayerKind, Options, Pushed, bake,
};
pub use base::Error as BaseError;
pub use error::Error;
pub use event::{Event, Warning};

/// Who is told what happens.
pub type Report<'a> = &'a (dyn Fn(Event<'_>) + Sync);
