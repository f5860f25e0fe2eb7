//! Channels that channels name (CEP 42): one that comes before them (`base`), one that comes after them (`overrides`). They
//! are read as if the definition named them; its own order counts first.

use std::collections::BTreeSet;

use url::Url;

use super::upstream::Source;
use crate::index::ChannelRelations;

/// How far from the definition's channels others may be.
const DEPTH: usize = 10;

/// What channels say of each other. Channels are numbers in the order in which they were found, the definition's first.
pub(super) struct Relations {
    given: usize,
    /// How far from the definition each is.
    depths: Vec<usize>,
    /// The more important channel, the other, and who says so.
    edges: Vec<(usize, usize, usize)>,
}

impl Relations {
    /// Of so many channels of the definition.
    pub(super) fn new(given: usize) -> Self {
        Self {
            given,
            depths: vec![0; given],
            edges: Vec::new(),
        }
    }

    /// Whether the definition names a channel.
    pub(super) fn is_given(&self, channel: usize) -> bool {
        channel < self.given
    }

    /// Adds what a channel says. Channels that nobody named before come to the others. What is wrong with it, for a
    /// sentence.
    pub(super) fn add(
        &mut self,
        channel: usize,
        told: &ChannelRelations,
        channels: &mut Vec<Source>,
    ) -> Option<String> {
        if let Some(problem) = told.problem() {
            return Some(problem);
        }
        let paths = [(&told.base, true), (&told.overrides, false)];
        for (path, is_before) in paths {
            let (Some(path), Some(own)) = (path, channels.get(channel)) else {
                continue;
            };
            let url = match folder(&own.url, path) {
                Ok(url) if url == own.url => {
                    return Some(format!("`{path}` is the channel itself"));
                }
                Ok(url) => url,
                Err(error) => return Some(format!("`{path}` leads nowhere: {error}")),
            };
            let depth = self.depths.get(channel).map_or(1, |depth| depth + 1);
            let known = channels.iter().position(|known| known.url == url);
            let other = known.unwrap_or(channels.len());
            if known.is_none() {
                if depth > DEPTH {
                    return Some(format!(
                        "`{path}` is more than {DEPTH} channels away from the definition"
                    ));
                }
                self.depths.push(depth);
                channels.push(Source {
                    text: url.as_str().trim_end_matches('/').to_owned(),
                    url,
                });
            }
            let edge = if is_before {
                (other, channel, channel)
            } else {
                (channel, other, channel)
            };
            if !self.edges.contains(&edge) {
                self.edges.push(edge);
            }
        }
        None
    }

    /// All channels, the most important one first; and those who say what cannot be.
    pub(super) fn order(&self) -> (Vec<usize>, BTreeSet<usize>) {
        let count = self.depths.len();
        let mut below: Vec<Vec<usize>> = vec![Vec::new(); count];
        for channel in 1..self.given {
            below[channel - 1].push(channel);
        }
        let mut wrong = BTreeSet::new();
        for (before, after, who) in &self.edges {
            if leads(&below, *after, *before) {
                wrong.insert(*who);
            } else {
                below[*before].push(*after);
            }
        }
        let mut above = vec![0; count];
        for after in below.iter().flatten() {
            above[*after] += 1;
        }
        let mut ready: BTreeSet<usize> =
            (0..count).filter(|channel| above[*channel] == 0).collect();
        let mut order = Vec::new();
        while let Some(channel) = ready.pop_first() {
            order.push(channel);
            for after in &below[channel] {
                above[*after] -= 1;
                if above[*after] == 0 {
                    ready.insert(*after);
                }
            }
        }
        (order, wrong)
    }
}

/// The folder of another channel, with a slash at its end.
fn folder(own: &Url, path: &str) -> Result<Url, url::ParseError> {
    own.join(&format!("{}/", path.trim_end_matches('/')))
}

/// Whether one leads to another.
fn leads(below: &[Vec<usize>], from: usize, to: usize) -> bool {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(one) = waiting.pop() {
        if one == to {
            return true;
        }
        if seen.insert(one) {
            waiting.extend(below.get(one).into_iter().flatten());
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str) -> Source {
        Source {
            text: name.to_owned(),
            url: Url::parse(&format!("https://host.example/{name}/")).unwrap(),
        }
    }

    /// The order of channels, of which the first ones are given, when each says what it says.
    fn ordered(given: &[&str], told: &[(&str, &str, &str)]) -> (Vec<String>, usize, usize) {
        let mut channels: Vec<_> = given.iter().map(|name| source(name)).collect();
        let mut relations = Relations::new(given.len());
        let (mut number, mut problems) = (0, 0);
        while let Some(channel) = channels.get(number).cloned() {
            for (name, key, path) in told {
                if source(name).url == channel.url {
                    let mut told = ChannelRelations::default();
                    match *key {
                        "base" => told.base = Some((*path).to_owned()),
                        _ => told.overrides = Some((*path).to_owned()),
                    }
                    problems += usize::from(relations.add(number, &told, &mut channels).is_some());
                }
            }
            number += 1;
        }
        let (order, wrong) = relations.order();
        let name = |number: usize| channels[number].url.path().trim_matches('/').to_owned();
        (order.into_iter().map(name).collect(), wrong.len(), problems)
    }

    #[test]
    fn channels_come_where_channels_say() {
        for (given, told, expected, wrong, problems) in [
            (vec!["a", "b"], vec![], vec!["a", "b"], 0, 0),
            (
                vec!["a"],
                vec![("a", "base", "../forge")],
                vec!["forge", "a"],
                0,
                0,
            ),
            (
                vec!["a"],
                vec![("a", "overrides", "../forge/")],
                vec!["a", "forge"],
                0,
                0,
            ),
            (
                vec!["a", "b"],
                vec![("b", "base", "../x")],
                vec!["a", "x", "b"],
                0,
                0,
            ),
            // The definition's own order counts.
            (
                vec!["a", "b"],
                vec![("a", "base", "../b")],
                vec!["a", "b"],
                1,
                0,
            ),
            (
                vec!["a", "b"],
                vec![("a", "overrides", "../b")],
                vec!["a", "b"],
                0,
                0,
            ),
            // One leads to the next.
            (
                vec!["a"],
                vec![
                    ("a", "base", "../x"),
                    ("x", "overrides", "../y"),
                    ("y", "base", "../a"),
                ],
                vec!["x", "a", "y"],
                0,
                0,
            ),
            // In a circle.
            (
                vec!["a"],
                vec![
                    ("a", "base", "../x"),
                    ("x", "base", "../y"),
                    ("y", "base", "../a"),
                ],
                vec!["y", "x", "a"],
                1,
                0,
            ),
            (vec!["a"], vec![("a", "base", "../a")], vec!["a"], 0, 1),
            (
                vec!["a"],
                vec![("a", "base", "https://evil.example/x")],
                vec!["a"],
                0,
                1,
            ),
            (vec!["a"], vec![("a", "base", "../x\\y")], vec!["a"], 0, 1),
            (vec!["a"], vec![("a", "base", "..//x")], vec!["a"], 0, 1),
            (vec!["a"], vec![("a", "base", "../x?y")], vec!["a"], 0, 1),
        ] {
            let expected: Vec<_> = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(
                ordered(&given, &told),
                (expected, wrong, problems),
                "{told:?}"
            );
        }
    }

    #[test]
    fn the_chain_has_an_end() {
        let names: Vec<_> = (0..=20).map(|number| format!("c{number}")).collect();
        let paths: Vec<_> = names.iter().map(|name| format!("../{name}")).collect();
        let told: Vec<_> = names
            .iter()
            .zip(&paths[1..])
            .map(|(name, path)| (name.as_str(), "base", path.as_str()))
            .collect();
        let (order, wrong, problems) = ordered(&["c0"], &told);
        assert_eq!((order.len(), wrong, problems), (DEPTH + 1, 0, 1));
    }
}
