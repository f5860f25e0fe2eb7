//! What others know, in the forms in which they keep it, whole and damaged.

use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;
use rusqlite::Connection;

use super::{Error, Foreign, Source, find, read};
use crate::scan::Wanted;

/// The tables of conda-index 0.13 (`convert_cache.create`).
const TABLES: &str = "
    CREATE TABLE about (path TEXT PRIMARY KEY, about BLOB);
    CREATE TABLE index_json (path TEXT PRIMARY KEY, index_json BLOB,
        name AS (json_extract(index_json, '$.name')), sha256 AS (json_extract(index_json, '$.sha256')));
    CREATE TABLE recipe (path TEXT PRIMARY KEY, recipe BLOB);
    CREATE TABLE recipe_log (path TEXT PRIMARY KEY, recipe_log BLOB);
    CREATE TABLE run_exports (path TEXT PRIMARY KEY, run_exports BLOB);
    CREATE TABLE post_install (path TEXT PRIMARY KEY, post_install BLOB);
    CREATE TABLE icon (path TEXT PRIMARY KEY, icon_png BLOB);
    CREATE TABLE stat (stage TEXT NOT NULL DEFAULT 'indexed', path TEXT NOT NULL, mtime NUMBER, size INTEGER,
        sha256 TEXT, md5 TEXT, last_modified TEXT, etag TEXT);
    CREATE UNIQUE INDEX idx_stat ON stat (path, stage);";

const RECORD: &str = r#"{"name":"a","version":"1","arch":"x86_64","timestamp":1600000000,"size":7,
    "md5":"00112233445566778899aabbccddeeff","indexed_timestamp":9,"run_exports":{"weak":["a"]},
    "sha256":"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"}"#;

const WITHOUT_ARCH: &str = r#"{"md5":"00112233445566778899aabbccddeeff","name":"a","sha256":"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff","size":7,"timestamp":1600000000,"version":"1"}"#;

fn taken(path: &Path, stage: &str) -> Result<Vec<Foreign>, Error> {
    let mut found = Vec::new();
    for source in find(path)? {
        read::<Error>(&source, stage, &mut |foreign| {
            found.extend(foreign);
            Ok(())
        })?;
    }
    Ok(found)
}

fn put(path: &Path, text: impl AsRef<[u8]>) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, text).unwrap();
}

fn database(path: &Path, version: u32, rows: &str) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    let database = Connection::open(path).unwrap();
    let text = format!("{TABLES} PRAGMA user_version = {version}; {rows}");
    database.execute_batch(&text).unwrap();
}

fn all(digests: bool) -> Wanted {
    Wanted {
        digests,
        run_exports: true,
        details: true,
    }
}

#[test]
fn records_lose_what_their_indexer_added() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("noarch/repodata.json");
    let others = r#""b-1-0.conda":{"md5":"0","size":-1,"timestamp":"x"},"c.txt":{},"d-1-0.conda":[],"e-1-0.conda":{"x":1e999},".f-1-0.conda":{}"#;
    let text = format!(
        r#"{{"packages.conda":{{"a-1-0.conda":{RECORD},{others}}},"v3":{{"tar.bz2":{{"g-1-0":{{}}}},"whl":{{"h":[]}}}},"info":7,"z":[{{}}]}}"#
    );
    put(&path, text);
    let found = taken(&path, "").unwrap();
    let names: Vec<_> = found.iter().map(|one| one.scanned.file.as_str()).collect();
    assert_eq!(names, ["a-1-0.conda", "b-1-0.conda", "g-1-0.tar.bz2"]);
    let first = &found[0];
    assert_eq!(first.scanned.record, WITHOUT_ARCH);
    assert_eq!(
        first.scanned.run_exports.as_deref(),
        Some(r#"{"weak":["a"]}"#)
    );
    assert_eq!(first.indexed_ms, Some(9));
    assert_eq!(first.scanned.mtime_ns, 1_600_000_000_000_000_000);
    assert!(first.wanted.digests && first.wanted.run_exports && !first.wanted.details);
    assert_eq!(found[1].wanted, Wanted::default());
    assert_eq!(found[1].scanned.size, 0);
}

#[test]
fn a_cache_tells_what_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("noarch/.cache/cache.db");
    let rows = format!(
        r#"INSERT INTO index_json (path, index_json) VALUES ('a-1-0.conda', '{RECORD}'), ('b-1-0.conda', '{RECORD}'),
            ('c-1-0.conda', '[1]'), ('d-1-0.conda', '{{"size":1}}'), ('e-1-0.conda', NULL), ('f-1-0.conda', '{RECORD}');
        INSERT INTO stat (stage, path, mtime, size) VALUES ('indexed', 'a-1-0.conda', 1600000000.25, 7),
            ('indexed', 'b-1-0.conda', NULL, 8), ('indexed', 'c-1-0.conda', 1, 1), ('indexed', 'd-1-0.conda', 1, NULL),
            ('indexed', 'e-1-0.conda', 'x', 1), ('md', 'd-1-0.conda', 1, 1), ('fs', 'f-1-0.conda', 1, 7);
        INSERT INTO about VALUES ('a-1-0.conda', '{{"home":"h"}}'), ('b-1-0.conda', '[]');
        INSERT INTO recipe VALUES ('a-1-0.conda', '{{"source":{{"url":"u"}},"build":{{"number":1}}}}');
        INSERT INTO post_install VALUES ('a-1-0.conda', '{{"activate.d":true,"pre_link":false}}');
        INSERT INTO icon VALUES ('a-1-0.conda', x'8950');"#
    );
    database(&path, 2, &rows);
    let found = taken(folder.path(), "indexed").unwrap();
    let names: Vec<_> = found.iter().map(|one| one.scanned.file.as_str()).collect();
    assert_eq!(names, ["a-1-0.conda", "b-1-0.conda", "d-1-0.conda"]);
    let [first, second, third] = &found[..] else {
        unreachable!()
    };
    // A floating-point number of seconds.
    let mtime_ns = first.mtime_ns.unwrap();
    assert!(mtime_ns.abs_diff(1_600_000_000_250_000_000) <= 1000);
    assert_eq!(first.wanted, all(true));
    assert_eq!(first.scanned.record, WITHOUT_ARCH);
    assert_eq!(first.scanned.about.as_deref(), Some(r#"{"home":"h"}"#));
    assert_eq!(
        first.scanned.recipe.as_deref(),
        Some(r#"{"source":{"url":"u"}}"#)
    );
    assert!(first.scanned.post_install.activate_d && !first.scanned.post_install.pre_link);
    assert_eq!(first.scanned.icon.as_deref(), Some(&b"\x89P"[..]));
    // The tables are of a file of another length than the listing.
    assert_eq!((second.mtime_ns, second.wanted), (None, all(false)));
    assert_eq!(second.scanned.about, None);
    // Metadata that was put there without a package.
    assert_eq!(third.wanted, Wanted::default());
    let found = taken(&path, "fs").unwrap();
    assert_eq!(found.len(), 1);
    let error = taken(&path, "clone").unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("no stage `clone`; it has fs, indexed, md")
    );
    assert!(error.is_usage());
}

#[test]
fn caches_of_other_versions() {
    let folder = tempfile::tempdir().unwrap();
    let old = folder.path().join("old/linux-64/.cache/cache.db");
    let rows = format!(
        "INSERT INTO index_json (path, index_json) VALUES ('c/linux-64/a-1-0.conda', '{RECORD}'), ('c/noarch/b-1-0.conda', '{RECORD}');
        INSERT INTO stat (path, mtime, size) VALUES ('c/linux-64/a-1-0.conda', 1, 7), ('c/noarch/b-1-0.conda', 1, 7);"
    );
    database(&old, 0, &rows);
    let found = taken(&folder.path().join("old"), "indexed").unwrap();
    let names: Vec<_> = found.iter().map(|one| one.scanned.file.as_str()).collect();
    assert_eq!(names, ["a-1-0.conda"]);
    let new = folder.path().join("new/linux-64/.cache/cache.db");
    database(&new, 3, "");
    let error = taken(&folder.path().join("new"), "indexed").unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("is of version 3; the newest that is understood is 2")
    );
    // An empty one is one that has read nothing.
    let empty = folder.path().join("empty/linux-64/.cache/cache.db");
    database(&empty, 2, "");
    assert_eq!(taken(&empty, "indexed").unwrap(), []);
}

#[test]
fn the_first_of_several_files_counts() {
    let folder = tempfile::tempdir().unwrap();
    let subdir = folder.path().join("linux-64");
    let source = || -> (String, usize) {
        let found: Vec<Source> = find(folder.path()).unwrap();
        let [source] = &found[..] else { unreachable!() };
        let name = source.path.strip_prefix(&subdir).unwrap();
        (name.display().to_string(), source.beside.len())
    };
    for (added, beside) in [
        ("repodata_shards.msgpack.zst", 0),
        ("repodata.json.bz2", 1),
        ("repodata.json.zst", 1),
        ("repodata.json", 1),
        ("repodata_from_packages.json.zst", 1),
        ("repodata_from_packages.json", 1),
        (".cache/cache.db", 0),
    ] {
        put(&subdir.join(added), "");
        assert_eq!(source(), (added.to_owned(), beside));
    }
    // The folder of a platform, too.
    assert_eq!(find(&subdir).unwrap(), find(folder.path()).unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_damaged_cache_is_an_error_or_tells_less(damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20), cut in any::<Option<prop::sample::Index>>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("noarch/.cache/cache.db");
        let mut rows = String::new();
        for number in 0..200 {
            write!(rows, "INSERT INTO index_json (path, index_json) VALUES ('a-{number}-0.conda', '{RECORD}');").unwrap();
            write!(rows, "INSERT INTO stat (path, mtime, size) VALUES ('a-{number}-0.conda', 1, 7);").unwrap();
        }
        database(&path, 2, &format!("BEGIN; {rows} COMMIT;"));
        let mut bytes = fs_err::read(&path).unwrap();
        for (place, value) in damages {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs_err::write(&path, bytes).unwrap();
        drop(taken(folder.path(), "indexed"));
    }

    #[test]
    fn damaged_repodata_is_an_error_or_tells_less(damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3), cut in any::<Option<prop::sample::Index>>()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("noarch/repodata.json");
        let mut text = format!(r#"{{"info":{{"subdir":"noarch"}},"packages":{{"a-1-0.tar.bz2":{RECORD}}},"packages.conda":{{"a-1-0.conda":{RECORD}}}}}"#).into_bytes();
        for (place, value) in damages {
            let place = place.index(text.len());
            text[place] = value;
        }
        if let Some(cut) = cut {
            text.truncate(cut.index(text.len()));
        }
        put(&path, text);
        if let Ok(found) = taken(folder.path(), "") {
            prop_assert!(found.len() <= 2);
        }
    }
}
