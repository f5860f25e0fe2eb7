//! conda's order of versions (CEP 33), as conda 23.10 implements it in `models/version.py`: with what
//! it refuses, and its test for a common beginning.

use std::cmp::Ordering;

/// A version that can be compared.
#[derive(Debug, Clone)]
pub(crate) struct VersionOrder {
    version: Vec<Vec<Part>>,
    local: Vec<Vec<Part>>,
    /// The text in lower case.
    text: String,
}

/// A run of digits or of other characters. Texts come before numbers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Text(String),
    /// Numbers above all bounds are the same.
    Number(u64),
    /// `post`
    Infinite,
}

const ZERO: Part = Part::Number(0);

impl VersionOrder {
    /// `None` where conda raises `InvalidVersionSpec`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut text = text.trim().to_lowercase();
        let is_sound = |text: &str| {
            !text.is_empty()
                && text.bytes().all(
                    |b| matches!(b, b'*' | b'.' | b'+' | b'!' | b'_' | b'0'..=b'9' | b'a'..=b'z'),
                )
        };
        if !is_sound(&text) && text.contains('-') && !text.contains('_') {
            text = text.replace('-', "_");
        }
        if !is_sound(&text) {
            return None;
        }
        let (epoch, rest) = match text.split_once('!') {
            None => ("0", &*text),
            Some((epoch, rest)) => (epoch, rest),
        };
        if epoch.is_empty() || !epoch.bytes().all(|b| b.is_ascii_digit()) || rest.contains('!') {
            return None;
        }
        let (main, local) = match rest.split_once('+') {
            None => (rest, None),
            Some((main, local)) => (main, Some(local)),
        };
        if main.is_empty() || local.is_some_and(|local| local.contains('+')) {
            return None;
        }
        let mut version = vec![parts(epoch)?];
        // An underscore at the end belongs to the last component, as openssl needs it.
        let (body, tail) = match main.strip_suffix('_') {
            Some(body) => (body, "_"),
            None => (main, ""),
        };
        let mut components = body.split(['_', '.']).peekable();
        while let Some(component) = components.next() {
            if components.peek().is_none() {
                version.push(parts(&format!("{component}{tail}"))?);
            } else {
                version.push(parts(component)?);
            }
        }
        let local = match local {
            Some(local) => local.split(['_', '.']).map(parts).collect::<Option<_>>()?,
            None => Vec::new(),
        };
        Some(Self {
            version,
            local,
            text,
        })
    }

    /// The normalised text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether this version is `other` or begins with it: 1.2.3 with 1.2, and 1.2a with 1.2a.
    pub(super) fn starts_with(&self, other: &Self) -> bool {
        let (ours, theirs) = if other.local.is_empty() {
            (&self.version, &other.version)
        } else {
            if compare(&self.version, &other.version).is_ne() {
                return false;
            }
            (&self.local, &other.local)
        };
        let Some((last, before)) = theirs.split_last() else {
            return false;
        };
        let whole = ours.get(..before.len()).unwrap_or(ours);
        if compare(whole, before).is_ne() {
            return false;
        }
        let nothing = Vec::new();
        let component = ours.get(before.len()).unwrap_or(&nothing);
        let Some((last, before)) = last.split_last() else {
            return false;
        };
        let whole = component.get(..before.len()).unwrap_or(component);
        if compare_parts(whole, before).is_ne() {
            return false;
        }
        match (component.get(before.len()).unwrap_or(&ZERO), last) {
            (Part::Text(ours), Part::Text(theirs)) => ours.starts_with(theirs),
            (_, Part::Text(_)) => false,
            (ours, theirs) => ours == theirs,
        }
    }
}

impl Ord for VersionOrder {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.version, &other.version).then_with(|| compare(&self.local, &other.local))
    }
}

impl PartialOrd for VersionOrder {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for VersionOrder {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for VersionOrder {}

/// What is missing counts as zero.
fn compare(left: &[Vec<Part>], right: &[Vec<Part>]) -> Ordering {
    (0..left.len().max(right.len()))
        .map(|at| compare_parts(at_or_nothing(left, at), at_or_nothing(right, at)))
        .find(|ordering| ordering.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn compare_parts(left: &[Part], right: &[Part]) -> Ordering {
    (0..left.len().max(right.len()))
        .map(|at| {
            left.get(at)
                .unwrap_or(&ZERO)
                .cmp(right.get(at).unwrap_or(&ZERO))
        })
        .find(|ordering| ordering.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// The runs of a component, which begin with a number.
fn parts(component: &str) -> Option<Vec<Part>> {
    let class = |byte: u8| match byte {
        b'0'..=b'9' => 0,
        b'*' => 1,
        _ => 2,
    };
    let bytes = component.as_bytes();
    let mut parts = Vec::new();
    if !bytes.first()?.is_ascii_digit() {
        parts.push(ZERO);
    }
    let mut start = 0;
    while let Some(first) = bytes.get(start) {
        let length = bytes
            .iter()
            .skip(start)
            .take_while(|byte| class(**byte) == class(*first))
            .count();
        let run = component.get(start..start + length)?;
        parts.push(match run {
            "post" => Part::Infinite,
            // Upper case comes before `_` and all small letters.
            "dev" => Part::Text("DEV".to_owned()),
            run if first.is_ascii_digit() => Part::Number(run.parse().unwrap_or(u64::MAX)),
            run => Part::Text(run.to_owned()),
        });
        start += length;
    }
    Some(parts)
}

fn at_or_nothing(components: &[Vec<Part>], at: usize) -> &[Part] {
    components.get(at).map_or(&[], |parts| parts)
}
