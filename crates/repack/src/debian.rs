//! Debian packages become conda packages: which there are ([`pins`]), the files ([`fetch`]), and
//! what the definition makes of them ([`drafts`]).

mod apt;
mod archive;
mod assemble;
mod fetch;
mod glob;
mod licence;
mod version;

pub use archive::DebError;
pub(crate) use assemble::drafts;
pub(crate) use fetch::{fetch, pins};
pub(crate) use glob::fits;
