//! Files that are too large to be held in memory on their way into a folder: they are written beside
//! their places piece by piece, and what is known of them afterwards is their length and digest.

use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};

use archive::digest::{Hasher, Sha256};
use tempfile::NamedTempFile;

use super::{Body, Draft, Folder, Made, Rank, draft, write_error};
use crate::Error;
use crate::place::Place;

/// How much is gathered before it is written, in bytes.
const PIECE: usize = 256 << 10;

/// How many pieces wait to be digested.
const PIECES: usize = 4;

/// A file that lies whole beside its place.
pub(crate) struct Large {
    file: NamedTempFile,
    /// Its length in bytes.
    pub(crate) length: u64,
    /// Its digest.
    pub(crate) sha256: Sha256,
}

impl Large {
    /// The file from its beginning.
    pub(crate) fn reader(&self) -> io::Result<std::fs::File> {
        let mut file = self.file.reopen()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }
}

/// Passes on what is written to it to a file, and to whoever digests it.
struct Digested {
    file: NamedTempFile,
    sender: SyncSender<Vec<u8>>,
}

impl Write for Digested {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all(bytes)?;
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.sender.send(bytes.to_vec()).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Folder {
    /// Writes a file beside the place that it will have.
    pub(crate) fn write(
        &self,
        write: &dyn Fn(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Large> {
        let file = draft(&self.beside(), b"", false)?;
        std::thread::scope(|scope| {
            let (sender, pieces) = sync_channel::<Vec<u8>>(PIECES);
            // To make the bytes costs about as much as to digest them.
            let digesting = scope.spawn(move || {
                let mut hasher = Hasher::new();
                for piece in pieces {
                    hasher.update(&piece);
                }
                hasher.finish()
            });
            let out = Digested { file, sender };
            let mut out = BufWriter::with_capacity(PIECE, out);
            write(&mut out)?;
            let Digested { file, sender } =
                out.into_inner().map_err(io::IntoInnerError::into_error)?;
            drop(sender);
            match digesting.join() {
                Ok(digests) => Ok(Large {
                    file,
                    length: digests.length,
                    sha256: digests.sha256,
                }),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Whether a file is there that was made of the same the last time: then it stays.
    pub(crate) fn keeps(&mut self, name: &str, key: Sha256) -> bool {
        let made = self.before.get(name).copied();
        let Some(made) = made.filter(|made| made.key == key) else {
            return false;
        };
        if self.place.stat(name) != Some(made.stat) {
            return false;
        }
        self.same.insert(name.to_owned(), made);
        true
    }

    /// Will put the same file into the folder under each of some names, unless its bytes are there.
    /// `key` tells it from all others.
    pub(crate) fn offer_large(
        &mut self,
        names: &[(String, Rank)],
        key: Sha256,
        large: Large,
    ) -> Result<(), Error> {
        let mut large = Some(large);
        for (position, (name, rank)) in names.iter().enumerate() {
            let path = self.place.path(name);
            let failed = |source| write_error(&path, source);
            if self.keeps(name, key) {
                continue;
            }
            let Some(whole) = &large else { break };
            if let Some(stat) = self.place.stat(name)
                && stat.size == whole.length
                && self.has(name, whole).map_err(failed)?
            {
                self.same.insert(name.clone(), Made { stat, key });
                continue;
            }
            let file = if position + 1 == names.len() {
                large.take().map(|large| large.file)
            } else {
                Some(self.copy(whole).map_err(failed)?)
            };
            let Some(file) = file else { break };
            file.as_file().sync_all().map_err(failed)?;
            let body = match &self.place {
                Place::Folder(_) => Body::Beside(file),
                Place::Bucket(_) => Body::Unnamed(file.into_file()),
            };
            self.drafts.push(Draft {
                name: name.clone(),
                rank: *rank,
                key,
                body,
            });
        }
        Ok(())
    }

    /// Where files lie that are not in their places yet.
    fn beside(&self) -> PathBuf {
        match &self.place {
            Place::Folder(path) => path.clone(),
            Place::Bucket(_) => std::env::temp_dir(),
        }
    }

    fn copy(&self, large: &Large) -> io::Result<NamedTempFile> {
        let mut file = draft(&self.beside(), b"", false)?;
        io::copy(&mut large.reader()?, file.as_file_mut())?;
        Ok(file)
    }

    fn has(&self, name: &str, large: &Large) -> io::Result<bool> {
        match &self.place {
            Place::Folder(path) => is_same(&path.join(name), large),
            Place::Bucket(objects) => Ok(objects.has(name, &fs_err::read(large.file.path())?)),
        }
    }
}

/// Whether a file of the same length has the same bytes.
fn is_same(path: &Path, large: &Large) -> io::Result<bool> {
    let (mut one, mut other) = (fs_err::File::open(path)?, large.reader()?);
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    let mut rest = large.length;
    while rest > 0 {
        let count = usize::try_from(rest).unwrap_or(PIECE).min(PIECE);
        let (left, right) = (left.get_mut(..count), right.get_mut(..count));
        let (Some(left), Some(right)) = (left, right) else {
            break;
        };
        one.read_exact(left)?;
        other.read_exact(right)?;
        if left != right {
            return Ok(false);
        }
        rest -= count as u64;
    }
    Ok(true)
}
