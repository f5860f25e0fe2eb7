//! JSON text into the dialect without a tree of it, where it is in the dialect already but for white space: as what
//! indexers write is.

use super::Cursor;
use super::parse::{DEPTH_LIMIT, DIGITS_LIMIT};

/// Takes the key of a member of the outermost object, and its value in the dialect.
pub(super) type Member<'a> = &'a mut dyn FnMut(&str, &str);

/// Appends the text to `out`; whether that could be done. Where it could not, what was appended is no use.
pub(super) fn respell(text: &str, out: &mut String, member: Member<'_>) -> bool {
    let mut speller = Speller {
        at: Cursor::new(text),
        copied: 0,
        out,
        member,
    };
    speller.space();
    let is_whole = speller.value(0).is_some();
    speller.space();
    speller.copy();
    is_whole && speller.at.is_over()
}

/// A place in the text. What is before `copied` is in `out`, or is white space.
struct Speller<'a, 'm> {
    at: Cursor<'a>,
    copied: usize,
    out: &'a mut String,
    member: Member<'m>,
}

impl<'a> Speller<'a, '_> {
    fn value(&mut self, depth: usize) -> Option<()> {
        match self.at.byte()? {
            b'{' => self.map(depth + 1),
            b'[' => self.list(depth + 1),
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.integer(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => None,
        }
    }

    fn map(&mut self, depth: usize) -> Option<()> {
        if depth > DEPTH_LIMIT {
            return None;
        }
        self.at.position += 1;
        self.space();
        if self.at.take(b'}') {
            return Some(());
        }
        let mut last: Option<&str> = None;
        loop {
            let key = self.string()?;
            // A key that is there twice, or not in its place, is for those who make a tree.
            if last.is_some_and(|last| last >= key) {
                return None;
            }
            last = Some(key);
            self.space();
            if !self.at.take(b':') {
                return None;
            }
            self.space();
            if depth == 1 {
                self.copy();
                let start = self.out.len();
                self.value(depth)?;
                self.copy();
                (self.member)(key, self.out.get(start..)?);
            } else {
                self.value(depth)?;
            }
            self.space();
            if self.at.take(b'}') {
                return Some(());
            }
            if !self.at.take(b',') {
                return None;
            }
            self.space();
        }
    }

    fn list(&mut self, depth: usize) -> Option<()> {
        if depth > DEPTH_LIMIT {
            return None;
        }
        self.at.position += 1;
        self.space();
        if self.at.take(b']') {
            return Some(());
        }
        loop {
            self.value(depth)?;
            self.space();
            if self.at.take(b']') {
                return Some(());
            }
            if !self.at.take(b',') {
                return None;
            }
            self.space();
        }
    }

    /// A string of printable ASCII without escapes.
    fn string(&mut self) -> Option<&'a str> {
        if !self.at.take(b'"') {
            return None;
        }
        let rest = self.at.text.get(self.at.position..)?;
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        let length = rest.bytes().position(|byte| !is_plain(byte))?;
        self.at.position += length;
        let string = rest.get(..length)?;
        self.at.take(b'"').then_some(string)
    }

    fn integer(&mut self) -> Option<()> {
        let is_negative = self.at.take(b'-');
        let rest = self.at.text.as_bytes().get(self.at.position..)?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let is_zero = rest.first() == Some(&b'0');
        let is_odd = is_zero && (digits > 1 || is_negative);
        if digits == 0 || digits > DIGITS_LIMIT || is_odd {
            return None;
        }
        self.at.position += digits;
        (!matches!(self.at.byte(), Some(b'.' | b'e' | b'E'))).then_some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let is_there = self.at.text.get(self.at.position..)?.starts_with(word);
        self.at.position += word.len();
        is_there.then_some(())
    }

    /// Passes over white space.
    fn space(&mut self) {
        let is_space = |byte: Option<u8>| matches!(byte, Some(b' ' | b'\t' | b'\n' | b'\r'));
        if is_space(self.at.byte()) {
            self.copy();
            while is_space(self.at.byte()) {
                self.at.position += 1;
            }
            self.copied = self.at.position;
        }
    }

    /// Copies what was read and is not in the result yet.
    fn copy(&mut self) {
        let piece = self.at.text.get(self.copied..self.at.position);
        self.out.push_str(piece.unwrap_or_default());
        self.copied = self.at.position;
    }
}
