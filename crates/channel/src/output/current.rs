//! `current_repodata.json`: the newest version of every package, what their dependencies need besides,
//! and the versions that the user pins. The choice is that of conda-index's `current_repodata.py`
//! together with conda 23.10's `Resolve`, on the records after patches. What conda cannot parse makes
//! conda-index fail; here it is nothing that anybody needs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;

use archive::package::Kind;

use self::spec::{Candidate, Spec};
use self::version::VersionOrder;
use super::repodata::{Each, fields};
use crate::json::Json;
use crate::yaml;

mod spec;
#[cfg(test)]
mod tests;
pub(crate) mod version;

/// Versions to keep besides the newest, by package (`--current-index-versions`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pins(BTreeMap<String, Vec<String>>);

/// Why pins cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PinsError {
    /// They are no YAML.
    #[error("the versions to keep are no YAML that can be used")]
    Yaml {
        /// What is wrong.
        #[source]
        source: yaml::Error,
    },
    /// They have another form.
    #[error("the versions to keep of `{package}` are not a list")]
    Form {
        /// The package.
        package: String,
    },
}

impl Pins {
    /// Reads `{python: ["3.8", "3.9"]}`.
    pub(crate) fn parse(text: &str) -> Result<Self, PinsError> {
        let form = |package: &str| PinsError::Form {
            package: package.to_owned(),
        };
        let root = yaml::parse(text).map_err(|source| PinsError::Yaml { source })?;
        let packages = match root {
            Json::Map(packages) => packages,
            Json::Null => BTreeMap::new(),
            _ => return Err(form("*")),
        };
        let mut pins = BTreeMap::new();
        for (package, versions) in packages {
            let Json::List(versions) = versions else {
                return Err(form(&package));
            };
            let versions = versions
                .iter()
                .map(|version| match version {
                    Json::Text(version) | Json::Integer(version) => Ok(version.clone()),
                    Json::Float(_) => {
                        let mut text = String::new();
                        version.write(&mut text);
                        Ok(text)
                    }
                    _ => Err(form(&package)),
                })
                .collect::<Result<_, _>>()?;
            pins.insert(package, versions);
        }
        Ok(Self(pins))
    }
}

/// The packages that `current_repodata.json` has, by file name, each with what is to be inserted as
/// `legacy_bz2_md5`: nothing for a `.tar.bz2`, for a `.conda` the text of its twin's md5 or `null`.
pub(crate) fn select(each: Each<'_>, pins: &Pins) -> io::Result<HashMap<String, Option<String>>> {
    let (records, md5) = collect(each)?;
    let all = Groups::new(&records, 0..records.len());
    let mut kept = newest(&records, &all, pins);
    let dependencies = dependencies(each, &records, &kept)?;
    add_missing(&records, &all, &mut kept, &dependencies);
    add_without_features(&records, &all, &mut kept);
    Ok(kept
        .into_iter()
        .filter_map(|at| records.get(at))
        .map(|record| {
            let legacy = (record.kind == Kind::Conda).then(|| {
                let twin = record.file.replace(".conda", ".tar.bz2");
                md5.get(&twin).cloned().unwrap_or("null".to_owned())
            });
            (record.file.clone(), legacy)
        })
        .collect())
}

/// A record with `legacy_bz2_md5` at its place.
pub(crate) fn with_legacy_md5(record: &str, md5: &str) -> String {
    fields::with(record, "legacy_bz2_md5", Some(md5))
}

/// What of a record counts here.
struct Record {
    kind: Kind,
    file: String,
    name: String,
    version: String,
    order: Option<VersionOrder>,
    build: String,
    build_number: i64,
    /// In seconds.
    timestamp: f64,
    has_features: bool,
}

impl Candidate for Record {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> (&str, Option<&VersionOrder>) {
        (&self.version, self.order.as_ref())
    }

    fn build(&self) -> &str {
        &self.build
    }

    fn build_number(&self) -> i64 {
        self.build_number
    }
}

impl Record {
    fn new(kind: Kind, file: &str, text: &str) -> Option<Self> {
        let mut record = Self {
            kind,
            file: file.to_owned(),
            name: String::new(),
            version: String::new(),
            order: None,
            build: String::new(),
            build_number: 0,
            timestamp: 0.0,
            has_features: false,
        };
        for (key, value) in fields::fields(text).map_while(Result::ok) {
            let string = || {
                fields::string(value).map_or_else(|| value.to_owned(), std::borrow::Cow::into_owned)
            };
            match &*key {
                "name" => record.name = string(),
                "version" => record.version = string(),
                "build" => record.build = string(),
                "build_number" => record.build_number = string().parse().unwrap_or_default(),
                "timestamp" => record.timestamp = seconds(string().parse().unwrap_or_default()),
                "features" | "track_features" => {
                    let none = ["\"\"", "[]", "null", "false"];
                    record.has_features |= !none.contains(&value)
                        && string().contains(|c: char| !matches!(c, ' ' | ',' | '[' | ']' | '"'));
                }
                // conda ignores records of a later form.
                "record_version" if value.parse::<f64>().is_ok_and(|v| v > 1.0) => return None,
                _ => {}
            }
        }
        record.order = VersionOrder::parse(&record.version);
        (!record.name.is_empty()).then_some(record)
    }

    /// The order in which conda prefers packages of one name (`Resolve.version_key`).
    fn preference(&self) -> impl Ord + '_ {
        (
            self.order.as_ref(),
            self.build_number,
            Time(self.timestamp),
            &self.build,
        )
    }
}

/// A time that is ordered.
#[derive(PartialEq)]
struct Time(f64);

impl Eq for Time {}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Time {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Times after the year 9999 are in milliseconds.
fn seconds(time: f64) -> f64 {
    if time > 253_402_300_799.0 {
        time / 1000.0
    } else {
        time
    }
}

/// The records that conda loads, and the md5 of each `.tar.bz2` as JSON.
fn collect(each: Each<'_>) -> io::Result<(Vec<Record>, HashMap<String, String>)> {
    let mut records: Vec<Record> = Vec::new();
    // conda takes packages of the same version and build for one, and the one that comes last.
    let mut known: HashMap<(String, String, i64, String), usize> = HashMap::new();
    let mut add = |record: Record| {
        let key = (
            record.name.clone(),
            record.version.clone(),
            record.build_number,
            record.build.clone(),
        );
        if let Some(earlier) = known.get(&key).and_then(|at| records.get_mut(*at)) {
            *earlier = record;
        } else {
            known.insert(key, records.len());
            records.push(record);
        }
    };
    let mut stems = HashSet::new();
    each(Kind::Conda, &mut |file, text| {
        stems.insert(file.strip_suffix(".conda").unwrap_or(file).to_owned());
        Record::new(Kind::Conda, file, text)
            .into_iter()
            .for_each(&mut add);
        Ok(())
    })?;
    let mut md5 = HashMap::new();
    each(Kind::TarBz2, &mut |file, text| {
        if stems.contains(file.strip_suffix(".tar.bz2").unwrap_or(file)) {
            if let Some(digest) = fields::field(text, "md5") {
                md5.insert(file.to_owned(), digest.to_owned());
            }
        } else {
            Record::new(Kind::TarBz2, file, text)
                .into_iter()
                .for_each(&mut add);
        }
        Ok(())
    })?;
    Ok((records, md5))
}

/// Records by name, the preferred ones first.
struct Groups<'a>(HashMap<&'a str, Vec<usize>>);

impl<'a> Groups<'a> {
    fn new(records: &'a [Record], of: impl IntoIterator<Item = usize>) -> Self {
        let mut groups: HashMap<&str, Vec<usize>> = HashMap::new();
        for at in of {
            if let Some(record) = records.get(at) {
                groups.entry(&record.name).or_default().push(at);
            }
        }
        for group in groups.values_mut() {
            group.sort_by_cached_key(|at| Reverse(records.get(*at).map(Record::preference)));
        }
        Self(groups)
    }

    fn matching(&self, records: &[Record], spec: &Spec) -> Vec<usize> {
        let matches = |at: &usize| records.get(*at).is_some_and(|record| spec.matches(record));
        match spec.exact_name() {
            Some(name) => {
                let group = self.0.get(name).map_or(&[][..], |group| group);
                group.iter().copied().filter(matches).collect()
            }
            None => (0..records.len())
                .filter(matches)
                .filter(|at| {
                    let name = records.get(*at).map(|record| &*record.name);
                    name.and_then(|name| self.0.get(name))
                        .is_some_and(|group| group.contains(at))
                })
                .collect(),
        }
    }

    /// All builds of a version, which is taken as a beginning, as conda does.
    fn of_version(&self, records: &[Record], name: &str, version: &str) -> Vec<usize> {
        Spec::parse(&format!("{name}={version}"))
            .map(|spec| self.matching(records, &spec))
            .unwrap_or_default()
    }
}

fn newest(records: &[Record], all: &Groups<'_>, pins: &Pins) -> BTreeSet<usize> {
    let mut kept = BTreeSet::new();
    let version = |at: Option<&usize>| at.and_then(|at| records.get(*at)).map(|r| &*r.version);
    for (name, group) in &all.0 {
        if let Some(version) = version(group.first()) {
            kept.extend(all.of_version(records, name, version));
        }
        for pin in pins.0.get(*name).into_iter().flatten() {
            let matches = all.of_version(records, name, pin);
            if let Some(version) = version(matches.first()) {
                kept.extend(all.of_version(records, name, version));
            }
        }
    }
    kept
}

/// All dependencies of the kept records, each once.
fn dependencies(
    each: Each<'_>,
    records: &[Record],
    kept: &BTreeSet<usize>,
) -> io::Result<BTreeSet<String>> {
    let files: HashSet<&str> = kept
        .iter()
        .filter_map(|at| records.get(*at))
        .map(|record| &*record.file)
        .collect();
    let mut dependencies = BTreeSet::new();
    for kind in [Kind::Conda, Kind::TarBz2] {
        each(kind, &mut |file, text| {
            if files.contains(file)
                && let Some(depends) = fields::field(text, "depends")
                && let Ok(Json::List(depends)) = Json::parse(depends.as_bytes())
            {
                dependencies.extend(depends.into_iter().filter_map(|item| match item {
                    Json::Text(item) => Some(item),
                    _ => None,
                }));
            }
            Ok(())
        })?;
    }
    Ok(dependencies)
}

/// Adds what satisfies the dependencies that nothing kept satisfies; not what those need in turn.
fn add_missing(
    records: &[Record],
    all: &Groups<'_>,
    kept: &mut BTreeSet<usize>,
    dependencies: &BTreeSet<String>,
) {
    let before = Groups::new(records, kept.iter().copied());
    for spec in dependencies.iter().filter_map(|text| Spec::parse(text)) {
        if !before.matching(records, &spec).is_empty() {
            continue;
        }
        let Some(best) = all
            .matching(records, &spec)
            .first()
            .and_then(|at| records.get(*at))
        else {
            continue;
        };
        let name = spec.exact_name().unwrap_or("*");
        kept.extend(all.of_version(records, name, &best.version));
    }
}

/// Adds the newest package without features where the kept ones of its name have some.
fn add_without_features(records: &[Record], all: &Groups<'_>, kept: &mut BTreeSet<usize>) {
    let mut added: Vec<usize> = Vec::new();
    for (name, group) in Groups::new(records, kept.iter().copied()).0 {
        let of = |at: &usize| records.get(*at);
        if !group
            .iter()
            .filter_map(of)
            .any(|record| record.has_features)
        {
            continue;
        }
        let latest = group
            .first()
            .and_then(of)
            .and_then(|record| record.order.as_ref());
        let plain = all.0.get(name).into_iter().flatten().find(|at| {
            of(at).is_some_and(|record| !record.has_features && record.order.as_ref() <= latest)
        });
        added.extend(plain.copied());
    }
    kept.extend(added);
}
