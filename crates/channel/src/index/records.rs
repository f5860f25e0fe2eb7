//! The records of one platform in memory: their texts one after the other, so that 660,000 of them
//! take little more than their text.

use std::io;
use std::ops::Range;

use archive::package::Kind;
use memchr::memmem;

use super::Context;
use super::update::Platform;
use crate::Error;
use crate::cache::{self, Cache};
use crate::output::channeldata::newest;

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
    /// All that the cache has of a platform, with what the indexer itself adds.
    pub(super) fn load(
        context: &Context<'_>,
        cache: &Cache,
        platform: &Platform,
    ) -> Result<Self, cache::Error> {
        let mut records = Self::default();
        cache.records(&platform.place, &mut |file, record, run_exports| {
            let record = platform.complete(context, file, record);
            records.push(file, &record, run_exports);
        })?;
        Ok(records)
    }

    /// A few packages of a platform.
    pub(super) fn of<'a>(
        context: &Context<'_>,
        cache: &Cache,
        platform: &Platform,
        files: impl Iterator<Item = &'a str>,
    ) -> Result<Self, cache::Error> {
        let mut records = Self::default();
        let mut files: Vec<_> = files.collect();
        files.sort_unstable();
        for file in files {
            if let Some(scanned) = cache.package(&platform.place, file)? {
                let record = platform.complete(context, file, &scanned.record);
                records.push(file, &record, scanned.run_exports.as_deref());
            }
        }
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

    /// For each record whether it is among so many that were built last.
    pub(super) fn newest(&self, count: usize) -> Vec<bool> {
        const KEY: &str = "\"timestamp\":";
        if self.len() <= count {
            return vec![true; self.len()];
        }
        let key = memmem::FinderRev::new(KEY);
        let time = |one: Record<'_>| {
            // A key cannot be part of a string, where its quotes are escaped.
            let at = key.rfind(one.record)?;
            let rest = one.record.get(at + KEY.len()..)?;
            let end = rest.find([',', '}'])?;
            Some(newest::seconds(rest.get(..end)?))
        };
        let times: Vec<i64> = self.iter().map(|one| time(one).unwrap_or(0)).collect();
        let mut sorted = times.clone();
        let (_, least, _) = sorted.select_nth_unstable(self.len() - count);
        let least = *least;
        // Of those that are as old as the oldest only as many as there is room for.
        let mut left = count - times.iter().filter(|time| **time > least).count();
        times
            .iter()
            .map(|time| {
                let is_last = *time == least && left > 0;
                left -= usize::from(is_last);
                *time > least || is_last
            })
            .collect()
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
