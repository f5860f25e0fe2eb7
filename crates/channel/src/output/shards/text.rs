//! Records in the dialect as MessagePack, written while they are read: nearly all are in their shards as they are, and
//! a tree of each would cost more than all else.

use std::borrow::Cow;

use super::{digest, msgpack};
use crate::json::Cursor;
use crate::output::repodata::fields;

/// As many levels as [`crate::json::Json::parse`] has room for.
const DEPTH: usize = 100;

const RUN_EXPORTS: &str = "run_exports";

/// Appends a record, with `run_exports` as a member. Nothing where one of the texts is not in the dialect; what was
/// appended is no use then.
pub(super) fn record(record: &str, run_exports: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut pending = Some(run_exports);
    let mut add = |count: &mut usize, out: &mut Vec<u8>| {
        let Some(text) = pending.take() else {
            return Some(());
        };
        *count += 1;
        msgpack::string(RUN_EXPORTS, out);
        let mut reader = Reader::new(text);
        reader.value(1, out)?;
        reader.at.is_over().then_some(())
    };
    let start = out.len();
    let mut count = 0;
    let mut reader = Reader::new(record);
    let mut members = Items::of(&mut reader, b'{', b'}')?;
    let mut last = None;
    while members.has_next(&mut reader)? {
        let key = reader.key(&mut last)?;
        if &*key >= RUN_EXPORTS {
            add(&mut count, out)?;
        }
        if &*key == RUN_EXPORTS {
            // The other one counts.
            reader.value(1, &mut Vec::new())?;
            continue;
        }
        count += 1;
        msgpack::string(&key, out);
        if matches!(&*key, "md5" | "sha256") && reader.at.byte() == Some(b'"') {
            digest(&reader.string()?, out);
        } else {
            reader.value(1, out)?;
        }
    }
    add(&mut count, out)?;
    head(start, out, |out| msgpack::map_header(count, out));
    reader.at.is_over().then_some(())
}

/// Puts a header before what was written since `start`: how much it is of is known only then.
fn head(start: usize, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let end = out.len();
    write(out);
    let length = out.len() - end;
    if let Some(written) = out.get_mut(start..) {
        written.rotate_right(length);
    }
}

/// What reads a text.
struct Reader<'a> {
    at: Cursor<'a>,
}

/// What is between brackets.
struct Items {
    end: u8,
    is_first: bool,
}

impl Items {
    fn of(reader: &mut Reader<'_>, start: u8, end: u8) -> Option<Self> {
        let is_first = reader.at.take(start);
        is_first.then_some(Self { end, is_first })
    }

    /// Passes over what is between two items, or after the last one.
    fn has_next(&mut self, reader: &mut Reader<'_>) -> Option<bool> {
        let is_first = std::mem::take(&mut self.is_first);
        if reader.at.take(self.end) {
            return Some(false);
        }
        (is_first || reader.at.take(b',')).then_some(true)
    }
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            at: Cursor::new(text),
        }
    }

    fn value(&mut self, depth: usize, out: &mut Vec<u8>) -> Option<()> {
        let start = out.len();
        let mut count = 0;
        match self.at.byte()? {
            _ if depth > DEPTH => return None,
            b'"' => msgpack::string(&self.string()?, out),
            b'[' => {
                let mut items = Items::of(self, b'[', b']')?;
                while items.has_next(self)? {
                    self.value(depth + 1, out)?;
                    count += 1;
                }
                head(start, out, |out| msgpack::list_header(count, out));
            }
            b'{' => {
                let mut members = Items::of(self, b'{', b'}')?;
                let mut last = None;
                while members.has_next(self)? {
                    msgpack::string(&self.key(&mut last)?, out);
                    self.value(depth + 1, out)?;
                    count += 1;
                }
                head(start, out, |out| msgpack::map_header(count, out));
            }
            _ => match self.word()? {
                "null" => out.push(0xc0),
                "false" => out.push(0xc2),
                "true" => out.push(0xc3),
                digits => {
                    let unsigned = digits.strip_prefix('-').unwrap_or(digits);
                    let is_integer =
                        !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit());
                    is_integer.then(|| msgpack::integer(digits, out))?;
                }
            },
        }
        Some(())
    }

    /// The next key with its colon, which comes after the `last` one.
    fn key(&mut self, last: &mut Option<Cow<'a, str>>) -> Option<Cow<'a, str>> {
        let key = self.string()?;
        let is_sorted = last.as_ref().is_none_or(|last| *last < key);
        *last = Some(key.clone());
        (is_sorted && self.at.take(b':')).then_some(key)
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at.position;
        if !self.at.take(b'"') {
            return None;
        }
        let rest = |position: usize| self.at.text.as_bytes().get(position..);
        let mut position = self.at.position;
        loop {
            position += memchr::memchr2(b'"', b'\\', rest(position)?)?;
            match rest(position)?.first()? {
                b'"' => break,
                _ => position += 2,
            }
        }
        self.at.position = position + 1;
        fields::string(self.at.text.get(start..self.at.position)?)
    }

    /// What comes before a comma or a bracket.
    fn word(&mut self) -> Option<&'a str> {
        let rest = self.at.text.get(self.at.position..)?;
        let is_end = |byte: u8| matches!(byte, b',' | b']' | b'}');
        let length = rest.bytes().position(is_end).unwrap_or(rest.len());
        self.at.position += length;
        rest.get(..length)
    }
}
