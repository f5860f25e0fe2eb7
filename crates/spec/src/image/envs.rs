//! `envs`: environments besides the base one, `[envs.NAME]`.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Env;
use super::read::packages;
use crate::error::quote;
use crate::source::{Source, Value};

/// The keys of an environment.
const KEYS: [&str; 1] = ["packages"];

/// Names that conda gives to the base environment.
const TAKEN: [&str; 2] = ["base", "root"];

/// The longest name, in bytes: what packages have room for is shared with the prefix.
const LONGEST: usize = 64;

/// The key.
pub(super) fn envs<'t>(
    source: &mut Source<'t>,
    value: &Value<'t>,
) -> Option<BTreeMap<String, Env>> {
    let mut envs = BTreeMap::new();
    for (name, span, value) in source.table("envs", value)? {
        if let Some((fault, advice)) = fault(name) {
            let message = format!("{} in `envs` {fault}", quote(name));
            source.error(span, message, Some(advice.to_owned()));
            continue;
        }
        if let Some(env) = env(source, name, span, value) {
            envs.insert(name.to_owned(), env);
        }
    }
    Some(envs)
}

fn env<'t>(
    source: &mut Source<'t>,
    name: &str,
    span: Range<usize>,
    value: &Value<'t>,
) -> Option<Env> {
    let what = format!("`envs.{name}`");
    let mut said = false;
    let mut read = None;
    for (key, span, value) in source.table(&format!("envs.{name}"), value)? {
        match key {
            "packages" => {
                said = true;
                read = packages(source, key, value);
                if read.as_ref().is_some_and(Vec::is_empty) {
                    source.error(value.span(), format!("`packages` of {what} is empty"), None);
                }
            }
            // constructor's `extra_envs` have these.
            "specs" => {
                said = true;
                let advice = "an image calls them `packages`".to_owned();
                source.error(span, format!("unknown key `specs` in {what}"), Some(advice));
            }
            "channels" | "channels_remap" | "exclude" => {
                let advice = "environments have the distribution's channels".to_owned();
                source.error(
                    span,
                    format!("`{key}` cannot be said in {what}"),
                    Some(advice),
                );
            }
            _ => source.unknown(span, &what, key, &KEYS),
        }
    }
    if !said {
        let advice = "add for example `packages = [\"python 3.12.*\"]`".to_owned();
        source.error(span, format!("{what} has no `packages`"), Some(advice));
    }
    read.map(|packages| Env { packages })
}

/// What is wrong with a name, which becomes a folder, stands in first lines of scripts and is typed into shells.
fn fault(name: &str) -> Option<(&'static str, &'static str)> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._+-".contains(letter);
    let begins = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let letters = "names have letters, digits, and `._+-`: \"py312\"";
    if name.is_empty() {
        Some(("is no name", letters))
    } else if TAKEN.contains(&name) {
        let advice = "what is in the base environment is in `packages` at the top";
        Some(("is the base environment's name", advice))
    } else if name.len() > LONGEST {
        Some(("is longer than 64 bytes", letters))
    } else if !name.starts_with(begins) || !name.chars().all(plain) {
        Some(("is no name of an environment", letters))
    } else {
        None
    }
}
