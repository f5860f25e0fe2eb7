//! The files of one platform's folder.

use std::borrow::Cow;
use std::io;

use archive::digest::{Md5, Sha256};
use archive::package::Kind;

use super::records::Records;
use super::{Context, pages, shards};
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

/// Makes all files of a platform that are asked for, and withdraws the others.
pub(super) fn platform(
    context: &Context<'_>,
    subdir: &str,
    records: Records,
    created_ms: i64,
    memory: &shards::Memory,
    folder: &mut Folder,
) -> Result<Platform, Error> {
    let outputs = context.options.outputs;
    let raw: Each<'_> = &|kind, take| records.each(kind, take);
    let mut revision = Revision::default();
    if outputs.repodata_next {
        for record in records.iter() {
            revision.add(record.record);
        }
    }
    let head = Head {
        subdir,
        base_url: context.options.base_url.as_deref(),
        v3: outputs.repodata_next.then_some(revision),
        ..Head::default()
    };
    let (instructions, hotfixes) = instructions(context, &head, raw, folder)?;
    let removed = instructions.removed(&|kind, file| {
        Kind::from_file_name(file) == Some(kind) && records.get(file).is_some()
    });
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
            &records,
            &instructions,
            created_ms,
            memory,
            folder,
        )?
    } else {
        memory.clone()
    };
    let packages = records.len() - removed.len();
    if outputs.monolithic {
        let mut files = Vec::new();
        if let Some(text) = hotfixes {
            files.push(Written::of(hotfix::FILE, &text));
        }
        let from_packages = "repodata_from_packages.json";
        files.push(json(context, folder, from_packages, Rank::Aside, &|out| {
            repodata::write(out, &head, raw, &[])
        })?);
        files.push(json(
            context,
            folder,
            "repodata.json",
            Rank::Last,
            &|out| repodata::write(out, &head, patched, &removed),
        )?);
        if outputs.current_repodata {
            files.push(current(context, folder, &head, patched, &removed)?);
        } else {
            withdraw(folder, "current_repodata.json");
        }
        if outputs.run_exports {
            files.push(json(
                context,
                folder,
                "run_exports.json",
                Rank::Aside,
                &|out| {
                    run_exports::write(out, subdir, &|kind, take| {
                        for one in records.iter().filter(|one| one.kind == kind) {
                            let text = instructions.run_exports(one.file, one.run_exports);
                            take(one.file, &text.map_err(unreadable)?)?;
                        }
                        Ok(())
                    })
                },
            )?);
        }
        page(context, subdir, &files, folder, &|take| {
            for one in records.iter() {
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
    files: &[Written],
    folder: &mut Folder,
    records: html::SubdirRecords<'_>,
) -> Result<(), Error> {
    let subdirs: Vec<_> = context.subdirs.iter().map(String::as_str).collect();
    let site = pages::site(context, &subdirs);
    let files: Vec<_> = files
        .iter()
        .map(|file| IndexFile {
            file: &file.name,
            size: file.size,
            md5: file.md5,
            sha256: file.sha256,
        })
        .collect();
    let mut text = Vec::new();
    html::write_subdir(&mut text, &site, subdir, &files, records)
        .map_err(|source| Error::making(&folder.place().path("index.html"), source))?;
    folder.offer("index.html", Rank::Aside, &text)
}

/// A file that was made, for the page.
struct Written {
    name: String,
    size: u64,
    md5: Md5,
    sha256: Sha256,
}

impl Written {
    fn of(name: &str, text: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            size: text.len() as u64,
            md5: Md5::of(text),
            sha256: Sha256::of(text),
        }
    }
}

fn current(
    context: &Context<'_>,
    folder: &mut Folder,
    head: &Head<'_>,
    patched: Each<'_>,
    removed: &[String],
) -> Result<Written, Error> {
    let name = "current_repodata.json";
    let kept = current::select(patched, &context.pins)
        .map_err(|source| Error::making(&folder.place().path(name), source))?;
    json(context, folder, name, Rank::Index, &|out| {
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

/// A JSON file and its compressed forms.
fn json(
    context: &Context<'_>,
    folder: &mut Folder,
    name: &str,
    rank: Rank,
    write: &dyn Fn(&mut dyn io::Write) -> io::Result<()>,
) -> Result<Written, Error> {
    let outputs = context.options.outputs;
    let mut text = Vec::new();
    let written = if outputs.compact {
        write(&mut text)
    } else {
        let mut indented = Indented::new(&mut text);
        write(&mut indented).and_then(|()| indented.finish().map(drop))
    };
    written.map_err(|source| Error::making(&folder.place().path(name), source))?;
    let file = Written::of(name, &text);
    let digest = file.sha256;
    let packed = rank.min(Rank::Index);
    let (zst, bz2) = (format!("{name}.zst"), format!("{name}.bz2"));
    if outputs.zst {
        let level = context.options.zstd_level;
        let key = Sha256::of(format!("zst {level} {digest}").as_bytes());
        folder.offer_made(&zst, packed, key, || {
            compress::zst_with(&text, level, context.workers)
        })?;
    } else {
        folder.withdraw(&zst);
    }
    if outputs.bz2 {
        let key = Sha256::of(format!("bz2 {digest}").as_bytes());
        folder.offer_made(&bz2, packed, key, || compress::bz2(&text))?;
    } else {
        folder.withdraw(&bz2);
    }
    folder.offer_made(name, rank, digest, || Ok(text))?;
    Ok(file)
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
