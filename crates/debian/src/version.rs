//! Versions and their order: epoch, upstream version and revision (Debian policy, 5.6.12).

use std::cmp::Ordering;
use std::fmt;

/// A version. Equal are versions that order as equal, `1.0` and `0:1.0-0` too.
#[derive(Debug, Clone)]
pub struct Version(String);

impl Version {
    /// A version as it is written. What is no version orders somehow, and always in the same way.
    pub fn new(text: &str) -> Version {
        Version(text.trim().to_owned())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without its epoch, as file names have it.
    pub fn without_epoch(&self) -> &str {
        self.0.split_once(':').map_or(&*self.0, |(_, rest)| rest)
    }

    fn parts(&self) -> (u64, &str, &str) {
        let (epoch, rest) = match self.0.split_once(':') {
            Some((epoch, rest)) => (epoch.parse().unwrap_or(0), rest),
            None => (0, &*self.0),
        };
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        (epoch, upstream, revision)
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Version) -> Ordering {
        let (ours, theirs) = (self.parts(), other.parts());
        ours.0
            .cmp(&theirs.0)
            .then_with(|| part(ours.1, theirs.1))
            .then_with(|| part(ours.2, theirs.2))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Version) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Version) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Words and numbers by turns; a word may be empty, and so may a number, which is 0.
fn part(ours: &str, theirs: &str) -> Ordering {
    let (mut ours, mut theirs) = (ours.as_bytes(), theirs.as_bytes());
    while !ours.is_empty() || !theirs.is_empty() {
        let (first, second) = (word(&mut ours), word(&mut theirs));
        let order = letters(first, second);
        if order.is_ne() {
            return order;
        }
        let (first, second) = (number(&mut ours), number(&mut theirs));
        // Without zeros in front, the longer number is the greater one.
        let order = first
            .len()
            .cmp(&second.len())
            .then_with(|| first.cmp(second));
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Takes what comes before the next digit.
fn word<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    take(text, |letter| !letter.is_ascii_digit())
}

/// Takes a number, and gives it without zeros in front.
fn number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let digits = take(text, u8::is_ascii_digit);
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

fn take<'a>(text: &mut &'a [u8], wanted: impl Fn(&u8) -> bool) -> &'a [u8] {
    let end = text.iter().take_while(|letter| wanted(letter)).count();
    let (taken, rest) = text.split_at(end);
    *text = rest;
    taken
}

/// `~` comes before the end, the end before letters, letters before everything else.
fn letters(ours: &[u8], theirs: &[u8]) -> Ordering {
    let weight = |letter: Option<&u8>| match letter {
        Some(b'~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(*letter),
        Some(letter) => i32::from(*letter) + 256,
    };
    (0..ours.len().max(theirs.len()))
        .map(|place| weight(ours.get(place)).cmp(&weight(theirs.get(place))))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_order_of_versions() {
        let ascending = [
            "1.0~~",
            "1.0~~a",
            "1.0~",
            "1.0~rc1-1",
            "1.0",
            "1.0-0+b1",
            "1.0-1",
            "1.0-1+b1",
            "1.0a",
            "1.0+dfsg-1",
            "1.0.1",
            "1.2",
            "1.10",
            "2",
            "1:0.1",
        ];
        for pair in ascending.windows(2) {
            let (less, more) = (Version::new(pair[0]), Version::new(pair[1]));
            assert!(less < more, "{less} {more}");
            assert!(more > less, "{less} {more}");
        }
        for (one, other) in [
            ("1.0", "0:1.0"),
            ("1.0", "1.0-0"),
            ("1.00", "1.0"),
            ("1.01", "1.1"),
        ] {
            assert_eq!(Version::new(one), Version::new(other));
        }
    }

    fn version() -> impl Strategy<Value = String> {
        "([0-2]:)?[0-3](\\.|~|\\+|[a-b]|0|[0-3]){0,5}(-[0-2a~+.]{1,4})?"
    }

    #[test]
    fn it_is_dpkgs_order() {
        let one = Command::new("dpkg").arg("--version").output();
        if one.is_err() {
            return;
        }
        let config = ProptestConfig {
            cases: 200,
            ..ProptestConfig::default()
        };
        proptest!(config, |(one in version(), other in version())| {
            let expected = [("lt", Ordering::Less), ("eq", Ordering::Equal), ("gt", Ordering::Greater)];
            let ours = Version::new(&one).cmp(&Version::new(&other));
            let word = expected.iter().find(|(_, order)| *order == ours).map(|(word, _)| *word);
            let said = Command::new("dpkg")
                .args(["--compare-versions", &one, word.unwrap_or("ne"), &other])
                .status()
                .expect("dpkg");
            prop_assert!(said.success(), "{one} {ours:?} {other}");
        });
    }
}
