//! The form of repodata.json, and the reading of its members.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write as _;

use proptest::prelude::*;

use super::fields::{field, fields, string};
use super::indent::Indented;
use super::splice::splice;
use super::{Head, Revision, write};
use crate::json::Json;
use crate::output::oracle;
use crate::output::samples::{self, Records, dialect, each, of_repodata};

fn written(head: &Head<'_>, records: &Records, removed: &[&str]) -> String {
    let removed: Vec<_> = removed.iter().map(|file| (*file).to_owned()).collect();
    let mut out = Vec::new();
    write(&mut out, head, &each(records), &removed).unwrap();
    String::from_utf8(out).unwrap()
}

fn head(subdir: &str) -> Head<'_> {
    Head {
        subdir,
        ..Head::default()
    }
}

#[test]
fn an_empty_platform_is_what_conda_index_writes() {
    assert_eq!(
        written(&head("linux-64"), &Records::new(), &[]),
        r#"{"info":{"subdir":"linux-64"},"packages":{},"packages.conda":{},"removed":[],"repodata_version":1}"#
    );
}

#[test]
fn options_add_their_keys() {
    let records = Records::from([
        ("a-1-0.tar.bz2".to_owned(), r#"{"name":"a"}"#.to_owned()),
        ("b-1-0.conda".to_owned(), r#"{"name":"b"}"#.to_owned()),
    ]);
    let head = Head {
        subdir: "noarch",
        base_url: Some("https://host.example/channel/noarch/"),
        channel_relations: Some(r#"{"base":"../conda-forge"}"#),
        v3: None,
    };
    assert_eq!(
        written(&head, &records, &["b-0-0.conda", "ä-0-0.conda"]),
        concat!(
            r#"{"info":{"base_url":"https://host.example/channel/noarch/","channel_relations":{"base":"../conda-forge"},"subdir":"noarch"},"#,
            r#""packages":{"a-1-0.tar.bz2":{"name":"a"}},"packages.conda":{"b-1-0.conda":{"name":"b"}},"#,
            r#""removed":["b-0-0.conda","\u00e4-0-0.conda"],"repodata_version":2}"#
        )
    );
}

#[test]
fn below_v3_keys_have_no_extension_and_their_own_order() {
    let records = Records::from([
        ("a-1-0.1.conda".to_owned(), r#"{"timestamp":5}"#.to_owned()),
        ("a-1-0.conda".to_owned(), r#"{"timestamp":3.5}"#.to_owned()),
        (
            "a-1-0.tar.bz2".to_owned(),
            r#"{"timestamp":"no"}"#.to_owned(),
        ),
    ]);
    let mut revision = Revision::default();
    for record in records.values() {
        revision.add(record);
    }
    let head = Head {
        v3: Some(revision),
        ..head("noarch")
    };
    assert_eq!(
        written(&head, &records, &[]),
        concat!(
            r#"{"info":{"repodata_revisions":{"v3":{"n_packages":3,"newest":5,"oldest":3}},"subdir":"noarch"},"#,
            r#""packages":{},"packages.conda":{},"removed":[],"repodata_version":1,"#,
            r#""v3":{"conda":{"a-1-0":{"timestamp":3.5},"a-1-0.1":{"timestamp":5}},"tar.bz2":{"a-1-0":{"timestamp":"no"}},"whl":{}}}"#
        )
    );
    let mut timed = Revision::default();
    timed.add(r#"{"indexed_timestamp":9,"timestamp":1}"#);
    assert_eq!(timed.parts(), (1, Some(9), Some(9)));
    assert_eq!(Revision::default().parts(), (0, None, None));
}

#[test]
fn real_records_pass_unchanged() {
    for (path, subdir) in [
        ("conda-forge-2024-05/noarch/repodata.json", "noarch"),
        (
            "conda-forge-2024-05/linux-aarch64/repodata.json",
            "linux-aarch64",
        ),
        ("conda-forge-2024-05/linux-64/repodata.json", "linux-64"),
        ("conda-forge-2017-12/noarch.repodata.json.bz2", "noarch"),
        ("conda-forge-2017-12/linux-64.repodata.json.bz2", "linux-64"),
    ] {
        let Some(text) = oracle::repodata(path) else {
            return;
        };
        let records = of_repodata(&text);
        assert!(records.len() > 200);
        let written = written(&head(subdir), &records, &[]);
        let (ours, theirs): (serde_json::Value, serde_json::Value) = (
            serde_json::from_str(&written).unwrap(),
            serde_json::from_str(&text).unwrap(),
        );
        for section in ["packages", "packages.conda"] {
            let empty = serde_json::json!({});
            assert_eq!(
                &ours[section],
                theirs.get(section).unwrap_or(&empty),
                "{path}"
            );
        }
        // The dialect is that of the file as a whole, too.
        assert_eq!(written, dialect(&written));
        let again = oracle::python(
            "import json,sys;print(json.dumps(json.load(sys.stdin),sort_keys=True,separators=(',',':')),end='')",
            &text,
        );
        if let Some(again) = again {
            for section in ["packages", "packages.conda"] {
                assert_eq!(
                    field(&written, section),
                    field(&again, section).or(Some("{}")),
                    "{path}"
                );
            }
        }
    }
}

#[test]
fn indented_text_is_pythons() {
    let text = r#"{"a":[],"b":{},"c":[1,[2,{"d":"{\"[,: \\"}]],"e":null}"#;
    let mut indented = Indented::new(Vec::new());
    indented.write_all(text.as_bytes()).unwrap();
    let indented = String::from_utf8(indented.finish().unwrap()).unwrap();
    assert_eq!(
        indented,
        concat!(
            "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1,\n    [\n      2,\n      {\n",
            "        \"d\": \"{\\\"[,: \\\\\"\n      }\n    ]\n  ],\n  \"e\": null\n}\n"
        )
    );
}

#[test]
fn what_is_no_object_is_told() {
    for (text, problem) in [
        ("", "something else than an object"),
        ("[]", "something else than an object"),
        ("{", "no key in quotes"),
        ("{\"a\"", "no colon after a key"),
        ("{\"a\":", "no JSON value"),
        ("{\"a\":}", "no JSON value"),
        ("{\"a\":1", "no comma between items"),
        ("{\"a\":1,}", "no key in quotes"),
        ("{\"a\":[1", "the text ends where a value is expected"),
        ("{\"a\":\"x", "a string without its end"),
        ("{\"a\":1}x", "more text after the value"),
        ("{\"a\" 1}", "no colon after a key"),
        ("{1:1}", "no key in quotes"),
    ] {
        let error = fields(text).find_map(Result::err).unwrap();
        assert_eq!(error.problem, problem, "{text}");
    }
    assert_eq!(field("{\"a\":1,\"a\":2,\"b\":3}", "a"), Some("2"));
    assert_eq!(string("\"a\\u00e9\"").unwrap(), "aé");
    assert_eq!(string("1"), None);
}

proptest! {
    #[test]
    fn members_are_the_objects(map in prop::collection::btree_map("[a-z\"\\\\é]{0,3}", samples::value(), 0..5)) {
        let mut text = String::new();
        Json::Map(map.clone()).write(&mut text);
        let read: BTreeMap<_, _> = fields(&text)
            .map(|member| {
                let (key, value) = member.unwrap();
                (key.into_owned(), Json::parse(value.as_bytes()).unwrap())
            })
            .collect();
        prop_assert_eq!(Json::Map(read), Json::parse(text.as_bytes()).unwrap());
        for key in map.keys().map(String::as_str).chain(["", "k", "zzz"]) {
            prop_assert_eq!(super::fields::field_of_sorted(&text, key), field(&text, key));
        }
    }

    #[test]
    fn indentation_is_only_white_space(value in samples::value()) {
        let mut text = String::new();
        value.write(&mut text);
        let mut indented = Indented::new(Vec::new());
        indented.write_all(text.as_bytes()).unwrap();
        let indented = indented.finish().unwrap();
        prop_assert_eq!(Json::parse(&indented).unwrap(), Json::parse(text.as_bytes()).unwrap());
    }

    #[test]
    fn any_text_ends(text in "[{}\\[\\]\":,a1\\\\ ]{0,40}") {
        prop_assert!(fields(&text).count() <= text.len() + 1);
    }
}

/// File names and records in which much looks like what is between them.
fn odd_records() -> impl Strategy<Value = Records> {
    let name = prop::sample::select(vec!["a", "b", "b\"}", "ä", "{", "\\", "z,"]);
    let kind = prop::sample::select(vec![".conda", ".tar.bz2"]);
    let text = prop::sample::select(vec![
        "{}".to_owned(),
        r#"{"name":"},\"b-1-0.conda\":{"}"#.to_owned(),
        r#"{"b-1-0.conda":{"a":{}},"x":["{","\\"]}"#.to_owned(),
        format!(r#"{{"name":"{}"}}"#, "x".repeat(300_000)),
    ]);
    let file =
        (name, 0..3_u8, kind).prop_map(|(name, version, kind)| format!("{name}-{version}-0{kind}"));
    prop::collection::btree_map(file, text, 0..8)
}

proptest! {
    #[test]
    fn a_file_that_is_spliced_is_the_one_that_is_written(
        before in odd_records(),
        after in odd_records(),
        chosen in prop::collection::vec(any::<bool>(), 16),
        removed in any::<bool>(),
    ) {
        let head = head("noarch");
        let removed: &[&str] = if removed { &["x-1-0.conda"] } else { &[] };
        // Some of what is different is told.
        let mut now = before.clone();
        let mut changes = BTreeMap::new();
        let files: Vec<_> = before.keys().chain(after.keys()).cloned().collect();
        for (file, chosen) in files.iter().zip(chosen) {
            if !chosen {
                continue;
            }
            let record = after.get(file);
            changes.insert(file.as_str(), record.map(|record| Cow::Borrowed(record.as_str())));
            match record {
                Some(record) => now.insert(file.clone(), record.clone()),
                None => now.remove(file),
            };
        }
        let old = written(&head, &before, &["y-1-0.conda"]);
        let removed_names: Vec<_> = removed.iter().map(|file| (*file).to_owned()).collect();
        let mut out = Vec::new();
        splice(&mut old.as_bytes(), &mut out, &head, &changes, &removed_names).unwrap();
        prop_assert_eq!(String::from_utf8(out).unwrap(), written(&head, &now, removed));
        // A part of it is refused, as is another head.
        for length in [0, old.len() / 2, old.find(",\"removed").unwrap() - 1] {
            let mut part = old.as_bytes().get(..length).unwrap();
            prop_assert!(splice(&mut part, &mut Vec::new(), &head, &changes, &[]).is_err());
        }
    }
}

#[test]
fn a_file_with_another_head_is_not_spliced() {
    let old = written(&head("noarch"), &Records::new(), &[]);
    let mut out = Vec::new();
    let other = head("linux-64");
    assert!(splice(&mut old.as_bytes(), &mut out, &other, &BTreeMap::new(), &[]).is_err());
}
