//! What of a channel in shards is read: those of all names that the roots lead to, one step after the other, and those of
//! a step at once.

use std::collections::{BTreeSet, HashSet};

use archive::digest::Sha256;
use archive::package::Kind;
use conda::{PackageName, Subdir};
use fetch::Wanted;
use url::Url;

use super::super::fields::{Fields, exported};
use super::super::{Error, Event};
use super::open::{Content, Open};
use super::{Loader, Source};
use crate::import::shards::{Index, sections};

impl Loader<'_> {
    /// Reads the shards of all names that the roots lead to on a platform.
    pub(super) fn follow(
        &self,
        channels: &[Source],
        folders: &mut [Open],
        platform: Subdir,
        roots: &[String],
    ) -> Result<(), Error> {
        let mut seen: HashSet<String> = HashSet::new();
        let mut frontier: Vec<String> = roots.to_vec();
        while !frontier.is_empty() {
            frontier.retain(|name| !name.starts_with("__") && seen.insert(name.clone()));
            let mut next = BTreeSet::new();
            let of_platform = |open: &&mut Open| [platform, Subdir::NoArch].contains(&open.subdir);
            for open in folders.iter_mut().filter(of_platform) {
                match &open.content {
                    Content::Absent => {}
                    Content::Whole(text) => {
                        for row in frontier.iter().flat_map(|name| text.of_name(name)) {
                            self.asked_for(text.record(*row), &mut next);
                        }
                    }
                    Content::Sharded { .. } => {
                        self.shards(channels, open, &frontier, &mut next)?;
                    }
                }
            }
            frontier = next.into_iter().collect();
        }
        Ok(())
    }

    /// Adds the names that a record leads to.
    fn asked_for(&self, record: &str, names: &mut BTreeSet<String>) {
        let Some(fields) = Fields::read(record) else {
            return;
        };
        let exports = fields.run_exports.as_ref().filter(|_| self.run_exports);
        let asked = fields.depends.iter().chain(&fields.extra_depends);
        for text in asked
            .map(|text| &**text)
            .chain(exports.map(exported).unwrap_or_default())
        {
            let name = PackageName::normalized_name_from_matchspec_str(text);
            if !names.contains(name.as_ref()) {
                names.insert(name.into_owned());
            }
        }
        if record.contains("\"name\":\"python\"") {
            names.insert("pip".to_owned());
        }
    }

    /// Reads the shards of some names, and what they lead to.
    fn shards(
        &self,
        channels: &[Source],
        open: &mut Open,
        names: &[String],
        next: &mut BTreeSet<String>,
    ) -> Result<(), Error> {
        let Content::Sharded { index, read, .. } = &open.content else {
            return Ok(());
        };
        let wanted: Vec<(String, Wanted)> = names
            .iter()
            .filter(|name| !read.contains(*name))
            .filter_map(|name| Some((name.clone(), index.shards.get(name)?)))
            .map(|(name, sha256)| {
                let url = shard_url(index, &open.url, sha256);
                let wanted = url.map(|url| Wanted {
                    file_name: format!("{name} ({})", open.subdir),
                    url,
                    sha256: Some(sha256.0),
                    md5: None,
                    size: None,
                });
                wanted.map(|wanted| (name, wanted))
            })
            .collect::<Result<_, _>>()
            .map_err(|source| Error::Unreadable {
                url: open.url.to_string(),
                source: Box::new(source),
            })?;
        let asked: Vec<Wanted> = wanted.iter().map(|(_, wanted)| wanted.clone()).collect();
        let report = |event: fetch::Event<'_>| (self.report)(Event::Fetch(event));
        let packages = match self.client.packages(&asked, &report) {
            Ok(packages) => wanted.into_iter().map(|(name, _)| name).zip(packages),
            Err(error) => return Err(self.shard_error(channels, open, error)),
        };
        let packages: Vec<_> = packages.collect();
        let Content::Sharded { text, read, .. } = &mut open.content else {
            return Ok(());
        };
        for (name, package) in packages {
            let shard = sections(&package.path).map_err(|source| Error::Unreadable {
                url: open.url.to_string(),
                source: source.into(),
            })?;
            text.refused += shard.refused;
            for (file, record) in shard.records {
                if Kind::from_file_name(&file).is_some() {
                    let row = u32::try_from(text.len()).unwrap_or(u32::MAX);
                    text.push(&file, &record);
                    self.asked_for(text.record(row), next);
                }
            }
            read.insert(name);
        }
        Ok(())
    }

    /// A shard that is not there may belong to an index that has been replaced since it was read.
    fn shard_error(&self, channels: &[Source], open: &Open, error: fetch::Error) -> Error {
        if !error.is_absent() || self.locked.is_some() {
            return error.into();
        }
        match self.open(open.channel, &channels[open.channel], open.subdir) {
            Ok(now) if now.revision != open.revision => Error::Changing {
                url: open.url.to_string(),
            },
            _ => error.into(),
        }
    }
}

/// Where a shard is (CEP 16): the base is relative to the index, or whole.
fn shard_url(index: &Index, folder: &Url, sha256: &Sha256) -> Result<Url, url::ParseError> {
    let base = index.shards_base_url.trim_end_matches('/');
    let base = match base {
        "" => folder.clone(),
        base => folder.join(&format!("{base}/"))?,
    };
    base.join(&crate::output::shards::file_name(sha256))
}
