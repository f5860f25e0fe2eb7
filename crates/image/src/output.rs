//! An image layout in the making: a hidden folder beside its place, which becomes the folder or the
//! tar file that was asked for when it is complete. What a killed process left there is taken away by
//! the next one.

use std::ffi::OsString;
use std::fs::TryLockError;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use archive::digest::{HashingWriter, Sha256};
use fetch::Draft;
use fs_err as fs;
use fs_err::File;
use rayon::prelude::*;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempPath;

use crate::error::Error;
use crate::oci::{self, Digest};
use crate::scratch::remove_tree;

/// The mark of a layout.
const MARK: &str = "oci-layout";

/// What a file in a tar file is filled up to, in bytes.
const BLOCK: u64 = 512;

/// Where documents lie that a tar file does not get.
const ASIDE: &str = "attached";

/// What is in the folder of a layout.
const LAYOUT: [&str; 3] = [MARK, "index.json", "blobs"];

const MARK_TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// A layout that nobody sees yet.
#[derive(Debug)]
pub(crate) struct Staging {
    output: PathBuf,
    folder: PathBuf,
    tar: bool,
    check: Check,
    /// Blobs that were taken and not digested yet, and where they came from.
    unproved: Mutex<Vec<(Digest, PathBuf)>>,
    /// Whether the folder is not ours any more.
    is_done: bool,
    /// Held until the end: the folder is ours.
    _lock: File,
}

/// When blobs that earlier runs kept are digested. An image is not in its place before all of them are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// When they are taken: a damaged one is built again.
    First,
    /// When all else is done, and while a tar file is written, which leaves a processor idle. A damaged one
    /// ends the run ([`Error::Damaged`]).
    Last,
}

/// A blob that is being written. One that is not stored goes with the value: all that is in the folder is in the image.
#[derive(Debug)]
pub(crate) struct Blob {
    path: TempPath,
    sink: HashingWriter<BufWriter<File>>,
}

impl Staging {
    /// Begins a layout for `output`: a tar file if its name ends so, else a folder. Nothing that is
    /// no image is replaced.
    pub(crate) fn begin(output: &Path, check: Check) -> Result<Staging, Error> {
        let refuse = |problem| Error::Output {
            path: output.to_owned(),
            problem,
        };
        let tar = output.extension().is_some_and(|ending| ending == "tar");
        let Some(name) = output.file_name() else {
            return Err(refuse("names no file or folder"));
        };
        match fs::symlink_metadata(output) {
            Ok(found) if tar && !found.is_file() => {
                return Err(refuse("is there and is no file"));
            }
            Ok(found) if !tar => {
                if !found.is_dir() {
                    return Err(refuse("is there and is no folder"));
                }
                let mut names = Vec::new();
                for entry in fs::read_dir(output).map_err(|source| cannot_read(output, source))? {
                    names.push(
                        entry
                            .map_err(|source| cannot_read(output, source))?
                            .file_name(),
                    );
                }
                // All of it will be gone.
                let is_ours = |name: &OsString| LAYOUT.iter().any(|known| name == known);
                if !names.iter().all(is_ours) || !(names.is_empty() || output.join(MARK).is_file())
                {
                    return Err(refuse("is a folder with something else than images in it"));
                }
            }
            _ => {}
        }
        let parent = match output.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(|source| cannot_write(parent, source))?;
        let hidden = |ending: &str| {
            let mut hidden = OsString::from(".");
            hidden.push(name);
            hidden.push(ending);
            parent.join(hidden)
        };
        let folder = hidden(".baking");
        let lock = claim(&folder)?.ok_or_else(|| Error::Busy {
            path: output.to_owned(),
        })?;
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(|source| cannot_write(&blobs, source))?;
        Ok(Staging {
            output: output.to_owned(),
            folder,
            tar,
            check,
            unproved: Mutex::default(),
            is_done: false,
            _lock: lock,
        })
    }

    /// Begins a layout that is only sent somewhere. Other processes may do the same with the same cache.
    pub(crate) fn unnamed(cache_dir: &Path, check: Check) -> Result<Staging, Error> {
        let mut number = 0;
        loop {
            let place = cache_dir.join(format!("images/unwritten-{number}"));
            match Staging::begin(&place, check) {
                Err(Error::Busy { .. }) => number += 1,
                begun => return begun,
            }
        }
    }

    /// A folder for what is not kept.
    pub(crate) fn scratch(&self) -> &Path {
        &self.folder
    }

    /// Whether a tar file comes of it.
    pub(crate) fn is_tar(&self) -> bool {
        self.tar
    }

    /// Where a stored blob lies. Who reads it checks first ([`Check::First`]), or has written it.
    pub(crate) fn place(&self, digest: Digest) -> PathBuf {
        debug_assert!(!self.unproved().iter().any(|(one, _)| *one == digest));
        let path = self.folder.join(digest.path());
        if self.tar && !path.exists() {
            return self.aside(digest);
        }
        path
    }

    /// Begins a blob; `name` tells it from others that are written at the same time.
    pub(crate) fn blob(&self, name: &str) -> Result<Blob, Error> {
        let path = self.folder.join(format!("new-{name}"));
        let file = File::create(&path).map_err(|source| cannot_write(&path, source))?;
        let temporary = TempPath::try_from_path(&path);
        Ok(Blob {
            path: temporary.map_err(|source| cannot_write(&path, source))?,
            sink: HashingWriter::new(BufWriter::with_capacity(1 << 17, file)),
        })
    }

    /// Gives a blob its name.
    pub(crate) fn store(&self, blob: Blob) -> Result<(Digest, u64), Error> {
        let write = |source| cannot_write(&blob.path, source);
        let (file, sha256, length) = blob.sink.finish();
        let file = file
            .into_inner()
            .map_err(|error| write(error.into_error()))?;
        if !self.tar {
            file.sync_data().map_err(write)?;
        }
        let digest = Digest(sha256);
        let path = self.folder.join(digest.path());
        let stored = blob.path.persist(&path);
        stored.map_err(|error| cannot_write(&path, error.error))?;
        Ok((digest, length))
    }

    /// Takes a file that should be the blob with this digest, as the same file where the system lets it
    /// be. Whether it is, as far as that is known yet.
    pub(crate) fn adopt(&self, path: &Path, digest: Digest) -> Result<bool, Error> {
        match self.check {
            Check::First if !is_blob(path, digest)? => return Ok(false),
            Check::First => {}
            Check::Last => self.unproved().push((digest, path.to_owned())),
        }
        let place = self.folder.join(digest.path());
        let write = |source| cannot_write(&place, source);
        if !place.exists() && fs::hard_link(path, &place).is_err() {
            fs::copy(path, &place).map_err(write)?;
        }
        if !self.tar {
            let file = File::open(&place).map_err(write)?;
            file.sync_data().map_err(write)?;
        }
        Ok(true)
    }

    /// Digests what was taken and is not digested yet.
    fn prove(&self) -> Result<(), Error> {
        let unproved = std::mem::take(&mut *self.unproved());
        unproved
            .into_par_iter()
            .with_max_len(1)
            .try_for_each(|(digest, path)| {
                if is_blob(&self.folder.join(digest.path()), digest)? {
                    Ok(())
                } else {
                    Err(Error::Damaged { path })
                }
            })
    }

    fn unproved(&self) -> MutexGuard<'_, Vec<(Digest, PathBuf)>> {
        // Pushing and taking leave the list whole, whatever else a thread died of.
        self.unproved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a file that is the blob with this digest and stays where it lies, for a tar file that gets its
    /// bytes.
    pub(crate) fn lend(&self, path: &Path, digest: Digest) -> Result<(), Error> {
        let place = self.folder.join(digest.path());
        let path = fs::canonicalize(path).map_err(|source| cannot_read(path, source))?;
        match fs::os::unix::fs::symlink(&path, &place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(cannot_write(&place, error))
            }
            _ => Ok(()),
        }
    }

    /// Stores a document.
    pub(crate) fn document(&self, bytes: &[u8]) -> Result<(Digest, u64), Error> {
        let mut blob = self.blob("document")?;
        blob.write_all(bytes)
            .map_err(|source| cannot_write(&self.folder, source))?;
        self.store(blob)
    }

    /// Stores a document that is attached to an image: in a layout that is a folder, and for who sends it
    /// to a registry, but not in a tar file.
    pub(crate) fn attachment(&self, bytes: &[u8]) -> Result<(Digest, u64), Error> {
        if !self.tar {
            return self.document(bytes);
        }
        let digest = Digest(Sha256::of(bytes));
        let path = self.aside(digest);
        let folder = self.folder.join(ASIDE);
        fs::create_dir_all(&folder).map_err(|source| cannot_write(&folder, source))?;
        fs::write(&path, bytes).map_err(|source| cannot_write(&path, source))?;
        Ok((digest, bytes.len() as u64))
    }

    fn aside(&self, digest: Digest) -> PathBuf {
        self.folder.join(ASIDE).join(digest.0.to_string())
    }

    /// Completes the layout and puts it in its place. `docker` is `manifest.json`, which a tar file
    /// gets so that every version of Docker loads it.
    pub(crate) fn finish(
        mut self,
        index: &oci::Index,
        docker: &[oci::DockerImage],
    ) -> Result<PathBuf, Error> {
        let index = oci::canonical(index);
        let mut texts = vec![(MARK, MARK_TEXT.as_bytes().to_vec()), ("index.json", index)];
        if self.tar {
            texts.push(("manifest.json", oci::canonical(&docker)));
            let draft = Draft::beside(&self.output)?;
            let (draft, proved) = rayon::join(|| self.write_tar(draft, &texts), || self.prove());
            proved?;
            draft?.publish(&self.output, 0o644, true)?;
            remove(&self.folder)?;
        } else {
            self.prove()?;
            for (name, text) in &texts {
                let path = self.folder.join(name);
                let written = fs::write(&path, text);
                written.map_err(|source| cannot_write(&path, source))?;
            }
            let old = self.exchange()?;
            self.is_done = true;
            remove(&self.folder)?;
            drop(old);
        }
        self.is_done = true;
        Ok(self.output.clone())
    }

    fn write_tar(&self, draft: Draft, texts: &[(&str, Vec<u8>)]) -> Result<Draft, Error> {
        let write = |source| cannot_write(&self.output, source);
        let mut tar = tar::Builder::new(BufWriter::with_capacity(1 << 18, draft));
        for (name, text) in texts {
            let mut header = header(tar::EntryType::Regular, text.len() as u64);
            tar.append_data(&mut header, name, &text[..])
                .map_err(write)?;
        }
        for name in ["blobs/", "blobs/sha256/"] {
            let mut header = header(tar::EntryType::Directory, 0);
            tar.append_data(&mut header, name, io::empty())
                .map_err(write)?;
        }
        let blobs = self.folder.join("blobs/sha256");
        let mut names = Vec::new();
        for entry in fs::read_dir(&blobs).map_err(|source| cannot_read(&blobs, source))? {
            let entry = entry.map_err(|source| cannot_read(&blobs, source))?;
            names.push(entry.file_name());
        }
        names.sort();
        for name in names {
            let path = blobs.join(&name);
            let read = |source| cannot_read(&path, source);
            let file = File::open(&path).map_err(read)?;
            let length = file.metadata().map_err(read)?.len();
            let mut header = header(tar::EntryType::Regular, length);
            let place = Path::new("blobs/sha256").join(&name);
            header.set_path(place).map_err(write)?;
            header.set_cksum();
            tar.append(&header, io::empty()).map_err(write)?;
            // The kernel copies, where it can without passing all bytes through here.
            let sink = tar.get_mut();
            sink.flush().map_err(write)?;
            let mut to = sink.get_ref().file();
            let copied = io::copy(&mut file.file().take(length), &mut to).map_err(write)?;
            if copied != length {
                return Err(read(io::ErrorKind::UnexpectedEof.into()));
            }
            let end = copied.next_multiple_of(BLOCK) - copied;
            io::copy(&mut io::repeat(0).take(end), sink).map_err(write)?;
        }
        let sink = tar.into_inner().map_err(write)?;
        sink.into_inner().map_err(|error| write(error.into_error()))
    }

    /// Puts the folder in its place, and what was there in the folder's. That is ours, too, as long as what is returned
    /// is open.
    fn exchange(&self) -> Result<Option<File>, Error> {
        let write = |source| cannot_write(&self.output, source);
        let (from, to) = (&self.folder, &self.output);
        let old = match File::open(to) {
            Ok(old) => old,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::rename(from, to).map_err(write)?;
                return Ok(None);
            }
            Err(error) => return Err(write(error)),
        };
        // Who wrote it may still be busy with the one before.
        old.file().lock().map_err(write)?;
        if renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE).is_ok() {
            return Ok(Some(old));
        }
        // A file system without exchange: for a moment there is nothing.
        let aside = self.folder.with_extension("old-image");
        remove(&aside)?;
        fs::rename(to, &aside).map_err(write)?;
        fs::rename(from, to).map_err(write)?;
        remove(&aside)?;
        Ok(None)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.is_done {
            // What cannot be removed now, the next process removes.
            let _ = remove(&self.folder);
        }
    }
}

impl Write for Blob {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.sink.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An empty folder of that name that is ours as long as the file is open; none if it is another's.
fn claim(folder: &Path) -> Result<Option<File>, Error> {
    use std::os::unix::fs::MetadataExt as _;
    let write = |source| cannot_write(folder, source);
    loop {
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(write(error)),
            _ => {}
        }
        let file = match File::open(folder) {
            Ok(file) => file,
            // Somebody just finished with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(write(error)),
        };
        match file.file().try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(write(source)),
        }
        // It may have been moved to its place between the two steps.
        let ours = file.metadata().map_err(write)?.ino();
        if fs::metadata(folder).is_ok_and(|there| there.ino() == ours) {
            for entry in fs::read_dir(folder).map_err(write)? {
                let entry = entry.map_err(write)?;
                let removed = if entry.file_type().map_err(write)?.is_dir() {
                    remove_tree(&entry.path())
                } else {
                    fs::remove_file(entry.path())
                };
                removed.map_err(write)?;
            }
            return Ok(Some(file));
        }
    }
}

fn is_blob(path: &Path, digest: Digest) -> Result<bool, Error> {
    let read = |source| cannot_read(path, source);
    let file = File::open(path).map_err(read)?;
    Ok(Digest(Sha256::of_reader(file).map_err(read)?) == digest)
}

fn header(kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn remove(folder: &Path) -> Result<(), Error> {
    match remove_tree(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot_write(folder, error)),
        _ => Ok(()),
    }
}

fn cannot_write(path: &Path, source: io::Error) -> Error {
    Error::Write {
        path: path.to_owned(),
        source,
    }
}

fn cannot_read(path: &Path, source: io::Error) -> Error {
    Error::Read {
        path: path.to_owned(),
        source,
    }
}
