//! Patches, compared with what conda-index makes of them.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use archive::package::Kind;

use super::{Error, Instructions};
use crate::json::write_text;
use crate::output::repodata::{Head, write};
use crate::output::samples::{self, Records, dialect};
use crate::output::{oracle, repodata::fields};

fn instructions(text: &str) -> Instructions {
    Instructions::parse(text.as_bytes()).unwrap()
}

/// repodata.json of records after a patch.
fn patched(records: &Records, patch: &Instructions) -> String {
    let exists = |_: Kind, file: &str| records.contains_key(file);
    let removed = patch.removed(&exists);
    let head = Head {
        subdir: "noarch",
        ..Head::default()
    };
    let mut out = Vec::new();
    let each = samples::each(records);
    write(
        &mut out,
        &head,
        &|kind, take| {
            each(
                kind,
                &mut |file, record| match patch.record(file, record).unwrap() {
                    Some(record) => take(file, &record),
                    None => Ok(()),
                },
            )
        },
        &removed,
    )
    .unwrap();
    String::from_utf8(out).unwrap()
}

/// Reads pairs of repodata and instructions, one in a line, and writes what conda-index makes of each,
/// or nothing where it fails.
const APPLY: &str = r"
import json, sys
from conda_index.index import _apply_instructions
for line in sys.stdin:
    repodata, instructions = json.loads(line)
    try:
        repodata = _apply_instructions('noarch', repodata, instructions)
    except (AttributeError, TypeError):
        print()
    else:
        print(json.dumps(repodata, sort_keys=True, separators=(',', ':')))
";

#[test]
fn any_patch_does_what_it_does_in_conda_index() {
    let mut runner = TestRunner::deterministic();
    let strategy = (samples::records(), samples::instructions());
    let cases: Vec<_> = (0..1500)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect();
    let lines: Vec<_> = cases
        .iter()
        .map(|(records, patch)| format!("[{},{patch}]", patched(records, &Instructions::default())))
        .collect();
    let input = lines.join("\n") + "\n";
    let Some(output) = oracle::python(APPLY, &input) else {
        return;
    };
    let mut compared = 0;
    let mut changed = 0;
    for ((records, patch), theirs) in cases.iter().zip(output.lines()) {
        if theirs.is_empty() {
            continue;
        }
        let ours = patched(records, &instructions(patch));
        assert_eq!(ours, theirs, "{patch}");
        compared += 1;
        changed += usize::from(ours != patched(records, &Instructions::default()));
    }
    assert!(compared > 1000 && changed > 300, "{compared} {changed}");
}

#[test]
fn null_deletes_what_is_there_and_is_inserted_where_nothing_is() {
    let patch = instructions(
        r#"{"packages":{"a-1-0.tar.bz2":{"license":null}},"packages.conda":{"a-1-0.conda":{"license":null}}}"#,
    );
    let record = r#"{"license":"MIT","name":"a"}"#;
    let of = |file| patch.record(file, record).unwrap().unwrap().into_owned();
    assert_eq!(of("a-1-0.tar.bz2"), r#"{"name":"a"}"#);
    // Both sections apply to it: the second null finds nothing to delete.
    assert_eq!(of("a-1-0.conda"), r#"{"license":null,"name":"a"}"#);
    assert_eq!(of("b-1-0.conda"), record);
}

#[test]
fn what_is_taken_out_is_listed_and_what_is_revoked_cannot_be_installed() {
    let patch = instructions(
        r#"{"remove":["a-1-0.tar.bz2","gone-1-0.conda"],"revoke":["b-1-0.conda","c-1-0.tar.bz2"]}"#,
    );
    let record = r#"{"depends":["x"],"name":"n"}"#.to_owned();
    let records: Records = [
        "a-1-0.conda",
        "a-1-0.tar.bz2",
        "b-1-0.conda",
        "b-1-0.tar.bz2",
        "c-1-0.conda",
    ]
    .map(|file| (file.to_owned(), record.clone()))
    .into();
    let revoked = r#"{"depends":["x","package_has_been_revoked"],"name":"n","revoked":true}"#;
    assert_eq!(
        patched(&records, &patch),
        format!(
            concat!(
                r#"{{"info":{{"subdir":"noarch"}},"packages":{{"b-1-0.tar.bz2":{plain}}},"#,
                r#""packages.conda":{{"b-1-0.conda":{revoked},"c-1-0.conda":{revoked}}},"#,
                r#""removed":["a-1-0.conda","a-1-0.tar.bz2"],"repodata_version":1}}"#
            ),
            plain = record,
            revoked = revoked
        )
    );
    assert!(patch.leaves("b-1-0.tar.bz2") && !patch.leaves("c-1-0.conda"));
}

#[test]
fn run_exports_are_patched_from_version_2_on() {
    let text = |version| {
        format!(
            r#"{{"packages":{{"a-1-0.tar.bz2":{{"license":"X","run_exports":{{"weak":["b"]}}}}}},"patch_instructions_version":{version}}}"#
        )
    };
    let record = r#"{"name":"a"}"#;
    let (old, new) = (instructions(&text(1)), instructions(&text(2)));
    let exports = r#"{"strong":["c"],"weak":["a"]}"#;
    for file in ["a-1-0.tar.bz2", "a-1-0.conda"] {
        let of = |patch: &Instructions| patch.record(file, record).unwrap().unwrap().into_owned();
        assert_eq!(
            of(&old),
            r#"{"license":"X","name":"a","run_exports":{"weak":["b"]}}"#
        );
        assert_eq!(of(&new), r#"{"license":"X","name":"a"}"#);
        assert_eq!(old.run_exports(file, exports).unwrap(), exports);
        assert_eq!(
            new.run_exports(file, exports).unwrap(),
            r#"{"strong":["c"],"weak":["b"]}"#
        );
        for patch in [&old, &new] {
            let record = patch
                .shard_record(file, record, Some(exports))
                .unwrap()
                .unwrap();
            let mut text = String::new();
            record["run_exports"].write(&mut text);
            assert_eq!(text, r#"{"strong":["c"],"weak":["b"]}"#);
        }
    }
    assert_eq!(new.run_exports("b-1-0.conda", exports).unwrap(), exports);
}

#[test]
fn instructions_are_kept_in_the_dialect() {
    let patch = instructions(
        "\u{feff}{ \"revoke\": [], \"x\":\"é\",\n\"packages\": {\"b-1-0.conda\":{\"z\":1,\"a\":1.0}, \"a\":{} } }",
    );
    assert_eq!(
        patch.text(),
        r#"{"packages":{"a":{},"b-1-0.conda":{"a":1.0,"z":1}},"revoke":[],"x":"\u00e9"}"#
    );
    assert!(!patch.is_empty());
    for empty in ["{}", " { } "] {
        assert!(instructions(empty).is_empty());
    }
    assert!(Instructions::default().is_empty());
    assert_eq!(Instructions::default().text(), "{}");
}

#[test]
fn what_are_no_instructions_is_refused() {
    let message = |text: &str| {
        let error = Instructions::parse(text.as_bytes()).unwrap_err();
        match error {
            Error::Json { source } => source.to_string(),
            other => other.to_string(),
        }
    };
    for (text, expected) in [
        ("", "something else than an object at byte 0"),
        ("null", "something else than an object at byte 0"),
        (
            "{\"packages\":[]}",
            "`packages` in the patch instructions is not an object",
        ),
        (
            "{\"packages\":{\"a-1-0.conda\":3}}",
            "`a-1-0.conda` in the patch instructions is not an object",
        ),
        (
            "{\"remove\":{}}",
            "`remove` in the patch instructions is not a list of file names",
        ),
        (
            "{\"revoke\":[1]}",
            "`revoke` in the patch instructions is not a list of file names",
        ),
        (
            "{\"patch_instructions_version\":3}",
            "the patch instructions are of version 3; the newest that is understood is 2",
        ),
        ("{\"packages\":{\"a\":{\"b\":}}}", "no JSON value"),
    ] {
        assert!(
            message(text).contains(expected),
            "{text}: {}",
            message(text)
        );
    }
    assert!(Instructions::parse(b"\xff").is_err());
    let deep = format!(
        "{{\"packages\":{{\"a\":{}1{}}}}}",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    assert!(message(&deep).contains("too many levels"));
}

proptest! {
    #[test]
    fn any_text_is_taken_or_refused(text in "\\PC{0,60}") {
        let _ = Instructions::parse(text.as_bytes());
    }

    #[test]
    fn what_is_left_alone_stays_the_same(records in samples::records(), patch in samples::instructions()) {
        let patch = instructions(&patch);
        let again = instructions(patch.text());
        prop_assert_eq!(again.text(), patch.text());
        for (file, record) in &records {
            let after = patch.record(file, record).unwrap();
            prop_assert_eq!(after.is_none(), patch.removes(file));
            if patch.leaves(file) {
                prop_assert_eq!(after.as_deref(), Some(&**record));
            }
            if let Some(after) = after {
                prop_assert_eq!(dialect(&after), &*after);
                let mut name = String::new();
                write_text(fields::field(&after, "name").unwrap(), &mut name);
                prop_assert!(!name.is_empty());
            }
        }
    }
}
