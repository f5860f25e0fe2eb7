//! Options of `archiconda index`.

#![expect(
    clippy::doc_markdown,
    reason = "these texts are the help on a terminal, where backticks are noise"
)]

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values::{duration, seconds};
use super::{Telling, Threads};

pub(super) const EXAMPLES: &str = "\
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
    #[command(flatten)]
    pub(crate) threads: Threads,
    #[command(flatten)]
    pub(crate) telling: Telling,
    /// Tell every package that is read.
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
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

/// `base=PATH` or `overrides=PATH`.
fn relation(text: &str) -> Result<(Relation, String), String> {
    match text.split_once('=') {
        Some(("base", path)) => Ok((Relation::Base, path.to_owned())),
        Some(("overrides", path)) => Ok((Relation::Overrides, path.to_owned())),
        _ => Err("expected base=PATH or overrides=PATH".to_owned()),
    }
}
