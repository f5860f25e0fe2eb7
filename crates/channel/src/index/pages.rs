//! The files of the channel itself: channeldata.json, the feed, and the pages that people read.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

use archive::digest::Sha256;
use archive::package::Kind;

use super::Context;
use super::make::{self, unreadable};
use super::update::Platform;
use crate::Error;
use crate::cache::Cache;
use crate::output::channeldata::newest::Newest;
use crate::output::channeldata::{self, Package, Summary};
use crate::output::html::{self, Listed, Site};
use crate::output::{icons, rss, shards};
use crate::publish::{Folder, Rank};

/// Folders of the channel that hold only what is made here.
const OURS: [&str; 3] = ["html/", "packages/", "icons/"];

/// One name.
struct Entry {
    text: String,
    summary: Summary,
    icon: Option<String>,
}

/// A platform, a file name, and the record after patches.
type File<'a> = (&'a str, &'a str, Cow<'a, str>);

/// What all pages have in common.
pub(super) fn site<'a>(context: &'a Context<'_>, subdirs: &'a [&'a str]) -> Site<'a> {
    Site {
        channel_name: &context.channel_name,
        subdirs,
        base_url: Some(&context.options.base_url),
        has_packages: context.options.outputs.channeldata,
        html_dependencies: context.options.outputs.html_dependencies,
        has_about: context.options.has_about,
    }
}

/// Offers what every page needs, and with channeldata everything else.
pub(super) fn offer(
    context: &Context<'_>,
    platforms: &[Platform],
    made: &[&make::Platform<'_>],
    cache: &Cache,
    folder: &mut Folder,
) -> Result<(), Error> {
    for (path, content) in html::assets() {
        folder.offer(path, Rank::Aside, content.as_bytes())?;
    }
    let outputs = context.options.outputs;
    if !outputs.channeldata {
        return Ok(());
    }
    let subdirs: Vec<_> = platforms.iter().map(|one| one.name.as_str()).collect();
    let site = site(context, &subdirs);
    let entries = entries(context, platforms, made, cache, folder)?;
    let channeldata = folder.place().path("channeldata.json");
    let failed = |source| Error::making(&channeldata, source);

    let mut text = Vec::new();
    channeldata::write(&mut text, &subdirs, &|take| {
        entries
            .iter()
            .try_for_each(|(name, entry)| take(name, &entry.text))
    })
    .map_err(failed)?;
    let text = make::layout(context, &text).map_err(failed)?;
    folder.offer("channeldata.json", Rank::Index, &text)?;

    let summaries: Vec<_> = entries
        .iter()
        .map(|(name, entry)| (name.as_str(), &entry.summary))
        .collect();
    if outputs.rss {
        let feed = rss::feed(&context.channel_name, &summaries);
        folder.offer("rss.xml", Rank::Aside, feed.as_bytes())?;
    }
    let listed: Vec<_> = summaries
        .iter()
        .map(|(name, summary)| Listed { name, summary })
        .collect();
    for (path, page) in html::channel_pages(&site, &listed) {
        folder.offer(&path, Rank::Aside, page.as_bytes())?;
    }
    packages(&site, platforms, made, &entries, folder)?;
    folder.withdraw_rest(&OURS);
    Ok(())
}

/// The entries of channeldata.json, and the icons.
fn entries(
    context: &Context<'_>,
    platforms: &[Platform],
    made: &[&make::Platform<'_>],
    cache: &Cache,
    folder: &mut Folder,
) -> Result<BTreeMap<String, Entry>, Error> {
    let failed = |source| Error::making(&context.output.path("channeldata.json"), source);
    let mut newest = Newest::default();
    for (number, one) in made.iter().enumerate() {
        newest
            .add(number, &|kind, take| one.each(kind, take))
            .map_err(failed)?;
    }
    let mut entries = BTreeMap::new();
    for (name, chosen) in newest.names() {
        let mut found = Vec::new();
        for one in chosen {
            let (Some(platform), Some(made)) = (platforms.get(one.subdir), made.get(one.subdir))
            else {
                continue;
            };
            let scanned = cache.package(&platform.place, &one.file)?;
            let record = made.record(&one.file).map_err(failed)?;
            if let (Some(scanned), Some(record)) = (scanned, record) {
                found.push((platform.name.as_str(), record, scanned));
            }
        }
        let packages: Vec<_> = found
            .iter()
            .map(|(subdir, record, scanned)| Package {
                subdir,
                record,
                scanned,
            })
            .collect();
        let text = channeldata::entry(&packages);
        let mut icon = None;
        for bytes in found
            .iter()
            .filter_map(|(_, _, scanned)| scanned.icon.as_deref())
        {
            if let Some(path) = icons::path(bytes) {
                folder.offer(&path, Rank::Aside, bytes)?;
                icon = Some(path);
            }
        }
        let entry = Entry {
            summary: Summary::read(&text),
            text,
            icon,
        };
        entries.insert(name.to_owned(), entry);
    }
    Ok(entries)
}

/// A page for each name.
fn packages(
    site: &Site<'_>,
    platforms: &[Platform],
    made: &[&make::Platform<'_>],
    entries: &BTreeMap<String, Entry>,
    folder: &mut Folder,
) -> Result<(), Error> {
    let mut files: BTreeMap<String, Vec<File<'_>>> = BTreeMap::new();
    for (platform, made) in platforms.iter().zip(made) {
        for one in made.records.iter() {
            let record = made.instructions.record(one.file, one.record);
            let record = record
                .map_err(unreadable)
                .map_err(|source| Error::making(&folder.place().path(""), source))?;
            if let Some(record) = record {
                let name = shards::name(one.file, &record).into_owned();
                let row = (platform.name.as_str(), one.file, record);
                files.entry(name).or_default().push(row);
            }
        }
    }
    let known: BTreeSet<_> = entries.keys().map(String::as_str).collect();
    let all: String = known.iter().flat_map(|name| [*name, "\n"]).collect();
    let names = Sha256::of(all.as_bytes());
    for (name, entry) in entries {
        let files: Vec<_> = files
            .get(name)
            .into_iter()
            .flatten()
            .map(|(subdir, file, record)| html::package::File {
                subdir,
                file,
                record,
            })
            .collect();
        let package = html::package::Package {
            name,
            entry: &entry.text,
            icon: entry.icon.as_deref(),
            files: &files,
        };
        let key = html::package::key(site, &package, &names);
        folder.offer_made(&html::package::path(name), Rank::Aside, key, || {
            Ok(html::package::page(site, &package, &|name| known.contains(name)).into_bytes())
        })?;
    }
    Ok(())
}

impl make::Platform<'_> {
    /// The records of one kind after patches.
    pub(super) fn each(
        &self,
        kind: Kind,
        take: &mut dyn FnMut(&str, &str) -> io::Result<()>,
    ) -> io::Result<()> {
        for one in self.records.iter().filter(|one| one.kind == kind) {
            let record = self.instructions.record(one.file, one.record);
            if let Some(record) = record.map_err(unreadable)? {
                take(one.file, &record)?;
            }
        }
        Ok(())
    }

    fn record(&self, file: &str) -> io::Result<Option<String>> {
        let Some(one) = self.records.get(file) else {
            return Ok(None);
        };
        let record = self.instructions.record(one.file, one.record);
        Ok(record.map_err(unreadable)?.map(Cow::into_owned))
    }
}
