//! conda-forge's `patch_yaml` files: which records a rule is for, and what it does to them. The
//! meaning is that of `patch_yaml_utils.py` and `patch_yaml_model.py` in the feedstock
//! conda-forge-repodata-patches. A record that lacks what a condition asks for does not meet it, and an
//! action that makes no sense for a record leaves it alone, where that script would stop.

use std::collections::{BTreeMap, HashMap};
use std::io;

use archive::package::Kind;
use rayon::prelude::*;

use crate::json::Json;
use crate::output::repodata::{Each, fields, quoted};
use crate::yaml;

mod action;
mod condition;
mod pin;
mod template;
#[cfg(test)]
mod tests;

use action::Action;
use condition::Condition;

type Record = BTreeMap<String, Json>;

/// How many records are looked at together, in parallel.
const BATCH: usize = 8192;

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A document is no YAML.
    #[error("document {number} is no YAML that can be used")]
    Yaml {
        /// Counted from 1.
        number: usize,
        /// What is wrong.
        #[source]
        source: yaml::Error,
    },
    /// A document is no rule.
    #[error("document {number}: {problem}")]
    Rule {
        /// Counted from 1.
        number: usize,
        /// What is wrong.
        problem: String,
    },
    /// The text as such is wrong.
    #[error("{problem}")]
    Text {
        /// What is wrong.
        problem: String,
    },
    /// The records could not be had.
    #[error("could not read the records")]
    Records {
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn new(problem: String) -> Self {
        Self::Text { problem }
    }
}

/// Rules in their order.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    all: Vec<Rule>,
    /// The rules that are for packages of one name, by that name.
    named: HashMap<String, Vec<usize>>,
    /// All others.
    unnamed: Vec<usize>,
}

#[derive(Debug)]
struct Rule {
    conditions: Vec<Condition>,
    actions: Vec<Action>,
}

impl Rules {
    /// Adds the documents of a file.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), Error> {
        for (index, document) in documents(text).into_iter().enumerate() {
            let number = index + 1;
            let rule = yaml::parse(&document).map_err(|source| Error::Yaml { number, source })?;
            if rule == Json::Null {
                continue;
            }
            let (name, rule) = parse(rule).map_err(|problem| Error::Rule { number, problem })?;
            match name {
                Some(name) => self.named.entry(name).or_default().push(self.all.len()),
                None => self.unnamed.push(self.all.len()),
            }
            self.all.push(rule);
        }
        Ok(())
    }

    /// The patch instructions that the rules come to for all records of a platform, as conda-forge's
    /// `gen_patch_json.py` makes them: what differs in each record afterwards.
    pub(crate) fn instructions(&self, subdir: &str, each: Each<'_>) -> Result<String, Error> {
        let mut text = String::from("{");
        for (key, kind) in [("packages", Kind::TarBz2), ("packages.conda", Kind::Conda)] {
            text.push_str(&quoted(key));
            text.push_str(":{");
            let mut first = true;
            let mut batch: Vec<(String, String)> = Vec::new();
            let mut flush = |batch: &mut Vec<(String, String)>| {
                let patches: Vec<_> = batch
                    .par_iter()
                    .map(|(file, record)| self.patch(subdir, file, record))
                    .collect();
                for ((file, _), patch) in batch.drain(..).zip(patches) {
                    let Some(patch) = patch else { continue };
                    if !std::mem::take(&mut first) {
                        text.push(',');
                    }
                    text.push_str(&quoted(&file));
                    text.push(':');
                    Json::Map(patch).write(&mut text);
                }
            };
            each(kind, &mut |file, record| {
                batch.push((file.to_owned(), record.to_owned()));
                if batch.len() >= BATCH {
                    flush(&mut batch);
                }
                Ok(())
            })
            .map_err(|source| Error::Records { source })?;
            flush(&mut batch);
            text.push_str("},");
        }
        text.push_str("\"patch_instructions_version\":1,\"remove\":[],\"revoke\":[]}");
        Ok(text)
    }

    /// What the rules change in a record; nothing where they change nothing.
    fn patch(&self, subdir: &str, file: &str, record: &str) -> Option<Record> {
        let name = fields::field_of_sorted(record, "name").and_then(fields::string)?;
        let named = self.named.get(&*name).map_or(&[][..], |rules| rules);
        if named.is_empty() && self.unnamed.is_empty() {
            return None;
        }
        let Ok(Json::Map(before)) = Json::parse(record.as_bytes()) else {
            return None;
        };
        let mut after = None;
        let mut candidates: Vec<_> = named.iter().chain(&self.unnamed).copied().collect();
        candidates.sort_unstable();
        for rule in candidates.into_iter().filter_map(|rule| self.all.get(rule)) {
            let current = after.as_ref().unwrap_or(&before);
            let meets = |condition: &Condition| condition.is_met(current, subdir, file);
            if rule.conditions.iter().all(meets) {
                let record = after.get_or_insert_with(|| before.clone());
                for action in &rule.actions {
                    action.apply(record, subdir);
                }
            }
        }
        let mut patch = after?;
        patch.retain(|key, value| before.get(key) != Some(value));
        (!patch.is_empty()).then_some(patch)
    }
}

/// A rule, and the one name that it is for, if it is.
fn parse(document: Json) -> Result<(Option<String>, Rule), String> {
    let Json::Map(mut document) = document else {
        return Err("a rule is a map of `if` and `then`".to_owned());
    };
    let (Some(Json::Map(conditions)), Some(Json::List(actions))) =
        (document.remove("if"), document.remove("then"))
    else {
        return Err("a rule has a map `if` and a list `then`".to_owned());
    };
    if let Some(key) = document.keys().next() {
        return Err(format!("unknown key `{key}`"));
    }
    let name = match conditions.get("name") {
        Some(Json::Text(name)) if crate::glob::is_plain(name) => Some(name.clone()),
        _ => None,
    };
    let conditions = conditions
        .iter()
        .map(|(key, value)| Condition::parse(key, value))
        .collect::<Result<_, _>>()?;
    let mut parsed = Vec::new();
    for action in actions {
        let Json::Map(action) = action else {
            return Err("every item of `then` is a map".to_owned());
        };
        for (key, value) in &action {
            parsed.push(Action::parse(key, value)?);
        }
    }
    let actions = parsed;
    Ok((
        name,
        Rule {
            conditions,
            actions,
        },
    ))
}

/// The documents of a YAML text.
fn documents(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        let rest = line.strip_prefix("---");
        match rest.filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t'])) {
            Some(rest) => documents.push(format!("{rest}\n")),
            None => {
                if let Some(document) = documents.last_mut() {
                    document.push_str(line);
                    document.push('\n');
                }
            }
        }
    }
    documents
}

/// A value's items as text, as Python's `str` has them; a single one counts as a list.
fn texts(key: &str, value: &Json) -> Result<Vec<String>, String> {
    let one = |value: &Json| {
        text(value).ok_or_else(|| format!("`{key}` is not a text or a list of texts"))
    };
    match value {
        Json::List(items) => items.iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}

/// Python's `str` of a scalar.
fn text(value: &Json) -> Option<String> {
    match value {
        Json::Text(text) => Some(text.clone()),
        Json::Integer(digits) => Some(digits.clone()),
        Json::Bool(true) => Some("True".to_owned()),
        Json::Bool(false) => Some("False".to_owned()),
        Json::Null => Some("None".to_owned()),
        Json::Float(_) => {
            let mut text = String::new();
            value.write(&mut text);
            Some(text)
        }
        Json::List(_) | Json::Map(_) => None,
    }
}

/// The strings of a list in a record; none where it is absent, `null` or something else.
fn strings<'a>(record: &'a Record, key: &str) -> Vec<&'a str> {
    match record.get(key) {
        Some(Json::List(items)) => items
            .iter()
            .filter_map(|item| match item {
                Json::Text(text) => Some(&**text),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// The words of `track_features`, which is a text or a list.
fn features(record: &Record) -> Vec<String> {
    match record.get("track_features") {
        Some(Json::Text(text)) => text.split_whitespace().map(str::to_owned).collect(),
        _ => strings(record, "track_features")
            .into_iter()
            .map(str::to_owned)
            .collect(),
    }
}
