//! The repodata of one platform, written so that readers see the old files or the new ones, and
//! left alone where nothing changed.

use std::fs::Permissions;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::Error;
use crate::json::write_text;

/// conda-index's level.
const LEVEL: i32 = 16;

/// A package's file name and its record as JSON.
pub(crate) type Named = (String, String);

/// `repodata.json`; the records must be sorted by their names.
pub(crate) fn repodata(subdir: &str, tar_bz2: &[Named], conda: &[Named]) -> String {
    let size = |records: &[Named]| -> usize {
        records
            .iter()
            .map(|(name, record)| name.len() + record.len() + 4)
            .sum()
    };
    let mut text = String::with_capacity(size(tar_bz2) + size(conda) + 200);
    text.push_str("{\"info\":{\"subdir\":");
    write_text(subdir, &mut text);
    text.push_str("},\"packages\":");
    section(tar_bz2, &mut text);
    text.push_str(",\"packages.conda\":");
    section(conda, &mut text);
    text.push_str(",\"removed\":[],\"repodata_version\":1}");
    text
}

/// Writes `repodata.json` and `repodata.json.zst` into a folder; whether either was not there yet in
/// this form. Both are complete before the first replaces its predecessor.
pub(crate) fn publish(folder: &Path, repodata: &str) -> Result<bool, Error> {
    let plain = folder.join("repodata.json");
    let packed = folder.join("repodata.json.zst");
    let bytes = repodata.as_bytes();
    let mut replacements = Vec::new();
    if !is_same(&packed, bytes, zstd::Decoder::new) {
        let content = compress(bytes).map_err(|source| Error::Write {
            path: packed.clone(),
            source,
        })?;
        replacements.push((prepare(&packed, &content)?, packed));
    }
    if !is_same(&plain, bytes, Ok) {
        replacements.push((prepare(&plain, bytes)?, plain));
    }
    let changed = !replacements.is_empty();
    for (file, path) in replacements {
        file.persist(&path).map_err(|error| Error::Write {
            path,
            source: error.error,
        })?;
    }
    Ok(changed)
}

fn section(records: &[Named], text: &mut String) {
    text.push('{');
    for (position, (name, record)) in records.iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        write_text(name, text);
        text.push(':');
        text.push_str(record);
    }
    text.push('}');
}

/// One frame that says its size, with a window of 8 MiB at most: clients refuse others.
fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    encoder.set_pledged_src_size(Some(bytes.len() as u64))?;
    encoder.include_checksum(true)?;
    encoder.window_log(archive::package::WINDOW.ilog2())?;
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Whether the file holds these bytes. What cannot be read is not the same.
fn is_same<R: Read>(
    path: &Path,
    bytes: &[u8],
    decode: impl FnOnce(BufReader<fs_err::File>) -> io::Result<R>,
) -> bool {
    let same = || -> io::Result<bool> {
        let mut reader = decode(BufReader::new(fs_err::File::open(path)?))?;
        let mut rest = bytes;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => return Ok(rest.is_empty()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            match buffer.get(..count).and_then(|read| rest.strip_prefix(read)) {
                Some(more) => rest = more,
                None => return Ok(false),
            }
        }
    };
    same().unwrap_or(false)
}

/// A file beside `path` with this content, on disk. It vanishes unless it is renamed.
fn prepare(path: &Path, content: &[u8]) -> Result<tempfile::NamedTempFile, Error> {
    let write = || {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new()
            .prefix(".repodata.")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}
