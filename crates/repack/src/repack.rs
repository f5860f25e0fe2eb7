//! The whole way, from a definition to an indexed channel.

use std::path::{Path, PathBuf};

use crate::definition::Definition;
use crate::store::Store;
use crate::target::Target;

/// What may be done with the lock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LockMode {
    /// Follow it, and add what the definition has and it lacks.
    #[default]
    Follow,
    /// Follow it, and fail where it lacks something.
    Locked,
    /// Find everything anew.
    Update,
}

/// How a channel is made.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The platforms; none for those of the definition.
    pub platforms: Vec<String>,
    /// The channel's folder.
    pub output_dir: PathBuf,
    /// Where downloads are kept.
    pub cache_dir: PathBuf,
    /// A folder of `.deb` files, used in place of the network.
    pub debs: Option<PathBuf>,
    /// A folder of wheels, used in place of the network.
    pub wheels: Option<PathBuf>,
    /// The lock; none for the one beside the definition.
    pub lock: Option<PathBuf>,
    /// What may be done with the lock.
    pub lock_mode: LockMode,
    /// Whether the network is left alone.
    pub offline: bool,
    /// Whether packages are `.tar.bz2` rather than `.conda`.
    pub tar_bz2: bool,
    /// How many packages are written at the same time; 0 for as many as there are processors.
    pub threads: usize,
    /// The time that all packages bear, in seconds since 1970; none for that of their newest part.
    pub timestamp: Option<u64>,
}

/// What happens on the way.
#[derive(Debug)]
pub enum Event<'a> {
    /// Something begins that takes a while, such as `fetch Debian packages for linux-64`.
    Stage(&'a str),
    /// A package was written.
    Wrote {
        /// The platform's folder.
        subdir: &'a str,
        /// The file name.
        file: &'a str,
    },
    /// Something that the user should know.
    Warning(&'a str),
}

/// Who is told what happens.
pub type Report<'a> = &'a (dyn Fn(Event<'_>) + Sync);

/// What the makers of drafts are given, for one platform.
pub(crate) struct Context<'a> {
    /// The platform.
    pub(crate) target: Target,
    /// The definition.
    pub(crate) definition: &'a Definition,
    /// How the channel is made.
    pub(crate) options: &'a Options,
    /// The lock's path, for errors.
    pub(crate) lock: &'a Path,
    /// Downloads of this and earlier runs.
    pub(crate) store: &'a Store,
    /// A folder that goes when the run ends.
    pub(crate) work: &'a Path,
    /// Who is told what happens.
    pub(crate) report: Report<'a>,
}
