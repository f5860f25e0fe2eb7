//! The place of a package in a bucket: it waits in a nameless file of this machine until it was checked, and is then sent.
//! Two servers before the same bucket never undo each other's work: who makes an object makes it only where there is none.

use std::path::Path;

use archive::digest::{Digests, Sha256};
use fetch::s3::{FileUpload, Headers, Object, Put};

use super::draft::{self, Pieces, Problem};
use super::{Placed, Target, Terms};
use crate::bucket::Objects;
use crate::content;

/// How often it is tried where others write the same package.
const ATTEMPTS: usize = 3;

/// Takes a package; its draft is in the folder `drafts`.
pub(super) fn put(
    objects: &Objects,
    target: &Target,
    terms: Terms,
    pieces: Pieces,
    drafts: &Path,
) -> Result<Placed, Problem> {
    fs_err::create_dir_all(drafts)?;
    // A server that is killed leaves nothing of it.
    let file = tempfile::tempfile_in(drafts)?;
    let digests = draft::take(&file, target, terms, pieces)?;
    let key = objects.key(&[&target.subdir, &target.file]);
    for _ in 0..ATTEMPTS {
        let there = objects.bucket().find(&key)?;
        let placed = match there {
            None => Placed::New,
            Some(there) if is_same(objects, &there, &digests)? => return Ok(Placed::Same),
            Some(_) if terms.force => Placed::Replaced,
            Some(_) => return Ok(Placed::Other),
        };
        let put = objects.bucket().put_file(&FileUpload {
            key: key.clone(),
            file: &file,
            size: digests.length,
            is_new: placed == Placed::New,
            headers: Headers {
                content_type: content::media_type(&target.file),
                cache_control: content::cache_control(&target.file),
            },
        })?;
        // Whoever was quicker is looked at.
        if put != Put::Refused {
            return Ok(placed);
        }
    }
    Err(Problem::Busy)
}

/// Takes a package away; whether it was there.
pub(super) fn delete(objects: &Objects, target: &Target) -> Result<bool, Problem> {
    let key = objects.key(&[&target.subdir, &target.file]);
    if objects.bucket().find(&key)?.is_none() {
        return Ok(false);
    }
    objects.bucket().delete(&key)?;
    Ok(true)
}

/// Whether an object has these bytes: tags of stores are no digests of them.
fn is_same(objects: &Objects, there: &Object, digests: &Digests) -> Result<bool, Problem> {
    if there.size != digests.length {
        return Ok(false);
    }
    let found = Sha256::of_reader(objects.bucket().reader(there.clone()));
    match found {
        Ok(sha256) => Ok(sha256 == digests.sha256),
        Err(error) => match error.downcast::<fetch::s3::Error>() {
            Ok(error) => Err(error.into()),
            Err(error) => Err(error.into()),
        },
    }
}
