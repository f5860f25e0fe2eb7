//! A [`Tree`] in a directory.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, futimens, linkat,
    mkdirat, openat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::{Attributes, Tree};

/// A directory that nobody else writes into while it is filled.
///
/// No path leads out of it through a symbolic link: every directory on the way is made, or found
/// to be a directory, by [`Tree::directory`] before anything is put into it; a link with that
/// name is an error there. Files are only created anew, unless [`Disk::replacing`] says otherwise.
#[derive(Debug)]
pub struct Disk {
    root: OwnedFd,
    replaces: bool,
}

/// A file on disk that is being written.
#[derive(Debug)]
pub struct DiskFile {
    file: File,
    modified: Option<i64>,
}

impl Disk {
    /// Opens an existing directory.
    pub fn open(root: &Path) -> io::Result<Disk> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Disk {
            root: openat(CWD, root, flags, Mode::empty())?,
            replaces: false,
        })
    }

    /// The same where files and links that are there may be replaced: a script has run in the directory.
    pub(crate) fn replacing(self, replaces: bool) -> Disk {
        Disk { replaces, ..self }
    }

    /// Makes an entry, and takes one that is in the way first, if that may be.
    fn make<T>(
        &self,
        path: &str,
        replaces: bool,
        make: impl Fn() -> rustix::io::Result<T>,
    ) -> rustix::io::Result<T> {
        match make() {
            Err(Errno::EXIST) if replaces || self.replaces => {
                unlinkat(&self.root, path, AtFlags::empty())?;
                make()
            }
            result => result,
        }
    }

    fn create(&self, path: &str, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let new = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        openat(
            &self.root,
            path,
            OFlags::WRONLY | OFlags::CLOEXEC | new,
            mode,
        )
    }

    fn copy(&self, path: &str, existing: &str) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut source = File::from(openat(&self.root, existing, flags, Mode::empty())?);
        let data = source.metadata()?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&data.permissions());
        let modified = Some(std::os::unix::fs::MetadataExt::mtime(&data));
        let mut file = self.file(
            path,
            Attributes {
                mode,
                modified,
                replace: false,
                size: Some(data.len()),
            },
        )?;
        io::copy(&mut source, &mut file.file)?;
        self.close(file)
    }
}

impl Tree for Disk {
    type File = DiskFile;

    fn directory(&self, path: &str) -> io::Result<()> {
        match mkdirat(&self.root, path, Mode::from(0o777)) {
            Err(Errno::EXIST) => {
                let found = statat(&self.root, path, AtFlags::SYMLINK_NOFOLLOW)?;
                if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
                    Ok(())
                } else {
                    Err(Errno::NOTDIR.into())
                }
            }
            result => Ok(result?),
        }
    }

    fn file(&self, path: &str, attributes: Attributes) -> io::Result<DiskFile> {
        // The kernel applies the umask: no chmod is needed.
        let mode = Mode::from(attributes.mode & 0o777);
        let file = self.make(path, attributes.replace, || self.create(path, mode))?;
        Ok(DiskFile {
            file: file.into(),
            modified: attributes.modified,
        })
    }

    fn close(&self, file: DiskFile) -> io::Result<()> {
        if let Some(seconds) = file.modified {
            let access = Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            };
            let modified = Timespec {
                tv_sec: seconds,
                tv_nsec: 0,
            };
            let times = Timestamps {
                last_access: access,
                last_modification: modified,
            };
            futimens(&file.file, &times)?;
        }
        Ok(())
    }

    fn symbolic_link(&self, path: &str, target: &str) -> io::Result<()> {
        Ok(self.make(path, false, || symlinkat(target, &self.root, path))?)
    }

    fn hard_link(&self, path: &str, existing: &str) -> io::Result<()> {
        let link = || linkat(&self.root, existing, &self.root, path, AtFlags::empty());
        match self.make(path, false, link) {
            // File systems without hard links, and the limit of links to one file.
            Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS | Errno::MLINK | Errno::XDEV) => {
                self.copy(path, existing)
            }
            result => Ok(result?),
        }
    }
}

impl io::Write for DiskFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.file.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
