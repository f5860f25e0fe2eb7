//! Options of `archiconda repack`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use conda::Subdir;

use super::values::platform;
use super::{Telling, Threads};

pub(super) const EXAMPLES: &str = "\
Examples:
  archiconda repack channels/bootstrap.toml --output-dir channel
      for all platforms of the definition, as its lock says
  archiconda repack channels/bootstrap.toml -p linux-aarch64 -o channel --locked --offline
      exactly the archives of the lock, from the cache
  archiconda repack my.toml -o channel --debs debs --wheels wheels
      from folders of .deb files and wheels, without a network

Exit codes: 0 done, 1 failed, 2 wrong usage or definition, 4 damaged or wrong bytes.";

/// Options of `archiconda repack`.
#[derive(Debug, Args)]
pub(crate) struct Repack {
    /// The channel's definition, a TOML file (docs/repack.md).
    pub(crate) spec: PathBuf,
    /// A platform to make packages for, instead of the definition's; may be given several times.
    #[arg(short, long, value_name = "PLATFORM", value_parser = platform)]
    pub(crate) platform: Vec<Subdir>,
    /// The channel's folder.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output_dir: PathBuf,
    /// Where downloads are kept [default: archiconda in the user's cache folder].
    #[arg(long, value_name = "DIR", env = "ARCHICONDA_CACHE_DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// A folder of .deb files that is used in place of Debian's archive.
    #[arg(long, value_name = "DIR")]
    pub(crate) debs: Option<PathBuf>,
    /// A folder of wheels that is used in place of the Python Package Index.
    #[arg(long, value_name = "DIR")]
    pub(crate) wheels: Option<PathBuf>,
    /// The lock [default: beside the definition, with the suffix .lock].
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// Fail if the lock is missing or does not fit the definition.
    #[arg(long, conflicts_with = "update")]
    pub(crate) locked: bool,
    /// Look for the newest archives and rewrite the lock.
    #[arg(long)]
    pub(crate) update: bool,
    /// Use only what is in the cache or in the folders that are given.
    #[arg(long)]
    pub(crate) offline: bool,
    /// The format of the packages.
    #[arg(long, value_name = "FORMAT", default_value = "conda")]
    pub(crate) format: PackageFormat,
    /// The level of .conda packages: a low one is quick, and good for trying things.
    #[arg(long, value_name = "LEVEL", default_value_t = repack::DEFAULT_ZSTD_LEVEL, value_parser = clap::value_parser!(i32).range(1..=22))]
    pub(crate) zstd_compression_level: i32,
    #[command(flatten)]
    pub(crate) telling: Telling,
    #[command(flatten)]
    pub(crate) threads: Threads,
}

/// A format of packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PackageFormat {
    /// `.conda`
    Conda,
    /// `.tar.bz2`
    #[value(name = "tar.bz2")]
    TarBz2,
}
