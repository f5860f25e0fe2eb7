//! Files that become objects: a small one at once, a longer one in parts, which nobody sees until all of them are there.
//! What fails takes its parts away with it; those of a process that was killed go by the bucket's own rule
//! (`AbortIncompleteMultipartUpload`).

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::{MultipartId, PutMultipartOptions, PutPayload};

use super::{Bucket, Condition, Error, Headers, Put, Requests, SHORT, attributes, error, settings};

/// How long a part is, unless there would be more than [`MOST`]; what is not longer is written at once. Some stores
/// want all parts but the last to be as long as each other, and 5 MiB at least.
const PART: u64 = 8 << 20;

/// How many parts an object may have.
const MOST: u64 = 10_000;

/// How many parts of one file are under way.
const AT_ONCE: usize = 4;

/// How many parts of all files are in memory.
pub(super) const SLOTS: usize = 16;

/// A file that is to be an object.
#[derive(Debug, Clone)]
pub struct FileUpload<'a> {
    /// The whole key.
    pub key: String,
    /// The content.
    pub file: &'a File,
    /// Its length in bytes.
    pub size: u64,
    /// Whether it is written only if there is no object; if not, it replaces what is there.
    pub is_new: bool,
    /// What clients are told of it.
    pub headers: Headers,
}

impl Bucket {
    /// Writes an object of any size. [`Put::Refused`] also where nobody knows whether an earlier try has come to its
    /// end: look at what is there, and begin again if it is another one.
    pub fn put_file(&self, upload: &FileUpload<'_>) -> Result<Put, Error> {
        self.handle().block_on(self.requests.put_file(upload))
    }
}

impl Requests {
    async fn put_file(&self, upload: &FileUpload<'_>) -> Result<Put, Error> {
        if upload.size <= PART {
            let _slot = self.slots.acquire().await;
            let bytes = read(upload, 0, upload.size)?;
            let condition = if upload.is_new {
                Condition::Absent
            } else {
                Condition::None
            };
            return self
                .write(&upload.key, bytes.into(), condition, upload.headers)
                .await;
        }
        let path = self.path(&upload.key)?;
        let options = PutMultipartOptions {
            attributes: attributes(upload.headers),
            ..PutMultipartOptions::default()
        };
        let id = self.store.create_multipart_opts(&path, options).await;
        let id = id.map_err(|error| self.failures.of("write", &upload.key, &error))?;
        let put = match self.send(upload, &path, &id).await {
            Ok(parts) => self.complete(upload, &path, &id, parts).await,
            Err(error) => Err(error),
        };
        if !matches!(put, Ok(Put::Done(_))) {
            // What cannot be taken away now, the bucket's rule takes away.
            let abort = self.store.abort_multipart(&path, &id);
            let _ = tokio::time::timeout(SHORT, abort).await;
        }
        put
    }

    /// Sends all parts.
    async fn send(
        &self,
        upload: &FileUpload<'_>,
        path: &Path,
        id: &MultipartId,
    ) -> Result<Vec<PartId>, Error> {
        let length = part_length(upload.size);
        let mut parts: Vec<(u64, PartId)> = stream::iter(0..upload.size.div_ceil(length))
            .map(|number| async move {
                let _slot = self.slots.acquire().await;
                let start = number * length;
                let payload = read(upload, start, length.min(upload.size - start))?;
                let index = usize::try_from(number).unwrap_or(usize::MAX);
                let part = self
                    .store
                    .put_part(path, id, index, PutPayload::from(payload))
                    .await;
                let part = part.map_err(|error| self.failures.of("write", &upload.key, &error))?;
                Ok((number, part))
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        parts.sort_unstable_by_key(|(number, _)| *number);
        Ok(parts.into_iter().map(|(_, part)| part).collect())
    }

    /// Makes one object of all parts.
    async fn complete(
        &self,
        upload: &FileUpload<'_>,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<Put, Error> {
        let failures = &self.failures;
        let creating = upload
            .is_new
            .then(|| settings::creating(failures.bucket(), failures, &self.store))
            .transpose()?;
        let store = creating.as_ref().unwrap_or(&self.store);
        match store.complete_multipart(path, id, parts).await {
            Ok(result) => Ok(Put::Done(result.e_tag.unwrap_or_default())),
            Err(
                object_store::Error::Precondition { .. }
                | object_store::Error::AlreadyExists { .. },
            ) => Ok(Put::Refused),
            // A request whose answer was lost is repeated, and then there are no parts any more.
            Err(object_store::Error::NotFound { source, .. })
                if !error::is_about_bucket(&*source) =>
            {
                Ok(Put::Refused)
            }
            Err(error) => Err(failures.of("write", &upload.key, &error)),
        }
    }
}

/// How long the parts of an object of this size are.
fn part_length(size: u64) -> u64 {
    /// In bytes.
    const STEP: u64 = 1 << 20;
    PART.max(size.div_ceil(MOST).next_multiple_of(STEP))
}

fn read(upload: &FileUpload<'_>, start: u64, length: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    let read = upload.file.read_exact_at(&mut bytes, start);
    read.map_err(|source| Error::File {
        key: upload.key.clone(),
        source,
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_object_has_too_many_parts() {
        for (size, expected) in [
            (1, PART),
            (PART + 1, PART),
            (PART * MOST, PART),
            (PART * MOST + 1, PART + (1 << 20)),
            (5 << 40, 525 << 20),
        ] {
            let length = part_length(size);
            assert_eq!(length, expected, "{size}");
            assert!(size.div_ceil(length) <= MOST, "{size}");
        }
    }
}
