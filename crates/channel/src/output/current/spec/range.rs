//! Ranges of versions: operators, globs, regular expressions, joined by `,` (and) and `|` (or), which
//! binds less (conda 23.10, `models/version.py`, `VersionSpec`).

use regex::Regex;

use crate::output::current::version::VersionOrder;

/// What a version is matched with.
#[derive(Debug, Clone)]
pub(super) enum Range {
    Any,
    All(Vec<Range>),
    OneOf(Vec<Range>),
    Compares(Operator, VersionOrder),
    /// Everything from the version on that begins with the other one, which needs two components.
    Compatible(VersionOrder, Option<VersionOrder>),
    Pattern(Regex),
    Text(String),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    LessOrEqual,
    GreaterOrEqual,
    Less,
    Greater,
    StartsWith,
    NotStartsWith,
}

impl Range {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.contains(['(', ')', '|', ',', '^', '$']) {
            tree(text)
        } else {
            leaf(text)
        }
    }

    pub(super) fn matches(&self, text: &str, version: Option<&VersionOrder>) -> bool {
        match self {
            Self::Any => true,
            Self::All(ranges) => ranges.iter().all(|range| range.matches(text, version)),
            Self::OneOf(ranges) => ranges.iter().any(|range| range.matches(text, version)),
            Self::Compares(operator, wanted) => {
                version.is_some_and(|version| operator.holds(version, wanted))
            }
            Self::Compatible(least, Some(beginning)) => {
                version.is_some_and(|version| version >= least && version.starts_with(beginning))
            }
            Self::Compatible(_, None) => false,
            Self::Pattern(regex) => regex.is_match(text),
            Self::Text(exact) => exact == text,
        }
    }
}

impl Operator {
    fn holds(self, version: &VersionOrder, wanted: &VersionOrder) -> bool {
        match self {
            Self::Equal => version == wanted,
            Self::NotEqual => version != wanted,
            Self::LessOrEqual => version <= wanted,
            Self::GreaterOrEqual => version >= wanted,
            Self::Less => version < wanted,
            Self::Greater => version > wanted,
            Self::StartsWith => version.starts_with(wanted),
            Self::NotStartsWith => !version.starts_with(wanted),
        }
    }
}

/// An expression with operators and parentheses (`treeify`).
fn tree(text: &str) -> Option<Range> {
    let mut output: Vec<Range> = Vec::new();
    let mut stack = vec!['('];
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else {
            break;
        };
        if first == '^' {
            let end = rest.find('$')? + 1;
            output.push(leaf(rest.get(..end)?)?);
            rest = rest.get(end..)?;
            continue;
        }
        if matches!(first, '(' | ')' | '|' | ',') {
            rest = rest.get(1..)?;
            match first {
                '|' => {
                    reduce(&mut output, &mut stack, &['('])?;
                    stack.push('|');
                }
                ',' => {
                    reduce(&mut output, &mut stack, &['|', '('])?;
                    stack.push(',');
                }
                '(' => stack.push('('),
                _ => {
                    reduce(&mut output, &mut stack, &['('])?;
                    stack.pop()?;
                }
            }
            continue;
        }
        let end = rest.find(['(', ')', '|', ',']).unwrap_or(rest.len());
        output.push(leaf(rest.get(..end)?)?);
        rest = rest.get(end..)?;
    }
    reduce(&mut output, &mut stack, &['('])?;
    (stack == ['(']).then_some(())?;
    output.into_iter().next()
}

fn reduce(output: &mut Vec<Range>, stack: &mut Vec<char>, stop: &[char]) -> Option<()> {
    while let Some(operator) = stack.last().copied().filter(|top| !stop.contains(top)) {
        stack.pop();
        let (right, left) = (output.pop()?, output.pop()?);
        // Chains of one operator stay flat.
        output.push(match (operator, left) {
            ('|', Range::OneOf(mut ranges)) => {
                ranges.push(right);
                Range::OneOf(ranges)
            }
            ('|', left) => Range::OneOf(vec![left, right]),
            (_, Range::All(mut ranges)) => {
                ranges.push(right);
                Range::All(ranges)
            }
            (_, left) => Range::All(vec![left, right]),
        });
    }
    Some(())
}

fn leaf(text: &str) -> Option<Range> {
    let text = text.trim();
    if text.starts_with('^') || text.ends_with('$') {
        let is_whole = text.starts_with('^') && text.ends_with('$');
        return is_whole
            .then(|| Regex::new(text).ok())
            .flatten()
            .map(Range::Pattern);
    }
    if text.starts_with(['=', '<', '>', '!', '~']) {
        return operator(text);
    }
    if text == "*" {
        return Some(Range::Any);
    }
    let stem = text.trim_end_matches('*');
    if stem.contains('*') {
        let pattern = text
            .replace('.', "\\.")
            .replace('+', "\\+")
            .replace('*', ".*");
        return Regex::new(&format!("^(?:{pattern})$"))
            .ok()
            .map(Range::Pattern);
    }
    if stem.len() < text.len() {
        let version = VersionOrder::parse(stem.trim_end_matches('.'))?;
        return Some(Range::Compares(Operator::StartsWith, version));
    }
    if text.contains('@') {
        return Some(Range::Text(text.to_owned()));
    }
    Some(Range::Compares(Operator::Equal, VersionOrder::parse(text)?))
}

fn operator(text: &str) -> Option<Range> {
    let end = text.find(|c| !matches!(c, '=' | '<' | '>' | '!' | '~'))?;
    let (operator, version) = text.split_at(end);
    if version.contains(char::is_whitespace) {
        return None;
    }
    let (stem, glob) = match version.strip_suffix(".*") {
        Some(stem) => (stem, true),
        None => (version, false),
    };
    let operator = match operator {
        "==" => Operator::Equal,
        "!=" if glob => Operator::NotStartsWith,
        "!=" => Operator::NotEqual,
        "<=" => Operator::LessOrEqual,
        ">=" => Operator::GreaterOrEqual,
        "<" => Operator::Less,
        ">" => Operator::Greater,
        "=" => Operator::StartsWith,
        "~=" if !glob => {
            let least = VersionOrder::parse(version)?;
            let beginning = least.text().rsplit_once('.');
            let beginning = beginning.and_then(|(beginning, _)| VersionOrder::parse(beginning));
            return Some(Range::Compatible(least, beginning));
        }
        _ => return None,
    };
    Some(Range::Compares(operator, VersionOrder::parse(stem)?))
}
