//! Which packages channeldata.json is made of: of each platform, name and version the one built
//! last, where a `.conda` makes the `.tar.bz2` of the same stem superfluous.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;

use archive::package::Kind;

use crate::output::date;
use crate::output::repodata::Each;
use crate::output::repodata::fields::{fields, string};

/// The chosen packages by name.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    names: BTreeMap<String, Vec<Chosen>>,
}

/// One chosen package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// The platform's folder, by its position in the order in which the folders were added.
    pub(crate) subdir: usize,
    /// The file name.
    pub(crate) file: String,
}

impl Newest {
    /// Chooses among a folder's packages, by their records after patches. Folders are to be added in
    /// the order of their names, which is the order in which conda-index goes through them.
    pub(crate) fn add(&mut self, subdir: usize, each: Each<'_>) -> io::Result<()> {
        let mut stems = HashSet::new();
        let mut groups: HashMap<(String, String), usize> = HashMap::new();
        let mut found: Vec<(String, String, i64)> = Vec::new();
        let mut take = |file: &str, record: &str| {
            let Some((name, version, timestamp)) = identity(record) else {
                return;
            };
            match groups.entry((name, version)) {
                std::collections::hash_map::Entry::Vacant(vacant) => {
                    let name = vacant.key().0.clone();
                    vacant.insert(found.len());
                    found.push((name, file.to_owned(), timestamp));
                }
                std::collections::hash_map::Entry::Occupied(occupied) => {
                    if let Some((_, known, built)) = found.get_mut(*occupied.get())
                        && *built < timestamp
                    {
                        file.clone_into(known);
                        *built = timestamp;
                    }
                }
            }
        };
        each(Kind::Conda, &mut |file, record| {
            stems.extend(file.strip_suffix(".conda").map(str::to_owned));
            take(file, record);
            Ok(())
        })?;
        each(Kind::TarBz2, &mut |file, record| {
            let stem = file.strip_suffix(".tar.bz2").unwrap_or(file);
            if !stems.contains(stem) {
                take(file, record);
            }
            Ok(())
        })?;
        for (name, file, _) in found {
            let chosen = self.names.entry(name).or_default();
            chosen.push(Chosen { subdir, file });
        }
        Ok(())
    }

    /// The names in their order, with their packages.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, &[Chosen])> {
        self.names
            .iter()
            .map(|(name, chosen)| (name.as_str(), chosen.as_slice()))
    }
}

/// Seconds since 1970 of a `timestamp`'s JSON text; 0 if it is none.
pub(crate) fn seconds(value: &str) -> i64 {
    date::seconds(number(value))
}

/// Name, version and time in milliseconds.
fn identity(record: &str) -> Option<(String, String, i64)> {
    let (mut name, mut version, mut timestamp) = (None, None, 0);
    for (key, value) in fields(record).map_while(Result::ok) {
        match &*key {
            "name" => name = string(value),
            "version" => version = string(value),
            "timestamp" => timestamp = number(value),
            _ => {}
        }
    }
    let timestamp = date::milliseconds(timestamp);
    Some((name?.into_owned(), version?.into_owned(), timestamp))
}

/// A time, whole or not, or in quotes; never before 1970.
fn number(value: &str) -> i64 {
    let digits = value.trim_matches('"');
    let whole = digits.split_once('.').map_or(digits, |(whole, _)| whole);
    whole.parse().map_or(0, |time: i64| time.max(0))
}
