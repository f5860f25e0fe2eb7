//! The index files of one platform's folder against each other: compressed forms against the files that they stand
//! for, shards and `current_repodata.json` against `repodata.json`.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::Path;

use archive::digest::Sha256;
use rayon::prelude::*;

use super::{Error, Fault, Problem};
use crate::error::chain;
use crate::import::shards::{Index, sections};
use crate::json::Json;
use crate::output::shards::{INDEX, file_name};
use crate::text::Text;

/// Files that may have compressed forms beside them.
const COMPRESSED: [&str; 4] = [
    "repodata.json",
    "repodata_from_packages.json",
    "current_repodata.json",
    "run_exports.json",
];

/// What `repodata.json` does not have of a record, and others do.
const ELSEWHERE: [&str; 3] = ["run_exports", "legacy_bz2_md5", "legacy_bz2_size"];

/// Compares all index files; the records of the folder, if it has an index that can be read.
pub(super) fn compare(
    folder: &Path,
    subdir: &str,
    problems: &mut Vec<Problem>,
) -> Result<Option<Text>, Error> {
    let mut found = Vec::new();
    for name in COMPRESSED {
        compare_compressed(folder, name, &mut found)?;
    }
    let mut records = parse(folder, "repodata.json", &mut found)?;
    if let Some(current) = parse(folder, "current_repodata.json", &mut found)? {
        let fault = records
            .as_ref()
            .and_then(|records| differs(records, &all(&current)));
        found.extend(fault.map(|fault| ("current_repodata.json".to_owned(), fault)));
    }
    parse(folder, "repodata_from_packages.json", &mut found)?;
    if folder.join(INDEX).exists() {
        let told = compare_shards(folder, records.as_ref(), &mut found);
        if records.is_none() && !folder.join("repodata.json").exists() {
            records = told;
        }
    }
    let with_folder = |(name, fault)| Problem::new(format!("{subdir}/{name}"), fault);
    problems.extend(found.into_iter().map(with_folder));
    Ok(records)
}

/// Looks at the channel's own file.
pub(super) fn compare_channeldata(
    channel: &Path,
    problems: &mut Vec<Problem>,
) -> Result<(), Error> {
    let name = "channeldata.json";
    let Some(text) = read(&channel.join(name))? else {
        return Ok(());
    };
    if let Err(reason) = check_json(&text) {
        problems.push(Problem::new(name.to_owned(), Fault::Unreadable { reason }));
    }
    Ok(())
}

/// Whether bytes are JSON to the last one; or why not.
fn check_json(bytes: &[u8]) -> Result<(), String> {
    let read = serde_json::from_slice::<serde::de::IgnoredAny>(bytes);
    read.map(drop).map_err(|error| error.to_string())
}

type Found = Vec<(String, Fault)>;

fn parse(folder: &Path, name: &str, found: &mut Found) -> Result<Option<Text>, Error> {
    let Some(bytes) = read(&folder.join(name))? else {
        return Ok(None);
    };
    let text = check_json(&bytes)
        .and_then(|()| String::from_utf8(bytes).map_err(|error| error.to_string()))
        .and_then(|text| Text::parse(text).map_err(|error| error.to_string()));
    match text {
        Ok(text) => Ok(Some(text)),
        Err(reason) => {
            found.push((name.to_owned(), Fault::Unreadable { reason }));
            Ok(None)
        }
    }
}

/// Compares a file with its compressed forms.
fn compare_compressed(folder: &Path, name: &str, found: &mut Found) -> Result<(), Error> {
    let plain = folder.join(name);
    let failed = |source| Error::Read {
        path: plain.clone(),
        source,
    };
    for ending in [".zst", ".bz2"] {
        let path = format!("{name}{ending}");
        let Ok(packed) = fs_err::File::open(folder.join(&path)) else {
            continue;
        };
        let packed: Box<dyn Read> = match ending {
            ".zst" => Box::new(zstd::Decoder::new(packed).map_err(failed)?),
            _ => Box::new(bzip2::read::MultiBzDecoder::new(packed)),
        };
        let whole = match fs_err::File::open(&plain) {
            Ok(whole) => whole,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                found.push((name.to_owned(), Fault::Missing));
                return Ok(());
            }
            Err(error) => return Err(failed(error)),
        };
        match is_same(packed, whole) {
            Ok(true) => {}
            Ok(false) => {
                let other = name.to_owned();
                let what = "it unpacks to something else".to_owned();
                found.push((path, Fault::Differs { other, what }));
            }
            Err(error) => {
                let reason = error.to_string();
                found.push((path, Fault::Unreadable { reason }));
            }
        }
    }
    Ok(())
}

/// Whether two readers have the same bytes. Of a longer one no more is read.
fn is_same(mut one: impl Read, mut other: impl Read) -> io::Result<bool> {
    let (mut left, mut right) = (vec![0; 256 << 10], vec![0; 256 << 10]);
    loop {
        let count = fill(&mut one, &mut left)?;
        if fill(&mut other, &mut right)? != count || left.get(..count) != right.get(..count) {
            return Ok(false);
        }
        if count < left.len() {
            return Ok(true);
        }
    }
}

fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Compares shards with their names and with `repodata.json`; without that, what they say takes its place.
fn compare_shards(folder: &Path, records: Option<&Text>, found: &mut Found) -> Option<Text> {
    let index = match Index::read(&folder.join(INDEX)) {
        Ok(index) => index,
        Err(error) => {
            let reason = chain(&error);
            found.push((INDEX.to_owned(), Fault::Unreadable { reason }));
            return None;
        }
    };
    let base = index.shards_base_url.trim_end_matches('/');
    if base.contains("://") || base.starts_with('/') {
        return None;
    }
    let place = folder.join(base);
    let shards: Vec<_> = index.shards.iter().collect();
    let read: Vec<Result<_, _>> = shards
        .par_iter()
        .map(|(name, sha256)| {
            let name_of_file = file_name(sha256);
            read_shard(&place.join(&name_of_file), sha256)
                .map_err(|fault| (format!("{name_of_file} ({name})"), fault))
        })
        .collect();
    let mut told = Vec::new();
    let mut is_whole = true;
    for shard in read {
        match shard {
            Ok(records) => told.extend(records),
            Err(fault) => {
                is_whole = false;
                found.push(fault);
            }
        }
    }
    let Some(records) = records else {
        let mut text = Text::default();
        text.base_url = index.base_url;
        for (file, record) in told {
            text.push(&file, &record);
        }
        return Some(text);
    };
    let fault = differs(records, &told).or_else(|| {
        let lacks = is_whole && told.len() != records.len();
        lacks.then(|| Fault::Differs {
            other: "repodata.json".to_owned(),
            what: format!(
                "there are {} packages instead of {}",
                told.len(),
                records.len()
            ),
        })
    });
    found.extend(fault.map(|fault| (INDEX.to_owned(), fault)));
    None
}

fn read_shard(path: &Path, sha256: &Sha256) -> Result<Vec<(String, Json)>, Fault> {
    let bytes = match fs_err::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Fault::Missing),
        Err(error) => {
            let reason = error.to_string();
            return Err(Fault::Unreadable { reason });
        }
    };
    let found = Sha256::of(&bytes);
    if found != *sha256 {
        return Err(Fault::Digest {
            algorithm: "sha256",
            expected: sha256.to_string(),
            found: found.to_string(),
        });
    }
    let shard = sections(path).map_err(|error| Fault::Unreadable {
        reason: chain(&error),
    })?;
    Ok(shard.records)
}

fn all(text: &Text) -> Vec<(String, Json)> {
    let rows = 0..u32::try_from(text.len()).unwrap_or(u32::MAX);
    let record = |row| {
        let record = Json::parse(text.record(row).as_bytes()).unwrap_or(Json::Null);
        (text.file(row).to_owned(), record)
    };
    rows.into_par_iter().map(record).collect()
}

/// The first record that `repodata.json` does not have, or otherwise.
fn differs(records: &Text, told: &[(String, Json)]) -> Option<Fault> {
    let rows = 0..u32::try_from(records.len()).unwrap_or(u32::MAX);
    let rows: HashMap<&str, u32> = rows.map(|row| (records.file(row), row)).collect();
    let problem = |(file, record): &(String, Json)| {
        let Some(row) = rows.get(file.as_str()) else {
            return Some(format!("{file} is not there"));
        };
        let expected = Json::parse(records.record(*row).as_bytes());
        let is_same = expected.is_ok_and(|expected| is_one(&expected, record));
        (!is_same).then(|| format!("the record of {file} is another"))
    };
    let what = told.par_iter().find_map_first(problem)?;
    Some(Fault::Differs {
        other: "repodata.json".to_owned(),
        what,
    })
}

/// Whether two records say the same, apart from what one of them need not say.
fn is_one(expected: &Json, record: &Json) -> bool {
    match (expected, record) {
        (Json::Map(expected), Json::Map(record)) => {
            let is_more =
                |key: &String| !ELSEWHERE.contains(&key.as_str()) || expected.contains_key(key);
            let told = record.iter().filter(|(key, _)| is_more(key));
            expected.iter().eq(told)
        }
        _ => expected == record,
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs_err::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read {
            path: path.to_owned(),
            source,
        }),
    }
}
