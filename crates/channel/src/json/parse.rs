//! Reads JSON (RFC 8259) without giving up a digit.

use std::collections::BTreeMap;

use super::{Cursor, Error, Json};

/// Clients built on serde stop at 128 levels, and a record lies two levels deep in the repodata.
pub(super) const DEPTH_LIMIT: usize = 100;

/// Python refuses longer integers.
pub(super) const DIGITS_LIMIT: usize = 4300;

pub(super) fn parse(text: &[u8]) -> Result<Json, Error> {
    // Python's reader of bytes passes over a byte order mark.
    let skipped = if text.starts_with(b"\xef\xbb\xbf") {
        3
    } else {
        0
    };
    let rest = text.get(skipped..).unwrap_or_default();
    let text = std::str::from_utf8(rest).map_err(|error| Error {
        position: skipped + error.valid_up_to(),
        problem: "the text is not UTF-8",
    })?;
    let mut parser = Parser {
        at: Cursor::new(text),
        depth: 0,
    };
    let value = parser.value().and_then(|value| match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.error("more text after the value")),
    });
    value.map_err(|error| Error {
        position: error.position + skipped,
        ..error
    })
}

struct Parser<'a> {
    at: Cursor<'a>,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn value(&mut self) -> Result<Json, Error> {
        match self.peek() {
            Some(b'{') => self.nested(Self::map),
            Some(b'[') => self.nested(Self::list),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(_) => Err(self.error("no JSON value")),
            None => Err(self.error("the text ends where a value is expected")),
        }
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Json, Error>,
    ) -> Result<Json, Error> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return Err(self.error("too many levels"));
        }
        self.at.position += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn map(&mut self) -> Result<Json, Error> {
        let mut map = BTreeMap::new();
        if self.next_is(b'}') {
            return Ok(Json::Map(map));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.error("no key in quotes"));
            }
            let key = self.string()?;
            if !self.next_is(b':') {
                return Err(self.error("no colon after a key"));
            }
            let value = self.value()?;
            map.insert(key, value);
            if self.next_is(b'}') {
                return Ok(Json::Map(map));
            }
            if !self.next_is(b',') {
                return Err(self.error("no comma between members"));
            }
        }
    }

    fn list(&mut self) -> Result<Json, Error> {
        let mut items = Vec::new();
        if self.next_is(b']') {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value()?);
            if self.next_is(b']') {
                return Ok(Json::List(items));
            }
            if !self.next_is(b',') {
                return Err(self.error("no comma between items"));
            }
        }
    }

    fn string(&mut self) -> Result<String, Error> {
        self.at.position += 1;
        let mut string = String::new();
        loop {
            let rest = self.rest();
            let plain = rest
                .bytes()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))
                .ok_or_else(|| self.error("a string without its end"))?;
            string.push_str(rest.get(..plain).unwrap_or_default());
            self.at.position += plain;
            match self.at.byte() {
                Some(b'"') => {
                    self.at.position += 1;
                    return Ok(string);
                }
                Some(b'\\') => string.push(self.escape()?),
                _ => return Err(self.error("a control character in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Error> {
        self.at.position += 1;
        let character = match self.at.byte() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at.position += 1;
                let first = self.hex()?;
                let mut units = vec![first];
                if (0xd800..0xdc00).contains(&first) && self.rest().starts_with("\\u") {
                    self.at.position += 2;
                    units.push(self.hex()?);
                }
                let mut decoded = char::decode_utf16(units);
                return match (decoded.next(), decoded.next()) {
                    (Some(Ok(character)), None) => Ok(character),
                    _ => Err(self.error("half a surrogate pair in a string")),
                };
            }
            _ => return Err(self.error("an unknown escape in a string")),
        };
        self.at.position += 1;
        Ok(character)
    }

    fn hex(&mut self) -> Result<u16, Error> {
        let digits = self
            .rest()
            .get(..4)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.error("no four hexadecimal digits after \\u"))?;
        self.at.position += 4;
        Ok(unit)
    }

    fn number(&mut self) -> Result<Json, Error> {
        let start = self.at.position;
        let negative = self.at.take(b'-');
        let integer = self.digits();
        if integer == 0
            || (integer > 1
                && self.at.text.as_bytes().get(start + usize::from(negative)) == Some(&b'0'))
        {
            return Err(self.error("no JSON number"));
        }
        let mut is_float = false;
        if self.at.take(b'.') {
            is_float = true;
            if self.digits() == 0 {
                return Err(self.error("no digits after the point"));
            }
        }
        if self.at.take(b'e') || self.at.take(b'E') {
            is_float = true;
            let _ = self.at.take(b'+') || self.at.take(b'-');
            if self.digits() == 0 {
                return Err(self.error("no digits in the exponent"));
            }
        }
        let digits = self
            .at
            .text
            .get(start..self.at.position)
            .unwrap_or_default();
        if is_float {
            return match digits.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Json::Float(number)),
                _ => Err(self.error("a number beyond all bounds")),
            };
        }
        if integer > DIGITS_LIMIT {
            return Err(self.error("an integer of too many digits"));
        }
        // Python has no negative zero among its integers.
        let digits = if digits == "-0" { "0" } else { digits };
        Ok(Json::Integer(digits.to_owned()))
    }

    fn digits(&mut self) -> usize {
        let count = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        self.at.position += count;
        count
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, Error> {
        if !self.rest().starts_with(word) {
            return Err(self.error("no JSON value"));
        }
        self.at.position += word.len();
        Ok(value)
    }

    /// The next byte that is no white space, which is passed over.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.at.byte() {
            self.at.position += 1;
        }
        self.at.byte()
    }

    fn next_is(&mut self, byte: u8) -> bool {
        self.peek() == Some(byte) && self.at.take(byte)
    }

    fn rest(&self) -> &'a str {
        self.at.text.get(self.at.position..).unwrap_or_default()
    }

    fn error(&self, problem: &'static str) -> Error {
        Error {
            position: self.at.position,
            problem,
        }
    }
}
