//! One side of the proof: its records, and which names lead to which, so that a question is asked of the
//! records in its reach alone. Asked of all, the proof would cost questions times records.

use std::collections::{BTreeMap, HashMap, HashSet};

use conda::{PackageName, RepoDataRecord, Subdir};

use crate::meta::record;
use crate::meta::upstream::Upstream;

/// The records of all channels or of the result.
pub(in crate::meta) struct Side {
    /// By channel and folder, the most important channel first.
    folders: Vec<Vec<RepoDataRecord>>,
    /// All names that there are, or that something asks for.
    numbers: HashMap<String, usize>,
    names: Vec<Name>,
}

/// What is known of a name.
#[derive(Default)]
struct Name {
    /// Where its records are: the folder and the place in it.
    places: Vec<(usize, usize)>,
    /// The names that its records ask for.
    leads_to: Vec<usize>,
}

impl Side {
    pub(super) fn new(folders: Vec<Vec<RepoDataRecord>>) -> Self {
        let mut side = Self {
            folders: Vec::new(),
            numbers: HashMap::new(),
            names: Vec::new(),
        };
        // Most dependencies are written the same way again and again.
        let mut meant: HashMap<&str, usize> = HashMap::new();
        for (folder, records) in folders.iter().enumerate() {
            for (place, record) in records.iter().enumerate() {
                let number = side.number(record.package_record.name.as_normalized());
                side.names[number].places.push((folder, place));
                for text in dependencies(record) {
                    let other = *meant.entry(text).or_insert_with(|| {
                        side.number(&PackageName::normalized_name_from_matchspec_str(text))
                    });
                    side.names[number].leads_to.push(other);
                }
            }
        }
        for name in &mut side.names {
            name.leads_to.sort_unstable();
            name.leads_to.dedup();
        }
        side.folders = folders;
        side
    }

    /// All records of all names that the roots lead to.
    pub(super) fn whole(
        upstream: &Upstream,
        platform: Subdir,
        roots: impl Iterator<Item = String>,
    ) -> Self {
        let mut seen: HashSet<String> = HashSet::new();
        let mut open: Vec<String> = roots.collect();
        let mut found: BTreeMap<(usize, u32), RepoDataRecord> = BTreeMap::new();
        let mut known: HashSet<String> = HashSet::new();
        while let Some(name) = open.pop() {
            if name.starts_with("__") || !seen.insert(name.clone()) {
                continue;
            }
            for (number, listing) in upstream.listings.iter().enumerate() {
                if !listing.is_of(platform) {
                    continue;
                }
                for row in listing.text.of_name(&name) {
                    let typed = record::typed(
                        listing.text.record(*row),
                        listing.text.file(*row),
                        listing.subdir,
                        &listing.base_url,
                        &upstream.channels[listing.channel].url,
                    );
                    let Some(typed) = typed else { continue };
                    for text in dependencies(&typed) {
                        if known.insert(text.to_owned()) {
                            let name = PackageName::normalized_name_from_matchspec_str(text);
                            open.push(name.into_owned());
                        }
                    }
                    found.insert((number, *row), typed);
                }
            }
        }
        // One file name may be in two folders of a channel.
        let mut folders = vec![Vec::new(); upstream.listings.len()];
        for ((number, _), record) in found {
            folders[number].push(record);
        }
        Self::new(folders)
    }

    /// The records of the names that some names lead to, in the order of all.
    pub(super) fn in_reach<'n>(
        &self,
        roots: impl Iterator<Item = &'n PackageName>,
    ) -> Vec<Vec<&RepoDataRecord>> {
        let mut open: Vec<usize> = roots
            .filter_map(|name| self.numbers.get(name.as_normalized()))
            .copied()
            .collect();
        let mut seen = vec![false; self.names.len()];
        let mut places = Vec::new();
        while let Some(number) = open.pop() {
            if !std::mem::replace(&mut seen[number], true) {
                places.extend(&self.names[number].places);
                open.extend(&self.names[number].leads_to);
            }
        }
        places.sort_unstable();
        let mut folders = vec![Vec::new(); self.folders.len()];
        for (folder, place) in places {
            folders[folder].push(&self.folders[folder][place]);
        }
        folders
    }

    fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.names.len();
        self.names.push(Name::default());
        self.numbers.insert(name.to_owned(), number);
        number
    }
}

/// The specs of all that a record may bring with it.
fn dependencies(record: &RepoDataRecord) -> impl Iterator<Item = &str> {
    let record = &record.package_record;
    let extras = record.extra_depends.values().flatten();
    record.depends.iter().chain(extras).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn record(name: &str, depends: &str) -> RepoDataRecord {
        let text = format!(
            r#"{{"name":"{name}","version":"1","build":"0","build_number":0,"depends":[{depends}],"subdir":"noarch"}}"#
        );
        let url = Url::parse("https://example.org/noarch/").unwrap();
        let file = format!("{name}-1-0.conda");
        record::typed(&text, &file, Subdir::NoArch, &url, &url).unwrap()
    }

    fn names(side: &Side, root: &str) -> Vec<Vec<String>> {
        let root: PackageName = root.parse().unwrap();
        let name = |record: &&RepoDataRecord| record.package_record.name.as_normalized().to_owned();
        let folders = side.in_reach(std::iter::once(&root));
        folders
            .iter()
            .map(|folder| folder.iter().map(name).collect())
            .collect()
    }

    #[test]
    fn a_question_is_asked_of_what_it_leads_to() {
        let side = Side::new(vec![
            vec![record("z", r#""a >=1", "absent""#), record("other", "")],
            vec![
                record("b", r#""z""#),
                record("a", r#""B 1.*""#),
                record("z", ""),
            ],
        ]);
        assert_eq!(names(&side, "z"), [vec!["z"], vec!["b", "a", "z"]]);
        assert_eq!(names(&side, "other"), [vec!["other"], vec![]]);
        assert_eq!(names(&side, "absent"), [Vec::<String>::new(), vec![]]);
        assert_eq!(names(&side, "unheard-of"), [Vec::<String>::new(), vec![]]);
    }

    #[test]
    fn all_questions_together_are_no_more_than_the_records() {
        let pairs = (0..100).flat_map(|number| {
            let needs = format!(r#""below{number}""#);
            [
                record(&format!("root{number}"), &needs),
                record(&format!("below{number}"), ""),
            ]
        });
        let side = Side::new(vec![pairs.collect()]);
        let asked = (0..100).map(|number| names(&side, &format!("root{number}"))[0].len());
        assert_eq!(asked.sum::<usize>(), 200);
    }
}
