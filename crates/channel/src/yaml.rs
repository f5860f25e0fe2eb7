//! YAML (1.2, core schema) as a JSON value: recipes, pins and patches. Built from the parser's
//! events, so that depth and aliases are bounded here.

use std::collections::{BTreeMap, HashMap};

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use crate::Json;

#[cfg(test)]
mod tests;

const DEPTH_LIMIT: usize = 100;

/// How many values all anchors of a text may hold, and all aliases stand for; long scalars count as several.
const ALIAS_LIMIT: usize = 100_000;

/// So many bytes of a scalar count as a value.
const SHARE: usize = 32;

/// Text that is not YAML, or not such as JSON can say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} in line {line}")]
pub struct Error {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

/// Reads the first document of a text; one without content is `null`. Keys that are no strings become
/// their text; a key that occurs twice in a map is an error, as in ruamel.yaml.
pub(crate) fn parse(text: &str) -> Result<Json, Error> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error: ScanError| Error {
            line: error.marker().line(),
            problem: error.info().to_owned(),
        })?;
        let done = builder.take(event).map_err(|problem| Error {
            line: span.start.line(),
            problem: problem.to_owned(),
        })?;
        if done {
            break;
        }
    }
    Ok(builder.root.unwrap_or(Json::Null))
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Json>,
    anchors: HashMap<usize, (Json, usize)>,
    aliased: usize,
}

struct Open {
    anchor: usize,
    count: usize,
    value: Partial,
}

enum Partial {
    List(Vec<Json>),
    Map(BTreeMap<String, Json>, Option<String>),
}

impl Builder {
    /// Takes the next event in; whether the document has ended.
    fn take(&mut self, event: Event<'_>) -> Result<bool, &'static str> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {}
            Event::DocumentEnd => return Ok(true),
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor);
                let (value, count) = known.ok_or("an alias of something that is not complete")?;
                let count = *count;
                self.aliased += count;
                if self.aliased > ALIAS_LIMIT {
                    return Err("aliases stand for too many values");
                }
                let value = value.clone();
                self.put(value, count, 0)?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_deref());
                self.put(value, 1 + text.len() / SHARE, anchor)?;
            }
            Event::SequenceStart(anchor, _) => self.open(anchor, Partial::List(Vec::new()))?,
            Event::MappingStart(anchor, _) => {
                self.open(anchor, Partial::Map(BTreeMap::new(), None))?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop().ok_or("an end without a beginning")?;
                let value = match open.value {
                    Partial::List(items) => Json::List(items),
                    Partial::Map(map, _) => Json::Map(map),
                };
                self.put(value, open.count, open.anchor)?;
            }
        }
        Ok(false)
    }

    fn open(&mut self, anchor: usize, value: Partial) -> Result<(), &'static str> {
        if self.open.len() >= DEPTH_LIMIT {
            return Err("too many levels");
        }
        self.open.push(Open {
            anchor,
            count: 1,
            value,
        });
        Ok(())
    }

    fn put(&mut self, value: Json, count: usize, anchor: usize) -> Result<(), &'static str> {
        if anchor != 0 {
            self.aliased += count;
            if self.aliased > ALIAS_LIMIT {
                return Err("anchors hold too many values");
            }
            self.anchors.insert(anchor, (value.clone(), count));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        open.count += count;
        match &mut open.value {
            Partial::List(items) => items.push(value),
            Partial::Map(map, key) => match key.take() {
                None => *key = Some(key_text(value)?),
                Some(name) => {
                    if map.insert(name, value).is_some() {
                        return Err("a key that occurs twice");
                    }
                }
            },
        }
        Ok(())
    }
}

fn key_text(value: Json) -> Result<String, &'static str> {
    match value {
        Json::Text(text) => Ok(text),
        Json::List(_) | Json::Map(_) => Err("a key that is no scalar"),
        other => {
            let mut text = String::new();
            other.write(&mut text);
            Ok(text)
        }
    }
}

/// A scalar by the core schema (YAML 1.2.2, 10.3.2).
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Json {
    let told = tag.is_some_and(|tag| !tag.is_yaml_core_schema() || tag.suffix == "str");
    if style != ScalarStyle::Plain || told {
        return Json::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Json::Null,
        "true" | "True" | "TRUE" => return Json::Bool(true),
        "false" | "False" | "FALSE" => return Json::Bool(false),
        _ => {}
    }
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) if text.starts_with('-') => ("-", digits),
        Some(digits) => ("", digits),
        None => ("", text),
    };
    let radix = |prefix, radix| {
        let digits = digits.strip_prefix(prefix)?;
        u64::from_str_radix(digits, radix).ok()
    };
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Json::Integer(format!("{sign}{number}"));
    }
    if !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && digits.len() <= 4300
    {
        let plain = digits.trim_start_matches('0');
        let plain = if plain.is_empty() { "0" } else { plain };
        let sign = if plain == "0" { "" } else { sign };
        return Json::Integer(format!("{sign}{plain}"));
    }
    let number_like = digits.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.')
        && digits.contains(|letter: char| letter.is_ascii_digit())
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    match text.parse::<f64>() {
        Ok(number) if number_like && number.is_finite() => Json::Float(number),
        _ => Json::Text(text.to_owned()),
    }
}
