//! Buckets of S3 and of stores that speak its language: listed, read in parts, and written under
//! conditions, so that two writers never lose an update. Calls block, but for those that a server makes; requests that fail for a passing
//! reason are repeated by the library below. What the objects mean is for others.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, GetResult, ObjectMeta, ObjectStore as _,
    ObjectStoreExt as _, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Semaphore, mpsc};

mod error;
mod parts;
mod profile;
mod reader;
mod settings;
mod uploads;

pub use error::Error;
use error::Failures;
pub use parts::FileUpload;
pub use reader::Reader;
pub use uploads::{Upload, Uploads};

/// How long a write of a lock may take: its holder must show in time that it lives.
const SHORT: Duration = Duration::from_secs(15);

/// A bucket.
pub struct Bucket {
    requests: Arc<Requests>,
    runtime: Option<Runtime>,
}

/// What is asked of the store. Tasks hold this, and never the runtime that they run on.
struct Requests {
    store: AmazonS3,
    failures: Failures,
    /// Parts of files that may be in memory.
    slots: Semaphore,
}

/// What a listing says of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object {
    /// Its whole key.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was written, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// The tag of its version, which changes with its bytes.
    pub etag: String,
}

/// What must be true of a key for a write to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Nothing: the name tells the content.
    None,
    /// There is no object.
    Absent,
    /// The object is the one with this tag.
    Is(String),
}

/// What a write came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// The object is there, with this tag.
    Done(String),
    /// The condition is not true: somebody else has written.
    Refused,
}

/// What clients and caches are told of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers {
    /// `Content-Type`
    pub content_type: &'static str,
    /// `Cache-Control`
    pub cache_control: &'static str,
}

impl Bucket {
    /// Connects to a bucket. Endpoint, region and credentials come from the variables `AWS_*`, then from
    /// the files of the AWS tools, credentials at last from the machine (containers, instances).
    pub fn open(name: &str) -> Result<Arc<Self>, Error> {
        let failures = Failures::new(name);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .thread_name("s3")
            .build()
            .map_err(|error| failures.start(&error))?;
        let store = settings::connect(name, &failures, &runtime)?;
        Ok(Arc::new(Self {
            requests: Arc::new(Requests {
                store,
                failures,
                slots: Semaphore::new(parts::SLOTS),
            }),
            runtime: Some(runtime),
        }))
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        self.requests.failures.bucket()
    }

    /// Hands on every object whose key begins with `prefix/`, sorted by key.
    pub fn list(&self, prefix: &str, take: &mut dyn FnMut(Object)) -> Result<(), Error> {
        let failed = |error| self.requests.failures.of("list", prefix, &error);
        let path = self.requests.path(prefix)?;
        self.handle().block_on(async {
            let mut objects = self.requests.store.list(Some(&path));
            while let Some(object) = objects.next().await {
                take(of_meta(object.map_err(failed)?));
            }
            Ok(())
        })
    }

    /// The names of the folders directly below `prefix/`, and the objects there.
    pub fn list_folder(&self, prefix: &str) -> Result<(Vec<String>, Vec<Object>), Error> {
        let path = self.requests.path(prefix)?;
        let listed = self
            .handle()
            .block_on(self.requests.store.list_with_delimiter(Some(&path)))
            .map_err(|error| self.requests.failures.of("list", prefix, &error))?;
        let name = |path: &Path| path.filename().map(str::to_owned);
        Ok((
            listed.common_prefixes.iter().filter_map(name).collect(),
            listed.objects.into_iter().map(of_meta).collect(),
        ))
    }

    /// An object's bytes and tag; `None` if there is none.
    pub fn get(&self, key: &str) -> Result<Option<(Vec<u8>, String)>, Error> {
        self.handle().block_on(self.requests.get(key))
    }

    /// What is known of an object; `None` if there is none.
    pub fn find(&self, key: &str) -> Result<Option<Object>, Error> {
        self.handle().block_on(self.look(key))
    }

    /// The same for who waits for many at a time.
    pub async fn look(&self, key: &str) -> Result<Option<Object>, Error> {
        let path = self.requests.path(key)?;
        match self.requests.store.head(&path).await {
            Ok(meta) => Ok(Some(of_meta(meta))),
            // An answer without a body does not say whether it means the bucket.
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.requests.failures.of("read", key, &error)),
        }
    }

    /// The bytes of a range, as they come, of the very version that was listed; `None` if it is there no more.
    pub async fn pieces(
        &self,
        object: &Object,
        range: Range<u64>,
    ) -> Result<Option<mpsc::Receiver<io::Result<Bytes>>>, Error> {
        /// How many pieces wait to be taken; a piece is what came from the network at once.
        const AHEAD: usize = 8;
        let path = self.requests.path(&object.key)?;
        let part = self.requests.store.get_opts(&path, part_of(object, range));
        let mut stream = match part.await {
            Ok(result) => result.into_stream(),
            Err(
                object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. },
            ) => return Ok(None),
            Err(error) => return Err(self.requests.failures.of("read", &object.key, &error)),
        };
        let (sender, pieces) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            while let Some(piece) = stream.next().await {
                let piece = piece.map_err(io::Error::other);
                let is_last = piece.is_err();
                if sender.send(piece).await.is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Some(pieces))
    }

    /// An object, to be read in parts.
    pub fn reader(&self, object: Object) -> Reader {
        Reader::new(Arc::clone(&self.requests), self.handle().clone(), object)
    }

    /// Writes an object.
    pub fn put(&self, upload: Upload) -> Result<Put, Error> {
        self.handle().block_on(self.requests.put(upload))
    }

    /// Writes an object, or fails after 15 seconds.
    pub fn put_in_time(&self, upload: Upload) -> Result<Put, Error> {
        let key = upload.key.clone();
        let put = self.requests.put(upload);
        let waited = self
            .handle()
            .block_on(async { tokio::time::timeout(SHORT, put).await });
        waited.unwrap_or_else(|_| Err(self.requests.failures.late(&key)))
    }

    /// Writes many objects at the same time.
    pub fn uploads(&self) -> Uploads {
        Uploads::new(Arc::clone(&self.requests), self.handle().clone())
    }

    /// Removes an object, if it is there.
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        let path = self.requests.path(key)?;
        match self.handle().block_on(self.requests.store.delete(&path)) {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(self.requests.failures.of("remove", key, &error)),
        }
    }

    fn handle(&self) -> &Handle {
        match &self.runtime {
            Some(runtime) => runtime.handle(),
            None => unreachable!("the runtime is taken in `drop` only"),
        }
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        // What still runs after a failure is not worth waiting for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Bucket").field(&self.name()).finish()
    }
}

impl Requests {
    async fn get(&self, key: &str) -> Result<Option<(Vec<u8>, String)>, Error> {
        let failed = |error| self.failures.of("read", key, &error);
        let result = match self.store.get(&self.path(key)?).await {
            Err(object_store::Error::NotFound { source, .. })
                if !error::is_about_bucket(&*source) =>
            {
                return Ok(None);
            }
            result => result.map_err(failed)?,
        };
        let etag = result.meta.e_tag.clone().unwrap_or_default();
        let bytes = result.bytes().await.map_err(failed)?;
        Ok(Some((bytes.into(), etag)))
    }

    /// A part of the very version that was listed.
    async fn get_part(&self, object: &Object, range: Range<u64>) -> Result<GetResult, Error> {
        let path = self.path(&object.key)?;
        let result = self.store.get_opts(&path, part_of(object, range)).await;
        result.map_err(|error| self.failures.of("read", &object.key, &error))
    }

    async fn put(&self, upload: Upload) -> Result<Put, Error> {
        let key = upload.key.as_str();
        let payload = PutPayload::from(upload.bytes);
        let written = self.write(key, payload.clone(), upload.condition, upload.headers);
        match written.await? {
            // A request whose answer was lost is repeated, and then meets its own work.
            Put::Refused => match self.get(key).await? {
                Some((there, etag)) if is_same(&there, &payload) => Ok(Put::Done(etag)),
                _ => Ok(Put::Refused),
            },
            done @ Put::Done(_) => Ok(done),
        }
    }

    /// Writes an object, without a look at what is there if that is refused.
    async fn write(
        &self,
        key: &str,
        payload: PutPayload,
        condition: Condition,
        headers: Headers,
    ) -> Result<Put, Error> {
        let path = self.path(key)?;
        let mode = match condition {
            Condition::None => PutMode::Overwrite,
            Condition::Absent => PutMode::Create,
            Condition::Is(etag) => PutMode::Update(UpdateVersion {
                e_tag: Some(etag),
                version: None,
            }),
        };
        let options = PutOptions {
            mode,
            attributes: attributes(headers),
            ..PutOptions::default()
        };
        match self.store.put_opts(&path, payload, options).await {
            Ok(result) => Ok(Put::Done(result.e_tag.unwrap_or_default())),
            Err(
                object_store::Error::Precondition { .. }
                | object_store::Error::AlreadyExists { .. },
            ) => Ok(Put::Refused),
            Err(error) => Err(self.failures.of("write", key, &error)),
        }
    }

    fn path(&self, key: &str) -> Result<Path, Error> {
        Path::parse(key).map_err(|error| self.failures.of("use", key, &error.into()))
    }
}

fn attributes(headers: Headers) -> Attributes {
    let attributes = [
        (Attribute::ContentType, headers.content_type),
        (Attribute::CacheControl, headers.cache_control),
    ];
    attributes.into_iter().collect()
}

/// Asks for a part, if the object is still the one that was listed.
fn part_of(object: &Object, range: Range<u64>) -> GetOptions {
    GetOptions {
        if_match: Some(object.etag.clone()),
        range: Some(range.into()),
        ..GetOptions::default()
    }
}

fn of_meta(meta: ObjectMeta) -> Object {
    Object {
        key: meta.location.into(),
        size: meta.size,
        modified_ns: meta.last_modified.timestamp_nanos_opt().unwrap_or(0),
        etag: meta.e_tag.unwrap_or_default(),
    }
}

fn is_same(bytes: &[u8], payload: &PutPayload) -> bool {
    let mut rest = bytes;
    for piece in payload {
        match rest.strip_prefix(piece.as_ref()) {
            Some(more) => rest = more,
            None => return false,
        }
    }
    rest.is_empty()
}
