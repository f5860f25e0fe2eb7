//! Current packages, compared with conda-index and conda.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::spec::{Candidate, Spec};
use super::version::VersionOrder;
use super::{Pins, select, with_legacy_md5};
use crate::output::oracle;
use crate::output::repodata::{Head, write};
use crate::output::samples::{Records, dialect, each, of_repodata};

/// `current_repodata.json` of records.
fn current(subdir: &str, records: &Records, pins: &str) -> String {
    let each = each(records);
    let kept = select(&each, &Pins::parse(pins).unwrap()).unwrap();
    let head = Head {
        subdir,
        ..Head::default()
    };
    let mut out = Vec::new();
    write(
        &mut out,
        &head,
        &|kind, take| {
            each(kind, &mut |file, record| match kept.get(file) {
                Some(Some(md5)) => take(file, &with_legacy_md5(record, md5)),
                Some(None) => take(file, record),
                None => Ok(()),
            })
        },
        &[],
    )
    .unwrap();
    String::from_utf8(out).unwrap()
}

const BUILD: &str = r"
import json, sys
from conda_index.index.current_repodata import build_current_repodata
subdir = sys.stdin.readline().strip()
pins = json.loads(sys.stdin.readline())
repodata = json.load(sys.stdin)
current = build_current_repodata(subdir, repodata, pins)
print(json.dumps(current, sort_keys=True, separators=(',', ':')), end='')
";

fn compare(subdir: &str, records: &Records, pins: &str) -> Option<usize> {
    let head = Head {
        subdir,
        ..Head::default()
    };
    let mut repodata = Vec::new();
    write(&mut repodata, &head, &each(records), &[]).unwrap();
    let repodata = String::from_utf8(repodata).unwrap();
    let theirs = oracle::python(BUILD, &format!("{subdir}\n{pins}\n{repodata}"))?;
    let ours = current(subdir, records, pins);
    let kept = |text: &str| -> Vec<String> { of_repodata(text).into_keys().collect() };
    let (ours_kept, theirs_kept) = (kept(&ours), kept(&theirs));
    let missing: Vec<_> = theirs_kept
        .iter()
        .filter(|file| !ours_kept.contains(file))
        .collect();
    let extra: Vec<_> = ours_kept
        .iter()
        .filter(|file| !theirs_kept.contains(file))
        .collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "missing {missing:?}, extra {extra:?}"
    );
    assert_eq!(ours, theirs);
    Some(ours_kept.len())
}

#[test]
fn real_channels_have_the_current_packages_of_conda_index() {
    for (path, subdir, pins) in [
        ("conda-forge-2024-05/noarch/repodata.json", "noarch", "{}"),
        (
            "conda-forge-2024-05/linux-aarch64/repodata.json",
            "linux-aarch64",
            r#"{"python": ["3.9.1"], "openssl": [1, "1.1"], "setuptools": [44.0, "65"], "absent": ["1"]}"#,
        ),
        (
            "conda-forge-2024-05/linux-64/repodata.json",
            "linux-64",
            r#"{"python": [3.9]}"#,
        ),
        (
            "conda-forge-2017-12/noarch.repodata.json.bz2",
            "noarch",
            "{}",
        ),
    ] {
        let Some(text) = oracle::repodata(path) else {
            return;
        };
        let records = of_repodata(&text);
        let Some(kept) = compare(subdir, &records, pins) else {
            return;
        };
        assert!(
            kept > 20 && kept < records.len(),
            "{kept} of {}",
            records.len()
        );
    }
}

fn made_up(files: &[(&str, &str)]) -> Records {
    files
        .iter()
        .map(|(file, more)| {
            let (name, version, build) = archive::package::split_file_name(file).unwrap();
            let number = build.rsplit('_').next().unwrap();
            let record = format!(
                r#"{{"name":"{name}","version":"{version}","build":"{build}","build_number":{number},"md5":"{file}","subdir":"linux-64"{more}}}"#
            );
            ((*file).to_owned(), dialect(&record))
        })
        .collect()
}

#[test]
fn newest_needed_pinned_and_without_features() {
    let records = made_up(&[
        // Of 1.1 the longer versions that begin with it come along.
        ("a-1.0-0.conda", r#","depends":[]"#),
        (
            "a-1.1-0.conda",
            r#","depends":["b <2", "none >=1", "sel=1.*=x_*", "bad ==== 1"]"#,
        ),
        ("a-1.1-1.tar.bz2", r#","depends":["b >=1"],"timestamp":3"#),
        ("a-1.1-0.tar.bz2", r#","depends":[]"#),
        ("a-1.1.1-0.conda", r#","depends":[]"#),
        ("b-1.0-0.conda", r#","depends":["c <2"]"#),
        ("b-1.0-1.tar.bz2", r#","depends":[]"#),
        ("b-1.1-0.conda", r#","depends":["c <2"]"#),
        ("b-2.0-0.conda", r#","depends":[]"#),
        ("c-1.0-0.conda", r#","depends":[]"#),
        ("c-2.0-0.conda", r#","depends":[]"#),
        ("sel-1.0-x_0.conda", r#","depends":[]"#),
        ("sel-1.2-x_0.conda", r#","depends":[]"#),
        ("sel-1.2-y_0.conda", r#","depends":[]"#),
        ("sel-3.2-x_0.conda", r#","depends":[]"#),
        ("feat-1.0-0.conda", r#","depends":[]"#),
        ("feat-1.1-0.conda", r#","depends":[]"#),
        (
            "feat-1.2-0.conda",
            r#","depends":[],"track_features":"x y""#,
        ),
        ("feat-1.2-1.conda", r#","depends":[],"features":"x""#),
        (
            "plain-1.0-0.conda",
            r#","depends":[],"track_features":"","features":[]"#,
        ),
        ("plain-0.9-0.conda", r#","depends":[]"#),
        ("pin-1.8.1-0.conda", r#","depends":[]"#),
        ("pin-1.8.2-0.conda", r#","depends":["c <2"]"#),
        ("pin-1.9.0-0.conda", r#","depends":[]"#),
        ("pin-2.0-0.conda", r#","depends":[]"#),
    ]);
    let mut valid = records.clone();
    // conda-index does not survive this dependency.
    for record in valid.values_mut() {
        *record = record.replace(r#","bad ==== 1""#, "");
    }
    let pins = r#"{"pin": ["1.8"], "other": ["1"]}"#;
    let expected = current("linux-64", &valid, pins);
    let without = current("linux-64", &records, pins).replace(r#","bad ==== 1""#, "");
    assert_eq!(without, expected);
    let kept: Vec<_> = of_repodata(&expected).into_keys().collect();
    assert_eq!(
        kept,
        [
            "a-1.1.1-0.conda",
            "b-2.0-0.conda",
            "c-1.0-0.conda",
            "c-2.0-0.conda",
            "feat-1.1-0.conda",
            "feat-1.2-0.conda",
            "feat-1.2-1.conda",
            "pin-1.8.2-0.conda",
            "pin-2.0-0.conda",
            "plain-1.0-0.conda",
            "sel-3.2-x_0.conda",
        ]
    );
    // In pins and dependencies that nothing satisfies conda-index fails.
    compare("linux-64", &valid, r#"{"pin": ["1.8"]}"#);
}

#[test]
fn the_md5_of_the_twin_stands_at_its_place() {
    assert_eq!(
        with_legacy_md5(r#"{"depends":[],"license":"X"}"#, "\"d\""),
        r#"{"depends":[],"legacy_bz2_md5":"d","license":"X"}"#
    );
    assert_eq!(
        with_legacy_md5(r#"{"a":1}"#, "null"),
        r#"{"a":1,"legacy_bz2_md5":null}"#
    );
    assert_eq!(
        with_legacy_md5(r#"{"legacy_bz2_md5":"old","z":1}"#, "null"),
        r#"{"legacy_bz2_md5":null,"z":1}"#
    );
    assert_eq!(with_legacy_md5("{}", "null"), r#"{"legacy_bz2_md5":null}"#);
}

#[test]
fn pins_are_lists_of_versions() {
    assert_eq!(Pins::parse("").unwrap(), Pins::default());
    assert!(
        Pins::parse("python: 3.8")
            .unwrap_err()
            .to_string()
            .contains("`python`")
    );
    assert!(Pins::parse("- 1").is_err());
    assert!(Pins::parse("a: [").is_err());
    assert!(Pins::parse("a: [{}]").is_err());
}

/// Random texts that are often versions.
fn version() -> impl Strategy<Value = String> {
    let component = prop_oneof![
        4 => "[0-9]{1,3}",
        1 => prop_oneof![Just("post"), Just("dev"), Just("a"), Just("rc"), Just("*")].prop_map(str::to_owned),
        1 => "[0-9][a-z*]{1,2}[0-9]?",
    ];
    (
        prop_oneof![6 => Just(""), 1 => Just("1!"), 1 => Just("x!")],
        prop::collection::vec(
            (
                component,
                prop_oneof![6 => Just("."), 1 => Just("_"), 1 => Just("-"), 1 => Just("+")],
            ),
            1..4,
        ),
        prop_oneof![6 => Just(""), 1 => Just("_"), 1 => Just("."), 1 => Just("A")],
    )
        .prop_map(|(epoch, components, end)| {
            let mut text = epoch.to_owned();
            for (position, (component, separator)) in components.iter().enumerate() {
                if position > 0 {
                    text.push_str(separator);
                }
                text.push_str(component);
            }
            text + end
        })
}

#[test]
fn versions_compare_as_in_conda() {
    let mut runner = TestRunner::deterministic();
    let strategy = (version(), version());
    let mut cases: Vec<_> = (0..6000)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect();
    for text in [
        "1.0",
        "1",
        "1.0.0",
        "1.1",
        "1.1a",
        "1.1.0post1",
        "1.0_",
        "1.0_a",
        "1.0a",
        "1!0",
        "2024.1+cu11",
        "1+a.b",
    ] {
        for other in [
            "1",
            "1.0",
            "1.1",
            "1.1.0",
            "1.0_",
            "1!0",
            "2024.1",
            "2024.1+cu",
            "1+a",
            "",
        ] {
            cases.push((text.to_owned(), other.to_owned()));
        }
    }
    let lines: Vec<_> = cases
        .iter()
        .map(|(left, right)| format!("{left}\t{right}"))
        .collect();
    let input = lines.join("\n") + "\n";
    let Some(theirs) = oracle::python(
        "import sys\nfrom conda.models.version import VersionOrder as V\nfrom conda.exceptions import InvalidVersionSpec\nfor line in sys.stdin:\n    l, r = line.rstrip('\\n').split('\\t')\n    try:\n        l, r = V(l), V(r)\n        print('<' if l < r else '>' if r < l else '=' if l == r else '?', l.startswith(r))\n    except InvalidVersionSpec:\n        print('invalid')\n",
        &input,
    ) else {
        return;
    };
    let mut compared = 0;
    for ((left, right), theirs) in cases.iter().zip(theirs.lines()) {
        let ours = match (VersionOrder::parse(left), VersionOrder::parse(right)) {
            (Some(left), Some(right)) => {
                compared += 1;
                let order = match left.cmp(&right) {
                    std::cmp::Ordering::Less => '<',
                    std::cmp::Ordering::Greater => '>',
                    std::cmp::Ordering::Equal => '=',
                };
                let begins = if left.starts_with(&right) {
                    "True"
                } else {
                    "False"
                };
                format!("{order} {begins}")
            }
            _ => "invalid".to_owned(),
        };
        assert_eq!(ours, theirs, "{left} {right}");
    }
    assert!(compared > 2000, "{compared}");
}

struct Package<'a>(&'a str, Option<VersionOrder>, &'a str, i64);

impl Candidate for Package<'_> {
    fn name(&self) -> &'static str {
        "numpy"
    }
    fn version(&self) -> (&str, Option<&VersionOrder>) {
        (self.0, self.1.as_ref())
    }
    fn build(&self) -> &str {
        self.2
    }
    fn build_number(&self) -> i64 {
        self.3
    }
}

#[test]
fn specs_match_as_in_conda() {
    let ranges = || {
        let operator = prop_oneof![
            Just(""),
            Just("="),
            Just("=="),
            Just("!="),
            Just(">="),
            Just("<="),
            Just(">"),
            Just("<"),
            Just("~="),
        ];
        let version = prop_oneof![
            Just("1"),
            Just("1.2"),
            Just("1.2.3"),
            Just("1.3"),
            Just("1.10"),
            Just("2"),
            Just("1.2a"),
            Just("0.9"),
        ];
        let end = prop_oneof![5 => Just(""), 1 => Just(".*"), 1 => Just("*"), 1 => Just(".*.4"), 1 => Just(" ")];
        (operator, version, end)
            .prop_map(|(operator, version, end)| format!("{operator}{version}{end}"))
    };
    let range = prop_oneof![
        6 => ranges(),
        2 => (ranges(), prop_oneof![Just(","), Just("|"), Just(", "), Just(" | ")], ranges())
            .prop_map(|(left, join, right)| format!("{left}{join}{right}")),
        1 => (ranges(), ranges(), ranges()).prop_map(|(a, b, c)| format!("({a}|{b}),{c}")),
        1 => (ranges(), ranges(), ranges()).prop_map(|(a, b, c)| format!("{a}|{b},{c}")),
        1 => Just("*".to_owned()),
        1 => Just("^1[.]2.*$".to_owned()),
    ];
    let build = prop_oneof![
        4 => Just(""), 1 => Just(" py27_0"), 1 => Just(" py*"), 1 => Just("=py27_0"), 1 => Just(" *_1"), 1 => Just("=*"),
        1 => Just("  py27_0"), 1 => Just("[build=py*]"), 1 => Just("[build_number=1]"), 1 => Just("[build_number='>=1']"),
        1 => Just("[version='>=1.2',build=py27_1]"), 1 => Just("[md5=abc]"), 1 => Just(" # text"), 1 => Just("[foo=1]"),
    ];
    let name = prop_oneof![
        6 => Just("numpy"), 1 => Just("NumPy"), 1 => Just("num*"), 1 => Just("scipy"), 1 => Just("other::numpy"), 1 => Just("*"),
    ];
    let space = prop_oneof![4 => Just(" "), 3 => Just(""), 1 => Just("  ")];
    let strategy = (name, space, range, build)
        .prop_map(|(name, space, range, build)| format!("{name}{space}{range}{build}"));
    let mut runner = TestRunner::deterministic();
    let mut specs: Vec<String> = (0..5000)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect();
    specs.extend(
        [
            "numpy",
            "numpy 1.2.3 py27_0",
            "numpy=1.2.3=py27_0",
            "numpy =1.2",
            "numpy==1.2.3",
            "numpy >=1.2,<2.0a0",
            "numpy >=1.2 , < 2 py27_1",
            "numpy 1.2.*",
            "numpy 1.2*",
            "numpy=1.2=py*",
            "numpy=",
            "numpy =",
            "numpy ==",
            "numpy >=",
            "numpy >=1.2 if x",
            "numpy[when=\"a\"]",
            "numpy (optional)",
            "numpy-1.2.3-py27_0.tar.bz2",
            "numpy 1.2 ()",
            "=1.2",
            "numpy 1.2.3|1.3 *_1",
            "numpy ~=1",
            "numpy >1.2,",
            "numpy 1.2 py27_0 extra",
            "numpy ^1.2",
            "numpy 1.2$",
            "numpy 1!1.2",
        ]
        .map(str::to_owned),
    );
    let packages = [
        ("1.2.3", "py27_0", 0),
        ("1.2.3", "py27_1", 1),
        ("1.2", "0", 0),
        ("1.3", "py36_1", 1),
        ("2.0", "h_2", 2),
        ("1.10", "py27_0", 0),
        ("1.2a", "py27_0", 0),
        ("0.9.4", "x_1", 1),
        ("2.3.4", "0", 0),
    ];
    let input = specs.join("\n") + "\n";
    let program = format!(
        "import sys\nfrom conda.models.match_spec import MatchSpec\nfrom conda.models.records import PackageRecord\npackages = [PackageRecord(name='numpy', version=v, build=b, build_number=n, channel='https://host.example/dummy-channel', subdir='linux-64', fn='x.conda') for v, b, n in {packages:?}]\nfor line in sys.stdin:\n    try:\n        spec = MatchSpec(line[:-1])\n        print(''.join('01'[bool(spec.match(p))] for p in packages))\n    except Exception as e:\n        print('invalid')\n"
    );
    let Some(theirs) = oracle::python(&program, &input) else {
        return;
    };
    let packages = packages.map(|(version, build, number)| {
        Package(version, VersionOrder::parse(version), build, number)
    });
    let (mut matched, mut wrong) = (0, Vec::new());
    for (spec, theirs) in specs.iter().zip(theirs.lines()) {
        let ours = match Spec::parse(spec) {
            Some(spec) => packages
                .iter()
                .map(|package| if spec.matches(package) { '1' } else { '0' })
                .collect(),
            None => "invalid".to_owned(),
        };
        matched += usize::from(ours.contains('1'));
        // What is refused matches nothing in the end. `~=1` conda reads and fails only when it matches.
        let nothing = |answer: &str| !answer.contains('1');
        let is_refused = theirs == "invalid" && spec.contains("~=");
        if ours != theirs && !is_refused && !(nothing(&ours) && nothing(theirs)) {
            wrong.push(format!("{spec}: {ours}, conda {theirs}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}: {:#?}",
        wrong.len(),
        specs.len(),
        &wrong[..wrong.len().min(40)]
    );
    assert!(matched > 1000, "{matched}");
}
