//! What was fetched because somebody asked for it, and what of it goes when it is more than there is room for: first what
//! was not asked for longest. Each package has a note in a file of its own, by whose time the next server knows when it was
//! asked for last. What has no note is never taken away.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use archive::digest::Sha256;
use fetch::{Client, Package};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::settings::Compiling;

/// The folder of notes, among those of compiled channels: none of these has a name that begins so.
const FOLDER: &str = ".fetched";

/// How exactly a note's time tells when the package was asked for.
const TICK: Duration = Duration::from_hours(1);

/// The packages of all channels that were fetched on demand.
#[derive(Debug)]
pub(crate) struct Fetched {
    client: Arc<Client>,
    /// Where compiled channels lie.
    state: PathBuf,
    /// How many bytes they may have together.
    most: Option<u64>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    packages: HashMap<Sha256, Kept>,
    /// Which package lies at a place.
    places: HashMap<String, Sha256>,
    /// Bytes of all packages.
    total: u64,
}

/// A package.
#[derive(Debug)]
struct Kept {
    note: Note,
    used: SystemTime,
    /// What the note's time says of it.
    told: SystemTime,
}

/// What the next server must know.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Note {
    /// In bytes.
    size: u64,
    /// Whether the cache had it for another reason, and keeps it.
    was_cached: bool,
    /// `CHANNEL/SUBDIR/FILE`, below the folder of compiled channels.
    places: BTreeSet<String>,
}

impl Fetched {
    /// Reads what earlier servers have noted, and takes away what is too much of it.
    pub(crate) fn open(compiling: &Compiling, most: Option<u64>) -> Result<Self, Error> {
        let fetched = Self {
            client: Arc::clone(&compiling.client),
            state: compiling.state.clone(),
            most,
            known: Mutex::default(),
        };
        let folder = fetched.state.join(FOLDER);
        fetched.read(&folder).map_err(|source| Error::Read {
            path: folder,
            source,
        })?;
        Ok(fetched)
    }

    fn read(&self, folder: &Path) -> io::Result<()> {
        let entries = match fs_err::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        let mut known = self.known();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let sha256 = name.to_str().and_then(|name| name.parse().ok());
            let Some(sha256) = sha256 else { continue };
            let text = fs_err::read(entry.path())?;
            // A note that cannot be read is as good as none.
            let Ok(note) = serde_json::from_slice::<Note>(&text) else {
                continue;
            };
            if note.places.iter().all(|place| is_below(place)) {
                known.add(sha256, note, entry.metadata()?.modified()?);
            }
        }
        Ok(())
    }

    /// Puts a package of the store into a channel, and makes room for it.
    ///
    /// # Errors
    ///
    /// `NotFound` if the store has lost it meanwhile.
    pub(crate) fn put(&self, package: &Package, was_cached: bool, place: &str) -> io::Result<()> {
        let sha256 = Sha256(package.sha256);
        // Until it has its place, nobody may make room by it.
        let mut known = self.known();
        let before = known.packages.get(&sha256).map(|kept| kept.note.clone());
        let is_new = before.is_none();
        let mut note = before.unwrap_or(Note {
            size: package.size,
            was_cached,
            places: BTreeSet::new(),
        });
        note.places.insert(place.to_owned());
        let put = self
            .write(sha256, &note)
            .and_then(|()| self.keep(package, place));
        if put.is_err() && is_new {
            // Nobody would ever take it away.
            let _ = self.remove(sha256, &note);
        } else {
            known.add(sha256, note, SystemTime::now());
        }
        self.make_room(&mut known, Some(sha256));
        put
    }

    /// Puts a package of the store into a channel for good.
    pub(crate) fn keep(&self, package: &Package, place: &str) -> io::Result<()> {
        let to = self.state.join(place);
        if let Some(folder) = to.parent() {
            fs_err::create_dir_all(folder)?;
        }
        channel::meta::place(&package.path, &to, &self.state)
    }

    /// Takes away what is too much.
    pub(crate) fn sweep(&self) {
        self.make_room(&mut self.known(), None);
    }

    /// Somebody asks for what lies at a place.
    pub(crate) fn used(&self, place: &str) {
        let now = SystemTime::now();
        let mut known = self.known();
        let Some(sha256) = known.places.get(place).copied() else {
            return;
        };
        let Some(kept) = known.packages.get_mut(&sha256) else {
            return;
        };
        kept.used = now;
        if now
            .duration_since(kept.told)
            .is_ok_and(|since| since < TICK)
        {
            return;
        }
        kept.told = now;
        drop(known);
        let file = fs_err::OpenOptions::new()
            .write(true)
            .open(self.path(sha256));
        // Where that cannot be told, the next server takes it for older than it is.
        let _ = file.and_then(|file| file.file().set_modified(now));
    }

    /// What lies in a channel is there for another reason from now on.
    pub(crate) fn release(&self, channel: &str) {
        let mut known = self.known();
        let below = format!("{channel}/");
        let places: Vec<String> = known
            .places
            .keys()
            .filter(|place| place.starts_with(&below))
            .cloned()
            .collect();
        for place in places {
            let Some(sha256) = known.places.remove(&place) else {
                continue;
            };
            let Some(kept) = known.packages.get_mut(&sha256) else {
                continue;
            };
            kept.note.places.remove(&place);
            // What cannot be written is what the next server does, too.
            if kept.note.places.is_empty() {
                known.remove(sha256);
                let _ = fs_err::remove_file(self.path(sha256));
            } else {
                let note = kept.note.clone();
                let _ = self.write(sha256, &note);
            }
        }
    }

    /// Takes away what was not asked for longest until the rest has room. Who is being sent one has it open, and gets all
    /// of it.
    fn make_room(&self, known: &mut Known, but: Option<Sha256>) {
        let Some(most) = self.most else { return };
        if known.total <= most {
            return;
        }
        let others = known.packages.iter().filter(|(one, _)| Some(**one) != but);
        let mut oldest: Vec<_> = others.map(|(sha256, kept)| (kept.used, *sha256)).collect();
        oldest.sort_unstable_by_key(|(used, _)| *used);
        for (_, sha256) in oldest {
            if known.total <= most {
                return;
            }
            if let Some(kept) = known.remove(sha256) {
                // What cannot be removed keeps its note, and the next server tries again.
                let _ = self.remove(sha256, &kept.note);
            }
        }
    }

    fn remove(&self, sha256: Sha256, note: &Note) -> io::Result<()> {
        let places = note.places.iter().map(|place| self.state.join(place));
        for path in places {
            clear(&path)?;
        }
        if !note.was_cached {
            self.client.discard(sha256.0).map_err(io::Error::other)?;
        }
        clear(&self.path(sha256))
    }

    fn write(&self, sha256: Sha256, note: &Note) -> io::Result<()> {
        let folder = self.state.join(FOLDER);
        fs_err::create_dir_all(&folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&folder)?;
        file.write_all(&serde_json::to_vec(note)?)?;
        file.persist(self.path(sha256))?;
        Ok(())
    }

    fn path(&self, sha256: Sha256) -> PathBuf {
        self.state.join(FOLDER).join(sha256.to_string())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// A package as its note says it, in place of what was known of it.
    fn add(&mut self, sha256: Sha256, note: Note, used: SystemTime) {
        self.remove(sha256);
        self.total += note.size;
        for place in &note.places {
            self.places.insert(place.clone(), sha256);
        }
        let kept = Kept {
            note,
            used,
            told: used,
        };
        self.packages.insert(sha256, kept);
    }

    fn remove(&mut self, sha256: Sha256) -> Option<Kept> {
        let kept = self.packages.remove(&sha256)?;
        self.total -= kept.note.size;
        for place in &kept.note.places {
            self.places.remove(place);
        }
        Some(kept)
    }
}

/// Whether a path leads down, and nowhere else.
fn is_below(place: &str) -> bool {
    let mut parts = Path::new(place).components();
    parts.all(|part| matches!(part, Component::Normal(_)))
}

fn clear(path: &Path) -> io::Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
