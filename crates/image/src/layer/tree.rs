//! A [`Tree`] that is a layer: what the runtime writes into a prefix goes into a tar stream. Files whose
//! length is known pass through; others are kept until they are complete, the longer ones in a file
//! without a name.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime::tree::{Attributes, Tree};
use tempfile::SpooledTempFile;

use super::archive::{Archive, Meta, What};

/// What is kept in memory of a file whose length is not known, in bytes.
const IN_MEMORY: usize = 1 << 20;

/// What the usual umask forbids.
const UMASK: u32 = 0o022;

/// A layer with a prefix in it.
pub(crate) struct LayerTree<W: Write + Send> {
    state: Arc<Mutex<State<W>>>,
    /// Where the prefix lies in the image, without a slash at either end.
    prefix: String,
    /// Files of the package that the layer has elsewhere, by their paths in the prefix: where they are in the image.
    twins: HashMap<String, String>,
    /// The time of what has none of its own.
    modified: u64,
    scratch: PathBuf,
}

pub(crate) struct State<W: Write> {
    archive: Archive<W>,
    /// Whether a file is being passed through.
    busy: bool,
    /// Files that became complete meanwhile.
    waiting: Vec<Kept>,
    /// What the files of the package have, for hard links: engines give a file what the header of its
    /// last link says.
    metas: HashMap<String, Meta>,
}

/// A file that is complete, and not yet in the stream.
struct Kept {
    path: String,
    meta: Meta,
    content: Content,
}

enum Content {
    Bytes(SpooledTempFile),
    /// The same as this earlier file's.
    Twin(String),
}

/// A file that is being written.
pub(crate) enum LayerFile<W: Write + Send> {
    /// Its bytes go into the stream as they come.
    Passing(Arc<Mutex<State<W>>>),
    Kept(Box<KeptFile>),
}

pub(crate) struct KeptFile(Kept);

impl<W: Write + Send> LayerTree<W> {
    /// A tree in `archive` whose root is `prefix`.
    pub(crate) fn new(
        archive: Archive<W>,
        prefix: &str,
        modified: u64,
        scratch: &Path,
    ) -> LayerTree<W> {
        let state = State {
            archive,
            busy: false,
            waiting: Vec::new(),
            metas: HashMap::new(),
        };
        LayerTree {
            state: Arc::new(Mutex::new(state)),
            prefix: prefix.to_owned(),
            twins: HashMap::new(),
            modified,
            scratch: scratch.to_owned(),
        }
    }

    /// Goes on with a package whose root is `prefix`, whose files in `twins` become links to those, and forgets the
    /// files so far: no hard link leads from one package into another.
    pub(crate) fn next_package(
        &mut self,
        prefix: &str,
        twins: HashMap<String, String>,
    ) -> io::Result<()> {
        prefix.clone_into(&mut self.prefix);
        self.twins = twins;
        let meta = self.meta(0o777, None);
        let mut state = lock(&self.state);
        state.metas.clear();
        state.archive.parents(&self.path(""), meta)
    }

    /// How many bytes of content there are so far.
    pub(crate) fn length(&self) -> u64 {
        lock(&self.state).archive.length()
    }

    /// The stream, with everything in it; an error if a file was not closed.
    pub(crate) fn into_archive(self) -> io::Result<Archive<W>> {
        let state = Arc::into_inner(self.state)
            .ok_or_else(|| io::Error::other("a file of the layer is still open"))?;
        let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if state.busy {
            return Err(io::Error::other("a file of the layer was not completed"));
        }
        Ok(state.archive)
    }

    /// The time of a file, in seconds since the epoch.
    pub(crate) fn modified(&self, attributes: Attributes) -> u64 {
        self.meta(attributes.mode, attributes.modified).modified
    }

    fn path(&self, path: &str) -> String {
        format!("{}/{path}", self.prefix)
    }

    fn meta(&self, mode: u32, modified: Option<i64>) -> Meta {
        let modified = modified.map(|seconds| u64::try_from(seconds).unwrap_or(0));
        Meta {
            mode: mode & 0o777 & !UMASK,
            owner: (0, 0),
            modified: modified.unwrap_or(self.modified),
        }
    }
}

impl<W: Write + Send> Tree for LayerTree<W> {
    type File = LayerFile<W>;

    fn directory(&self, path: &str) -> io::Result<()> {
        let meta = self.meta(0o777, None);
        let mut state = lock(&self.state);
        state.idle()?;
        state.archive.directory(&self.path(path), meta)
    }

    fn file(&self, path: &str, attributes: Attributes) -> io::Result<LayerFile<W>> {
        let twin = self.twins.get(path).cloned();
        let path = self.path(path);
        let meta = self.meta(attributes.mode, attributes.modified);
        let mut state = lock(&self.state);
        state.metas.insert(path.clone(), meta);
        let passing = attributes.size.filter(|_| !state.busy && twin.is_none());
        if let Some(size) = passing {
            state.archive.begin(&path, meta, What::File(size))?;
            state.busy = true;
            drop(state);
            return Ok(LayerFile::Passing(Arc::clone(&self.state)));
        }
        let content = match twin {
            Some(twin) => Content::Twin(twin),
            None => Content::Bytes(tempfile::spooled_tempfile_in(IN_MEMORY, &self.scratch)),
        };
        Ok(LayerFile::Kept(Box::new(KeptFile(Kept {
            path,
            meta,
            content,
        }))))
    }

    fn close(&self, file: LayerFile<W>) -> io::Result<()> {
        let mut state = lock(&self.state);
        match file {
            LayerFile::Passing(_) => {
                state.archive.end()?;
                state.busy = false;
                for kept in std::mem::take(&mut state.waiting) {
                    state.put(kept)?;
                }
                Ok(())
            }
            LayerFile::Kept(kept) if state.busy => {
                state.waiting.push(kept.0);
                Ok(())
            }
            LayerFile::Kept(kept) => state.put(kept.0),
        }
    }

    fn symbolic_link(&self, path: &str, target: &str) -> io::Result<()> {
        let meta = Meta {
            mode: 0o777,
            ..self.meta(0, None)
        };
        let mut state = lock(&self.state);
        state.idle()?;
        let what = What::Link(target);
        state
            .archive
            .entry(&self.path(path), meta, what, &mut io::empty())
    }

    fn hard_link(&self, path: &str, existing: &str) -> io::Result<()> {
        let target = self.path(existing);
        let mut state = lock(&self.state);
        state.idle()?;
        let meta = state.metas.get(&target).copied();
        let meta = meta.ok_or_else(|| io::Error::other("a hard link leads to another package"))?;
        let what = What::HardLink(&target);
        let path = self.path(path);
        state.archive.entry(&path, meta, what, &mut io::empty())?;
        // Another link may lead to this one.
        state.metas.insert(path, meta);
        Ok(())
    }
}

impl<W: Write> State<W> {
    fn idle(&self) -> io::Result<()> {
        if self.busy {
            return Err(io::Error::other("a file of the layer is being written"));
        }
        Ok(())
    }

    fn put(&mut self, kept: Kept) -> io::Result<()> {
        let Kept {
            path,
            meta,
            content,
        } = kept;
        match content {
            Content::Bytes(mut content) => {
                let size = content.stream_position()?;
                content.seek(SeekFrom::Start(0))?;
                let what = What::File(size);
                self.archive
                    .entry(&path, meta, what, &mut content.take(size))
            }
            Content::Twin(twin) => {
                let what = What::HardLink(&twin);
                self.archive.entry(&path, meta, what, &mut io::empty())
            }
        }
    }
}

impl<W: Write + Send> Write for LayerFile<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            LayerFile::Passing(state) => {
                lock(state).archive.write(buffer)?;
                Ok(buffer.len())
            }
            LayerFile::Kept(kept) => match &mut kept.0.content {
                Content::Bytes(content) => content.write(buffer),
                // They are there already.
                Content::Twin(_) => Ok(buffer.len()),
            },
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(size: Option<u64>) -> Attributes {
        Attributes {
            mode: 0o664,
            modified: None,
            replace: false,
            size,
        }
    }

    #[test]
    fn files_that_are_open_together_are_both_whole() {
        let scratch = tempfile::tempdir().unwrap();
        let tree = LayerTree::new(Archive::new(Vec::new()), "opt/c", 7, scratch.path());
        tree.directory("bin").unwrap();
        let mut known = tree.file("bin/known", attributes(Some(4))).unwrap();
        let mut unknown = tree.file("bin/unknown", attributes(None)).unwrap();
        let mut second = tree.file("bin/second", attributes(Some(2))).unwrap();
        known.write_all(b"ab").unwrap();
        unknown.write_all(&vec![b'x'; IN_MEMORY + 9]).unwrap();
        second.write_all(b"cd").unwrap();
        known.write_all(b"ef").unwrap();
        tree.close(unknown).unwrap();
        tree.close(known).unwrap();
        tree.close(second).unwrap();
        tree.hard_link("bin/again", "bin/known").unwrap();
        tree.hard_link("bin/third", "bin/again").unwrap();
        let bytes = tree.into_archive().unwrap().finish().unwrap();
        let mut reader = tar::Archive::new(&bytes[..]);
        let found: Vec<(String, u64, u32, u64)> = reader
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let path = entry.path().unwrap().display().to_string();
                let header = entry.header();
                (
                    path,
                    entry.size(),
                    header.mode().unwrap(),
                    header.mtime().unwrap(),
                )
            })
            .collect();
        let long = IN_MEMORY as u64 + 9;
        assert_eq!(
            found,
            [
                ("opt/c/bin/".to_owned(), 0, 0o755, 7),
                ("opt/c/bin/known".to_owned(), 4, 0o644, 7),
                ("opt/c/bin/unknown".to_owned(), long, 0o644, 7),
                ("opt/c/bin/second".to_owned(), 2, 0o644, 7),
                ("opt/c/bin/again".to_owned(), 0, 0o644, 7),
                ("opt/c/bin/third".to_owned(), 0, 0o644, 7),
            ]
        );
    }

    #[test]
    fn each_package_has_a_root_of_its_own() {
        let scratch = tempfile::tempdir().unwrap();
        let mut tree = LayerTree::new(Archive::new(Vec::new()), "opt/c", 7, scratch.path());
        tree.next_package("opt/c", HashMap::new()).unwrap();
        let file = tree.file("a", attributes(Some(0))).unwrap();
        tree.close(file).unwrap();
        let twins = HashMap::from([("b".to_owned(), "opt/c/a".to_owned())]);
        tree.next_package("opt/c/envs/e", twins).unwrap();
        let mut known = tree.file("b", attributes(Some(1))).unwrap();
        let file = tree.file("a", attributes(Some(0))).unwrap();
        known.write_all(b"x").unwrap();
        tree.close(known).unwrap();
        tree.close(file).unwrap();
        tree.hard_link("c", "b").unwrap();
        tree.next_package("opt/c", HashMap::new()).unwrap();
        assert!(tree.hard_link("b", "a").is_err(), "another package's");
        let bytes = tree.into_archive().unwrap().finish().unwrap();
        let mut reader = tar::Archive::new(&bytes[..]);
        let entries = reader.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let link = entry.link_name().unwrap();
            let link = link.map(|link| format!(" -> {}", link.display()));
            let path = entry.path().unwrap().display().to_string();
            path + &link.unwrap_or_default()
        });
        let expected = [
            "opt/",
            "opt/c/",
            "opt/c/a",
            "opt/c/envs/",
            "opt/c/envs/e/",
            "opt/c/envs/e/a",
            "opt/c/envs/e/b -> opt/c/a",
            "opt/c/envs/e/c -> opt/c/envs/e/b",
        ];
        assert_eq!(entries.collect::<Vec<_>>(), expected);
    }
}
