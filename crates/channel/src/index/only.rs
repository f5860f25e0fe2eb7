//! Runs that are told what changed (`--only`): an upload tells the indexer the one file that is new, and nobody
//! looks at the 660,000 others. What they are is what the cache knows; where that is not enough, the
//! platform is looked at as a whole.

use std::collections::{BTreeMap, BTreeSet};

use archive::package::split_file_name;

use super::documents;
use super::memory::{self, Memory};
use super::revision::FORM;
use super::update::{Platform, Scope, place};
use super::{Context, Options, SUBDIRS};
use crate::Error;
use crate::cache::{self, Cache, Known, State};
use crate::hotfix;
use crate::output::shards;
use crate::place::package_kind;
use archive::digest::{Hasher, Sha256};

/// The files that are named, by platform. Empty where everything is looked at.
#[derive(Debug, Default)]
pub(super) struct Only(BTreeMap<String, BTreeSet<String>>);

impl Only {
    /// Reads and checks what the user gives.
    pub(super) fn of(options: &Options) -> Result<Self, Error> {
        let mut only = Self::default();
        if options.only.is_empty() {
            return Ok(only);
        }
        let problem = |problem: String| Err(Error::Unsupported { problem });
        let others = [
            (options.verify, "--verify"),
            (!options.import.is_empty(), "--import"),
            (!options.update_cache, "--no-update-cache"),
            (
                !options.upstream_is_folder(),
                "another --upstream-stage than fs",
            ),
        ];
        if let Some((_, other)) = others.iter().find(|(is_given, _)| *is_given) {
            return problem(format!("--only cannot be had with {other}"));
        }
        for path in &options.only {
            let Some((subdir, file)) = path.split_once('/') else {
                return problem(format!("--only `{path}` is not SUBDIR/FILE"));
            };
            if !SUBDIRS.contains(&subdir) {
                return problem(format!(
                    "--only `{path}`: `{subdir}` is not the name of a platform's folder"
                ));
            }
            if !options.subdirs.is_empty() && !options.subdirs.iter().any(|one| one == subdir) {
                return problem(format!("--only `{path}`: --subdir leaves {subdir} out"));
            }
            let is_plain = !file.contains(|character: char| {
                matches!(character, '/' | '\\') || character.is_control()
            });
            if !is_plain || package_kind(file.as_bytes()).is_none() {
                return problem(format!(
                    "--only `{path}`: `{file}` is not the file name of a package"
                ));
            }
            let files = only.0.entry(subdir.to_owned()).or_default();
            files.insert(file.to_owned());
        }
        Ok(only)
    }

    /// Whether everything is looked at.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The platforms.
    pub(super) fn subdirs(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The files of a platform that are named.
    pub(super) fn files(&self, subdir: &str) -> impl Iterator<Item = &str> {
        let files = self.0.get(subdir);
        files.into_iter().flatten().map(String::as_str)
    }

    /// Whether a file is named, or what lies beside it.
    pub(super) fn names(&self, subdir: &str, file: &str) -> bool {
        let package = file
            .strip_suffix(super::attestations::SUFFIX)
            .unwrap_or(file);
        let files = self.0.get(subdir);
        files.is_some_and(|files| files.contains(package))
    }
}

/// What the shards of a platform are made with besides its packages, and what the cache knew when they
/// were: as long as that is the same, the shards of all names are right. Nothing where that cannot be
/// told from so little: a generator looks at all records, other processes change a database.
pub(super) fn basis(
    context: &Context<'_>,
    cache: &Cache,
    subdir: &str,
) -> Result<Option<Sha256>, Error> {
    let options = context.options;
    let outputs = options.outputs;
    let is_told = outputs.shards
        && !outputs.repodata_next
        && context.generator.is_none()
        && cache.database().is_none()
        && options.folder_counts();
    if !is_told {
        return Ok(None);
    }
    let mut hasher = Hasher::new();
    let version = env!("CARGO_PKG_VERSION");
    hasher.update(format!("{FORM} {version} {:?}", context.own_keys()).as_bytes());
    memory::add_file(&mut hasher, &context.channel.at(subdir), hotfix::FILE);
    hasher.update(&cache.generation(&place(&options.upstream_stage, subdir))?);
    Ok(Some(hasher.finish().sha256))
}

/// How much of a platform is looked at.
pub(super) fn scope(
    context: &Context<'_>,
    cache: &Cache,
    subdir: &str,
    memory: Option<&Memory>,
) -> Result<Scope, Error> {
    if context.only.is_empty() || !context.options.folder_counts() {
        return Ok(Scope::Whole);
    }
    let Some(memory) = memory.filter(|memory| memory.shards.basis().is_some()) else {
        return Ok(Scope::Named);
    };
    let basis = basis(context, cache, subdir)?;
    let are_right = basis == memory.shards.basis()
        && (!context.options.outputs.monolithic
            || documents::are_right(context, subdir, memory, basis)
                && memory.documents.can_lose(&context.only, subdir));
    Ok(if are_right {
        Scope::Part(BTreeSet::new())
    } else {
        Scope::Named
    })
}

/// Whether the files of a platform that was looked at as a whole are what a run made that was told of less.
pub(super) fn is_made(
    context: &Context<'_>,
    cache: &Cache,
    subdir: &str,
    memory: &Memory,
) -> Result<bool, Error> {
    if memory.shards.basis().is_none() || !context.options.outputs.monolithic {
        return Ok(false);
    }
    let basis = basis(context, cache, subdir)?;
    Ok(basis == memory.shards.basis() && documents::are_right(context, subdir, memory, basis))
}

/// Whether what the cache knows of a file is enough without a look at the file.
pub(super) fn is_enough(context: &Context<'_>, known: &Known) -> bool {
    match known.state {
        State::Unusable => true,
        State::Package => known.wanted.covers(context.options.outputs.wanted()),
        State::Imported | State::ImportedWithTime => false,
    }
}

/// Adds to a part of a platform what the cache knows of all packages of the names that are touched.
pub(super) fn gather(
    context: &Context<'_>,
    cache: &Cache,
    platform: &mut Platform,
    memory: &Memory,
) -> Result<(), Error> {
    let Scope::Part(names) = &platform.scope else {
        return Ok(());
    };
    let mut names = names.clone();
    for file in context.only.files(&platform.name) {
        if let Some(known) = platform.files.get(file) {
            names.extend(name(cache, &platform.place, file, known)?);
        }
    }
    for name in &names {
        let rows = cache.files_below(&platform.place, &format!("{name}-"))?;
        let is_of_name = |file: &str, known: &Known| {
            known.mark.is_named && split_file_name(file).is_some_and(|(one, _, _)| one == name)
        };
        let rows = rows
            .into_iter()
            .filter(|(file, known)| is_of_name(file, known));
        platform.files.extend(rows);
        for file in memory.shards.odd_files(name) {
            if let Some(known) = cache.file(&platform.place, file)? {
                platform.files.insert(file.to_owned(), known);
            }
        }
    }
    platform.scope = Scope::Part(names);
    Ok(())
}

/// The name whose shard a package belongs to, if it can be used.
pub(super) fn name(
    cache: &Cache,
    place: &str,
    file: &str,
    known: &Known,
) -> Result<Option<String>, Error> {
    if known.state == State::Unusable {
        return Ok(None);
    }
    let named = split_file_name(file).filter(|_| known.mark.is_named);
    if let Some((name, _, _)) = named {
        return Ok(Some(name.to_owned()));
    }
    let scanned = cache.package(place, file)?;
    let scanned = scanned.ok_or(cache::Error::Damaged)?;
    Ok(Some(shards::name(file, &scanned.record).into_owned()))
}
