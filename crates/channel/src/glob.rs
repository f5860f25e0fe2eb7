//! Shell patterns as Python's `fnmatch` has them, and conda-forge's `?( *)`, which matches nothing or a
//! blank and anything after it.

use regex::Regex;

const OPTIONAL: &str = "?( *)";

/// A pattern for a whole text.
#[derive(Debug, Clone)]
pub(crate) enum Glob {
    Exact(String),
    Pattern(Regex),
}

/// Whether a text has no characters that a pattern gives a meaning.
pub(crate) fn is_plain(text: &str) -> bool {
    !text.contains(['*', '?', '[', ']', '(', ')'])
}

impl Glob {
    pub(crate) fn new(pattern: &str) -> Self {
        if !pattern.contains(['*', '?', '[']) {
            return Self::Exact(pattern.to_owned());
        }
        let parts: Vec<_> = pattern.split(OPTIONAL).map(translate).collect();
        let regex = format!("^(?s:{})$", parts.join("(?: .*)?"));
        // Only a class can go wrong, in which case Python's finds nothing either.
        Regex::new(&regex).map_or_else(|_| Self::Exact(pattern.to_owned()), Self::Pattern)
    }

    pub(crate) fn all(patterns: &[String]) -> Vec<Self> {
        patterns.iter().map(|pattern| Self::new(pattern)).collect()
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Pattern(regex) => regex.is_match(text),
        }
    }
}

fn translate(pattern: &str) -> String {
    let mut regex = String::new();
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        match character {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => match class(rest.as_str()) {
                Some((class, after)) => {
                    regex.push_str(&class);
                    rest = after.chars();
                }
                None => regex.push_str("\\["),
            },
            character => regex.push_str(&regex::escape(character.encode_utf8(&mut [0; 4]))),
        }
    }
    regex
}

/// A class without its opening bracket, as a regular expression, and what follows it. A bracket that
/// comes first does not close it.
fn class(text: &str) -> Option<(String, &str)> {
    let (negated, inner) = match text.strip_prefix('!') {
        Some(inner) => (true, inner),
        None => (false, text),
    };
    let first = inner.chars().next()?.len_utf8();
    let length = first + inner.get(first..)?.find(']')?;
    let (inner, after) = (inner.get(..length)?, inner.get(length + 1..)?);
    let characters: Vec<char> = inner.chars().collect();
    let mut class = String::new();
    let mut at = 0;
    while let Some(&character) = characters.get(at) {
        let range = (characters.get(at + 1) == Some(&'-'))
            .then(|| characters.get(at + 2))
            .flatten();
        if let Some(&last) = range {
            // An empty range matches nothing.
            if character <= last {
                member(character, &mut class);
                class.push('-');
                member(last, &mut class);
            }
            at += 3;
        } else {
            member(character, &mut class);
            at += 1;
        }
    }
    let class = match (class.is_empty(), negated) {
        (true, true) => ".".to_owned(),
        (true, false) => "[a&&b]".to_owned(),
        (false, true) => format!("[^{class}]"),
        (false, false) => format!("[{class}]"),
    };
    Some((class, after))
}

fn member(character: char, class: &mut String) {
    if character.is_ascii_punctuation() {
        class.push('\\');
    }
    class.push(character);
}
