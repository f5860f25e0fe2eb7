//! Folders for a while that programs of an image write into. Nothing in them is what it seems until it was looked at, and
//! they go whatever rights their folders were left with.

use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{CWD, Mode, OFlags, openat};

/// A folder of its own, which goes with this value.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new folder in another one. Nobody but its owner gets into it.
    pub(crate) fn new(prefix: &str, folder: &Path) -> io::Result<Scratch> {
        let folder = fs::canonicalize(folder)?;
        let made = tempfile::Builder::new().prefix(prefix).tempdir_in(folder)?;
        Ok(Scratch { path: made.keep() })
    }

    /// Where it is, without links on the way.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The content of a file, as long as `most` bytes, once nobody writes any more. No link is followed: it would lead
    /// out of the folder as easily as within it.
    pub(crate) fn read(&self, path: &str, most: u64) -> io::Result<Vec<u8>> {
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folders = flags | OFlags::PATH | OFlags::DIRECTORY;
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut folder = openat(CWD, &self.path, folders, Mode::empty())?;
        for part in above.split('/').filter(|part| !part.is_empty()) {
            folder = openat(&folder, part, folders, Mode::empty())?;
        }
        // A pipe would keep who opens it waiting.
        let plain = flags | OFlags::RDONLY | OFlags::NONBLOCK;
        let opened = openat(&folder, name, plain, Mode::empty())?;
        let file = fs::File::from_parts(opened.into(), self.path.join(path));
        let data = file.metadata()?;
        if !data.is_file() || data.len() > most {
            let problem = format!("`{path}` is no file, or longer than {most} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Takes it away, and says if that fails.
    pub(crate) fn close(self) -> io::Result<()> {
        remove_tree(&self.path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // After `close` there is nothing.
        let _ = remove_tree(&self.path);
    }
}

/// Removes a folder with all that is in it, folders included that nobody may write into.
pub(crate) fn remove_tree(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(folder)?;
            fs::remove_dir_all(folder)
        }
        removed => removed,
    }
}

fn open_up(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_folder_are_read() {
        let outside = tempfile::tempdir().unwrap();
        let secret = outside.path().join("secret");
        fs::write(&secret, "s").unwrap();
        let scratch = Scratch::new("x-", outside.path()).unwrap();
        let place = |path: &str| scratch.path().join(path);
        fs::create_dir_all(place("a/b")).unwrap();
        fs::write(place("a/b/c"), "text").unwrap();
        fs::os::unix::fs::symlink(&secret, place("a/link")).unwrap();
        fs::os::unix::fs::symlink(outside.path(), place("out")).unwrap();
        rustix::fs::mkfifoat(CWD, place("pipe"), Mode::RWXU).unwrap();
        assert_eq!(scratch.read("a/b/c", 4).unwrap(), b"text");
        for path in ["a/link", "out/secret", "pipe", "a/b", "a/none", "a/b/c/d"] {
            assert!(scratch.read(path, 100).is_err(), "{path}");
        }
        assert!(scratch.read("a/b/c", 3).is_err());
    }

    #[test]
    fn it_goes_whatever_was_made_of_it() {
        let outside = tempfile::tempdir().unwrap();
        let scratch = Scratch::new("x-", outside.path()).unwrap();
        let folder = scratch.path().join("a/b");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("c"), "text").unwrap();
        for path in [folder, scratch.path().join("a")] {
            fs::set_permissions(path, std::fs::Permissions::from_mode(0o000)).unwrap();
        }
        scratch.close().unwrap();
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
