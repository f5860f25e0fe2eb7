//! A tree of files, of which nothing outside can be reached: the kernel itself follows links only where
//! they stay inside. Each file is looked up when it is asked for, so that a channel may be replaced at any time.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

mod entry;

pub(crate) use entry::{Entry, Stat};

/// How many files are remembered: some hundred bytes each.
const MOST: usize = 1 << 14;

/// A folder that is served.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: Arc<Path>,
    seen: Arc<RwLock<HashMap<String, Seen>>>,
}

/// The state of a file that the kernel found inside. The same file in the same state under the same name is inside
/// still, or is at least the one that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    stat: Stat,
    /// When its state changed last, rights included: seconds and nanoseconds.
    changed: (i64, i64),
}

/// What is under a name.
#[derive(Debug)]
pub(crate) enum Found {
    File(Entry),
    Folder,
}

impl Folder {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root: root.into(),
            seen: Arc::default(),
        }
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
        if let Some(stat) = self.seen(&path) {
            return Ok(Some(Found::File(Entry::seen(self.clone(), path, stat))));
        }
        let Some(file) = self.open(&path)? else {
            return Ok(None);
        };
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Ok(Some(Found::Folder));
        }
        if !metadata.is_file() {
            return Ok(None);
        }
        let seen = Seen::of(&metadata);
        let mut all = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            // What is asked for comes back.
            all.clear();
        }
        all.insert(path.clone(), seen);
        drop(all);
        let entry = Entry::opened(self.clone(), path, file, seen.stat);
        Ok(Some(Found::File(entry)))
    }

    /// The state of a file that was opened under this name before and did not change: one question to the kernel,
    /// where opening takes five.
    fn seen(&self, path: &str) -> Option<Stat> {
        let before = {
            let all = self.seen.read().unwrap_or_else(PoisonError::into_inner);
            *all.get(path)?
        };
        let metadata = fs_err::metadata(self.root.join(path)).ok()?;
        (Seen::of(&metadata) == before).then_some(before.stat)
    }

    /// Opens what is below the folder; none if that is nothing, or leads out.
    fn open(&self, path: &str) -> io::Result<Option<File>> {
        let path = OsStr::new(if path.is_empty() { "." } else { path });
        let opened = self
            .root_handle()
            .and_then(|root| open_beneath(&self.root, &root, path, READ));
        match opened {
            Ok(opened) => Ok(Some(File::from(opened))),
            Err(error) if is_absent(error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// A file below the folder.
    pub(crate) fn file<S: AsRef<str>>(&self, parts: &[S]) -> io::Result<Option<Entry>> {
        Ok(match self.find(parts)? {
            Some(Found::File(entry)) => Some(entry),
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
        rustix::fs::openat(CWD, &*self.root, flags, Mode::empty())
    }
}

impl Seen {
    fn of(metadata: &Metadata) -> Self {
        Self {
            stat: Stat::of(metadata),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
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
    fn a_file_that_was_seen_is_looked_at_again() {
        let place = tempfile::tempdir().expect("a folder");
        let root = place.path().join("channel");
        let path = root.join("a");
        fs::create_dir_all(&root).expect("a folder");
        let folder = Folder::new(root.clone());
        let read = || {
            let entry = folder.file(&["a"]).expect("an answer")?;
            let text = io::read_to_string(entry.file().expect("the file"));
            assert!(entry.is_same().expect("a state"));
            Some(text.expect("text"))
        };
        let put = |text: &str| {
            fs::write(root.join("new"), text).expect("a file");
            fs::rename(root.join("new"), &path).expect("a rename");
        };
        for text in ["one", "two", "three"] {
            put(text);
            for _ in 0..3 {
                assert_eq!(read().as_deref(), Some(text));
            }
        }
        // A link that leads out is no way to a file of the same name, age and length.
        put("inside");
        assert!(read().is_some());
        fs::write(place.path().join("secret"), "secret").expect("a file");
        let times = fs::metadata(&path).and_then(|metadata| metadata.modified());
        let secret = fs::OpenOptions::new()
            .append(true)
            .open(place.path().join("secret"));
        let secret = secret.expect("a file");
        secret
            .file()
            .set_modified(times.expect("a time"))
            .expect("a time");
        fs::remove_file(&path).expect("removed");
        assert_eq!(read(), None);
        symlink("../secret", &path).expect("a link");
        assert_eq!(read(), None);
        // What is replaced between the look and the reading is not passed off as what was found.
        fs::remove_file(&path).expect("removed");
        put("before");
        let found = || folder.file(&["a"]).expect("an answer").expect("a file");
        drop(found());
        let entry = found();
        put("after");
        let error = entry.file().expect_err("another file");
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    }
}
