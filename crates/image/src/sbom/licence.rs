//! Licences: what records of packages say, as expressions of SPDX where they are such.

use std::collections::BTreeSet;

use archive::digest::Sha256;

/// What is known of a package's licence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Licence {
    /// An expression of SPDX.
    Expression(String),
    /// Other words.
    Words(String),
    /// Nothing.
    Unknown,
}

impl Licence {
    /// Of a record's `license`.
    pub(crate) fn of(text: Option<&str>) -> Licence {
        let text = text.map_or("", str::trim);
        if text.is_empty() {
            return Licence::Unknown;
        }
        let canonical = match spdx::Expression::canonicalize(text) {
            Ok(changed) => changed.unwrap_or_else(|| text.to_owned()),
            Err(_) => return Licence::Words(text.to_owned()),
        };
        // References lead into documents that nobody has.
        let is_listed = |expression: &spdx::Expression| {
            let mut requirements = expression.requirements();
            requirements.all(|one| one.req.license.id().is_some())
        };
        match spdx::Expression::parse(&canonical) {
            Ok(expression) if is_listed(&expression) => Licence::Expression(canonical),
            _ => Licence::Words(text.to_owned()),
        }
    }

    /// What SPDX calls it in a document that says what other words mean.
    pub(crate) fn spdx(&self) -> String {
        match self {
            Licence::Expression(expression) => expression.clone(),
            Licence::Words(words) => reference(words),
            Licence::Unknown => "NOASSERTION".to_owned(),
        }
    }
}

/// All of them together, as one expression; none if nothing is known of any.
pub(crate) fn together<'a>(licences: impl Iterator<Item = &'a Licence>) -> Option<String> {
    let parts: BTreeSet<String> = licences
        .filter(|licence| **licence != Licence::Unknown)
        .map(|licence| {
            let expression = licence.spdx();
            if expression.contains(" OR ") {
                format!("({expression})")
            } else {
                expression
            }
        })
        .collect();
    (!parts.is_empty()).then(|| parts.into_iter().collect::<Vec<_>>().join(" AND "))
}

/// A name for words that are no expression: readable, and another one for other words.
fn reference(words: &str) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() {
            letter
        } else {
            '-'
        }
    };
    let readable: String = words.chars().take(40).map(plain).collect();
    let digest = Sha256::of(words.as_bytes()).to_string();
    format!(
        "LicenseRef-conda-{}-{}",
        readable.trim_matches('-'),
        &digest[..8]
    )
}
