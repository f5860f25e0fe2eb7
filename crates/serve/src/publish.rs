//! The index after a channel changed: its shards at once, which are small, and the flat files when some time is
//! over, which are all packages together. One indexing of a channel at a time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use channel::{Event, Options, Outputs};
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

/// The package that came, changed or went, as `SUBDIR/FILE`; none if nobody knows what did.
type Change = Option<String>;

/// The indexers, until they are done.
pub(crate) struct Indexers {
    running: JoinSet<()>,
}

struct Indexer {
    name: String,
    folder: PathBuf,
    delay: Duration,
    log: Arc<Log>,
}

impl Publisher {
    /// One indexer for each folder; with it, the number and the name of its channel. They end when `stop` says so, and
    /// all is indexed.
    pub(crate) fn start(
        folders: Vec<(usize, String, PathBuf)>,
        delay: Duration,
        log: &Arc<Log>,
        stop: &watch::Receiver<bool>,
    ) -> (Self, Indexers) {
        let mut running = JoinSet::new();
        let mut channels = BTreeMap::new();
        for (number, name, folder) in folders {
            let swept = folder.clone();
            spawn_blocking(move || upload::sweep(&swept));
            let (changed, changes) = mpsc::unbounded_channel();
            let indexer = Indexer {
                name,
                folder,
                delay,
                log: Arc::clone(log),
            };
            running.spawn(indexer.follow(changes, stop.clone()));
            channels.insert(number, changed);
        }
        (Self { channels }, Indexers { running })
    }

    /// A channel is another one than its index says.
    pub(crate) fn changed(&self, channel: usize, change: Change) {
        if let Some(changes) = self.channels.get(&channel) {
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
            let mut due = Instant::now() + self.delay;
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
                tokio::select! {
                    biased;
                    Some(change) = changes.recv() => {
                        waiting.push(change);
                        shards = true;
                        continue;
                    }
                    _ = stop.changed(), if !stopping => {}
                    () = sleep_until(due), if !stopping => {}
                    () = std::future::ready(()), if stopping => {}
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
        let (name, folder, log) = (
            self.name.clone(),
            self.folder.clone(),
            Arc::clone(&self.log),
        );
        let indexing = spawn_blocking(move || {
            let options = Options {
                outputs,
                only,
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
            channel::index(&folder, &options, &report).map(drop)
        });
        match indexing.await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                let text = chain(&error);
                self.log
                    .note("error", &format!("{}: not indexed: {text}", self.name));
                false
            }
            Err(error) => {
                self.log
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
