//! repodata.json and its kin, written record by record: what makes 660,000 records cost their
//! text once. The form is conda-index's (`ChannelIndex.index_subdir`, `json_dumps`).

use std::io::{self, Write};

use archive::package::Kind;

use crate::json::write_text;

pub(crate) mod fields;
pub(crate) mod indent;
pub(crate) mod splice;
#[cfg(test)]
mod tests;

/// Gives all records of a kind, sorted by file name, to the function: file name and record text.
pub(crate) type Each<'a> =
    &'a dyn Fn(Kind, &mut dyn FnMut(&str, &str) -> io::Result<()>) -> io::Result<()>;

/// What stands in repodata.json besides the packages.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Head<'a> {
    /// The platform.
    pub(crate) subdir: &'a str,
    /// Where the packages of the platform are (CEP 15); makes `repodata_version` 2.
    pub(crate) base_url: Option<&'a str>,
    /// The object that `info.channel_relations` is to be, in the dialect (CEP 42).
    pub(crate) channel_relations: Option<&'a str>,
    /// All records stand below `v3`, as conda-index's `--repodata-next` has them (CEP 48).
    pub(crate) v3: Option<Revision>,
}

/// What `info.repodata_revisions` tells of the records below `v3` (CEP 48).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Revision {
    packages: u64,
    /// The oldest and the newest time, in milliseconds since 1970.
    times: Option<(i64, i64)>,
}

impl Revision {
    /// Counts a record. Its time is `indexed_timestamp` as the CEP has it, or else `timestamp`, which
    /// conda-index takes.
    pub(crate) fn add(&mut self, record: &str) {
        self.packages += 1;
        let time = ["indexed_timestamp", "timestamp"]
            .iter()
            .find_map(|key| fields::field_of_sorted(record, key).and_then(whole));
        if let Some(time) = time {
            let (oldest, newest) = self.times.unwrap_or((time, time));
            self.times = Some((oldest.min(time), newest.max(time)));
        }
    }

    /// The number of records, and of the oldest and the newest their times in milliseconds.
    pub(crate) fn parts(&self) -> (u64, Option<i64>, Option<i64>) {
        let (oldest, newest) = self.times.unzip();
        (self.packages, oldest, newest)
    }
}

/// Where the records stand that are not below `v3`.
const SECTIONS: [(Kind, &[u8]); 2] = [
    (Kind::TarBz2, b",\"packages\":"),
    (Kind::Conda, b",\"packages.conda\":"),
];

/// Writes the file without a line break at its end. `removed` must be sorted.
pub(crate) fn write(
    out: &mut dyn Write,
    head: &Head<'_>,
    each: Each<'_>,
    removed: &[String],
) -> io::Result<()> {
    write_info(out, head)?;
    if head.v3.is_some() {
        out.write_all(b",\"packages\":{},\"packages.conda\":{}")?;
    } else {
        for (kind, key) in SECTIONS {
            out.write_all(key)?;
            section(out, each, kind, false)?;
        }
    }
    write_removed(out, head, removed)?;
    if head.v3.is_some() {
        out.write_all(b",\"v3\":{\"conda\":")?;
        section(out, each, Kind::Conda, true)?;
        out.write_all(b",\"tar.bz2\":")?;
        section(out, each, Kind::TarBz2, true)?;
        out.write_all(b",\"whl\":{}}")?;
    }
    out.write_all(b"}")
}

/// What comes after the packages, `repodata_version` included.
fn write_removed(out: &mut dyn Write, head: &Head<'_>, removed: &[String]) -> io::Result<()> {
    out.write_all(b",\"removed\":[")?;
    for (position, file) in removed.iter().enumerate() {
        if position > 0 {
            out.write_all(b",")?;
        }
        out.write_all(quoted(file).as_bytes())?;
    }
    let version = if head.base_url.is_some() { 2 } else { 1 };
    write!(out, "],\"repodata_version\":{version}")
}

/// The string in quotes, escaped.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    write_text(text, &mut quoted);
    quoted
}

fn write_info(out: &mut dyn Write, head: &Head<'_>) -> io::Result<()> {
    out.write_all(b"{\"info\":{")?;
    if let Some(base) = head.base_url {
        write!(out, "\"base_url\":{},", quoted(base))?;
    }
    if let Some(relations) = head.channel_relations {
        write!(out, "\"channel_relations\":{relations},")?;
    }
    if let Some(revision) = head.v3 {
        let (packages, oldest, newest) = revision.parts();
        let time = |time: Option<i64>| time.map_or("null".to_owned(), |time| time.to_string());
        write!(
            out,
            "\"repodata_revisions\":{{\"v3\":{{\"n_packages\":{packages},\"newest\":{},\"oldest\":{}}}}},",
            time(newest),
            time(oldest)
        )?;
    }
    write!(out, "\"subdir\":{}}}", quoted(head.subdir))
}

fn section(out: &mut dyn Write, each: Each<'_>, kind: Kind, stems: bool) -> io::Result<()> {
    out.write_all(b"{")?;
    let mut first = true;
    let mut member = |key: &str, record: &str| {
        if !first {
            out.write_all(b",")?;
        }
        first = false;
        out.write_all(quoted(key).as_bytes())?;
        out.write_all(b":")?;
        out.write_all(record.as_bytes())
    };
    if stems {
        // Without extensions the order is another: `.` comes after `-` and before digits.
        let mut records = Vec::new();
        each(kind, &mut |file, record| {
            let stem = file.strip_suffix(kind.extension()).unwrap_or(file);
            records.push((stem.to_owned(), record.to_owned()));
            Ok(())
        })?;
        records.sort_unstable();
        for (stem, record) in &records {
            member(stem, record)?;
        }
    } else {
        each(kind, &mut member)?;
    }
    out.write_all(b"}")
}

/// The whole number that a value's text is, as Python's `int` makes one of it.
fn whole(value: &str) -> Option<i64> {
    if let Ok(number) = value.parse() {
        return Some(number);
    }
    let number: f64 = value.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the number is within bounds"
    )]
    (number.abs() < 9e15).then_some(number.trunc() as i64)
}
