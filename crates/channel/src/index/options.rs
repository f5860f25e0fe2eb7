//! What an indexing can be asked. The names and defaults are conda-index's, as far as it has them
//! (`conda_index/cli/__init__.py`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use fetch::postgres::Address;

use crate::base_url::BaseUrl;
use crate::json::Json;
use crate::place::Location;
use crate::scan::Wanted;

/// The level of `.zst` files unless another is asked for.
pub const DEFAULT_ZSTD_LEVEL: i32 = crate::output::compress::DEFAULT_LEVEL;

/// How a channel is indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Which files are written.
    pub outputs: Outputs,
    /// Where they are written, if not into the channel.
    pub output: Option<Location>,
    /// The database that the cache is in, if not in a file of the channel.
    pub database: Option<Address>,
    /// Where this machine keeps copies of caches that are in buckets.
    pub cache_dir: PathBuf,
    /// The platforms that are indexed; all whose folders are there, and noarch, if empty.
    pub subdirs: Vec<String>,
    /// What the channel is called in pages; the name of its folder by default.
    pub channel_name: Option<String>,
    /// Whether pages lead to an `about.html`, which the caller writes.
    pub has_about: bool,
    /// Where hotfixes come from.
    pub patch_generator: Option<PathBuf>,
    /// A YAML file of versions that `current_repodata.json` keeps besides the newest.
    pub current_index_versions: Option<PathBuf>,
    /// Where the packages are, if not beside the repodata (CEP 15).
    pub base_url: BaseUrl,
    /// Which channels this one builds upon and is put before (CEP 42).
    pub channel_relations: ChannelRelations,
    /// Whether the folders are listed; if not, the packages are those of the stage in the cache.
    pub update_cache: bool,
    /// Whether packages that are not there any more stay.
    pub update_only: bool,
    /// Which listing says what is in the channel: `fs` is the folder.
    pub upstream_stage: String,
    /// Files, or folders of platforms or channels, whose metadata is taken over: conda-index's
    /// `cache.db`, `repodata.json` or shards. With another stage than `fs`, they are its listing.
    pub import: Vec<PathBuf>,
    /// Package files, as `SUBDIR/FILE`, that came, changed or went: nothing else is looked at, and all other
    /// packages are what the cache knows of them. Empty to look at everything.
    pub only: Vec<String>,
    /// Whether every file is read again.
    pub verify: bool,
    /// How long a shard stays that nothing names any more.
    pub grace: Duration,
    /// How long to wait for another process that indexes the channel.
    pub patience: Duration,
    /// The level of `.zst` files.
    pub zstd_level: i32,
    /// How many packages are read at the same time; 0 for as many as there are processors.
    pub threads: usize,
}

/// Which files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outputs {
    /// `repodata.json` and what is made of it.
    pub monolithic: bool,
    /// One file for each name, and an index of them (CEP 16).
    pub shards: bool,
    /// `.zst` beside each JSON file of a platform.
    pub zst: bool,
    /// `.bz2` beside each JSON file of a platform.
    pub bz2: bool,
    /// `run_exports.json` (CEP 12).
    pub run_exports: bool,
    /// `current_repodata.json`.
    pub current_repodata: bool,
    /// `channeldata.json` (CEP 38) and the page of the channel.
    pub channeldata: bool,
    /// `rss.xml`, with channeldata.
    pub rss: bool,
    /// What packages need stands in the pages.
    pub html_dependencies: bool,
    /// JSON files are one line.
    pub compact: bool,
    /// Records stand below `v3` (CEP 48).
    pub repodata_next: bool,
    /// Records say when they came into the index (CEP 47).
    pub indexed_timestamp: bool,
    /// Records say which attestations lie beside the package (CEP 50).
    pub attestations: bool,
}

/// Other channels, as paths that begin with `../` (CEP 42).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChannelRelations {
    /// The channel that comes before this one.
    pub base: Option<String>,
    /// The channel that comes after this one.
    pub overrides: Option<String>,
}

impl ChannelRelations {
    /// What a channel says of itself in `info.channel_relations`, of which `member` gives the texts.
    pub(crate) fn of(member: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            base: member("base"),
            overrides: member("overrides"),
        }
    }

    /// What is wrong with them, for a sentence.
    pub(crate) fn problem(&self) -> Option<String> {
        let both = [&self.base, &self.overrides];
        if let Some(wrong) = both.into_iter().flatten().find(|path| !is_relative(path)) {
            return Some(format!(
                "`{wrong}` is no path to another channel that begins with `../`"
            ));
        }
        let same = self.base.is_some() && self.base == self.overrides;
        same.then(|| "a channel cannot come before and after another one".to_owned())
    }

    /// `info.channel_relations` in the dialect.
    pub(crate) fn to_json(&self) -> Option<String> {
        let members = [("base", &self.base), ("overrides", &self.overrides)];
        let members: BTreeMap<_, _> = members
            .into_iter()
            .filter_map(|(key, path)| Some((key.to_owned(), Json::Text(path.clone()?))))
            .collect();
        if members.is_empty() {
            return None;
        }
        let mut text = String::new();
        Json::Map(members).write(&mut text);
        Some(text)
    }
}

fn is_relative(path: &str) -> bool {
    let mut parts = path.strip_suffix('/').unwrap_or(path).split('/');
    parts.next() == Some("..")
        && parts.all(|part| !part.is_empty())
        && !path.contains(['?', '#', '\\'])
        && !path.contains("://")
}

impl Options {
    /// Whether the stage is that of what lies in the folders.
    pub(crate) fn upstream_is_folder(&self) -> bool {
        self.upstream_stage == "fs"
    }

    /// Whether the packages are those that lie in the folders now.
    pub(crate) fn folder_counts(&self) -> bool {
        self.upstream_is_folder() && self.update_cache
    }
}

impl Default for Options {
    fn default() -> Self {
        const DAY: Duration = Duration::from_hours(24);
        Self {
            outputs: Outputs::default(),
            output: None,
            database: None,
            cache_dir: fetch::default_cache_dir(),
            subdirs: Vec::new(),
            channel_name: None,
            has_about: false,
            patch_generator: None,
            current_index_versions: None,
            base_url: BaseUrl::Here,
            channel_relations: ChannelRelations::default(),
            update_cache: true,
            update_only: false,
            upstream_stage: "fs".to_owned(),
            import: Vec::new(),
            only: Vec::new(),
            verify: false,
            grace: 7 * DAY,
            patience: Duration::from_mins(10),
            zstd_level: DEFAULT_ZSTD_LEVEL,
            threads: 0,
        }
    }
}

impl Default for Outputs {
    fn default() -> Self {
        Self {
            monolithic: true,
            shards: false,
            zst: false,
            bz2: false,
            run_exports: false,
            current_repodata: false,
            channeldata: false,
            rss: true,
            html_dependencies: false,
            compact: true,
            repodata_next: false,
            indexed_timestamp: false,
            attestations: true,
        }
    }
}

impl Outputs {
    /// Everything that clients or people may want.
    pub fn all() -> Self {
        Self {
            shards: true,
            zst: true,
            bz2: true,
            run_exports: true,
            current_repodata: true,
            channeldata: true,
            html_dependencies: true,
            ..Self::default()
        }
    }

    /// What must be read in packages.
    pub(crate) fn wanted(self) -> Wanted {
        Wanted {
            digests: true,
            run_exports: self.run_exports || self.shards || self.channeldata,
            details: self.channeldata,
        }
    }
}
