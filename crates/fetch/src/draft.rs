//! A file that nobody sees before it is complete: it has no name while it is written, so that
//! even a killed process leaves nothing behind, and then appears in its place, by rename where something is there
//! (a hidden file, whole, may be left by who is killed in that moment).

use std::io::{self, Write};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use fs_err::File;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use tempfile::{Builder, NamedTempFile};

use crate::Error;

/// A file in the making.
#[derive(Debug)]
pub enum Draft {
    /// Linux's `O_TMPFILE`.
    Nameless(File),
    /// For file systems without it: a hidden name, removed unless the process is killed.
    Named(NamedTempFile),
}

impl Draft {
    /// Begins a file in `folder`, which is made if it is missing.
    pub fn new(folder: &Path) -> Result<Draft, Error> {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        let write = |source| Error::Write {
            path: folder.to_owned(),
            source,
        };
        fs::create_dir_all(folder).map_err(write)?;
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Draft::Nameless(File::from_parts(file.into(), folder))),
            Err(_) => named(folder).map(Draft::Named).map_err(write),
        }
    }

    /// Begins a file that goes beside `path`.
    pub fn beside(path: &Path) -> Result<Draft, Error> {
        Draft::new(path.parent().unwrap_or(Path::new("")))
    }

    /// The file itself, for who has the kernel copy into it.
    pub fn file(&self) -> &std::fs::File {
        match self {
            Draft::Nameless(file) => file.file(),
            Draft::Named(file) => file.as_file(),
        }
    }

    /// Puts the finished file at `path`, in the folder it was begun in, with the permission bits
    /// `mode`. What is for a user is on the disk before it has a name; what is only cached need
    /// not be.
    pub fn publish(self, path: &Path, mode: u32, durable: bool) -> Result<(), Error> {
        let write = |source| Error::Write {
            path: path.to_owned(),
            source,
        };
        let mode = Mode::from_raw_mode(mode);
        match &self {
            Draft::Nameless(file) => rustix::fs::fchmod(file, mode),
            Draft::Named(file) => rustix::fs::fchmod(file.as_file(), mode),
        }
        .map_err(|errno| write(errno.into()))?;
        if durable {
            match &self {
                Draft::Nameless(file) => file.sync_data(),
                Draft::Named(file) => file.as_file().sync_data(),
            }
            .map_err(write)?;
        }
        match self {
            Draft::Nameless(file) => name(&file, path).map_err(write),
            Draft::Named(file) => file
                .persist(path)
                .map(drop)
                .map_err(|error| write(error.error)),
        }
    }
}

/// Writes a small file for a user, whole or not at all. A link stays a link to it; what is no file but a pipe or a device
/// is written to, since others have it, too.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = |source| Error::Write {
        path: path.to_owned(),
        source,
    };
    let real = match fs::metadata(path) {
        Ok(there) if there.is_file() => fs::canonicalize(path).map_err(write)?,
        Ok(there) if !there.is_dir() => {
            let file = fs::OpenOptions::new().write(true).open(path);
            return file
                .and_then(|mut file| file.write_all(bytes))
                .map_err(write);
        }
        _ => path.to_owned(),
    };
    // What is not there is told of the file: a folder was not asked for.
    let mut file = Draft::beside(&real).map_err(|error| match error {
        Error::Write { source, .. } => write(source),
        error => error,
    })?;
    file.write_all(bytes).map_err(write)?;
    file.publish(&real, 0o644, true)
}

impl Write for Draft {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Draft::Nameless(file) => file.write(buffer),
            Draft::Named(file) => file.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives a nameless file its name. Linking does not replace what is there, so there it has another one first.
fn name(file: &File, path: &Path) -> io::Result<()> {
    let open = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let link = |path: &Path| rustix::fs::linkat(CWD, &open, CWD, path, AtFlags::SYMLINK_FOLLOW);
    match link(path) {
        Err(Errno::EXIST) => {}
        linked => return Ok(linked?),
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let hidden = named(folder)?.into_temp_path();
    fs::remove_file(&hidden)?;
    link(&hidden)?;
    hidden.persist(path).map_err(|error| error.error)
}

fn named(folder: &Path) -> io::Result<NamedTempFile> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    Builder::new().prefix(".new-").tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileTypeExt as _;

    use super::*;

    #[test]
    fn links_and_pipes_stay_what_they_are() {
        let place = tempfile::tempdir().expect("a folder");
        let (file, link) = (place.path().join("a/file"), place.path().join("link"));
        fs::create_dir(place.path().join("a")).expect("a folder");
        fs::write(&file, "old").expect("a file");
        std::os::unix::fs::symlink("a/file", &link).expect("a link");
        replace(&link, b"new").expect("written");
        assert_eq!(fs::read(&file).expect("a file"), b"new");
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());

        let pipe = place.path().join("pipe");
        rustix::fs::mknodat(
            CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .expect("a pipe");
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).expect("what was written")
        });
        replace(&pipe, b"through").expect("written");
        assert_eq!(reader.join().expect("its end"), b"through");
        let kind = fs::symlink_metadata(&pipe).expect("a pipe").file_type();
        assert!(kind.is_fifo());
    }

    #[test]
    fn an_error_names_the_file() {
        let place = tempfile::tempdir().expect("a folder");
        fs::write(place.path().join("file"), "").expect("a file");
        let path = place.path().join("file/lock");
        let error = replace(&path, b"").expect_err("no folder");
        assert!(error.to_string().contains("file/lock"), "{error}");
    }
}
