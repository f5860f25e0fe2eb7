//! What the fuzz targets (the folder `fuzz/`) do with any bytes, and the tests with the seeds and with
//! what was found once. Nothing else uses it.

use std::io::{self, Cursor};

use archive::package::{self, Kind, Options, Package};

use crate::json::Json;
use crate::output::compress::Packer;
use crate::output::patch::Instructions;
use crate::output::repodata::fields;
use crate::output::shards;
use crate::scan::{Wanted, metadata};

/// The most that a package decodes to here, in bytes.
const LIMIT: u64 = 32 << 20;

/// Records to be patched, by file name.
const RECORDS: [(&str, &str); 3] = [
    (
        "a-1-0.tar.bz2",
        r#"{"build":"0","depends":["b >=1"],"license":"MIT","name":"a","version":"1"}"#,
    ),
    (
        "a-1-0.conda",
        r#"{"build":"0","depends":["b >=1"],"deep":{"k":{"l":1}},"name":"a","version":"1"}"#,
    ),
    (
        "b-2-1.conda",
        r#"{"build":"1","depends":[],"name":"b","run_exports":1,"version":"2"}"#,
    ),
];

/// Reads a package in every way there is. What it tells can be listed.
pub fn package(kind: Kind, bytes: &[u8]) {
    let options = Options {
        total_limit: LIMIT,
        ..Options::default()
    };
    if let Ok(mut package) = Package::open_with(Cursor::new(bytes), kind, options) {
        let _ = package.index_json();
        let _ = package.info();
        let _ = package.needs_large_window();
        let _ = package.check_whole();
        let _ = package.entries::<package::Error>(&mut |entry| {
            assert!(
                !entry.path.starts_with('/') && !entry.path.split('/').any(|part| part == "..")
            );
            // A content that is cut off is an error, never a shorter one.
            if let Ok(length) = io::copy(entry.content, &mut io::sink()) {
                assert_eq!(length, entry.size, "{}", entry.path);
            }
            Ok(())
        });
    }
    for details in [false, true] {
        let wanted = Wanted {
            digests: true,
            run_exports: details,
            details,
        };
        for text in metadata::texts(bytes, kind, wanted) {
            same_again(&text);
        }
    }
}

/// Makes a record of an `index.json`, if it is one.
pub fn index_json(bytes: &[u8]) -> Option<String> {
    let record = metadata::record(bytes)?;
    same_again(&record);
    // What walks over the text sees what the tree has.
    let Ok(Json::Map(tree)) = Json::parse(record.as_bytes()) else {
        panic!("no object: {record}");
    };
    let walked: Vec<_> = fields::fields(&record)
        .collect::<Result<_, _>>()
        .expect("an object");
    assert_eq!(walked.len(), tree.len(), "{record}");
    for ((key, value), (expected, tree)) in walked.iter().zip(&tree) {
        assert_eq!(key, expected);
        assert_eq!(*value, written(tree));
        assert_eq!(fields::field_of_sorted(&record, key), Some(*value));
    }
    Some(record)
}

/// Applies instructions, if they are some, to a few records.
pub fn patch_instructions(bytes: &[u8]) {
    let Ok(instructions) = Instructions::parse(bytes) else {
        return;
    };
    let again = Instructions::parse(instructions.text().as_bytes()).expect("the same instructions");
    assert_eq!(again.text(), instructions.text());
    let mut entries = Vec::new();
    for (file, record) in RECORDS {
        let kind = Kind::from_file_name(file).expect("a package's name");
        let plain = instructions.record(file, record).expect("a record");
        let sharded = instructions
            .shard_record(file, record, Some(r#"{"weak":["a"]}"#))
            .expect("a record");
        let without = |map: &std::collections::BTreeMap<String, Json>| {
            let mut map = map.clone();
            map.remove("run_exports");
            Json::Map(map)
        };
        let parsed = plain
            .as_ref()
            .map(|text| match Json::parse(text.as_bytes()) {
                Ok(Json::Map(map)) => without(&map),
                other => panic!("no object: {other:?}"),
            });
        assert_eq!(parsed, sharded.as_ref().map(without), "{file}");
        assert_eq!(plain.is_none(), instructions.removes(file));
        let _ = instructions.run_exports(file, "{}");
        entries.push((kind, file, sharded.map(shards::Record::Changed)));
    }
    entries.sort_unstable_by_key(|(_, file, _)| *file);
    for v3 in [false, true] {
        shards::shard(&entries, v3, &mut Packer::default()).expect("a shard");
    }
}

/// Text in the dialect is read as what it was written for.
fn same_again(text: &str) {
    let value = Json::parse(text.as_bytes()).expect("what was written can be read");
    assert_eq!(written(&value), text);
}

fn written(value: &Json) -> String {
    let mut text = String::new();
    value.write(&mut text);
    text
}

#[cfg(test)]
mod tests {
    //! All seeds, in every run of the tests.

    use super::*;

    #[test]
    fn seeds() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
        let mut count = 0;
        let mut each = |target: &str, run: &dyn Fn(&[u8])| {
            for entry in fs_err::read_dir(folder.join(target)).unwrap() {
                run(&fs_err::read(entry.unwrap().path()).unwrap());
                count += 1;
            }
        };
        each("conda", &|bytes| package(Kind::Conda, bytes));
        each("tar_bz2", &|bytes| package(Kind::TarBz2, bytes));
        each("index_json", &|bytes| drop(index_json(bytes)));
        each("patch_instructions", &patch_instructions);
        assert!(count >= 12, "{count} seeds");
    }
}
