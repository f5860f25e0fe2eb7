//! The files of one platform's folder.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io;

use archive::package::Kind;

use super::documents::{self, Documents};
use super::records::Records;
use super::{Context, memory, shards, update};
use crate::cache::{Cache, State};
use crate::hotfix;
use crate::output::patch::Instructions;
use crate::output::repodata::indent::Indented;
use crate::output::repodata::{Each, Head, Revision};
use crate::publish::{Folder, Rank};
use crate::{Error, json};

/// What the making of a platform's files came to.
pub(super) struct Platform<'c> {
    pub(super) records: Records<'c>,
    pub(super) instructions: Instructions,
    /// How many packages `repodata.json` has.
    pub(super) packages: usize,
    /// For the next run.
    pub(super) shards: shards::Memory,
    pub(super) documents: documents::Memory,
}

/// Makes all files of a platform that are asked for, and withdraws the others. `names` are what lay in
/// the folder before.
pub(super) fn platform<'c>(
    context: &Context<'_>,
    (platform, names): (&update::Platform, &[String]),
    cache: &'c Cache,
    memory: &memory::Memory,
    folder: &mut Folder,
) -> Result<Platform<'c>, Error> {
    let outputs = context.options.outputs;
    let subdir = platform.name.as_str();
    let is_part = matches!(platform.scope, update::Scope::Part(_));
    // For a few packages nobody has to look at all records.
    let needs_all = outputs.monolithic && !is_part
        || outputs.repodata_next
        || context.generator.is_some()
        || memory.shards.is_empty() && !is_part;
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
            (&memory.shards, names),
            folder,
        )?
    } else {
        memory.shards.clone()
    };
    let usable = if is_part {
        shards.packages()
    } else {
        platform.usable()
    };
    let packages = usable.saturating_sub(removed.len());
    let documents = Documents {
        context,
        head,
        instructions: &instructions,
        hotfixes,
        removed: &removed,
        packages,
    };
    let documents = match &platform.scope {
        _ if !outputs.monolithic => memory.documents.clone(),
        update::Scope::Part(_) => documents.of_few((platform, cache), &memory.documents, folder)?,
        update::Scope::Whole | update::Scope::Named => documents.of_all(&records, folder)?,
    };
    Ok(Platform {
        records,
        instructions,
        packages,
        shards,
        documents,
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
