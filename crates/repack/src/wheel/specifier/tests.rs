//! Our match specs against Python's own judgement of which versions fit.

use std::process::Command;
use std::str::FromStr as _;

use conda::{ParseStrictness, VersionSpec};
use proptest::prelude::*;

use super::*;

#[test]
fn reads_as_users_of_conda_write_it() {
    for (python, conda) in [
        ("", ""),
        (">=1.2", ">=1.2"),
        ("<2", "<2a0"),
        ("<2.0", "<2a0"),
        ("<3.12", "<3.12a0"),
        ("<2.0rc1", "<2.0rc1"),
        (">=1.21.1,<3", ">=1.21.1,<3a0"),
        ("~=1.4.2", ">=1.4.2,1.4.*"),
        ("~=2.2", ">=2.2,2.*"),
        ("~=2.2.post3", ">=2.2.post3,2.*"),
        ("~=1.0.3", ">=1.0.3,>=1a0,<1.1a0"),
        ("==1.4.*", "1.4.*"),
        ("==1.0.*", ">=1a0,<1.1a0"),
        ("==0.*", "0.*"),
        ("!=1.4.*", "!=1.4.*"),
        ("!=3.0.*,!=3.1.*,>=2.7", ">=2.7,!=3.0.*,!=3,!=3.1.*"),
        ("===1.0", "==1.0"),
        ("==1.0-RC1", "==1.0rc1"),
        ("==1!2.0", "==1!2.0"),
        (">=1!2,<1!3.0", ">=1!2,<1!3a0"),
        ("==2.1+cpu", "==2.1+cpu"),
        (">1.4", ">1.4"),
        ("<=1.4", "<=1.4"),
    ] {
        let specifiers = VersionSpecifiers::from_str(python).unwrap();
        let mut expected: Vec<&str> = conda.split(',').collect();
        let found = translate(&specifiers);
        let mut found: Vec<&str> = found.split(',').collect();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{python}");
    }
}

/// What Python admits and conda has no word for: see the head of the file.
fn beyond_conda(specifier: &str, version: &str) -> bool {
    let after = specifier.starts_with('>') && !specifier.starts_with(">=");
    after && version.contains("post") || specifier == ">=1.4rc1" && version == "1.4.0b2"
}

fn conda_admits(specifier: &str, version: &str) -> bool {
    let specifiers = VersionSpecifiers::from_str(specifier).unwrap();
    let translated = translate(&specifiers);
    let spec = VersionSpec::from_str(&translated, ParseStrictness::Strict)
        .unwrap_or_else(|error| panic!("{specifier} -> {translated}: {error}"));
    spec.matches(&conda::Version::from_str(version).unwrap())
}

/// Versions as the index has them, around those that the specifiers below name.
const VERSIONS: &[&str] = &[
    "0",
    "0.0.1",
    "0.9",
    "1",
    "1.0",
    "1.0.0",
    "1.0.1",
    "1.1",
    "1.3.9",
    "1.4a1",
    "1.4.0b2",
    "1.4rc1",
    "1.4",
    "1.4.0",
    "1.4.1",
    "1.4.2rc1",
    "1.4.2",
    "1.4.2.post1",
    "1.4.3",
    "1.4.10",
    "1.5a1",
    "1.5.0rc2",
    "1.5",
    "1.5.post2",
    "1.40",
    "1.40.1",
    "1.9.9.9",
    "2a1",
    "2.0b1",
    "2.0.0rc1",
    "2",
    "2.0",
    "2.0.0",
    "2.0.1",
    "2.1",
    "2.2.post3",
    "2.3",
    "2.10",
    "3.0.0a1",
    "3.0",
    "3.1",
    "10.0",
    "2023.7.22",
    "1!0.5",
    "1!2.0",
];

const SPECIFIERS: &[&str] = &[
    ">=1.4",
    ">=1.4.2",
    ">=2",
    ">1.3.9",
    ">1.4",
    "<1.4",
    "<1.4.2",
    "<2",
    "<2.0",
    "<2.0.0",
    "<3",
    "<=1.4.2",
    "<=2",
    "==1.4",
    "==1.4.2",
    "==2.0.0",
    "==1.4.*",
    "==1.*",
    "==1.0.*",
    "==2.0.*",
    "!=1.4",
    "!=1.4.2",
    "!=1.4.*",
    "!=2.*",
    "~=1.4",
    "~=1.4.2",
    "~=1.0.1",
    "~=2.0",
    "~=2.0.1",
    "~=1.4.2rc1",
    "<2.0rc1",
    ">=1.4a1",
    ">=1.4rc1",
    "==1.4rc1",
    "===1.4.2",
    ">=1,<2",
    ">=1.4,<2,!=1.4.2",
    ">=1!0",
    "<1!2",
    "==1!2.*",
    "~=2.2.post3",
    ">=2.2.post3",
];

#[test]
fn pep440_in_rust_and_conda_agree() {
    let mut differing = Vec::new();
    for specifier in SPECIFIERS {
        let specifiers = VersionSpecifiers::from_str(specifier).unwrap();
        for version in VERSIONS {
            if beyond_conda(specifier, version) {
                continue;
            }
            let expected = contains(&specifiers, &Version::from_str(version).unwrap());
            if conda_admits(specifier, version) != expected {
                differing.push(format!("{version} in {specifier}: {expected}"));
            }
        }
    }
    assert!(differing.is_empty(), "{differing:#?}");
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn python_itself_and_conda_agree() {
    let script = "
import sys
from pip._vendor.packaging.specifiers import SpecifierSet
from pip._vendor.packaging.version import Version
specifiers, versions = (line.split() for line in sys.argv[1:])
for specifier in specifiers:
    for version in versions:
        print(specifier, version, int(SpecifierSet(specifier).contains(Version(version), prereleases=True)))
";
    let output = Command::new("python3")
        .args(["-c", script, &SPECIFIERS.join(" "), &VERSIONS.join(" ")])
        .output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        let strict = std::env::var_os("ARCHICONDA_TEST_STRICT").is_some_and(|value| value == "1");
        assert!(!strict, "python3 with packaging is not installed");
        eprintln!("skipped: python3 with packaging is not installed");
        return;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let mut compared = 0;
    let mut differing = Vec::new();
    for line in text.lines() {
        let [specifier, version, verdict] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        // packaging 21 does not yet fill up a pre-release with zeros.
        let filled = specifier == "==2.0.*" && version == "2a1";
        if filled || beyond_conda(specifier, version) {
            continue;
        }
        if conda_admits(specifier, version) != (verdict == "1") {
            differing.push(line);
        }
        compared += 1;
    }
    assert!(differing.is_empty(), "{differing:#?}");
    assert!(compared > 1500, "{compared}");
}

fn version() -> impl Strategy<Value = String> {
    let release = prop::collection::vec(0u64..5, 1..4);
    let suffix = prop_oneof![
        6 => Just(String::new()),
        1 => (0u64..3).prop_map(|number| format!("rc{number}")),
        1 => (0u64..3).prop_map(|number| format!("a{number}")),
    ];
    (release, suffix).prop_map(|(release, suffix)| {
        let numbers: Vec<String> = release.iter().map(u64::to_string).collect();
        numbers.join(".") + &suffix
    })
}

fn specifier() -> impl Strategy<Value = String> {
    let release = prop::collection::vec(0u64..5, 1..4);
    let operator = prop::sample::select(vec![">=", "<=", "<", ">", "==", "!=", "~=", "==*", "!=*"]);
    (release, operator).prop_filter_map("~= needs two numbers", |(release, operator)| {
        let numbers: Vec<String> = release.iter().map(u64::to_string).collect();
        let numbers = numbers.join(".");
        match operator {
            "~=" if release.len() < 2 => None,
            "==*" | "!=*" => Some(format!("{}{numbers}.*", operator.trim_end_matches('*'))),
            _ => Some(format!("{operator}{numbers}")),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]
    #[test]
    fn releases_and_their_candidates_are_judged_alike(specifier in specifier(), version in version()) {
        let specifiers = VersionSpecifiers::from_str(&specifier).unwrap();
        let python = contains(&specifiers, &Version::from_str(&version).unwrap());
        prop_assert_eq!(conda_admits(&specifier, &version), python, "{} in {}", version, specifier);
    }
}
