//! What planning a package costs, kept: scans by the package's digest, and recompressed streams
//! by their own. Everything in it can be thrown away at any time; a damaged entry is made again.

use std::io::Write;
use std::path::{Path, PathBuf};

use fetch::Draft;
use fs_err as fs;

use archive::digest::Sha256;

use crate::Error;
use crate::scan::{self, Part, Scan};

/// A folder that several builds may use at once: every file in it appears by rename.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Uses `folder`, which is made when something is stored.
    pub(crate) fn new(folder: &Path) -> Cache {
        Cache {
            folder: folder.to_owned(),
        }
    }

    /// The scan stored under `key`, if all its recompressed streams are still there.
    pub(crate) fn scan(&self, key: &str) -> Option<Scan> {
        let bytes = fs::read(self.scan_path(key)).ok()?;
        let text = zstd::stream::decode_all(&bytes[..]).ok()?;
        let scan: Scan = serde_json::from_slice(&text).ok()?;
        let sound = |part: &Part| {
            part.cached.as_ref().is_none_or(|name| {
                fs::metadata(self.stream_path(name))
                    .is_ok_and(|file| file.len() == part.offset + part.length)
            })
        };
        scan.parts.iter().all(sound).then_some(scan)
    }

    /// Stores a scan under `key`.
    pub(crate) fn store_scan(&self, key: &str, scan: &Scan) -> Result<(), Error> {
        let path = self.scan_path(key);
        let text = serde_json::to_vec(scan).map_err(|error| Error::Write {
            path: path.clone(),
            source: error.into(),
        })?;
        let write = |source| Error::Write {
            path: path.clone(),
            source,
        };
        let bytes = compress(&text).map_err(write)?;
        let mut file = Draft::beside(&path)?;
        file.write_all(&bytes).map_err(write)?;
        Ok(file.publish(&path, 0o644, false)?)
    }

    /// A file for a recompressed stream, to be handed to [`Cache::store_stream`].
    pub(crate) fn new_stream(&self) -> Result<Draft, Error> {
        Ok(Draft::beside(&self.stream_path("new"))?)
    }

    /// Stores a recompressed stream and returns its name.
    pub(crate) fn store_stream(&self, file: Draft, sha256: Sha256) -> Result<String, Error> {
        let name = format!("{sha256}.zst");
        file.publish(&self.stream_path(&name), 0o644, false)?;
        Ok(name)
    }

    /// Removes a stream that turned out to be damaged, so that the next build makes it again.
    pub(crate) fn discard(path: &Path) {
        // If it cannot be removed, the next build says again that it is damaged.
        let _ = fs::remove_file(path);
    }

    /// Where the stream with this name lies.
    pub(crate) fn stream_path(&self, name: &str) -> PathBuf {
        self.folder.join("streams").join(name)
    }

    fn scan_path(&self, key: &str) -> PathBuf {
        self.folder
            .join(format!("scans-{}", scan::VERSION))
            .join(format!("{key}.json.zst"))
    }
}

/// With a checksum: a scan whose bits have changed must not become an installer.
fn compress(text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(1)?;
    compressor.include_checksum(true)?;
    compressor.compress(text)
}
