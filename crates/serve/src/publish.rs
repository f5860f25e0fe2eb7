//! The index after a channel changed: its shards at once, which are small, and the flat files when some time is
//! over, which are all packages together. One indexing of a channel at a time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use channel::{Event, Location, Options, Outputs};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};

use crate::error::chain;
use crate::log::Log;
use crate::upload;

/// Packages that are put together are indexed together.
const TOGETHER: Duration = Duration::from_millis(100);
/// How long to wait after an indexing that failed.
const AGAIN: Duration = Duration::from_secs(5);

/// What tells the indexers of all channels.
#[derive(Debug)]
pub(crate) struct Publisher {
    /// By the number of the channel.
    channels: BTreeMap<usize, mpsc::UnboundedSender<Change>>,
}

/// What tells the indexer of one channel, if it has one.
#[derive(Debug, Clone)]
pub(crate) struct Teller(Option<mpsc::UnboundedSender<Change>>);

/// How all channels are indexed.
#[derive(Debug, Clone)]
pub(crate) struct How {
    /// How long the flat files may be older than the shards.
    pub(crate) delay: Duration,
    /// Where copies of the caches of buckets are.
    pub(crate) cache_dir: PathBuf,
    pub(crate) log: Arc<Log>,
}

/// The package that came, changed or went, as `SUBDIR/FILE`; none if nobody knows what did.
type Change = Option<String>;

/// The indexers, until they are done.
pub(crate) struct Indexers {
    running: JoinSet<()>,
}

struct Indexer {
    name: String,
    location: Location,
    how: How,
}

impl Publisher {
    /// One indexer for each place; with it, the number and the name of its channel. They end when `stop` says so, and
    /// all is indexed.
    pub(crate) fn start(
        places: Vec<(usize, String, Location)>,
        how: &How,
        stop: &watch::Receiver<bool>,
    ) -> (Self, Indexers) {
        let mut running = JoinSet::new();
        let mut channels = BTreeMap::new();
        for (number, name, location) in places {
            if let Location::Folder(folder) = location.clone() {
                spawn_blocking(move || upload::sweep(&folder));
            }
            let (changed, changes) = mpsc::unbounded_channel();
            let indexer = Indexer {
                name,
                location,
                how: how.clone(),
            };
            running.spawn(indexer.follow(changes, stop.clone()));
            channels.insert(number, changed);
        }
        (Self { channels }, Indexers { running })
    }

    /// What tells the indexer of a channel.
    pub(crate) fn teller(&self, channel: usize) -> Teller {
        Teller(self.channels.get(&channel).cloned())
    }
}

impl Teller {
    /// The channel is another one than its index says.
    pub(crate) fn changed(&self, change: Change) {
        if let Some(changes) = &self.0 {
            // It ends with the server.
            let _ = changes.send(change);
        }
    }
}

impl Indexers {
    pub(crate) async fn finish(mut self) {
        while self.running.join_next().await.is_some() {}
    }
}

impl Indexer {
    async fn follow(
        self,
        mut changes: mpsc::UnboundedReceiver<Change>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut waiting: Vec<Change> = Vec::new();
        loop {
            if *stop.borrow() && changes.is_empty() {
                return;
            }
            tokio::select! {
                // What was put before the end is indexed.
                biased;
                change = changes.recv() => match change {
                    None => return,
                    Some(change) => waiting.push(change),
                },
                _ = stop.changed() => return,
            }
            let mut due = Instant::now() + self.how.delay;
            let mut shards = true;
            loop {
                if shards {
                    sleep(TOGETHER).await;
                    while let Ok(change) = changes.try_recv() {
                        waiting.push(change);
                    }
                    if !self.index(shards_alone(), only(&waiting)).await {
                        if *stop.borrow() {
                            return;
                        }
                        sleep(AGAIN).await;
                        continue;
                    }
                    shards = false;
                    waiting.clear();
                }
                let stopping = *stop.borrow();
                // However fast packages come, the flat files have their time.
                if !stopping && Instant::now() < due {
                    tokio::select! {
                        biased;
                        Some(change) = changes.recv() => {
                            waiting.push(change);
                            shards = true;
                            continue;
                        }
                        _ = stop.changed() => {}
                        () = sleep_until(due) => {}
                    }
                }
                if self.index(Outputs::all(), Vec::new()).await {
                    break;
                }
                due = Instant::now() + AGAIN;
                if stopping {
                    // The next server begins with it.
                    return;
                }
            }
        }
    }

    /// Whether it went well; if not, it is written down why.
    async fn index(&self, outputs: Outputs, only: Vec<String>) -> bool {
        let (name, location) = (self.name.clone(), self.location.clone());
        let (cache_dir, log) = (self.how.cache_dir.clone(), Arc::clone(&self.how.log));
        let indexing = spawn_blocking(move || {
            let options = Options {
                outputs,
                only,
                cache_dir,
                ..Options::default()
            };
            let report = |event: Event<'_>| {
                if let Event::Skipped {
                    subdir,
                    file,
                    reason,
                } = event
                {
                    log.note(
                        "warning",
                        &format!("{name}: left out {subdir}/{file}: {reason}"),
                    );
                }
            };
            match channel::index(location, &options, &report) {
                // The first package is yet to come.
                Err(channel::Error::Nothing { .. }) => Ok(()),
                indexed => indexed.map(drop),
            }
        });
        match indexing.await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                let text = chain(&error);
                self.how
                    .log
                    .note("error", &format!("{}: not indexed: {text}", self.name));
                false
            }
            Err(error) => {
                self.how
                    .log
                    .note("error", &format!("{}: not indexed: {error}", self.name));
                false
            }
        }
    }
}

/// What an indexing need look at; nothing in particular if anything may have changed.
fn only(changes: &[Change]) -> Vec<String> {
    let named: Option<Vec<_>> = changes.iter().cloned().collect();
    named.unwrap_or_default()
}

fn shards_alone() -> Outputs {
    Outputs {
        monolithic: false,
        zst: false,
        bz2: false,
        run_exports: false,
        current_repodata: false,
        channeldata: false,
        ..Outputs::all()
    }
}
