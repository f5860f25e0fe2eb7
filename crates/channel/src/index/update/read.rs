//! Packages are read, and the cache keeps what they come to: a part at a time, so that a crash costs little.

use std::time::{Duration, Instant};

use archive::digest::Sha256;

use super::Platform;
use crate::cache::{Batch, Cache, Known, Mark, State};
use crate::error::chain;
use crate::index::{Context, Event};
use crate::output::repodata::fields::field_of_sorted;
use crate::scan::{self, Done, Job, Wanted};
use crate::scanned::Scanned;
use crate::{Error, Unusable};

/// How many packages are read before the cache is written: what a crash costs at most.
const MANY: usize = 1024;

/// The same as a time.
const LONG: Duration = Duration::from_secs(3);

/// Reads packages and keeps what they come to.
pub(super) fn read(
    context: &Context<'_>,
    cache: &mut Cache,
    platforms: &mut [Platform],
    jobs: Vec<Job>,
) -> Result<(), Error> {
    let wanted = context.options.outputs.wanted();
    let mut pending: Vec<Done> = Vec::new();
    let mut since = Instant::now();
    scan::scan(jobs, wanted, context.options.threads, &mut |done| {
        tell(context, platforms, &done);
        pending.push(done);
        if pending.len() >= MANY || since.elapsed() >= LONG {
            keep(context, cache, platforms, std::mem::take(&mut pending))?;
            since = Instant::now();
        }
        Ok::<_, Error>(())
    })?;
    keep(context, cache, platforms, pending)
}

/// Reads what was taken from a queue, and lets it go when all of it is kept.
pub(in super::super) fn read_part(
    context: &Context<'_>,
    cache: &mut Cache,
    platforms: &mut [Platform],
    jobs: Vec<Job>,
    taken: &[String],
) -> Result<(), Error> {
    let wanted = context.options.outputs.wanted();
    let mut pending: Vec<Done> = Vec::new();
    if !jobs.is_empty() {
        scan::scan(jobs, wanted, context.options.threads, &mut |done| {
            tell(context, platforms, &done);
            pending.push(done);
            Ok::<_, Error>(())
        })?;
    }
    Ok(collect(context, cache, platforms, pending)?.finish(taken)?)
}

/// What is left out is told when it is kept.
fn tell(context: &Context<'_>, platforms: &[Platform], done: &Done) {
    if let Some(platform) = platforms.get(done.job.number)
        && done.outcome.is_ok()
    {
        (context.report)(Event::Indexed {
            subdir: &platform.name,
            file: &done.job.file,
        });
    }
}

fn keep(
    context: &Context<'_>,
    cache: &mut Cache,
    platforms: &mut [Platform],
    pending: Vec<Done>,
) -> Result<(), Error> {
    Ok(collect(context, cache, platforms, pending)?.commit()?)
}

fn collect<'a>(
    context: &Context<'_>,
    cache: &'a mut Cache,
    platforms: &mut [Platform],
    pending: Vec<Done>,
) -> Result<Batch<'a>, Error> {
    let before = before(cache, platforms, &pending)?;
    let mut batch = cache.batch()?;
    for (Done { job, outcome }, before) in pending.into_iter().zip(before) {
        let Some(platform) = platforms.get_mut(job.number) else {
            continue;
        };
        let place = platform.place.clone();
        platform.read += 1;
        match outcome {
            Ok((scanned, wanted)) => {
                // In another stage it is the listing that changes.
                let listed = platform
                    .files
                    .get(&job.file)
                    .filter(|_| !context.options.upstream_is_folder());
                let known = Known {
                    stat: listed.map_or(job.stat, |listed| listed.stat),
                    wanted,
                    state: State::Package,
                    mark: Mark::default(),
                    indexed_ms: platform.indexed_ms(context, before, &scanned),
                };
                tell_the_future(context, &platform.name, &scanned);
                let known = batch.put(&place, &known, &scanned)?;
                platform.files.insert(job.file, known);
            }
            // The file is what it is, until it changes.
            Err(
                reason @ (Unusable::Package { .. }
                | Unusable::Index { .. }
                | Unusable::RunExports { .. }),
            ) => {
                let known = Known {
                    stat: job.stat,
                    wanted: Wanted::default(),
                    state: State::Unusable,
                    mark: Mark::default(),
                    indexed_ms: 0,
                };
                let reason = chain(&reason);
                batch.put_reason(&place, &job.file, &known, &reason)?;
                platform.files.insert(job.file.clone(), known);
                platform.skip(context, job.file, &reason);
            }
            // A package is not left out because the store or the network fails.
            Err(Unusable::Store { source }) => return Err(source.into()),
            // Next time it may be another.
            Err(reason) => {
                batch.remove(&place, &job.file)?;
                platform.skip(context, job.file, &chain(&reason));
            }
        }
    }
    Ok(batch)
}

/// What is known of files that are read anew: when they came into the index, and their digests.
fn before(
    cache: &Cache,
    platforms: &[Platform],
    pending: &[Done],
) -> Result<Vec<Option<(i64, Sha256)>>, Error> {
    let of_one = |done: &Done| {
        let Some(platform) = platforms.get(done.job.number) else {
            return Ok(None);
        };
        let file = &done.job.file;
        let known = platform
            .before
            .get(file)
            .or_else(|| platform.files.get(file));
        let Some(known) = known.filter(|known| known.state != State::Unusable) else {
            return Ok(None);
        };
        let scanned = cache.package(&platform.place, file)?;
        Ok(scanned.map(|scanned| (known.indexed_ms, scanned.sha256)))
    };
    pending.iter().map(of_one).collect()
}

/// Says so where a package claims to be built later than now (CEP 47).
fn tell_the_future(context: &Context<'_>, subdir: &str, scanned: &Scanned) {
    let built =
        field_of_sorted(&scanned.record, "timestamp").and_then(|time| time.parse::<i64>().ok());
    if context.options.outputs.indexed_timestamp
        && built.is_some_and(|built| built > context.now_ms)
    {
        (context.report)(Event::Future {
            subdir,
            file: &scanned.file,
        });
    }
}
