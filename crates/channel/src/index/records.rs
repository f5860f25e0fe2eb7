//! The records of one platform in memory, in a few parts so that several threads have something to do.

use std::borrow::Cow;
use std::io;

use archive::package::Kind;
use memchr::memmem;
use rayon::prelude::*;

use super::Context;
use super::update::Platform;
use crate::Error;
use crate::cache::{self, Cache};
use crate::given::Part;
use crate::output::channeldata::newest;
use crate::texts::{Record, Texts};

/// A platform has a part for so many packages, at most one for each thread.
const PART: usize = 8192;

/// What the packages of a platform tell, sorted by file name.
#[derive(Default)]
pub(super) struct Records<'c> {
    parts: Vec<Cow<'c, Texts>>,
}

impl<'c> Records<'c> {
    /// All that the cache has of a platform, with what the indexer itself adds.
    pub(super) fn load(
        context: &Context<'_>,
        cache: &'c Cache,
        platform: &Platform,
    ) -> Result<Self, cache::Error> {
        if let Some(listing) = cache.given(&platform.place) {
            let texts = |part: &'c Part| Cow::Borrowed(&part.texts);
            return Ok(Self {
                parts: listing.parts.iter().map(texts).collect(),
            });
        }
        let files = platform.files.len();
        let step = (files / rayon::current_num_threads().max(1)).max(PART);
        let bounds = platform.files.keys().step_by(step).skip(1);
        let bounds: Vec<_> = bounds.map(String::as_str).collect();
        let parts = cache.records(
            &platform.place,
            &bounds,
            &|part: &mut Texts, file, record, run_exports| {
                let record = platform.complete(context, file, record);
                part.push(file, &record, run_exports);
            },
        )?;
        Ok(Self {
            parts: parts.into_iter().map(Cow::Owned).collect(),
        })
    }

    /// A few packages of a platform.
    pub(super) fn of<'a>(
        context: &Context<'_>,
        cache: &Cache,
        platform: &Platform,
        files: impl Iterator<Item = &'a str>,
    ) -> Result<Self, cache::Error> {
        let mut part = Texts::default();
        let mut files: Vec<_> = files.collect();
        files.sort_unstable();
        for file in files {
            if let Some(scanned) = cache.package(&platform.place, file)? {
                let record = platform.complete(context, file, &scanned.record);
                part.push(file, &record, scanned.run_exports.as_deref());
            }
        }
        Ok(Self {
            parts: vec![Cow::Owned(part)],
        })
    }

    /// All, sorted by file name.
    pub(super) fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        self.parts.iter().flat_map(|part| part.iter())
    }

    /// One package.
    pub(super) fn get(&self, file: &str) -> Option<Record<'_>> {
        self.at(self.find(file)?)
    }

    /// One package after another, sorted by file name for the most part.
    pub(super) fn lookup(&self) -> Lookup<'_, 'c> {
        Lookup {
            records: self,
            next: None,
        }
    }

    /// The place of a package: its part and the row in it.
    fn find(&self, file: &str) -> Option<(usize, usize)> {
        let begins_before = |part: &Cow<'_, Texts>| part.at(0).is_none_or(|one| one.file <= file);
        let after = self.parts.partition_point(begins_before);
        let part = after.checked_sub(1)?;
        Some((part, self.parts.get(part)?.find(file).ok()?))
    }

    fn at(&self, (part, row): (usize, usize)) -> Option<Record<'_>> {
        self.parts.get(part)?.at(row)
    }

    /// So many as were built last: when, in seconds since 1970, and the file name, sorted by file name.
    pub(super) fn newest(&self, count: usize) -> Vec<(i64, &str)> {
        const KEY: &str = "\"timestamp\":";
        let key = memmem::FinderRev::new(KEY);
        let time = |one: Record<'_>| {
            // A key cannot be part of a string, where its quotes are escaped.
            let at = key.rfind(one.record)?;
            let rest = one.record.get(at + KEY.len()..)?;
            let end = rest.find([',', '}'])?;
            Some(newest::seconds(rest.get(..end)?))
        };
        let times: Vec<i64> = self
            .parts
            .par_iter()
            .flat_map_iter(|part| part.iter().map(|one| time(one).unwrap_or(0)))
            .collect();
        let files = self.iter().map(|one| one.file);
        last(times.into_iter().zip(files).collect(), count)
    }

    /// Those of one kind, before patches.
    pub(super) fn each(
        &self,
        kind: Kind,
        take: &mut dyn FnMut(&str, &str) -> io::Result<()>,
    ) -> io::Result<()> {
        self.iter()
            .filter(|one| one.kind == kind)
            .try_for_each(|one| take(one.file, one.record))
    }
}

/// Packages looked up one after the other: where one was, the next one is looked for behind it first.
pub(super) struct Lookup<'a, 'c> {
    records: &'a Records<'c>,
    next: Option<(usize, usize)>,
}

impl<'a> Lookup<'a, '_> {
    /// One package.
    pub(super) fn get(&mut self, file: &str) -> Option<Record<'a>> {
        let records = self.records;
        let behind = self.next.filter(|next| {
            let found = records.at(*next);
            found.is_some_and(|found| found.file == file)
        });
        let (part, row) = behind.or_else(|| records.find(file))?;
        self.next = Some((part, row + 1));
        records.at((part, row))
    }
}

/// So many of some packages, which are sorted by file name, as were built last.
pub(super) fn last<F>(mut packages: Vec<(i64, F)>, count: usize) -> Vec<(i64, F)> {
    let Some(others) = packages
        .len()
        .checked_sub(count)
        .filter(|others| *others > 0)
    else {
        return packages;
    };
    let mut times: Vec<i64> = packages.iter().map(|(time, _)| *time).collect();
    let (_, least, newer) = times.select_nth_unstable(others);
    let least = *least;
    // Of those that are as old as the oldest only as many as there is room for.
    let mut left = count - newer.iter().filter(|time| **time > least).count();
    packages.retain(|(time, _)| {
        let is_last = *time == least && left > 0;
        left -= usize::from(is_last);
        *time > least || is_last
    });
    packages
}

impl Error {
    /// An error of a text that cannot be patched, and the like.
    pub(super) fn making(path: &std::path::Path, source: io::Error) -> Self {
        Self::Make {
            path: path.to_owned(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::last;

    proptest! {
        /// Of the last ones and what is new, the last ones are those of all.
        #[test]
        fn the_last_ones_stay_so(times in prop::collection::vec((0..4_i64, any::<bool>()), 0..20), count in 1..6_usize) {
            let all: Vec<_> = times.iter().map(|(time, _)| *time).zip(0..).collect();
            let is_new = |(_, number): &(i64, usize)| times[*number].1;
            let (new, old): (Vec<_>, Vec<_>) = all.iter().copied().partition(is_new);
            let mut known = last(old, count);
            known.extend(new);
            known.sort_unstable_by_key(|(_, number)| *number);
            prop_assert_eq!(last(known, count), last(all, count));
        }
    }
}
