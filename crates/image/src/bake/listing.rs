//! What an earlier run found in a base: where the paths of its layers lead, and how they lie in an image. Known by
//! the digests of the layers, so it cannot be out of date. Who has it need not decode the layers again; their
//! bytes are still checked on their way into an image.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use archive::digest::{HashingWriter, Sha256};
use fs_err as fs;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::cache::Kept;
use super::platform::Job;
use crate::base;
use crate::error::Error;
use crate::oci;
use crate::root::Root;

/// Changes when the same layers come to another listing.
const FORMAT: u32 = 1;

/// A longer listing is not kept: it would have to be in memory as text.
const LONGEST: u64 = 64 << 20;

/// Digits of the digest at the end of the file.
const DIGITS: usize = 64;

/// What a base came to.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Listing {
    /// As they lie in the image.
    pub(super) layers: Vec<Kept>,
    pub(super) root: Root,
}

/// Where a listing lies, if it lies anywhere.
pub(super) struct Place(Option<PathBuf>);

impl Place {
    /// The place for what follows from a key.
    pub(super) fn keyed(job: &Job<'_>, key: Sha256) -> Place {
        let options = &job.recipe.options;
        let folder = options.cache_dir.join("images/bases");
        Place((!options.no_cache).then(|| folder.join(format!("{key}.json"))))
    }

    /// The place for the layers of `image`.
    pub(super) fn of(job: &Job<'_>, image: &base::Image) -> Place {
        let layers: Vec<_> = image
            .layers
            .iter()
            .map(|layer| {
                let packing = format!("{:?}", layer.packing);
                json!([layer.digest, layer.diff_id, layer.size, packing])
            })
            .collect();
        let settings = json!({
            "format": FORMAT,
            "program": env!("CARGO_PKG_VERSION"),
            "compression": format!("{:?}", job.recipe.definition.compression),
            "layers": layers,
        });
        Place::keyed(job, Sha256::of(&oci::canonical(&settings)))
    }

    /// The listing. One that is damaged is none.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Option<T> {
        let path = self.0.as_ref()?;
        let file = fs::OpenOptions::new()
            .read(true)
            .append(true)
            .open(path)
            .ok()?;
        let length = file.metadata().ok()?.len();
        if length > LONGEST {
            return None;
        }
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut &file, &mut bytes).ok()?;
        let (text, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGITS)?)?;
        if Sha256::of(text).to_string().as_bytes() != digest {
            return None;
        }
        let listing = serde_json::from_slice(text).ok()?;
        // What is used stays.
        let _ = file.file().set_modified(SystemTime::now());
        Some(listing)
    }

    /// Remembers a listing. A cache that cannot be written is none.
    pub(super) fn write<T: Serialize>(&self, listing: &T) {
        if let Some(path) = &self.0 {
            // The next run reads the base again.
            let _ = write(path, listing);
        }
    }
}

fn write<T: Serialize>(path: &Path, listing: &T) -> Result<(), Error> {
    let cannot = |source| Error::Write {
        path: path.to_owned(),
        source,
    };
    let draft = fetch::Draft::beside(path)?;
    let mut sink = HashingWriter::new(io::BufWriter::new(draft));
    serde_json::to_writer(&mut sink, listing).map_err(|error| cannot(error.into()))?;
    let (mut sink, sha256, length) = sink.finish();
    if length + DIGITS as u64 > LONGEST {
        return Ok(());
    }
    write!(sink, "{sha256}").map_err(cannot)?;
    let draft = sink
        .into_inner()
        .map_err(|error| cannot(error.into_error()))?;
    Ok(draft.publish(path, 0o644, false)?)
}
