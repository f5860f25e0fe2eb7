//! What is served under which name. A channel answers for everything below its name; where its files come
//! from is its own business.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use channel::Location;

use crate::bucket::Objects;
use crate::compiled::{Compiled, Means};
use crate::dynamic::Dynamic;
use crate::error::Error;
use crate::folder::Folder;
use crate::path;
use crate::settings::{Named, Origin, Settings};
use crate::upload::Place;

/// All channels.
#[derive(Debug)]
pub(crate) struct Site {
    channels: Vec<Channel>,
    /// The channels that a name in a question stands for, by their numbers.
    stand_for: BTreeMap<String, Vec<usize>>,
}

/// A channel under its name.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) name: String,
    /// Its place among all channels.
    pub(crate) number: usize,
    pub(crate) source: Source,
}

/// Where a channel's files come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// They lie in a folder.
    Folder(Folder),
    /// They lie in a bucket.
    Bucket(Objects),
    /// They are compiled into a folder here.
    Compiled(Arc<Compiled>),
    /// Addresses ask for what is compiled.
    Dynamic(Arc<Dynamic>),
}

impl Site {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        let mut names = BTreeSet::new();
        let mut channels = Vec::new();
        let means = Means::open(settings)?;
        for (number, Named { name, origin }) in settings.channels.iter().enumerate() {
            let wrong = |problem| Error::Name {
                name: name.clone(),
                problem,
            };
            if let Some(problem) = problem(name) {
                return Err(wrong(problem));
            }
            if !names.insert(name) {
                return Err(wrong("two channels have it; NAME=DIR gives another one"));
            }
            let source = match origin {
                Origin::Folder(folder) => Source::Folder(existing(folder)?),
                Origin::Bucket { bucket, prefix } => Source::Bucket(Objects::open(bucket, prefix)?),
                Origin::Definition(path) => {
                    Source::Compiled(Arc::new(Compiled::new(name, path, means.as_ref())?))
                }
                Origin::Questions(asked) => {
                    Source::Dynamic(Arc::new(Dynamic::new(asked, means.as_ref())?))
                }
            };
            channels.push(Channel {
                name: name.clone(),
                number,
                source,
            });
        }
        if let Some(means) = means {
            means.fetched.sweep();
        }
        Ok(Self {
            stand_for: stand_for(&channels),
            channels,
        })
    }

    pub(crate) fn channels(&self) -> &[Channel] {
        &self.channels
    }

    /// The meta-channels among them.
    pub(crate) fn compiled(&self) -> impl Iterator<Item = &Arc<Compiled>> {
        self.channels
            .iter()
            .filter_map(|channel| match &channel.source {
                Source::Compiled(compiled) => Some(compiled),
                Source::Folder(_) | Source::Bucket(_) | Source::Dynamic(_) => None,
            })
    }

    /// Where the indexes follow the packages: the number and the name of each channel, and where its files lie.
    pub(crate) fn indexed(&self) -> Vec<(usize, String, Location)> {
        let found = self.channels.iter().filter_map(|channel| {
            let location = match channel.place()? {
                Place::Folder(folder) => folder.root().into(),
                Place::Bucket(objects) => objects.location(),
            };
            Some((channel.number, channel.name.clone(), location))
        });
        found.collect()
    }

    /// The channel that an address is about, and what follows its name. A channel that is alone needs no name.
    pub(crate) fn find<'a>(&self, parts: &'a [String]) -> Option<(&Channel, &'a [String])> {
        for length in (1..=parts.len()).rev() {
            let (name, rest) = parts.split_at_checked(length)?;
            let same =
                |channel: &&Channel| channel.name.split('/').eq(name.iter().map(String::as_str));
            if let Some(channel) = self.channels.iter().find(same) {
                // It may be asked for whole, and for a part of it.
                let part = is_in_question(rest).then(|| self.about(parts)).flatten();
                return Some(part.map_or((channel, rest), |dynamic| (dynamic, parts)));
            }
        }
        match self.channels.as_slice() {
            [only] => Some((only, parts)),
            // Its addresses begin with the names of the channels that are asked for. All others are nobody's, so that they
            // are answered as those of channels which nobody is told of.
            _ => Some((self.about(parts)?, parts)),
        }
    }

    /// The channels served here that a question is about: those of the names in its address, and those whose folders
    /// these stand for.
    pub(crate) fn asked_about(&self, channel: &Channel, parts: &[String]) -> Vec<&Channel> {
        let Source::Dynamic(dynamic) = &channel.source else {
            return Vec::new();
        };
        let about = dynamic.about(parts);
        let numbers = about.iter().filter_map(|name| self.stand_for.get(name));
        let numbers = numbers.flatten();
        numbers
            .filter_map(|number| self.channels.get(*number))
            .collect()
    }

    /// The channel of questions, where this is the address of one.
    fn about(&self, parts: &[String]) -> Option<&Channel> {
        self.dynamic().filter(|channel| match &channel.source {
            Source::Dynamic(dynamic) => dynamic.is_question(parts),
            _ => false,
        })
    }

    fn dynamic(&self) -> Option<&Channel> {
        let mut channels = self.channels.iter();
        channels.find(|channel| matches!(channel.source, Source::Dynamic(_)))
    }
}

/// Which of the channels served here the names in questions stand for: that of the name, and that of the folder.
fn stand_for(channels: &[Channel]) -> BTreeMap<String, Vec<usize>> {
    let mut all: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let dynamic = channels.iter().filter_map(|one| match &one.source {
        Source::Dynamic(dynamic) => Some(dynamic),
        _ => None,
    });
    for (name, text) in dynamic.flat_map(|dynamic| dynamic.channels()) {
        let real = |path: &Path| fs_err::canonicalize(path).ok();
        let meant = real(Path::new(text.strip_prefix("file://").unwrap_or(text)));
        let is_meant = |one: &&Channel| match &one.source {
            Source::Dynamic(_) => false,
            Source::Folder(folder) if meant.is_some() && real(folder.root()) == meant => true,
            _ => one.name == name,
        };
        let numbers = channels.iter().filter(is_meant).map(|one| one.number);
        all.entry(name.to_owned()).or_default().extend(numbers);
    }
    all
}

/// Whether what follows a channel's name are constraints and a file of a platform. Of its own, a platform's come at once.
fn is_in_question(rest: &[String]) -> bool {
    let is_subdir = |name: &String| channel::SUBDIRS.contains(&name.as_str());
    matches!(rest, [first, second, _, ..] if !is_subdir(first) && is_subdir(second))
}

fn existing(path: &Path) -> Result<Folder, Error> {
    let is_folder = fs_err::metadata(path).and_then(|metadata| {
        let is_folder = metadata.is_dir();
        is_folder
            .then_some(())
            .ok_or(std::io::ErrorKind::NotADirectory.into())
    });
    is_folder.map_err(|source| Error::Folder {
        path: path.to_owned(),
        source,
    })?;
    Ok(Folder::new(path.to_owned()))
}

impl Channel {
    /// Where packages are put; nowhere, if they are not what makes the channel.
    pub(crate) fn place(&self) -> Option<Place> {
        match &self.source {
            Source::Folder(folder) => Some(Place::Folder(folder.clone())),
            Source::Bucket(objects) => Some(Place::Bucket(objects.clone())),
            Source::Compiled(_) | Source::Dynamic(_) => None,
        }
    }

    /// Where it is, for people.
    pub(crate) fn paths(&self) -> Vec<String> {
        let path = |name: &str| -> String {
            let parts = name.split('/').map(path::encoded);
            parts.flat_map(|part| ["/".to_owned(), part]).collect()
        };
        match &self.source {
            Source::Dynamic(dynamic) => {
                let channels = dynamic.channels();
                channels
                    .map(|(name, _)| path(name) + "/CONSTRAINTS")
                    .collect()
            }
            Source::Folder(_) | Source::Bucket(_) | Source::Compiled(_) => vec![path(&self.name)],
        }
    }
}

fn problem(name: &str) -> Option<&'static str> {
    let parts: Vec<_> = name.split('/').collect();
    let odd = |letter: char| letter.is_control() || letter == '\\';
    if parts
        .iter()
        .any(|part| part.is_empty() || part.contains(odd))
    {
        return Some("it has an empty part, or letters that no address has");
    }
    if parts.iter().any(|part| part.starts_with('.')) {
        return Some("what begins with a dot is not served");
    }
    ["t", "healthz", "metrics"]
        .contains(parts.first()?)
        .then_some("the server's own addresses begin so")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(names: &[&str]) -> Result<Site, Error> {
        let named: Vec<_> = names
            .iter()
            .map(|name| Named {
                name: (*name).to_owned(),
                origin: Origin::Folder(std::env::temp_dir()),
            })
            .collect();
        Site::new(&Settings {
            channels: named,
            ..Settings::default()
        })
    }

    #[test]
    fn the_longest_name_counts() {
        let site = site(&["main", "main/label/dev", "other"]).expect("a site");
        for (path, expected) in [
            ("main/noarch/a", Some(("main", 2))),
            ("main/label/dev/noarch/a", Some(("main/label/dev", 2))),
            ("main/label", Some(("main", 1))),
            ("other", Some(("other", 0))),
            ("nothing/noarch", None),
            ("", None),
        ] {
            let parts: Vec<_> = path
                .split('/')
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect();
            let found = site.find(&parts);
            let found = found.map(|(channel, rest)| (channel.name.as_str(), rest.len()));
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn one_channel_needs_no_name() {
        let site = site(&["demo"]).expect("a site");
        let parts = |text: &str| -> Vec<String> { text.split('/').map(str::to_owned).collect() };
        for (path, rest) in [("demo/noarch/a", 2), ("noarch/a", 2), ("x", 1)] {
            assert_eq!(
                site.find(&parts(path)).map(|(_, rest)| rest.len()),
                Some(rest),
                "{path}"
            );
        }
        assert!(site.find(&[]).is_some());
    }

    #[test]
    fn names_that_no_address_can_have() {
        for names in [
            &["a", "a"][..],
            &["t"],
            &["t/a"],
            &["metrics"],
            &[".cache"],
            &["a//b"],
            &[""],
            &["a/../b"],
        ] {
            let error = site(names).expect_err("no site");
            assert!(error.is_usage(), "{names:?}: {error}");
        }
    }
}
