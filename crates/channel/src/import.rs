//! What others already know of packages, so that nobody has to read them again: conda-index's `cache.db`,
//! a `repodata.json` (with `run_exports.json` beside it), or shards. What of it is believed, and
//! where it goes, is [`crate::index`]'s business.

use std::path::{Path, PathBuf};

use archive::digest::{Md5, Sha256};
use archive::package::{Kind, is_file_name};

use crate::json::Json;
use crate::output::date;
use crate::output::repodata::fields;
use crate::scan::{LEFT_OUT, Wanted};
use crate::scanned::{PostInstall, Scanned};

mod database;
mod error;
pub(crate) mod repodata;
pub(crate) mod shards;
mod source;
#[cfg(test)]
mod tests;

pub use error::Error;
pub(crate) use source::find;

/// What records may stand in, the best first: hotfixes are to be applied anew.
pub(crate) const REPODATA: [&str; 2] = ["repodata_from_packages.json", "repodata.json"];

/// What a package imposes on others has a place of its own.
pub(crate) const RUN_EXPORTS: &str = "run_exports";

/// When a package came into an index (CEP 47).
const INDEXED: &str = "indexed_timestamp";

/// How many packages are handed on at a time.
const CHUNK: usize = 8192;

/// Something that knows the packages of one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The platform's folder.
    pub(crate) subdir: String,
    /// The file.
    pub(crate) path: PathBuf,
    /// Files beside it that know more.
    pub(crate) beside: Vec<PathBuf>,
    form: Form,
}

impl Source {
    /// The repodata that an earlier run left in the folder of a platform.
    pub(crate) fn published(folder: &Path, subdir: &str) -> Option<Self> {
        let path = REPODATA
            .map(|name| folder.join(name))
            .into_iter()
            .find(|path| path.is_file())?;
        Some(Self {
            subdir: subdir.to_owned(),
            path,
            beside: Vec::new(),
            form: Form::Repodata,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Database,
    Repodata,
    Shards,
}

/// What is known of a package that was not read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Foreign {
    /// What it tells. Digests that are not known are zero.
    pub(crate) scanned: Scanned,
    /// What of it is known.
    pub(crate) wanted: Wanted,
    /// When the file was changed last, in nanoseconds since 1970, give or take a microsecond.
    pub(crate) mtime_ns: Option<i64>,
    /// When the package came into the index, in milliseconds since 1970 (CEP 47).
    pub(crate) indexed_ms: Option<i64>,
}

/// Hands on what a source knows, in pieces, in the order of the source. `stage` is the listing that
/// counts where a source has several. What cannot be used is passed over.
pub(crate) fn read<E: From<Error>>(
    source: &Source,
    stage: &str,
    take: &mut dyn FnMut(Vec<Foreign>) -> Result<(), E>,
) -> Result<(), E> {
    match source.form {
        Form::Database => database::read(source, stage, take),
        Form::Repodata => repodata::read(source, take),
        Form::Shards => shards::read(source, take),
    }
}

impl Foreign {
    /// A package whose record stays as it is; `run_exports` counts where the record does not tell.
    pub(crate) fn verbatim(file: &str, record: &str, run_exports: String) -> Option<Self> {
        let record = Record::of(Json::parse(record.as_bytes()).ok()?, &[])?;
        let run_exports = record.run_exports.clone().unwrap_or(run_exports);
        record.finish(file, Some(run_exports))
    }
}

/// What of a record comes from the indexer that wrote it, and not from the package.
struct Record {
    /// The rest, in the dialect.
    text: String,
    told: Told,
    run_exports: Option<String>,
    indexed_ms: Option<i64>,
}

/// What a record tells of the package's bytes.
#[derive(Default)]
struct Told {
    md5: Option<Md5>,
    sha256: Option<Sha256>,
    size: Option<u64>,
    /// As the record has it: old ones have seconds.
    timestamp: Option<i64>,
}

impl Told {
    /// Takes a member in.
    fn add(&mut self, key: &str, value: &str) {
        let digits = || value.strip_prefix('"')?.strip_suffix('"');
        match key {
            "md5" => self.md5 = digits().and_then(|digits| digits.parse().ok()),
            "sha256" => self.sha256 = digits().and_then(|digits| digits.parse().ok()),
            "size" => self.size = value.parse().ok(),
            "timestamp" => self.timestamp = value.parse().ok(),
            _ => {}
        }
    }
}

impl Record {
    /// Takes the record of an indexer apart; `None` where it is no object.
    fn new(record: Json) -> Option<Self> {
        let indexed_ms = match &record {
            Json::Map(map) => match map.get(INDEXED) {
                Some(Json::Integer(digits)) => digits.parse().ok(),
                _ => None,
            },
            _ => None,
        };
        let left_out: Vec<_> = LEFT_OUT.into_iter().chain([INDEXED]).collect();
        Some(Self {
            indexed_ms,
            ..Self::of(record, &left_out)?
        })
    }

    /// Takes a record apart without some of its members.
    fn of(record: Json, left_out: &[&str]) -> Option<Self> {
        let Json::Map(mut map) = record else {
            return None;
        };
        for key in left_out {
            map.remove(*key);
        }
        let run_exports = map.remove(RUN_EXPORTS).map(|value| text(&value));
        let text = text(&Json::Map(map));
        let mut told = Told::default();
        for (key, value) in fields::fields(&text).map_while(Result::ok) {
            told.add(&key, value);
        }
        Some(Self {
            text,
            told,
            run_exports,
            indexed_ms: None,
        })
    }

    /// The package, as far as the record tells; `None` where the name is none of a package.
    fn finish(self, file: &str, run_exports: Option<String>) -> Option<Foreign> {
        let kind = Kind::from_file_name(file).filter(|_| is_file_name(file))?;
        let Told {
            md5,
            sha256,
            size,
            timestamp,
        } = self.told;
        let run_exports = run_exports.or(self.run_exports);
        Some(Foreign {
            wanted: Wanted {
                digests: md5.is_some() && sha256.is_some() && size.is_some(),
                run_exports: run_exports.is_some(),
                details: false,
            },
            mtime_ns: None,
            indexed_ms: self.indexed_ms,
            scanned: Scanned {
                file: file.to_owned(),
                kind,
                md5: md5.unwrap_or(Md5([0; 16])),
                sha256: sha256.unwrap_or(Sha256([0; 32])),
                size: size.unwrap_or(0),
                // When it was built.
                mtime_ns: date::milliseconds(timestamp.unwrap_or(0)).saturating_mul(1_000_000),
                record: self.text,
                // An empty one is what a package without one comes to.
                run_exports: run_exports.filter(|text| text != "{}"),
                about: None,
                post_install: PostInstall::default(),
                recipe: None,
                icon: None,
            },
        })
    }
}

fn text(value: &Json) -> String {
    let mut text = String::new();
    value.write(&mut text);
    text
}

/// The platform that a path is of, from the name of the folder.
fn subdir_of(folder: &Path) -> Option<String> {
    let name = folder.file_name()?.to_str()?;
    crate::index::SUBDIRS
        .contains(&name)
        .then(|| name.to_owned())
}
