//! Sharded repodata (CEP 16, `run_exports` in it by CEP 21): one compressed file for all packages of a
//! name, and an index of them. Same records, same bytes, so that a shard's digest says whether it
//! changed. The files mean what conda-index's mean; where they lie is the caller's business.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read as _};

use archive::digest::Sha256;
use archive::package::Kind;

use super::compress::{self, Packer};
use super::patch::Instructions;
use super::repodata::{Head, Revision, fields};
use crate::json::Json;

mod msgpack;
#[cfg(test)]
mod tests;
mod text;

/// The index's file name.
pub(crate) const INDEX: &str = "repodata_shards.msgpack.zst";

/// From this decompressed size on, in bytes, conda up to 26.7.0 refuses a shard.
pub(crate) const LARGE: usize = 16 << 20;

/// conda-index's level. On single shards higher ones gain next to nothing.
const LEVEL: i32 = 3;

/// An index is not decompressed beyond this size, which is also conda's limit.
const INDEX_LIMIT: u64 = 128 << 20;

/// All packages of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shard {
    /// The content of the file.
    pub(crate) bytes: Vec<u8>,
    /// The file's digest, which is its name.
    pub(crate) sha256: Sha256,
    /// The length before compression, in bytes.
    pub(crate) decompressed: usize,
}

/// A package and its record as the instructions leave it; `None` where they take it out.
pub(crate) type Entry<'a> = (Kind, &'a str, Option<Record<'a>>);

/// A record with `run_exports`.
#[derive(Debug, Clone)]
pub(crate) enum Record<'a> {
    /// As they changed it ([`super::patch::Instructions::shard_record`]).
    Changed(BTreeMap<String, Json>),
    /// As the package has it: the text in the dialect, and that of `run_exports`.
    Unchanged(&'a str, &'a str),
}

/// The name of a shard's file.
pub(crate) fn file_name(sha256: &Sha256) -> String {
    format!("{sha256}.msgpack.zst")
}

/// The name whose shard a record in the dialect belongs to: its `name` before any patch, or else the one
/// in the file name.
pub(crate) fn name<'a>(file: &'a str, record: &'a str) -> Cow<'a, str> {
    let by_file = || archive::package::split_file_name(file).map(|(name, _, _)| name.into());
    fields::field_of_sorted(record, "name")
        .and_then(fields::string)
        .or_else(by_file)
        .unwrap_or(Cow::Borrowed(file))
}

/// The shard of one name. `entries` must be sorted by file name; with `v3` the records stand below
/// that key, as conda-index's `--repodata-next` has them.
pub(crate) fn shard(entries: &[Entry<'_>], v3: bool, packer: &mut Packer) -> io::Result<Shard> {
    // Most records are in it as text for the greatest part.
    let length = entries
        .iter()
        .filter_map(|(_, file, record)| match record.as_ref()? {
            Record::Changed(_) => None,
            Record::Unchanged(record, run_exports) => {
                Some(file.len() + record.len() + run_exports.len())
            }
        });
    let mut plain = Vec::with_capacity(length.sum::<usize>() + 64);
    let mut removed: Vec<_> = entries
        .iter()
        .filter(|(_, _, record)| record.is_none())
        .map(|(_, file, _)| *file)
        .collect();
    removed.sort_unstable();
    msgpack::map_header(
        2 + usize::from(v3) + usize::from(!removed.is_empty()),
        &mut plain,
    );
    for (key, kind) in [("packages", Kind::TarBz2), ("packages.conda", Kind::Conda)] {
        msgpack::string(key, &mut plain);
        section(entries, (!v3).then_some(kind), false, &mut plain)?;
    }
    if v3 {
        msgpack::string("v3", &mut plain);
        msgpack::map_header(3, &mut plain);
        for (key, kind) in [
            ("tar.bz2", Some(Kind::TarBz2)),
            ("conda", Some(Kind::Conda)),
            ("whl", None),
        ] {
            msgpack::string(key, &mut plain);
            section(entries, kind, true, &mut plain)?;
        }
    }
    if !removed.is_empty() {
        msgpack::string("removed", &mut plain);
        msgpack::list_header(removed.len(), &mut plain);
        for file in removed {
            msgpack::string(file, &mut plain);
        }
    }
    let bytes = packer.zst(&plain, LEVEL)?;
    Ok(Shard {
        sha256: Sha256::of(&bytes),
        bytes,
        decompressed: plain.len(),
    })
}

/// The index. `created_at` is in the form of `2022-01-01T00:00:00Z`; `shards` must be sorted by name,
/// without doubles.
pub(crate) fn index(
    head: &Head<'_>,
    created_at: &str,
    shards: &[(&str, Sha256)],
) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    msgpack::map_header(3, &mut plain);
    msgpack::string("version", &mut plain);
    msgpack::unsigned(1, &mut plain);
    msgpack::string("info", &mut plain);
    let relations = head
        .channel_relations
        .and_then(|relations| Json::parse(relations.as_bytes()).ok());
    msgpack::map_header(
        4 + usize::from(relations.is_some()) + usize::from(head.v3.is_some()),
        &mut plain,
    );
    for (key, text) in [
        ("base_url", head.base_url.unwrap_or_default()),
        ("shards_base_url", ""),
        ("created_at", created_at),
        ("subdir", head.subdir),
    ] {
        msgpack::string(key, &mut plain);
        msgpack::string(text, &mut plain);
    }
    if let Some(relations) = relations {
        msgpack::string("channel_relations", &mut plain);
        msgpack::value(&relations, &mut plain);
    }
    if let Some(revision) = head.v3 {
        msgpack::string("repodata_revisions", &mut plain);
        msgpack::value(&revisions(revision), &mut plain);
    }
    msgpack::string("shards", &mut plain);
    msgpack::map_header(shards.len(), &mut plain);
    for (name, sha256) in shards {
        msgpack::string(name, &mut plain);
        msgpack::binary(&sha256.0, &mut plain);
    }
    compress::zst(&plain, LEVEL)
}

/// The `created_at` of an index that is in place: an index that is made with it again has the same
/// bytes unless something else changed.
pub(crate) fn created_at(index: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"\xaacreated_at";
    let mut plain = Vec::new();
    let decoder = zstd::Decoder::with_buffer(index).ok()?;
    decoder.take(INDEX_LIMIT).read_to_end(&mut plain).ok()?;
    // It stands before the shards, whose names could be anything.
    let begin = plain.get(..plain.len().min(64 << 10))?;
    let at = begin.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let length = usize::from(plain.get(at)?.checked_sub(0xa0)?);
    let text = plain.get(at + 1..at + 1 + length)?;
    String::from_utf8(text.to_vec()).ok()
}

fn section(
    entries: &[Entry<'_>],
    wanted: Option<Kind>,
    stems: bool,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let records = || {
        entries
            .iter()
            .filter(|(kind, _, _)| Some(*kind) == wanted)
            .filter_map(|(_, file, record)| Some((*file, record.as_ref()?)))
    };
    msgpack::map_header(records().count(), out);
    for (file, record) in records() {
        let extension = wanted.map_or("", Kind::extension);
        let key = if stems {
            file.strip_suffix(extension).unwrap_or(file)
        } else {
            file
        };
        msgpack::string(key, out);
        match record {
            Record::Changed(members) => changed(members, out),
            Record::Unchanged(record, run_exports) => {
                let start = out.len();
                if text::record(record, run_exports, out).is_none() {
                    out.truncate(start);
                    changed(&members(record, run_exports)?, out);
                }
            }
        }
    }
    Ok(())
}

fn changed(members: &BTreeMap<String, Json>, out: &mut Vec<u8>) {
    msgpack::map_header(members.len(), out);
    for (key, value) in members {
        msgpack::string(key, out);
        match (&**key, value) {
            ("md5" | "sha256", Json::Text(digits)) => digest(digits, out),
            _ => msgpack::value(value, out),
        }
    }
}

/// The members of a record that stays as it is.
fn members(record: &str, run_exports: &str) -> io::Result<BTreeMap<String, Json>> {
    let record = Instructions::default().shard_record("", record, Some(run_exports));
    let record = record.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(record.unwrap_or_default())
}

/// A digest as bytes. What is none, because a patch made it so, stays what it is.
fn digest(digits: &str, out: &mut Vec<u8>) {
    // Without an end before the last one, several are looked at in one step.
    let are_digits = |sound: bool, digit: u8| sound & digit.is_ascii_hexdigit();
    let is_sound = !digits.is_empty()
        && digits.len().is_multiple_of(2)
        && digits.bytes().fold(true, are_digits);
    if !is_sound {
        return msgpack::string(digits, out);
    }
    // Letters have a bit that digits have not, and begin with 1.
    let value = |digit: u8| (digit & 15) + 9 * (digit >> 6);
    msgpack::binary_header(digits.len() / 2, out);
    let start = out.len();
    out.resize(start + digits.len() / 2, 0);
    let bytes = out.get_mut(start..).unwrap_or_default();
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = pair.iter().fold(0, |byte, digit| byte << 4 | value(*digit));
    }
}

fn revisions(revision: Revision) -> Json {
    let (packages, oldest, newest) = revision.parts();
    let time = |time: Option<i64>| time.map_or(Json::Null, |time| Json::Integer(time.to_string()));
    let parts = BTreeMap::from([
        ("n_packages".to_owned(), Json::Integer(packages.to_string())),
        ("oldest".to_owned(), time(oldest)),
        ("newest".to_owned(), time(newest)),
    ]);
    Json::Map(BTreeMap::from([("v3".to_owned(), Json::Map(parts))]))
}
