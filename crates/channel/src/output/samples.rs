//! For tests: records, made up or real, and what gives them to the outputs.

use std::collections::BTreeMap;
use std::io;

use archive::package::Kind;
use proptest::prelude::*;

use super::repodata::fields;
use crate::json::Json;

/// Records by file name, in the dialect.
pub(crate) type Records = BTreeMap<String, String>;

/// What takes a record in.
type Take<'a> = &'a mut dyn FnMut(&str, &str) -> io::Result<()>;

/// What gives all of them.
pub(crate) fn each(records: &Records) -> impl Fn(Kind, Take<'_>) -> io::Result<()> + '_ {
    move |kind, take| {
        records
            .iter()
            .filter(|(file, _)| Kind::from_file_name(file) == Some(kind))
            .try_for_each(|(file, record)| take(file, record))
    }
}

/// The text in the dialect.
pub(crate) fn dialect(text: &str) -> String {
    let mut out = String::new();
    Json::parse(text.as_bytes()).unwrap().write(&mut out);
    out
}

/// The records of a `repodata.json`.
pub(crate) fn of_repodata(text: &str) -> Records {
    ["packages", "packages.conda"]
        .iter()
        .filter_map(|key| fields::field(text, key))
        .flat_map(|section| fields::fields(section).map(Result::unwrap))
        .map(|(file, record)| (file.into_owned(), dialect(record)))
        .collect()
}

/// File names of few packages, so that patches hit.
pub(crate) fn file() -> impl Strategy<Value = String> {
    (
        "[ab]",
        "[01]",
        "[01]",
        prop_oneof![Just(".conda"), Just(".tar.bz2")],
    )
        .prop_map(|(name, version, build, extension)| {
            format!("{name}-{version}-{build}{extension}")
        })
}

/// Any JSON that is a little nested.
pub(crate) fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        (-300_i64..70_000).prop_map(|number| Json::Integer(number.to_string())),
        any::<i64>().prop_map(|number| Json::Integer(number.to_string())),
        (-1e9..1e9_f64).prop_map(Json::Float),
        "[a-zé \"\\\\]{0,40}".prop_map(Json::Text),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::List),
            prop::collection::btree_map("[kln]", inner, 0..3).prop_map(Json::Map),
        ]
    })
}

/// The text of a record for a file name.
pub(crate) fn record(file: &str, extra: &BTreeMap<String, Json>) -> String {
    let (name, version, build) = archive::package::split_file_name(file).unwrap();
    let mut record = extra.clone();
    for (key, value) in [
        ("name", name),
        ("version", version),
        ("build", build),
        ("md5", "0123456789abcdef0123456789abcdef"),
        (
            "sha256",
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ),
    ] {
        record.insert(key.to_owned(), Json::Text(value.to_owned()));
    }
    let depends = vec![Json::Text("x >=1".to_owned())];
    record.insert("depends".to_owned(), Json::List(depends));
    let mut text = String::new();
    Json::Map(record).write(&mut text);
    text
}

/// Some records with odd members.
pub(crate) fn records() -> impl Strategy<Value = Records> {
    let extra = prop::collection::btree_map("[klm]", value(), 0..3);
    prop::collection::btree_map(file(), extra, 0..8).prop_map(|records| {
        records
            .iter()
            .map(|(file, extra)| (file.clone(), record(file, extra)))
            .collect()
    })
}

/// Patch instructions that conda-index takes without failing.
pub(crate) fn instructions() -> impl Strategy<Value = String> {
    let patch = || {
        prop::collection::btree_map(
            prop_oneof![Just("k"), Just("l"), Just("new"), Just("license")],
            value(),
            0..3,
        )
    };
    let section = |extension: &'static str| {
        let file = file().prop_filter("of the kind", move |file| file.ends_with(extension));
        prop::collection::btree_map(file, patch(), 0..4)
    };
    let files = || prop::collection::vec(file(), 0..3);
    (section(".tar.bz2"), section(".conda"), files(), files()).prop_map(
        |(packages, conda, revoke, remove)| {
            let section = |section: BTreeMap<String, BTreeMap<&str, Json>>| {
                let patches = section.into_iter().map(|(file, patch)| {
                    let patch = patch
                        .into_iter()
                        .map(|(key, value)| (key.to_owned(), value))
                        .collect();
                    (file, Json::Map(patch))
                });
                Json::Map(patches.collect())
            };
            let list = |files: Vec<String>| Json::List(files.into_iter().map(Json::Text).collect());
            let mut text = String::new();
            Json::Map(BTreeMap::from([
                ("packages".to_owned(), section(packages)),
                ("packages.conda".to_owned(), section(conda)),
                (
                    "patch_instructions_version".to_owned(),
                    Json::Integer("1".to_owned()),
                ),
                ("revoke".to_owned(), list(revoke)),
                ("remove".to_owned(), list(remove)),
            ]))
            .write(&mut text);
            text
        },
    )
}
