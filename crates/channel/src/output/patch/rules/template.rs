//! Values of the record inside texts of a rule: Python's `string.Template` with the names that
//! conda-forge allows.

use super::{Record, text};

/// What may stand after `$` or between `${` and `}`.
const NAMES: [&str; 9] = [
    "name",
    "version",
    "build_number",
    "build",
    "subdir",
    "next_version",
    "major_version",
    "minor_version",
    "patch_version",
];

/// A text with names of values in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Name(String),
}

impl Template {
    /// A text without a known name in it is taken as it is, as conda-forge's script does.
    pub(super) fn parse(text: &str, with_old: bool) -> Result<Self, String> {
        let old = with_old.then_some("old");
        let mentioned = NAMES.into_iter().chain(old).any(|name| {
            text.contains(&format!("${name}")) || text.contains(&format!("${{{name}}}"))
        });
        if !mentioned {
            let parts = vec![Part::Literal(text.to_owned())];
            return Ok(Self { parts });
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            parts.push(Part::Literal(before.to_owned()));
            if let Some(after) = after.strip_prefix('$') {
                parts.push(Part::Literal("$".to_owned()));
                rest = after;
                continue;
            }
            let (name, after) = if let Some(braced) = after.strip_prefix('{') {
                braced.split_once('}').unwrap_or_default()
            } else {
                let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let end = after.find(|c| !is_inner(c)).unwrap_or(after.len());
                after.split_at(end)
            };
            if !NAMES.into_iter().chain(old).any(|known| known == name) {
                return Err(format!("unknown name `{name}` after `$` in `{text}`"));
            }
            parts.push(Part::Name(name.to_owned()));
            rest = after;
        }
        parts.push(Part::Literal(rest.to_owned()));
        Ok(Self { parts })
    }

    /// The text for a record; `None` where that lacks a value.
    pub(super) fn fill(&self, record: &Record, subdir: &str, old: Option<&str>) -> Option<String> {
        let mut filled = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => filled.push_str(text),
                Part::Name(name) => filled.push_str(&value(name, record, subdir, old)?),
            }
        }
        Some(filled)
    }
}

fn value(name: &str, record: &Record, subdir: &str, old: Option<&str>) -> Option<String> {
    let version = || record.get("version").and_then(text);
    let component = |index| {
        let version = version()?;
        Some(version.split('.').nth(index).unwrap_or("0").to_owned())
    };
    match name {
        "subdir" => Some(subdir.to_owned()),
        "old" => old.map(str::to_owned),
        "next_version" => {
            let version = version()?;
            let (before, last) = version
                .rsplit_once('.')
                .map_or(("", &*version), |parts| parts);
            let next = last.trim().parse::<u64>().ok()?.checked_add(1)?;
            Some(if before.is_empty() && !version.contains('.') {
                next.to_string()
            } else {
                format!("{before}.{next}")
            })
        }
        "major_version" => component(0),
        "minor_version" => component(1),
        "patch_version" => component(2),
        name => record.get(name).and_then(text),
    }
}
