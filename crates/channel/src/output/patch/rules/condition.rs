//! The conditions of a rule.

use std::cmp::Ordering;

use super::pin::compare_versions;
use super::{Record, features, strings, text, texts};
use crate::glob::{Glob, is_plain};
use crate::json::Json;

/// The keys of records that conditions may name (`scalar_repodata_keys` in the model).
const KEYS: [&str; 16] = [
    "arch",
    "build",
    "build_number",
    "legacy_bz2_md5",
    "legacy_bz2_size",
    "license",
    "license_family",
    "md5",
    "name",
    "noarch",
    "platform",
    "sha256",
    "size",
    "subdir",
    "timestamp",
    "version",
];

/// One condition of those that all must be met.
#[derive(Debug)]
pub(super) struct Condition {
    negated: bool,
    test: Test,
}

#[derive(Debug)]
enum Test {
    SubdirIn(Vec<Glob>),
    ArtifactIn(Vec<Glob>),
    /// Every one of the patterns matches an item of the record's list.
    Has(&'static str, Vec<Glob>),
    HasFeatures(Vec<Glob>),
    Version(String),
    Matches(String, Vec<Glob>),
    Compares(String, Operator, Operand),
}

#[derive(Debug, Clone, Copy)]
enum Operator {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

#[derive(Debug)]
enum Operand {
    Version(String),
    Number(f64),
    Text(String),
}

impl Condition {
    pub(super) fn parse(key: &str, value: &Json) -> Result<Self, String> {
        let (negated, key) = match key.strip_prefix("not_") {
            Some(key) => (true, key),
            None => (false, key),
        };
        let globs = || texts(key, value).map(|texts| Glob::all(&texts));
        let test = match key {
            "subdir_in" => Test::SubdirIn(globs()?),
            "artifact_in" => Test::ArtifactIn(globs()?),
            "has_depends" => Test::Has("depends", globs()?),
            "has_constrains" => Test::Has("constrains", globs()?),
            "has_track_features" => Test::HasFeatures(globs()?),
            key => of_key(key, value)?,
        };
        Ok(Self { negated, test })
    }

    pub(super) fn is_met(&self, record: &Record, subdir: &str, file: &str) -> bool {
        self.test.holds(record, subdir, file) != self.negated
    }
}

/// A condition on one key of the record.
fn of_key(key: &str, value: &Json) -> Result<Test, String> {
    let known = |key: &str| KEYS.contains(&key);
    let unknown = || format!("unknown condition `{key}`");
    if let Some(key) = key.strip_suffix("_in").filter(|key| known(key)) {
        let globs = Glob::all(&texts(key, value)?);
        return Ok(Test::Matches(key.to_owned(), globs));
    }
    let operand = text(value).ok_or_else(|| format!("`{key}` is not a text or a number"))?;
    if key == "version" && matches!(value, Json::Float(_)) {
        return Err("`version` needs quotes: it is read as a number".to_owned());
    }
    if key == "version" && is_plain(&operand) {
        return Ok(Test::Version(operand));
    }
    if known(key) {
        return Ok(Test::Matches(key.to_owned(), vec![Glob::new(&operand)]));
    }
    let (name, operator) = key.rsplit_once('_').ok_or_else(unknown)?;
    let operator = match operator {
        "lt" => Operator::Less,
        "le" => Operator::LessOrEqual,
        "gt" => Operator::Greater,
        "ge" => Operator::GreaterOrEqual,
        "eq" => Operator::Equal,
        "ne" => Operator::NotEqual,
        _ => return Err(unknown()),
    };
    if !known(name) {
        return Err(unknown());
    }
    let operand = match name {
        "version" if matches!(value, Json::Float(_)) => {
            return Err(format!("`{key}` needs quotes: it is read as a number"));
        }
        "version" => Operand::Version(operand),
        "build_number" | "timestamp" | "size" => Operand::Number(
            operand
                .trim()
                .parse()
                .map_err(|_| format!("`{key}` is not a number"))?,
        ),
        _ => Operand::Text(operand),
    };
    Ok(Test::Compares(name.to_owned(), operator, operand))
}

impl Test {
    fn holds(&self, record: &Record, subdir: &str, file: &str) -> bool {
        let any = |globs: &[Glob], text: &str| globs.iter().any(|glob| glob.matches(text));
        let value = |key: &str| record.get(key).and_then(text);
        match self {
            Self::SubdirIn(globs) => any(globs, subdir),
            Self::ArtifactIn(globs) => any(globs, file),
            Self::Has(key, globs) => {
                let items = strings(record, key);
                let has = |glob: &Glob| items.iter().any(|item| glob.matches(item));
                globs.iter().all(has)
            }
            Self::HasFeatures(globs) => {
                let items = features(record);
                let has = |glob: &Glob| items.iter().any(|item| glob.matches(item));
                globs.iter().all(has)
            }
            Self::Version(wanted) => value("version")
                .is_some_and(|version| compare_versions(&version, wanted) == Ordering::Equal),
            Self::Matches(key, globs) => value(key).is_some_and(|value| any(globs, &value)),
            Self::Compares(key, operator, operand) => {
                let ordering = match operand {
                    Operand::Version(wanted) => {
                        value(key).map(|version| compare_versions(&version, wanted))
                    }
                    Operand::Number(wanted) => {
                        let number = value(key).and_then(|number| number.trim().parse().ok());
                        // Old packages have no time: they count as made in 1970.
                        let number = number.or((key == "timestamp").then_some(0.0));
                        number.and_then(|number: f64| number.partial_cmp(wanted))
                    }
                    Operand::Text(wanted) => value(key).map(|text| text.cmp(wanted)),
                };
                ordering.is_some_and(|ordering| operator.allows(ordering))
            }
        }
    }
}

impl Operator {
    fn allows(self, ordering: Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
        }
    }
}
