//! The files of one platform's folder.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io;

use archive::digest::Sha256;
use archive::package::Kind;

use super::records::Records;
use super::{Context, pages, shards, update};
use crate::cache::{Cache, State};
use crate::hotfix;
use crate::output::html::{self, IndexFile};
use crate::output::patch::Instructions;
use crate::output::repodata::indent::Indented;
use crate::output::repodata::{self, Each, Head, Revision};
use crate::output::{compress, current, run_exports};
use crate::publish::{Folder, Rank};
use crate::{Error, json};

/// What the making of a platform's files came to.
pub(super) struct Platform {
    pub(super) records: Records,
    pub(super) instructions: Instructions,
    /// How many packages `repodata.json` has.
    pub(super) packages: usize,
    /// For the next run.
    pub(super) shards: shards::Memory,
}

/// Makes all files of a platform that are asked for, and withdraws the others. `names` are what lay in
/// the folder before.
pub(super) fn platform(
    context: &Context<'_>,
    (platform, names): (&update::Platform, &[String]),
    cache: &Cache,
    memory: &shards::Memory,
    folder: &mut Folder,
) -> Result<Platform, Error> {
    let outputs = context.options.outputs;
    let subdir = platform.name.as_str();
    let is_part = matches!(platform.scope, update::Scope::Part(_));
    // For a few shards nobody has to look at all records.
    let needs_all = outputs.monolithic
        || outputs.repodata_next
        || context.generator.is_some()
        || memory.is_empty() && !is_part;
    let records = if needs_all {
        Records::load(context, cache, platform)?
    } else {
        Records::default()
    };
    let raw: Each<'_> = &|kind, take| records.each(kind, take);
    let mut revision = Revision::default();
    if outputs.repodata_next {
        for record in records.iter() {
            revision.add(record.record);
        }
    }
    let relations = context.options.channel_relations.to_json();
    let base_url = context.options.base_url.of(subdir);
    let head = Head {
        subdir,
        base_url: base_url.as_deref(),
        channel_relations: relations.as_deref(),
        v3: outputs.repodata_next.then_some(revision),
    };
    let (mut instructions, hotfixes) = instructions(context, &head, raw, folder)?;
    instructions.keep(context.own_keys());
    let failure = RefCell::new(None);
    let has = |file: &str| {
        let known = match platform.has(file) {
            false if is_part => cache.file(&platform.place, file),
            has => return has,
        };
        match known {
            Ok(known) => known.is_some_and(|known| known.state != State::Unusable),
            Err(error) => {
                failure.replace(Some(error));
                false
            }
        }
    };
    let removed =
        instructions.removed(&|kind, file| Kind::from_file_name(file) == Some(kind) && has(file));
    if let Some(error) = failure.into_inner() {
        return Err(error.into());
    }
    let patched: Each<'_> = &|kind, take| {
        for one in records.iter().filter(|one| one.kind == kind) {
            if let Some(record) = instructions
                .record(one.file, one.record)
                .map_err(unreadable)?
            {
                take(one.file, &record)?;
            }
        }
        Ok(())
    };
    let shards = if outputs.shards {
        shards::make(
            context,
            &head,
            (
                platform,
                if needs_all {
                    shards::Source::Loaded(&records)
                } else {
                    shards::Source::Cache(cache)
                },
            ),
            &instructions,
            (memory, names),
            folder,
        )?
    } else {
        memory.clone()
    };
    let usable = if is_part {
        shards.packages()
    } else {
        platform.usable()
    };
    let packages = usable.saturating_sub(removed.len());
    if outputs.monolithic {
        let mut files = Vec::new();
        if let Some(text) = hotfixes {
            files.push(IndexFile {
                file: hotfix::FILE,
                size: text.len() as u64,
                sha256: Sha256::of(&text),
            });
        }
        let before = ("repodata_from_packages.json", Rank::Aside);
        let after = ("repodata.json", Rank::Last);
        let write: &Write<'_> = &|out| repodata::write(out, &head, patched, &removed);
        if instructions.is_empty() {
            files.extend(json(context, folder, &[before, after], write)?);
        } else {
            let unpatched: &Write<'_> = &|out| repodata::write(out, &head, raw, &[]);
            files.extend(json(context, folder, &[before], unpatched)?);
            files.extend(json(context, folder, &[after], write)?);
        }
        if outputs.current_repodata {
            files.extend(current(context, folder, &head, patched, &removed)?);
        } else {
            withdraw(folder, "current_repodata.json");
        }
        if outputs.run_exports {
            let name = ("run_exports.json", Rank::Aside);
            files.extend(json(context, folder, &[name], &|out| {
                run_exports::write(out, subdir, &|kind, take| {
                    for one in records.iter().filter(|one| one.kind == kind) {
                        let text = instructions.run_exports(one.file, one.run_exports);
                        take(one.file, &text.map_err(unreadable)?)?;
                    }
                    Ok(())
                })
            })?);
        }
        let newest = records.newest(html::FILES);
        let total = records.len() - removed.len();
        page(context, subdir, &files, folder, total, &|take| {
            for one in records.iter().zip(&newest) {
                let (one, true) = one else { continue };
                let record = instructions.record(one.file, one.record);
                if let Some(record) = record.map_err(unreadable)? {
                    take(one.file, &record)?;
                }
            }
            Ok(())
        })?;
    }
    Ok(Platform {
        records,
        instructions,
        packages,
        shards,
    })
}

/// The hotfixes, and the file that has them: the generator's, which are written down, or those that lie
/// there.
fn instructions(
    context: &Context<'_>,
    head: &Head<'_>,
    each: Each<'_>,
    folder: &mut Folder,
) -> Result<(Instructions, Option<Vec<u8>>), Error> {
    let generated = match &context.generator {
        Some(generator) => generator.instructions(head, each, context.script_limit)?,
        None => Instructions::default(),
    };
    let platform = context.channel.at(head.subdir);
    let there = || platform.read(hotfix::FILE).ok().flatten();
    if generated.is_empty() {
        return Ok((hotfix::of_user(&platform, head.subdir)?, there()));
    }
    let mut text = layout(context, generated.text().as_bytes())
        .map_err(|source| Error::making(&folder.place().path(hotfix::FILE), source))?
        .into_owned();
    text.push(b'\n');
    if folder.is_ours(hotfix::FILE, &text) {
        folder.offer(hotfix::FILE, Rank::Aside, &text)?;
        return Ok((generated, Some(text)));
    }
    (context.report)(super::Event::Kept {
        subdir: head.subdir,
        file: hotfix::FILE,
    });
    Ok((generated, there()))
}

/// The page of the platform.
fn page(
    context: &Context<'_>,
    subdir: &str,
    files: &[IndexFile<'_>],
    folder: &mut Folder,
    total: usize,
    records: html::SubdirRecords<'_>,
) -> Result<(), Error> {
    let subdirs: Vec<_> = context.subdirs.iter().map(String::as_str).collect();
    let site = pages::site(context, &subdirs);
    let name = "index.html";
    let page = folder
        .write(&|out| html::write_subdir(out, &site, subdir, files, total, records))
        .map_err(|source| Error::making(&folder.place().path(name), source))?;
    folder.offer_large(&[(name.to_owned(), Rank::Aside)], page.sha256, page)
}

fn current<'a>(
    context: &Context<'_>,
    folder: &mut Folder,
    head: &Head<'_>,
    patched: Each<'_>,
    removed: &[String],
) -> Result<Vec<IndexFile<'a>>, Error> {
    let name = "current_repodata.json";
    let kept = current::select(patched, &context.pins)
        .map_err(|source| Error::making(&folder.place().path(name), source))?;
    json(context, folder, &[(name, Rank::Index)], &|out| {
        let each: Each<'_> = &|kind, take| {
            patched(kind, &mut |file, record| match kept.get(file) {
                None => Ok(()),
                Some(None) => take(file, record),
                Some(Some(md5)) => take(file, &current::with_legacy_md5(record, md5)),
            })
        };
        repodata::write(out, head, each, removed)
    })
}

/// What writes a file.
type Write<'a> = dyn Fn(&mut dyn io::Write) -> io::Result<()> + 'a;

/// A JSON file and its compressed forms; the same under several names.
fn json<'a>(
    context: &Context<'_>,
    folder: &mut Folder,
    names: &[(&'a str, Rank)],
    write: &Write<'_>,
) -> Result<Vec<IndexFile<'a>>, Error> {
    let outputs = context.options.outputs;
    let first = names.first().map_or("", |(name, _)| name);
    let path = folder.place().path(first);
    let failed = |source| Error::making(&path, source);
    let text = folder
        .write(&|out| {
            if outputs.compact {
                return write(out);
            }
            let mut indented = Indented::new(out);
            write(&mut indented)?;
            indented.finish().map(drop)
        })
        .map_err(failed)?;
    let (size, sha256) = (text.length, text.sha256);
    let level = context.options.zstd_level;
    let zst: &Write<'_> = &|out| {
        let workers = context.workers;
        compress::zst_copy(&mut text.reader()?, size, out, level, workers)
    };
    let bz2: &Write<'_> = &|out| compress::bz2_copy(&mut text.reader()?, out);
    for (ending, asked, of, write) in [
        (".zst", outputs.zst, format!("zst {level} {sha256}"), zst),
        (".bz2", outputs.bz2, format!("bz2 {sha256}"), bz2),
    ] {
        let key = Sha256::of(of.as_bytes());
        let mut missing = Vec::new();
        for (name, rank) in names {
            let name = format!("{name}{ending}");
            if !asked {
                folder.withdraw(&name);
            } else if !folder.keeps(&name, key) {
                missing.push((name, (*rank).min(Rank::Index)));
            }
        }
        if !missing.is_empty() {
            let packed = folder.write(write).map_err(failed)?;
            folder.offer_large(&missing, key, packed)?;
        }
    }
    let whole: Vec<_> = names
        .iter()
        .map(|(name, rank)| ((*name).to_owned(), *rank))
        .collect();
    folder.offer_large(&whole, sha256, text)?;
    let listed = names
        .iter()
        .map(|(file, _)| IndexFile { file, size, sha256 });
    Ok(listed.collect())
}

fn withdraw(folder: &mut Folder, name: &str) {
    for ending in ["", ".zst", ".bz2"] {
        folder.withdraw(&format!("{name}{ending}"));
    }
}

/// Compact JSON in the form that is asked for.
pub(super) fn layout<'a>(context: &Context<'_>, text: &'a [u8]) -> io::Result<Cow<'a, [u8]>> {
    if context.options.outputs.compact {
        return Ok(Cow::Borrowed(text));
    }
    let mut indented = Indented::new(Vec::new());
    io::Write::write_all(&mut indented, text)?;
    Ok(Cow::Owned(indented.finish()?))
}

pub(super) fn unreadable(error: json::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
