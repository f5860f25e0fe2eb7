//! The records of one platform's folder, as text that is taken apart no further than where each record begins and
//! ends. What is not at hand as a whole is read in one pass; of a file that lies here each name's records are read again
//! when somebody asks for them, and take no memory before.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::OnceLock;

use archive::package::split_file_name;

use crate::index::ChannelRelations;
use crate::json::Json;
use crate::scan::Stat;
use names::Names;
use read::Reading;

mod names;
mod read;
mod scan;
#[cfg(test)]
mod tests;

pub(crate) use read::Error;

/// So many bytes of records that come one by one lie together.
const BLOCK: usize = 1 << 20;

/// Records, and where in the text they are.
#[derive(Debug, Default)]
pub(crate) struct Text {
    blocks: Vec<Block>,
    rows: Vec<Row>,
    names: Names,
    /// Where the blocks are that are not at hand, as it was when they were looked at.
    file: Option<(File, Stat)>,
    /// Why one of them could not be read.
    failure: OnceLock<io::Error>,
    /// How many packages were passed over because their names would lead out of a channel's folder.
    pub(crate) refused: usize,
    /// `info.base_url` (CEP 15).
    pub(crate) base_url: Option<String>,
    /// `info.subdir`.
    pub(crate) subdir: Option<String>,
    /// `info.channel_relations` (CEP 42).
    pub(crate) relations: ChannelRelations,
}

/// A part of the text, which is at hand or not.
#[derive(Debug, Default)]
struct Block {
    /// Where it begins in the whole and how long it is, in bytes.
    start: u64,
    length: usize,
    text: OnceLock<String>,
}

/// One package.
#[derive(Debug, Clone, Copy)]
struct Row {
    file: Piece,
    record: Piece,
}

/// A piece of a block, in bytes.
#[derive(Debug, Clone, Copy)]
struct Piece {
    block: u32,
    start: u32,
    length: u32,
}

impl Text {
    /// Takes a `repodata.json` apart. Whether records are JSON is told by whoever reads them.
    pub(crate) fn parse(text: String) -> Result<Self, Error> {
        Reading::new(None).of_all(text.into_bytes())
    }

    /// The same of what comes from a reader.
    pub(crate) fn read(reader: &mut dyn Read) -> Result<Self, Error> {
        Reading::new(None).of_reader(reader)
    }

    /// The same of a file, of which `reader` has all. Records are read from it again when they are asked for, and
    /// [`Text::check`] tells afterwards whether they could be.
    pub(crate) fn of_file(file: File, reader: &mut dyn Read) -> Result<Self, Error> {
        let stat = Stat::of(&file.metadata()?);
        Reading::new(Some((file, stat))).of_reader(reader)
    }

    /// The same of the file at a path.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = fs_err::File::open(path)?.into_file();
        let mut reader = file.try_clone()?;
        Self::of_file(file, &mut reader)
    }

    /// Adds a record that came from a shard.
    pub(crate) fn push(&mut self, file: &str, record: &Json) {
        let has_room = |block: &Block| block.text.get().is_some_and(|text| text.len() < BLOCK);
        if !self.blocks.last().is_some_and(has_room) {
            self.blocks.push(Block::of(String::new()));
        }
        let number = self.blocks.len() - 1;
        let Some(text) = self
            .blocks
            .last_mut()
            .and_then(|block| block.text.get_mut())
        else {
            return;
        };
        let start = text.len();
        text.push_str(file);
        let middle = text.len();
        record.write(text);
        let row = Row {
            file: Piece::new(number, start, middle),
            record: Piece::new(number, middle, text.len()),
        };
        let record = text.get(middle..).unwrap_or_default();
        self.names.add(self.rows.len(), file, record);
        self.rows.push(row);
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The file name of a row, which leads to no other folder.
    pub(crate) fn file(&self, row: u32) -> &str {
        let row = self.rows.get(row as usize);
        row.map_or("", |row| self.piece(row.file))
    }

    /// The record of a row, as it stood there.
    pub(crate) fn record(&self, row: u32) -> &str {
        let row = self.rows.get(row as usize);
        row.map_or("", |row| self.piece(row.record))
    }

    /// The rows of one name.
    pub(crate) fn of_name(&self, name: &str) -> &[u32] {
        self.names.rows(name)
    }

    /// How many names there are.
    pub(crate) fn count_names(&self) -> usize {
        self.names.len()
    }

    /// Whether all that was asked for could be read, and the file is the same; what could not be read is empty.
    pub(crate) fn check(&self) -> io::Result<()> {
        if let Some(error) = self.failure.get() {
            return Err(io::Error::new(error.kind(), error.to_string()));
        }
        match &self.file {
            Some((file, before)) if Stat::of(&file.metadata()?) != *before => Err(
                io::Error::other("it was changed while it was read; try again"),
            ),
            _ => Ok(()),
        }
    }

    fn piece(&self, piece: Piece) -> &str {
        let Some(block) = self.blocks.get(piece.block as usize) else {
            return "";
        };
        let text = block.text.get_or_init(|| {
            self.fetch(block).unwrap_or_else(|error| {
                // Of several failures one is enough.
                let _ = self.failure.set(error);
                String::new()
            })
        });
        let start = piece.start as usize;
        text.get(start..start + piece.length as usize)
            .unwrap_or_default()
    }

    fn fetch(&self, block: &Block) -> io::Result<String> {
        let Some((file, _)) = &self.file else {
            return Ok(String::new());
        };
        let mut bytes = vec![0; block.length];
        file.read_exact_at(&mut bytes, block.start)?;
        String::from_utf8(bytes).map_err(io::Error::other)
    }

    /// Leaves out the rows of some files.
    fn remove(&mut self, files: &HashSet<String>) {
        let names = files.iter().filter_map(|file| split_file_name(file));
        let rows = names.flat_map(|(name, _, _)| self.names.rows(&names::lower(name.into())));
        let rows = rows.chain(self.names.odd());
        let gone: HashSet<u32> = rows
            .copied()
            .filter(|row| files.contains(self.file(*row)))
            .collect();
        self.retain(&|row| !gone.contains(&row));
    }

    /// Of records with the same file name the last one counts, as for all who read JSON into a map.
    fn keep_the_last(&mut self) {
        let mut last: HashMap<&str, u32> = HashMap::with_capacity(self.rows.len());
        for row in 0..u32::try_from(self.rows.len()).unwrap_or(u32::MAX) {
            last.insert(self.file(row), row);
        }
        let kept: HashSet<u32> = last.into_values().collect();
        self.retain(&|row| kept.contains(&row));
    }

    fn retain(&mut self, stays: &dyn Fn(u32) -> bool) {
        let before = 0..u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        let mut next = 0;
        let numbers: Vec<Option<u32>> = before
            .map(|row| {
                let number = stays(row).then_some(next);
                next += u32::from(number.is_some());
                number
            })
            .collect();
        let mut stays = numbers.iter().map(Option::is_some);
        self.rows.retain(|_| stays.next().unwrap_or(false));
        self.names.renumber(&numbers);
    }
}

impl Block {
    /// One that is at hand.
    fn of(text: String) -> Self {
        Self {
            text: OnceLock::from(text),
            ..Self::default()
        }
    }
}

impl Piece {
    fn new(block: usize, start: usize, end: usize) -> Self {
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            block: number(block),
            start: number(start),
            length: number(end - start),
        }
    }
}
