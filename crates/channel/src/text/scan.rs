//! Where the members of JSON objects begin and end. Strings, brackets and what lies between members are looked at; what is
//! in a value is for whoever reads it: nine of ten records are never read.

use memchr::memchr2;

use crate::json::Error;

/// As many levels as clients built on serde read.
const DEPTH: u32 = 127;

/// A place in a text. An object is gone through as [`Scanner::open`], then [`Scanner::key`] and the member's value by turns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanner<'t> {
    text: &'t str,
    at: usize,
    /// Whether an object was opened, and no member of it was seen.
    is_first: bool,
}

impl<'t> Scanner<'t> {
    /// The beginning of a text, which may go on where another one ended: `is_first` says then whether an object was
    /// opened, and no member of it was seen.
    pub(super) fn new(text: &'t str, is_first: bool) -> Self {
        Self {
            text,
            at: 0,
            is_first,
        }
    }

    /// How many bytes are before this place.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Whether an object was opened, and no member of it was seen.
    pub(super) fn is_first(&self) -> bool {
        self.is_first
    }

    /// Whether what is wrong at this place may be that the text ends here.
    pub(super) fn is_cut(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Enters the object that comes next.
    pub(super) fn open(&mut self) -> Result<(), Error> {
        if !self.take(b'{') {
            return Err(self.error("no object"));
        }
        self.is_first = true;
        Ok(())
    }

    /// The key of the next member, with its quotes; none at the end of the object, which is left.
    pub(super) fn key(&mut self) -> Result<Option<&'t str>, Error> {
        let is_first = std::mem::take(&mut self.is_first);
        if self.take(b'}') {
            return Ok(None);
        }
        if !is_first && !self.take(b',') {
            return Err(self.error("no comma between members"));
        }
        if self.peek() != Some(b'"') {
            return Err(self.error("no key in quotes"));
        }
        let key = self.value()?;
        if !self.take(b':') {
            return Err(self.error("no colon after a key"));
        }
        Ok(Some(key))
    }

    /// The value that comes next, as it stands there.
    pub(super) fn value(&mut self) -> Result<&'t str, Error> {
        self.peek();
        let start = self.at;
        // Which brackets are open, a bit for each: 1 is that of a list.
        let (mut open, mut depth) = (0_u128, 0);
        loop {
            match self.byte() {
                Some(b'"') => self.string()?,
                Some(bracket @ (b'{' | b'[')) => {
                    if depth == DEPTH {
                        return Err(self.error("too many levels"));
                    }
                    depth += 1;
                    open = open << 1 | u128::from(bracket == b'[');
                    self.at += 1;
                }
                Some(bracket @ (b'}' | b']')) if depth > 0 => {
                    if open & 1 != u128::from(bracket == b']') {
                        return Err(self.error("a bracket that closes another one"));
                    }
                    depth -= 1;
                    open >>= 1;
                    self.at += 1;
                }
                // A number or a word ends where something else begins.
                Some(b',' | b'}' | b']' | b':' | b' ' | b'\t' | b'\n' | b'\r') if depth == 0 => {}
                Some(_) => {
                    self.at += 1;
                    continue;
                }
                None => return Err(self.error("the text ends within a value")),
            }
            if depth == 0 {
                break;
            }
        }
        match self.text.get(start..self.at) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(self.error("no JSON value")),
        }
    }

    /// Checks that nothing follows.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.error("more text after the value")),
        }
    }

    /// What is wrong with the value before this place.
    pub(super) fn error(&self, problem: &'static str) -> Error {
        Error {
            position: self.at,
            problem,
        }
    }

    fn string(&mut self) -> Result<(), Error> {
        self.at += 1;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            match memchr2(b'"', b'\\', rest) {
                None => {
                    self.at = self.text.len();
                    return Err(self.error("a string without its end"));
                }
                Some(offset) if rest.get(offset) == Some(&b'"') => {
                    self.at += offset + 1;
                    return Ok(());
                }
                Some(offset) => self.at += offset + 2,
            }
        }
    }

    /// The next byte that is no white space, which is passed over.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn members(text: &str) -> Result<Vec<(&str, &str)>, Error> {
        let mut scanner = Scanner::new(text, false);
        scanner.open()?;
        let mut found = Vec::new();
        while let Some(key) = scanner.key()? {
            found.push((key, scanner.value()?));
        }
        scanner.end()?;
        Ok(found)
    }

    #[test]
    fn what_is_no_object() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        for (text, problem) in [
            ("", "no object"),
            ("[]", "no object"),
            ("{", "no key in quotes"),
            ("{,\"a\":1}", "no key in quotes"),
            ("{a:1}", "no key in quotes"),
            ("{\"a\"}", "no colon after a key"),
            ("{\"a\":}", "no JSON value"),
            ("{\"a\":1", "the text ends within a value"),
            ("{\"a\":{\"b\":1}", "no comma between members"),
            ("{\"a\":1 \"b\":2}", "no comma between members"),
            ("{\"a\":\"b", "a string without its end"),
            ("{\"a\":\"b\\", "a string without its end"),
            ("{\"a\":[1}}", "a bracket that closes another one"),
            ("{\"a\":1,}", "no key in quotes"),
            ("{} x", "more text after the value"),
            (&deep, "too many levels"),
        ] {
            let error = members(text).expect_err(text);
            assert_eq!(error.problem, problem, "{text}");
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-zä\"\\\\{}\\[\\],: ]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            let key = "[a-z\"\\\\]{0,5}";
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(key, inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// The members are those that a whole reader finds, and a text that is cut anywhere is no object.
        #[test]
        fn members_are_where_they_are(
            map in prop::collection::btree_map("[a-z\"\\\\ä]{0,6}", value(), 0..8),
            is_pretty in any::<bool>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let object = Value::Object(map.clone().into_iter().collect());
            let text = if is_pretty {
                serde_json::to_string_pretty(&object).unwrap()
            } else {
                object.to_string()
            };
            let read: Vec<(String, Value)> = members(&text)
                .unwrap()
                .into_iter()
                .map(|(key, value)| {
                    (serde_json::from_str(key).unwrap(), serde_json::from_str(value).unwrap())
                })
                .collect();
            let expected: Vec<_> = map.into_iter().collect();
            prop_assert_eq!(read, expected);
            if let Some(part) = text.get(..cut.index(text.len())) {
                prop_assert!(members(part).is_err());
            }
        }

        /// Any text has an answer.
        #[test]
        fn texts_of_no_sense(text in "[a{}\\[\\]\",:\\\\ \\PC]{0,60}") {
            let _ = members(&text);
        }
    }
}
