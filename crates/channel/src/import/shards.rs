//! Sharded repodata (CEP 16) as a source of records and of what packages impose on others.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use archive::digest::Sha256;
use archive::package::{Kind, is_file_name};
use rayon::prelude::*;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::repodata::RunExports;
use super::{Error, Foreign, Record, Source};
use crate::index::ChannelRelations;
use crate::json::Json;
use crate::output::shards::{INDEX, file_name};

/// What an index or a shard may decode to, in bytes: twice what conda takes.
const LIMIT: u64 = 128 << 20;

/// How many shards are read at a time.
const CHUNK: usize = 256;

/// Whether a path is that of an index of shards.
pub(super) fn is_index(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == INDEX)
}

/// Hands on what all shards of an index say.
pub(super) fn read<E: From<Error>>(
    source: &Source,
    take: &mut dyn FnMut(Vec<Foreign>) -> Result<(), E>,
) -> Result<(), E> {
    let finish = |file: &str, record: Record| record.finish(file, None);
    for paths in paths(&source.path)?.chunks(CHUNK) {
        take(records(paths, &finish)?)?;
    }
    Ok(())
}

/// Adds what the packages of all shards impose on others, where nothing else told.
pub(super) fn run_exports(path: &Path, found: &mut RunExports) -> Result<(), Error> {
    for paths in paths(path)?.chunks(CHUNK) {
        let told = records(paths, &|file, record| {
            Some((file.to_owned(), record.run_exports?))
        })?;
        for (file, run_exports) in told {
            found.entry(file).or_insert(run_exports);
        }
    }
    Ok(())
}

/// The platform that an index says it is of.
pub(super) fn subdir(path: &Path) -> Result<Option<String>, Error> {
    Ok(Index::read(path)?.subdir)
}

/// An index of shards.
#[derive(Debug)]
pub(crate) struct Index {
    /// The platform that it says it is of.
    pub(crate) subdir: Option<String>,
    /// Where packages are, relative to the index or not.
    pub(crate) base_url: Option<String>,
    /// Where shards are, relative to the index or not.
    pub(crate) shards_base_url: String,
    /// Other channels that it names (CEP 42).
    pub(crate) relations: ChannelRelations,
    /// The digest of each name's shard.
    pub(crate) shards: BTreeMap<String, Sha256>,
}

impl Index {
    /// Reads the file.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let form = |problem: &str| Error::Form {
            path: path.to_owned(),
            source: problem.into(),
        };
        let Json::Map(mut index) = unpack(path)? else {
            return Err(form("something else than a map"));
        };
        let own = index.get("info");
        let info = |key: &str| text(member(own, key));
        let related = member(own, "channel_relations");
        let relations = ChannelRelations::of(|key| text(member(related, key)));
        let (subdir, base_url) = (info("subdir"), info("base_url"));
        let shards_base_url = info("shards_base_url").unwrap_or_default();
        let Some(Json::Map(shards)) = index.remove("shards") else {
            return Err(form("there is no map of shards"));
        };
        let digest = |(name, digest): (String, Json)| match digest {
            Json::Text(digits) => Some((name, digits.parse().ok()?)),
            _ => None,
        };
        Ok(Self {
            subdir,
            base_url,
            shards_base_url,
            relations,
            shards: shards
                .into_iter()
                .map(digest)
                .collect::<Option<_>>()
                .ok_or_else(|| form("a shard has no digest"))?,
        })
    }
}

fn member<'a>(value: Option<&'a Json>, key: &str) -> Option<&'a Json> {
    match value {
        Some(Json::Map(map)) => map.get(key),
        _ => None,
    }
}

fn text(value: Option<&Json>) -> Option<String> {
    match value {
        Some(Json::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

/// Where the shards of an index lie that is in a folder, in the order of the names.
fn paths(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let index = Index::read(path)?;
    let base = &index.shards_base_url;
    if base.contains("://") || base.starts_with('/') {
        return Err(Error::Form {
            path: path.to_owned(),
            source: "the shards are not in a folder beside the index".into(),
        });
    }
    let folder = path.parent().unwrap_or(Path::new("")).join(base);
    let shards = index.shards.values();
    Ok(shards
        .map(|digest| folder.join(file_name(digest)))
        .collect())
}

/// A shard, taken apart.
#[derive(Default)]
pub(crate) struct Sections {
    /// The records that are not withdrawn, with their file names, which lead nowhere else.
    pub(crate) records: Vec<(String, Json)>,
    /// How many packages are left out, since their file names do.
    pub(crate) refused: usize,
}

/// Takes a shard apart.
pub(crate) fn sections(path: &Path) -> Result<Sections, Error> {
    let Json::Map(mut shard) = unpack(path)? else {
        return Ok(Sections::default());
    };
    let mut records = Vec::new();
    let mut add = |section: Option<Json>, extension: &str| {
        if let Some(Json::Map(section)) = section {
            for (key, record) in section {
                records.push((format!("{key}{extension}"), record));
            }
        }
    };
    add(shard.remove("packages"), "");
    add(shard.remove("packages.conda"), "");
    if let Some(Json::Map(mut v3)) = shard.remove("v3") {
        add(v3.remove("conda"), ".conda");
        add(v3.remove("tar.bz2"), ".tar.bz2");
    }
    let mut refused = 0;
    records.retain(|(file, _)| {
        let is_sound = is_file_name(file);
        refused += usize::from(!is_sound && Kind::from_file_name(file).is_some());
        is_sound
    });
    if let Some(Json::List(removed)) = shard.remove("removed") {
        records.retain(|(file, _)| {
            !removed
                .iter()
                .any(|gone| matches!(gone, Json::Text(gone) if gone == file))
        });
    }
    Ok(Sections { records, refused })
}

/// What `take` makes of the records of some shards.
fn records<T: Send>(
    paths: &[PathBuf],
    take: &(dyn Fn(&str, Record) -> Option<T> + Sync),
) -> Result<Vec<T>, Error> {
    let of_one = |path: &PathBuf| {
        let records = sections(path)?.records.into_iter();
        let made = records.filter_map(|(file, record)| take(&file, Record::new(record)?));
        Ok(made.collect::<Vec<_>>())
    };
    let read: Vec<Vec<T>> = paths.par_iter().map(of_one).collect::<Result<_, Error>>()?;
    Ok(read.into_iter().flatten().collect())
}

fn unpack(path: &Path) -> Result<Json, Error> {
    let form = |source: Box<dyn std::error::Error + Send + Sync>| Error::Form {
        path: path.to_owned(),
        source,
    };
    let bytes = fs_err::read(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let mut plain = Vec::new();
    let unpacked = zstd::Decoder::with_buffer(&*bytes)
        .and_then(|decoder| decoder.take(LIMIT + 1).read_to_end(&mut plain));
    unpacked.map_err(|error| form(error.into()))?;
    if plain.len() as u64 > LIMIT {
        return Err(form(
            io::Error::other("it is above the limit of 128 MiB").into(),
        ));
    }
    let Packed(value) = rmp_serde::from_slice(&plain).map_err(|error| form(error.into()))?;
    Ok(value)
}

/// A value of MessagePack as JSON: bytes, which are digests, become hexadecimal digits.
struct Packed(Json);

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any).map(Packed)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value that JSON has, or bytes")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Integer(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value.to_string()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        if value.is_finite() {
            Ok(Json::Float(value))
        } else {
            Err(E::custom("a number that JSON does not have"))
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Json, E> {
        use fmt::Write as _;
        let mut digits = String::with_capacity(2 * value.len());
        for byte in value {
            // Writing to a String does not fail.
            let _ = write!(digits, "{byte:02x}");
        }
        Ok(Json::Text(digits))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<Json, S::Error> {
        let mut list = Vec::new();
        while let Some(Packed(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Json, M::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, Packed(value))) = members.next_entry::<String, Packed>()? {
            map.insert(key, value);
        }
        Ok(Json::Map(map))
    }
}
