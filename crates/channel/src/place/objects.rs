//! Objects of a bucket below a prefix. A listing tells of all of them at once, and what is written
//! comes to it, so that no object is asked for one by one. An index file is written only where it is still
//! what was listed: what somebody else wrote meanwhile is never lost.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use archive::digest::{Md5, Sha256};
use fetch::s3::{Bucket, Condition, Headers, Object, Put, Upload, Uploads};

use super::{Listed, package_kind};
use crate::Error;
use crate::scan::{Source, Stat};

/// Folders of the channel whose files are made here.
const OURS: [&str; 3] = ["html", "icons", "packages"];

/// A folder in a bucket.
pub(crate) struct Objects {
    bucket: Arc<Bucket>,
    /// What all keys begin with, before a slash.
    prefix: String,
    /// Whether it is a platform's, and so holds packages.
    holds_packages: bool,
    below: Mutex<BTreeMap<String, Arc<Objects>>>,
    listing: Mutex<Listing>,
    uploads: Uploads,
}

#[derive(Default)]
struct Listing {
    is_loaded: bool,
    packages: Vec<Listed>,
    files: BTreeMap<String, File>,
    folders: Vec<String>,
}

#[derive(Debug, Clone, Default)]
struct File {
    size: u64,
    tag: String,
}

impl Objects {
    pub(super) fn open(bucket: &str, prefix: &str) -> Result<Self, Error> {
        Ok(Self::new(Bucket::open(bucket)?, prefix.to_owned(), false))
    }

    fn new(bucket: Arc<Bucket>, prefix: String, holds_packages: bool) -> Self {
        Self {
            uploads: bucket.uploads(),
            bucket,
            prefix,
            holds_packages,
            below: Mutex::default(),
            listing: Mutex::default(),
        }
    }

    /// The folder of a platform.
    pub(super) fn at(&self, name: &str) -> Arc<Self> {
        let mut below = lock(&self.below);
        let objects = below
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Self::new(Arc::clone(&self.bucket), self.key(name), true)));
        Arc::clone(objects)
    }

    /// The bucket.
    pub(crate) fn bucket(&self) -> &Arc<Bucket> {
        &self.bucket
    }

    /// A file's key.
    pub(crate) fn key(&self, name: &str) -> String {
        match (self.prefix.is_empty(), name.is_empty()) {
            (true, _) => name.to_owned(),
            (_, true) => self.prefix.clone(),
            _ => format!("{}/{name}", self.prefix),
        }
    }

    /// A file's URL.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("s3://{}/{}", self.bucket.name(), self.key(name))
    }

    pub(crate) fn load(&self) -> Result<(), Error> {
        if lock(&self.listing).is_loaded {
            return Ok(());
        }
        let mut listing = Listing {
            is_loaded: true,
            ..Listing::default()
        };
        if self.holds_packages {
            self.bucket.list(&self.prefix, &mut |object| {
                self.take(&mut listing, object);
            })?;
            listing.packages.sort_unstable();
        } else {
            let (folders, objects) = self.bucket.list_folder(&self.prefix)?;
            for object in objects {
                self.take(&mut listing, object);
            }
            for folder in OURS
                .into_iter()
                .filter(|name| folders.iter().any(|one| one == name))
            {
                self.bucket.list(&self.key(folder), &mut |object| {
                    self.take(&mut listing, object);
                })?;
            }
            listing.folders = folders;
        }
        *lock(&self.listing) = listing;
        Ok(())
    }

    /// An object, asked for by itself.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Object>, Error> {
        Ok(self.bucket.find(&self.key(name))?)
    }

    fn take(&self, listing: &mut Listing, object: Object) {
        let name = match object.key.strip_prefix(&self.prefix) {
            Some(rest) => rest.trim_start_matches('/'),
            None => return,
        };
        match package_kind(name.as_bytes()) {
            Some(_) if name.contains('/') => {}
            Some(kind) if self.holds_packages => listing.packages.push(Listed {
                file: name.to_owned(),
                kind,
                stat: Ok(Stat {
                    size: object.size,
                    mtime_ns: object.modified_ns,
                    inode: number(&object.etag),
                }),
                tag: object.etag,
            }),
            _ => {
                let file = File {
                    size: object.size,
                    tag: object.etag,
                };
                listing.files.insert(name.to_owned(), file);
            }
        }
    }

    pub(super) fn forget(&self) {
        *lock(&self.listing) = Listing::default();
        lock(&self.below).clear();
    }

    /// The names of the folders directly below; whether there is anything at all.
    pub(crate) fn folders(&self) -> (Vec<String>, bool) {
        let listing = lock(&self.listing);
        let any = !listing.folders.is_empty() || !listing.files.is_empty();
        (listing.folders.clone(), any)
    }

    pub(super) fn packages(&self) -> Result<Vec<Listed>, Error> {
        self.load()?;
        Ok(std::mem::take(&mut lock(&self.listing).packages))
    }

    pub(super) fn package(&self, file: &str) -> Option<Listed> {
        let listing = lock(&self.listing);
        let found = listing
            .packages
            .binary_search_by(|one| one.file.as_str().cmp(file));
        listing.packages.get(found.ok()?).cloned()
    }

    pub(super) fn source(&self, listed: &Listed) -> Source {
        let object = Object {
            key: self.key(&listed.file),
            size: listed.stat.map_or(0, |stat| stat.size),
            modified_ns: 0,
            etag: listed.tag.clone(),
        };
        Source::Object(Arc::clone(&self.bucket), object)
    }

    /// Of our own files the time is not known when they are written: the tag must do.
    pub(super) fn stat(&self, name: &str) -> Option<Stat> {
        let listing = lock(&self.listing);
        let file = listing.files.get(name)?;
        Some(Stat {
            size: file.size,
            mtime_ns: 0,
            inode: number(&file.tag),
        })
    }

    pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        if !lock(&self.listing).files.contains_key(name) {
            return Ok(None);
        }
        let got = self.bucket.get(&self.key(name)).map_err(io::Error::other)?;
        Ok(got.map(|(bytes, _)| bytes))
    }

    pub(crate) fn has(&self, name: &str, bytes: &[u8]) -> bool {
        let Some(file) = lock(&self.listing).files.get(name).cloned() else {
            return false;
        };
        if file.size != bytes.len() as u64 {
            return false;
        }
        // Of what was written at once, most stores' tag is the MD5; of what is encrypted it is not.
        file.tag.trim_matches('"') == Md5::of(bytes).to_string()
            || self
                .read(name)
                .is_ok_and(|there| there.as_deref() == Some(bytes))
    }

    pub(super) fn names(&self) -> Vec<String> {
        lock(&self.listing).files.keys().cloned().collect()
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        self.bucket
            .delete(&self.key(name))
            .map_err(io::Error::other)?;
        lock(&self.listing).files.remove(name);
        Ok(())
    }

    /// Begins to write a file whose name tells its content.
    pub(crate) fn add(&self, name: &str, bytes: Vec<u8>) -> Result<(), Error> {
        self.send(name, bytes, Condition::None)
    }

    /// Begins to write a file in place of the one that was listed, or where there was none.
    pub(crate) fn replace(&self, name: &str, bytes: Vec<u8>) -> Result<(), Error> {
        let tag = lock(&self.listing)
            .files
            .get(name)
            .map(|file| file.tag.clone());
        self.send(name, bytes, tag.map_or(Condition::Absent, Condition::Is))
    }

    fn send(&self, name: &str, bytes: Vec<u8>, condition: Condition) -> Result<(), Error> {
        let file = File {
            size: bytes.len() as u64,
            tag: String::new(),
        };
        self.uploads.add(Upload {
            key: self.key(name),
            bytes,
            condition,
            headers: headers(name),
        })?;
        lock(&self.listing).files.insert(name.to_owned(), file);
        Ok(())
    }

    /// Waits until all is written.
    pub(crate) fn settle(&self) -> Result<(), Error> {
        for (key, put) in self.uploads.finish()? {
            let name = match key.strip_prefix(&self.prefix) {
                Some(rest) => rest.trim_start_matches('/'),
                None => &key,
            };
            match put {
                Put::Done(tag) => {
                    if let Some(file) = lock(&self.listing).files.get_mut(name) {
                        file.tag = tag;
                    }
                }
                Put::Refused => {
                    return Err(Error::Overtaken {
                        path: self.url(name).into(),
                    });
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.url(""))
    }
}

/// What clients and caches are told of a file: what a name may be given anew is asked for again after a
/// minute, what tells its content in its name never.
pub(crate) fn headers(name: &str) -> Headers {
    let content_type = match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("json") => "application/json",
        Some("zst") => "application/zstd",
        Some("bz2") => "application/x-bzip2",
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("xml") => "application/rss+xml; charset=utf-8",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    };
    let shard = name.strip_suffix(".msgpack.zst");
    let tells_content =
        shard.is_some_and(|digest| digest.parse::<Sha256>().is_ok()) || name.starts_with("icons/");
    let cache_control = if tells_content {
        "public, max-age=31536000, immutable"
    } else if name.contains(".cache/") {
        "no-store"
    } else {
        "public, max-age=60"
    };
    Headers {
        content_type,
        cache_control,
    }
}

/// A tag as a number, in place of an inode.
fn number(tag: &str) -> u64 {
    let digest = Sha256::of(tag.as_bytes()).0;
    digest
        .first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::headers;

    #[test]
    fn what_caches_are_told() {
        let digest = "0".repeat(64);
        for (name, content_type, cached) in [
            ("repodata.json", "application/json", "max-age=60"),
            ("repodata.json.zst", "application/zstd", "max-age=60"),
            (
                "repodata_shards.msgpack.zst",
                "application/zstd",
                "max-age=60",
            ),
            (
                &format!("{digest}.msgpack.zst"),
                "application/zstd",
                "immutable",
            ),
            ("icons/abc.png", "image/png", "immutable"),
            ("index.html", "text/html; charset=utf-8", "max-age=60"),
            (
                ".cache/archiconda-index.lock",
                "application/octet-stream",
                "no-store",
            ),
        ] {
            let headers = headers(name);
            assert_eq!(headers.content_type, content_type, "{name}");
            assert!(headers.cache_control.contains(cached), "{name}");
        }
    }
}
