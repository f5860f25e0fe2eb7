//! What is wrong with a specification and where: messages with line, column and a caret under the
//! text that they are about. The name of the file is not known here; [`Error::render`] adds it.

use std::fmt::{self, Write as _};

/// A warning: something that is accepted and has no effect, or is probably not what was meant.
pub type Warning = Diagnostic;

/// The most characters of a source line that a diagnostic shows.
const SHOWN: usize = 120;

/// All that is wrong with one specification, in the order of the file; at least one diagnostic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text(None))]
pub struct Error {
    first: Box<Diagnostic>,
    rest: Vec<Diagnostic>,
    omitted: usize,
}

/// One message about one place in a specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong, without file, line or column; lower case, no full stop.
    pub message: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The line's text for display: long lines are cut around the place, secrets in URLs masked.
    pub source_line: String,
    /// What to do instead, such as "did you mean `channels`?".
    pub suggestion: Option<String>,
    /// Where the caret stands in `source_line`, in characters from 0, and how many there are.
    caret: (usize, usize),
}

impl Error {
    /// The errors of the file, in its order. `omitted` counts those that are left out for want of
    /// room.
    pub(crate) fn new(first: Diagnostic, rest: Vec<Diagnostic>, omitted: usize) -> Self {
        Self {
            first: Box::new(first),
            rest,
            omitted,
        }
    }

    /// Every diagnostic, in the order of the file.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        std::iter::once(&*self.first).chain(&self.rest)
    }

    /// The first message.
    pub fn message(&self) -> &str {
        &self.first.message
    }

    /// The line of the first message, counted from 1.
    pub fn line(&self) -> usize {
        self.first.line
    }

    /// The column of the first message in characters, counted from 1.
    pub fn column(&self) -> usize {
        self.first.column
    }

    /// The advice that belongs to the first message.
    pub fn suggestion(&self) -> Option<&str> {
        self.first.suggestion.as_deref()
    }

    /// All messages, each one preceded by `FILE:LINE:COLUMN` as editors understand it.
    pub fn render(&self, file_name: &str) -> String {
        self.text(Some(file_name))
    }

    fn text(&self, file_name: Option<&str>) -> String {
        let mut text: String = self
            .diagnostics()
            .map(|diagnostic| diagnostic.text(file_name))
            .collect::<Vec<_>>()
            .join("\n");
        if self.omitted > 0 {
            let _ = write!(text, "\nand {} more errors", self.omitted);
        }
        text
    }
}

impl Diagnostic {
    /// A message about `length` characters from `column` (counted from 0) of `source_line`, which
    /// is line `line` (counted from 1).
    pub(crate) fn new(
        message: &str,
        suggestion: Option<String>,
        (line, column, length): (usize, usize, usize),
        source_line: &str,
    ) -> Self {
        let (source_line, start) = window(&mask(source_line), column);
        let room = source_line.chars().count().saturating_sub(start);
        Self {
            message: mask(message),
            line,
            column: column + 1,
            caret: (start, length.clamp(1, room.max(1))),
            source_line,
            suggestion,
        }
    }

    /// The message preceded by `FILE:LINE:COLUMN` as editors understand it.
    pub fn render(&self, file_name: &str) -> String {
        self.text(Some(file_name))
    }

    fn text(&self, file_name: Option<&str>) -> String {
        let Self {
            message,
            line,
            column,
            source_line,
            ..
        } = self;
        let place = match file_name {
            Some(file_name) => format!("{file_name}:{line}:{column}"),
            None => format!("line {line}, column {column}"),
        };
        let gutter = " ".repeat(line.to_string().len());
        let (start, length) = self.caret;
        let advice = self.suggestion.as_ref().map(|advice| format!(" {advice}"));
        format!(
            "{place}: {message}\n{gutter} |\n{line} | {source_line}\n{gutter} | {}{}{}",
            " ".repeat(start),
            "^".repeat(length),
            advice.unwrap_or_default(),
        )
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text(None))
    }
}

/// Text from the user inside a message: between backquotes, on one line, not too long.
pub(crate) fn quote(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut quoted: String = text.chars().take(LONGEST).map(visible).collect();
    if text.chars().nth(LONGEST).is_some() {
        quoted.push('…');
    }
    format!("`{quoted}`")
}

/// The part of a line around `column` that is shown, and where the column is in it. A control
/// character never reaches the terminal.
fn window(line: &str, column: usize) -> (String, usize) {
    let start = if column > SHOWN * 3 / 4 {
        column - SHOWN / 4
    } else {
        0
    };
    let mut shown: String = if start > 0 {
        "…".into()
    } else {
        String::new()
    };
    shown.extend(line.chars().skip(start).take(SHOWN).map(visible));
    let cut = line.chars().nth(start.saturating_add(SHOWN)).is_some();
    if cut {
        shown.push('…');
    }
    (shown, column - start + usize::from(start > 0))
}

fn visible(character: char) -> char {
    match character {
        '\t' | '\n' => ' ',
        // Bidirectional overrides can make a terminal show another text than the file holds.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        character if character.is_control() => '\u{fffd}',
        character => character,
    }
}

/// Hides the secrets that a channel's URL may hold, `/t/TOKEN/` and `//USER:PASSWORD@`, without
/// changing the number of characters: diagnostics end up in the logs of build services.
fn mask(text: &str) -> String {
    if !text.contains("://") {
        return text.to_owned();
    }
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find("://") {
        let (before, url) = rest.split_at(position + "://".len());
        let end = url.find(|c: char| c.is_whitespace() || "\"'`,".contains(c));
        let (url, after) = url.split_at(end.unwrap_or(url.len()));
        let authority = url.split('/').next().unwrap_or_default();
        let path = &url[authority.len()..];
        masked.push_str(before);
        match authority.rsplit_once('@') {
            Some((user, host)) => {
                masked.extend(user.chars().map(|_| '*'));
                masked.push('@');
                masked.push_str(host);
            }
            None => masked.push_str(authority),
        }
        let mut token_follows = false;
        for (index, segment) in path.split('/').enumerate() {
            if index > 0 {
                masked.push('/');
            }
            if token_follows {
                masked.extend(segment.chars().map(|_| '*'));
            } else {
                masked.push_str(segment);
            }
            token_follows = !token_follows && segment == "t";
        }
        rest = after;
    }
    masked.push_str(rest);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_nothing_moves() {
        for (text, expected) in [
            ("a = \"conda-forge\"", "a = \"conda-forge\""),
            (
                "[\"https://h/t/to-ken/c\", 1]",
                "[\"https://h/t/******/c\", 1]",
            ),
            ("https://me:pass@h/c x@y", "https://*******@h/c x@y"),
            ("https://h/t/abc", "https://h/t/***"),
            ("https://a@b, https://c@d", "https://*@b, https://*@d"),
        ] {
            assert_eq!(mask(text), expected);
        }
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let line = format!("{}X{}", "a".repeat(1000), "b".repeat(1000));
        let diagnostic = Diagnostic::new("m", None, (7, 1000, 1), &line);
        let shown: Vec<char> = diagnostic.source_line.chars().collect();
        assert!(shown.len() <= SHOWN + 2);
        assert_eq!(shown[diagnostic.caret.0], 'X');
        assert_eq!(diagnostic.column, 1001);
    }

    #[test]
    fn nothing_in_a_message_can_drive_the_terminal() {
        let diagnostic = Diagnostic::new(
            &quote("a\u{1b}[31m\nb"),
            None,
            (1, 0, 3),
            "\u{1b}]0;x\u{7}\u{202e}",
        );
        let text = diagnostic.render("f");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        assert!(!text.contains('\u{202e}'));
    }
}
