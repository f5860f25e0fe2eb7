//! The text of a specification while it is read: turns byte ranges into lines and columns, collects
//! errors and warnings, and holds the readers for the simple types. What a key means is decided in
//! `distribution`.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Diagnostic, Error, Warning, quote};

/// A value of the TOML tree with its place.
pub(crate) type Value<'t> = Spanned<DeValue<'t>>;

/// A key and its value, as they lie in a table.
pub(crate) type Entry<'a, 't> = (&'a str, Range<usize>, &'a Value<'t>);

/// Longer texts are refused before they are parsed: the tree takes many times the memory.
const LARGEST: usize = 1 << 20;

/// More errors than this are counted and not shown.
const MOST: usize = 20;

/// The text and what was found in it so far.
pub(crate) struct Source<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
    errors: Vec<(usize, Diagnostic)>,
    omitted: usize,
    warnings: Vec<(usize, Warning)>,
}

impl<'t> Source<'t> {
    /// The text and its TOML tree.
    ///
    /// Fails when the text is no TOML, with all that the parser found.
    pub(crate) fn parse(text: &'t str) -> Result<(Self, DeTable<'t>), Error> {
        let mut source = Self {
            text,
            line_starts: std::iter::once(0)
                .chain(text.match_indices('\n').map(|(position, _)| position + 1))
                .collect(),
            errors: Vec::new(),
            omitted: 0,
            warnings: Vec::new(),
        };
        if text.len() > LARGEST {
            source.error(
                0..0,
                format!(
                    "a specification is at most {} KiB long, this file has {} KiB",
                    LARGEST / 1024,
                    text.len().div_ceil(1024)
                ),
                None,
            );
            return Err(source.into_error());
        }
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let span = error.span().unwrap_or(text.len()..text.len());
            let suggestion = source.syntax_advice(&span);
            source.error(span, error.message(), suggestion);
        }
        if source.errors.is_empty() {
            Ok((source, table.into_inner()))
        } else {
            Err(source.into_error())
        }
    }

    pub(crate) fn error(
        &mut self,
        span: Range<usize>,
        message: impl AsRef<str>,
        advice: Option<String>,
    ) {
        if self.is_full() {
            self.omitted += 1;
            return;
        }
        let diagnostic = self.diagnostic(&span, message.as_ref(), advice);
        self.errors.push((span.start, diagnostic));
    }

    pub(crate) fn warning(
        &mut self,
        span: Range<usize>,
        message: impl AsRef<str>,
        advice: Option<String>,
    ) {
        if self.warnings.len() < MOST {
            let diagnostic = self.diagnostic(&span, message.as_ref(), advice);
            self.warnings.push((span.start, diagnostic));
        }
    }

    /// Whether further errors are only counted, so that advice for them would be made in vain.
    pub(crate) fn is_full(&self) -> bool {
        self.errors.len() >= MOST
    }

    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The text of a value as the user wrote it.
    pub(crate) fn written(&self, span: &Range<usize>) -> &'t str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// The warnings, in the order of the file.
    pub(crate) fn into_warnings(mut self) -> Vec<Warning> {
        self.warnings.sort_by_key(|(position, _)| *position);
        self.warnings
            .into_iter()
            .map(|(_, warning)| warning)
            .collect()
    }

    /// The errors, in the order of the file. There must be one.
    pub(crate) fn into_error(mut self) -> Error {
        self.errors.sort_by_key(|(position, _)| *position);
        let none = self.diagnostic(&(0..0), "the specification is not valid", None);
        let mut errors = self.errors.into_iter().map(|(_, error)| error);
        Error::new(
            errors.next().unwrap_or(none),
            errors.collect(),
            self.omitted,
        )
    }

    fn diagnostic(&self, span: &Range<usize>, message: &str, advice: Option<String>) -> Diagnostic {
        let start = self.text.floor_char_boundary(span.start);
        let line = self
            .line_starts
            .partition_point(|&line_start| line_start <= start)
            .max(1);
        let line_start = self.line_starts[line - 1];
        let line_end = self.text[line_start..]
            .find('\n')
            .map_or(self.text.len(), |length| line_start + length);
        let shown = self.text[line_start..line_end].trim_end_matches('\r');
        let start = start.min(line_start + shown.len());
        let end = self
            .text
            .floor_char_boundary(span.end)
            .clamp(start, line_start + shown.len());
        let count = |range: Range<usize>| self.text[range].chars().count();
        let (column, length) = (count(line_start..start), count(start..end));
        Diagnostic::new(message, advice, (line, column, length), shown)
    }

    /// What people bring along from YAML and Python.
    fn syntax_advice(&self, span: &Range<usize>) -> Option<String> {
        let start = self.text.floor_char_boundary(span.start);
        let word: String = self.text[start..]
            .chars()
            .take(12)
            .take_while(char::is_ascii_alphabetic)
            .collect();
        match word.as_str() {
            "True" | "False" | "yes" | "no" | "Yes" | "No" | "on" | "off" => {
                Some("TOML writes `true` or `false`".into())
            }
            "null" | "None" | "nil" => Some("TOML has no null; leave the key out".into()),
            _ => None,
        }
    }
}

/// The readers: each gives the value of its type, or reports what was expected and gives nothing.
/// `name` is the key as messages call it.
impl<'t> Source<'t> {
    pub(crate) fn wrong_type(
        &mut self,
        name: &str,
        expected: &str,
        value: &Value<'t>,
        advice: Option<String>,
    ) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.error(
            value.span(),
            format!("`{name}` expects {expected}, found {found}"),
            advice,
        );
    }

    /// A string of any kind, except that a NUL cannot go into a file name, a script or a variable.
    pub(crate) fn text(&mut self, name: &str, value: &Value<'t>) -> Option<String> {
        let DeValue::String(text) = value.get_ref() else {
            let advice = match value.get_ref() {
                DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Datetime(_)
                | DeValue::Boolean(_) => Some(format!(
                    "write it in quotes: \"{}\"",
                    self.written(&value.span())
                )),
                _ => None,
            };
            self.wrong_type(name, "a string", value, advice);
            return None;
        };
        if text.contains('\0') {
            self.error(
                value.span(),
                format!("`{name}` holds a NUL character"),
                None,
            );
            return None;
        }
        Some(text.to_string())
    }

    /// A string of one line with something in it, white space around it taken off.
    pub(crate) fn line(&mut self, name: &str, value: &Value<'t>) -> Option<String> {
        let text = self.text(name, value)?;
        let line = text.trim();
        if line.is_empty() {
            self.error(value.span(), format!("`{name}` is empty"), None);
            return None;
        }
        if line.contains(char::is_control) {
            self.error(
                value.span(),
                format!("`{name}` holds a line break or another control character"),
                None,
            );
            return None;
        }
        Some(line.to_owned())
    }

    pub(crate) fn boolean(&mut self, name: &str, value: &Value<'t>) -> Option<bool> {
        if let DeValue::Boolean(boolean) = value.get_ref() {
            return Some(*boolean);
        }
        let advice = match value.get_ref() {
            DeValue::String(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => Some("write `true`, without quotes".to_owned()),
                "false" | "no" | "off" => Some("write `false`, without quotes".to_owned()),
                _ => None,
            },
            _ => None,
        };
        self.wrong_type(name, "`true` or `false`", value, advice);
        None
    }

    /// A list whose elements `read` understands. All elements are read even when one is wrong.
    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        elements: &str,
        value: &Value<'t>,
        mut read: impl FnMut(&mut Self, &Value<'t>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let DeValue::Array(array) = value.get_ref() else {
            let advice = match value.get_ref() {
                DeValue::String(_) | DeValue::Table(_) => {
                    let written = self.written(&value.span());
                    let short = written.len() < 60 && !written.contains(['\n', '\r']);
                    short.then(|| format!("write `[{written}]`"))
                }
                _ => None,
            };
            self.wrong_type(name, &format!("a list of {elements}"), value, advice);
            return None;
        };
        let values: Vec<Option<T>> = array.iter().map(|element| read(self, element)).collect();
        values.into_iter().collect()
    }

    /// A table's entries in the order of the file.
    pub(crate) fn entries<'a>(table: &'a DeTable<'t>) -> Vec<Entry<'a, 't>> {
        let mut entries: Vec<Entry<'a, 't>> = table
            .iter()
            .map(|(key, value)| (key.get_ref().as_ref(), key.span(), value))
            .collect();
        entries.sort_by_key(|(_, span, _)| span.start);
        entries
    }

    /// A table's entries, or a complaint that `value` is none.
    pub(crate) fn table<'a>(
        &mut self,
        name: &str,
        value: &'a Value<'t>,
    ) -> Option<Vec<Entry<'a, 't>>> {
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_type(name, "a table", value, None);
            return None;
        };
        Some(Self::entries(table))
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        name: &str,
        words: &[(&str, T)],
        value: &Value<'t>,
    ) -> Option<T> {
        let text = self.text(name, value)?;
        let found = words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, meaning)| *meaning);
        if found.is_none() {
            let known: Vec<String> = words
                .iter()
                .map(|(word, _)| format!("\"{word}\""))
                .collect();
            let advice = crate::keys::nearest(&text, words.iter().map(|(word, _)| *word))
                .map(|word| format!("did you mean `{word}`?"));
            let message = format!(
                "`{name}` is {}, expected one of {}",
                quote(&text),
                known.join(", ")
            );
            self.error(value.span(), message, advice);
        }
        found
    }

    /// Reports a key that a small table does not have.
    pub(crate) fn unknown(&mut self, span: Range<usize>, what: &str, key: &str, known: &[&str]) {
        let advice = crate::keys::nearest(key, known.iter().copied())
            .map(|near| format!("did you mean `{near}`?"));
        let advice =
            advice.or_else(|| (!known.is_empty()).then(|| format!("known: {}", known.join(", "))));
        self.error(
            span,
            format!("unknown key {} in {what}", quote(key)),
            advice,
        );
    }
}
