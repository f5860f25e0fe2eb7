//! channeldata.json (CEP 38): for each name what its packages tell of it, over all platforms. The
//! meaning is conda-index's (`ChannelIndex._update_channeldata`), made anew from the packages that
//! are there. It differs in this:
//!
//! - `timestamp` is the newest one, as the CEP says; conda-index writes that of the package it came
//!   across last (it looks for the previous one in the wrong map).
//! - A package that has left the channel has left channeldata.json; conda-index keeps the old file's
//!   entries for ever, and what they say of newer versions.
//! - Which of several packages counts depends on the packages alone: `.tar.bz2` files are taken by
//!   name, where conda-index takes them in the order of a Python set; times in seconds and in
//!   milliseconds are compared as times; of two platforms with the same newest version the one
//!   that was built later counts, whatever older versions were built in between.
//! - A record without name or version is left out; conda-index stops.
//!
//! An entry depends on the packages of its name only, so that the caller can keep entries from one
//! run to the next. Nothing here reads a file.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use super::current::version::VersionOrder;
use super::repodata::fields::{self, fields};
use crate::Json;
use crate::json::write_text;
use crate::scanned::Scanned;

pub(crate) mod newest;
#[cfg(test)]
mod tests;

/// A package that an entry is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Package<'a> {
    /// The platform's folder it is in.
    pub(crate) subdir: &'a str,
    /// Its record after patches.
    pub(crate) record: &'a str,
    /// What it tells itself: `record` (before patches), `about`, `recipe`, `post_install` and
    /// `run_exports` are used.
    pub(crate) scanned: &'a Scanned,
}

/// What lists of packages show of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Summary {
    /// The newest version.
    pub(crate) version: String,
    /// Seconds since 1970 of the newest package; 0 if none tells.
    pub(crate) timestamp: i64,
    /// The platforms' folders, sorted.
    pub(crate) subdirs: Vec<String>,
    /// Strings of the entry, by key; of a list the first.
    pub(crate) texts: BTreeMap<&'static str, String>,
}

/// Gives all entries in the order of their names to the function: name and text.
pub(crate) type Entries<'a> =
    &'a dyn Fn(&mut dyn FnMut(&str, &str) -> io::Result<()>) -> io::Result<()>;

/// Keys whose value is taken from the package that is newer, if it has one.
const NEWER: [&str; 16] = [
    "description",
    "dev_url",
    "doc_source_url",
    "doc_url",
    "home",
    "icon_hash",
    "icon_url",
    "identifiers",
    "keywords",
    "license",
    "recipe_origin",
    "source_git_url",
    "source_url",
    "summary",
    "tags",
    "version",
];

/// Keys that are true if they are for any package.
const ANY: [&str; 7] = [
    "activate.d",
    "binary_prefix",
    "deactivate.d",
    "post_link",
    "pre_link",
    "pre_unlink",
    "text_prefix",
];

/// The entry of one name, as JSON text. The packages are those that `Newest` has chosen, in its
/// order.
pub(crate) fn entry(packages: &[Package<'_>]) -> String {
    let mut entry = Entry::default();
    for package in packages {
        entry.add(package);
    }
    entry.text()
}

/// Writes the file from the platforms that were indexed (sorted, those without packages too) and
/// the entries, which the function gives in the order of their names.
pub(crate) fn write(out: &mut dyn Write, subdirs: &[&str], entries: Entries<'_>) -> io::Result<()> {
    out.write_all(b"{\"channeldata_version\":1,\"packages\":{")?;
    let mut first = true;
    entries(&mut |name, entry| {
        let mut key = if first { String::new() } else { ",".to_owned() };
        first = false;
        write_text(name, &mut key);
        write!(out, "{key}:{entry}")
    })?;
    let subdirs = subdirs
        .iter()
        .map(|subdir| Json::Text((*subdir).to_owned()));
    let mut list = String::new();
    Json::List(subdirs.collect()).write(&mut list);
    writeln!(out, "}},\"subdirs\":{list}}}")
}

impl Summary {
    /// Reads an entry.
    pub(crate) fn read(entry: &str) -> Self {
        let mut summary = Self::default();
        let Ok(Json::Map(map)) = Json::parse(entry.as_bytes()) else {
            return summary;
        };
        for key in NEWER {
            if let Some(text) = map.get(key).and_then(first_text) {
                summary.texts.insert(key, text.to_owned());
            }
        }
        if let Some(version) = summary.texts.get("version") {
            version.clone_into(&mut summary.version);
        }
        if let Some(Json::Integer(digits)) = map.get("timestamp") {
            summary.timestamp = digits.parse().unwrap_or_default();
        }
        if let Some(Json::List(subdirs)) = map.get("subdirs") {
            summary.subdirs = subdirs
                .iter()
                .filter_map(first_text)
                .map(str::to_owned)
                .collect();
        }
        summary
    }

    /// The string of a key; empty where there is none.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.texts.get(key).map(String::as_str).unwrap_or_default()
    }
}

/// Some recipes have lists where others have one string.
fn first_text(value: &Json) -> Option<&str> {
    match value {
        Json::Text(text) => Some(text),
        Json::List(items) => items.iter().find_map(first_text),
        _ => None,
    }
}

#[derive(Default)]
struct Entry {
    /// The version and the time of the package whose fields count.
    newest: Option<(Option<VersionOrder>, i64)>,
    timestamp: i64,
    fields: BTreeMap<&'static str, String>,
    flags: BTreeSet<&'static str>,
    subdirs: BTreeSet<String>,
    run_exports: BTreeMap<String, String>,
}

impl Entry {
    fn add(&mut self, package: &Package<'_>) {
        let data = data(package);
        let get = |key: &str| {
            data.get(key)
                .map(String::as_str)
                .filter(|value| is_true(value))
        };
        let version = get("version").and_then(fields::string);
        let version = version.as_deref().unwrap_or("0");
        let timestamp = data
            .get("timestamp")
            .map_or(0, |value| newest::seconds(value));
        let found = VersionOrder::parse(version);
        let is_newer = match &self.newest {
            None => true,
            Some((known, built)) if found == *known => timestamp > *built,
            Some((known, _)) => found > *known,
        };
        if is_newer {
            self.newest = Some((found, timestamp));
        }
        for key in NEWER {
            if let Some(value) = get(key)
                && (is_newer || !self.fields.contains_key(key))
            {
                self.fields.insert(key, value.to_owned());
            }
        }
        self.flags
            .extend(ANY.iter().filter(|key| get(key).is_some()));
        self.subdirs.insert(package.subdir.to_owned());
        if let Some(exports) = get("run_exports") {
            self.run_exports
                .insert(version.to_owned(), exports.to_owned());
        }
        self.timestamp = self.timestamp.max(timestamp);
    }

    fn text(mut self) -> String {
        let mut object: BTreeMap<&str, String> = BTreeMap::new();
        for key in ANY {
            object.insert(key, self.flags.contains(key).to_string());
        }
        object.append(&mut self.fields);
        let subdirs = self.subdirs.into_iter().map(Json::Text).collect();
        let mut text = String::new();
        Json::List(subdirs).write(&mut text);
        object.insert("subdirs", text);
        object.insert("run_exports", join(&self.run_exports));
        object.insert("timestamp", self.timestamp.to_string());
        join(&object)
    }
}

/// An object of keys and texts of values.
fn join<K: AsRef<str>>(object: &BTreeMap<K, String>) -> String {
    let mut text = "{".to_owned();
    for (key, value) in object {
        if text.len() > 1 {
            text.push(',');
        }
        write_text(key.as_ref(), &mut text);
        text.push(':');
        text.push_str(value);
    }
    text.push('}');
    text
}

/// Everything that a package tells, later sources over earlier ones, in the order of conda-index
/// (`CondaIndexCache.load_all_from_cache`). The values are JSON text.
fn data(package: &Package<'_>) -> BTreeMap<&'static str, String> {
    let scanned = package.scanned;
    let mut data = BTreeMap::new();
    for source in [&scanned.recipe, &scanned.about].into_iter().flatten() {
        layer(&mut data, source);
    }
    let found = scanned.post_install;
    for (key, flag) in [
        ("activate.d", found.activate_d),
        ("binary_prefix", found.binary_prefix),
        ("deactivate.d", found.deactivate_d),
        ("post_link", found.post_link),
        ("pre_link", found.pre_link),
        ("pre_unlink", found.pre_unlink),
        ("text_prefix", found.text_prefix),
    ] {
        data.insert(key, flag.to_string());
    }
    layer(&mut data, &scanned.record);
    if let Some(source) = data.remove("source") {
        for (key, value) in fields(&source).map_while(Result::ok) {
            match &*key {
                "url" => data.insert("source_url", value.to_owned()),
                "git_url" => data.insert("source_git_url", value.to_owned()),
                _ => None,
            };
        }
    }
    for key in ["description", "summary"] {
        if let Some(value) = data.get_mut(key)
            && let Some(line) = one_line(value)
        {
            *value = line;
        }
    }
    let exports = scanned.run_exports.as_deref().unwrap_or("{}");
    data.insert("run_exports", exports.to_owned());
    layer(&mut data, package.record);
    data
}

fn layer(data: &mut BTreeMap<&'static str, String>, source: &str) {
    const OTHERS: [&str; 3] = ["run_exports", "source", "timestamp"];
    for (key, value) in fields(source).map_while(Result::ok) {
        let wanted = NEWER.iter().chain(&ANY).chain(&OTHERS);
        if let Some(wanted) = wanted.copied().find(|wanted| *wanted == key) {
            data.insert(wanted, value.to_owned());
        }
    }
}

/// A string, or several to be joined, without line ends (`clear_newline_chars`).
fn one_line(value: &str) -> Option<String> {
    let text = match Json::parse(value.as_bytes()).ok()? {
        Json::Text(text) => text,
        Json::List(items) => {
            let items = items.iter().map(|item| match item {
                Json::Text(text) => Some(text.as_str()),
                _ => None,
            });
            items.collect::<Option<String>>()?
        }
        _ => return None,
    };
    // Python counts the separators among white space.
    let is_space = |letter: char| letter.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&letter);
    let mut line = String::new();
    write_text(&text.trim_matches(is_space).replace('\n', " "), &mut line);
    Some(line)
}

/// Whether Python takes the value for true.
fn is_true(value: &str) -> bool {
    !matches!(
        value,
        "null" | "false" | "0" | "-0" | "0.0" | "-0.0" | "\"\"" | "[]" | "{}"
    )
}
