//! A channel in a bucket: each answer is one or two requests to the store, and nothing is kept here, so that any number of
//! servers may stand before the same bucket. Packages come there by `upload`, everything else by the indexer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use channel::Location;
use fetch::s3::{Bucket, Error, Object};
use http::StatusCode;

use crate::body::Body;
use crate::error::chain;
use crate::file::{self, Asked, Described};
use crate::log::Log;
use crate::reply::{self, Reply};

/// How often an object is looked at that is replaced meanwhile.
const ATTEMPTS: usize = 3;

/// A folder in a bucket.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    bucket: Arc<Bucket>,
    /// What all keys begin with, before a slash; may be empty.
    prefix: String,
}

impl Objects {
    /// Connects, and looks whether the bucket may be read.
    pub(crate) fn open(bucket: &str, prefix: &str) -> Result<Self, Error> {
        let bucket = Bucket::open(bucket)?;
        bucket.list_folder(prefix)?;
        Ok(Self {
            bucket,
            prefix: prefix.to_owned(),
        })
    }

    /// Answers from the bucket.
    pub(crate) async fn answer(&self, log: &Log, asked: Asked<'_>) -> Reply {
        match self.attempt(asked).await {
            Ok(reply) => reply,
            Err(error) => {
                log.note("warning", &chain(&error));
                let second = Duration::from_secs(1);
                let message = "the store of the channel does not answer as it should";
                reply::later(StatusCode::BAD_GATEWAY, message, second)
            }
        }
    }

    async fn attempt(&self, asked: Asked<'_>) -> Result<Reply, Error> {
        let mut parts: Vec<&str> = asked.parts.iter().map(String::as_str).collect();
        if asked.is_folder || parts.is_empty() {
            parts.push(file::PAGE);
        }
        let name = parts.last().copied().unwrap_or_default();
        for _ in 0..ATTEMPTS {
            let Some(object) = self.find(&parts).await? else {
                break;
            };
            let described = Described {
                name,
                tag: &object.etag,
                modified: modified(&object),
                length: object.size,
                coding: None,
                varies: false,
            };
            let Ok((mut reply, part)) = file::describe(&described, asked) else {
                break;
            };
            let Some((start, end)) = part else {
                return Ok(reply);
            };
            // Another version than the one that was looked at has another tag.
            if let Some(pieces) = self.bucket.pieces(&object, start..end).await? {
                *reply.body_mut() = Body::pieces(pieces, end - start);
                return Ok(reply);
            }
        }
        let page: Vec<&str> = parts.iter().copied().chain([file::PAGE]).collect();
        if !asked.is_folder && !name.contains('.') && self.find(&page).await?.is_some() {
            return Ok(file::folder_of(name));
        }
        Ok(reply::not_found())
    }

    async fn find(&self, parts: &[&str]) -> Result<Option<Object>, Error> {
        self.bucket.look(&self.key(parts)).await
    }

    /// The key of what is below the folder under these names.
    pub(crate) fn key(&self, parts: &[&str]) -> String {
        let above = Some(self.prefix.as_str()).filter(|prefix| !prefix.is_empty());
        let key: Vec<&str> = above.into_iter().chain(parts.iter().copied()).collect();
        key.join("/")
    }

    pub(crate) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// The folder, as the indexer is told of it.
    pub(crate) fn location(&self) -> Location {
        Location::S3 {
            bucket: self.bucket.name().to_owned(),
            prefix: self.prefix.clone(),
        }
    }
}

fn modified(object: &Object) -> SystemTime {
    let since = Duration::from_nanos(u64::try_from(object.modified_ns).unwrap_or(0));
    SystemTime::UNIX_EPOCH + since
}
