//! The lock as a file. It needs nothing of the file system but links and renames, so that it works over
//! the network.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use fs_err as fs;

use super::{Error, FILE, HEARTBEAT, Owner, Watch};

/// How often who waits looks.
const LOOK: Duration = Duration::from_millis(100);

/// The lock, until it is dropped.
#[derive(Debug)]
pub(crate) struct FileLock {
    path: PathBuf,
    owner: Owner,
    heart: Option<(Sender<()>, JoinHandle<()>)>,
}

impl FileLock {
    /// Takes the lock of a `.cache` folder. While somebody else has it, tells `wait` whom, once, and tries again until
    /// `patience` is at an end.
    pub(super) fn take(
        folder: &Path,
        patience: Duration,
        wait: &mut dyn FnMut(&Owner),
    ) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let access = |source| Error::Access {
            path: path.clone(),
            source,
        };
        let owner = Owner::this();
        let draft = folder.join(format!("{FILE}.{}", owner.token()));
        let mut watch = Watch::new(patience, wait);
        loop {
            fs::write(&draft, owner.to_string_for_file()).map_err(access)?;
            let made = link(&draft, &path);
            fs::remove_file(&draft).map_err(access)?;
            match made {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(access(error)),
            }
            let holder = match fs::read_to_string(&path) {
                Ok(text) => Owner::parse(&text),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(access(error)),
            };
            if !watch.lives(&holder)? {
                push_aside(&path, &draft, &holder).map_err(access)?;
                continue;
            }
            std::thread::sleep(LOOK);
        }
        let heart = beat(path.clone(), owner.clone());
        Ok(Self {
            path,
            owner,
            heart: Some(heart),
        })
    }

    /// Fails if the lock is not ours any more: nothing may be published then.
    pub(super) fn check(&self) -> Result<(), Error> {
        match fs::read_to_string(&self.path) {
            Ok(text) if Owner::parse(&text).token() == self.owner.token() => Ok(()),
            Ok(_) => Err(self.lost()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.lost()),
            Err(source) => Err(Error::Access {
                path: self.path.clone(),
                source,
            }),
        }
    }

    fn lost(&self) -> Error {
        Error::Lost {
            path: self.path.clone(),
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        if let Some((stop, heart)) = self.heart.take() {
            drop(stop);
            drop(heart.join());
        }
        if self.check().is_ok() {
            // Who comes next finds that we are gone.
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Makes `path` the name of what `draft` names, unless it is there. Without links, a new file must do.
fn link(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(draft, path) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
            ) =>
        {
            let content = fs::read(draft)?;
            let mut file = fs::File::create_new(path)?;
            io::Write::write_all(&mut file, &content)
        }
        other => other,
    }
}

/// Takes the lock of a dead holder away. Who was quicker and has a living lock gets it back.
fn push_aside(path: &Path, draft: &Path, dead: &Owner) -> io::Result<()> {
    match fs::rename(path, draft) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    let moved = Owner::parse(&fs::read_to_string(draft)?);
    if moved.token() != dead.token() {
        match link(draft, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    fs::remove_file(draft)
}

/// Rewrites the heartbeat now and then, until the sender is dropped.
fn beat(path: PathBuf, mut owner: Owner) -> (Sender<()>, JoinHandle<()>) {
    let (stop, stopped) = channel::<()>();
    let heart = std::thread::spawn(move || {
        while stopped.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
            let ours = fs::read_to_string(&path)
                .is_ok_and(|text| Owner::parse(&text).token() == owner.token());
            if !ours {
                return;
            }
            owner.beat();
            // In place: the file's name must not change its meaning for a moment. A beat that fails
            // is followed by another.
            let written = fs::OpenOptions::new().write(true).open(&path);
            drop(written.and_then(|mut file| {
                io::Write::write_all(&mut file, owner.to_string_for_file().as_bytes())
            }));
        }
    });
    (stop, heart)
}
