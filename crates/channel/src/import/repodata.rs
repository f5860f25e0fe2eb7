//! `repodata.json`, read record by record, so that memory does not grow with the channel. It may be
//! compressed, and have records below `v3` (CEP 48). `run_exports.json` has the same form.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::path::Path;

use archive::package::Kind;
use fs_err::File;
use rayon::prelude::*;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{CHUNK, Error, Foreign, Record, Source, shards, text};
use crate::json::Json;

/// How much is read at a time, in bytes.
const BUFFER: usize = 1 << 20;

/// What packages impose on those built with them, by file name.
pub(super) type RunExports = HashMap<String, String>;

/// Hands on what a `repodata.json` says.
pub(super) fn read<E: From<Error>>(
    source: &Source,
    take: &mut dyn FnMut(Vec<Foreign>) -> Result<(), E>,
) -> Result<(), E> {
    let run_exports = run_exports(source)?;
    let mut pass = |raws: Vec<(String, Box<RawValue>)>| {
        let read = raws
            .into_par_iter()
            .filter_map(|(file, value)| foreign(&file, &value, &run_exports))
            .collect();
        take(read)
    };
    let mut pending = Vec::with_capacity(CHUNK);
    let mut failure = None;
    walk(&source.path, &mut |item| {
        if let Item::Record(file, value) = item {
            pending.push((file, value));
        }
        if pending.len() >= CHUNK {
            failure = pass(std::mem::take(&mut pending)).err();
        }
        failure.is_none()
    })?;
    match failure {
        Some(error) => Err(error),
        None => pass(pending),
    }
}

/// The platform that a `repodata.json` says it is of.
pub(super) fn subdir(path: &Path) -> Result<Option<String>, Error> {
    let mut found = None;
    walk(path, &mut |item| match item {
        Item::Subdir(subdir) => {
            found = Some(subdir);
            false
        }
        Item::Record(..) => true,
    })?;
    Ok(found)
}

fn foreign(file: &str, value: &RawValue, run_exports: &RunExports) -> Option<Foreign> {
    let record = Record::new(Json::parse(value.get().as_bytes()).ok()?)?;
    record.finish(file, run_exports.get(file).cloned())
}

fn run_exports(source: &Source) -> Result<RunExports, Error> {
    #[derive(serde::Deserialize)]
    struct Entry<'a> {
        #[serde(borrow)]
        run_exports: &'a RawValue,
    }
    let mut found = RunExports::new();
    for path in &source.beside {
        if shards::is_index(path) {
            shards::run_exports(path, &mut found)?;
            continue;
        }
        walk(path, &mut |item| {
            let Item::Record(file, value) = item else {
                return true;
            };
            let entry = serde_json::from_str::<Entry<'_>>(value.get()).ok();
            let parsed =
                entry.and_then(|entry| Json::parse(entry.run_exports.get().as_bytes()).ok());
            if let Some(parsed) = parsed {
                found.insert(file, text(&parsed));
            }
            true
        })?;
    }
    Ok(found)
}

/// What is come across in a file.
enum Item {
    /// `info.subdir`
    Subdir(String),
    /// A file name and the text of its record.
    Record(String, Box<RawValue>),
}

/// Visits a file's items until `visit` says that it is enough.
fn walk(path: &Path, visit: &mut dyn FnMut(Item) -> bool) -> Result<(), Error> {
    let reader = open(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let reader = BufReader::with_capacity(BUFFER, reader);
    let mut reader = serde_json::Deserializer::from_reader(reader);
    let mut enough = false;
    let mut visit = |item| {
        enough = !visit(item);
        !enough
    };
    let top = Level {
        place: Place::Top,
        visit: &mut visit,
    };
    let walked = top.deserialize(&mut reader).and_then(|()| reader.end());
    match walked {
        Ok(()) => Ok(()),
        Err(_) if enough => Ok(()),
        Err(error) if error.is_io() => Err(Error::Read {
            path: path.to_owned(),
            source: io::Error::from(error),
        }),
        Err(error) => Err(Error::Form {
            path: path.to_owned(),
            source: Box::new(error),
        }),
    }
}

/// The text of a file that may be compressed.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let file = File::open(path)?;
    let ending = path.extension().unwrap_or_default();
    Ok(if ending == "zst" {
        Box::new(zstd::Decoder::new(file)?)
    } else if ending == "bz2" {
        Box::new(bzip2::read::MultiBzDecoder::new(BufReader::new(file)))
    } else {
        Box::new(file)
    })
}

/// Which object of a `repodata.json` is read.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Top,
    /// `v3` (CEP 48)
    Sections,
    /// Records by file name, or by file name without its extension.
    Records(Option<Kind>),
}

impl Place {
    /// The object under a key, if it is one that leads to records.
    pub(crate) fn below(self, key: &str) -> Option<Self> {
        Some(match (self, key) {
            (Self::Top, "packages" | "packages.conda") => Self::Records(None),
            (Self::Top, "v3") => Self::Sections,
            (Self::Sections, "conda") => Self::Records(Some(Kind::Conda)),
            (Self::Sections, "tar.bz2") => Self::Records(Some(Kind::TarBz2)),
            _ => return None,
        })
    }
}

struct Level<'a> {
    place: Place,
    visit: &'a mut dyn FnMut(Item) -> bool,
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(mut self, mut members: M) -> Result<(), M::Error> {
        while let Some(key) = members.next_key::<String>()? {
            if let Some(place) = self.place.below(&key) {
                members.next_value_seed(Level {
                    place,
                    visit: &mut *self.visit,
                })?;
                continue;
            }
            match (self.place, key.as_str()) {
                (Place::Top, "info") => {
                    let info: serde_json::Value = members.next_value()?;
                    if let Some(subdir) = info.get("subdir").and_then(|subdir| subdir.as_str()) {
                        self.pass::<M::Error>(Item::Subdir(subdir.to_owned()))?;
                    }
                }
                (Place::Records(kind), _) => {
                    let value = members.next_value()?;
                    let file = kind.map_or(key.clone(), |kind| format!("{key}{kind}"));
                    self.pass::<M::Error>(Item::Record(file, value))?;
                }
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

impl Level<'_> {
    /// Hands an item on; an error where that was enough.
    fn pass<E: serde::de::Error>(&mut self, item: Item) -> Result<(), E> {
        if (self.visit)(item) {
            Ok(())
        } else {
            Err(E::custom("enough"))
        }
    }
}
