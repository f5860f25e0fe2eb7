//! Files that a definition names, and what channels tell of names beside their records.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use conda::{MatchSpec, PackageName, ParseMatchSpecOptions};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use spec::MetaChannel;

use super::rules::{Blacklisted, What};
use super::{Error, Reason};
use crate::given::About;
use crate::json::Json;
use crate::yaml;

/// The pins of the definition's `conda_build_config.yaml`: names and version specs. Keys that are no package's
/// name, and values that are no versions, are conda-build's business.
pub(super) fn pins(
    definition: &MetaChannel,
    base: &Path,
) -> Result<Vec<(String, Vec<String>)>, Error> {
    let Some(path) = &definition.pins_file else {
        return Ok(Vec::new());
    };
    let path = base.join(path);
    let text = read(&path)?;
    let found = yaml::parse(&without_selected(&text)).map_err(|error| Error::Text {
        path: path.clone(),
        problem: error.to_string(),
    })?;
    let Json::Map(map) = found else {
        return Err(Error::Text {
            path,
            problem: "it is no map of packages and versions".to_owned(),
        });
    };
    /// Keys that name something else than a package.
    const OTHERS: [&str; 10] = [
        "zip_keys",
        "pin_run_as_build",
        "extend_keys",
        "ignore_version",
        "ignore_build_only_deps",
        "channel_sources",
        "channel_targets",
        "docker_image",
        "target_platform",
        "build_number_decrement",
    ];
    let mut pins = Vec::new();
    for (key, value) in map {
        if OTHERS.contains(&key.as_str()) {
            continue;
        }
        let Json::List(values) = value else { continue };
        let versions = values.iter().filter_map(|value| match value {
            Json::Text(text) => version_spec(text),
            Json::Integer(digits) => Some(format!("{digits}.*")),
            Json::Float(_) => {
                let mut text = String::new();
                value.write(&mut text);
                Some(format!("{text}.*"))
            }
            _ => None,
        });
        let versions: Vec<String> = versions.collect();
        // conda-build writes packages' names with underscores.
        let name = key.replace('_', "-").parse::<PackageName>();
        if let (Ok(name), false) = (name, versions.is_empty()) {
            for name in [name.as_normalized(), &key] {
                pins.push((name.to_owned(), versions.clone()));
            }
        }
    }
    Ok(pins)
}

/// `3.12.* *_cpython` pins version and build; here the version counts. A bare version means all that begin so.
fn version_spec(text: &str) -> Option<String> {
    let version = text.split_whitespace().next()?;
    if !version.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    Some(if version.contains(['*', ',', '|']) {
        version.to_owned()
    } else {
        format!("{version}.*")
    })
}

/// Lines whose selector is for Windows or macOS are left out, as conda-build does (`# [win]`).
fn without_selected(text: &str) -> String {
    let keeps = |line: &str| {
        let selector = line
            .rsplit_once("# [")
            .and_then(|(_, rest)| rest.trim_end().strip_suffix(']'));
        !selector.is_some_and(|selector| {
            matches!(selector.trim(), "win" | "osx" | "not unix" | "not linux")
        })
    };
    let lines = text.lines().filter(|line| keeps(line));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The lines of the definition's blacklist: match specs and file names, one in a line, or in YAML lists by
/// platform, as conda-metachannel has them.
pub(super) fn blacklist(definition: &MetaChannel, base: &Path) -> Result<Vec<Blacklisted>, Error> {
    let Some(path) = &definition.blacklist else {
        return Ok(Vec::new());
    };
    let path = base.join(path);
    let text = read(&path)?;
    let wrong = |problem: String| Error::Text {
        path: path.clone(),
        problem,
    };
    let is_yaml = path
        .extension()
        .is_some_and(|ending| ending == "yml" || ending == "yaml");
    let mut lines: Vec<(Option<String>, String)> = Vec::new();
    if is_yaml {
        let texts = |value: &Json| -> Vec<String> {
            let Json::List(items) = value else {
                return Vec::new();
            };
            let items = items.iter().filter_map(|item| match item {
                Json::Text(text) => Some(text.clone()),
                _ => None,
            });
            items.collect()
        };
        match yaml::parse(&text).map_err(|error| wrong(error.to_string()))? {
            Json::Map(map) => {
                for (subdir, list) in &map {
                    let named = texts(list).into_iter();
                    lines.extend(named.map(|text| (Some(subdir.clone()), text)));
                }
            }
            list @ Json::List(_) => lines.extend(texts(&list).into_iter().map(|text| (None, text))),
            Json::Null => {}
            _ => return Err(wrong("it is neither a list nor a map of lists".to_owned())),
        }
    } else {
        let plain = text.lines().map(|line| {
            let line = line.split_once(" #").map_or(line, |(before, _)| before);
            line.trim().to_owned()
        });
        let plain = plain.filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.extend(plain.map(|line| (None, line)));
    }
    lines
        .into_iter()
        .map(|(subdir, text)| {
            let what = if archive::package::Kind::from_file_name(&text).is_some() {
                What::File(text)
            } else {
                let spec = MatchSpec::from_str(&text, ParseMatchSpecOptions::lenient());
                let spec =
                    spec.map_err(|error| wrong(format!("`{text}` is no match spec: {error}")))?;
                What::Spec(Box::new(spec), text)
            };
            Ok(Blacklisted { subdir, what })
        })
        .collect()
}

/// What a `channeldata.json` tells of some names.
pub(super) fn channeldata(
    path: &Path,
    names: &HashSet<&str>,
) -> Result<Vec<(String, About)>, Reason> {
    struct File<'a>(&'a HashSet<&'a str>);
    impl<'de> Visitor<'de> for File<'_> {
        type Value = Vec<(String, About)>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Self::Value, M::Error> {
            let mut found = Vec::new();
            while let Some(key) = members.next_key::<String>()? {
                if key == "packages" {
                    let packages: HashMap<String, &'de RawValue> = members.next_value()?;
                    let wanted = packages
                        .into_iter()
                        .filter(|(name, _)| self.0.contains(name.as_str()));
                    found.extend(
                        wanted.filter_map(|(name, entry)| Some((name, About::read(entry.get())?))),
                    );
                } else {
                    members.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    let text = fs_err::read_to_string(path)?;
    let mut reader = serde_json::Deserializer::from_str(&text);
    let mut found = reader.deserialize_map(File(names))?;
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}

fn read(path: &Path) -> Result<String, Error> {
    fs_err::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}
