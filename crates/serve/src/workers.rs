//! The threads that answer: one for each processor, each with the connections that it was given and no others, so that an
//! answer never waits for another thread to wake up. What is long is read and computed elsewhere.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Threads that read files which are not in memory, of all workers together.
const READERS: usize = 512;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes connections; they end with it.
#[derive(Debug)]
pub(crate) struct Workers {
    all: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    tasks: UnboundedSender<Task>,
    running: Arc<AtomicUsize>,
}

impl Workers {
    /// Starts a thread for each processor.
    pub(crate) fn start() -> std::io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let start = |number| {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads((READERS / count).max(16))
                .build()?;
            let (tasks, given) = unbounded_channel();
            thread::Builder::new()
                .name(format!("answers-{number}"))
                .spawn(move || work(runtime, given))?;
            Ok(Worker {
                tasks,
                running: Arc::default(),
            })
        };
        let all: std::io::Result<_> = (0..count).map(start).collect();
        Ok(Self { all: all? })
    }

    /// Gives a task to the thread that has the fewest.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let idlest = self
            .all
            .iter()
            .min_by_key(|worker| worker.running.load(Relaxed));
        let Some(worker) = idlest else {
            return;
        };
        let running = Running::new(&worker.running);
        // A thread takes tasks for as long as there is somebody who gives some.
        let _ = worker.tasks.send(Box::pin(async move {
            task.await;
            drop(running);
        }));
    }
}

/// A task that is not at its end, also when it ends in a panic.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn work(runtime: Runtime, mut given: UnboundedReceiver<Task>) {
    runtime.block_on(async {
        while let Some(task) = given.recv().await {
            tokio::spawn(task);
        }
    });
    // Threads that read for somebody who is gone are not waited for.
    runtime.shutdown_background();
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn tasks_go_to_who_has_the_fewest() {
        let workers = Workers::start().expect("threads");
        let (sender, names) = mpsc::channel();
        let run = |then: Pin<Box<dyn Future<Output = ()> + Send>>| {
            let sender = sender.clone();
            workers.spawn(async move {
                let _ = sender.send(thread::current().name().map(str::to_owned));
                then.await;
            });
            names.recv().expect("a name").expect("a name")
        };
        let mut used: Vec<_> = (0..workers.all.len())
            .map(|_| run(Box::pin(std::future::pending())))
            .collect();
        used.sort();
        used.dedup();
        assert_eq!(used.len(), workers.all.len(), "{used:?}");
        // One that panics takes no other with it, nor its place.
        workers.spawn(async { panic!("as the test wants") });
        let free = || {
            let running = workers
                .all
                .iter()
                .map(|worker| worker.running.load(Relaxed));
            running.sum::<usize>() == workers.all.len()
        };
        while !free() {
            thread::sleep(Duration::from_millis(1));
        }
        run(Box::pin(std::future::ready(())));
        drop(workers);
        drop(sender);
        // The tasks that never end are dropped with what they hold.
        assert!(names.recv().is_err());
    }
}
