//! All options of all commands. What they mean is decided where they are used.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use conda::Subdir;
use url::Url;

const INSTALLER_EXAMPLES: &str = "\
Examples:
  build-installer specs/archiconda3.toml
      for all platforms of the spec, into the current folder
  build-installer specs/archiconda3.toml --platform linux-aarch64 --output-dir out
      for one platform
  build-installer specs/archiconda3.toml --locked --offline
      exactly the packages of the lock, from the cache
  build-installer my.toml --channel-alias https://mirror.example.org/conda
      channels that are named without a URL come from a mirror

Exit codes: 0 done, 1 failed, 2 wrong usage or spec, 3 no solution, 4 damaged or wrong bytes.";

const INDEX_EXAMPLES: &str = "\
Examples:
  archiconda index channel
      where channel/linux-aarch64 and channel/noarch hold .conda and .tar.bz2 files
  archiconda index channel --json
      the result for a script";

const REPACK_EXAMPLES: &str = "\
Examples:
  archiconda repack channels/bootstrap.toml --output-dir channel
      for all platforms of the definition, as its lock says
  archiconda repack channels/bootstrap.toml -p linux-aarch64 -o channel --locked --offline
      exactly the archives of the lock, from the cache
  archiconda repack my.toml -o channel --debs debs --wheels wheels
      from folders of .deb files and wheels, without a network

Exit codes: 0 done, 1 failed, 2 wrong usage or definition, 4 damaged or wrong bytes.";

/// Makes and serves conda distributions, for any CPU from any host.
#[derive(Debug, Parser)]
#[command(
    name = "archiconda",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub(crate) struct Archiconda {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Builds self-extracting installers from a distribution's spec.
#[derive(Debug, Parser)]
#[command(name = "build-installer", version, after_help = INSTALLER_EXAMPLES, max_term_width = 100)]
pub(crate) struct BuildInstaller {
    #[command(flatten)]
    pub(crate) arguments: Installer,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build self-extracting installers from a distribution's spec.
    #[command(after_help = INSTALLER_EXAMPLES)]
    Installer(Box<Installer>),
    /// Make a channel of a folder of packages.
    #[command(after_help = INDEX_EXAMPLES)]
    Index(Index),
    /// Make a bootstrap channel of Debian packages and Python wheels.
    #[command(after_help = REPACK_EXAMPLES)]
    Repack(Box<Repack>),
}

/// Options of `build-installer` and `archiconda installer`.
#[derive(Debug, Args)]
pub(crate) struct Installer {
    /// The distribution's spec, a TOML file (docs/spec.md).
    pub(crate) spec: PathBuf,
    /// A platform to build for, instead of the spec's; may be given several times.
    #[arg(short, long, value_name = "PLATFORM")]
    pub(crate) platform: Vec<Subdir>,
    /// Where installers are written.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) output_dir: PathBuf,
    /// Where downloads are kept [default: archiconda in the user's cache folder].
    #[arg(long, value_name = "DIR", env = "ARCHICONDA_CACHE_DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Where runtimes lie [default: `runtimes` beside this executable].
    #[arg(long, value_name = "DIR", env = "ARCHICONDA_RUNTIMES")]
    pub(crate) runtimes: Option<PathBuf>,
    /// The URL under which channels without one are found.
    #[arg(
        long,
        value_name = "URL",
        default_value = "https://conda.anaconda.org/"
    )]
    pub(crate) channel_alias: Url,
    /// How long a server may be silent before it is given up [default: 30].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) timeout: Option<u64>,
    /// A server that is asked instead of another one, for all URLs that begin so; may be given
    /// several times.
    #[arg(long, value_name = "URL=URL", value_parser = mirror)]
    pub(crate) mirror: Vec<(Url, Url)>,
    /// Use only what is in the cache or in local folders.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Fail if the lock beside the spec is missing or does not fit the spec.
    #[arg(long, conflicts_with = "update")]
    pub(crate) locked: bool,
    /// Resolve anew and rewrite the lock.
    #[arg(long)]
    pub(crate) update: bool,
    /// Resolve and say what would be in the installers; write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Threads that read packages [default: one for each processor].
    #[arg(
        short = 'j',
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) threads: usize,
    /// Say nothing but warnings and errors.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Options of `archiconda index`.
#[derive(Debug, Args)]
pub(crate) struct Index {
    /// The channel's folder, which holds one folder for each platform.
    pub(crate) dir: PathBuf,
    /// Threads that read packages [default: one for each processor].
    #[arg(
        short = 'j',
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) threads: usize,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Say nothing but errors and packages that cannot be used.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Options of `archiconda repack`.
#[derive(Debug, Args)]
pub(crate) struct Repack {
    /// The channel's definition, a TOML file (docs/repack.md).
    pub(crate) spec: PathBuf,
    /// A platform to make packages for, instead of the definition's; may be given several times.
    #[arg(short, long, value_name = "PLATFORM")]
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
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Packages that are written at the same time [default: one for each processor].
    #[arg(
        short = 'j',
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) threads: usize,
    /// Say nothing but warnings and errors.
    #[arg(short, long)]
    pub(crate) quiet: bool,
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

/// `FROM=TO`, both URLs.
fn mirror(text: &str) -> Result<(Url, Url), String> {
    let (from, to) = text
        .split_once('=')
        .ok_or("expected two URLs with `=` between them")?;
    let url = |text: &str| Url::parse(text).map_err(|error| format!("`{text}`: {error}"));
    Ok((url(from)?, url(to)?))
}
