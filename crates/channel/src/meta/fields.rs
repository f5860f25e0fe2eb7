//! What decides whether a record stays, read from its text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::output::date;

/// The fields of one record. Lists of specs are as they stand there.
#[derive(Debug, Default)]
pub(super) struct Fields<'t> {
    pub(super) version: Cow<'t, str>,
    pub(super) build: Cow<'t, str>,
    pub(super) build_number: u64,
    pub(super) depends: Vec<Cow<'t, str>>,
    /// What is asked for under a name (CEP 44).
    pub(super) extra_depends: Vec<Cow<'t, str>>,
    pub(super) license: Option<Cow<'t, str>>,
    /// Features that are asked for and tracked.
    pub(super) features: Vec<String>,
    /// Whether it is weighed down.
    pub(super) is_tracked: bool,
    /// When it came into its channel, or else when it was built, in milliseconds since 1970.
    pub(super) time_ms: Option<i64>,
    /// The length of the package in bytes.
    pub(super) size: Option<u64>,
    /// What it imposes on those that are built with it, if the record tells (CEP 21).
    pub(super) run_exports: Option<Value>,
}

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'t>(#[serde(borrow)] Cow<'t, str>);

#[derive(Deserialize)]
struct Raw<'t> {
    #[serde(borrow)]
    version: Cow<'t, str>,
    #[serde(borrow, default)]
    build: Cow<'t, str>,
    #[serde(default)]
    build_number: u64,
    #[serde(borrow, default)]
    depends: Vec<Text<'t>>,
    #[serde(borrow, default)]
    extra_depends: Option<BTreeMap<String, Vec<Text<'t>>>>,
    #[serde(borrow, default)]
    license: Option<Text<'t>>,
    #[serde(default)]
    features: Option<Value>,
    #[serde(default)]
    track_features: Option<Value>,
    #[serde(default)]
    timestamp: Option<Value>,
    #[serde(default)]
    indexed_timestamp: Option<Value>,
    #[serde(default)]
    size: Option<Value>,
    #[serde(default)]
    run_exports: Option<Value>,
}

impl<'t> Fields<'t> {
    /// Reads a record; `None` where no client could use it.
    pub(super) fn read(record: &'t str) -> Option<Self> {
        match serde_json::from_str::<Raw<'t>>(record) {
            Ok(raw) => Some(Self::of(raw)),
            Err(_) => Self::odd(record),
        }
    }

    fn of(raw: Raw<'t>) -> Self {
        let plain = |texts: Vec<Text<'t>>| texts.into_iter().map(|text| text.0).collect();
        let tracked = features(raw.track_features.as_ref());
        let mut found = features(raw.features.as_ref());
        let is_tracked = !tracked.is_empty();
        found.extend(tracked);
        Self {
            version: raw.version,
            build: raw.build,
            build_number: raw.build_number,
            depends: plain(raw.depends),
            extra_depends: raw
                .extra_depends
                .into_iter()
                .flatten()
                .flat_map(|(_, specs)| specs)
                .map(|text| text.0)
                .collect(),
            license: raw.license.map(|text| text.0),
            features: found,
            is_tracked,
            time_ms: raw
                .indexed_timestamp
                .as_ref()
                .and_then(milliseconds)
                .or_else(|| raw.timestamp.as_ref().and_then(milliseconds)),
            size: raw.size.as_ref().and_then(Value::as_u64),
            run_exports: raw.run_exports,
        }
    }

    /// Old records have other types here and there.
    fn odd(record: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(record).ok()?;
        let text = |key: &str| match value.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        let specs = |list: Option<&Value>| -> Vec<Cow<'t, str>> {
            let items = list.and_then(Value::as_array).into_iter().flatten();
            items
                .filter_map(|item| Some(Cow::Owned(item.as_str()?.to_owned())))
                .collect()
        };
        let extra = value.get("extra_depends").and_then(Value::as_object);
        let tracked = features(value.get("track_features"));
        let mut found = features(value.get("features"));
        let is_tracked = !tracked.is_empty();
        found.extend(tracked);
        Some(Self {
            version: Cow::Owned(text("version")?),
            build: Cow::Owned(text("build").unwrap_or_default()),
            build_number: text("build_number")
                .and_then(|number| number.parse().ok())
                .unwrap_or_default(),
            depends: specs(value.get("depends")),
            extra_depends: extra
                .into_iter()
                .flat_map(|groups| groups.values())
                .flat_map(|group| specs(Some(group)))
                .collect(),
            license: text("license").map(Cow::Owned),
            features: found,
            is_tracked,
            time_ms: ["indexed_timestamp", "timestamp"]
                .iter()
                .find_map(|key| value.get(key).and_then(milliseconds)),
            size: value.get("size").and_then(Value::as_u64),
            run_exports: value.get("run_exports").cloned(),
        })
    }
}

/// All specs that run exports hold, whatever their kind (CEP 12).
pub(super) fn exported(run_exports: &Value) -> Vec<&str> {
    let Some(kinds) = run_exports.as_object() else {
        return Vec::new();
    };
    let is_constraint = |kind: &str| kind.ends_with("constrains");
    kinds
        .iter()
        .filter(|(kind, _)| !is_constraint(kind))
        .flat_map(|(_, specs)| specs.as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect()
}

/// Features stand there as one text or as a list.
fn features(value: Option<&Value>) -> Vec<String> {
    let words = |text: &str| {
        text.split([' ', ','])
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    match value {
        Some(Value::String(text)) => words(text),
        Some(Value::Array(items)) => items
            .iter()
            .filter_map(Value::as_str)
            .flat_map(words)
            .collect(),
        _ => Vec::new(),
    }
}

/// A time as records have it: old ones in seconds.
fn milliseconds(value: &Value) -> Option<i64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a time beyond all bounds is as good as none"
    )]
    let time = value
        .as_i64()
        .or_else(|| value.as_f64().map(|time| time as i64))?;
    Some(date::milliseconds(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_all_ages() {
        let new = Fields::read(
            r#"{"build":"h1_0","build_number":3,"depends":["a >=1","b"],"extra_depends":{"x":["c 1.*"]},
            "license":"MIT","timestamp":1700000000000,"indexed_timestamp":1800000000000,"version":"1.0",
            "size":12,"track_features":["f","g h"],"run_exports":{"weak":["d"],"weak_constrains":["e"]}}"#,
        )
        .unwrap();
        assert_eq!(
            (&*new.version, &*new.build, new.build_number),
            ("1.0", "h1_0", 3)
        );
        assert_eq!(new.depends, ["a >=1", "b"]);
        assert_eq!(new.extra_depends, ["c 1.*"]);
        assert_eq!(new.features, ["f", "g", "h"]);
        assert!(new.is_tracked);
        assert_eq!(new.time_ms, Some(1_800_000_000_000));
        assert_eq!(new.size, Some(12));
        assert_eq!(exported(new.run_exports.as_ref().unwrap()), ["d"]);

        let old = Fields::read(
            r#"{"build":"0","build_number":"2","depends":null,"features":"vc9","size":7,"version":1.5,
            "timestamp":1500000000,"license":null}"#,
        )
        .unwrap();
        assert_eq!((&*old.version, old.build_number), ("1.5", 2));
        assert_eq!((old.time_ms, old.size), (Some(1_500_000_000_000), Some(7)));
        assert!(old.depends.is_empty() && !old.is_tracked);
        assert!(Fields::read("{\"build\":\"0\"}").is_none());
        assert!(Fields::read("[]").is_none());
    }

    #[test]
    fn texts_without_escapes_are_borrowed() {
        let record = r#"{"version":"1","depends":["a","\u0062"]}"#;
        let fields = Fields::read(record).unwrap();
        assert!(matches!(fields.depends[0], Cow::Borrowed("a")));
        assert_eq!(fields.depends[1], "b");
    }
}
