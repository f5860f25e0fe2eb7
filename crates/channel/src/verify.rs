//! Whether a channel is what it says: each package is the one that its record tells (`packages`), and all index files
//! say the same (`indexes`). [`verify`] reads everything and changes nothing, unless it may fetch damaged packages
//! again from where they came from (`repair`). Indexes are not mended here: the indexer makes them of the packages.

use std::path::{Path, PathBuf};

use fetch::Client;
use url::Url;

use crate::index::SUBDIRS;
use crate::origins::Origins;
use crate::text::Text;

mod fault;
mod indexes;
mod packages;
mod repair;

pub use fault::{Fault, Problem};

/// What is looked at, and what may be done.
#[derive(Debug, Default)]
pub struct Options<'a> {
    /// The platforms' folders that are looked at, if not all.
    pub subdirs: Vec<String>,
    /// How packages are fetched again, if they may be.
    pub repair: Option<Repair<'a>>,
}

/// How packages are fetched again.
#[derive(Debug)]
pub struct Repair<'a> {
    /// What fetches.
    pub client: &'a Client,
    /// The channel that has the packages, with a slash at the end; without it, the channels that a meta-channel was
    /// compiled from.
    pub from: Option<Url>,
}

/// What happens meanwhile.
#[derive(Debug)]
pub enum Event<'a> {
    /// The index files of a platform are compared.
    Comparing {
        /// The platform's folder.
        subdir: &'a str,
    },
    /// The packages will be read.
    Reading {
        /// How many bytes they have.
        bytes: u64,
    },
    /// So many bytes more were read.
    Read {
        /// How many.
        bytes: u64,
    },
    /// A package is fetched.
    Fetch(fetch::Event<'a>),
}

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// The platforms, in the order of their names.
    pub subdirs: Vec<Subfolder>,
    /// What is wrong, by path.
    pub problems: Vec<Problem>,
}

/// What was looked at in one platform's folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subfolder {
    /// The folder's name.
    pub name: String,
    /// How many packages the index has.
    pub records: usize,
    /// How many of them lie in the folder.
    pub packages: usize,
    /// Their length in bytes.
    pub bytes: u64,
    /// How many packages lie there that the index does not have.
    pub unnamed: usize,
}

/// Why a channel cannot be looked at, or not be mended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no folder.
    #[error("`{}` is not a folder", path.display())]
    NotFolder {
        /// What was given.
        path: PathBuf,
    },
    /// There is no index in it.
    #[error("there is no index in `{}`: `archiconda index` makes one", path.display())]
    NoIndex {
        /// What was given.
        path: PathBuf,
    },
    /// Something could not be read that is no part of the channel's promise.
    #[error("read `{}`", path.display())]
    Read {
        /// Where.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A package could not be put into its place.
    #[error("write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Nobody knows where packages come from.
    #[error("nothing tells where the packages of `{}` come from; name the channel with `--from`", path.display())]
    NoOrigin {
        /// The channel.
        path: PathBuf,
    },
    /// A package could not be fetched.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
}

impl Error {
    /// Whether the user asked for something that cannot be asked for.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::NotFolder { .. } | Self::NoIndex { .. } | Self::NoOrigin { .. } => true,
            Self::Fetch(error) => error.is_usage(),
            _ => false,
        }
    }

    /// Whether bytes are not those that were promised.
    pub fn is_integrity(&self) -> bool {
        matches!(self, Self::Fetch(error) if error.is_integrity())
    }
}

impl Report {
    /// How many problems are left.
    pub fn failures(&self) -> usize {
        let left = self.problems.iter().filter(|problem| !problem.is_repaired);
        left.count()
    }
}

type ReportTo<'a> = &'a (dyn Fn(Event<'_>) + Sync);

/// What the index of a platform says.
struct Listing {
    subdir: String,
    folder: PathBuf,
    records: Text,
    /// Whether all packages must lie in the folder.
    is_whole: bool,
}

/// Compares everything in a channel's folder with everything else.
pub fn verify(
    channel: &Path,
    options: &Options<'_>,
    report: ReportTo<'_>,
) -> Result<Report, Error> {
    if !channel.is_dir() {
        return Err(Error::NotFolder {
            path: channel.to_owned(),
        });
    }
    let origins = Origins::read(channel).map_err(|source| Error::Read {
        path: channel.to_owned(),
        source,
    })?;
    let is_whole = origins.as_ref().is_none_or(Origins::is_whole);
    let mut found = Report::default();
    let mut listings = Vec::new();
    for subdir in SUBDIRS {
        let folder = channel.join(subdir);
        let is_asked =
            options.subdirs.is_empty() || options.subdirs.iter().any(|one| one == subdir);
        if !is_asked || !folder.is_dir() {
            continue;
        }
        report(Event::Comparing { subdir });
        let records = indexes::compare(&folder, subdir, &mut found.problems)?;
        let Some(records) = records else { continue };
        listings.push(Listing {
            subdir: subdir.to_owned(),
            folder,
            is_whole: is_whole && is_here(records.base_url.as_deref()),
            records,
        });
    }
    if listings.is_empty() && found.problems.is_empty() {
        return Err(Error::NoIndex {
            path: channel.to_owned(),
        });
    }
    indexes::compare_channeldata(channel, &mut found.problems)?;
    packages::check(&listings, &mut found, report)?;
    if let Some(repair) = &options.repair {
        repair::repair(
            channel,
            origins.as_ref(),
            repair,
            &listings,
            &mut found,
            report,
        )?;
    }
    found
        .problems
        .sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// Whether `info.base_url` (CEP 15) leads nowhere else.
fn is_here(base_url: Option<&str>) -> bool {
    base_url.is_none_or(|base| matches!(base, "" | "." | "./"))
}
