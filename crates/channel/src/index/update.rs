//! The cache follows the folders: what is new or changed is read, what is gone is forgotten.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use archive::digest::{Md5, Sha256};

use super::memory::Memory;
use super::published::{self, Published};
use super::{Context, Event, Skipped, attestations, only, quarantine};
use crate::cache::{self, Cache, Known, State};
use crate::error::chain;
use crate::output::repodata::fields::with;
use crate::output::repodata::quoted;
use crate::place::{Listed, Odd, Place};
use crate::scan::{Job, Stat};
use crate::scanned::Scanned;
use crate::{Error, Unusable};

mod read;

use read::read;
pub(super) use read::read_part;

/// The key that says when a package came into the index (CEP 47).
pub(super) const INDEXED: &str = "indexed_timestamp";

/// How exactly the time of a file is known that conda-index read, in nanoseconds: it keeps seconds as a
/// floating-point number.
const IMPORTED_TIME: u64 = 1000;

/// A platform and what is in it.
pub(super) struct Platform {
    pub(super) name: String,
    /// Where the cache has it: the name, or a stage's.
    pub(super) place: String,
    /// What the cache knows of its files.
    pub(super) files: BTreeMap<String, Known>,
    /// What cannot be used, by file name.
    pub(super) skipped: BTreeMap<String, Skipped>,
    /// How many packages were read.
    pub(super) read: usize,
    /// The digests of the attestations that lie beside packages, by file name.
    pub(super) attestations: BTreeMap<String, String>,
    /// What else lies in the folder, where it was looked at.
    pub(super) beside: Vec<String>,
    /// How much of it is looked at.
    pub(super) scope: Scope,
    /// What is read anew, as it was known before.
    before: BTreeMap<String, Known>,
    /// When packages came into the index, if nothing but earlier outputs tells.
    published: Option<Published>,
}

/// How much of a platform a run looks at.
#[derive(Debug)]
pub(super) enum Scope {
    /// All of it.
    Whole,
    /// The files that are named; of all others the cache tells.
    Named,
    /// The same, and of the others only the packages of these names are known to this run.
    Part(BTreeSet<String>),
}

/// What is in the platforms, and what the cache lacks of it.
pub(super) struct Look {
    pub(super) platforms: Vec<Platform>,
    /// What must be read. The numbers are those of the platforms.
    pub(super) jobs: Vec<Job>,
    gone: Vec<(usize, String)>,
    adopted: Vec<(usize, String, Known)>,
}

/// Lists the platforms and compares with what the cache knows.
pub(super) fn look(
    context: &Context<'_>,
    cache: &Cache,
    memories: &[Memory],
) -> Result<Look, Error> {
    let options = context.options;
    let mut platforms = Vec::new();
    let mut jobs = Vec::new();
    let (mut gone, mut left) = (Vec::new(), Vec::new());
    let mut adopted = Vec::new();
    for (number, name) in context.subdirs.iter().enumerate() {
        let place = place(&options.upstream_stage, name);
        let memory = memories.get(number);
        let mut scope = only::scope(context, cache, name, memory)?;
        let known = match scope {
            Scope::Part(_) => named(context, cache, (name, &place))?,
            Scope::Whole | Scope::Named => cache.files(&place)?,
        };
        let is_known = |(file, known): &(String, Known)| {
            context.only.names(name, file) || only::is_enough(context, known)
        };
        if matches!(scope, Scope::Named) && (known.is_empty() || !known.iter().all(is_known)) {
            scope = Scope::Whole;
        }
        let mut platform = Platform {
            name: name.clone(),
            files: BTreeMap::new(),
            place,
            skipped: BTreeMap::new(),
            read: 0,
            attestations: BTreeMap::new(),
            beside: Vec::new(),
            scope,
            before: BTreeMap::new(),
            published: None,
        };
        if options.folder_counts() {
            let mut kept = Vec::new();
            let (listed, known) = match &mut platform.scope {
                Scope::Whole => {
                    let listing = context.channel.at(name).list()?;
                    platform.beside = listing.others;
                    (listing.packages, known)
                }
                Scope::Named => {
                    let (named, rest) = known
                        .into_iter()
                        .partition(|(file, _)| context.only.names(name, file));
                    kept = rest;
                    (find(context, name), named)
                }
                Scope::Part(names) => {
                    for (file, known) in &known {
                        names.extend(only::name(cache, &platform.place, file, known)?);
                    }
                    (find(context, name), known)
                }
            };
            if known.is_empty() && matches!(platform.scope, Scope::Whole) {
                platform.published = published::load(&context.output.at(name), name);
            }
            let folder = context.channel.at(name);
            let mut known = known.into_iter().peekable();
            let mut missing = |kept: &mut Vec<_>, (file, known): (String, Known)| {
                if options.update_only && known.state != State::Unusable {
                    kept.push((file, known));
                } else {
                    gone.push((number, file));
                }
            };
            // Both are sorted by name.
            for listed in listed {
                while let Some(one) = known.next_if(|(file, _)| *file < listed.file) {
                    missing(&mut kept, one);
                }
                let before = known.next_if(|(file, _)| *file == listed.file);
                let before = before.map(|(_, known)| known);
                match decide(context, cache, (&platform, &folder), &listed, before)? {
                    Decision::Keep(known) => kept.push((listed.file, known)),
                    Decision::Adopt(known) => {
                        adopted.push((number, listed.file.clone(), known));
                        kept.push((listed.file, known));
                    }
                    Decision::Read(stat, known) => {
                        let before = before.map(|before| (listed.file.clone(), before));
                        platform.before.extend(before);
                        jobs.push(Job {
                            number,
                            source: folder.source(&listed),
                            file: listed.file,
                            kind: listed.kind,
                            stat,
                            known,
                        });
                    }
                    Decision::Skip(reason) => {
                        if before.is_some() {
                            left.push((number, listed.file.clone()));
                        }
                        platform.skip(context, listed.file, &reason);
                    }
                }
            }
            for one in known {
                missing(&mut kept, one);
            }
            platform.files = kept.into_iter().collect();
        } else {
            platform.files = known.into_iter().collect();
            if options.update_cache {
                jobs.extend(lacking(context, cache, number, &platform)?);
            }
        }
        platforms.push(platform);
    }
    gone.append(&mut left);
    Ok(Look {
        platforms,
        jobs,
        gone,
        adopted,
    })
}

/// Brings the cache up to date and tells what is in the platforms.
pub(super) fn update(
    context: &Context<'_>,
    cache: &mut Cache,
    memories: &[Memory],
) -> Result<Vec<Platform>, Error> {
    let Look {
        mut platforms,
        jobs,
        gone,
        adopted,
    } = look(context, cache, memories)?;
    (context.report)(Event::Listed {
        packages: jobs.len(),
    });
    if !gone.is_empty() || !adopted.is_empty() {
        let mut batch = cache.batch()?;
        for (number, file) in gone {
            if let Some(platform) = platforms.get(number) {
                batch.remove(&platform.place, &file)?;
            }
        }
        for (number, file, known) in adopted {
            if let Some(platform) = platforms.get(number) {
                batch.put_known(&platform.place, &file, &known)?;
            }
        }
        batch.commit()?;
    }
    if !jobs.is_empty() {
        read(context, cache, &mut platforms, jobs)?;
    }
    for (platform, memory) in platforms.iter_mut().zip(memories) {
        only::gather(context, cache, platform, memory)?;
    }
    for platform in &mut platforms {
        let unusable: Vec<_> = platform
            .files
            .iter()
            .filter(|(file, known)| {
                known.state == State::Unusable && !platform.skipped.contains_key(*file)
            })
            .map(|(file, _)| file.clone())
            .collect();
        for file in unusable {
            let reason = cache.reason(&platform.place, &file)?;
            let reason = reason.ok_or(cache::Error::Damaged)?;
            platform.skip(context, file, &reason);
        }
    }
    if context.options.outputs.attestations {
        for platform in &mut platforms {
            attestations::update(context, platform, cache)?;
        }
    }
    for platform in &mut platforms {
        quarantine::carry(context, platform);
    }
    Ok(platforms)
}

/// What the cache knows of the files that are named.
fn named(
    context: &Context<'_>,
    cache: &Cache,
    (name, place): (&str, &str),
) -> Result<Vec<(String, Known)>, Error> {
    let mut known = Vec::new();
    for file in context.only.files(name) {
        if let Some(one) = cache.file(place, file)? {
            known.push((file.to_owned(), one));
        }
    }
    Ok(known)
}

/// Those of them that are there.
fn find(context: &Context<'_>, name: &str) -> Vec<Listed> {
    let folder = context.channel.at(name);
    let files = context.only.files(name);
    files.filter_map(|file| folder.find(file)).collect()
}

/// Where the cache has what a stage says of a platform.
pub(super) fn place(stage: &str, subdir: &str) -> String {
    match stage {
        "fs" => subdir.to_owned(),
        stage => format!("@{stage}/{subdir}"),
    }
}

/// The stage of a place, if it is not that of the folder.
pub(super) fn stage(place: &str) -> Option<&str> {
    let (stage, _) = place.strip_prefix('@')?.rsplit_once('/')?;
    Some(stage)
}

impl Platform {
    /// Whether there is such a package, and it can be used.
    pub(super) fn has(&self, file: &str) -> bool {
        let known = self.files.get(file);
        known.is_some_and(|known| known.state != State::Unusable)
    }

    /// Whether all its packages are known to this run.
    pub(super) fn is_all(&self) -> bool {
        !matches!(self.scope, Scope::Part(_))
    }

    /// How many packages can be used.
    pub(super) fn usable(&self) -> usize {
        let usable = |known: &&Known| known.state != State::Unusable;
        self.files.values().filter(usable).count()
    }

    /// A record with what not the package tells, but the index.
    pub(super) fn complete<'a>(
        &self,
        context: &Context<'_>,
        file: &str,
        record: &'a str,
    ) -> Cow<'a, str> {
        let mut record = Cow::Borrowed(record);
        let outputs = context.options.outputs;
        let digest = self.attestations.get(file).map(|digest| quoted(digest));
        // Of packages that lie elsewhere, the listing knows.
        if digest.is_some() || outputs.attestations && context.options.folder_counts() {
            set(&mut record, attestations::KEY, digest.as_deref());
        }
        if outputs.indexed_timestamp {
            let indexed_ms = self.files.get(file).map_or(0, |known| known.indexed_ms);
            let indexed = (indexed_ms != 0).then(|| indexed_ms.to_string());
            set(&mut record, INDEXED, indexed.as_deref());
        }
        record
    }

    /// What [`Platform::complete`] adds to a record, for telling whether it changed.
    pub(super) fn own(&self, context: &Context<'_>, file: &str) -> String {
        let attested = self.attestations.get(file).map_or("", String::as_str);
        if !context.options.outputs.indexed_timestamp {
            return attested.to_owned();
        }
        let indexed_ms = self.files.get(file).map_or(0, |known| known.indexed_ms);
        format!("{attested} {indexed_ms}")
    }

    /// When a package came into the index: the time of the same bytes under this name if they are
    /// known, or else this run's.
    fn indexed_ms(
        &self,
        context: &Context<'_>,
        before: Option<(i64, Sha256)>,
        now: &Scanned,
    ) -> i64 {
        let known = match (before, &self.published) {
            (Some((0, sha256)), _) if sha256 == now.sha256 => Some(now.mtime_ns / 1_000_000),
            (Some((indexed_ms, sha256)), _) if sha256 == now.sha256 => return indexed_ms,
            (None, Some(published)) => published.indexed_ms(now),
            _ => None,
        };
        known.map_or(context.now_ms, |known| known.min(context.now_ms))
    }

    /// Whether the user is told of a file: not of those that a run was not asked to look at.
    pub(super) fn concerns(&self, context: &Context<'_>, file: &str) -> bool {
        matches!(self.scope, Scope::Whole) || context.only.names(&self.name, file)
    }

    pub(super) fn skip(&mut self, context: &Context<'_>, file: String, reason: &str) {
        if self.concerns(context, &file) {
            (context.report)(Event::Skipped {
                subdir: &self.name,
                file: &file,
                reason,
            });
        }
        let skipped = Skipped {
            file: file.clone(),
            reason: reason.to_owned(),
        };
        self.skipped.insert(file, skipped);
    }
}

enum Decision {
    Keep(Known),
    Adopt(Known),
    /// What the file is, and its digests if only metadata is missing.
    Read(Stat, Option<(Md5, Sha256)>),
    Skip(String),
}

fn decide(
    context: &Context<'_>,
    cache: &Cache,
    (platform, folder): (&Platform, &Place),
    listed: &Listed,
    known: Option<Known>,
) -> Result<Decision, Error> {
    let stat = match listed.stat {
        Ok(stat) => stat,
        Err(Odd::Name) => return Ok(Decision::Skip(chain(&Unusable::Name))),
        Err(Odd::NotFile) => return Ok(Decision::Skip(chain(&Unusable::NotFile))),
        Err(Odd::Unreadable) => {
            let reason = match fs_err::metadata(folder.path(&listed.file)) {
                Err(source) => chain(&Unusable::Read { source }),
                Ok(_) => chain(&Unusable::Changed),
            };
            return Ok(Decision::Skip(reason));
        }
    };
    let wanted = context.options.outputs.wanted();
    let Some(known) = known.filter(|_| !context.options.verify) else {
        return Ok(Decision::Read(stat, None));
    };
    let same = match known.state {
        State::Package | State::Unusable => known.stat == stat,
        State::Imported => known.stat.size == stat.size,
        State::ImportedWithTime => {
            known.stat.size == stat.size
                && known.stat.mtime_ns.abs_diff(stat.mtime_ns) <= IMPORTED_TIME
        }
    };
    if !same {
        return Ok(Decision::Read(stat, None));
    }
    let adopted = Known {
        stat,
        state: State::Package,
        // It was in an index before this one, and at least since it was changed last.
        indexed_ms: match known.indexed_ms {
            0 => (stat.mtime_ns / 1_000_000).min(context.now_ms),
            indexed_ms => indexed_ms,
        },
        ..known
    };
    Ok(match known.state {
        State::Unusable => Decision::Keep(known),
        State::Package if known.wanted.covers(wanted) => Decision::Keep(known),
        State::Imported | State::ImportedWithTime if known.wanted.covers(wanted) => {
            Decision::Adopt(adopted)
        }
        _ => Decision::Read(stat, digests(cache, platform, &listed.file, known)?),
    })
}

/// Files of the folder whose packages are in the stage, and tell what its listing does not.
fn lacking(
    context: &Context<'_>,
    cache: &Cache,
    number: usize,
    platform: &Platform,
) -> Result<Vec<Job>, Error> {
    let wanted = context.options.outputs.wanted();
    let lacks = |known: &Known| known.state == State::Unusable || !known.wanted.covers(wanted);
    let mut jobs = Vec::new();
    if !platform.files.values().any(lacks) {
        return Ok(jobs);
    }
    let folder = context.channel.at(&platform.name);
    for listed in folder.list()?.packages {
        let known = platform.files.get(&listed.file);
        let (Some(known), Ok(stat)) = (known.filter(|known| lacks(known)), listed.stat) else {
            continue;
        };
        let is_new = match known.state {
            State::Unusable => known.stat != stat,
            _ => known.stat.size == stat.size || !known.wanted.digests,
        };
        if is_new {
            jobs.push(Job {
                number,
                source: folder.source(&listed),
                kind: listed.kind,
                stat,
                known: digests(cache, platform, &listed.file, *known)?,
                file: listed.file,
            });
        }
    }
    Ok(jobs)
}

/// The digests of a file of which only metadata is missing.
fn digests(
    cache: &Cache,
    platform: &Platform,
    file: &str,
    known: Known,
) -> Result<Option<(Md5, Sha256)>, Error> {
    if !known.wanted.digests {
        return Ok(None);
    }
    let scanned = cache.package(&platform.place, file)?;
    Ok(scanned.map(|scanned| (scanned.md5, scanned.sha256)))
}

/// Puts a member into a record, or takes it out.
fn set(record: &mut Cow<'_, str>, key: &str, value: Option<&str>) {
    // Nearly no record has it.
    if value.is_some() || record.contains(key) {
        *record = Cow::Owned(with(record, key, value));
    }
}
