//! Layers that earlier runs left in the cache folder: a blob, and beside it a few lines that say what it is.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use fs_err as fs;
use serde::{Deserialize, Serialize};

use crate::bake::platform::Job;
use crate::error::Error;
use crate::layer::Packed;
use crate::oci::{self, Digest};
use crate::output::Staging;

/// Layers that were not used for so long are removed.
const KEPT: Duration = Duration::from_hours(30 * 24);

/// A layer as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::bake) struct Kept {
    digest: Digest,
    size: u64,
    media_type: String,
    diff_id: Digest,
    unpacked: u64,
    /// Bytes of each package's files.
    sizes: Vec<u64>,
}

impl Kept {
    pub(in crate::bake) fn new(packed: &Packed, sizes: &[u64]) -> Kept {
        Kept {
            digest: packed.digest,
            size: packed.size,
            media_type: packed.media_type.to_owned(),
            diff_id: packed.diff_id,
            unpacked: packed.unpacked,
            sizes: sizes.to_vec(),
        }
    }

    /// The layer; none if its type is not one of ours.
    pub(in crate::bake) fn packed(&self) -> Option<Packed> {
        let media_type = [oci::LAYER_TAR, oci::LAYER_GZIP, oci::LAYER_ZSTD]
            .into_iter()
            .find(|known| **known == self.media_type)?;
        Some(Packed {
            digest: self.digest,
            size: self.size,
            media_type,
            diff_id: self.diff_id,
            unpacked: self.unpacked,
        })
    }
}

/// A layer that is in the image now, and how many bytes each package has in it.
pub(in crate::bake) struct Found {
    pub(in crate::bake) packed: Packed,
    pub(in crate::bake) sizes: Vec<u64>,
}

/// The layers in the cache folder.
pub(in crate::bake) struct Shelf<'a> {
    images: PathBuf,
    staging: &'a Staging,
    /// Whether nothing is kept.
    off: bool,
}

impl<'a> Shelf<'a> {
    pub(in crate::bake) fn of(job: &Job<'_>, staging: &'a Staging) -> Shelf<'a> {
        let options = &job.recipe.options;
        Shelf {
            images: options.cache_dir.join("images"),
            staging,
            off: options.no_cache,
        }
    }

    /// Remembers a layer that is in the image. A cache that cannot be written is none.
    pub(in crate::bake) fn keep(&self, key: &str, found: &Found) {
        if self.off {
            return;
        }
        // The next run builds it again.
        let _ = self.try_keep(key, found);
    }

    fn try_keep(&self, key: &str, found: &Found) -> Result<(), Error> {
        let packed = &found.packed;
        let kept = Kept::new(packed, &found.sizes);
        let path = self.blob(packed.digest);
        let from = self.staging.place(packed.digest);
        let write = |source| Error::Write {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(self.folder().join("blobs")).map_err(write)?;
        // The same file, where the system lets it be: it is checked whenever it is used.
        if !path.exists() && fs::hard_link(&from, &path).is_err() {
            let mut draft = fetch::Draft::beside(&path)?;
            let mut from = fs::File::open(from).map_err(write)?;
            io::copy(&mut from, &mut draft).map_err(write)?;
            draft.publish(&path, 0o644, false)?;
        }
        let path = self.entry(key);
        let mut draft = fetch::Draft::beside(&path)?;
        draft
            .write_all(&oci::canonical(&kept))
            .map_err(|source| Error::Write {
                path: path.clone(),
                source,
            })?;
        draft.publish(&path, 0o644, false)?;
        Ok(())
    }

    /// A layer of an earlier run. One that is not what it was is forgotten.
    pub(in crate::bake) fn kept(&self, key: &str, members: usize) -> Option<Found> {
        if self.off {
            return None;
        }
        let entry = self.entry(key);
        let text = fs::read(&entry).ok()?;
        let kept: Kept = serde_json::from_slice(&text).ok()?;
        let packed = kept.packed()?;
        let path = self.blob(kept.digest);
        // The rest of its bytes may be looked at later.
        let is_long_enough = fs::metadata(&path).is_ok_and(|found| found.len() == kept.size);
        let usable = kept.sizes.len() == members
            && is_long_enough
            && self.staging.adopt(&path, kept.digest).unwrap_or(false);
        if !usable {
            let _ = fs::remove_file(entry);
            let _ = fs::remove_file(path);
            return None;
        }
        // What is used stays.
        for path in [entry, path] {
            if let Ok(file) = fs::OpenOptions::new().append(true).open(path) {
                let _ = file.file().set_modified(SystemTime::now());
            }
        }
        Some(Found {
            packed,
            sizes: kept.sizes,
        })
    }

    fn folder(&self) -> PathBuf {
        self.images.join("layers")
    }

    fn entry(&self, key: &str) -> PathBuf {
        self.folder().join(format!("{key}.json"))
    }

    fn blob(&self, digest: Digest) -> PathBuf {
        self.folder().join("blobs").join(digest.0.to_string())
    }

    /// Removes what was not used for long.
    pub(in crate::bake) fn tidy(&self) {
        let layers = self.folder();
        let folders = [layers.join("blobs"), layers, self.images.join("bases")];
        for folder in folders {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let Ok(found) = entry.metadata() else {
                    continue;
                };
                let age = found.modified().ok().and_then(|then| then.elapsed().ok());
                if found.is_file() && age.is_some_and(|age| age > KEPT) {
                    // Another process may have been quicker.
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
    }
}
