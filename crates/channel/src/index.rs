//! Indexing a channel: the cache follows the folders, then the files of all platforms are made anew
//! where anything changed, then all of them are put in place.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use archive::digest::{Hasher, Sha256};

use crate::Error;
use crate::cache::{self, Cache, Home, State};
use crate::hotfix::{self, Generator};
use crate::import::{Given, Source};
use crate::lock::{Lock, Owner};
use crate::output::current::Pins;
use crate::place::{Location, Place};
use crate::publish::{self, Folder};
use memory::Memory;
use only::Only;
use update::{Platform, Scope};

mod attestations;
mod import;
mod listing;
mod make;
mod memory;
mod notices;
mod only;
mod options;
mod pages;
mod published;
mod quarantine;
mod records;
mod shards;
mod share;
#[cfg(test)]
mod tests;
mod update;

pub use listing::SUBDIRS;
pub use options::{ChannelRelations, DEFAULT_ZSTD_LEVEL, Options, Outputs};

/// Changes when the same packages and options come to other files.
const FORM: &str = "1";

/// What happens while a channel is indexed. Packages come in no particular order.
#[derive(Debug)]
pub enum Event<'a> {
    /// Another process has the channel, and is waited for.
    Waiting {
        /// Who.
        owner: &'a Owner,
    },
    /// The cache was damaged or of another version, and everything is read again.
    CacheLost,
    /// What others know was taken over.
    Imported {
        /// The platform's folder.
        subdir: &'a str,
        /// Where it stood.
        path: &'a std::path::Path,
        /// Of how many packages.
        packages: usize,
    },
    /// The folders are listed.
    Listed {
        /// How many packages will be read.
        packages: usize,
    },
    /// A package was read.
    Indexed {
        /// The platform's folder.
        subdir: &'a str,
        /// The file name.
        file: &'a str,
    },
    /// A package is left out.
    Skipped {
        /// The platform's folder.
        subdir: &'a str,
        /// The file name.
        file: &'a str,
        /// Why.
        reason: &'a str,
    },
    /// A package says that it was built later than now (CEP 47).
    Future {
        /// The platform's folder.
        subdir: &'a str,
        /// The file name.
        file: &'a str,
    },
    /// A file that the user may have written is not replaced by what was made.
    Kept {
        /// The platform's folder.
        subdir: &'a str,
        /// The file name.
        file: &'a str,
    },
    /// All packages of a name are so much that conda up to 26.7.0 refuses their shard.
    LargeShard {
        /// The platform's folder.
        subdir: &'a str,
        /// The name.
        name: &'a str,
        /// The shard's length before compression, in bytes.
        size: usize,
    },
    /// The files of a platform are in place.
    Published {
        /// The platform's folder.
        subdir: &'a str,
        /// Whether any is another than before.
        changed: bool,
    },
}

/// What indexing came to.
#[derive(Debug)]
pub struct Report {
    /// The platforms, sorted by name.
    pub subdirs: Vec<Subdir>,
}

/// What indexing one platform came to.
#[derive(Debug)]
pub struct Subdir {
    /// The folder's name.
    pub name: String,
    /// How many packages are in the repodata.
    pub packages: usize,
    /// How many were read; of the others it was known what they are.
    pub read: usize,
    /// What is not, sorted by file name.
    pub skipped: Vec<Skipped>,
    /// Whether any file was written.
    pub changed: bool,
}

/// A package that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file name; what of it is not UTF-8 is replaced.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// What the parts of one run share.
struct Context<'a> {
    channel: Place,
    channel_name: String,
    subdirs: Vec<String>,
    output: Place,
    options: &'a Options,
    report: &'a (dyn Fn(Event<'_>) + Sync),
    only: Only,
    generator: Option<Generator>,
    script_limit: Duration,
    pins: Pins,
    /// How many threads compress one file.
    workers: u32,
    now_ms: i64,
}

/// Makes a folder or a bucket a channel: writes the files that are asked for into the folder of each
/// platform, and those of the channel itself. A package that cannot be used is left out and reported,
/// and stops nothing; files whose content would not change are not touched. One process at a time does
/// this to a channel; with a database, reading the packages is shared by all that are started.
pub fn index(
    channel: impl Into<Location>,
    options: &Options,
    report: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Report, Error> {
    index_given(channel, options, &[], report)
}

/// The same with records that the caller has as the listing of the stage that the options name.
pub(crate) fn index_given(
    channel: impl Into<Location>,
    options: &Options,
    given: &[&dyn Given],
    report: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Report, Error> {
    let channel = Place::open(&channel.into())?;
    let only = Only::of(options)?;
    let sources = sources(options)?;
    let mut known: Vec<&str> = only.subdirs().collect();
    known.extend(given.iter().map(|given| given.subdir()));
    if !options.folder_counts() || options.update_only {
        known.extend(sources.iter().map(|source| source.subdir.as_str()));
    }
    let subdirs = listing::subdirs(&channel, &options.subdirs, &known)?;
    let shared = read_together(&channel, &subdirs, options, report)?;
    let context = context(&channel, subdirs, options, only, report)?;
    let lock = Lock::take(&channel, options.patience, &mut |owner| {
        report(Event::Waiting { owner });
    })?;
    // Whoever had the lock until now has changed it.
    channel.forget();
    let home = Home::of(&channel, options.database.as_ref(), &options.cache_dir)?;
    let attempt = || {
        let mut cache = home.open()?;
        let mut report = run(&context, &sources, given, &mut cache, &lock)?;
        home.keep(cache)?;
        for subdir in &mut report.subdirs {
            subdir.read += shared.get(&subdir.name).copied().unwrap_or(0);
        }
        Ok(report)
    };
    match attempt() {
        Err(Error::Cache(cache::Error::Damaged)) => {
            report(Event::CacheLost);
            home.clear()?;
            attempt()
        }
        outcome => outcome,
    }
}

/// With a database, all processes read before one of them publishes. What cannot be shared is done under the
/// lock. How many packages were read here, for each platform.
fn read_together(
    channel: &Place,
    subdirs: &[String],
    options: &Options,
    report: &(dyn Fn(Event<'_>) + Sync),
) -> Result<BTreeMap<String, usize>, Error> {
    let has_files = options.update_cache && options.upstream_stage == "fs";
    if options.database.is_none() || options.verify || !has_files || !options.only.is_empty() {
        return Ok(BTreeMap::new());
    }
    // Who publishes tells what is left out.
    let quiet = |event: Event<'_>| {
        if !matches!(event, Event::Skipped { .. }) {
            report(event);
        }
    };
    let context = context(channel, subdirs.to_vec(), options, Only::default(), &quiet)?;
    let home = Home::of(channel, options.database.as_ref(), &options.cache_dir)?;
    let shared = home
        .open()
        .and_then(|mut cache| share::share(&context, &mut cache));
    match shared {
        Err(Error::Cache(cache::Error::Damaged)) => Ok(BTreeMap::new()),
        shared => shared,
    }
}

fn context<'a>(
    channel: &Place,
    subdirs: Vec<String>,
    options: &'a Options,
    only: Only,
    report: &'a (dyn Fn(Event<'_>) + Sync),
) -> Result<Context<'a>, Error> {
    check(options)?;
    let pins = match &options.current_index_versions {
        None => Pins::default(),
        Some(path) => {
            let text = fs_err::read_to_string(path).map_err(|source| Error::Read {
                path: path.clone(),
                source,
            })?;
            Pins::parse(&text).map_err(|source| Error::Pins {
                path: path.clone(),
                source,
            })?
        }
    };
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    };
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let channel_name = options.channel_name.clone().or_else(|| channel.name());
    let output = match &options.output {
        None => channel.clone(),
        Some(location) => Place::open(location)?,
    };
    Ok(Context {
        channel: channel.clone(),
        channel_name: channel_name.unwrap_or_default(),
        subdirs,
        output,
        options,
        report,
        only,
        generator: Generator::find(channel, options.patch_generator.as_deref())?,
        script_limit: Duration::from_hours(1),
        pins,
        workers: u32::try_from(threads).unwrap_or(1),
        now_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
    })
}

/// What is to be taken over, in the order that the user gives.
fn sources(options: &Options) -> Result<Vec<Source>, Error> {
    let found = options.import.iter().map(|path| crate::import::find(path));
    let found: Vec<_> = found.collect::<Result<_, _>>()?;
    Ok(found.into_iter().flatten().collect())
}

/// What conda-index refuses, too (`conda_index/cli/__init__.py`).
fn check(options: &Options) -> Result<(), Error> {
    let outputs = options.outputs;
    let needs = [
        (outputs.current_repodata, "--current-repodata"),
        (outputs.run_exports, "--run-exports"),
        (outputs.channeldata, "--channeldata"),
    ];
    let wrong: Vec<_> = needs
        .iter()
        .filter(|(asked, _)| *asked && !outputs.monolithic)
        .map(|(_, name)| *name)
        .collect();
    let problem = if wrong.is_empty() {
        options.channel_relations.problem()
    } else {
        Some(format!(
            "{} cannot be had without repodata.json",
            wrong.join(", ")
        ))
    };
    match problem {
        None => Ok(()),
        Some(problem) => Err(Error::Unsupported { problem }),
    }
}

fn run(
    context: &Context<'_>,
    sources: &[Source],
    given: &[&dyn Given],
    cache: &mut Cache,
    lock: &Lock,
) -> Result<Report, Error> {
    context.load()?;
    import::import(context, sources, given, cache)?;
    let memories = memories(context, cache)?;
    let platforms = update::update(context, cache, &memories)?;
    let of_channel = Memory::load(context, cache, "")?;
    let revisions: Vec<_> = platforms
        .iter()
        .map(|platform| revision(context, platform))
        .collect();
    let of_all = of_all(context, &revisions, &platforms);
    let is_fresh = |(memory, revision): (&Memory, &Sha256), place: &Place| {
        memory.revision == Some(*revision)
            && !context.runs_a_script()
            && publish::is_there(place, &memory.made)
    };
    let fresh: Vec<_> = memories
        .iter()
        .zip(&revisions)
        .zip(&platforms)
        .map(|(known, platform)| match &platform.scope {
            Scope::Part(touched) => touched.is_empty(),
            Scope::Whole | Scope::Named => is_fresh(known, &context.output.at(&platform.name)),
        })
        .collect();
    let channel_is_fresh = is_fresh((&of_channel, &of_all), &context.output);
    // The channel's files are made of all platforms.
    let all = context.options.outputs.channeldata
        && !(channel_is_fresh && fresh.iter().all(|fresh| *fresh));

    let mut report = Report {
        subdirs: Vec::new(),
    };
    let mut folders = Vec::new();
    let mut made = Vec::new();
    for (((platform, memory), revision), fresh) in
        platforms.iter().zip(&memories).zip(&revisions).zip(fresh)
    {
        let told = |one: &&Skipped| platform.concerns(context, &one.file);
        let mut subdir = Subdir {
            name: platform.name.clone(),
            packages: memory.packages,
            read: platform.read,
            skipped: platform.skipped.values().filter(told).cloned().collect(),
            changed: false,
        };
        if !fresh || all {
            let place = context.output.at(&platform.name);
            let mut folder = Folder::new(place.clone(), memory.made.clone())?;
            let names = beside(context, platform, &place)?;
            publish::sweep(&place, &names)?;
            let files = make::platform(
                context,
                (platform, &names),
                cache,
                &memory.shards,
                &mut folder,
            )?;
            subdir.packages = files.packages;
            subdir.changed = folder.has_changes();
            folders.push(folder);
            let revision = platform.is_all().then_some(*revision);
            made.push((report.subdirs.len(), revision, files));
        }
        report.subdirs.push(subdir);
    }
    let mut notes = Vec::new();
    if !made.is_empty() || !channel_is_fresh {
        let mut channel = Folder::new(context.output.clone(), of_channel.made)?;
        publish::sweep(&context.output, &names(&context.output)?)?;
        quarantine::offer(&platforms, &mut channel)?;
        notices::offer(context, &mut channel)?;
        let files: Vec<_> = made.iter().map(|(_, _, files)| files).collect();
        pages::offer(context, &platforms, &files, cache, &mut channel)?;
        folders.push(channel);
        lock.check()?;
        let mut published = publish::publish(folders)?;
        let memory = Memory {
            revision: platforms.iter().all(Platform::is_all).then_some(of_all),
            made: published.pop().unwrap_or_default(),
            ..Memory::default()
        };
        notes.push((String::new(), memory));
        for ((number, revision, files), published) in made.into_iter().zip(published) {
            if let Some(subdir) = report.subdirs.get(number) {
                let mut memory = Memory {
                    revision,
                    packages: subdir.packages,
                    made: published,
                    shards: files.shards,
                };
                if context.options.outputs.shards {
                    memory
                        .shards
                        .set_basis(only::basis(context, cache, &subdir.name)?);
                }
                notes.push((subdir.name.clone(), memory));
            }
        }
    }
    for subdir in &report.subdirs {
        (context.report)(Event::Published {
            subdir: &subdir.name,
            changed: subdir.changed,
        });
    }
    refresh(context, cache, memories, &mut notes)?;
    collect(context, &report, cache, &mut notes)?;
    if !notes.is_empty() {
        let mut batch = cache.batch()?;
        for (subdir, memory) in notes {
            memory.store(context, &mut batch, &subdir)?;
        }
        batch.commit()?;
    }
    Ok(report)
}

impl Context<'_> {
    /// Lists all that lies in buckets, at the same time.
    fn load(&self) -> Result<(), Error> {
        let mut places = vec![self.output.clone()];
        places.extend(self.subdirs.iter().map(|name| self.output.at(name)));
        if self.options.output.is_some() {
            places.extend(self.subdirs.iter().map(|name| self.channel.at(name)));
        }
        places.retain(|place| matches!(place, Place::Bucket(_)));
        std::thread::scope(|scope| {
            let list = |place: Place| scope.spawn(move || place.load());
            let threads: Vec<_> = places.into_iter().map(list).collect();
            for thread in threads {
                match thread.join() {
                    Ok(loaded) => loaded?,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Ok(())
        })
    }

    /// What this indexer says of packages, and nobody else.
    fn own_keys(&self) -> Vec<&'static str> {
        let outputs = self.options.outputs;
        let mut keys = Vec::new();
        if outputs.indexed_timestamp {
            keys.push(update::INDEXED);
        }
        if outputs.attestations {
            keys.push(attestations::KEY);
        }
        keys
    }

    /// A script may say something else about the same packages.
    fn runs_a_script(&self) -> bool {
        matches!(self.generator, Some(Generator::Script(_)))
    }
}

/// Where no shard was made anew, what the cache learned beside them may be another thing than before: that they
/// are right for it, too, is noted.
fn refresh(
    context: &Context<'_>,
    cache: &Cache,
    memories: Vec<Memory>,
    notes: &mut Vec<(String, Memory)>,
) -> Result<(), Error> {
    if !context.options.outputs.shards {
        return Ok(());
    }
    for (name, mut memory) in context.subdirs.iter().zip(memories) {
        let basis = only::basis(context, cache, name)?;
        if basis != memory.shards.basis() && !notes.iter().any(|(noted, _)| noted == name) {
            memory.shards.set_basis(basis);
            notes.push((name.clone(), memory));
        }
    }
    Ok(())
}

/// Removes shards that nothing has named for the time of grace.
fn collect(
    context: &Context<'_>,
    report: &Report,
    cache: &Cache,
    notes: &mut Vec<(String, Memory)>,
) -> Result<(), Error> {
    let grace = i64::try_from(context.options.grace.as_millis()).unwrap_or(i64::MAX);
    let before_ms = context.now_ms.saturating_sub(grace);
    for subdir in &report.subdirs {
        let noted = notes.iter_mut().find(|(name, _)| *name == subdir.name);
        let place = context.output.at(&subdir.name);
        if let Some((_, memory)) = noted {
            memory.shards.collect(&place, before_ms);
        } else {
            let mut memory = Memory::load(context, cache, &subdir.name)?;
            if memory.shards.collect(&place, before_ms) {
                notes.push((subdir.name.clone(), memory));
            }
        }
    }
    Ok(())
}

/// The names that lie where a platform's files go, packages or not. What was seen when the packages were
/// looked for is not looked at again.
fn beside<'a>(
    context: &Context<'_>,
    platform: &'a Platform,
    place: &Place,
) -> Result<Cow<'a, [String]>, Error> {
    let is_seen = context.options.folder_counts() && context.options.output.is_none();
    Ok(if is_seen || !matches!(platform.scope, Scope::Whole) {
        Cow::Borrowed(&platform.beside)
    } else {
        Cow::Owned(names(place)?)
    })
}

fn names(place: &Place) -> Result<Vec<String>, Error> {
    place.names().map_err(|source| Error::List { source })
}

fn memories(context: &Context<'_>, cache: &Cache) -> Result<Vec<Memory>, Error> {
    let load = |name: &String| Memory::load(context, cache, name).map_err(Error::from);
    context.subdirs.iter().map(load).collect()
}

/// One digest of what the channel's own files are made of.
fn of_all(context: &Context<'_>, revisions: &[Sha256], platforms: &[Platform]) -> Sha256 {
    let mut hasher = Hasher::new();
    for (revision, platform) in revisions.iter().zip(platforms) {
        hasher.update(&revision.0);
        for skipped in platform.skipped.values() {
            hasher.update(format!("{skipped:?}").as_bytes());
        }
    }
    let notices = context.channel.stat(notices::FILE);
    hasher.update(format!("{notices:?}").as_bytes());
    hasher.finish().sha256
}

/// One digest of all that a platform's files are made of, but for what a script may say.
fn revision(context: &Context<'_>, platform: &Platform) -> Sha256 {
    let mut hasher = Hasher::new();
    let options = context.options;
    let told = format!(
        "{FORM} {} {:?} {:?} {:?} {:?} {} {:?}",
        env!("CARGO_PKG_VERSION"),
        options.outputs,
        options.base_url,
        options.channel_relations,
        options.channel_name,
        options.zstd_level,
        context.pins,
    );
    hasher.update(told.as_bytes());
    let own = context.channel.at(&platform.name);
    memory::add_file(&mut hasher, &own, hotfix::FILE);
    let generator = match &context.generator {
        Some(Generator::Package(path, _) | Generator::Script(path) | Generator::Rules(path, _)) => {
            Some(path.as_path())
        }
        None => None,
    };
    if let Some(path) = generator {
        memory::add_path(&mut hasher, path, 0);
    }
    for (file, known) in &platform.files {
        if known.state != State::Unusable {
            hasher.update(file.as_bytes());
            hasher.update(&[
                0,
                u8::from(known.wanted.run_exports),
                u8::from(known.wanted.details),
            ]);
            for number in [known.stat.size, known.stat.inode] {
                hasher.update(&number.to_le_bytes());
            }
            hasher.update(&known.stat.mtime_ns.to_le_bytes());
            hasher.update(&known.mark.sum.to_le_bytes());
            if options.outputs.indexed_timestamp {
                hasher.update(&known.indexed_ms.to_le_bytes());
            }
        }
    }
    for (file, digest) in &platform.attestations {
        hasher.update(file.as_bytes());
        hasher.update(digest.as_bytes());
    }
    hasher.finish().sha256
}
