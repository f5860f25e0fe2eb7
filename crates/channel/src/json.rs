//! JSON as Python's `json` module writes it with sorted keys, compact separators and ASCII only:
//! the form of conda-index's output, byte for byte. Numbers keep their digits, however large.

use std::collections::BTreeMap;
use std::fmt::Write as _;

mod cursor;
mod parse;
mod respell;
#[cfg(test)]
mod tests;

pub(crate) use cursor::Cursor;

/// Text that is not JSON, or not such as every client reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {position}")]
pub struct Error {
    /// How many bytes precede the problem.
    pub position: usize,
    /// What is wrong.
    pub problem: &'static str,
}

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without point and exponent, in its decimal digits.
    Integer(String),
    /// Any other number; finite.
    Float(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Json>),
    /// An object. Of keys that occur twice the last one counts, as in Python.
    Map(BTreeMap<String, Json>),
}

impl Json {
    /// Reads JSON text. Refused is what Python reads and other clients do not, because one such
    /// package would make the whole channel unreadable: NaN, infinite numbers, halves of surrogate
    /// pairs, nesting deeper than 100.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        parse::parse(text)
    }

    /// Appends the value to `out`.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Integer(digits) => out.push_str(digits),
            Self::Float(number) => write_float(*number, out),
            Self::Text(text) => write_text(text, out),
            Self::List(items) => {
                out.push('[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Map(map) => {
                out.push('{');
                for (position, (key, value)) in map.iter().enumerate() {
                    if position > 0 {
                        out.push(',');
                    }
                    write_text(key, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// Appends the text of a value in the dialect, as [`Json::parse`] and [`Json::write`] make it, where that can be had without
/// a tree: where keys are sorted, strings plain and numbers whole; whether it could. `member` takes key and value of each
/// member of an object.
pub(crate) fn respell(text: &str, out: &mut String, member: &mut dyn FnMut(&str, &str)) -> bool {
    let start = out.len();
    let is_spelled = respell::respell(text, out, member);
    if !is_spelled {
        out.truncate(start);
    }
    is_spelled
}

/// Appends a string in quotes, with all but printable ASCII escaped.
pub(crate) fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a String does not fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
}

/// The shortest digits that read as the same number, with an exponent where Python's `repr` has one.
fn write_float(number: f64, out: &mut String) {
    let shortest = format!("{number:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&exponent) {
        let plain = format!("{number}");
        out.push_str(&plain);
        if !plain.contains('.') {
            out.push_str(".0");
        }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{mantissa}e{sign}{:02}", exponent.unsigned_abs());
    }
}
