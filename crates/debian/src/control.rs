//! Control files: paragraphs of fields, as all of Debian's own files have them (deb822(5)).

use std::io::{self, BufRead};

/// A line longer than this is none.
const LONGEST_LINE: u64 = 4 << 20;

/// Some fields, in the order of the file. Names are compared without regard to case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paragraph {
    fields: Vec<(String, String)>,
}

impl Paragraph {
    /// The value of a field: its lines without the indentation of the first; none if it is not there.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All fields, in the order of the file.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Sets a field; a new one goes to the end.
    pub fn set(&mut self, name: &str, value: &str) {
        match self
            .fields
            .iter_mut()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
        {
            Some((_, known)) => value.clone_into(known),
            None => self.fields.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Takes a field away.
    pub fn remove(&mut self, name: &str) {
        self.fields
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The paragraph as files have it, with a line break at its end.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.fields {
            text.push_str(name);
            text.push(':');
            if !value.is_empty() && !value.starts_with('\n') {
                text.push(' ');
            }
            text.push_str(value);
            text.push('\n');
        }
        text
    }
}

/// The paragraphs of a text, one after the other. Bytes that are no UTF-8 are replaced; a line that is no
/// field is passed over.
pub struct Paragraphs<R> {
    reader: R,
    line: Vec<u8>,
}

impl<R: BufRead> Paragraphs<R> {
    /// Reads from the beginning of a paragraph.
    pub fn new(reader: R) -> Paragraphs<R> {
        Paragraphs {
            reader,
            line: Vec::new(),
        }
    }

    fn read(&mut self) -> io::Result<Option<Paragraph>> {
        let mut paragraph = Paragraph::default();
        loop {
            self.line.clear();
            let mut limited = io::Read::take(&mut self.reader, LONGEST_LINE);
            if limited.read_until(b'\n', &mut self.line)? == 0 {
                return Ok((!paragraph.is_empty()).then_some(paragraph));
            }
            if self.line.last() != Some(&b'\n') && self.line.len() as u64 == LONGEST_LINE {
                return Err(io::Error::other("a line does not end"));
            }
            let line = String::from_utf8_lossy(&self.line);
            let line = line.trim_end();
            if line.is_empty() {
                if paragraph.is_empty() {
                    continue;
                }
                return Ok(Some(paragraph));
            }
            if line.starts_with('#') {
                continue;
            }
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = paragraph.fields.last_mut() {
                    value.push('\n');
                    value.push_str(line);
                }
            } else if let Some((name, value)) = line.split_once(':') {
                let field = (name.trim_end().to_owned(), value.trim().to_owned());
                paragraph.fields.push(field);
            }
        }
    }
}

impl<R: BufRead> Iterator for Paragraphs<R> {
    type Item = io::Result<Paragraph>;

    fn next(&mut self) -> Option<io::Result<Paragraph>> {
        self.read().transpose()
    }
}

/// The paragraphs of a text that is in memory.
pub fn paragraphs(text: &str) -> impl Iterator<Item = Paragraph> {
    // Memory cannot fail, but for lines without end.
    Paragraphs::new(text.as_bytes()).map_while(Result::ok)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_lines_and_comments() {
        let text = "\n\n# c\nPackage: a\nDescription: short\n long\n .\n more\nEmpty:\nFiles:\n one\n\n\nPackage: b";
        let all: Vec<Paragraph> = paragraphs(text).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].get("description"), Some("short\n long\n .\n more"));
        assert_eq!(all[0].get("Empty"), Some(""));
        assert_eq!(all[1].get("Package"), Some("b"));
        assert_eq!(
            all[0].text(),
            "Package: a\nDescription: short\n long\n .\n more\nEmpty:\nFiles:\n one\n"
        );
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(values in proptest::collection::vec("[a-z]{1,4}(\n [a-z.]{1,4}){0,2}", 1..5)) {
            let mut paragraph = Paragraph::default();
            for (number, value) in values.iter().enumerate() {
                paragraph.set(&format!("F{number}"), value);
            }
            let again: Vec<Paragraph> = paragraphs(&paragraph.text()).collect();
            prop_assert_eq!(again, vec![paragraph]);
        }

        #[test]
        fn no_bytes_make_it_fail(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let count = Paragraphs::new(&bytes[..]).flatten().count();
            prop_assert!(count <= bytes.len());
        }
    }
}
