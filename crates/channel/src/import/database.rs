//! conda-index's `cache.db`: the tables and what they mean are those of its versions 0.2 to 0.13
//! (`conda_index/index/convert_cache.py`, `sqlitecache.py`). The only place that knows its format.

use std::io::Read as _;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};

use super::{CHUNK, Error, Foreign, Record, Source, text};
use crate::json::Json;
use crate::scan::{Wanted, without_large_keys};
use crate::scanned::PostInstall;

/// The file's name in the `.cache` folder of a platform.
pub(super) const FILE: &str = "cache.db";

/// What files of that format begin with (`SQLite`, "Database File Format", 1.3.1).
const SIGNATURE: &[u8] = b"SQLite format 3\0";

/// `PRAGMA user_version` of the newest form that is understood.
const NEWEST: i64 = 2;

/// The listing of what was read, with the time and the length it had.
const INDEXED: &str = "indexed";

/// Packages that only metadata is known of. Of the others everything was looked for.
const METADATA: &str = "md";

const QUERY: &str = "
    SELECT stat.path, stat.mtime, stat.size, index_json.index_json, run_exports.run_exports,
        about.about, post_install.post_install, recipe.recipe, icon.icon_png,
        EXISTS (SELECT 1 FROM stat AS other WHERE other.stage = ?2 AND other.path = stat.path)
    FROM stat
        JOIN index_json USING (path)
        LEFT JOIN run_exports USING (path)
        LEFT JOIN about USING (path)
        LEFT JOIN post_install USING (path)
        LEFT JOIN recipe USING (path)
        LEFT JOIN icon USING (path)
    WHERE stat.stage = ?1
    ORDER BY stat.path";

/// Whether a file is a database.
pub(super) fn is_one(path: &Path) -> bool {
    let mut start = [0; SIGNATURE.len()];
    fs_err::File::open(path)
        .and_then(|mut file| file.read_exact(&mut start))
        .is_ok_and(|()| start == SIGNATURE)
}

/// Hands on the packages of a listing; of the folder itself, those that were read.
pub(super) fn read<E: From<Error>>(
    source: &Source,
    stage: &str,
    take: &mut dyn FnMut(Vec<Foreign>) -> Result<(), E>,
) -> Result<(), E> {
    let form = |error: rusqlite::Error| Error::Form {
        path: source.path.clone(),
        source: Box::new(error),
    };
    let database = open(&source.path)?;
    let mut query = database.prepare(QUERY).map_err(form)?;
    let mut rows = query.query([stage, METADATA]).map_err(form)?;
    let mut pending = Vec::new();
    let mut found = false;
    while let Some(row) = rows.next().map_err(form)? {
        found = true;
        pending.extend(foreign(row, &source.subdir).map_err(form)?);
        if pending.len() >= CHUNK {
            take(std::mem::take(&mut pending))?;
        }
    }
    if !found && stage != INDEXED {
        return Err(no_stage(source, &database, stage).map_err(form)?.into());
    }
    take(pending)
}

/// Opens a database that nothing is written to. What a damaged or hostile one says is checked, and
/// nothing of it is run.
fn open(path: &Path) -> Result<Connection, Error> {
    let form = |error: rusqlite::Error| Error::Form {
        path: path.to_owned(),
        source: Box::new(error),
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags).map_err(form)?;
    let settings =
        "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA query_only = ON";
    database.execute_batch(settings).map_err(form)?;
    let version: i64 = database
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(form)?;
    if version > NEWEST {
        return Err(Error::Version {
            path: path.to_owned(),
            version,
            newest: NEWEST,
        });
    }
    Ok(database)
}

fn no_stage(source: &Source, database: &Connection, stage: &str) -> Result<Error, rusqlite::Error> {
    let mut query = database.prepare("SELECT DISTINCT stage FROM stat ORDER BY stage")?;
    let stages: Vec<String> = query
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(Error::Stage {
        path: source.path.clone(),
        stage: stage.to_owned(),
        stages: if stages.is_empty() {
            "none".to_owned()
        } else {
            stages.join(", ")
        },
    })
}

fn foreign(row: &Row<'_>, subdir: &str) -> Result<Option<Foreign>, rusqlite::Error> {
    let path = json_text(row.get_ref(0)?).unwrap_or_default();
    // Before version 1, and in databases that were merged, the channel and the platform stand before the
    // file name.
    let (folder, file) = path.rsplit_once('/').unwrap_or((subdir, path));
    if folder.rsplit('/').next() != Some(subdir) {
        return Ok(None);
    }
    let map = |column| {
        Ok::<_, rusqlite::Error>(
            parse(row.get_ref(column)?).filter(|value| matches!(value, Json::Map(_))),
        )
    };
    let Some(record) = map(3)?.and_then(Record::new) else {
        return Ok(None);
    };
    let run_exports = parse(row.get_ref(4)?).map(|value| text(&value));
    let Some(mut foreign) = record.finish(file, run_exports) else {
        return Ok(None);
    };
    let size = match row.get_ref(2)? {
        ValueRef::Integer(size) => u64::try_from(size).ok(),
        _ => None,
    };
    // What is in the other tables belongs to a file of the length that was read.
    foreign.wanted.digests &= size.is_none_or(|size| size == foreign.scanned.size);
    foreign.mtime_ns = match row.get_ref(1)? {
        ValueRef::Integer(seconds) => seconds.checked_mul(1_000_000_000),
        ValueRef::Real(seconds) => nanoseconds(seconds),
        _ => None,
    };
    let only_metadata: bool = row.get(9)?;
    if !only_metadata {
        foreign.wanted = Wanted {
            run_exports: true,
            details: true,
            ..foreign.wanted
        };
        let scanned = &mut foreign.scanned;
        scanned.about = map(5)?.map(|about| text(&about));
        scanned.post_install =
            map(6)?.map_or_else(PostInstall::default, |told| post_install(&told));
        scanned.recipe = map(7)?.map(|recipe| text(&without_large_keys(recipe)));
        scanned.icon = match row.get_ref(8)? {
            ValueRef::Blob(icon) => Some(icon.to_vec()),
            _ => None,
        };
    }
    Ok(Some(foreign))
}

fn json_text(value: ValueRef<'_>) -> Option<&str> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn parse(value: ValueRef<'_>) -> Option<Json> {
    Json::parse(json_text(value)?.as_bytes()).ok()
}

/// Python's seconds. The digits of a double end below a microsecond.
fn nanoseconds(seconds: f64) -> Option<i64> {
    let nanoseconds = seconds * 1e9;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the number is within bounds"
    )]
    (nanoseconds.abs() < 9e18).then_some(nanoseconds.round() as i64)
}

fn post_install(told: &Json) -> PostInstall {
    let is = |key: &str| match told {
        Json::Map(map) => map.get(key) == Some(&Json::Bool(true)),
        _ => false,
    };
    PostInstall {
        binary_prefix: is("binary_prefix"),
        text_prefix: is("text_prefix"),
        activate_d: is("activate.d"),
        deactivate_d: is("deactivate.d"),
        pre_link: is("pre_link"),
        post_link: is("post_link"),
        pre_unlink: is("pre_unlink"),
    }
}
