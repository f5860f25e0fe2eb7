//! The members of one JSON object, one after the other, each value as the text that it is: what
//! reads a large object without making a tree of all of it.

use std::borrow::Cow;

use crate::json::{Error, Json};

/// The keys and the values' texts of an object, in the order of the text. Commas, colons and braces
/// are checked; of a value only where it ends.
pub(crate) struct Fields<'a> {
    text: &'a str,
    position: usize,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Start,
    Inside,
    Over,
}

/// The members of the object that `text` is.
pub(crate) fn fields(text: &str) -> Fields<'_> {
    Fields {
        text,
        position: 0,
        state: State::Start,
    }
}

/// The text of a top-level key's value. Of keys that occur twice the last one counts.
pub(crate) fn field<'a>(text: &'a str, wanted: &str) -> Option<&'a str> {
    fields(text)
        .map_while(Result::ok)
        .filter(|(key, _)| key == wanted)
        .last()
        .map(|(_, value)| value)
}

/// The same of an object in the dialect, whose keys are sorted: what follows is not looked at.
pub(crate) fn field_of_sorted<'a>(text: &'a str, wanted: &str) -> Option<&'a str> {
    fields(text)
        .map_while(Result::ok)
        .find(|(key, _)| &**key >= wanted)
        .filter(|(key, _)| key == wanted)
        .map(|(_, value)| value)
}

/// An object in the dialect with one more member at its place, or without it. `value` is the text of
/// the member's value.
pub(crate) fn with(text: &str, wanted: &str, value: Option<&str>) -> String {
    let added = value.map_or(0, str::len) + wanted.len() + 4;
    let mut made = String::with_capacity(text.len() + added);
    let mut pending = value;
    made.push('{');
    let mut member = |key: &str, value: &str| {
        if made.len() > 1 {
            made.push(',');
        }
        crate::json::write_text(key, &mut made);
        made.push(':');
        made.push_str(value);
    };
    for (key, value) in fields(text).map_while(Result::ok) {
        if &*key == wanted {
            continue;
        }
        if &*key > wanted
            && let Some(value) = pending.take()
        {
            member(wanted, value);
        }
        member(&key, value);
    }
    if let Some(value) = pending {
        member(wanted, value);
    }
    made.push('}');
    made
}

/// The string that a value's text is.
pub(crate) fn string(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    match Json::parse(value.as_bytes()) {
        Ok(Json::Text(text)) => Some(Cow::Owned(text)),
        _ => None,
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(Cow<'a, str>, &'a str), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match self.state {
            State::Over => return None,
            State::Start => self.first(),
            State::Inside => self.further(),
        };
        if !matches!(next, Ok(Some(_))) {
            self.state = State::Over;
        }
        next.transpose()
    }
}

impl<'a> Fields<'a> {
    fn first(&mut self) -> Result<Option<(Cow<'a, str>, &'a str)>, Error> {
        if self.peek() != Some(b'{') {
            return Err(self.error("something else than an object"));
        }
        self.position += 1;
        self.state = State::Inside;
        if self.peek() == Some(b'}') {
            self.position += 1;
            return self.end();
        }
        self.member().map(Some)
    }

    fn further(&mut self) -> Result<Option<(Cow<'a, str>, &'a str)>, Error> {
        match self.peek() {
            Some(b'}') => {
                self.position += 1;
                self.end()
            }
            Some(b',') => {
                self.position += 1;
                self.member().map(Some)
            }
            _ => Err(self.error("no comma between items")),
        }
    }

    fn member(&mut self) -> Result<(Cow<'a, str>, &'a str), Error> {
        if self.peek() != Some(b'"') {
            return Err(self.error("no key in quotes"));
        }
        let raw = self.value()?;
        let key = string(raw).ok_or_else(|| self.error("no key in quotes"))?;
        if self.peek() != Some(b':') {
            return Err(self.error("no colon after a key"));
        }
        self.position += 1;
        self.peek();
        Ok((key, self.value()?))
    }

    fn end<T>(&mut self) -> Result<Option<T>, Error> {
        match self.peek() {
            None => Ok(None),
            Some(_) => Err(self.error("more text after the value")),
        }
    }

    /// The text of the value that begins here.
    fn value(&mut self) -> Result<&'a str, Error> {
        let bytes = self.text.as_bytes();
        let start = self.position;
        let mut depth = 0_usize;
        let mut at = start;
        loop {
            match bytes.get(at) {
                Some(b'"') => {
                    at = end_of_string(bytes, at)
                        .ok_or_else(|| self.error("a string without its end"))?;
                    if depth == 0 && at > start {
                        break;
                    }
                    continue;
                }
                Some(b'{' | b'[') => depth += 1,
                None | Some(b'}' | b']' | b',' | b':' | b' ' | b'\t' | b'\n' | b'\r')
                    if depth == 0 =>
                {
                    break;
                }
                Some(b'}' | b']') => {
                    depth -= 1;
                    if depth == 0 {
                        at += 1;
                        break;
                    }
                }
                Some(_) => {}
                None => return Err(self.error("the text ends where a value is expected")),
            }
            at += 1;
        }
        self.position = at;
        self.text
            .get(start..at)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| self.error("no JSON value"))
    }

    /// The next byte that is no white space, which is passed over.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.position) {
            self.position += 1;
        }
        bytes.get(self.position).copied()
    }

    fn error(&self, problem: &'static str) -> Error {
        Error {
            position: self.position,
            problem,
        }
    }
}

/// Where the string that begins at `start` is over.
fn end_of_string(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        at += 2;
    }
}
