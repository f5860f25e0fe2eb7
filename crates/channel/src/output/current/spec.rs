//! Match specs as conda 23.10 reads them (`models/match_spec.py`): what the dependencies in an index of
//! current packages are matched with. Of what may stand in brackets only that which a record of one
//! channel can meet is known; whatever else is asked for, no package has.

use std::borrow::Cow;

use regex::Regex;

use super::version::VersionOrder;

mod range;

use range::Range;

/// Longer specs are no specs.
const LENGTH_LIMIT: usize = 4096;

/// What matches a package.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    name: Text,
    version: Option<Range>,
    build: Option<Text>,
    build_number: Option<Number>,
    /// Asks for something that no package of the channel has.
    hopeless: bool,
}

/// A name or build string to be matched.
#[derive(Debug, Clone)]
enum Text {
    Exact(String),
    Pattern(Regex),
}

#[derive(Debug, Clone)]
enum Number {
    Exact(String),
    Range(Range),
}

/// The parts of a record that specs match.
pub(crate) trait Candidate {
    fn name(&self) -> &str;
    /// The version as it is written, and as it compares, if it does.
    fn version(&self) -> (&str, Option<&VersionOrder>);
    fn build(&self) -> &str;
    fn build_number(&self) -> i64;
}

impl Spec {
    /// `None` where conda raises `InvalidMatchSpec` or `InvalidVersionSpec`, and where the spec is a file
    /// or an URL.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() > LENGTH_LIMIT || text.ends_with('@') {
            return None;
        }
        let text = text.split('#').next()?;
        let text = text.split(" if ").next()?;
        if archive::package::Kind::from_file_name(text).is_some() {
            return None;
        }
        let (text, brackets) = without_brackets(text)?;
        let text = without_parentheses(&text);
        let (channel, text) = match text.rsplit_once(':') {
            Some((before, text)) => (before.rsplit_once(':').map(|(channel, _)| channel), text),
            None => (None, &*text),
        };
        let name_end = text
            .find([' ', '=', '<', '>', '!', '~'])
            .unwrap_or(text.len());
        let (name, rest) = text.split_at(name_end);
        // An operator alone is passed over.
        let rest = if rest.chars().nth(1).is_some() {
            rest
        } else {
            ""
        };
        if name.is_empty() {
            return None;
        }
        let (mut version, mut build) = version_and_build(rest.trim());
        let mut spec = Self {
            name: Text::parse(&name.to_lowercase())?,
            version: None,
            build: None,
            build_number: None,
            hopeless: channel.is_some_and(|channel| !channel.is_empty() && channel != "*"),
        };
        for (key, value) in brackets {
            match &*key {
                // What stands outside counts.
                "name" => {}
                "version" => version = Some(value),
                "build" => build = Some(value),
                "build_number" => spec.build_number = Some(Number::parse(&value)?),
                "channel" => spec.hopeless |= value != "*",
                "subdir" | "track_features" | "features" | "url" | "md5" | "sha256" | "license"
                | "license_family" | "fn" => spec.hopeless = true,
                _ => return None,
            }
        }
        if let Some(version) = version {
            spec.version = Some(Range::parse(&version)?);
        }
        if let Some(build) = build {
            spec.build = Some(Text::parse(&build)?);
        }
        Some(spec)
    }

    /// The name, where it is one and no pattern.
    pub(crate) fn exact_name(&self) -> Option<&str> {
        match &self.name {
            Text::Exact(name) => Some(name),
            Text::Pattern(_) => None,
        }
    }

    pub(crate) fn matches(&self, candidate: &dyn Candidate) -> bool {
        let (version, order) = candidate.version();
        !self.hopeless
            && self.name.matches(candidate.name())
            && self
                .version
                .as_ref()
                .is_none_or(|range| range.matches(version, order))
            && self
                .build
                .as_ref()
                .is_none_or(|build| build.matches(candidate.build()))
            && self
                .build_number
                .as_ref()
                .is_none_or(|number| number.matches(candidate.build_number()))
    }
}

impl Text {
    fn parse(text: &str) -> Option<Self> {
        if text.starts_with('^') && text.ends_with('$') {
            return Regex::new(text).ok().map(Self::Pattern);
        }
        if text.contains('*') {
            let pattern = regex::escape(text).replace("\\*", ".*");
            return Regex::new(&format!("^(?:{pattern})$"))
                .ok()
                .map(Self::Pattern);
        }
        Some(Self::Exact(text.to_owned()))
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Pattern(regex) => regex.is_match(text),
        }
    }
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        if text.trim().parse::<i64>().is_ok() || !text.contains(['=', '<', '>', '!', '*', '^']) {
            return Some(Self::Exact(text.trim().to_owned()));
        }
        Range::parse(text).map(Self::Range)
    }

    fn matches(&self, number: i64) -> bool {
        let text = number.to_string();
        match self {
            Self::Exact(exact) => *exact == text,
            Self::Range(range) => range.matches(&text, VersionOrder::parse(&text).as_ref()),
        }
    }
}

/// What stands in brackets: keys and values.
type Pairs = Vec<(String, String)>;

/// The spec without what stands in brackets, and that as keys and values.
fn without_brackets(text: &str) -> Option<(Cow<'_, str>, Pairs)> {
    let (Some(start), Some(end)) = (text.rfind('['), text.rfind(']')) else {
        return (!text.contains('[')).then_some((Cow::Borrowed(text), Vec::new()));
    };
    if end < start {
        return None;
    }
    let inner = text.get(start + 1..end)?;
    let rest = format!("{}{}", text.get(..start)?, text.get(end + 1..)?);
    if rest.contains('[') {
        return None;
    }
    let mut pairs = Vec::new();
    let mut at = inner;
    while let Some((key, after)) = at.split_once('=') {
        let key = key.trim_matches([' ', ',']);
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (value, rest) = if let Some(quote) = quote {
            after.get(1..)?.split_once(quote)?
        } else {
            let end = after.find([',', ' ']).unwrap_or(after.len());
            after.split_at(end)
        };
        if key.is_empty() || value.is_empty() {
            return None;
        }
        pairs.push((key.to_owned(), value.to_owned()));
        at = rest;
    }
    Some((Cow::Owned(rest), pairs))
}

fn without_parentheses(text: &str) -> Cow<'_, str> {
    match (text.find('('), text.rfind(')')) {
        (Some(_), Some(end)) => {
            let Some(start) = text.rfind('(').filter(|start| *start < end) else {
                return Cow::Borrowed(text);
            };
            let before = text.get(..start).unwrap_or_default();
            Cow::Owned(format!(
                "{before}{}",
                text.get(end + 1..).unwrap_or_default()
            ))
        }
        _ => Cow::Borrowed(text),
    }
}

/// What follows the name, without blanks around it, as version and build string.
fn version_and_build(text: &str) -> (Option<String>, Option<String>) {
    if text.is_empty() {
        return (None, None);
    }
    let (version, build) = split_build(text);
    let mut version = version.replace(' ', "");
    let build = build.map(|build| build.trim().to_owned());
    if let Some(after) = version.strip_prefix('=') {
        if let (Some(exact), None) = (after.strip_prefix('='), &build) {
            if !exact.is_empty() {
                version = exact.to_owned();
            }
        } else if !after.is_empty() && !after.contains(['=', ',', '|']) {
            version = if build.is_none() && !after.ends_with('*') {
                format!("{after}*")
            } else {
                after.to_owned()
            };
        }
    }
    (Some(version), build)
}

/// conda's `_parse_version_plus_build`: a blank or an equals sign before something that can be a build
/// string, unless it belongs to an operator.
fn split_build(text: &str) -> (&str, Option<&str>) {
    let no_build = |c: char| matches!(c, '-' | '=' | ',' | '|' | '<' | '>' | '~');
    // Where the text begins behind which everything can be a build string.
    let first = text
        .char_indices()
        .rev()
        .find(|(_, c)| no_build(*c))
        .map_or(0, |(at, c)| at + c.len_utf8());
    let mut ends: Vec<_> = text.char_indices().map(|(at, _)| at).skip(1).collect();
    ends.push(text.len());
    let fits = |end: usize| -> Option<(&str, Option<&str>)> {
        let (version, rest) = text.split_at_checked(end)?;
        if rest.is_empty() {
            return Some((version, None));
        }
        let build = rest.strip_prefix([' ', '='])?;
        let before = version.chars().next_back()?;
        let is_sound = !build.is_empty()
            && end + 1 >= first
            && !matches!(before, '=' | '!' | '|' | ',' | '<' | '>' | '~');
        is_sound.then_some((version, Some(build)))
    };
    for (index, end) in ends.iter().enumerate() {
        let longer = ends.get(index + 1).copied().filter(|longer| {
            let taken = text.get(*end..*longer).unwrap_or_default();
            !taken.contains(['>', '<', '!', ',', '|'])
        });
        if let Some(found) = longer.and_then(&fits).or_else(|| fits(*end)) {
            return found;
        }
    }
    (text, None)
}
