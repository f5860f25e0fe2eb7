//! The records of one platform in memory: their texts one after the other, so that 660,000 of them
//! take little more than their text.

use std::io;
use std::ops::Range;

use archive::package::Kind;

use crate::Error;
use crate::cache::{self, Cache};

/// What the packages of a platform tell, sorted by file name.
#[derive(Default)]
pub(super) struct Records {
    text: String,
    rows: Vec<Row>,
}

struct Row {
    kind: Kind,
    start: usize,
    file: u32,
    record: u32,
    run_exports: u32,
}

/// One package.
#[derive(Clone, Copy)]
#[expect(
    clippy::struct_field_names,
    reason = "a record is what everybody calls the text"
)]
pub(super) struct Record<'a> {
    pub(super) kind: Kind,
    pub(super) file: &'a str,
    pub(super) record: &'a str,
    /// `{}` where the package has none.
    pub(super) run_exports: &'a str,
}

impl Records {
    /// All that the cache has under `place`.
    pub(super) fn load(cache: &Cache, place: &str) -> Result<Self, cache::Error> {
        let mut records = Self::default();
        cache.records(place, &mut |file, record, run_exports| {
            records.push(file, record, run_exports);
        })?;
        Ok(records)
    }

    fn push(&mut self, file: &str, record: &str, run_exports: Option<&str>) {
        let Some(kind) = Kind::from_file_name(file) else {
            return;
        };
        let run_exports = run_exports.unwrap_or("{}");
        let length = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.rows.push(Row {
            kind,
            start: self.text.len(),
            file: length(file),
            record: length(record),
            run_exports: length(run_exports),
        });
        for text in [file, record, run_exports] {
            self.text.push_str(text);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// All, sorted by file name.
    pub(super) fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        self.rows.iter().map(|row| self.at(row))
    }

    /// One package.
    pub(super) fn get(&self, file: &str) -> Option<Record<'_>> {
        let found = self
            .rows
            .binary_search_by(|row| self.at(row).file.cmp(file))
            .ok()?;
        self.rows.get(found).map(|row| self.at(row))
    }

    fn at(&self, row: &Row) -> Record<'_> {
        let mut position = row.start;
        let mut next = |length: u32| {
            let range: Range<usize> = position..position + length as usize;
            position = range.end;
            self.text.get(range).unwrap_or_default()
        };
        Record {
            kind: row.kind,
            file: next(row.file),
            record: next(row.record),
            run_exports: next(row.run_exports),
        }
    }

    /// Those of one kind, before patches.
    pub(super) fn each(
        &self,
        kind: Kind,
        take: &mut dyn FnMut(&str, &str) -> io::Result<()>,
    ) -> io::Result<()> {
        self.iter()
            .filter(|one| one.kind == kind)
            .try_for_each(|one| take(one.file, one.record))
    }
}

impl Error {
    /// An error of a text that cannot be patched, and the like.
    pub(super) fn making(path: &std::path::Path, source: io::Error) -> Self {
        Self::Make {
            path: path.to_owned(),
            source,
        }
    }
}
