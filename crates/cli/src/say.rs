//! What people and scripts are told. Names out of packages, images and answers may be hostile: they must not steer the
//! terminal, so all that is for people goes through [`printable`].

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Context as _;

use crate::exit::{Exit, Failure};

/// Tells people the result.
pub(crate) fn result(text: &str) -> Result<(), Failure> {
    verbatim(&printable(text))
}

/// Tells scripts the result.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .context("cannot write the result")
        .map_err(|error| Failure::new(Exit::Failed, error))?;
    verbatim(&(text + "\n"))
}

/// Writes a text of ours as it is.
pub(crate) fn verbatim(text: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout();
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .context("cannot write the result")
        .map_err(|error| Failure::new(Exit::Failed, error))
}

/// Tells people something besides the result. Nobody is left to tell if standard error is closed.
pub(crate) fn aside(text: &str) {
    let _ = std::io::stderr().write_all(printable(text).as_bytes());
}

/// A text without what a terminal would obey: control characters but ends of lines and tabs, and what turns the
/// direction of writing (Unicode's UAX 9).
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let steers = |letter: char| {
        letter.is_control() && letter != '\n' && letter != '\t'
            || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    for letter in text.chars() {
        if steers(letter) {
            shown.extend(letter.escape_unicode());
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

/// The first of many names, and how many more there are.
pub(crate) fn some<T: AsRef<str>>(names: &[T], most: usize) -> String {
    let first: Vec<&str> = names.iter().take(most).map(AsRef::as_ref).collect();
    let mut text = first.join(", ");
    if names.len() > most {
        // Writing to a String does not fail.
        let _ = write!(text, " and {} more", names.len() - most);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_steers_a_terminal() {
        for (text, expected) in [
            ("zlib 1.3 – ü\n\tx", "zlib 1.3 – ü\n\tx"),
            ("a\x1b[2Jb", "a\\u{1b}[2Jb"),
            ("a\u{9b}2J\r", "a\\u{9b}2J\\u{d}"),
            ("x\u{202e}gnp.exe", "x\\u{202e}gnp.exe"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }

    #[test]
    fn many_names_are_counted() {
        let names = ["a", "b", "c"];
        assert_eq!(some(&names, 3), "a, b, c");
        assert_eq!(some(&names, 1), "a and 2 more");
        assert_eq!(some::<&str>(&[], 1), "");
    }
}
