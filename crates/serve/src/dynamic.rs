//! Meta-channels that an address asks for: `/CHANNELS/CONSTRAINTS/SUBDIR/FILE`, in conda-metachannel's form. Each question is
//! compiled once, into a folder that is served like any other, and again when it is asked for and its channels may have
//! changed. What an address may say is `spec`'s business.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use archive::digest::Sha256;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use spec::MetaChannel;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;

use crate::compiled::{Compiled, Definition, Means};
use crate::digests::Digests;
use crate::error::{Error, chain};
use crate::file::{self, Asked};
use crate::log::Log;
use crate::path;
use crate::reply::{self, Reply};
use crate::settings::Questions;

/// Below the folder of compiled channels.
const FOLDER: &str = "questions";

/// How many questions are compiled at a time.
const COMPILING: usize = 2;

/// How many questions may wait for that; to more of them the answer is to come again.
const MOST_WAITING: usize = 64;

/// How long a failure is the answer to everybody.
const FAILED: Duration = Duration::from_secs(5);

/// All questions.
#[derive(Debug)]
pub(crate) struct Dynamic {
    asked: Questions,
    means: Means,
    known: Mutex<Known>,
    permits: Arc<Semaphore>,
    /// How many questions wait for one.
    waiting: Arc<AtomicUsize>,
}

/// The questions that have a folder.
#[derive(Debug, Default)]
struct Known {
    /// By their addresses.
    questions: HashMap<String, Arc<Question>>,
    /// Counts requests.
    clock: u64,
}

impl Known {
    /// What the clock says now.
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }
}

/// One question.
#[derive(Debug)]
struct Question {
    compiled: Arc<Compiled>,
    state: watch::Sender<State>,
    /// The clock when it was asked last.
    used: AtomicU64,
}

#[derive(Debug, Clone)]
enum State {
    /// Nobody has begun.
    New,
    Compiling,
    /// Since when it is what upstream has, and whether that is looked at just now.
    Ready(Instant, bool),
    Failed(StatusCode, Arc<str>),
}

/// What an address is about.
struct Meant<'a> {
    /// What the address calls the channels.
    names: String,
    channels: Vec<String>,
    constraints: &'a str,
    rest: &'a [String],
}

impl Question {
    /// Whether its files are being made, or will be.
    fn is_busy(&self) -> bool {
        matches!(
            *self.state.borrow(),
            State::Compiling | State::Ready(_, true)
        )
    }
}

impl Dynamic {
    pub(crate) fn new(asked: &Questions, means: Option<&Means>) -> Result<Self, Error> {
        let means = means.ok_or_else(|| Error::Definition {
            problem: "nothing says how meta-channels are to be compiled".to_owned(),
        })?;
        if let Some(folder) = &asked.blacklists {
            fs_err::read_dir(folder).map_err(|source| Error::Read {
                path: folder.clone(),
                source,
            })?;
        }
        sweep(&means.compiling.state.join(FOLDER), asked.most);
        Ok(Self {
            asked: asked.clone(),
            means: means.clone(),
            known: Mutex::default(),
            permits: Arc::new(Semaphore::new(COMPILING)),
            waiting: Arc::default(),
        })
    }

    /// Whether an address asks about channels that can be asked about.
    pub(crate) fn is_question(&self, parts: &[String]) -> bool {
        self.meant(parts).is_some()
    }

    /// What an address calls the channels that it asks about.
    pub(crate) fn about(&self, parts: &[String]) -> Vec<String> {
        let meant = self.meant(parts);
        let names = meant.iter().flat_map(|meant| meant.names.split(','));
        names.map(|name| name.trim().to_owned()).collect()
    }

    /// The channels: what addresses call them, and what they are.
    pub(crate) fn channels(&self) -> impl Iterator<Item = (&str, &str)> {
        let channels = self.asked.channels.iter();
        channels.map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Answers a request; `parts` are all of its address.
    pub(crate) async fn answer(
        &self,
        digests: &Digests,
        log: &Arc<Log>,
        asked: Asked<'_>,
    ) -> Reply {
        let Some(meant) = self.meant(asked.parts) else {
            return reply::not_found();
        };
        // Only what has its one address is known by it.
        let title = format!("{}/{}", meant.names, meant.constraints);
        let question = match self.known(&title) {
            Some(question) => question,
            None if self.waiting.load(Relaxed) >= MOST_WAITING => {
                let reason = "too many meta-channels wait to be compiled";
                return reply::later(StatusCode::SERVICE_UNAVAILABLE, reason, FAILED);
            }
            None => match self.begun(&meant, asked.is_folder, &title, log) {
                Ok(question) => question,
                Err(reply) => return *reply,
            },
        };
        if meant.rest.is_empty() && !asked.is_folder {
            return file::folder_of(meant.constraints);
        }
        match tokio::time::timeout(self.asked.patience, self.ready(&question, log)).await {
            Ok(Ok(())) => {}
            Ok(Err((status, reason))) => return reply::later(status, &reason, FAILED),
            Err(_) => {
                let reason = "the meta-channel is being compiled";
                return reply::later(StatusCode::SERVICE_UNAVAILABLE, reason, FAILED);
            }
        }
        let asked = Asked {
            parts: meant.rest,
            ..asked
        };
        let reply = file::answer(question.compiled.folder(), digests, asked).await;
        question.compiled.answer(reply, digests, asked).await
    }

    /// The channels are as many parts of the address as make a list of known ones.
    fn meant<'a>(&self, parts: &'a [String]) -> Option<Meant<'a>> {
        (1..parts.len()).rev().find_map(|length| {
            let (names, rest) = parts.split_at_checked(length)?;
            let names = names.join("/");
            let known = |name: &str| self.asked.channels.get(name.trim()).cloned();
            let channels: Option<Vec<String>> = names.split(',').map(known).collect();
            let (constraints, rest) = rest.split_first()?;
            // Who takes the channels' names alone for a channel asks for this.
            if channel::SUBDIRS.contains(&constraints.as_str()) {
                return None;
            }
            Some(Meant {
                channels: channels?,
                names,
                constraints,
                rest,
            })
        })
    }

    /// A question that was asked before.
    fn known(&self, title: &str) -> Option<Arc<Question>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let question = Arc::clone(known.questions.get(title)?);
        question.used.store(known.tick(), Relaxed);
        Some(question)
    }

    /// A question that is new; or what is said to who cannot ask so, or has another way to its address.
    fn begun(
        &self,
        meant: &Meant<'_>,
        is_folder: bool,
        title: &str,
        log: &Arc<Log>,
    ) -> Result<Arc<Question>, Box<Reply>> {
        let refused = |reason: &str| Box::new(reply::text(StatusCode::BAD_REQUEST, reason));
        let mut names = HashSet::new();
        if !meant.names.split(',').all(|name| names.insert(name.trim())) {
            return Err(refused("a channel is named twice"));
        }
        let question = spec::Question::parse(
            meant.constraints,
            meant.channels.clone(),
            self.asked.platforms.clone(),
            self.asked.mirror,
        );
        let question = question.map_err(|reason| refused(&reason))?;
        if question.definition.blacklist.is_some() && self.asked.blacklists.is_none() {
            return Err(refused("there are no blacklists here"));
        }
        if question.constraints != meant.constraints {
            return Err(Box::new(moved(
                &question.constraints,
                meant.rest,
                is_folder,
            )));
        }
        Ok(self.add(question.definition, title, log))
    }

    /// Makes a question known; the one that was not asked for longest makes room for it.
    fn add(&self, mut definition: MetaChannel, title: &str, log: &Arc<Log>) -> Arc<Question> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = known.tick();
        if let Some(question) = known.questions.get(title) {
            // Somebody was quicker.
            return Arc::clone(question);
        }
        // What it stands for may be another thing for the next server.
        let told = format!("{title} {definition:?}");
        let key = Sha256::of(told.as_bytes()).to_string();
        let name = format!("{FOLDER}/{}", key.get(..32).unwrap_or(&key));
        definition.name.clone_from(&name);
        let base = self.asked.blacklists.clone().unwrap_or_default();
        let definition = Definition::Question(Box::new(definition), base);
        let question = Arc::new(Question {
            compiled: Arc::new(Compiled::of((&name, title), definition, &self.means)),
            state: watch::Sender::new(State::New),
            used: AtomicU64::new(now),
        });
        known
            .questions
            .insert(title.to_owned(), Arc::clone(&question));
        while known.questions.len() > self.asked.most.max(1) {
            let age = |(_, question): &(&String, &Arc<Question>)| question.used.load(Relaxed);
            // What is being compiled is somebody's, and would be there again.
            let idle = known.questions.iter();
            let idle = idle.filter(|(key, question)| *key != title && !question.is_busy());
            let Some(oldest) = idle.min_by_key(age).map(|(key, _)| key.clone()) else {
                break;
            };
            if let Some(gone) = known.questions.remove(&oldest) {
                // Whoever asks again finds nothing of it, and not a part. Its lock has the name of the folder aside, too.
                let folder = gone.compiled.folder().root();
                let aside = folder.with_extension(format!("gone-{now}"));
                // Where that fails, nothing was compiled yet.
                let _ = fs_err::rename(folder, &aside);
                let log = Arc::clone(log);
                spawn_blocking(move || {
                    if let Err(error) = remove(&aside) {
                        log.note("warning", &chain(&error));
                    }
                });
            }
        }
        question
    }

    /// Waits until a question has its files.
    async fn ready(
        &self,
        question: &Arc<Question>,
        log: &Arc<Log>,
    ) -> Result<(), (StatusCode, Arc<str>)> {
        // Before it begins: what nobody waits for is not compiled.
        let mut states = question.state.subscribe();
        loop {
            self.begin(question, log);
            match states.borrow_and_update().clone() {
                State::Ready(..) => return Ok(()),
                State::Failed(status, reason) => return Err((status, reason)),
                State::New | State::Compiling => {}
            }
            if states.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// Begins to compile where that is due.
    fn begin(&self, question: &Arc<Question>, log: &Arc<Log>) {
        let refresh = self.means.compiling.refresh;
        let is_due = question.state.send_if_modified(|state| match state {
            State::New => {
                *state = State::Compiling;
                true
            }
            State::Ready(since, running) if !*running => {
                *running = refresh.is_some_and(|refresh| since.elapsed() >= refresh);
                *running
            }
            _ => false,
        });
        if !is_due {
            return;
        }
        let was_ready = matches!(*question.state.borrow(), State::Ready(..));
        let (question, log) = (Arc::clone(question), Arc::clone(log));
        let permits = Arc::clone(&self.permits);
        let waiting = Arc::clone(&self.waiting);
        waiting.fetch_add(1, Relaxed);
        tokio::spawn(async move {
            let _permit = permits.acquire().await;
            waiting.fetch_sub(1, Relaxed);
            if !was_ready && question.state.receiver_count() == 0 {
                // Whoever asked has gone.
                question.state.send_replace(State::New);
                return;
            }
            let (compiled, notes) = (Arc::clone(&question.compiled), Arc::clone(&log));
            let compiled = spawn_blocking(move || {
                if was_ready {
                    compiled.compile_again(&notes)
                } else {
                    compiled.make_ready(&notes)
                }
            });
            let failed = match compiled.await {
                Ok(Ok(())) => None,
                // What is there is better than nothing.
                Ok(Err(_)) if was_ready => None,
                Ok(Err(error)) if error.is_usage() => {
                    Some((StatusCode::BAD_REQUEST, chain(&error)))
                }
                Ok(Err(error)) => Some((StatusCode::BAD_GATEWAY, chain(&error))),
                Err(error) => Some((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
            };
            let Some((status, reason)) = failed else {
                question
                    .state
                    .send_replace(State::Ready(Instant::now(), false));
                return;
            };
            log.note("error", &format!("not compiled: {reason}"));
            question
                .state
                .send_replace(State::Failed(status, reason.into()));
            tokio::time::sleep(FAILED).await;
            question.state.send_replace(State::New);
        });
    }
}

/// The same question where it has its address. Relative, since the address may have a token or another host's name
/// before it.
fn moved(constraints: &str, rest: &[String], is_folder: bool) -> Reply {
    let up = rest.len() + usize::from(is_folder);
    let mut location = match up {
        0 => "./".to_owned(),
        up => "../".repeat(up),
    };
    location.push_str(&path::encoded(constraints));
    for part in rest {
        location.push('/');
        location.push_str(&path::encoded(part));
    }
    if is_folder {
        location.push('/');
    }
    let mut reply = reply::text(
        StatusCode::MOVED_PERMANENTLY,
        "the same question has another address",
    );
    if let Ok(location) = HeaderValue::from_str(&location) {
        reply.headers_mut().insert(LOCATION, location);
    }
    reply
}

/// Of what earlier servers have left, the newest stay.
fn sweep(folder: &Path, most: usize) {
    let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            let modified = metadata.modified().ok()?;
            metadata.is_dir().then(|| (modified, entry.path()))
        })
        .collect();
    found.sort();
    let more = found.len().saturating_sub(most);
    for (_, path) in found.into_iter().take(more) {
        // What cannot be removed now is tried again by the next server.
        let _ = remove(&path);
    }
}

/// Removes the folder of a question, and its lock; another server may be quicker.
fn remove(folder: &Path) -> io::Result<()> {
    // Without the folder, what it says is no harm.
    let _ = fs_err::remove_file(folder.with_extension("lock"));
    match fs_err::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_question_is_relative() {
        let parts =
            |text: &[&str]| -> Vec<String> { text.iter().map(|part| (*part).to_owned()).collect() };
        for (rest, is_folder, expected) in [
            (
                parts(&["noarch", "repodata.json"]),
                false,
                "../../a,b/noarch/repodata.json",
            ),
            (parts(&[]), false, "./a,b"),
            (parts(&[]), true, "../a,b/"),
            (parts(&["noarch"]), true, "../../a,b/noarch/"),
        ] {
            let reply = moved("a,b", &rest, is_folder);
            assert_eq!(reply.status(), StatusCode::MOVED_PERMANENTLY);
            let location = reply
                .headers()
                .get(LOCATION)
                .and_then(|value| value.to_str().ok());
            assert_eq!(location, Some(expected));
        }
        let encoded = moved("a >=1,<2", &[], false);
        assert_eq!(
            encoded.headers().get(LOCATION).map(HeaderValue::as_bytes),
            Some(&b"./a%20%3E=1,%3C2"[..])
        );
    }
}
