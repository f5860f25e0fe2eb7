//! Writes a layer and keeps in mind what the root file system comes to with it: a path leads through links, those of
//! this layer too.

use std::io::{self, Cursor, Read};

use debian::deb::DebError;

use super::super::layers::{folder_meta, known_folders};
use super::Failure;
use super::error::DebsError;
use crate::base::{Entry, EntryKind};
use crate::error::Error;
use crate::layer::{Archive, Meta, Packer, What};
use crate::output::Staging;
use crate::root::{Node, Root};

/// A file that is longer is not read ahead to look into it.
const LONGEST_READ: u64 = 16 << 20;

/// A layer in the making, on a root.
pub(super) struct Writer<'a> {
    archive: Archive<Packer>,
    pub(super) root: &'a mut Root,
    staging: &'a Staging,
    /// The time of what has none of its own.
    modified: u64,
    /// What was made by us, and not by a package.
    pub(super) made: Vec<String>,
}

/// Why an entry was not written.
pub(super) enum Fault {
    /// It has no place.
    Place { path: String, problem: String },
    /// The layer cannot be written, or what should go into it not be read.
    Io(io::Error),
}

impl Fault {
    /// The same as an error of input and output; what is wrong with the place is noted.
    pub(super) fn noted(self, note: &mut Option<Fault>) -> io::Error {
        match self {
            Fault::Io(error) => error,
            fault @ Fault::Place { .. } => {
                *note = Some(fault);
                io::Error::other("an entry has no place")
            }
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Io(error)
    }
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        packer: Packer,
        root: &'a mut Root,
        staging: &'a Staging,
        modified: u64,
    ) -> Writer<'a> {
        Writer {
            archive: Archive::new(packer),
            root,
            staging,
            modified,
            made: Vec::new(),
        }
    }

    /// Ends the layer; returns its stream and what was made.
    pub(super) fn finish(self) -> Result<(Packer, Vec<String>), Failure> {
        let staging = self.staging;
        let made = self.made;
        let packer = self.archive.finish();
        Ok((
            packer.map_err(|source| cannot_write(staging, source))?,
            made,
        ))
    }

    /// Bytes of contents so far.
    pub(super) fn length(&self) -> u64 {
        self.archive.length()
    }

    /// What a file of ours has.
    pub(super) fn meta(&self, mode: u32) -> Meta {
        Meta {
            mode,
            owner: (0, 0),
            modified: self.modified,
        }
    }

    /// Where a path leads, links at its end not followed.
    pub(super) fn place(&self, path: &str) -> Result<String, Fault> {
        self.root.place(path).map_err(|error| Fault::Place {
            path: path.to_owned(),
            problem: error.to_string(),
        })
    }

    /// Writes an entry that is no folder.
    pub(super) fn entry(
        &mut self,
        path: &str,
        meta: Meta,
        what: What<'_>,
        content: &mut dyn Read,
    ) -> Result<(), Fault> {
        let place = self.place(path)?;
        if self.root.node(&place) == Some(&Node::Directory) {
            return Err(Fault::Place {
                path: path.to_owned(),
                problem: "there is a folder at its place".to_owned(),
            });
        }
        known_folders(&mut self.archive, self.root, &place);
        self.archive.parents(&place, folder_meta(self.modified))?;
        let (kind, size) = match what {
            What::File(size) => (EntryKind::File, size),
            What::Link(target) => (EntryKind::Link(target.to_owned()), 0),
            What::HardLink(target) => (EntryKind::HardLink(target.to_owned()), 0),
            What::Directory => (EntryKind::Directory, 0),
        };
        let mut bytes = Vec::new();
        if kind == EntryKind::File && size <= LONGEST_READ && Root::reads(&place) {
            content.read_to_end(&mut bytes)?;
            self.archive
                .entry(&place, meta, what, &mut bytes.as_slice())?;
        } else {
            self.archive.entry(&place, meta, what, content)?;
        }
        self.note(path, place, kind, size, &bytes)
    }

    /// Writes a folder, unless there is one, perhaps behind a link.
    pub(super) fn directory(&mut self, path: &str, meta: Meta) -> Result<(), Fault> {
        let no_place = |problem: String| Fault::Place {
            path: path.to_owned(),
            problem,
        };
        let place = self.root.resolve(path);
        let place = place.map_err(|error| no_place(error.to_string()))?;
        match self.root.node(&place) {
            Some(Node::Directory) => return Ok(()),
            Some(_) => return Err(no_place("there is a file at its place".to_owned())),
            None => {}
        }
        known_folders(&mut self.archive, self.root, &place);
        self.archive.parents(&place, folder_meta(self.modified))?;
        self.archive.directory(&place, meta)?;
        self.note(path, place, EntryKind::Directory, 0, &[])
    }

    /// Hides what a layer below has.
    pub(super) fn whiteout(&mut self, path: &str) -> Result<(), Fault> {
        let place = self.place(path)?;
        known_folders(&mut self.archive, self.root, &place);
        self.archive.parents(&place, folder_meta(self.modified))?;
        let meta = self.meta(0o644);
        self.archive.whiteout(&place, meta)?;
        self.note(path, place, EntryKind::Whiteout, 0, &[])
    }

    fn note(
        &mut self,
        path: &str,
        place: String,
        kind: EntryKind,
        size: u64,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        let noted = self.root.add(Entry {
            path: place,
            kind,
            meta: self.meta(0),
            size,
            content: &mut &*bytes,
        });
        noted.map_err(|error| Fault::Place {
            path: path.to_owned(),
            problem: error.to_string(),
        })
    }

    /// A file that we make.
    pub(super) fn text(&mut self, path: &str, mode: u32, text: &str) -> Result<(), Failure> {
        let meta = self.meta(mode);
        self.file(path, meta, text)?;
        self.made.push(format!("/{path}"));
        Ok(())
    }

    /// A file that is the business of dpkg, or that has an owner.
    pub(super) fn file(&mut self, path: &str, meta: Meta, text: &str) -> Result<(), Failure> {
        let what = What::File(text.len() as u64);
        let written = self.entry(path, meta, what, &mut Cursor::new(text));
        written.map_err(|fault| self.ours(fault))
    }

    /// A symbolic link that we make.
    pub(super) fn link(&mut self, path: &str, target: &str) -> Result<(), Failure> {
        let meta = self.meta(0o777);
        let written = self.entry(path, meta, What::Link(target), &mut io::empty());
        written.map_err(|fault| self.ours(fault))?;
        self.made.push(format!("/{path}"));
        Ok(())
    }

    /// A folder that we make, unless there is one.
    pub(super) fn folder(&mut self, path: &str, meta: Meta) -> Result<(), Failure> {
        let there = self.is_there(path);
        let written = self.directory(path, meta);
        written.map_err(|fault| self.ours(fault))?;
        if !there {
            self.made.push(format!("/{path}"));
        }
        Ok(())
    }

    /// Whether there is something at a path, a link included.
    pub(super) fn is_there(&self, path: &str) -> bool {
        let place = self.root.place(path);
        place.is_ok_and(|place| self.root.node(&place).is_some())
    }

    /// Whether a path leads to something, through links too.
    pub(super) fn leads_somewhere(&self, path: &str) -> bool {
        let place = self.root.resolve(path.trim_start_matches('/'));
        place.is_ok_and(|place| self.root.node(&place).is_some())
    }

    /// A fault of what we make ourselves.
    pub(super) fn ours(&self, fault: Fault) -> Failure {
        self.of("the files that scripts would have made", fault)
    }

    fn of(&self, package: &str, fault: Fault) -> Failure {
        match fault {
            Fault::Io(source) => cannot_write(self.staging, source),
            Fault::Place { path, problem } => Failure::Debs(DebsError::Place {
                package: package.to_owned(),
                path: path.trim_start_matches('/').to_owned(),
                problem,
            }),
        }
    }

    /// Why a package could not be unpacked.
    pub(super) fn failed(&self, package: &str, error: DebError, note: Option<Fault>) -> Failure {
        match (note, error) {
            (Some(fault), _) => self.of(package, fault),
            (None, DebError::Write { source }) => cannot_write(self.staging, source),
            (None, source) => Failure::Debs(DebsError::Deb {
                package: package.to_owned(),
                source,
            }),
        }
    }
}

fn cannot_write(staging: &Staging, source: io::Error) -> Failure {
    Failure::Ours(Error::Write {
        path: staging.scratch().to_owned(),
        source,
    })
}
