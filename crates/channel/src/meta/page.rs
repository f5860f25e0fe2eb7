//! The meta-channel's own page, `about.html`: what the compiler knows and no index tells.

use std::collections::BTreeMap;
use std::path::Path;

use archive::digest::Sha256;
use spec::MetaChannel;

use super::candidate::Id;
use super::closure::{Asker, Reason};
use super::upstream::Upstream;
use super::{Compiled, Error, Options, Subfolder, write_file};
use crate::output::html::{About, Folder, Platform, Site, Why, about_page};

/// The page's file.
const FILE: &str = "about.html";

/// Says what a page was made of, whatever the time.
const MARK: &str = "<!-- content ";

/// A name that stays.
struct Named {
    name: String,
    packages: usize,
    asker: Option<String>,
    spec: String,
}

/// Writes the page, unless it says the same already and the channel did not change.
pub(super) fn write(
    definition: &MetaChannel,
    upstream: &Upstream,
    compiled: &[Compiled<'_>],
    subdirs: &[Subfolder],
    (channel, changed): (&Path, bool),
    options: &Options,
) -> Result<(), Error> {
    let platforms: Vec<String> = compiled
        .iter()
        .map(|one| one.platform.to_string())
        .collect();
    let roots: Vec<Vec<String>> = compiled.iter().map(roots).collect();
    let names: Vec<Vec<Named>> = compiled.iter().map(names).collect();
    let mut about = About {
        channels: upstream
            .channels
            .iter()
            .map(|channel| channel.text.as_str())
            .collect(),
        updated: 0,
        folders: subdirs.iter().map(folder).collect(),
        platforms: platforms
            .iter()
            .zip(&roots)
            .zip(&names)
            .map(|((name, roots), names)| Platform {
                name,
                roots: roots.iter().map(String::as_str).collect(),
                names: names.iter().map(why).collect(),
            })
            .collect(),
    };
    let folders: Vec<_> = subdirs.iter().map(|subdir| subdir.name.as_str()).collect();
    let site = Site {
        channel_name: options
            .index
            .channel_name
            .as_deref()
            .unwrap_or(&definition.name),
        subdirs: &folders,
        has_packages: options.index.outputs.channeldata,
        has_about: true,
        ..Site::default()
    };
    let content = Sha256::of(about_page(&site, &about).as_bytes());
    let mark = format!("{MARK}{content} -->\n");
    let path = channel.join(FILE);
    let there = fs_err::read_to_string(&path).unwrap_or_default();
    if there.ends_with(&mark) && !changed {
        return Ok(());
    }
    about.updated = options.now_ms / 1000;
    write_file(&path, (about_page(&site, &about) + &mark).as_bytes())
}

fn folder(subdir: &Subfolder) -> Folder<'_> {
    Folder {
        name: &subdir.name,
        packages: subdir.packages,
        packages_before: subdir.upstream_packages,
        names: subdir.names,
        names_before: subdir.upstream_names,
    }
}

fn why(named: &Named) -> Why<'_> {
    Why {
        name: &named.name,
        packages: named.packages,
        asker: named.asker.as_deref(),
        spec: &named.spec,
    }
}

fn roots(compiled: &Compiled<'_>) -> Vec<String> {
    let specs = &compiled.pool.specs;
    let text = |root| specs.get(root).text.to_string();
    compiled.roots.iter().copied().map(text).collect()
}

/// Each name that stays: how many packages, and who asked for the best of them first.
fn names(compiled: &Compiled<'_>) -> Vec<Named> {
    let pool = &compiled.pool;
    let name = |id| {
        let file = pool.file(pool.get(id));
        let name = archive::package::split_file_name(file).map(|(name, _, _)| name);
        name.unwrap_or(file)
    };
    let mut names: BTreeMap<&str, (usize, Id)> = BTreeMap::new();
    let mut ids = compiled.closure.kept().ids().peekable();
    while let Some(first) = ids.next() {
        let found = name(first);
        // Nearly all of a slot have the same name.
        let mut count = 1;
        while ids.next_if(|id| name(*id) == found).is_some() {
            count += 1;
        }
        let (packages, _) = names.entry(found).or_insert((0, first));
        *packages += count;
    }
    let told = |(found, (count, best)): (&str, (usize, Id))| {
        let (asker, spec) = match compiled.closure.kept().get(best) {
            Some(Reason::Selected(asker, spec)) => {
                let asker = match asker {
                    Asker::Root => None,
                    Asker::Package(by) => Some(name(*by).to_owned()),
                };
                (asker, pool.specs.get(*spec).text.to_string())
            }
            Some(Reason::Solution) | None => (None, found.to_owned()),
        };
        Named {
            name: found.to_owned(),
            packages: count,
            asker,
            spec,
        }
    };
    names.into_iter().map(told).collect()
}
