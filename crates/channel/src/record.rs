//! One package becomes one record: its `info/index.json` and what the file itself tells.

use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use archive::digest::HashingReader;
use archive::package::{Kind, Options, Package};
use fs_err::File;

use crate::Unusable;
use crate::json::{Error, Json};

/// What conda-index leaves out of records (`conda_index/index`, `clear_index_keys` and its peers).
const LEFT_OUT: [&str; 10] = [
    "arch",
    "binstar",
    "has_prefix",
    "machine",
    "mtime",
    "operatingsystem",
    "platform",
    "requires_features",
    "target-triplet",
    "ucs",
];

/// The largest index.json, in bytes: a hundred times what real packages have.
const INDEX_LIMIT: u64 = 4 << 20;

/// The record of the package at `path`, as JSON text.
pub(crate) fn record(path: &Path, kind: Kind) -> Result<String, Unusable> {
    let read = |source| Unusable::Read { source };
    // Opening a pipe would wait for somebody to write into it.
    if !fs_err::metadata(path).map_err(read)?.is_file() {
        return Err(Unusable::NotFile);
    }
    let mut reader = HashingReader::with_md5(File::open(path).map_err(read)?);
    io::copy(&mut reader, &mut io::sink()).map_err(read)?;
    let (mut file, digests) = reader.finish_digests();
    file.seek(SeekFrom::Start(0)).map_err(read)?;

    let options = Options {
        file_limit: INDEX_LIMIT,
        ..Options::default()
    };
    let package = |source| Unusable::Package { source };
    let mut opened = Package::open_with(file, kind, options).map_err(package)?;
    opened.check_whole().map_err(package)?;
    let index = opened.index_json().map_err(package)?;
    let length = opened.into_inner().metadata().map_err(read)?.len();
    if length != digests.length {
        return Err(Unusable::Changed);
    }

    let wrong = |source| Unusable::Index { source };
    let Json::Map(mut record) = Json::parse(&index).map_err(wrong)? else {
        return Err(wrong(Error {
            position: 0,
            problem: "something else than an object",
        }));
    };
    for key in LEFT_OUT {
        record.remove(key);
    }
    if let Some(md5) = digests.md5 {
        record.insert("md5".to_owned(), Json::Text(md5.to_string()));
    }
    record.insert("sha256".to_owned(), Json::Text(digests.sha256.to_string()));
    record.insert("size".to_owned(), Json::Integer(digests.length.to_string()));
    let mut text = String::new();
    Json::Map(record).write(&mut text);
    Ok(text)
}
