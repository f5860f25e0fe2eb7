//! Records in memory: their texts one after the other, so that 660,000 of them take little more than their text. Who
//! knows the packages, and what becomes of them, is others' business.

use std::borrow::Cow;

use archive::package::Kind;

/// What a package without `run_exports` imposes on others.
pub(crate) const NOTHING: &str = "{}";

/// Packages, sorted by file name if they were added so.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts {
    text: String,
    rows: Vec<Row>,
}

#[derive(Debug, Clone)]
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
pub(crate) struct Record<'a> {
    pub(crate) kind: Kind,
    pub(crate) file: &'a str,
    pub(crate) record: &'a str,
    /// `{}` where the package has none.
    pub(crate) run_exports: &'a str,
}

impl Texts {
    /// Makes room for as many packages, and as much text in bytes.
    pub(crate) fn with_capacity(rows: usize, text: usize) -> Self {
        Self {
            text: String::with_capacity(text),
            rows: Vec::with_capacity(rows),
        }
    }

    /// Adds a package. What has not the name of one is passed over.
    pub(crate) fn push(&mut self, file: &str, record: &str, run_exports: Option<&str>) {
        let Some(kind) = Kind::from_file_name(file) else {
            return;
        };
        self.push_with(kind, file, |text| {
            text.push_str(record);
            Some(Cow::Borrowed(run_exports.unwrap_or(NOTHING)))
        });
    }

    /// Adds a package whose record `write` appends to the texts, and whose `run_exports` it tells; where it tells nothing,
    /// there is no package. The one that was added.
    pub(crate) fn push_with<'e>(
        &mut self,
        kind: Kind,
        file: &str,
        write: impl FnOnce(&mut String) -> Option<Cow<'e, str>>,
    ) -> Option<Record<'_>> {
        let start = self.text.len();
        self.text.push_str(file);
        let Some(run_exports) = write(&mut self.text) else {
            self.text.truncate(start);
            return None;
        };
        let end = self.text.len();
        self.text.push_str(&run_exports);
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        self.rows.push(Row {
            kind,
            start,
            file: length(file.len()),
            record: length(end - start - file.len()),
            run_exports: length(self.text.len() - end),
        });
        self.at(self.rows.len() - 1)
    }

    /// All packages.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.rows.iter().map(|row| self.of(row))
    }

    /// The place of a package, or of the first one that comes after it.
    pub(crate) fn find(&self, file: &str) -> Result<usize, usize> {
        self.rows
            .binary_search_by(|row| self.of(row).file.cmp(file))
    }

    /// A package by its place.
    pub(crate) fn at(&self, place: usize) -> Option<Record<'_>> {
        self.rows.get(place).map(|row| self.of(row))
    }

    fn of(&self, row: &Row) -> Record<'_> {
        let mut position = row.start;
        let mut next = |length: u32| {
            let start = position;
            position += length as usize;
            self.text.get(start..position).unwrap_or_default()
        };
        Record {
            kind: row.kind,
            file: next(row.file),
            record: next(row.record),
            run_exports: next(row.run_exports),
        }
    }
}
