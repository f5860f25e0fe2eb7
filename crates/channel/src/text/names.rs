//! Which rows are packages of which name, found out as they come.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use memchr::memmem;

/// The rows of each name.
#[derive(Debug, Default)]
pub(super) struct Names {
    lists: Vec<Vec<u32>>,
    numbers: HashMap<Box<str>, usize>,
    /// Rows whose files have another name.
    odd: Vec<u32>,
    /// The name of the row before, and its number.
    last: (String, usize),
}

impl Names {
    /// Takes the next row in; whether it has another name than the one before.
    pub(super) fn add(&mut self, row: usize, file: &str, record: &str) -> bool {
        let row = u32::try_from(row).unwrap_or(u32::MAX);
        // Most follow another of their name.
        let (last, number) = &self.last;
        if is_of(file, last)
            && has_name(record, last)
            && let Some(list) = self.lists.get_mut(*number)
        {
            list.push(row);
            return false;
        }
        let by_file = archive::package::split_file_name(file).map(|(name, _, _)| name);
        let name = name(by_file, record);
        if by_file.is_none_or(|by_file| lower(by_file.into()) != name) {
            self.odd.push(row);
        }
        if name.is_empty() {
            self.last = (String::new(), usize::MAX);
            return true;
        }
        let number = if let Some(number) = self.numbers.get(&*name) {
            *number
        } else {
            self.numbers.insert((&*name).into(), self.lists.len());
            self.lists.push(Vec::new());
            self.lists.len() - 1
        };
        if let Some(list) = self.lists.get_mut(number) {
            list.push(row);
        }
        self.last = (name.into_owned(), number);
        true
    }

    /// The rows of one name.
    pub(super) fn rows(&self, name: &str) -> &[u32] {
        let number = self.numbers.get(name);
        let list = number.and_then(|number| self.lists.get(*number));
        list.map(Vec::as_slice).unwrap_or_default()
    }

    /// The rows whose files have another name.
    pub(super) fn odd(&self) -> &[u32] {
        &self.odd
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Gives each row another number, or takes it out.
    pub(super) fn renumber(&mut self, numbers: &[Option<u32>]) {
        let number = |row: &u32| numbers.get(*row as usize).copied().flatten();
        for list in self.lists.iter_mut().chain([&mut self.odd]) {
            *list = list.iter().filter_map(number).collect();
        }
        let lists = &self.lists;
        let is_there = |number: &usize| lists.get(*number).is_some_and(|list| !list.is_empty());
        self.numbers.retain(|_, number| is_there(number));
    }
}

/// The name in a record. It is nearly always the one in the file name, and then nobody has to read the
/// record for it.
fn name<'t>(by_file: Option<&'t str>, record: &'t str) -> Cow<'t, str> {
    #[derive(serde::Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
    }
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

/// A name as clients compare it.
pub(super) fn lower(name: Cow<'_, str>) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        name
    }
}
