//! Relations between packages: `a (>= 1) | b:any, c` (Debian policy, 7.1).

use std::fmt;

use crate::version::Version;

/// One package that is meant, and which of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Its name, or that of what packages provide.
    pub name: String,
    /// What follows a colon: `any`, `native`, or an architecture.
    pub qualifier: Option<String>,
    /// Which versions.
    pub version: Option<(Operator, Version)>,
}

/// Packages of which one is enough, the preferred one first.
pub type Alternatives = Vec<Relation>;

/// How versions are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `<<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `=`
    Equal,
    /// `>=`
    MoreOrEqual,
    /// `>>`
    More,
}

impl Relation {
    /// Any version of a package.
    pub fn to(name: &str) -> Relation {
        Relation {
            name: name.to_owned(),
            qualifier: None,
            version: None,
        }
    }

    /// Whether a version is among those that are meant.
    pub fn takes(&self, version: &Version) -> bool {
        match &self.version {
            None => true,
            Some((Operator::Less, bound)) => version < bound,
            Some((Operator::LessOrEqual, bound)) => version <= bound,
            Some((Operator::Equal, bound)) => version == bound,
            Some((Operator::MoreOrEqual, bound)) => version >= bound,
            Some((Operator::More, bound)) => version > bound,
        }
    }

    /// Whether something provided is meant: one with a version only where that is said.
    pub fn takes_provided(&self, version: Option<&Version>) -> bool {
        match (&self.version, version) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(version)) => self.takes(version),
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        if let Some(qualifier) = &self.qualifier {
            write!(formatter, ":{qualifier}")?;
        }
        if let Some((operator, version)) = &self.version {
            let operator = match operator {
                Operator::Less => "<<",
                Operator::LessOrEqual => "<=",
                Operator::Equal => "=",
                Operator::MoreOrEqual => ">=",
                Operator::More => ">>",
            };
            write!(formatter, " ({operator} {version})")?;
        }
        Ok(())
    }
}

/// Alternatives as control files write them.
pub fn text(alternatives: &[Relation]) -> String {
    let all: Vec<String> = alternatives.iter().map(ToString::to_string).collect();
    all.join(" | ")
}

/// A field of relations. What is for other architectures is left out, and so is what is no relation:
/// `None` says that there was such a thing.
pub fn parse(field: &str, architecture: &str) -> Option<Vec<Alternatives>> {
    let mut all = Vec::new();
    for group in field.split(',').filter(|group| !group.trim().is_empty()) {
        let mut alternatives = Vec::new();
        for one in group.split('|') {
            if let Some(relation) = one_relation(one, architecture)? {
                alternatives.push(relation);
            }
        }
        if !alternatives.is_empty() {
            all.push(alternatives);
        }
    }
    Some(all)
}

/// The inner `None` is a relation for other architectures.
#[expect(
    clippy::option_option,
    reason = "wrong, not for us, and a relation are three things"
)]
fn one_relation(text: &str, architecture: &str) -> Option<Option<Relation>> {
    let end = text.find(['(', '[', '<']).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let (name, qualifier) = match name.trim().split_once(':') {
        Some((name, qualifier)) => (name, Some(qualifier.trim().to_owned())),
        None => (name.trim(), None),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    let mut version = None;
    let mut ours = true;
    loop {
        rest = rest.trim_start();
        if let Some(inner) = rest.strip_prefix('(') {
            let (inner, after) = inner.split_once(')')?;
            version = Some(constraint(inner.trim())?);
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('[') {
            let (inner, after) = inner.split_once(']')?;
            ours = is_listed(inner, architecture);
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('<') {
            // Build profiles: of no concern to what is built.
            (_, rest) = inner.split_once('>')?;
        } else if rest.is_empty() {
            break;
        } else {
            return None;
        }
    }
    Some(ours.then(|| Relation {
        name: name.to_owned(),
        qualifier,
        version,
    }))
}

fn constraint(text: &str) -> Option<(Operator, Version)> {
    let end = text.find(|c| !"<>=".contains(c))?;
    let (operator, version) = text.split_at(end);
    let operator = match operator {
        "<<" => Operator::Less,
        // dpkg reads the old `<` and `>` so.
        "<=" | "<" => Operator::LessOrEqual,
        "=" => Operator::Equal,
        ">=" | ">" => Operator::MoreOrEqual,
        ">>" => Operator::More,
        _ => return None,
    };
    Some((operator, Version::new(version)))
}

fn is_listed(list: &str, architecture: &str) -> bool {
    let mut names = list.split_whitespace();
    if list.trim_start().starts_with('!') {
        return !names.any(|name| name.strip_prefix('!') == Some(architecture));
    }
    names.any(|name| name == architecture || matches!(name, "any" | "linux-any"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_control_files_write() {
        let all = parse(
            "libc6 (>= 2.36), a|b:any (<<2) ,, c [amd64 arm64] <!nocheck>, d [!arm64], e [i386] | f",
            "arm64",
        )
        .expect("relations");
        let texts: Vec<String> = all.iter().map(|group| text(group)).collect();
        assert_eq!(texts, ["libc6 (>= 2.36)", "a | b:any (<< 2)", "c", "f"]);
        assert!(parse("", "arm64").is_some_and(|all| all.is_empty()));
        for wrong in ["a (", "a (>= 1", "a b", "(>= 1)", "a (~ 1)", "a/b"] {
            assert!(parse(wrong, "arm64").is_none(), "{wrong}");
        }
    }

    #[test]
    fn versions_and_what_is_provided() {
        let relation = |text| parse(text, "arm64").and_then(|all| all[0].first().cloned());
        let relation = |text| relation(text).expect("a relation");
        for (text, version, expected) in [
            ("a", "1", true),
            ("a (>= 1)", "1", true),
            ("a (>> 1)", "1", false),
            ("a (<< 1)", "1~rc", true),
            ("a (= 1)", "1-0", true),
        ] {
            assert_eq!(
                relation(text).takes(&Version::new(version)),
                expected,
                "{text}"
            );
        }
        assert!(relation("a").takes_provided(None));
        assert!(!relation("a (>= 1)").takes_provided(None));
        assert!(relation("a (>= 1)").takes_provided(Some(&Version::new("2"))));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text in "[a-c ,|()<>=:!\\[\\]0-9.]{0,40}") {
            if let Some(all) = parse(&text, "arm64") {
                let written: Vec<String> = all.iter().map(|group| super::text(group)).collect();
                prop_assert_eq!(parse(&written.join(", "), "arm64"), Some(all));
            }
        }
    }
}
