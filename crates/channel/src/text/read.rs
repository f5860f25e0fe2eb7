//! One pass over a `repodata.json`, a window of it at a time: where its records are, and what else it tells. A window
//! stays as a block where there is no file to read it from again.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};

use archive::package::{Kind, is_file_name};
use serde_json::Value;

use super::scan::Scanner;
use super::{Block, Piece, Row, Text};
use crate::import::repodata::Place;
use crate::index::ChannelRelations;
use crate::json;
use crate::output::repodata::fields::string;
use crate::scan::Stat;

/// How much is looked at at a time, in bytes: as much as stays in a processor's cache.
const WINDOW: usize = 256 << 10;

/// So much of a file's text lies in one block at most, but for a record that is longer, in bytes.
const BLOCK: usize = 1 << 20;

/// Why a text cannot be taken apart.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It is no JSON, or not of the form.
    #[error(transparent)]
    Json(#[from] json::Error),
    /// It is not text.
    #[error("it is no text in UTF-8 at byte {position}")]
    Encoding {
        /// How many bytes precede the problem.
        position: u64,
    },
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] io::Error),
}

/// A text that is being taken apart.
pub(super) struct Reading {
    text: Text,
    /// How much is looked at at a time, in bytes, unless a member takes more.
    pub(super) window: usize,
    /// Where the window begins in the whole, in bytes.
    base: u64,
    /// The objects that are open.
    open: Vec<Place>,
    /// Whether no member of the innermost one was seen.
    is_first: bool,
    /// Whether the outermost one was closed.
    is_over: bool,
    /// The block that rows are put into.
    block: usize,
    /// The block of file names that do not stand in the text as they are.
    written: Option<usize>,
    removed: HashSet<String>,
    order: Order,
}

/// Whether no file can be there twice, which needs no set of all names to know where `.conda` follows upon `.tar.bz2` and
/// each is sorted.
#[derive(Default)]
struct Order {
    last: String,
    turns: usize,
    is_broken: bool,
}

impl Reading {
    /// Of a file, if it lies in one.
    pub(super) fn new(file: Option<(File, Stat)>) -> Self {
        Self {
            text: Text {
                file,
                ..Text::default()
            },
            window: WINDOW,
            base: 0,
            open: Vec::new(),
            is_first: false,
            is_over: false,
            block: 0,
            written: None,
            removed: HashSet::new(),
            order: Order::default(),
        }
    }

    /// Takes a text apart that is at hand.
    pub(super) fn of_all(mut self, bytes: Vec<u8>) -> Result<Text, Error> {
        let text = self.valid(&bytes, true)?;
        self.walk(text, true)?;
        self.keep(bytes)?;
        Ok(self.finish())
    }

    /// Takes all apart that comes from a reader.
    pub(super) fn of_reader(mut self, reader: &mut dyn Read) -> Result<Text, Error> {
        let mut window = vec![0; self.window];
        let mut filled = 0;
        loop {
            let is_last = !fill(reader, &mut window, &mut filled)?;
            let text = self.valid(window.get(..filled).unwrap_or_default(), is_last)?;
            let done = self.walk(text, is_last)?;
            if self.text.file.is_none() && done > 0 {
                let rest = window.get(done..filled).unwrap_or_default();
                let mut next = vec![0; self.window.max(2 * rest.len())];
                if let Some(start) = next.get_mut(..rest.len()) {
                    start.copy_from_slice(rest);
                }
                window.truncate(done);
                self.keep(std::mem::replace(&mut window, next))?;
            } else {
                window.copy_within(done..filled, 0);
            }
            filled -= done;
            self.base += done as u64;
            if is_last {
                return Ok(self.finish());
            }
            if done == 0 {
                // One member takes more than all of it.
                window.resize(2 * window.len(), 0);
            }
        }
    }

    /// The window as far as it is whole characters.
    fn valid<'w>(&self, window: &'w [u8], is_last: bool) -> Result<&'w str, Error> {
        let error = match std::str::from_utf8(window) {
            Ok(text) => return Ok(text),
            Err(error) => error,
        };
        let (valid, _) = window.split_at(error.valid_up_to());
        match std::str::from_utf8(valid) {
            Ok(text) if error.error_len().is_none() && !is_last => Ok(text),
            _ => Err(Error::Encoding {
                position: self.base + error.valid_up_to() as u64,
            }),
        }
    }

    /// The window becomes the block that its rows are in.
    fn keep(&mut self, window: Vec<u8>) -> Result<(), Error> {
        let window = String::from_utf8(window).map_err(|_| Error::Encoding {
            position: self.base,
        })?;
        if let Some(block) = self.text.blocks.get(self.block) {
            // It has none before.
            let _ = block.text.set(window);
        }
        Ok(())
    }

    fn finish(mut self) -> Text {
        if !self.removed.is_empty() {
            self.text.remove(&self.removed);
        }
        if self.order.is_broken {
            self.text.keep_the_last();
        }
        self.text
    }

    /// Goes as far as members are whole; how far that is, in bytes.
    fn walk(&mut self, text: &str, is_last: bool) -> Result<usize, Error> {
        let base = self.base;
        let failed = |error: json::Error| {
            Error::Json(json::Error {
                position: error.position + usize::try_from(base).unwrap_or(usize::MAX / 2),
                ..error
            })
        };
        if self.text.file.is_none() {
            self.begin_block(self.base);
        }
        let mut scanner = Scanner::new(text, self.is_first);
        while !self.is_over {
            let before = scanner;
            match self.step(text, &mut scanner) {
                Ok(()) => {}
                Err(_) if scanner.is_cut() && !is_last => {
                    self.is_first = before.is_first();
                    return Ok(before.position());
                }
                Err(error) => return Err(failed(error)),
            }
        }
        scanner.end().map_err(failed)?;
        Ok(text.len())
    }

    /// Takes the next member, or the end of an object.
    fn step(&mut self, text: &str, scanner: &mut Scanner<'_>) -> Result<(), json::Error> {
        let Some(place) = self.open.last().copied() else {
            scanner.open()?;
            self.open.push(Place::Top);
            return Ok(());
        };
        let Some(key) = scanner.key()? else {
            self.open.pop();
            self.is_over = self.open.is_empty();
            return Ok(());
        };
        let key = string(key).ok_or_else(|| scanner.error("a key that cannot be read"))?;
        if let Some(below) = place.below(&key) {
            scanner.open()?;
            self.open.push(below);
            return Ok(());
        }
        let value = scanner.value()?;
        let read = || {
            serde_json::from_str::<Value>(value)
                .map_err(|_| scanner.error("a value that cannot be read"))
        };
        match (place, &*key) {
            (Place::Top, "info") => self.info(&read()?),
            (Place::Top, "removed") => {
                let removed = read()?;
                let files = removed.as_array().into_iter().flatten();
                let files = files.filter_map(|file| Some(file.as_str()?.to_owned()));
                self.removed.extend(files);
            }
            (Place::Records(kind), _) => {
                let at = |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
                self.record(key, kind, value, &at)
                    .ok_or_else(|| scanner.error("a text that is too long"))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn info(&mut self, info: &Value) {
        let text = |key: &str| Some(info.get(key)?.as_str()?.to_owned());
        self.text.base_url = text("base_url");
        self.text.subdir = text("subdir");
        self.text.relations = ChannelRelations::of(|key| {
            let relations = info.get("channel_relations")?;
            Some(relations.get(key)?.as_str()?.to_owned())
        });
    }

    /// Takes a record; nothing where it is too far from the beginning of its block. `at` tells where something is in the
    /// window.
    fn record(
        &mut self,
        key: Cow<'_, str>,
        kind: Option<Kind>,
        record: &str,
        at: &dyn Fn(&str) -> usize,
    ) -> Option<()> {
        let (file, is_written) = match (key, kind) {
            (Cow::Borrowed(file), None) => (Cow::Borrowed(file), false),
            (key, None) => (key, true),
            (key, Some(kind)) => (Cow::Owned(format!("{key}{kind}")), true),
        };
        if !is_file_name(&file) {
            self.text.refused += usize::from(Kind::from_file_name(&file).is_some());
            return Some(());
        }
        let is_other = self.text.names.add(self.text.rows.len(), &file, record);
        self.order.add(&file);
        let begin = if is_written { at(record) } else { at(&file) };
        let is_full = |block: &Block| block.length > BLOCK;
        let block = self.text.blocks.get(self.block);
        if self.text.file.is_some() && (is_other || block.is_none_or(is_full)) {
            self.begin_block(self.base + begin as u64);
        }
        let number = self.block;
        let start = self.text.blocks.get(number)?.start;
        let piece = |part: &str| {
            let start = usize::try_from(self.base + at(part) as u64 - start).ok()?;
            let end = start + part.len();
            (u32::try_from(end).is_ok()).then(|| Piece::new(number, start, end))
        };
        let record = piece(record)?;
        let file = if is_written {
            self.write(&file)?
        } else {
            piece(&file)?
        };
        let block = self.text.blocks.get_mut(number)?;
        block.length = record.start as usize + record.length as usize;
        self.text.rows.push(Row { file, record });
        Some(())
    }

    fn begin_block(&mut self, start: u64) {
        self.block = self.text.blocks.len();
        self.text.blocks.push(Block {
            start,
            ..Block::default()
        });
    }

    /// Puts a file name where it is at hand.
    fn write(&mut self, file: &str) -> Option<Piece> {
        let blocks = &mut self.text.blocks;
        let number = *self.written.get_or_insert_with(|| {
            blocks.push(Block::of(String::new()));
            blocks.len() - 1
        });
        let text = blocks.get_mut(number)?.text.get_mut()?;
        let start = text.len();
        text.push_str(file);
        u32::try_from(text.len()).ok()?;
        Some(Piece::new(number, start, text.len()))
    }
}

impl Order {
    fn add(&mut self, file: &str) {
        if *file <= *self.last {
            self.turns += 1;
            let is_turn = self.last.ends_with(Kind::TarBz2.extension())
                && file.ends_with(Kind::Conda.extension());
            self.is_broken |= self.turns > 1 || !is_turn;
        }
        file.clone_into(&mut self.last);
    }
}

/// Reads until the window is full; whether there may be more.
fn fill(reader: &mut dyn Read, window: &mut [u8], filled: &mut usize) -> io::Result<bool> {
    while let Some(rest) = window.get_mut(*filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => return Ok(false),
            Ok(count) => *filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}
