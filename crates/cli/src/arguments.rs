//! All options of all commands. What they mean is decided where they are used.

#![expect(
    clippy::doc_markdown,
    reason = "these texts are the help on a terminal, where backticks are noise"
)]

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use conda::Subdir;
use url::Url;

pub(crate) mod channel;
pub(crate) mod image;
pub(crate) mod serve;

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
  archiconda index channel --all
      every file that clients and people may want
  archiconda index s3://bucket/channel --db postgresql://host/index
      a channel in a bucket, indexed by several machines together
  archiconda index channel --write-shards --no-write-monolithic --only linux-64/tool-1.0-0.conda
      after an upload: one package came, changed or went, and nothing else is looked at
  archiconda index channel --json --strict
      the result for a script, and exit code 1 if a package cannot be used

Exit codes: 0 done, 1 failed, 2 wrong usage.";

const REPACK_EXAMPLES: &str = "\
Examples:
  archiconda repack channels/bootstrap.toml --output-dir channel
      for all platforms of the definition, as its lock says
  archiconda repack channels/bootstrap.toml -p linux-aarch64 -o channel --locked --offline
      exactly the archives of the lock, from the cache
  archiconda repack my.toml -o channel --debs debs --wheels wheels
      from folders of .deb files and wheels, without a network

Exit codes: 0 done, 1 failed, 2 wrong usage or definition, 4 damaged or wrong bytes.";

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
    #[command(after_help = INDEX_EXAMPLES, args_override_self = true)]
    Index(Box<Index>),
    /// Compile, verify and carry channels.
    #[command(subcommand)]
    Channel(Box<channel::Channel>),
    /// Bake container images without an engine, and look into images.
    #[command(subcommand)]
    Image(Box<image::Image>),
    /// Make a bootstrap channel of Debian packages and Python wheels.
    #[command(after_help = REPACK_EXAMPLES)]
    Repack(Box<Repack>),
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

/// Options of `archiconda index`. Names and defaults are conda-index's where it has them.
#[derive(Debug, Args)]
pub(crate) struct Index {
    /// The channel, which holds one folder for each platform: a folder, or s3://BUCKET/PREFIX.
    pub(crate) dir: PathBuf,
    /// Write the files there, not into the channel.
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// A platform to index, instead of all; may be given several times.
    #[arg(long, value_name = "SUBDIR")]
    pub(crate) subdir: Vec<String>,
    /// What the channel is called in its pages [default: the folder's name].
    #[arg(short = 'n', long, value_name = "NAME")]
    pub(crate) channel_name: Option<String>,
    /// Where hotfixes come from: a package with patch_instructions.json for each platform, a Python
    /// file with a function _patch_repodata, or patch_yaml files [default: gen_patch.py in the
    /// channel].
    #[arg(long, value_name = "PATH")]
    pub(crate) patch_generator: Option<PathBuf>,
    /// Write every output there is.
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) outputs: Outputs,
    #[command(flatten)]
    pub(crate) listing: Listing,
    /// A YAML file of versions that current_repodata.json keeps besides the newest, like
    /// `python: [3.8, 3.9]`.
    #[arg(short = 'm', long, value_name = "FILE")]
    pub(crate) current_index_versions_file: Option<PathBuf>,
    /// The URL below which the packages are, if not beside the repodata.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// A channel that comes before this one, or after it (CEP 42): base=../NAME, overrides=../NAME.
    #[arg(long, value_name = "KEY=PATH", value_parser = relation)]
    pub(crate) channel_relations: Vec<(Relation, String)>,
    /// Which listing tells what is in the channel: fs is the folder, any other name one that --import
    /// filled, whose packages need not be there.
    #[arg(long, value_name = "STAGE", default_value = "fs")]
    pub(crate) upstream_stage: String,
    /// Take metadata over from a repodata.json, conda-index's cache.db, shards, or a channel's folder
    /// with such files; may be given several times.
    #[arg(long, value_name = "PATH")]
    pub(crate) import: Vec<PathBuf>,
    /// Look at this package alone, which came, changed or went, and take all others as the cache knows
    /// them; may be given several times. For what runs after an upload.
    #[arg(long, value_name = "SUBDIR/FILE", conflicts_with = "watch")]
    pub(crate) only: Vec<String>,
    /// Read every file again, whatever the cache knows.
    #[arg(long)]
    pub(crate) verify: bool,
    /// End with 1 if any package cannot be used.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Stay, and index again when the folders change; look every so many seconds.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2", value_parser = seconds)]
    pub(crate) watch: Option<Duration>,
    /// How long a shard stays that nothing names any more, like 36h or 7d.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = duration)]
    pub(crate) grace: Duration,
    /// How long to wait for another process that indexes the channel; 0 to fail at once.
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    pub(crate) wait: Duration,
    /// The level of .zst files.
    #[arg(long, value_name = "LEVEL", default_value_t = ::channel::DEFAULT_ZSTD_LEVEL, value_parser = clap::value_parser!(i32).range(1..=22))]
    pub(crate) zst_level: i32,
    /// Where the cache is: in a file of the channel (sqlite3, as conda-index calls it), or in a database that several
    /// processes share (postgresql, or its URL).
    #[arg(long, value_name = "DB", default_value = "sqlite3", hide_default_value = true, value_parser = database)]
    pub(crate) db: Database,
    /// The URL of the database, with --db=postgresql [default: postgresql:///conda_index].
    #[arg(
        long,
        value_name = "URL",
        env = "CONDA_INDEX_DBURL",
        hide_env_values = true
    )]
    pub(crate) db_url: Option<String>,
    /// Where copies of caches that lie in buckets are kept [default: archiconda in the user's cache
    /// folder].
    #[arg(long, value_name = "DIR", env = "ARCHICONDA_CACHE_DIR")]
    pub(crate) cache_dir: Option<PathBuf>,
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
    /// Tell every package that is read.
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
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

/// A format of packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PackageFormat {
    /// `.conda`
    Conda,
    /// `.tar.bz2`
    #[value(name = "tar.bz2")]
    TarBz2,
}

/// How another channel stands to the one that is indexed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// It comes before.
    Base,
    /// It comes after.
    Overrides,
}

/// Where the cache of `archiconda index` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Database {
    /// A file in the channel. The name is conda-index's; the file is not SQLite's.
    Sqlite3,
    /// A database that several machines share.
    Postgresql,
    /// The same, with its URL.
    Url(String),
}

/// Options that can be negated, as Python's argparse has them (`BooleanOptionalAction`): of `--x` and
/// `--no-x` the last one counts.
macro_rules! switches {
    ($(#[doc = $doc:literal])* $group:ident $($name:ident $long:literal $no:ident $no_long:literal $help:literal;)*) => {
        $(#[doc = $doc])*
        #[derive(Debug, Args)]
        pub(crate) struct $group {
            $(
                #[doc = $help]
                #[arg(long = $long, overrides_with = stringify!($no))]
                pub(crate) $name: bool,
                #[arg(long = $no_long, overrides_with = stringify!($name), hide = true)]
                pub(crate) $no: bool,
            )*
        }
    };
}

switches! {
    /// Which files are written, each with its `--no-` form.
    Outputs
    channeldata "channeldata" no_channeldata "no-channeldata" "Write channeldata.json, and the channel's page [--no-channeldata]";
    rss "rss" no_rss "no-rss" "Write rss.xml, if channeldata.json is written [default] [--no-rss]";
    bz2 "bz2" no_bz2 "no-bz2" "Write .bz2 beside the JSON files of platforms [--no-bz2]";
    zst "zst" no_zst "no-zst" "Write .zst beside the JSON files of platforms [--no-zst]";
    run_exports "run-exports" no_run_exports "no-run-exports" "Write run_exports.json [--no-run-exports]";
    compact "compact" no_compact "no-compact" "Write JSON as one line [default] [--no-compact]";
    current_repodata "current-repodata" no_current_repodata "no-current-repodata" "Write current_repodata.json [--no-current-repodata]";
    write_monolithic "write-monolithic" no_write_monolithic "no-write-monolithic" "Write repodata.json [default] [--no-write-monolithic]";
    write_shards "write-shards" no_write_shards "no-write-shards" "Write a file for each name, and their index, repodata_shards.msgpack.zst [--no-write-shards]";
    html_dependencies "html-dependencies" no_html_dependencies "no-html-dependencies" "Write what packages need into the pages [--no-html-dependencies]";
    repodata_next "repodata-next" no_repodata_next "no-repodata-next" "Write records below the key v3 [--no-repodata-next]";
    indexed_timestamp "indexed-timestamp" no_indexed_timestamp "no-indexed-timestamp" "Write when packages came into the index (CEP 47) [--no-indexed-timestamp]";
    attestations "attestations" no_attestations "no-attestations" "Write the digests of attestations, FILE.sigs beside packages (CEP 50) [default] [--no-attestations]";
}

switches! {
    /// What the cache is asked, each with its `--no-` form.
    Listing
    update_cache "update-cache" no_update_cache "no-update-cache" "List the folders [default]; with --no-update-cache, what the cache knows is the channel";
    update_only "update-only" no_update_only "no-update-only" "Keep packages that are not there any more [--no-update-only]";
}

fn database(text: &str) -> Result<Database, String> {
    match text {
        "sqlite3" => Ok(Database::Sqlite3),
        "postgresql" => Ok(Database::Postgresql),
        // What is wrong with it is said where it is not repeated: it may hold a password.
        url if url.contains("://") => Ok(Database::Url(url.to_owned())),
        _ => {
            Err("expected sqlite3, postgresql, or a URL that begins with postgresql://".to_owned())
        }
    }
}

fn platform(text: &str) -> Result<Subdir, String> {
    text.parse().map_err(|_| match spec::near_platform(text) {
        Some(near) => format!("there is no such platform; did you mean `{near}`?"),
        None => {
            "there is no such platform; linux-64 and linux-aarch64 are two of conda's".to_owned()
        }
    })
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .map_err(|_| "expected a number of seconds".to_owned())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string()))
}

/// A number, and `K`, `M`, `G` or `T` for powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let unit = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let shift = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("expected a size like 500M or 4G".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "expected a size like 500M or 4G".to_owned())?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "that is too much".to_owned())
}

/// A number and `s`, `m`, `h` or `d`; without one, seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let units = [('s', 1.0), ('m', 60.0), ('h', 3600.0), ('d', 86400.0)];
    let (number, unit) = units
        .into_iter()
        .find_map(|(letter, unit)| Some((text.strip_suffix(letter)?, unit)))
        .unwrap_or((text, 1.0));
    let number: f64 = number
        .parse()
        .map_err(|_| "expected a time like 36h or 7d".to_owned())?;
    Duration::try_from_secs_f64(number * unit).map_err(|error| error.to_string())
}

/// `base=PATH` or `overrides=PATH`.
fn relation(text: &str) -> Result<(Relation, String), String> {
    match text.split_once('=') {
        Some(("base", path)) => Ok((Relation::Base, path.to_owned())),
        Some(("overrides", path)) => Ok((Relation::Overrides, path.to_owned())),
        _ => Err("expected base=PATH or overrides=PATH".to_owned()),
    }
}

/// `FROM=TO`, both URLs.
fn mirror(text: &str) -> Result<(Url, Url), String> {
    let (from, to) = text
        .split_once('=')
        .ok_or("expected two URLs with `=` between them")?;
    let url = |text: &str| Url::parse(text).map_err(|error| format!("`{text}`: {error}"));
    Ok((url(from)?, url(to)?))
}

#[cfg(test)]
mod tests {
    use super::platform;

    #[test]
    fn a_platform_that_there_is_not_is_told_with_the_nearest() {
        assert_eq!(
            platform("noarch").map(|found| found.to_string()),
            Ok("noarch".to_owned())
        );
        for (text, expected) in [
            ("linux-65", "did you mean `linux-64`?"),
            ("aarch64", "did you mean `linux-aarch64`?"),
            ("amiga", "linux-64 and linux-aarch64"),
            ("", "there is no such platform"),
        ] {
            let told = platform(text).expect_err(text);
            assert!(told.contains(expected), "{text}: {told}");
        }
    }
}
