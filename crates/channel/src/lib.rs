//! A folder or a bucket of packages becomes a channel: [`index`] reads what lies in the folder of each
//! platform and writes the files that clients fetch, in the very form of conda-index. Which
//! packages a channel should hold is not decided here; stores and databases are asked through `fetch`.

mod base_url;
mod cache;
mod error;
pub mod fuzz;
mod given;
mod glob;
mod hotfix;
mod import;
mod index;
mod json;
mod lock;
pub mod meta;
mod origins;
mod output;
mod place;
mod promise;
mod publish;
mod scan;
mod scanned;
mod text;
mod texts;
pub mod transfer;
pub mod verify;
mod yaml;

pub use base_url::BaseUrl;
pub use cache::Error as CacheError;
pub use error::{Error, Unusable};
pub use hotfix::Error as HotfixError;
pub use import::Error as ImportError;
pub use index::{
    ChannelRelations, DEFAULT_ZSTD_LEVEL, Event, Options, Outputs, Report, SUBDIRS, Skipped,
    Subdir, index,
};
pub use json::{Error as JsonError, Json};
pub use lock::{Error as LockError, Owner};
pub use origins::Origins;
pub use place::Location;
pub use publish::write_file;
