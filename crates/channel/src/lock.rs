//! One writer of a channel at a time: a lock in its `.cache` folder that says who holds it, a file ([`file`])
//! or an object of a bucket ([`object`]). A process that died leaves it behind, and the next one recognises that.
//!
//! A holder of this machine is alive while its process is. A holder of another machine shows a
//! heartbeat, and is taken for dead when that has not changed for [`SILENCE`], by the clock of
//! who waits: clocks of machines differ.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::place::Place;
use file::FileLock;
use object::ObjectLock;

mod file;
mod object;
mod owner;
#[cfg(test)]
mod tests;

pub use owner::Owner;

/// The lock's file name.
pub(crate) const FILE: &str = "archiconda-index.lock";

/// How often a holder shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long the heartbeat of a holder on another machine may rest.
const SILENCE: Duration = Duration::from_secs(45);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody has it, and did not give it up in time.
    #[error("the channel is being indexed by {owner}")]
    Held {
        /// Who has it.
        owner: Owner,
    },
    /// Somebody else took it away from us.
    #[error("the lock `{path}` is not ours any more")]
    Lost {
        /// The lock.
        path: PathBuf,
    },
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] fetch::s3::Error),
    /// The store writes where it was told to write only if nothing is there.
    #[error(
        "the store of `{path}` takes no notice of conditions (If-None-Match), so that two indexers \
         could overwrite each other's work"
    )]
    Conditions {
        /// The channel.
        path: PathBuf,
    },
    /// The file could not be read or written.
    #[error("could not use the lock `{path}`")]
    Access {
        /// The lock.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// What who waits has seen of the holder.
struct Watch<'a> {
    began: Instant,
    patience: Duration,
    /// The holder as it was read last, and since when it is silent.
    seen: Option<(Owner, Instant)>,
    /// Told whom it is waited for, once.
    tell: Option<&'a mut dyn FnMut(&Owner)>,
}

impl<'a> Watch<'a> {
    fn new(patience: Duration, tell: &'a mut dyn FnMut(&Owner)) -> Self {
        Self {
            began: Instant::now(),
            patience,
            seen: None,
            tell: Some(tell),
        }
    }

    /// Whether the holder lives, and may be looked at again. Fails when patience is at an end.
    fn lives(&mut self, holder: &Owner) -> Result<bool, Error> {
        // A heartbeat that moves begins a new silence.
        let since = match &self.seen {
            Some((before, since)) if before == holder => *since,
            _ => Instant::now(),
        };
        let dead = holder
            .is_dead()
            .unwrap_or_else(|| since.elapsed() >= SILENCE);
        if dead {
            return Ok(false);
        }
        if self.began.elapsed() >= self.patience {
            return Err(Error::Held {
                owner: holder.clone(),
            });
        }
        if let Some(tell) = self.tell.take() {
            tell(holder);
        }
        self.seen = Some((holder.clone(), since));
        Ok(true)
    }
}

/// The lock, until it is dropped.
#[derive(Debug)]
pub(crate) enum Lock {
    File(FileLock),
    Object(ObjectLock),
}

impl Lock {
    /// Takes the lock of a channel. While somebody else has it, tells `wait` whom, once, and tries again until
    /// `patience` is at an end.
    pub(crate) fn take(
        channel: &Place,
        patience: Duration,
        wait: &mut dyn FnMut(&Owner),
    ) -> Result<Self, Error> {
        match channel {
            Place::Folder(path) => {
                let folder = path.join(".cache");
                fs_err::create_dir_all(&folder).map_err(|source| Error::Access {
                    path: folder.join(FILE),
                    source,
                })?;
                FileLock::take(&folder, patience, wait).map(Self::File)
            }
            Place::Bucket(objects) => ObjectLock::take(objects, patience, wait).map(Self::Object),
        }
    }

    /// Fails if the lock is not ours any more: nothing may be published then.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Self::File(lock) => lock.check(),
            Self::Object(lock) => lock.check(),
        }
    }
}
