//! Packages that lie elsewhere until somebody asks for them: each is fetched once however many ask, goes to all of
//! them while it is stored, and is never whole before it was checked: its end waits until then. What was fetched lies in
//! the channel's folder, as if it had always been there.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fetch::{Client, Event, Wanted};
use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RANGE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use hyper::body::Bytes;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::spawn_blocking;

use crate::body::{Body, PIECE};
use crate::compiled::Means;
use crate::content;
use crate::error::chain;
use crate::fetched::Fetched;
use crate::file::Asked;
use crate::reply::{self, Reply};

/// So many bytes are held back until all of them are checked: without them, nobody takes an answer for whole.
const HELD: u64 = 1 << 10;

/// How long a failure is the answer to everybody.
const FAILED: Duration = Duration::from_secs(5);

/// How often a package is fetched that is gone before it has its place.
const ATTEMPTS: usize = 3;

/// How many pieces wait for a slow client.
const WAITING: usize = 2;

/// The packages of one channel that are on their way.
#[derive(Debug)]
pub(crate) struct Packages {
    client: Arc<Client>,
    fetched: Arc<Fetched>,
    /// The channel's folder, below that of all.
    name: String,
    permits: Arc<Semaphore>,
    running: Arc<Mutex<HashMap<String, watch::Receiver<State>>>>,
}

/// How far a download is.
#[derive(Debug, Clone)]
enum State {
    Waiting,
    Growing(Growing),
    Done,
    Failed(StatusCode, Arc<str>),
}

#[derive(Debug, Clone)]
struct Growing {
    file: Arc<File>,
    /// How many bytes there are.
    position: u64,
    /// How often it began again: then bytes that were there before may be others.
    round: u32,
}

impl Packages {
    /// Those of the channel of this name.
    pub(crate) fn new(means: &Means, name: &str) -> Self {
        Self {
            client: Arc::clone(&means.compiling.client),
            fetched: Arc::clone(&means.fetched),
            name: name.to_owned(),
            permits: Arc::new(Semaphore::new(means.downloads.max(1))),
            running: Arc::default(),
        }
    }

    /// Somebody is answered with a package that the folder has.
    pub(crate) fn used(&self, subdir: &str, file: &str) {
        self.fetched.used(&self.place(subdir, file));
    }

    fn place(&self, subdir: &str, file: &str) -> String {
        format!("{}/{subdir}/{file}", self.name)
    }

    /// Answers with a package that the folder does not have; nothing, if it has it now. One that is to be `kept` never
    /// goes for want of room.
    pub(crate) async fn get(
        &self,
        (subdir, file): (&str, &str),
        wanted: Wanted,
        is_kept: bool,
        asked: Asked<'_>,
    ) -> Option<Reply> {
        let size = wanted.size;
        if let Some(size) = size.filter(|_| !asked.is_get) {
            return Some(head(file, size, asked.is_public, Body::nothing()));
        }
        let mut states = self.fetch(subdir, file, wanted, is_kept);
        // Who wants a part of it is answered from the whole, and so is who does not know the length. A small one is
        // whole in a moment, and then what is wrong with it can be said.
        let is_small = size.is_none_or(|size| size <= PIECE as u64);
        let is_whole = is_small || asked.headers.contains_key(RANGE);
        let began = states
            .wait_for(|state| match state {
                State::Waiting => false,
                State::Growing(_) => !is_whole,
                State::Done | State::Failed(..) => true,
            })
            .await;
        let growing = match began.as_deref() {
            Ok(State::Growing(growing)) => growing.clone(),
            Ok(State::Failed(status, reason)) => {
                return Some(reply::later(*status, reason, FAILED));
            }
            Ok(State::Waiting | State::Done) => return None,
            Err(_) => {
                let reason = "the package does not come";
                return Some(reply::later(StatusCode::BAD_GATEWAY, reason, FAILED));
            }
        };
        drop(began);
        let size = size.unwrap_or(0);
        let (sender, pieces) = mpsc::channel(WAITING);
        tokio::spawn(pass_on(growing, states, size, sender));
        Some(head(
            file,
            size,
            asked.is_public,
            Body::pieces(pieces, size),
        ))
    }

    /// What is told of a download, which begins if nobody has begun it.
    fn fetch(
        &self,
        subdir: &str,
        file: &str,
        wanted: Wanted,
        is_kept: bool,
    ) -> watch::Receiver<State> {
        let path = self.place(subdir, file);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(states) = running.get(&path) {
            return states.clone();
        }
        let (sender, states) = watch::channel(State::Waiting);
        running.insert(path.clone(), states.clone());
        let (client, permits) = (Arc::clone(&self.client), Arc::clone(&self.permits));
        let (fetched, all) = (Arc::clone(&self.fetched), Arc::clone(&self.running));
        let place = path.clone();
        tokio::spawn(async move {
            let _permit = permits.acquire().await;
            let sender = Arc::new(sender);
            let told = Arc::clone(&sender);
            let download = spawn_blocking(move || {
                let to = Place {
                    fetched: &fetched,
                    path: &place,
                    is_kept,
                };
                download(&client, &wanted, &to, &told)
            });
            let state = match download.await {
                Ok(Ok(())) => State::Done,
                Ok(Err((status, reason))) => State::Failed(status, reason.into()),
                Err(_) => State::Failed(StatusCode::INTERNAL_SERVER_ERROR, "it failed".into()),
            };
            let has_failed = matches!(state, State::Failed(..));
            sender.send_replace(state);
            if has_failed {
                tokio::time::sleep(FAILED).await;
            }
            all.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&path);
        });
        states
    }
}

/// Where a package goes to.
struct Place<'a> {
    fetched: &'a Fetched,
    /// `CHANNEL/SUBDIR/FILE`
    path: &'a str,
    is_kept: bool,
}

/// Fetches a package into the folder.
fn download(
    client: &Client,
    wanted: &Wanted,
    to: &Place<'_>,
    told: &watch::Sender<State>,
) -> Result<(), (StatusCode, String)> {
    let was_cached = AtomicBool::new(false);
    let report = |event: Event<'_>| match event {
        Event::PackageStarted { resumed, .. } => {
            let file = client
                .growing(wanted)
                .ok()
                .and_then(|path| File::open(path).ok());
            if let Some(file) = file {
                told.send_replace(State::Growing(Growing {
                    file: Arc::new(file),
                    position: resumed,
                    round: 0,
                }));
            }
        }
        Event::PackageBytes { position, .. } => told.send_modify(|state| {
            if let State::Growing(growing) = state {
                growing.round += u32::from(position < growing.position);
                growing.position = position;
            }
        }),
        Event::PackageDone { cached, .. } => was_cached.store(cached, Relaxed),
        _ => {}
    };
    let refused = |error: fetch::Error| {
        let what = if error.is_integrity() {
            "what comes from there is not the package that the index means"
        } else {
            "the package cannot be had from where it comes from"
        };
        let reason = format!("{what}: {}", chain(&error));
        (StatusCode::BAD_GATEWAY, reason)
    };
    let mut attempts = 0;
    loop {
        attempts += 1;
        let fetched = client.packages(std::slice::from_ref(wanted), &report);
        let fetched = fetched.map_err(refused)?;
        let put = fetched.iter().try_for_each(|package| {
            if to.is_kept {
                to.fetched.keep(package, to.path)
            } else {
                to.fetched.put(package, was_cached.load(Relaxed), to.path)
            }
        });
        match put {
            Ok(()) => return Ok(()),
            // It was in the store, and had to make room.
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempts < ATTEMPTS => {}
            Err(error) => return Err((StatusCode::INSUFFICIENT_STORAGE, error.to_string())),
        }
    }
}

/// Sends a file that grows.
async fn pass_on(
    first: Growing,
    mut states: watch::Receiver<State>,
    size: u64,
    sender: mpsc::Sender<io::Result<Bytes>>,
) {
    let mut sent = 0;
    loop {
        let state = states.borrow_and_update().clone();
        let there = match state {
            State::Done => size,
            State::Growing(growing) if growing.round == first.round => {
                growing.position.min(size.saturating_sub(HELD))
            }
            State::Waiting | State::Growing(_) | State::Failed(..) => {
                let gone = io::Error::other("the package did not come whole");
                // Nobody is left to tell if the client is gone.
                let _ = sender.send(Err(gone)).await;
                return;
            }
        };
        while sent < there {
            let piece = read(Arc::clone(&first.file), sent, there - sent).await;
            let is_whole = piece.is_ok();
            sent += piece.as_ref().map_or(0, |piece| piece.len() as u64);
            if sender.send(piece).await.is_err() || !is_whole {
                return;
            }
        }
        if sent == size || states.changed().await.is_err() {
            return;
        }
    }
}

async fn read(file: Arc<File>, position: u64, left: u64) -> io::Result<Bytes> {
    let length = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
    let read = spawn_blocking(move || {
        let mut piece = vec![0; length];
        file.read_exact_at(&mut piece, position)?;
        Ok(Bytes::from(piece))
    });
    read.await.map_err(io::Error::other)?
}

fn head(file: &str, size: u64, is_public: bool, body: Body) -> Reply {
    let mut reply = Response::new(body);
    let headers = reply.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    // Caches keep it when it comes from the folder, with a tag.
    let kept = if is_public {
        "no-cache"
    } else {
        "private, no-cache"
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(kept));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(content::media_type(file)),
    );
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    reply
}
