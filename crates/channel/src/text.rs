//! The records of one platform's folder, as text that is taken apart no further than where each
//! record begins and ends: 600,000 of them take little more than the file that they stand in.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use archive::package::Kind;
use memchr::memmem;
use serde_json::Value;

use crate::import::repodata::Place;
use crate::index::ChannelRelations;
use crate::json::{Error, Json};
use crate::output::repodata::fields::string;
use scan::Scanner;

mod scan;

/// Records, and where in the text they are.
#[derive(Debug, Default)]
pub(crate) struct Text {
    whole: String,
    rows: Vec<Row>,
    /// `info.base_url` (CEP 15).
    pub(crate) base_url: Option<String>,
    /// `info.subdir`.
    pub(crate) subdir: Option<String>,
    /// `info.channel_relations` (CEP 42).
    pub(crate) relations: ChannelRelations,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    file: (usize, u32),
    record: (usize, u32),
}

/// The rows of each name.
#[derive(Debug, Default)]
pub(crate) struct Names {
    rows: HashMap<Box<str>, Vec<u32>>,
}

impl Text {
    /// Takes a `repodata.json` apart. Whether records are JSON is told by whoever reads them.
    pub(crate) fn parse(text: String) -> Result<Self, Error> {
        let mut found = Found::default();
        let mut scanner = Scanner::new(&text);
        found.object(&text, &mut scanner, Place::Top)?;
        scanner.end()?;
        let Found {
            rows,
            written,
            removed,
            base_url,
            subdir,
            relations,
        } = found;
        let mut parsed = Self {
            whole: text,
            rows,
            base_url,
            subdir,
            relations,
        };
        for (row, file) in written {
            let start = parsed.whole.len();
            parsed.whole.push_str(&file);
            if let Some(row) = parsed.rows.get_mut(row) {
                row.file = (start, length(&file));
            }
        }
        if !removed.is_empty() {
            let text = &parsed.whole;
            parsed
                .rows
                .retain(|row| !removed.contains(of(text, row.file)));
        }
        if !parsed.is_sorted() {
            parsed.keep_the_last();
        }
        Ok(parsed)
    }

    /// Whether no name can be there twice, which needs no set of all names to know where `.conda` follows upon
    /// `.tar.bz2` and each is sorted.
    fn is_sorted(&self) -> bool {
        let file = |row: &Row| of(&self.whole, row.file);
        let mut turns = 0;
        self.rows.windows(2).all(|pair| match pair {
            [one, other] if file(one) >= file(other) => {
                turns += 1;
                turns == 1
                    && file(one).ends_with(Kind::TarBz2.extension())
                    && file(other).ends_with(Kind::Conda.extension())
            }
            _ => true,
        })
    }

    /// Of records with the same file name the last one counts, as for all who read JSON into a map.
    fn keep_the_last(&mut self) {
        let mut last: HashMap<&str, usize> = HashMap::with_capacity(self.rows.len());
        for (number, row) in self.rows.iter().enumerate() {
            last.insert(of(&self.whole, row.file), number);
        }
        let mut kept: Vec<usize> = last.into_values().collect();
        kept.sort_unstable();
        let rows = kept.into_iter().filter_map(|number| self.rows.get(number));
        self.rows = rows.copied().collect();
    }

    /// Adds a record that came from a shard.
    pub(crate) fn push(&mut self, file: &str, record: &Json) {
        let start = self.whole.len();
        self.whole.push_str(file);
        let middle = self.whole.len();
        record.write(&mut self.whole);
        let record = self.whole.len() - middle;
        self.rows.push(Row {
            file: (start, length(file)),
            record: (middle, u32::try_from(record).unwrap_or(u32::MAX)),
        });
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The file name of a row.
    pub(crate) fn file(&self, row: u32) -> &str {
        let row = self.rows.get(row as usize);
        row.map_or("", |row| of(&self.whole, row.file))
    }

    /// The record of a row, as it stood there.
    pub(crate) fn record(&self, row: u32) -> &str {
        let row = self.rows.get(row as usize);
        row.map_or("", |row| of(&self.whole, row.record))
    }

    /// The rows by the name of their packages.
    pub(crate) fn names(&self) -> Names {
        let mut rows: HashMap<Box<str>, Vec<u32>> = HashMap::new();
        let mut add = |name: Cow<'_, str>, found: Vec<u32>| match rows.get_mut(&*name) {
            Some(known) => known.extend(found),
            None => {
                rows.insert(name.into(), found);
            }
        };
        let mut last: (Cow<'_, str>, Vec<u32>) = (Cow::Borrowed(""), Vec::new());
        for row in 0..u32::try_from(self.rows.len()).unwrap_or(u32::MAX) {
            let (file, record) = (self.file(row), self.record(row));
            // Most follow another of their name.
            if !(is_of(file, &last.0) && has_name(record, &last.0)) {
                let name = name(file, record);
                let (name, found) = std::mem::replace(&mut last, (name, Vec::new()));
                if !found.is_empty() {
                    add(name, found);
                }
            }
            last.1.push(row);
        }
        add(last.0, last.1);
        rows.remove("");
        Names { rows }
    }
}

impl Names {
    /// The rows of one name.
    pub(crate) fn of(&self, name: &str) -> &[u32] {
        self.rows.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

/// The name in a record. It is nearly always the one in the file name, and then nobody has to read the
/// record for it.
fn name<'t>(file: &'t str, record: &'t str) -> Cow<'t, str> {
    #[derive(serde::Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
    }
    let by_file = archive::package::split_file_name(file).map(|(name, _, _)| name);
    if let Some(name) = by_file
        && has_name(record, name)
    {
        return lower(Cow::Borrowed(name));
    }
    match serde_json::from_str::<Named<'_>>(record) {
        Ok(named) => lower(named.name),
        Err(_) => lower(Cow::Borrowed(by_file.unwrap_or_default())),
    }
}

/// Whether `"name":"NAME"` stands in a record. A quote within a string is escaped, so that it can only be a
/// key with its value.
fn has_name(record: &str, name: &str) -> bool {
    const KEY: &str = "\"name\":";
    static FINDER: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(KEY));
    for at in FINDER.find_iter(record.as_bytes()) {
        let rest = record.get(at + KEY.len()..).unwrap_or_default();
        let value = rest.trim_start().strip_prefix('"');
        let after = value.and_then(|value| value.strip_prefix(name));
        if after.is_some_and(|after| after.starts_with('"')) {
            return true;
        }
    }
    false
}

/// Whether a file is `NAME-VERSION-BUILD` of a name, which may have dashes in it, as the others may not.
fn is_of(file: &str, name: &str) -> bool {
    let rest = file
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('-'));
    rest.is_some_and(|rest| memchr::memchr_iter(b'-', rest.as_bytes()).count() == 1)
}

fn lower(name: Cow<'_, str>) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        name
    }
}

fn of(text: &str, (start, length): (usize, u32)) -> &str {
    text.get(start..start + length as usize).unwrap_or_default()
}

fn length(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

#[derive(Default)]
struct Found {
    rows: Vec<Row>,
    /// File names that do not stand in the text as they are.
    written: Vec<(usize, String)>,
    removed: HashSet<String>,
    base_url: Option<String>,
    subdir: Option<String>,
    relations: ChannelRelations,
}

impl Found {
    /// Takes the members of the object that comes next in the text.
    fn object<'t>(
        &mut self,
        text: &'t str,
        scanner: &mut Scanner<'t>,
        place: Place,
    ) -> Result<(), Error> {
        scanner.open()?;
        while let Some(key) = scanner.key()? {
            let key = string(key).ok_or_else(|| scanner.error("a key that cannot be read"))?;
            if let Some(below) = place.below(&key) {
                self.object(text, scanner, below)?;
                continue;
            }
            let value = scanner.value()?;
            let read = || {
                serde_json::from_str::<Value>(value)
                    .map_err(|_| scanner.error("a value that cannot be read"))
            };
            match (place, &*key) {
                (Place::Top, "info") => {
                    let info = read()?;
                    let text = |key: &str| Some(info.get(key)?.as_str()?.to_owned());
                    self.base_url = text("base_url");
                    self.subdir = text("subdir");
                    self.relations = ChannelRelations::of(|key| {
                        let relations = info.get("channel_relations")?;
                        Some(relations.get(key)?.as_str()?.to_owned())
                    });
                }
                (Place::Top, "removed") => {
                    let removed = read()?;
                    let files = removed.as_array().into_iter().flatten();
                    let files = files.filter_map(|file| Some(file.as_str()?.to_owned()));
                    self.removed.extend(files);
                }
                (Place::Records(kind), _) => self.record(text, key, kind, value),
                _ => {}
            }
        }
        Ok(())
    }

    fn record<'t>(
        &mut self,
        text: &'t str,
        key: Cow<'t, str>,
        kind: Option<Kind>,
        record: &'t str,
    ) {
        let at = |part: &str| part.as_ptr() as usize - text.as_ptr() as usize;
        let file = match (key, kind) {
            (Cow::Borrowed(file), None) if Kind::from_file_name(file).is_some() => {
                (at(file), length(file))
            }
            (key, kind) => {
                let file = kind.map_or(key.clone().into_owned(), |kind| format!("{key}{kind}"));
                if Kind::from_file_name(&file).is_none() {
                    return;
                }
                self.written.push((self.rows.len(), file));
                (0, 0)
            }
        };
        self.rows.push(Row {
            file,
            record: (at(record), length(record)),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    fn files(text: &str) -> Vec<(String, String)> {
        let text = Text::parse(text.to_owned()).unwrap();
        (0..u32::try_from(text.len()).unwrap())
            .map(|row| (text.file(row).to_owned(), text.record(row).to_owned()))
            .collect()
    }

    #[test]
    fn records_are_the_text_that_they_are() {
        let found = files(
            r#"{"info":{"subdir":"noarch","base_url":"x"},"packages":{"b-1-0.tar.bz2":{ "name" : "b" },
            "caf\u00e9-1-0.tar.bz2":{},"README":{}},"packages.conda":{"a-1-0.conda":{"name":"a"}},
            "v3":{"conda":{"c-1-0":{"name":"c"}},"whl":{"d-1-0":{}}},"removed":["b-2-0.conda"],"more":[1]}"#,
        );
        let expected = [
            ("b-1-0.tar.bz2", r#"{ "name" : "b" }"#),
            ("café-1-0.tar.bz2", "{}"),
            ("a-1-0.conda", r#"{"name":"a"}"#),
            ("c-1-0.conda", r#"{"name":"c"}"#),
        ];
        let found: Vec<_> = found
            .iter()
            .map(|(file, record)| (&**file, &**record))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn of_a_name_that_is_there_twice_the_last_counts() {
        let found = files(
            r#"{"packages":{"a-1-0.tar.bz2":{"name":"a"},"b-1-0.tar.bz2":{},"a-1-0.tar.bz2":{"name":"A"}}}"#,
        );
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[1],
            ("a-1-0.tar.bz2".to_owned(), r#"{"name":"A"}"#.to_owned())
        );
        let removed = r#"{"packages":{"a-1-0.tar.bz2":{}},"removed":["a-1-0.tar.bz2"]}"#;
        assert!(files(removed).is_empty());
    }

    #[test]
    fn names_are_the_records_own() {
        let text = Text::parse(
            r#"{"packages":{"A-1-0.tar.bz2":{"name":"A"},"a-2-0.tar.bz2":{"depends":["\"name\":\"a\""],"name":"z"},
            "b-1-0.tar.bz2":{"name": "b"},"c-1-0.tar.bz2":{}}}"#
                .to_owned(),
        )
        .unwrap();
        let names = text.names();
        assert_eq!(names.of("a"), [0]);
        assert_eq!(names.of("z"), [1]);
        assert_eq!(names.of("b"), [2]);
        assert_eq!(names.of("c"), [3]);
        assert_eq!(names.len(), 4);
    }

    #[test]
    fn broken_texts_are_refused() {
        for text in [
            "",
            "[]",
            "{\"packages\":[]}",
            "{\"packages\":{\"a-1-0.conda\":{}}",
            "{} x",
        ] {
            assert!(Text::parse(text.to_owned()).is_err(), "{text}");
        }
    }
}
