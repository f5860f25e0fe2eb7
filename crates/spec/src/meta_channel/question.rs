//! A meta-channel as an address asks for it, in conda-metachannel's form: `CHANNELS/CONSTRAINTS`, both lists with commas.
//! What may be in a definition and not in an address is what names files and places.

use std::collections::{BTreeMap, BTreeSet};

use conda::Subdir;

use super::read::newer_of;
use super::{Keep, MetaChannel, Mirror, Patterns, Priority, Wishes};
use crate::requirement::PackageSpec;

/// How many specs one address may have.
const LONGEST: usize = 200;

/// What continues the spec before it, since versions have commas, too.
const OPERATORS: [char; 5] = ['<', '>', '=', '!', '~'];

/// The options, for who wrote another one.
const OPTIONS: &str = "--max-build-no, --no-deps, --keep-versions=N, --keep-builds=N, --exclude-newer=DATE, \
                       --exclude=NAME, --blacklist=NAME";

/// What an address asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The constraints as everybody else should write them who means the same.
    pub constraints: String,
    /// Its meaning. The blacklist is a file's name without any folder.
    pub definition: MetaChannel,
}

impl Question {
    /// Reads constraints: names and match specs, of which a piece that begins with an operator continues the one
    /// before and brackets hold together, and options that begin with `--`. `channels` are what the first part of the
    /// address stands for.
    ///
    /// The error is the reason.
    pub fn parse(
        constraints: &str,
        channels: Vec<String>,
        platforms: Vec<Subdir>,
        mirror: Mirror,
    ) -> Result<Self, String> {
        let mut asked = Asked::read(constraints)?;
        let canonical = asked.to_string();
        // What cannot be written shorter stays as it is.
        let again = Asked::read(&canonical);
        if !again.is_ok_and(|again| again.to_string() == canonical) {
            asked.spelled = Some(constraints.trim().to_owned());
        }
        let constraints = asked.spelled.take().unwrap_or(canonical);
        let definition = MetaChannel {
            name: "question".to_owned(),
            channels,
            priority: Priority::Strict,
            platforms,
            keep: asked.keep,
            pins: BTreeMap::new(),
            pins_file: None,
            exclude: Patterns {
                names: asked.exclude.into_iter().collect(),
                ..Patterns::default()
            },
            include: Patterns::default(),
            exclude_newer: asked.exclude_newer.as_deref().and_then(newer_of),
            blacklist: asked.blacklist,
            no_deps: asked.no_deps,
            run_exports: false,
            mirror,
            top: Wishes {
                roots: Some(asked.specs),
                ..Wishes::default()
            },
            overrides: BTreeMap::new(),
        };
        Ok(Self {
            constraints,
            definition,
        })
    }
}

/// Constraints, taken apart.
#[derive(Debug, Default)]
struct Asked {
    specs: Vec<PackageSpec>,
    keep: Keep,
    exclude: BTreeSet<String>,
    exclude_newer: Option<String>,
    blacklist: Option<String>,
    no_deps: bool,
    spelled: Option<String>,
}

impl Asked {
    fn read(constraints: &str) -> Result<Self, String> {
        let mut asked = Self::default();
        for piece in pieces(constraints)? {
            match piece.strip_prefix("--") {
                Some(option) => asked.option(option)?,
                None => asked.specs.push(spec(&piece)?),
            }
        }
        if asked.specs.is_empty() {
            return Err("no package is asked for".to_owned());
        }
        if asked.specs.len() > LONGEST {
            return Err(format!("more than {LONGEST} packages are asked for"));
        }
        asked.specs.sort_by_cached_key(text);
        asked.specs.dedup_by_key(|spec| text(spec));
        Ok(asked)
    }

    fn option(&mut self, option: &str) -> Result<(), String> {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (option.trim(), None),
        };
        let number = || {
            let number = value.and_then(|value| value.parse::<usize>().ok());
            number
                .filter(|number| *number > 0)
                .ok_or_else(|| format!("`--{name}` needs a number, as in `--{name}=1`"))
        };
        let word = || {
            let is_odd =
                |letter: char| !(letter.is_ascii_alphanumeric() || "-_.*".contains(letter));
            value
                .filter(|value| {
                    !value.is_empty() && !value.starts_with('.') && !value.contains(is_odd)
                })
                .map(str::to_owned)
                .ok_or_else(|| format!("`--{name}` needs a name, as in `--{name}=openssl`"))
        };
        match (name, value) {
            ("max-build-no", None) => self.keep.max_build_number = true,
            ("no-deps", None) => self.no_deps = true,
            ("keep-versions", _) => self.keep.versions = Some(number()?),
            ("keep-builds", _) => self.keep.builds = Some(number()?),
            ("exclude", _) => {
                self.exclude.insert(word()?);
            }
            ("blacklist", _) => self.blacklist = Some(word()?),
            ("exclude-newer", Some(date)) if newer_of(date).is_some() => {
                self.exclude_newer = Some(date.to_owned());
            }
            ("exclude-newer", _) => {
                return Err(
                    "`--exclude-newer` needs a date, as in `--exclude-newer=2026-06-01`".to_owned(),
                );
            }
            _ => return Err(format!("`--{name}` is not understood; there are {OPTIONS}")),
        }
        Ok(())
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut pieces: Vec<String> = self.specs.iter().map(text).collect();
        let options = [
            self.blacklist
                .as_ref()
                .map(|name| format!("--blacklist={name}")),
            self.exclude_newer
                .as_ref()
                .map(|date| format!("--exclude-newer={date}")),
            self.keep
                .builds
                .map(|number| format!("--keep-builds={number}")),
            self.keep
                .versions
                .map(|number| format!("--keep-versions={number}")),
            self.keep
                .max_build_number
                .then(|| "--max-build-no".to_owned()),
            self.no_deps.then(|| "--no-deps".to_owned()),
        ];
        pieces.extend(self.exclude.iter().map(|name| format!("--exclude={name}")));
        pieces.extend(options.into_iter().flatten());
        formatter.write_str(&pieces.join(","))
    }
}

/// A spec in one spelling.
fn text(spec: &PackageSpec) -> String {
    spec.match_spec.to_string()
}

fn spec(piece: &str) -> Result<PackageSpec, String> {
    let spec = PackageSpec::parse(piece)
        .map_err(|reason| format!("`{piece}` is no match spec: {reason}"))?;
    let names_a_place = spec.match_spec.url.is_some() || spec.match_spec.channel.is_some();
    if names_a_place || piece.contains('/') {
        return Err(format!(
            "`{piece}` names a place; the channels come first in the address"
        ));
    }
    Ok(spec)
}

/// The parts between commas, but for commas that belong to a version or stand in brackets.
fn pieces(constraints: &str) -> Result<Vec<String>, String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut add = |piece: &str| -> Result<(), String> {
        let piece = piece.trim();
        match pieces.last_mut() {
            _ if piece.is_empty() => {}
            Some(last) if piece.starts_with(OPERATORS) && !last.starts_with("--") => {
                last.extend([",", piece]);
            }
            _ if piece.starts_with(OPERATORS) => {
                return Err(format!(
                    "`{piece}` follows no package that it could be about"
                ));
            }
            _ => pieces.push(piece.to_owned()),
        }
        Ok(())
    };
    let (mut depth, mut start) = (0_usize, 0);
    for (at, letter) in constraints.char_indices() {
        match letter {
            '[' | '(' => depth += 1,
            ']' | ')' => {
                depth = depth
                    .checked_sub(1)
                    .ok_or("a bracket is closed that is not open")?;
            }
            ',' if depth == 0 => {
                add(constraints.get(start..at).unwrap_or_default())?;
                start = at + 1;
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err("a bracket is not closed".to_owned());
    }
    add(constraints.get(start..).unwrap_or_default())?;
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask(constraints: &str) -> Result<Question, String> {
        let channels = vec!["conda-forge".to_owned()];
        Question::parse(constraints, channels, vec![Subdir::Linux64], Mirror::None)
    }

    #[test]
    fn one_question_has_one_address() {
        for (asked, expected) in [
            ("python", "python"),
            ("numpy,python", "numpy,python"),
            (" python , numpy,python", "numpy,python"),
            ("python,--max-build-no", "python,--max-build-no"),
            ("--no-deps,--max-build-no,a", "a,--max-build-no,--no-deps"),
            (
                "a,--keep-versions=2,--exclude=b,--exclude=a*",
                "a,--exclude=a*,--exclude=b,--keep-versions=2",
            ),
            (
                "a,--exclude-newer=2026-06-01,--blacklist=slow",
                "a,--blacklist=slow,--exclude-newer=2026-06-01",
            ),
        ] {
            assert_eq!(
                ask(asked).map(|question| question.constraints).as_deref(),
                Ok(expected),
                "{asked}"
            );
        }
        let same = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|text| ask(text).expect(text));
            assert_eq!(one.constraints, other.constraints);
            assert_eq!(
                ask(&one.constraints).map(|again| again.constraints),
                Ok(one.constraints)
            );
        };
        same("python>=3.10,<3.13,numpy", "numpy,python >=3.10,<3.13");
        same(
            "python[version='>=3.10,<3.13'],numpy",
            "numpy,python>=3.10,<3.13",
        );
    }

    #[test]
    fn what_is_asked_is_what_is_compiled() {
        let question = ask("b >=1,<2,!=1.5,a,--max-build-no,--keep-builds=3,--exclude-newer=14d")
            .expect("a question");
        let definition = question.definition;
        let roots: Vec<_> = definition.roots(Subdir::Linux64).iter().map(text).collect();
        assert_eq!(roots, ["a", "b >=1,<2,!=1.5"]);
        assert!(definition.keep.max_build_number && definition.keep.builds == Some(3));
        assert!(definition.exclude_newer.is_some() && definition.cuts());
    }

    #[test]
    fn what_means_nothing_is_told() {
        for (asked, reason) in [
            ("", "no package"),
            ("--no-deps", "no package"),
            (">=1", "follows no package"),
            ("--max-build-no,>=1", "follows no package"),
            ("a[version='1'", "not closed"),
            ("a]", "not open"),
            ("a,--untrack", "--max-build-no"),
            ("a,--keep-versions", "--keep-versions=1"),
            ("a,--keep-versions=0", "--keep-versions=1"),
            ("a,--exclude-newer=soon", "2026-06-01"),
            ("a,--blacklist=../x", "needs a name"),
            ("a,--blacklist=.x", "needs a name"),
            ("conda-forge::a", "names a place"),
            ("https://example.org/noarch/a-1-0.conda", "names a place"),
            ("/etc/a-1-0.conda", "names a place"),
        ] {
            let error = ask(asked).expect_err(asked);
            assert!(error.contains(reason), "{asked}: {error}");
        }
        assert!(ask(&vec!["a"; 500].join(",")).is_err());
    }

    proptest! {
        #[test]
        fn an_address_leads_to_itself(asked in "[ab ,=<>!*1.\\[\\]'-]{0,24}") {
            if let Ok(question) = ask(&asked) {
                let again = ask(&question.constraints).expect("the same question");
                prop_assert_eq!(again.constraints, question.constraints);
            }
        }
    }
}
