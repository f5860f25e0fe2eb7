//! What others already know of packages, so that nobody has to read them again: conda-index's `cache.db`,
//! a `repodata.json` (with `run_exports.json` beside it), or shards. What of it is believed, and
//! where it goes, is [`crate::index`]'s business.

use std::path::{Path, PathBuf};

use archive::digest::{Md5, Sha256};
use archive::package::Kind;

use crate::json::Json;
use crate::output::date;
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

/// Records of one platform that a caller has, in place of a file.
pub(crate) trait Given: Sync {
    /// The platform's folder.
    fn subdir(&self) -> &str;

    /// What tells them from all others.
    fn revision(&self) -> Sha256;

    /// Hands them on, in pieces.
    fn read(
        &self,
        take: &mut dyn FnMut(Vec<Foreign>) -> Result<(), crate::Error>,
    ) -> Result<(), crate::Error>;
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
    /// A package whose record is to stay as it is, but for what it imposes on others, which has its own
    /// place. `run_exports` counts where the record does not tell.
    pub(crate) fn verbatim(file: &str, record: &str, run_exports: Option<String>) -> Option<Self> {
        let record = Record::verbatim(Json::parse(record.as_bytes()).ok()?)?;
        let run_exports = record.run_exports.clone().or(run_exports);
        let mut foreign = record.finish(file, run_exports)?;
        foreign.wanted.run_exports = true;
        Some(foreign)
    }
}

/// What of a record comes from the indexer that wrote it, and not from the package.
struct Record {
    map: std::collections::BTreeMap<String, Json>,
    run_exports: Option<String>,
    indexed_ms: Option<i64>,
}

impl Record {
    /// Takes a record apart that is to stay as it is; `None` where it is no object.
    fn verbatim(record: Json) -> Option<Self> {
        let Json::Map(mut map) = record else {
            return None;
        };
        let run_exports = map.remove("run_exports").map(|value| text(&value));
        Some(Self {
            map,
            run_exports,
            indexed_ms: None,
        })
    }

    /// Takes the record of an indexer apart; `None` where it is no object.
    fn new(record: Json) -> Option<Self> {
        let Json::Map(mut map) = record else {
            return None;
        };
        for key in LEFT_OUT {
            map.remove(key);
        }
        let run_exports = map.remove("run_exports").map(|value| text(&value));
        let indexed_ms = match map.remove("indexed_timestamp") {
            Some(Json::Integer(digits)) => digits.parse().ok(),
            _ => None,
        };
        Some(Self {
            map,
            run_exports,
            indexed_ms,
        })
    }

    /// The package, as far as the record tells; `None` where the name is none of a package.
    fn finish(self, file: &str, run_exports: Option<String>) -> Option<Foreign> {
        let kind = Kind::from_file_name(file)?;
        if file.contains(['/', '\0']) || file.starts_with('.') {
            return None;
        }
        let (md5, sha256) = (self.digest("md5"), self.digest("sha256"));
        let size = match self.map.get("size") {
            Some(Json::Integer(digits)) => digits.parse().ok(),
            _ => None,
        };
        let mtime_ns = self.built_ns();
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
                md5: Md5(md5.unwrap_or_default()),
                sha256: Sha256(sha256.unwrap_or_default()),
                size: size.unwrap_or(0),
                mtime_ns,
                record: text(&Json::Map(self.map)),
                // An empty one is what a package without one comes to.
                run_exports: run_exports.filter(|text| text != "{}"),
                about: None,
                post_install: PostInstall::default(),
                recipe: None,
                icon: None,
            },
        })
    }

    fn digest<const LENGTH: usize>(&self, key: &str) -> Option<[u8; LENGTH]> {
        let Some(Json::Text(digits)) = self.map.get(key) else {
            return None;
        };
        let mut bytes = [0; LENGTH];
        if digits.len() != 2 * LENGTH || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(bytes)
    }

    /// When the package was built, in nanoseconds since 1970: old records have seconds.
    fn built_ns(&self) -> i64 {
        let time: i64 = match self.map.get("timestamp") {
            Some(Json::Integer(digits)) => digits.parse().unwrap_or(0),
            _ => 0,
        };
        date::milliseconds(time).saturating_mul(1_000_000)
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
