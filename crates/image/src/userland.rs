//! The root file system of an image in a folder, for programs of the target that have to run: layers are unpacked into
//! it, whiteouts included, and nothing gets out of it. How a program is run there is [`sandbox`]'s business, what it
//! changed that of [`changes`].

mod changes;
mod sandbox;
mod unpack;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

use crate::scratch::Scratch;

pub(crate) use sandbox::{Call, can_run, run};

/// Folders that are the kernel's, or nobody's for long: what lies there is never an image's.
const FLEETING: [&str; 6] = ["dev", "proc", "run", "sys", "tmp", "var/tmp"];

/// Where programs find the folder that they work in. It is in no image, and none of the userland.
pub(crate) const OURS: &str = ".archiconda";

/// A root file system that nobody else writes into.
#[derive(Debug)]
pub(crate) struct Userland {
    folder: Scratch,
    handle: rustix::fd::OwnedFd,
    /// What files are in the image and cannot be here, by path.
    special: BTreeMap<String, Special>,
}

/// What a file is in the image besides what it is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Special {
    /// Permission bits, those for other users' rights (setuid) included.
    mode: u32,
    /// User and group.
    owner: (u32, u32),
}

impl Userland {
    /// An empty one, in a folder of its own below `scratch`.
    pub(crate) fn new(scratch: &Path) -> io::Result<Userland> {
        // Files for all sorts of users come into it, which are nobody's business here.
        let folder = Scratch::new("userland-", scratch)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = openat(CWD, folder.path(), flags, Mode::empty())?;
        Ok(Userland {
            folder,
            handle,
            special: BTreeMap::new(),
        })
    }

    /// Its folder.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Where a folder lies, which is made if it is not there. Links on the way lead where they lead in the image.
    pub(crate) fn folder(&self, path: &str) -> io::Result<PathBuf> {
        match self.existing(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_empty() => {}
            found => return found,
        }
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        match fs::create_dir(self.folder(above)?.join(name)) {
            // Another thread wants it, too; or it is a link that leads nowhere, which is found out now.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => self.existing(path),
        }
    }

    /// Where a folder lies that is there, as a path without links.
    fn existing(&self, path: &str) -> io::Result<PathBuf> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = if path.is_empty() { "." } else { path };
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let found = openat2(&self.handle, path, flags, Mode::empty(), inside)?;
        fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd()))
    }

    /// Takes it away, and says if that fails.
    pub(crate) fn close(self) -> io::Result<()> {
        self.folder.close()
    }
}

/// Whether a path lies where nothing is kept.
fn is_fleeting(path: &str) -> bool {
    path == OURS || FLEETING.contains(&path)
}
