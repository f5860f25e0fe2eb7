//! A tree of files, of which nothing outside can be reached: the kernel itself follows links only where
//! they stay inside. Each file is looked up when it is asked for, so that a channel may be replaced at any time.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

/// A folder that is served.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
}

/// What is under a name.
#[derive(Debug)]
pub(crate) enum Found {
    File(Opened),
    Folder,
}

/// An open file.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) stat: Stat,
}

/// What tells one state of a file from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Stat {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    /// Since 1970: seconds, and nanoseconds of the second.
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: i64,
}

impl Folder {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A handle of a folder right below, which is made if it is not there.
    pub(crate) fn make(&self, name: &str) -> io::Result<OwnedFd> {
        let root = self.root_handle()?;
        match rustix::fs::mkdirat(&root, name, Mode::from(0o755)) {
            Ok(()) | Err(Errno::EXIST) => self.enter(name),
            Err(error) => Err(error.into()),
        }
    }

    /// What is below the folder under these names. Whatever is not a file or a folder, or leads out, is not there.
    pub(crate) fn find<S: AsRef<str>>(&self, parts: &[S]) -> io::Result<Option<Found>> {
        let path = parts
            .iter()
            .map(AsRef::as_ref)
            .collect::<Vec<_>>()
            .join("/");
        let path = if path.is_empty() { "." } else { &path };
        let opened = self
            .root_handle()
            .and_then(|root| open_beneath(&self.root, &root, OsStr::new(path), READ));
        let file = match opened {
            Ok(opened) => File::from(opened),
            Err(error) if is_absent(error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Ok(Some(Found::Folder));
        }
        let stat = Stat::of(&metadata);
        Ok(metadata
            .is_file()
            .then_some(Found::File(Opened { file, stat })))
    }

    /// A file below the folder.
    pub(crate) fn file<S: AsRef<str>>(&self, parts: &[S]) -> io::Result<Option<Opened>> {
        Ok(match self.find(parts)? {
            Some(Found::File(opened)) => Some(opened),
            _ => None,
        })
    }

    /// A handle of a folder below, in which files can be written.
    pub(crate) fn enter(&self, name: &str) -> io::Result<OwnedFd> {
        let root = self.root_handle()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(open_beneath(&self.root, &root, OsStr::new(name), flags)?)
    }

    fn root_handle(&self) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, &self.root, flags, Mode::empty())
    }
}

/// Without waiting for whoever writes into a pipe.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

fn open_beneath(
    root: &Path,
    handle: &OwnedFd,
    path: &OsStr,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::ResolveFlags;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    // The kernel gives up when folders are renamed meanwhile.
    for _ in 0..32 {
        match rustix::fs::openat2(handle, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Kernels before 5.6, and sandboxes that do not know the call.
            Err(Errno::NOSYS | Errno::PERM) => return open_checked(root, path, flags),
            opened => return opened,
        }
    }
    Err(Errno::AGAIN)
}

/// The same where the kernel does not do it. Between the look and the opening a link could be changed by
/// whoever may write to the tree.
fn open_checked(root: &Path, path: &OsStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let errno = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::NOENT);
    let real = |path: &Path| fs_err::canonicalize(path).map_err(errno);
    let (base, found) = (real(root)?, real(&root.join(path))?);
    if !found.starts_with(&base) || found.as_os_str().as_bytes().contains(&0) {
        return Err(Errno::XDEV);
    }
    rustix::fs::openat(CWD, &found, flags | OFlags::NOFOLLOW, Mode::empty())
}

fn is_absent(error: Errno) -> bool {
    [
        Errno::NOENT,
        Errno::NOTDIR,
        Errno::LOOP,
        Errno::XDEV,
        Errno::NAMETOOLONG,
        Errno::NXIO,
        Errno::INVAL,
    ]
    .contains(&error)
}

impl Opened {
    /// Whether the file is still what it was when it was opened.
    pub(crate) fn is_same(&self) -> io::Result<bool> {
        Ok(Stat::of(&self.file.metadata()?) == self.stat)
    }
}

impl Stat {
    pub(crate) fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
        }
    }

    /// When the content changed last; never before 1970.
    pub(crate) fn modified(&self) -> SystemTime {
        let seconds = u64::try_from(self.seconds).unwrap_or(0);
        let nanoseconds = u32::try_from(self.nanoseconds).unwrap_or(0);
        UNIX_EPOCH + Duration::new(seconds, nanoseconds)
    }

    /// Whether the file may be changed again without that its time tells: clocks of file systems tick
    /// every few milliseconds, some every second.
    pub(crate) fn is_settling(&self, now: SystemTime) -> bool {
        let tick = if self.nanoseconds == 0 { 1100 } else { 50 };
        let modified = self.modified();
        let apart = now
            .duration_since(modified)
            .or_else(|_| modified.duration_since(now));
        apart.unwrap_or_default() < Duration::from_millis(tick)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use fs_err as fs;

    use super::*;

    #[test]
    fn links_stay_inside() {
        let place = tempfile::tempdir().expect("a folder");
        let root = place.path().join("channel");
        fs::create_dir_all(root.join("noarch")).expect("a folder");
        fs::write(place.path().join("secret"), "secret").expect("a file");
        fs::write(root.join("noarch/a"), "a").expect("a file");
        symlink("noarch/a", root.join("inside")).expect("a link");
        symlink("../secret", root.join("up")).expect("a link");
        symlink(place.path().join("secret"), root.join("away")).expect("a link");
        symlink(place.path(), root.join("folder")).expect("a link");
        symlink("circle", root.join("circle")).expect("a link");
        rustix::fs::mkfifoat(CWD, root.join("pipe"), Mode::from(0o600)).expect("a pipe");
        let folder = Folder::new(root.clone());
        let is_there = |parts: &[&str]| {
            let found = folder.file(parts).expect("an answer").is_some();
            let path: PathBuf = parts.iter().collect();
            let checked = open_checked(&root, path.as_os_str(), READ);
            let regular = checked.is_ok_and(|file| {
                let metadata = File::from(file).metadata();
                metadata.is_ok_and(|metadata| metadata.is_file())
            });
            assert_eq!(found, regular, "both ways of looking agree on {parts:?}");
            found
        };
        assert!(is_there(&["noarch", "a"]));
        assert!(is_there(&["inside"]));
        for absent in [
            &["up"][..],
            &["away"],
            &["folder", "secret"],
            &["circle"],
            &["pipe"],
            &["noarch"],
            &["noarch", "a", "b"],
            &["nothing"],
        ] {
            assert!(!is_there(absent), "{absent:?}");
        }
        assert!(matches!(folder.find::<&str>(&[]), Ok(Some(Found::Folder))));
    }

    #[test]
    fn a_file_that_was_just_written_is_settling() {
        let stat = |seconds, nanoseconds| Stat {
            device: 1,
            inode: 1,
            size: 1,
            seconds,
            nanoseconds,
        };
        let now = UNIX_EPOCH + Duration::new(1000, 500_000_000);
        assert!(stat(1000, 490_000_000).is_settling(now));
        assert!(!stat(1000, 400_000_000).is_settling(now));
        assert!(stat(1000, 0).is_settling(now), "a clock of whole seconds");
        assert!(!stat(999, 0).is_settling(now));
        assert!(stat(1000, 510_000_000).is_settling(now));
    }
}
