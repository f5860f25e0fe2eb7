//! A folder of packages becomes a channel: [`index`] reads what lies in the folder of each
//! platform and writes the repodata that clients fetch, in the very form of conda-index. Which
//! packages a channel should hold is not decided here, and nothing of the network is known.

mod error;
mod index;
mod json;
mod record;
#[expect(dead_code, reason = "the outputs that read it are on their way")]
mod scanned;
mod write;

pub use error::{Error, Unusable};
pub use index::{Event, Options, Report, Skipped, Subdir, index};
pub use json::{Error as JsonError, Json};
