//! The options of all commands; those with many are each in a file. What they mean is decided where they are used.

#![expect(
    clippy::doc_markdown,
    reason = "these texts are the help on a terminal, where backticks are noise"
)]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use conda::Subdir;
use url::Url;

use values::{mirror, platform, size};

pub(crate) mod channel;
pub(crate) mod image;
pub(crate) mod index;
pub(crate) mod repack;
pub(crate) mod serve;
mod values;

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

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  archiconda completions bash > ~/.local/share/bash-completion/completions/archiconda
  archiconda completions zsh > ~/.zfunc/_archiconda
      where ~/.zfunc is in fpath before compinit runs
  archiconda completions fish > ~/.config/fish/completions/archiconda.fish
  archiconda completions fish build-installer > ~/.config/fish/completions/build-installer.fish

Exit codes: 0 done, 1 failed, 2 wrong usage.";

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
    #[command(after_help = index::EXAMPLES, args_override_self = true)]
    Index(Box<index::Index>),
    /// Compile, verify and carry channels.
    #[command(subcommand)]
    Channel(Box<channel::Channel>),
    /// Bake container images without an engine, and look into images.
    #[command(subcommand)]
    Image(Box<image::Image>),
    /// Make a bootstrap channel of Debian packages and Python wheels.
    #[command(after_help = repack::EXAMPLES)]
    Repack(Box<repack::Repack>),
    /// Serve channels over HTTP.
    #[command(after_help = serve::EXAMPLES)]
    Serve(Box<serve::Serve>),
    /// Write what makes a shell complete commands and options.
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(Completions),
}

/// How a command tells what it does.
#[derive(Debug, Args)]
pub(crate) struct Telling {
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Say nothing but warnings, errors and what was asked for.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// How much is done at once.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Threads {
    /// How many threads work [default: one for each processor].
    #[arg(
        short = 'j',
        long = "threads",
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub(crate) count: usize,
}

/// How channels are reached.
#[derive(Debug, Args)]
pub(crate) struct Network {
    /// Where downloads are kept [default: archiconda in the user's cache folder].
    #[arg(long, value_name = "DIR", env = "ARCHICONDA_CACHE_DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
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
    /// How many packages come from one server at once.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_per_host: u16,
    /// How many bytes of packages come in a second, like 500K or 20M [default: as many as come].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) limit_rate: Option<u64>,
    /// Use only what is in the cache or in local folders.
    #[arg(long)]
    pub(crate) offline: bool,
}

/// Options of `build-installer` and `archiconda installer`.
#[derive(Debug, Args)]
pub(crate) struct Installer {
    /// The distribution's spec, a TOML file (docs/spec.md).
    pub(crate) spec: PathBuf,
    /// A platform to build for, instead of the spec's; may be given several times.
    #[arg(short, long, value_name = "PLATFORM", value_parser = platform)]
    pub(crate) platform: Vec<Subdir>,
    /// Where installers are written.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) output_dir: PathBuf,
    #[command(flatten)]
    pub(crate) network: Network,
    /// Where runtimes lie [default: `runtimes` beside this executable].
    #[arg(long, value_name = "DIR", env = "ARCHICONDA_RUNTIMES")]
    pub(crate) runtimes: Option<PathBuf>,
    /// Fail if the lock beside the spec is missing or does not fit the spec.
    #[arg(long, conflicts_with = "update")]
    pub(crate) locked: bool,
    /// Resolve anew and rewrite the lock.
    #[arg(long)]
    pub(crate) update: bool,
    /// Resolve and say what would be in the installers; write nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) telling: Telling,
    #[command(flatten)]
    pub(crate) threads: Threads,
}

/// Options of `archiconda completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: Shell,
    /// The command that is completed.
    #[arg(value_name = "COMMAND", default_value = "archiconda")]
    pub(crate) executable: Executable,
}

/// What is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Executable {
    /// `archiconda`
    Archiconda,
    /// `build-installer`
    BuildInstaller,
}
