//! Shards: their form, and that together they say what repodata.json says.

use std::collections::BTreeMap;
use std::io;

use archive::package::Kind;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use super::{
    Entry, Record, Shard, changed, created_at, file_name, index, members, msgpack, name, shard,
    text,
};
use crate::json::Json;
use crate::output::compress::Packer;
use crate::output::oracle;
use crate::output::patch::Instructions;
use crate::output::repodata::{Head, Revision};
use crate::output::samples::{self, Records};

const EXPORTS: &str = r#"{"weak":["w"]}"#;

/// The shards of records after a patch, by name.
fn shards(records: &Records, patch: &Instructions) -> BTreeMap<String, Shard> {
    let mut names: BTreeMap<String, Vec<Entry<'_>>> = BTreeMap::new();
    for (file, record) in records {
        let entry = (
            Kind::from_file_name(file).unwrap(),
            &**file,
            patch
                .shard_record(file, record, Some(EXPORTS))
                .unwrap()
                .map(Record::Changed),
        );
        let name = name(file, record).into_owned();
        names.entry(name).or_default().push(entry);
    }
    names
        .into_iter()
        .map(|(name, entries)| {
            (
                name,
                shard(&entries, false, &mut Packer::default()).unwrap(),
            )
        })
        .collect()
}

/// What a shard says, with digests in hexadecimal digits again.
fn read(shard: &Shard) -> Value {
    let plain = zstd::decode_all(&*shard.bytes).unwrap();
    assert_eq!(plain.len(), shard.decompressed);
    plain_value(rmp_serde::from_slice(&plain).unwrap())
}

/// A value of MessagePack: JSON and bytes.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Packed {
    Bytes(Bytes),
    Map(BTreeMap<String, Packed>),
    List(Vec<Packed>),
    Other(Value),
}

struct Bytes(Vec<u8>);

impl<'de> serde::Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The value with every digit, which `serde_json`'s reader does not promise.
fn plain(value: &Json) -> Value {
    match value {
        Json::Integer(digits) => serde_json::from_str(digits).unwrap(),
        Json::Float(number) => (*number).into(),
        Json::Text(text) => text.clone().into(),
        Json::Bool(value) => (*value).into(),
        Json::Null => Value::Null,
        Json::List(items) => items.iter().map(plain).collect(),
        Json::Map(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), plain(value)))
            .collect(),
    }
}

fn plain_value(packed: Packed) -> Value {
    match packed {
        Packed::Bytes(Bytes(bytes)) => hexadecimal(&bytes).into(),
        Packed::Map(map) => map
            .into_iter()
            .map(|(key, value)| (key, plain_value(value)))
            .collect(),
        Packed::List(items) => items.into_iter().map(plain_value).collect(),
        Packed::Other(value) => value,
    }
}

/// A record in both ways: written while it is read, if that can be, and of a tree.
fn both_ways(record: &str, run_exports: &str) -> (Option<Vec<u8>>, Vec<u8>) {
    let (mut read, mut tree) = (Vec::new(), Vec::new());
    let is_read = text::record(record, run_exports, &mut read).is_some();
    changed(&members(record, run_exports).unwrap(), &mut tree);
    (is_read.then_some(read), tree)
}

#[test]
fn records_are_the_same_without_a_tree() {
    let many: Vec<_> = (0..70_000).collect();
    let some: Vec<_> = (0..20).collect();
    let digest = "ab".repeat(32);
    for record in [
        "{}".to_owned(),
        format!(r#"{{"depends":{some:?},"md5":"0A","sha256":"{digest}","size":70000}}"#).replace(' ', ""),
        format!(r#"{{"a":{many:?},"z":{{"b":[],"c":{{}}}}}}"#).replace(' ', ""),
        r#"{"license":"\u00e9\\\"","md5":"abc","n":null,"run_exports":{"strong":["x"]},"sha256":7,"t":[true,false]}"#.to_owned(),
        r#"{"a":-1,"b":123456789012345678901234567890,"sha256":"","z":-70000}"#.to_owned(),
    ] {
        let (read, tree) = both_ways(&record, EXPORTS);
        assert_eq!(read.as_ref(), Some(&tree), "{record}");
    }
    for odd in [
        r#"{"b":1,"a":2}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":1.5}"#,
        r#"{"a": 1}"#,
    ] {
        assert_eq!(both_ways(odd, EXPORTS).0, None, "{odd}");
        assert_eq!(both_ways("{}", odd).0, None, "{odd}");
        let of = |record| {
            let entry = (Kind::Conda, "a-1-0.conda", Some(record));
            shard(&[entry], false, &mut Packer::default()).unwrap()
        };
        let members = members(odd, EXPORTS).unwrap();
        assert_eq!(
            of(Record::Unchanged(odd, EXPORTS)),
            of(Record::Changed(members))
        );
    }
    let broken = (
        Kind::Conda,
        "a-1-0.conda",
        Some(Record::Unchanged("{", "{}")),
    );
    assert!(shard(&[broken], false, &mut Packer::default()).is_err());
}

proptest! {
    #[test]
    fn any_record_is_the_same_without_a_tree(extra in prop::collection::btree_map("[a-z_]{1,12}", samples::value(), 0..6)) {
        let record = samples::record("a-1-0.conda", &extra);
        let (read, tree) = both_ways(&record, EXPORTS);
        if let Some(read) = read {
            prop_assert_eq!(read, tree);
        }
    }

    #[test]
    fn the_union_of_the_shards_is_the_repodata(records in samples::records(), patch in samples::instructions()) {
        let patch = Instructions::parse(patch.as_bytes()).unwrap();
        let mut union = BTreeMap::from([("packages", BTreeMap::new()), ("packages.conda", BTreeMap::new())]);
        let mut removed = Vec::new();
        for shard in shards(&records, &patch).values() {
            let shard = read(shard);
            for (section, all) in &mut union {
                for (file, record) in shard[*section].as_object().unwrap() {
                    let mut record = record.clone();
                    prop_assert_eq!(&record["run_exports"], &serde_json::json!({"weak": ["w"]}));
                    record.as_object_mut().unwrap().remove("run_exports");
                    prop_assert!(all.insert(file.clone(), record).is_none());
                }
            }
            if let Some(files) = shard.get("removed") {
                removed.extend(files.as_array().unwrap().iter().map(|file| file.as_str().unwrap().to_owned()));
            }
        }
        removed.sort();
        let exists = |_: Kind, file: &str| records.contains_key(file);
        prop_assert_eq!(removed, patch.removed(&exists));
        for (section, kind) in [("packages", Kind::TarBz2), ("packages.conda", Kind::Conda)] {
            let mut repodata = BTreeMap::new();
            for (file, record) in records.iter().filter(|(file, _)| Kind::from_file_name(file) == Some(kind)) {
                if let Some(record) = patch.record(file, record).unwrap() {
                    repodata.insert(file.clone(), plain(&Json::parse(record.as_bytes()).unwrap()));
                }
            }
            prop_assert_eq!(&union[section], &repodata);
        }
    }

    #[test]
    fn same_records_same_bytes(records in samples::records()) {
        let none = Instructions::default();
        prop_assert_eq!(shards(&records, &none), shards(&records, &none));
    }
}

#[test]
fn values_have_the_bytes_that_python_gives_them() {
    let mut runner = TestRunner::deterministic();
    let strategy = samples::value();
    let mut values: Vec<Json> = (0..2000)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect();
    values.extend(
        [
            "0",
            "127",
            "128",
            "255",
            "256",
            "65535",
            "65536",
            "4294967295",
            "4294967296",
            "18446744073709551615",
            "-1",
            "-32",
            "-33",
            "-128",
            "-129",
            "-32768",
            "-32769",
            "-2147483648",
            "-2147483649",
            "-9223372036854775808",
        ]
        .map(|digits| Json::Integer(digits.to_owned())),
    );
    values.extend([31, 32, 255, 256, 65535, 65536].map(|length| Json::Text("x".repeat(length))));
    values.extend([15, 16, 65535, 65536].map(|length| Json::List(vec![Json::Null; length])));
    values.extend([15, 16, 70000].map(|length| {
        Json::Map(
            (0..length)
                .map(|key| (key.to_string(), Json::Null))
                .collect(),
        )
    }));
    let mut input = String::new();
    for value in &values {
        value.write(&mut input);
        input.push('\n');
    }
    let Some(theirs) = oracle::python(
        "import json,sys,msgpack,hashlib\nfor line in sys.stdin: print(hashlib.sha256(msgpack.packb(json.loads(line))).hexdigest())",
        &input,
    ) else {
        return;
    };
    assert_eq!(theirs.lines().count(), values.len());
    for (value, theirs) in values.iter().zip(theirs.lines()) {
        let mut bytes = Vec::new();
        msgpack::value(value, &mut bytes);
        assert_eq!(
            archive::digest::Sha256::of(&bytes).to_string(),
            theirs,
            "{value:?}"
        );
    }
    // Python fails here.
    let mut bytes = Vec::new();
    msgpack::value(
        &Json::Integer("18446744073709551616".to_owned()),
        &mut bytes,
    );
    assert_eq!(
        bytes,
        [&[0xcb][..], &18_446_744_073_709_551_616_f64.to_be_bytes()].concat()
    );
}

#[test]
fn a_shard_has_the_form_of_the_standard() {
    let record = samples::record("a-1-0.conda", &BTreeMap::new());
    let records = Records::from([("a-1-0.conda".to_owned(), record.clone())]);
    let none = Instructions::default();
    let of_a = &shards(&records, &none)["a"];
    assert_eq!(
        zstd::zstd_safe::get_frame_content_size(&of_a.bytes).unwrap(),
        Some(of_a.decompressed as u64)
    );
    let plain = zstd::decode_all(&*of_a.bytes).unwrap();
    // A map of two, and digests as bytes.
    assert_eq!(plain[0], 0x82);
    let md5 = [&b"\xa3md5\xc4\x10"[..], b"\x01\x23\x45\x67\x89\xab\xcd\xef"].concat();
    assert!(plain.windows(md5.len()).any(|window| window == md5));
    let json = read(of_a);
    assert_eq!(json["packages"], serde_json::json!({}));
    assert!(json.get("removed").is_none());
    assert_eq!(file_name(&of_a.sha256).len(), 64 + ".msgpack.zst".len());

    let removed = Instructions::parse(br#"{"remove":["a-1-0.conda"]}"#).unwrap();
    assert_eq!(
        read(&shards(&records, &removed)["a"]),
        serde_json::json!({"packages": {}, "packages.conda": {}, "removed": ["a-1-0.conda"]})
    );
    let entry = (
        Kind::Conda,
        "a-1-0.conda",
        Some(Record::Unchanged(&record, "{}")),
    );
    let v3 = read(&shard(&[entry], true, &mut Packer::default()).unwrap());
    assert_eq!(v3["packages.conda"], serde_json::json!({}));
    assert_eq!(
        v3["v3"]["conda"]["a-1-0"]["run_exports"],
        serde_json::json!({})
    );
    assert_eq!(v3["v3"]["tar.bz2"], serde_json::json!({}));
    assert_eq!(v3["v3"]["whl"], serde_json::json!({}));
}

#[test]
fn a_shard_is_found_by_the_name_before_the_patch() {
    assert_eq!(name("a-1-0.conda", r#"{"name":"b"}"#), "b");
    assert_eq!(name("a-1-0.conda", r#"{"name":3}"#), "a");
    assert_eq!(name("a.conda", "{}"), "a.conda");
}

#[test]
fn an_index_is_the_same_until_something_changes() {
    let head = Head {
        subdir: "linux-64",
        base_url: Some("../x/linux-64/"),
        ..Head::default()
    };
    let digest = archive::digest::Sha256::of(b"");
    let shards = [("a", digest), ("b", digest)];
    let first = index(&head, "2026-11-22T23:00:00Z", &shards).unwrap();
    let time = created_at(&first).unwrap();
    assert_eq!(time, "2026-11-22T23:00:00Z");
    assert_eq!(index(&head, &time, &shards).unwrap(), first);
    assert_ne!(index(&head, &time, &shards[..1]).unwrap(), first);
    let plain = zstd::decode_all(&*first).unwrap();
    let value = plain_value(rmp_serde::from_slice(&plain).unwrap());
    assert_eq!(
        value,
        serde_json::json!({
            "version": 1,
            "info": {"base_url": "../x/linux-64/", "shards_base_url": "", "created_at": time, "subdir": "linux-64"},
            "shards": {"a": digest.to_string(), "b": digest.to_string()},
        })
    );
    let head = Head {
        channel_relations: Some(r#"{"base":"../c"}"#),
        v3: Some(Revision::default()),
        ..Head::default()
    };
    let plain = zstd::decode_all(&*index(&head, &time, &[]).unwrap()).unwrap();
    let value = plain_value(rmp_serde::from_slice(&plain).unwrap());
    assert_eq!(value["info"]["base_url"], "");
    assert_eq!(value["info"]["channel_relations"]["base"], "../c");
    assert_eq!(
        value["info"]["repodata_revisions"]["v3"]["newest"],
        Value::Null
    );
    for other in [
        &b""[..],
        b"no zstd",
        &first[..20],
        &zstd::encode_all(&b"\xaacreated_at"[..], 3).unwrap(),
    ] {
        assert_eq!(created_at(other), None);
    }
}

#[test]
fn errors_of_compression_are_the_only_ones() {
    let result: io::Result<Shard> = shard(&[], false, &mut Packer::default());
    assert_eq!(
        read(&result.unwrap()),
        serde_json::json!({"packages": {}, "packages.conda": {}})
    );
}
