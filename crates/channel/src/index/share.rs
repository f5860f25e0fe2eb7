//! Several processes read what the cache lacks together: each puts what it has found into the database's
//! queue, and takes part after part of it. Nothing is published here, and so no lock is needed. What a
//! process has taken when it dies is found again by the others.

use std::collections::BTreeMap;
use std::time::Duration;

use fetch::postgres::Database;

use super::update::{self, Look, Platform};
use super::{Context, Event};
use crate::cache::{self, Cache, State};
use crate::scan::Job;
use crate::{Error, scan};

/// How much is taken at once, in bytes: what is read again when a process dies.
const WEIGHT: u64 = 2 << 30;

/// How often who waits for the others looks.
const LOOK: Duration = Duration::from_millis(300);

/// Reads until the cache knows all packages, or what is left cannot be read now. How many were read here, for each
/// platform.
pub(super) fn share(
    context: &Context<'_>,
    cache: &mut Cache,
) -> Result<BTreeMap<String, usize>, Error> {
    let mut read = BTreeMap::new();
    let mut before = usize::MAX;
    loop {
        context.load()?;
        let mut look = update::look(context, cache, &[])?;
        if look.jobs.is_empty() || look.jobs.len() >= before {
            return Ok(read);
        }
        before = look.jobs.len();
        (context.report)(Event::Listed { packages: before });
        work(context, cache, &mut look)?;
        for platform in look.platforms {
            *read.entry(platform.name).or_default() += platform.read;
        }
        context.channel.forget();
    }
}

fn work(context: &Context<'_>, cache: &mut Cache, look: &mut Look) -> Result<(), Error> {
    let mut jobs = BTreeMap::new();
    for job in std::mem::take(&mut look.jobs) {
        if let Some(platform) = look.platforms.get(job.number) {
            jobs.insert(format!("{}/{}", platform.place, job.file), job);
        }
    }
    let weights: Vec<_> = jobs
        .iter()
        .map(|(key, job)| (key.clone(), job.stat.size))
        .collect();
    database(cache)?
        .enqueue(&weights)
        .map_err(cache::Error::from)?;
    let most = scan::gangs(context.options.threads) * 2;
    loop {
        let taken = database(cache)?
            .claim(WEIGHT, most)
            .map_err(cache::Error::from)?;
        if taken.is_empty() {
            if database(cache)?.queued().map_err(cache::Error::from)? == 0 {
                return Ok(());
            }
            // The others have the rest.
            std::thread::sleep(LOOK);
            continue;
        }
        // What is not among ours was listed at another time; who needs it sees to it.
        let mut ours = Vec::new();
        for key in &taken {
            if let Some(job) = jobs.remove(key)
                && !is_known(context, cache, &look.platforms, &job)?
            {
                ours.push(job);
            }
        }
        update::read_part(context, cache, &mut look.platforms, ours, &taken)?;
    }
}

/// Whether somebody has read the package since it was looked for.
fn is_known(
    context: &Context<'_>,
    cache: &Cache,
    platforms: &[Platform],
    job: &Job,
) -> Result<bool, Error> {
    let Some(platform) = platforms.get(job.number) else {
        return Ok(true);
    };
    let known = cache.file(&platform.place, &job.file)?;
    Ok(known.is_some_and(|known| {
        known.stat == job.stat
            && match known.state {
                State::Unusable => true,
                State::Package => known.wanted.covers(context.options.outputs.wanted()),
                State::Imported | State::ImportedWithTime => false,
            }
    }))
}

fn database(cache: &Cache) -> Result<&Database, Error> {
    // It is opened as one.
    cache.database().ok_or(Error::Cache(cache::Error::Damaged))
}
