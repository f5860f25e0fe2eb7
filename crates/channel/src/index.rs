//! Indexing a channel: the cache follows the folders, then the files of all platforms are made anew
//! where anything changed, then all of them are put in place.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use archive::digest::Sha256;

use crate::Error;
use crate::cache::{self, Cache, Home};
use crate::given::Listing;
use crate::hotfix::Generator;
use crate::import::Source;
use crate::lock::Lock;
use crate::output::current::Pins;
use crate::place::{Location, Place};
use crate::publish::{self, Folder};
use memory::Memory;
use only::Only;
use update::{Platform, Scope};

mod attestations;
mod documents;
mod event;
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
mod revision;
mod shards;
mod share;
#[cfg(test)]
mod tests;
mod update;

pub use event::{Event, Report, Skipped, Subdir};
pub use listing::SUBDIRS;
pub use options::{ChannelRelations, DEFAULT_ZSTD_LEVEL, Options, Outputs};

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
    index_given(&channel.into(), options, &[], report)
}

/// The same with listings that the caller has as those of the stage that the options name. The options add nothing to
/// their records.
pub(crate) fn index_given(
    channel: &Location,
    options: &Options,
    given: &[Arc<Listing>],
    report: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Report, Error> {
    let channel = Place::open(channel)?;
    let only = Only::of(options)?;
    let sources = sources(options)?;
    let mut known: Vec<&str> = only.subdirs().collect();
    known.extend(given.iter().map(|given| given.subdir.as_str()));
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
    let is_damaged =
        |outcome: &Result<_, Error>| matches!(outcome, Err(Error::Cache(cache::Error::Damaged)));
    let mut outcome = attempt();
    if is_damaged(&outcome) && options.database.is_some() {
        // Others may have taken away what was just listed.
        look_again(&channel, &context);
        outcome = attempt();
    }
    if is_damaged(&outcome) {
        report(Event::CacheLost);
        home.clear()?;
        look_again(&channel, &context);
        outcome = attempt();
    }
    outcome
}

/// A listing is given out once.
fn look_again(channel: &Place, context: &Context<'_>) {
    channel.forget();
    context.channel.forget();
    context.output.forget();
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
        let relations = options.channel_relations.problem();
        relations.or_else(|| options.base_url.problem())
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
    given: &[Arc<Listing>],
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
        .map(|platform| revision::of_platform(context, platform))
        .collect();
    let of_all = revision::of_all(context, &revisions, &platforms);
    let is_fresh = |(memory, revision): (&Memory, &Sha256), place: &Place| {
        memory.revision == Some(*revision)
            && !context.runs_a_script()
            && publish::is_there(place, &memory.made)
    };
    let fresh: Vec<_> = memories
        .iter()
        .zip(&revisions)
        .zip(&platforms)
        .map(|((memory, revision), platform)| {
            let place = context.output.at(&platform.name);
            Ok(match &platform.scope {
                Scope::Part(touched) => touched.is_empty(),
                Scope::Whole | Scope::Named if memory.revision.is_some() => {
                    is_fresh((memory, revision), &place)
                }
                Scope::Whole | Scope::Named => {
                    publish::is_there(&place, &memory.made)
                        && only::is_made(context, cache, &platform.name, memory)?
                }
            })
        })
        .collect::<Result<_, Error>>()?;
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
            let files = make::platform(context, (platform, &names), cache, memory, &mut folder)?;
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
                    documents: files.documents,
                };
                if context.options.outputs.shards {
                    let basis = only::basis(context, cache, &subdir.name)?;
                    memory.shards.set_basis(basis);
                    if context.options.outputs.monolithic {
                        let basis = documents::basis(context, &subdir.name, basis);
                        memory.documents.set_basis(basis);
                    }
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
        let before = memory.shards.basis();
        if basis != before && !notes.iter().any(|(noted, _)| noted == name) {
            memory.shards.set_basis(basis);
            if memory
                .documents
                .is_of(documents::basis(context, name, before))
            {
                let basis = documents::basis(context, name, basis);
                memory.documents.set_basis(basis);
            }
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
