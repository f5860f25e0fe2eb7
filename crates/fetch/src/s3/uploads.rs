//! Many writes at the same time, bounded in number and bytes.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Condition, Error, Headers, Put, Requests};

/// How many writes are under way at most; one more for each [`UNIT`] of bytes.
const SLOTS: u32 = 64;

/// In bytes.
const UNIT: usize = 1 << 20;

/// What is to be written.
#[derive(Debug, Clone)]
pub struct Upload {
    /// The whole key.
    pub key: String,
    /// The content.
    pub bytes: Vec<u8>,
    /// When it is written.
    pub condition: Condition,
    /// What clients are told of it.
    pub headers: Headers,
}

/// Writes that are under way.
pub struct Uploads {
    requests: Arc<Requests>,
    handle: Handle,
    slots: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: JoinSet<(String, Result<Put, Error>)>,
    done: Vec<(String, Put)>,
    failure: Option<Error>,
}

impl Uploads {
    pub(super) fn new(requests: Arc<Requests>, handle: Handle) -> Self {
        Self {
            requests,
            handle,
            slots: Arc::new(Semaphore::new(SLOTS as usize)),
            state: Mutex::default(),
        }
    }

    /// Begins a write, as soon as there is room. Fails if an earlier one failed.
    pub fn add(&self, upload: Upload) -> Result<(), Error> {
        let units = u32::try_from(upload.bytes.len() / UNIT).unwrap_or(SLOTS);
        let slots = Arc::clone(&self.slots).acquire_many_owned(units.saturating_add(1).min(SLOTS));
        let permit = self.handle.block_on(slots);
        let requests = Arc::clone(&self.requests);
        let mut state = self.state();
        while let Some(ended) = state.running.try_join_next() {
            state.take(ended);
        }
        if let Some(failure) = state.failure.take() {
            return Err(failure);
        }
        let write = async move {
            let key = upload.key.clone();
            let put = requests.put(upload).await;
            drop(permit);
            (key, put)
        };
        state.running.spawn_on(write, &self.handle);
        Ok(())
    }

    /// Waits for all writes. What each key came to.
    pub fn finish(&self) -> Result<Vec<(String, Put)>, Error> {
        let mut state = self.state();
        let mut running = std::mem::take(&mut state.running);
        self.handle.block_on(async {
            while let Some(ended) = running.join_next().await {
                state.take(ended);
            }
        });
        match state.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(std::mem::take(&mut state.done)),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, ended: Result<(String, Result<Put, Error>), tokio::task::JoinError>) {
        match ended {
            Ok((key, Ok(put))) => self.done.push((key, put)),
            Ok((_, Err(error))) => {
                self.failure.get_or_insert(error);
            }
            // A task ends otherwise only with its runtime.
            Err(_) => {}
        }
    }
}
