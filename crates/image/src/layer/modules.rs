//! A [`Tree`] over that of a layer, for a package whose Python modules are compiled: it keeps copies of the modules
//! as they go by, and the package's record back, which names the results.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use fs_err as fs;
use rayon::prelude::*;
use runtime::record;
use runtime::tree::{Attributes, Tree};

use super::tree::{LayerFile, LayerTree};
use crate::python::Python;
use crate::scratch::Scratch;

/// Permission bits that bytecode has of its source's (`_calc_mode` and `set_data` of `CPython`'s
/// `_bootstrap_external.py`).
const BYTECODE_MODE: u32 = 0o666;
const WRITABLE: u32 = 0o200;

/// So many modules go to one process of Python, so that all processors have something to do; a start takes as long as
/// ten modules. Other shares would be other bytes: a name that an earlier module had, too, is written otherwise.
const SHARE: usize = 64;

/// Bytecode that is longer is none: the longest modules come to ten megabytes.
const LONGEST: u64 = 256 << 20;

/// One package on its way into a layer.
pub(crate) struct Modules<'t, W: Write + Send> {
    tree: &'t LayerTree<W>,
    /// Where the copies are, by the paths that they have in the prefix.
    folder: Scratch,
    /// Where the record goes, and what it has besides bytes.
    record: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The modules so far, with their permission bits.
    modes: HashMap<String, u32>,
    /// The record, and what it has besides bytes.
    record: Option<(Vec<u8>, Attributes)>,
}

/// A file of the package.
pub(crate) enum ModulesFile<W: Write + Send> {
    Plain(LayerFile<W>),
    /// A module, and its copy.
    Module(LayerFile<W>, Box<Copy>),
    Record(Vec<u8>, Attributes),
}

pub(crate) struct Copy {
    path: String,
    file: fs::File,
    mode: u32,
    modified: u64,
}

impl<'t, W: Write + Send> Modules<'t, W> {
    /// Begins the package `dist`; copies lie below `scratch`.
    pub(crate) fn new(
        tree: &'t LayerTree<W>,
        dist: &str,
        scratch: &Path,
    ) -> io::Result<Modules<'t, W>> {
        Ok(Modules {
            tree,
            folder: Scratch::new("modules-", scratch)?,
            record: format!("conda-meta/{dist}.json"),
            state: Mutex::default(),
        })
    }

    /// Compiles these modules for a prefix, and writes the results and the record. `closed` are folders that are none.
    pub(crate) fn finish(
        self,
        python: &dyn Python,
        prefix: &str,
        mut modules: Vec<(String, String)>,
        closed: &dyn Fn(&str) -> bool,
    ) -> io::Result<()> {
        let state = self.state.into_inner();
        let State { modes, record } = state.unwrap_or_else(PoisonError::into_inner);
        modules.retain(|(module, result)| modes.contains_key(module) && !closed(parent(result)));
        modules.sort();
        let names: Vec<String> = modules.iter().map(|(module, _)| module.clone()).collect();
        let root = self.folder.path();
        let shares = names.par_chunks(SHARE);
        let answers: Vec<Vec<String>> = shares
            .map(|share| python.compile(root, prefix, share))
            .collect::<io::Result<_>>()?;
        let answer: HashSet<&str> = answers.iter().flatten().map(String::as_str).collect();
        let mut compiled = Vec::new();
        for (module, result) in modules {
            if !answer.contains(result.as_str()) {
                continue;
            }
            let bytes = self.folder.read(&result, LONGEST)?;
            let mode = modes.get(&module).copied().unwrap_or(0o644);
            let attributes = Attributes {
                mode: mode & BYTECODE_MODE | WRITABLE,
                modified: None,
                replace: false,
                size: Some(bytes.len() as u64),
            };
            self.tree.directory(parent(&result))?;
            put(self.tree, &result, attributes, &bytes)?;
            compiled.push(result);
        }
        let Some((text, attributes)) = record else {
            return Err(io::Error::other("the package has no record"));
        };
        let text = record::with_compiled(&text, &compiled)?;
        let attributes = Attributes {
            size: Some(text.len() as u64),
            ..attributes
        };
        put(self.tree, &self.record, attributes, &text)
    }

    fn copy(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put<W: Write + Send>(
    tree: &LayerTree<W>,
    path: &str,
    attributes: Attributes,
    bytes: &[u8],
) -> io::Result<()> {
    let mut file = tree.file(path, attributes)?;
    file.write_all(bytes)?;
    tree.close(file)
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn is_module(path: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|ending| ending == "py")
}

impl<W: Write + Send> Tree for Modules<'_, W> {
    type File = ModulesFile<W>;

    fn directory(&self, path: &str) -> io::Result<()> {
        self.tree.directory(path)
    }

    fn file(&self, path: &str, attributes: Attributes) -> io::Result<ModulesFile<W>> {
        if path == self.record {
            return Ok(ModulesFile::Record(Vec::new(), attributes));
        }
        let file = self.tree.file(path, attributes)?;
        if !is_module(path) {
            return Ok(ModulesFile::Plain(file));
        }
        let place = self.copy(path);
        fs::create_dir_all(place.parent().unwrap_or(self.folder.path()))?;
        let copy = Copy {
            path: path.to_owned(),
            file: fs::File::create_new(place)?,
            mode: attributes.mode,
            modified: self.tree.modified(attributes),
        };
        Ok(ModulesFile::Module(file, Box::new(copy)))
    }

    fn close(&self, file: ModulesFile<W>) -> io::Result<()> {
        match file {
            ModulesFile::Plain(file) => self.tree.close(file),
            ModulesFile::Module(file, copy) => {
                // Bytecode says how old its source is.
                let modified = UNIX_EPOCH + Duration::from_secs(copy.modified);
                copy.file.file().set_modified(modified)?;
                self.state().modes.insert(copy.path, copy.mode);
                self.tree.close(file)
            }
            ModulesFile::Record(bytes, attributes) => {
                self.state().record = Some((bytes, attributes));
                Ok(())
            }
        }
    }

    fn symbolic_link(&self, path: &str, target: &str) -> io::Result<()> {
        self.tree.symbolic_link(path, target)
    }

    fn hard_link(&self, path: &str, existing: &str) -> io::Result<()> {
        self.tree.hard_link(path, existing)?;
        let mode = self.state().modes.get(existing).copied();
        if let Some(mode) = mode.filter(|_| is_module(path)) {
            let place = self.copy(path);
            fs::create_dir_all(place.parent().unwrap_or(self.folder.path()))?;
            fs::hard_link(self.copy(existing), place)?;
            self.state().modes.insert(path.to_owned(), mode);
        }
        Ok(())
    }
}

impl<W: Write + Send> Write for ModulesFile<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            ModulesFile::Plain(file) => file.write(buffer),
            ModulesFile::Module(file, copy) => {
                let count = file.write(buffer)?;
                copy.file
                    .write_all(buffer.get(..count).unwrap_or_default())?;
                Ok(count)
            }
            ModulesFile::Record(bytes, _) => bytes.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
