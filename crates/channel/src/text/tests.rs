//! What is found in listings, however they are read.

use std::io::{Seek as _, Write as _};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::read::Reading;
use super::{Error, Text};

/// A file with this text, and all that a listing of it tells.
fn in_a_file(text: &str) -> (std::fs::File, Result<Text, Error>) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    let read = Text::of_file(file.try_clone().unwrap(), &mut file);
    (file, read)
}

fn rows(text: &Text) -> Vec<(String, String)> {
    (0..u32::try_from(text.len()).unwrap())
        .map(|row| (text.file(row).to_owned(), text.record(row).to_owned()))
        .collect()
}

/// What is found, which is the same in a file.
fn files(text: &str) -> Vec<(String, String)> {
    let found = rows(&Text::parse(text.to_owned()).unwrap());
    let (_file, read) = in_a_file(text);
    let read = read.unwrap();
    assert_eq!(rows(&read), found);
    read.check().unwrap();
    found
}

#[test]
fn records_are_the_text_that_they_are() {
    let found = files(
        r#"{"info":{"subdir":"noarch","base_url":"x"},"packages":{"b-1-0.tar.bz2":{ "name" : "b" },
        "caf\u00e9-1-0.tar.bz2":{},"README":{},"../b-1-0.conda":{},"\u002fb-1-0.conda":{}},"packages.conda":{"a-1-0.conda":{"name":"a"}},
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
    let refused =
        r#"{"packages":{"../a-1-0.conda":{},"README":{},"/b-1-0.conda":{},"c-1-0.conda":{}}}"#;
    assert_eq!(Text::parse(refused.to_owned()).unwrap().refused, 2);
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
    // One that has another name than its file.
    let removed = r#"{"packages":{"a-1-0.tar.bz2":{"name":"b"},"b-1-0.tar.bz2":{}},"removed":["a-1-0.tar.bz2"]}"#;
    assert_eq!(files(removed).len(), 1);
    let text = Text::parse(removed.to_owned()).unwrap();
    assert_eq!((text.of_name("b"), text.count_names()), (&[0][..], 1));
}

#[test]
fn names_are_the_records_own() {
    let text = Text::parse(
        r#"{"packages":{"A-1-0.tar.bz2":{"name":"A"},"a-2-0.tar.bz2":{"depends":["\"name\":\"a\""],"name":"z"},
        "b-1-0.tar.bz2":{"name": "b"},"c-1-0.tar.bz2":{}}}"#
            .to_owned(),
    )
    .unwrap();
    assert_eq!(text.of_name("a"), [0]);
    assert_eq!(text.of_name("z"), [1]);
    assert_eq!(text.of_name("b"), [2]);
    assert_eq!(text.of_name("c"), [3]);
    assert_eq!(text.count_names(), 4);
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
        assert!(in_a_file(text).1.is_err(), "{text}");
    }
}

#[test]
fn what_is_no_text_is_refused_where_it_is() {
    let bytes = b"{\"packages\":{\"a-1-0.conda\":{\"x\":\"\xc3\"}}}";
    for window in [1, 20, 4096] {
        let mut reading = Reading::new(None);
        reading.window = window;
        match reading.of_reader(&mut &bytes[..]) {
            Err(Error::Encoding { position }) => assert_eq!(position, 33),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_file_that_changes_is_noticed() {
    let text = r#"{"packages":{"a-1-0.tar.bz2":{"name":"a"},"b-1-0.tar.bz2":{"name":"b"}}}"#;
    let (file, read) = in_a_file(text);
    let read = read.unwrap();
    assert_eq!(read.record(0), r#"{"name":"a"}"#);
    file.set_len(50).unwrap();
    assert_eq!(read.record(1), "");
    assert!(read.check().is_err());
    // What was read before is there all the same.
    assert_eq!(read.file(0), "a-1-0.tar.bz2");

    let (mut file, read) = in_a_file(text);
    let read = read.unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    assert_eq!(read.record(1), r#"{"name":"b"}"#);
    let error = read.check().unwrap_err();
    assert!(error.to_string().contains("changed"), "{error}");
    file.write_all(b" ").unwrap();
}

fn record() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just(json!({})),
        "[a-cA]".prop_map(|name| json!({ "name": name })),
        "[a-c]{1,3}".prop_map(
            |name| json!({ "depends": ["ä \"name\":\"a\"", name], "more": { "a": [1, {}] } })
        ),
    ];
    (name, 0..40_usize).prop_map(|(mut record, length)| {
        record["fill"] = Value::from("é".repeat(length));
        record
    })
}

fn section(ending: &'static str) -> impl Strategy<Value = Map<String, Value>> {
    let file = ("[a-cA]-[1-3]-[0-1]", 0..8_u32).prop_map(move |(stem, odd)| match odd {
        0 => stem,
        _ => stem + ending,
    });
    prop::collection::btree_map(file, record(), 0..12).prop_map(|map| map.into_iter().collect())
}

proptest! {
    /// A listing is the same however it comes: whole, in pieces of any size, or from a file.
    #[test]
    fn windows_make_no_difference(
        old in section(".tar.bz2"),
        new in section(".conda"),
        stems in section(""),
        removed in prop::collection::vec("[a-c]-[1-3]-[0-1]\\.conda", 0..4),
        is_pretty in any::<bool>(),
        window in 1..200_usize,
        cut in any::<prop::sample::Index>(),
    ) {
        let listing = json!({
            "info": { "subdir": "noarch" },
            "packages": old,
            "packages.conda": new,
            "removed": removed,
            "v3": { "conda": stems },
        });
        let text = if is_pretty {
            serde_json::to_string_pretty(&listing).unwrap()
        } else {
            listing.to_string()
        };
        let whole = Text::parse(text.clone()).unwrap();
        let told = |text: &Text| {
            let names = ["a", "b", "c", "x", ""].map(|name| text.of_name(name).to_vec());
            (rows(text), names, text.count_names(), text.subdir.clone())
        };
        let mut reading = Reading::new(None);
        reading.window = window;
        let pieces = reading.of_reader(&mut text.as_bytes()).unwrap();
        prop_assert_eq!(told(&pieces), told(&whole));
        let (file, read) = in_a_file(&text);
        let read = read.unwrap();
        prop_assert_eq!(told(&read), told(&whole));
        read.check().unwrap();
        let stat = crate::scan::Stat::of(&file.metadata().unwrap());
        let mut reading = Reading::new(Some((file, stat)));
        reading.window = window;
        let read = reading.of_reader(&mut text.as_bytes()).unwrap();
        prop_assert_eq!(told(&read), told(&whole));
        let is_gone = |file: &str| removed.iter().any(|removed| removed == file);
        prop_assert!(rows(&whole).iter().all(|(file, _)| !is_gone(file)));
        // Half a listing is none.
        let half = text.as_bytes().split_at(cut.index(text.len())).0;
        let mut reading = Reading::new(None);
        reading.window = window;
        prop_assert!(reading.of_reader(&mut &*half).is_err());
    }
}
