//! The lock as an object of a bucket. Every change of it is conditional on what was read before, so that of
//! two processes one is refused. It is never removed: who gives it up writes that nobody has it.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fetch::s3::{self, Condition, Put, Upload};

use super::{Error, FILE, HEARTBEAT, Owner, SILENCE, Watch};
use crate::place::{Objects, headers};

/// How often who waits looks.
const LOOK: Duration = Duration::from_secs(1);

/// What the object says while nobody has the lock.
const FREE: &str = "free\n";

/// The lock, until it is dropped.
#[derive(Debug)]
pub(crate) struct ObjectLock {
    place: Where,
    owner: Owner,
    shown: Arc<Mutex<Shown>>,
    heart: Option<(Sender<()>, JoinHandle<()>)>,
}

#[derive(Debug, Clone)]
struct Where {
    objects: Arc<Objects>,
    name: String,
}

/// When the store was last told that the holder lives.
#[derive(Debug)]
struct Shown {
    tag: String,
    at: Instant,
    is_lost: bool,
}

impl ObjectLock {
    pub(super) fn take(
        objects: &Arc<Objects>,
        patience: Duration,
        wait: &mut dyn FnMut(&Owner),
    ) -> Result<Self, Error> {
        let place = Where {
            objects: Arc::clone(objects),
            name: format!(".cache/{FILE}"),
        };
        let owner = Owner::this();
        let mut watch = Watch::new(patience, wait);
        let tag = loop {
            let there = place.get()?;
            let (holder, tag) = match there {
                None => (None, None),
                Some((text, tag)) if text == FREE => (None, Some(tag)),
                Some((text, tag)) => (Some(Owner::parse(&text)), Some(tag)),
            };
            if let Some(holder) = holder
                && watch.lives(&holder)?
            {
                std::thread::sleep(LOOK.min(patience));
                continue;
            }
            let condition = tag.map_or(Condition::Absent, Condition::Is);
            if let Put::Done(tag) = place.put(&owner.to_string_for_file(), condition)? {
                break tag;
            }
        };
        let shown = Arc::new(Mutex::new(Shown {
            tag,
            at: Instant::now(),
            is_lost: false,
        }));
        let lock = Self {
            heart: Some(beat(place.clone(), owner.clone(), Arc::clone(&shown))),
            place,
            owner,
            shown,
        };
        lock.check_store()?;
        Ok(lock)
    }

    /// A store that takes no notice of conditions would let two processes overwrite each other's work.
    fn check_store(&self) -> Result<(), Error> {
        let objects = &self.place.objects;
        let key = objects.key(&format!("{}-check", self.place.name));
        let write = |text: &str| {
            objects.bucket().put(Upload {
                key: key.clone(),
                bytes: format!("{text} {}\n", self.owner.token()).into_bytes(),
                condition: Condition::Absent,
                headers: headers(&self.place.name),
            })
        };
        // The first run finds nothing, and makes what all others find.
        if write("whether a write is refused:")? == Put::Refused
            || write("not refused:")? == Put::Refused
        {
            return Ok(());
        }
        Err(Error::Conditions {
            path: objects.url("").into(),
        })
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let is_late = {
            let shown = lock(&self.shown);
            shown.is_lost || shown.at.elapsed() >= SILENCE
        };
        match self.place.get()? {
            Some((text, _)) if !is_late && Owner::parse(&text).token() == self.owner.token() => {
                Ok(())
            }
            _ => Err(Error::Lost {
                path: self.place.objects.url(&self.place.name).into(),
            }),
        }
    }
}

impl Drop for ObjectLock {
    fn drop(&mut self) {
        if let Some((stop, heart)) = self.heart.take() {
            drop(stop);
            drop(heart.join());
        }
        let shown = lock(&self.shown);
        if !shown.is_lost {
            // Who comes next finds that we are gone, or waits until we are silent.
            drop(self.place.put(FREE, Condition::Is(shown.tag.clone())));
        }
    }
}

impl Where {
    fn get(&self) -> Result<Option<(String, String)>, Error> {
        let got = self.objects.bucket().get(&self.objects.key(&self.name))?;
        Ok(got.map(|(bytes, tag)| (String::from_utf8_lossy(&bytes).into_owned(), tag)))
    }

    fn put(&self, text: &str, condition: Condition) -> Result<Put, s3::Error> {
        self.objects.bucket().put_in_time(Upload {
            key: self.objects.key(&self.name),
            bytes: text.as_bytes().to_vec(),
            condition,
            headers: headers(&self.name),
        })
    }
}

/// Rewrites the heartbeat now and then, until the sender is dropped or somebody else has the lock.
fn beat(place: Where, mut owner: Owner, shown: Arc<Mutex<Shown>>) -> (Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = channel::<()>();
    let heart = std::thread::spawn(move || {
        while stopped.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
            owner.beat();
            let tag = lock(&shown).tag.clone();
            match place.put(&owner.to_string_for_file(), Condition::Is(tag)) {
                Ok(Put::Done(tag)) => {
                    let mut shown = lock(&shown);
                    shown.tag = tag;
                    shown.at = Instant::now();
                }
                Ok(Put::Refused) => {
                    lock(&shown).is_lost = true;
                    return;
                }
                // A beat that fails is followed by another.
                Err(_) => {}
            }
        }
    });
    (stop, heart)
}

fn lock(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}
