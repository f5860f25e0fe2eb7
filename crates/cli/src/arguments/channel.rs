//! Options of `archiconda channel`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use conda::Subdir;

use super::index::Outputs;
use super::values::{duration, platform, seconds};
use super::{Network, Telling, Threads};

const BUILD_EXAMPLES: &str = "\
Examples:
  archiconda channel build channels/archiconda.toml --output-dir www
      www/archiconda: what the definition's roots can need, for all its platforms
  archiconda channel build my.toml --plan
      what would stay, and what a mirror would have to fetch; nothing is written
  archiconda channel build my.toml --strict --json
      exit code 3 if a root has another solution than on the whole channels
  archiconda channel build my.toml --locked
      the same channel again, from what the lock names

Exit codes: 0 done, 1 failed, 2 wrong usage or definition, 3 no solution, 4 damaged or wrong bytes.";

const WHY_EXAMPLES: &str = "\
Examples:
  archiconda channel why channels/archiconda.toml openssl
      for each openssl, who needs it or why it is left out
  archiconda channel why channels/archiconda.toml \"numpy <2\" --platform linux-aarch64 --json

Exit codes: 0 done, 1 failed or no such package, 2 wrong usage or definition.";

const VERIFY_EXAMPLES: &str = "\
Examples:
  archiconda channel verify www/archiconda
      read all packages, and compare all index files
  archiconda channel verify www/archiconda --repair
      and fetch damaged or lost packages from where the meta-channel has them from
  archiconda channel verify mirror --repair --from https://conda.anaconda.org/conda-forge --json
      from a channel that has them

Exit codes: 0 all is sound, 1 failed, 2 wrong usage, 4 something is not.";

const TRANSFER_EXAMPLES: &str = "\
Examples:
  archiconda channel export www/archiconda first.tar
      the whole channel in one file
  archiconda channel import first.tar /srv/archiconda
      on the other machine
  archiconda channel export www/archiconda second.tar --since first.tar
      later: what came and what went since then
  archiconda channel export www/archiconda - | ssh HOST archiconda channel import - /srv/archiconda
      without a file between them

Exit codes: 0 done, 1 failed, 2 wrong usage, 4 damaged or wrong bytes.";

/// The commands of `archiconda channel`.
#[derive(Debug, Subcommand)]
pub(crate) enum Channel {
    /// Build a meta-channel from its definition.
    #[command(after_help = BUILD_EXAMPLES)]
    Build(ChannelBuild),
    /// Tell why packages are in a meta-channel, or are not.
    #[command(after_help = WHY_EXAMPLES)]
    Why(ChannelWhy),
    /// Compare all packages and index files of a channel with each other.
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(Verify),
    /// Write one file with all of a channel that another machine lacks.
    #[command(after_help = TRANSFER_EXAMPLES)]
    Export(Export),
    /// Take over what was exported.
    #[command(after_help = TRANSFER_EXAMPLES)]
    Import(Import),
}

/// Options of `archiconda channel build`.
#[derive(Debug, Args)]
pub(crate) struct ChannelBuild {
    #[command(flatten)]
    pub(crate) definition: Definition,
    /// Where the channel is written, in a folder of its name.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) output_dir: PathBuf,
    /// Say what would stay and what would be fetched; write nothing.
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) plan: bool,
    /// End with 3 if a root or a set has another solution than on the whole channels, unless the definition
    /// cuts for it, or has none.
    #[arg(long, conflicts_with = "no_proof")]
    pub(crate) strict: bool,
    /// Do not solve roots and sets on both sides.
    #[arg(long)]
    pub(crate) no_proof: bool,
    /// How long a package or a shard stays that nothing names any more, like 36h or 7d.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = duration)]
    pub(crate) grace: Duration,
    /// How long to wait for another process that writes the channel; 0 to fail at once.
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    pub(crate) wait: Duration,
    #[command(flatten)]
    pub(crate) outputs: Outputs,
    /// The level of .zst files.
    #[arg(long, value_name = "LEVEL", default_value_t = ::channel::DEFAULT_ZSTD_LEVEL, value_parser = clap::value_parser!(i32).range(1..=22))]
    pub(crate) zst_level: i32,
    #[command(flatten)]
    pub(crate) threads: Threads,
}

/// Options of `archiconda channel why`.
#[derive(Debug, Args)]
pub(crate) struct ChannelWhy {
    #[command(flatten)]
    pub(crate) definition: Definition,
    /// The packages: a name or a match spec.
    #[arg(value_name = "NAME")]
    pub(crate) wanted: String,
}

/// What all commands have in common that read a meta-channel's definition.
#[derive(Debug, Args)]
pub(crate) struct Definition {
    /// The meta-channel's definition, a TOML file (docs/channel.md).
    pub(crate) spec: PathBuf,
    /// A platform to compile for, instead of the definition's; may be given several times.
    #[arg(short, long, value_name = "PLATFORM", value_parser = platform)]
    pub(crate) platform: Vec<Subdir>,
    /// The lock [default: beside the definition, with the suffix .lock].
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,
    /// Compile from what the lock names, and fail if that cannot be had.
    #[arg(long)]
    pub(crate) locked: bool,
    #[command(flatten)]
    pub(crate) network: Network,
    #[command(flatten)]
    pub(crate) telling: Telling,
}

/// Options of `archiconda channel verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The channel's folder.
    #[arg(value_name = "DIR")]
    pub(crate) channel: PathBuf,
    /// A platform's folder to look at, instead of all; may be given several times.
    #[arg(short, long, value_name = "PLATFORM", value_parser = platform)]
    pub(crate) subdir: Vec<Subdir>,
    /// Fetch packages again that are damaged or not there.
    #[arg(long)]
    pub(crate) repair: bool,
    /// The channel to fetch them from [default: where the meta-channel has them from].
    #[arg(long, value_name = "CHANNEL", requires = "repair")]
    pub(crate) from: Option<String>,
    #[command(flatten)]
    pub(crate) network: Network,
    #[command(flatten)]
    pub(crate) telling: Telling,
}

/// Options of `archiconda channel export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The channel's folder.
    #[arg(value_name = "DIR")]
    pub(crate) channel: PathBuf,
    /// The file to write; `-` for standard output.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// What the other machine has: an earlier export, or a folder that one was imported into.
    #[arg(long, value_name = "FILE")]
    pub(crate) since: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) telling: Telling,
}

/// Options of `archiconda channel import`.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// What was exported; `-` for standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The channel's folder, which is made if it is not there.
    #[arg(value_name = "DIR")]
    pub(crate) channel: PathBuf,
    /// How long to wait for another process that writes the channel; 0 to fail at once.
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    pub(crate) wait: Duration,
    #[command(flatten)]
    pub(crate) telling: Telling,
}
