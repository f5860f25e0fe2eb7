//! Reads packages: each file once, many at the same time. Each thread reads a gang of packages in
//! turns, so that MD5, the slow digest, is computed of all of them side by side. Memory does not grow
//! with the packages.

use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use archive::digest::{Md5, Sha256};
use archive::package::Kind;

use crate::Unusable;
use crate::scanned::Scanned;
use lane::Lane;
pub(crate) use metadata::{LEFT_OUT, without_large_keys};
pub(crate) use source::Source;

mod lane;
mod md5;
pub(crate) mod metadata;
mod source;
#[cfg(test)]
mod tests;

/// How many objects are asked for before it is their turn.
const AHEAD: usize = md5::LANES;

/// What is asked of packages beyond the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wanted {
    /// The file's digests and length. Only what was not read here can lack them.
    pub(crate) digests: bool,
    /// `run_exports.json`.
    pub(crate) run_exports: bool,
    /// What channeldata tells: about.json, paths.json, the recipe, the icon.
    pub(crate) details: bool,
}

impl Wanted {
    /// Whether all of `other` is among this.
    pub(crate) fn covers(self, other: Self) -> bool {
        (self.digests || !other.digests)
            && (self.run_exports || !other.run_exports)
            && (self.details || !other.details)
    }
}

/// What the file system or the store says of a file. A file that is another says something else.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
pub(crate) struct Stat {
    /// In bytes.
    pub(crate) size: u64,
    /// The last change, in nanoseconds since 1970.
    pub(crate) mtime_ns: i64,
    /// The inode; of an object a number that stands for its tag.
    pub(crate) inode: u64,
}

impl Stat {
    /// Of a file's metadata.
    pub(crate) fn of(metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self {
            size: metadata.size(),
            mtime_ns: metadata
                .mtime()
                .saturating_mul(1_000_000_000)
                .saturating_add(metadata.mtime_nsec()),
            inode: metadata.ino(),
        }
    }
}

/// A file that is to be read.
pub(crate) struct Job {
    /// The caller's own number.
    pub(crate) number: usize,
    /// Where it lies.
    pub(crate) source: Source,
    /// The file name.
    pub(crate) file: String,
    /// The format.
    pub(crate) kind: Kind,
    /// What the file system said when it was listed.
    pub(crate) stat: Stat,
    /// Its digests, where only metadata is missing.
    pub(crate) known: Option<(Md5, Sha256)>,
}

/// What a file came to.
pub(crate) struct Done {
    /// The file.
    pub(crate) job: Job,
    /// What it tells, and what was looked for.
    pub(crate) outcome: Result<(Scanned, Wanted), Unusable>,
}

/// Reads all files in `threads` threads (0: one for each processor) and hands each on as it is
/// done, on the calling thread, until `take` fails.
pub(crate) fn scan<E>(
    mut jobs: Vec<Job>,
    wanted: Wanted,
    threads: usize,
    take: &mut dyn FnMut(Done) -> Result<(), E>,
) -> Result<(), E> {
    // The largest first: nothing is left over at the end that one thread reads alone.
    jobs.sort_by_key(|job| std::cmp::Reverse(job.stat.size));
    let threads = processors(threads).min(jobs.len().div_ceil(2)).max(1);
    let gang = jobs.len().div_ceil(threads).clamp(1, md5::LANES);
    let queue = Mutex::new(VecDeque::from(jobs));
    let (sender, receiver) = sync_channel(2 * md5::LANES * threads);
    thread::scope(|scope| {
        for _ in 0..threads {
            let (queue, sender) = (&queue, sender.clone());
            scope.spawn(move || work(queue, gang, wanted, &sender));
        }
        drop(sender);
        for done in &receiver {
            if let Err(error) = take(done) {
                queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
                // Nobody waits for a receiver that is gone.
                drop(receiver);
                return Err(error);
            }
        }
        Ok(())
    })
}

/// How many packages `threads` threads read side by side.
pub(crate) fn gangs(threads: usize) -> u32 {
    u32::try_from(processors(threads) * md5::LANES).unwrap_or(u32::MAX)
}

fn processors(threads: usize) -> usize {
    match threads {
        0 => thread::available_parallelism().map_or(1, NonZero::get),
        threads => threads,
    }
}

/// One thread: a gang of packages, each replaced by the next from the queue when it is done.
fn work(queue: &Mutex<VecDeque<Job>>, gang: usize, wanted: Wanted, sender: &SyncSender<Done>) {
    let mut buffers: Vec<Vec<u8>> = (0..gang).map(|_| Vec::new()).collect();
    let mut lanes: Vec<Lane> = Vec::new();
    loop {
        while let Some(buffer) = buffers.pop() {
            let Some(job) = next(queue) else { break };
            match Lane::open(job, wanted, buffer) {
                Ok(lane) => lanes.push(lane),
                Err((done, buffer)) => {
                    buffers.push(buffer);
                    if sender.send(*done).is_err() {
                        return;
                    }
                }
            }
        }
        if lanes.is_empty() {
            return;
        }
        let mut number = 0;
        while number < lanes.len() {
            let ready = lanes.get_mut(number).is_some_and(Lane::is_ready);
            if ready {
                number += 1;
                continue;
            }
            let (done, buffer) = lanes.swap_remove(number).finish();
            buffers.push(buffer);
            if sender.send(done).is_err() {
                return;
            }
        }
        advance(&mut lanes);
    }
}

/// The next job. What comes over the network is asked for ahead of its turn.
fn next(queue: &Mutex<VecDeque<Job>>) -> Option<Job> {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    let job = queue.pop_front()?;
    if !matches!(job.source, Source::File(_)) {
        for job in queue.iter_mut().take(AHEAD) {
            job.source.start();
        }
    }
    Some(job)
}

/// Computes MD5 of what all lanes have.
fn advance(lanes: &mut [Lane]) {
    let count = lanes.iter().map(Lane::blocks).min().unwrap_or(0);
    let mut streams: Vec<_> = lanes.iter_mut().map(Lane::stream).collect();
    md5::advance(&mut streams, count);
    for lane in lanes {
        lane.pass(count);
    }
}
