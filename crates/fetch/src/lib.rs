//! The network and the caches: channels become records, package URLs become verified files.
//! `Client` owns the connections and one asynchronous runtime; its calls block. Beside it stand the
//! other clients of the outside, for buckets ([`s3`]), databases ([`postgres`]) and images ([`registry`]). The only crate
//! that speaks HTTP as a client and the only one that names rattler's gateway. What the records
//! mean, which packages are wanted and where a file goes next is for others.
//!
//! Invariant: no byte leaves the package store unless its digest was checked on the way in, and no
//! error or event shows a credential.

mod channel;
mod client;
mod credentials;
mod digest;
mod document;
mod download;
mod draft;
mod error;
mod event;
mod http;
mod local;
mod pace;
mod packages;
mod partial;
pub mod postgres;
pub mod registry;
mod repodata;
mod retry;
pub mod s3;
mod store;

pub use client::{Client, Options, default_cache_dir};
pub use document::{Document, LocalDocument};
pub use draft::{Draft, replace};
pub use error::{Cause, Error};
pub use event::Event;
pub use packages::{Package, Wanted};
