//! Rules of `patch_yaml` files: the cases of conda-forge's documentation, and what is refused.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::pin::compare_versions;
use super::{Rules, documents};
use crate::glob::Glob;
use crate::json::Json;
use crate::output::patch::Instructions;
use crate::output::samples::{self, Records, each};

const FILE: &str = "pkg-1.2.3-py38_4.conda";

fn record() -> Records {
    let record = concat!(
        r#"{"build":"py38_4","build_number":4,"constrains":["c <2"],"#,
        r#""depends":["numpy >=1.5,<2.0a0","libx 1.2.3 h0_0","python","scipy-extra","numpy"],"license":"MIT","#,
        r#""name":"pkg","subdir":"linux-64","timestamp":1000,"track_features":"nomkl blas_b_2","version":"1.2.3"}"#
    );
    Records::from([(FILE.to_owned(), record.to_owned())])
}

fn rules(text: &str) -> Rules {
    let mut rules = Rules::default();
    rules.add(text).unwrap();
    rules
}

/// The record's patch by the rules, as text; nothing where there is none.
fn patch_of(records: &Records, text: &str) -> Option<String> {
    let text = rules(text)
        .instructions("linux-64", &each(records))
        .unwrap();
    Instructions::parse(text.as_bytes()).unwrap();
    let Json::Map(instructions) = Json::parse(text.as_bytes()).unwrap() else {
        panic!("{text}");
    };
    let Json::Map(mut conda) = instructions["packages.conda"].clone() else {
        panic!("{text}");
    };
    conda.remove(FILE).map(|patch| {
        let mut text = String::new();
        patch.write(&mut text);
        text
    })
}

fn patch(text: &str) -> Option<String> {
    patch_of(&record(), text)
}

fn meets(condition: &str) -> bool {
    patch(&format!(
        "if:\n  {condition}\nthen:\n  - add_depends: new\n"
    ))
    .is_some()
}

/// The dependencies after an action.
fn depends(action: &str) -> String {
    let patch = patch(&format!("if: {{name: pkg}}\nthen:\n  - {action}\n"));
    let Some(patch) = patch else {
        return "unchanged".to_owned();
    };
    let Json::Map(patch) = Json::parse(patch.as_bytes()).unwrap() else {
        panic!("{patch}");
    };
    match patch.get("depends") {
        Some(Json::List(items)) => items
            .iter()
            .map(|item| match item {
                Json::Text(text) => &**text,
                _ => "?",
            })
            .collect::<Vec<_>>()
            .join("; "),
        other => format!("{other:?}"),
    }
}

#[test]
fn conditions() {
    for yes in [
        "name: pkg",
        "name: p*",
        "name_in: [other, pk?]",
        "not_name: other",
        "version: 1.2.3",
        "version: 1.2.3.0",
        "version: '1.2.*'",
        "version_lt: 1.10.0",
        "version_ge: 1.2.3",
        "version_le: 1.2.3",
        "version_gt: 1.2.3rc1",
        "version_eq: 1.2.3.0",
        "version_ne: 1.2.4",
        "build_number: 4",
        "build_number_in: [1, 4]",
        "build_number_lt: 5",
        "build_number_ge: '4'",
        "build: py38_*",
        "timestamp_lt: 1001",
        "license: MIT",
        "subdir_in: linux-*",
        "not_subdir_in: [osx-64, win-64]",
        "artifact_in: pkg-1.2.3-py38_4.conda",
        "has_depends: numpy",
        "has_depends: 'numpy?( *)'",
        "has_depends: [python, 'libx *']",
        "has_constrains: c*",
        "has_track_features: nomkl",
        "not_has_track_features: blas_c_*",
        "not_noarch: python",
        "version_lt: 2.0.0",
    ] {
        assert!(meets(yes), "{yes}");
    }
    for no in [
        "name: PKG",
        "not_name: pkg",
        "version: '1.2'",
        "version_gt: 1.2.3",
        "build_number: 3",
        "timestamp_ge: 1001",
        "subdir_in: osx-64",
        "artifact_in: pkg-1.2.3-py38_4.tar.bz2",
        "has_depends: 'scipy?( *)'",
        "has_depends: [python, absent]",
        "noarch: python",
        "size_gt: 1",
        "license_family_in: [MIT]",
    ] {
        assert!(!meets(no), "{no}");
    }
    // All of them count, and records without a time are from 1970.
    assert!(patch("if: {name: pkg, build_number: 3}\nthen: [{add_depends: x}]").is_none());
    let mut untimed = record();
    for record in untimed.values_mut() {
        *record = record.replace(r#""timestamp":1000,"#, "");
    }
    assert!(patch_of(&untimed, "if: {timestamp_lt: 1}\nthen: [{add_depends: x}]").is_some());
}

#[test]
fn lists_are_added_to_and_taken_from() {
    let all = "numpy >=1.5,<2.0a0; libx 1.2.3 h0_0; python; scipy-extra; numpy";
    for (action, expected) in [
        ("add_depends: new >=1", format!("{all}; new >=1")),
        ("add_depends: python", "unchanged".to_owned()),
        (
            "add_depends: ['a ${version}', 'b ${next_version}|$major_version.${minor_version}.$patch_version', 'c ${subdir} $$']",
            format!("{all}; a 1.2.3; b 1.2.4|1.2.3; c linux-64 $"),
        ),
        ("add_depends: 'price $5'", format!("{all}; price $5")),
        (
            "remove_depends: numpy*",
            "libx 1.2.3 h0_0; python; scipy-extra".to_owned(),
        ),
        (
            "remove_depends: 'numpy?( *)'",
            "libx 1.2.3 h0_0; python; scipy-extra".to_owned(),
        ),
        (
            "remove_depends: numpy",
            "numpy >=1.5,<2.0a0; libx 1.2.3 h0_0; python; scipy-extra".to_owned(),
        ),
        ("remove_depends: absent", "unchanged".to_owned()),
        ("remove_depends: '*'", "Some(Null)".to_owned()),
        ("reset_depends: one", "one".to_owned()),
        (
            "reset_depends: [one, 'two ${build_number}']",
            "one; two 4".to_owned(),
        ),
        (
            "replace_depends: {old: python, new: 'python >=3'}",
            "numpy >=1.5,<2.0a0; libx 1.2.3 h0_0; python >=3; scipy-extra; numpy".to_owned(),
        ),
        (
            "replace_depends: {old: 'numpy*', new: '${old} x'}",
            "numpy >=1.5,<2.0a0 x; libx 1.2.3 h0_0; python; scipy-extra; numpy x".to_owned(),
        ),
        // What is there already is not there twice.
        (
            "replace_depends: {old: 'scipy-*', new: numpy}",
            "numpy >=1.5,<2.0a0; libx 1.2.3 h0_0; python; numpy".to_owned(),
        ),
        (
            "replace_depends: {old: python, new: python}",
            "unchanged".to_owned(),
        ),
        (
            "rename_depends: {old: numpy, new: numpy-base}",
            "numpy-base >=1.5,<2.0a0; libx 1.2.3 h0_0; python; scipy-extra; numpy".to_owned(),
        ),
        (
            "relax_exact_depends: {name: libx}",
            "numpy >=1.5,<2.0a0; libx >=1.2.3; python; scipy-extra; numpy".to_owned(),
        ),
        (
            "relax_exact_depends: {name: libx, max_pin: x.x}",
            "numpy >=1.5,<2.0a0; libx >=1.2.3,<1.3.0a0; python; scipy-extra; numpy".to_owned(),
        ),
        ("relax_exact_depends: {name: numpy}", "unchanged".to_owned()),
    ] {
        assert_eq!(depends(action), expected, "{action}");
    }
    assert_eq!(
        patch("if: {name: pkg}\nthen:\n- add_constrains: d\n- remove_constrains: c*\n").unwrap(),
        r#"{"constrains":["d"]}"#
    );
    assert_eq!(
        patch("if: {name: pkg}\nthen:\n- remove_track_features: blas*\n- add_track_features: x\n")
            .unwrap(),
        r#"{"track_features":"nomkl x"}"#
    );
    assert_eq!(
        patch("if: {name: pkg}\nthen:\n- remove_track_features: ['*mkl', 'blas*']\n").unwrap(),
        r#"{"track_features":null}"#
    );
}

#[test]
fn bounds_are_tightened_and_loosened() {
    let of = |dependency: &str, action: &str| {
        let records = record()
            .into_iter()
            .map(|(file, record)| {
                (
                    file,
                    record.replace("\"python\"", &format!("\"{dependency}\"")),
                )
            })
            .collect();
        let patch = patch_of(
            &records,
            &format!("if: {{name: pkg}}\nthen:\n  - {action}\n"),
        );
        patch.map_or("unchanged".to_owned(), |patch| {
            patch.split('"').nth(7).unwrap().to_owned()
        })
    };
    for (dependency, action, expected) in [
        (
            "z >=1.2",
            "tighten_depends: {name: z, max_pin: x}",
            "z >=1.2,<2.0a0",
        ),
        (
            "z >=1.2",
            "tighten_depends: {name: z, max_pin: x.x}",
            "z >=1.2,<1.3.0a0",
        ),
        (
            "z >=1.2 h_0",
            "tighten_depends: {name: z, upper_bound: '1.5'}",
            "z >=1.2,<1.5.0a0 h_0",
        ),
        (
            "z >=1.2",
            "tighten_depends: {name: z, upper_bound: '1.1'}",
            "unchanged",
        ),
        (
            "z >=1.2,<2.0a0",
            "tighten_depends: {name: z, upper_bound: '1.5'}",
            "z >=1.2,<1.5.0a0",
        ),
        (
            "z >=1.2,<2.0a0",
            "tighten_depends: {name: z, upper_bound: '2.5'}",
            "unchanged",
        ),
        (
            "z >=1.2,<2.0a0",
            "tighten_depends: {name: 'z*', max_pin: x.x}",
            "z >=1.2,<1.3.0a0",
        ),
        (
            "z",
            "tighten_depends: {name: z, upper_bound: '2.1'}",
            "z <2.1.0a0",
        ),
        ("z", "tighten_depends: {name: z, max_pin: x}", "unchanged"),
        (
            "z <3",
            "tighten_depends: {name: z, upper_bound: '2.0'}",
            "z <2.0a0",
        ),
        (
            "z <=2",
            "tighten_depends: {name: z, upper_bound: '2'}",
            "z <2.0a0",
        ),
        (
            "z <2",
            "tighten_depends: {name: z, upper_bound: '2'}",
            "unchanged",
        ),
        (
            "z ==1.2",
            "tighten_depends: {name: z, upper_bound: '2'}",
            "unchanged",
        ),
        (
            "z >=1.2,<1.3.0a0",
            "loosen_depends: {name: z, max_pin: x}",
            "z >=1.2,<2.0.0a0",
        ),
        (
            "z >=1.2,<1.3.0a0 b",
            "loosen_depends: {name: z, upper_bound: '1.9'}",
            "z >=1.2,<1.9.0a0 b",
        ),
        (
            "z >=1.2,<1.3.0a0",
            "loosen_depends: {name: z, upper_bound: '1.1'}",
            "unchanged",
        ),
        (
            "z >=1.2,<1.3.0a0",
            "loosen_depends: {name: z, upper_bound: None}",
            "z >=1.2",
        ),
        (
            "z >=1.2",
            "loosen_depends: {name: z, max_pin: x}",
            "unchanged",
        ),
        (
            "z >=1.2,<1.3.0a0",
            "loosen_depends: {name: z, upper_bound: '${major_version}.9'}",
            "z >=1.2,<1.9.0a0",
        ),
    ] {
        assert_eq!(of(dependency, action), expected, "{dependency} {action}");
    }
}

#[test]
fn rules_follow_each_other() {
    let text = concat!(
        "# a comment\nif:\n  name: pkg\nthen:\n  - replace_depends: {old: python, new: one}\n",
        "--- # another\nif:\n  has_depends: one\nthen:\n  - add_depends: two\n",
        "---\nif:\n  name: pkg\n  not_has_depends: two\nthen:\n  - add_depends: three\n---\n"
    );
    let patch = patch(text).unwrap();
    assert!(
        patch.contains("one") && patch.contains("two") && !patch.contains("three"),
        "{patch}"
    );
    assert_eq!(
        documents("a\n---\nb\n--- c\n----d\n"),
        ["a\n", "\nb\n", " c\n----d\n"]
    );
}

#[test]
fn what_is_no_rule_is_refused() {
    let message = |text: &str| {
        let mut rules = Rules::default();
        let error = rules.add(text).unwrap_err();
        match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        }
    };
    for (text, expected) in [
        ("- a", "document 1: a rule is a map of `if` and `then`"),
        ("if: {name: a}", "has a map `if` and a list `then`"),
        (
            "if: {name: a}\nthen: {}",
            "has a map `if` and a list `then`",
        ),
        ("if: {name: a}\nthen: []\nelse: []", "unknown key `else`"),
        ("if: {nam: a}\nthen: []", "unknown condition `nam`"),
        ("if: {nam_lt: a}\nthen: []", "unknown condition `nam_lt`"),
        ("if: {version: 1.10}\nthen: []", "`version` needs quotes"),
        (
            "if: {version_lt: 1.10}\nthen: []",
            "`version_lt` needs quotes",
        ),
        ("if: {build_number_lt: x}\nthen: []", "is not a number"),
        ("if: {name: {}}\nthen: []", "`name` is not a text"),
        ("if: {name: a}\nthen: [x]", "every item of `then` is a map"),
        (
            "if: {name: a}\nthen: [{add_dependz: x}]",
            "unknown action `add_dependz`",
        ),
        (
            "if: {name: a}\nthen: [{replace_depends: {old: x}}]",
            "is not a map of `old` and `new`",
        ),
        (
            "if: {name: a}\nthen: [{tighten_depends: {max_pin: x}}]",
            "has no `name`",
        ),
        (
            "if: {name: a}\nthen: [{tighten_depends: {name: a, max_pin: 1}}]",
            "not of the form `x.x`",
        ),
        (
            "if: {name: a}\nthen: [{add_depends: '$version ${versions}'}]",
            "unknown name `versions`",
        ),
        ("ok: [\n", "document 1 is no YAML"),
        (
            "if: {name: a}\nthen: [{add_depends: x}]\n---\n- b",
            "document 2:",
        ),
    ] {
        assert!(
            message(text).contains(expected),
            "{text}: {}",
            message(text)
        );
    }
}

#[test]
fn patterns_are_pythons() {
    for (pattern, text, expected) in [
        ("a*", "abc", true),
        ("a?c", "abc", true),
        ("a?c", "ac", false),
        ("[a-c]x", "bx", true),
        ("[!a-c]x", "bx", false),
        ("[!a-c]x", "dx", true),
        ("[]]x", "]x", true),
        ("[", "[", true),
        ("1.3.[*]", "1.3.*", true),
        ("1.3.[*]", "1.3.1", false),
        ("a.b", "axb", false),
        ("numpy?( *)", "numpy", true),
        ("numpy?( *)", "numpy >=1", true),
        ("numpy?( *)", "numpy-base >=1", false),
        ("[z-a]", "b", false),
        ("[!z-a]", "b", true),
        ("a|b*", "a", false),
        ("*\n*", "x\ny", true),
        ("[&&~~--]", "&", true),
    ] {
        assert_eq!(
            Glob::new(pattern).matches(text),
            expected,
            "{pattern} {text}"
        );
    }
}

#[test]
fn versions_compare_by_pep_440_where_they_can() {
    use std::cmp::Ordering::{Equal, Greater, Less};
    for (left, right, expected) in [
        ("1.0", "1.0.0", Equal),
        ("1.0.post1", "1.0", Greater),
        ("1.0rc1", "1.0", Less),
        ("1.0+local", "1.0", Greater),
        // conda's order.
        ("1.1.1_x", "1.1.1", Less),
        ("2021_03_1", "2021_03_2", Less),
    ] {
        assert_eq!(compare_versions(left, right), expected, "{left} {right}");
    }
}

proptest! {
    #[test]
    fn no_record_stops_a_rule(records in samples::records(), value in samples::value()) {
        let mut records = records;
        for (position, record) in records.values_mut().enumerate() {
            let Json::Map(mut map) = Json::parse(record.as_bytes()).unwrap() else { continue };
            let key = ["depends", "version", "build_number", "track_features", "timestamp"][position % 5];
            map.insert(key.to_owned(), value.clone());
            record.clear();
            Json::Map(map).write(record);
        }
        let rules = rules(concat!(
            "if: {version_ge: '0', not_timestamp_lt: 0, not_has_track_features: x, build_number_ge: 0}\nthen:\n",
            "- add_depends: 'a ${next_version} $build_number'\n- remove_depends: x*\n- add_constrains: b\n",
            "- replace_depends: {old: '*', new: '${old} c'}\n- rename_depends: {old: x, new: y}\n",
            "- relax_exact_depends: {name: x, max_pin: x.x}\n- tighten_depends: {name: '*', max_pin: x}\n",
            "- loosen_depends: {name: '*', max_pin: x.x}\n- add_track_features: f\n- remove_track_features: g\n",
        ));
        let text = rules.instructions("noarch", &each(&records)).unwrap();
        let patch = Instructions::parse(text.as_bytes()).unwrap();
        // A second time nothing differs, whatever the order of the threads.
        prop_assert_eq!(rules.instructions("noarch", &each(&records)).unwrap(), text);
        let _: BTreeMap<_, _> = records.iter().map(|(file, record)| (file, patch.record(file, record).unwrap())).collect();
    }
}
