//! Texts that nobody writes by hand: huge, deep, damaged, arbitrary. Each is parsed or refused, and
//! soon.

use std::time::{Duration, Instant};

use conda::Subdir;
use proptest::prelude::*;

use super::{HEAD, numbered_keys};
use crate::Distribution;

#[test]
fn hostile_texts_are_refused_quickly() {
    let start = Instant::now();
    for text in [
        format!("a = {}", "[".repeat(500_000)),
        format!("a = {}", "{a=".repeat(300_000)),
        format!("{}a = 1", "a.".repeat(400_000)),
        format!("[{}a]", "a.".repeat(400_000)),
        "[[a]]\n".repeat(100_000),
        "a\n".repeat(400_000),
        "\"".repeat(900_000),
        "'''".repeat(300_000),
        "\u{feff}\u{0}".repeat(200_000),
        "é".repeat(500_000),
        format!("{HEAD}{}", numbered_keys(50_000)),
        format!("{HEAD}exclude = [{}]", "'*',".repeat(200_000)),
        format!("{HEAD}condarc = {}1{}", "[".repeat(70), "]".repeat(70)),
        " ".repeat(2_000_000),
    ] {
        let error = Distribution::parse(&text).unwrap_err();
        assert!(error.to_string().len() < 20_000);
        assert!(error.diagnostics().count() <= 20);
    }
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "{:?}",
        start.elapsed()
    );
}

/// A specification with most forms in it, to be damaged.
const FULL: &str = r#"
name = "Example"
version = "1.0"
platforms = ["linux-64"]
channels = ["conda-forge", 'https://h/c']
specs = ["python 3.7.*", "conda-forge::pip[version='>=1,<2']", "numpy (>=1,<2)|3.*"]
virtual_specs = ["__glibc >=2.17"]
extra_files = ["a", { b = "c/d" }]
build_outputs = ["hash", { licenses = { include_text = true } }]
condarc = { channels = ["a"], n = 1.5e3 }
[script_env_variables]
A = """b
c"""
[target.linux-aarch64]
exclude = ["tk"]
"#;

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,200}") {
        let _ = Distribution::parse(&text).map_err(|error| error.render("x"));
    }

    #[test]
    fn any_value_of_any_key(index in 0..crate::keys::KEYS.len(), value in "[\\[\\]{}'\"=,.a-c0-9 _*<>|()#:/$\\\\-]{0,40}") {
        let text = format!("{HEAD}{} = {value}\n", crate::keys::KEYS[index].0);
        let _ = Distribution::parse(&text).map_err(|error| error.render("x"));
    }

    #[test]
    fn any_string_as_a_spec(spec in "[a-z_]{0,3}[ =<>!~*|,()^$.0-9a-z\\[\\]:/#'-]{0,40}") {
        let text = format!("name = 'a'\nversion = '1'\nchannels = ['c']\nspecs = [\"\"\"{spec}\"\"\"]\n");
        if let Ok(parsed) = Distribution::parse(&text) {
            let target = parsed.distribution.target(Subdir::Linux64);
            prop_assert_eq!(target.requested(), [spec.trim()]);
        }
    }

    #[test]
    fn a_damaged_specification(position in 0..FULL.len(), length in 0_usize..8, put in "\\PC{0,3}|[\\[\\]{}\"'\n=,.]{0,3}") {
        let start = FULL.floor_char_boundary(position);
        let end = FULL.floor_char_boundary((position + length).min(FULL.len()));
        let text = format!("{}{put}{}", &FULL[..start], &FULL[end..]);
        match Distribution::parse(&text) {
            Ok(parsed) => { let _ = parsed.distribution.target(Subdir::LinuxAarch64).condarc_yaml(); }
            Err(error) => {
                let lines = text.split('\n').count();
                for diagnostic in error.diagnostics() {
                    prop_assert!((1..=lines).contains(&diagnostic.line));
                    prop_assert!(diagnostic.column >= 1);
                }
                prop_assert!(!error.render("x").is_empty());
            }
        }
    }
}
