//! The flat files of a platform, which name all its packages: `repodata.json` and its kin, compressed too, and the
//! platform's page. They are made of all records ([`Documents::of_all`]), or where only a few packages are others of the
//! files that are there ([`few`]).

use std::io;

use archive::digest::Sha256;

use super::make::unreadable;
use super::records::Records;
use super::{Context, pages};
use crate::Error;
use crate::hotfix;
use crate::output::html::{self, IndexFile};
use crate::output::patch::Instructions;
use crate::output::repodata::indent::Indented;
use crate::output::repodata::{self, Each, Head};
use crate::output::{compress, current, run_exports};
use crate::publish::{Folder, Rank};
use crate::texts::Record;

mod few;

pub(super) use few::{Memory, are_right, basis};

/// The packages as they are, then with hotfixes.
const NAMES: [(&str, Rank); 2] = [
    ("repodata_from_packages.json", Rank::Aside),
    ("repodata.json", Rank::Last),
];

/// What writes a file.
type Write<'a> = dyn Fn(&mut dyn io::Write) -> io::Result<()> + 'a;

/// What the files are made of besides records.
pub(super) struct Documents<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) head: Head<'a>,
    pub(super) instructions: &'a Instructions,
    /// The file that has them, if there is one.
    pub(super) hotfixes: Option<Vec<u8>>,
    /// What hotfixes remove, sorted.
    pub(super) removed: &'a [String],
    /// How many packages `repodata.json` has.
    pub(super) packages: usize,
}

impl Documents<'_> {
    /// Makes all that are asked for, and withdraws the others.
    pub(super) fn of_all(
        &self,
        records: &Records<'_>,
        folder: &mut Folder,
    ) -> Result<Memory, Error> {
        let outputs = self.context.options.outputs;
        let (instructions, head) = (self.instructions, &self.head);
        let mut files = self.first();
        let [before, after] = NAMES;
        let patched: Each<'_> = &|kind, take| {
            for one in records.iter().filter(|one| one.kind == kind) {
                let record = instructions.record(one.file, one.record);
                if let Some(record) = record.map_err(unreadable)? {
                    take(one.file, &record)?;
                }
            }
            Ok(())
        };
        let write: &Write<'_> = &|out| repodata::write(out, head, patched, self.removed);
        if instructions.is_empty() {
            files.extend(self.json(folder, &NAMES, write)?);
        } else {
            let raw: Each<'_> = &|kind, take| records.each(kind, take);
            let unpatched: &Write<'_> = &|out| repodata::write(out, head, raw, &[]);
            files.extend(self.json(folder, &[before], unpatched)?);
            files.extend(self.json(folder, &[after], write)?);
        }
        if outputs.current_repodata {
            files.extend(self.current(folder, patched)?);
        } else {
            for ending in ["", ".zst", ".bz2"] {
                folder.withdraw(&format!("current_repodata.json{ending}"));
            }
        }
        if outputs.run_exports {
            let name = ("run_exports.json", Rank::Aside);
            files.extend(self.json(folder, &[name], &|out| {
                run_exports::write(out, head.subdir, &|kind, take| {
                    for one in records.iter().filter(|one| one.kind == kind) {
                        let text = instructions.run_exports(one.file, one.run_exports);
                        take(one.file, &text.map_err(unreadable)?)?;
                    }
                    Ok(())
                })
            })?);
        } else if NAMES.iter().any(|(name, _)| folder.changes(name)) {
            // Who finds it takes it for complete, and it is not any more.
            for ending in ["", ".zst", ".bz2"] {
                folder.withdraw(&format!("run_exports.json{ending}"));
            }
        }
        let newest = records.newest(html::FILES);
        let listed: Vec<_> = newest
            .iter()
            .filter_map(|(_, file)| records.get(file))
            .collect();
        self.page(folder, &files, &listed)?;
        Ok(Memory::of(&newest))
    }

    /// The hotfixes, which come first in the page's list of files.
    fn first(&self) -> Vec<IndexFile<'static>> {
        let hotfixes = self.hotfixes.iter().map(|text| IndexFile {
            file: hotfix::FILE,
            size: text.len() as u64,
            sha256: Sha256::of(text),
        });
        hotfixes.collect()
    }

    fn current(
        &self,
        folder: &mut Folder,
        patched: Each<'_>,
    ) -> Result<Vec<IndexFile<'static>>, Error> {
        let name = "current_repodata.json";
        let kept = current::select(patched, &self.context.pins)
            .map_err(|source| Error::making(&folder.place().path(name), source))?;
        self.json(folder, &[(name, Rank::Index)], &|out| {
            let each: Each<'_> = &|kind, take| {
                patched(kind, &mut |file, record| match kept.get(file) {
                    None => Ok(()),
                    Some(None) => take(file, record),
                    Some(Some(md5)) => take(file, &current::with_legacy_md5(record, md5)),
                })
            };
            repodata::write(out, &self.head, each, self.removed)
        })
    }

    /// A JSON file and its compressed forms; the same under several names.
    fn json<'n>(
        &self,
        folder: &mut Folder,
        names: &[(&'n str, Rank)],
        write: &Write<'_>,
    ) -> Result<Vec<IndexFile<'n>>, Error> {
        let options = self.context.options;
        let outputs = options.outputs;
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
        let level = options.zstd_level;
        let zst: &Write<'_> = &|out| {
            let workers = self.context.workers;
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

    /// The page of the platform, which lists some of its packages.
    fn page(
        &self,
        folder: &mut Folder,
        files: &[IndexFile<'_>],
        listed: &[Record<'_>],
    ) -> Result<(), Error> {
        let subdirs: Vec<_> = self.context.subdirs.iter().map(String::as_str).collect();
        let site = pages::site(self.context, &subdirs);
        let records: html::SubdirRecords<'_> = &|take| {
            for one in listed {
                let record = self.instructions.record(one.file, one.record);
                if let Some(record) = record.map_err(unreadable)? {
                    take(one.file, &record)?;
                }
            }
            Ok(())
        };
        let name = "index.html";
        let subdir = self.head.subdir;
        let page = folder
            .write(&|out| html::write_subdir(out, &site, subdir, files, self.packages, records))
            .map_err(|source| Error::making(&folder.place().path(name), source))?;
        folder.offer_large(&[(name.to_owned(), Rank::Aside)], page.sha256, page)
    }
}
