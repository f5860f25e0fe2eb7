//! Where a plan's files go. [`lay`](crate::lay::lay) is written against [`Tree`], so that a prefix
//! on disk and a layer of an image come from the same code.

mod disk;

use std::io::{self, Write};

pub use disk::Disk;

/// What a file has besides its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Attributes {
    /// Permission bits; a tree drops all but `rwx`, and on disk those that the umask forbids.
    pub mode: u32,
    /// Seconds since the epoch; none means now, or whatever the tree's own time is.
    pub modified: Option<i64>,
    /// Take the place of a file or link that is there.
    pub replace: bool,
    /// How many bytes will be written, where that is known before. A tree that has to say a file's
    /// length first, as an archive has, can pass such a file on as it comes.
    pub size: Option<u64>,
}

/// Takes files, links and directories at paths relative to its root: `/` between names, no empty,
/// `.` or `..` ones (the caller has checked). Used by several threads at once.
///
/// Nothing is written through a symbolic link, and nothing but [`Attributes::replace`] changes
/// what was put there before.
pub trait Tree: Sync {
    /// A file that is being written.
    type File: Write + Send;

    /// Makes a directory whose parent is there; one that is there already is fine.
    fn directory(&self, path: &str) -> io::Result<()>;

    /// Opens a new file for writing; its directory is there.
    fn file(&self, path: &str, attributes: Attributes) -> io::Result<Self::File>;

    /// Completes a file.
    fn close(&self, file: Self::File) -> io::Result<()>;

    /// Makes a symbolic link that says `target`.
    fn symbolic_link(&self, path: &str, target: &str) -> io::Result<()>;

    /// Makes `path` the same file as `existing`, which is complete.
    fn hard_link(&self, path: &str, existing: &str) -> io::Result<()>;
}
