//! The place of a package in a folder: it is written beside it under a hidden name, and renamed.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use archive::digest::Sha256;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::draft::{self, Pieces, Problem};
use super::{Placed, Target, Terms};
use crate::folder::Folder;

/// What uploads are called until they are whole.
const DRAFT: &str = ".archiconda-upload-";

/// A file that goes unless it is put in its place.
struct Draft {
    folder: OwnedFd,
    name: String,
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
    }
}

/// Takes a package.
pub(super) fn put(
    folder: &Folder,
    target: &Target,
    terms: Terms,
    pieces: Pieces,
) -> Result<Placed, Problem> {
    let subdir = folder.make(&target.subdir)?;
    // Other servers may put packages into the same folder, and in containers have the same number.
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::from)?;
    let name = format!("{DRAFT}{:016x}", u64::from_ne_bytes(random));
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(&subdir, &name, flags, Mode::from(0o644));
    let file = File::from(opened.map_err(io::Error::from)?);
    let draft = Draft {
        folder: subdir,
        name,
    };
    let digests = draft::take(&file, target, terms, pieces)?;
    file.sync_all()?;
    place(&draft, target, digests.sha256, terms.force)
}

/// Takes a package away; whether it was there.
pub(super) fn delete(folder: &Folder, target: &Target) -> Result<bool, Problem> {
    let remove = || -> io::Result<()> {
        let subdir = folder.enter(&target.subdir)?;
        rustix::fs::unlinkat(&subdir, &target.file, AtFlags::empty())?;
        Ok(rustix::fs::fsync(&subdir)?)
    };
    match remove() {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Problem::Remove(error)),
    }
}

fn place(draft: &Draft, target: &Target, sha256: Sha256, force: bool) -> Result<Placed, Problem> {
    let folder = &draft.folder;
    // Whoever puts the same name at the same time comes before or after, and then is seen.
    let placed = match rename_new(folder, &draft.name, &target.file) {
        Ok(()) => Placed::New,
        Err(Errno::EXIST) if is_same(folder, &target.file, sha256)? => return Ok(Placed::Same),
        Err(Errno::EXIST) if force => {
            let renamed = rustix::fs::renameat(folder, &draft.name, folder, &target.file);
            renamed.map_err(io::Error::from)?;
            Placed::Replaced
        }
        Err(Errno::EXIST) => return Ok(Placed::Other),
        Err(error) => return Err(io::Error::from(error).into()),
    };
    rustix::fs::fsync(folder).map_err(io::Error::from)?;
    Ok(placed)
}

/// Gives a file its name if nothing has it.
fn rename_new(folder: &OwnedFd, from: &str, to: &str) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        // Not every file system can.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            rustix::fs::linkat(folder, from, folder, to, AtFlags::empty())
        }
        renamed => renamed,
    }
}

fn is_same(folder: &OwnedFd, name: &str, sha256: Sha256) -> io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(opened) => File::from(opened),
        // A link: whatever it leads to.
        Err(Errno::LOOP) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if !opened.metadata()?.is_file() {
        return Ok(false);
    }
    Ok(Sha256::of_reader(opened)? == sha256)
}

/// Removes what servers left that were killed; what is young may be another one's.
pub(crate) fn sweep(channel: &Path) {
    let day = Duration::from_hours(24);
    let is_old = |entry: &fs_err::DirEntry| {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > day))
    };
    let folders = fs_err::read_dir(channel).into_iter().flatten().flatten();
    for folder in folders.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        for entry in fs_err::read_dir(folder.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            if entry.file_name().to_string_lossy().starts_with(DRAFT) && is_old(&entry) {
                let _ = fs_err::remove_file(entry.path());
            }
        }
    }
}
