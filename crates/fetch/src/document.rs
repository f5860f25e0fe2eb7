//! Files of a channel that change under their name: indexes of all kinds. They are asked for with
//! the validators of what is here (RFC 9110, 13.1), and kept in the store under their digest, so that a
//! lock can name the very bytes that were used. What is in them is for others.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use conda::{credentials, hex};
use reqwest::header::{
    ACCEPT_ENCODING, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::digest::{Hasher, sha256_of, sha256_of_all};
use crate::packages::{Package, Wanted};
use crate::retry::{is_transient, retry_after};
use crate::store::cache_error;
use crate::{Cause, Client, Error, Event};

type Report<'a> = &'a (dyn Fn(Event<'_>) + Sync);

/// The most bytes that a document may have. conda-forge's largest index has half a GB.
const LIMIT: u64 = 4 << 30;

/// How many earlier versions of a document stay in the store, for builds that are repeated.
const EARLIER: usize = 4;

/// A file as it was when it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Where it is, without credentials.
    pub url: Url,
    /// Its file. Read-only by contract.
    pub path: PathBuf,
    /// The digest of its bytes.
    pub sha256: [u8; 32],
    /// How many bytes it has.
    pub size: u64,
    /// Whether nothing had to be downloaded for it.
    pub cached: bool,
}

/// A file on this machine that is digested while it is read.
#[derive(Debug)]
pub struct LocalDocument {
    url: Url,
    path: PathBuf,
    file: fs_err::File,
    hasher: Sha256,
    size: u64,
}

/// What is remembered of a URL.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    url: String,
    sha256: String,
    size: u64,
    etag: Option<String>,
    last_modified: Option<String>,
    /// The digests of earlier versions, the oldest first.
    #[serde(default)]
    earlier: Vec<String>,
}

/// Why an attempt came to nothing.
enum Failure {
    Passing(Cause, Option<Duration>),
    Final(Error),
}

impl Client {
    /// The file at a URL: `None` where the server says that there is none. A local file is not copied.
    /// Offline, what was fetched last counts, and what never was is absent.
    pub fn document(&self, url: &Url, report: Report<'_>) -> Result<Option<Document>, Error> {
        self.block_on(self.document_at(url, report))
    }

    /// The same of a file on this machine, which is still to be read.
    pub fn local_document(&self, url: &Url) -> Result<Option<LocalDocument>, Error> {
        let found = open(url)?;
        Ok(found.map(|(path, file)| LocalDocument {
            url: url.clone(),
            path,
            file,
            hasher: Sha256::new(),
            size: 0,
        }))
    }

    /// Makes the next request for a document unconditional: what is here is no use.
    pub fn forget_document(&self, url: &Url) {
        // Where it cannot be removed, the same failure comes again.
        let _ = fs_err::remove_file(self.memory_path(&credentials::without(url)));
    }

    async fn document_at(&self, url: &Url, report: Report<'_>) -> Result<Option<Document>, Error> {
        let url = self.file(url);
        match url.scheme() {
            "file" => local(url),
            "http" | "https" => self.remote(url, report).await,
            _ => Err(Error::PackageUrl {
                url: credentials::redacted(&url),
            }),
        }
    }

    async fn remote(&self, url: Url, report: Report<'_>) -> Result<Option<Document>, Error> {
        let before = self.remembered(&url);
        if self.options.offline {
            return Ok(before.map(|(_, package)| document(url, package, true)));
        }
        let mut attempt = 0;
        loop {
            let failure = match self.ask(&url, before.as_ref(), report).await {
                Ok(found) => return Ok(found),
                Err(failure) => failure,
            };
            let (cause, asked) = match failure {
                Failure::Final(error) => return Err(error),
                Failure::Passing(cause, asked) => (cause, asked),
            };
            attempt += 1;
            let Some(wait) = self.options.policy().pause(attempt, asked) else {
                return Err(Error::Download {
                    url: credentials::redacted(&url),
                    attempts: attempt,
                    source: cause,
                });
            };
            report(Event::Retry {
                url: &credentials::redacted(&url),
                reason: &cause.line(),
                wait,
            });
            tokio::time::sleep(wait).await;
        }
    }

    async fn ask(
        &self,
        url: &Url,
        before: Option<&(Memory, Package)>,
        report: Report<'_>,
    ) -> Result<Option<Document>, Failure> {
        let mut request = self
            .connections()
            .packages
            .get(url.clone())
            .header(ACCEPT_ENCODING, "identity");
        if let Some((memory, _)) = before {
            for (name, value) in [
                (IF_NONE_MATCH, &memory.etag),
                (IF_MODIFIED_SINCE, &memory.last_modified),
            ] {
                if let Some(value) = value {
                    request = request.header(name, value);
                }
            }
        }
        let response = request
            .send()
            .await
            .map_err(|error| Failure::Passing(self.cause(&error), None))?;
        match (response.status(), before) {
            (StatusCode::OK, _) => self.receive(url, response, before, report).await.map(Some),
            (StatusCode::NOT_MODIFIED, Some((_, package))) => {
                Ok(Some(document(url.clone(), package.clone(), true)))
            }
            (StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::NOT_IMPLEMENTED, _) => Ok(None),
            (status, _) if is_transient(status) => Err(Failure::Passing(
                Cause::message(format!("the server answered {status}")),
                retry_after(response.headers()),
            )),
            (status, _) => Err(Failure::Final(Error::Status {
                url: credentials::redacted(url),
                status: status.to_string(),
            })),
        }
    }

    async fn receive(
        &self,
        url: &Url,
        mut response: Response,
        before: Option<&(Memory, Package)>,
        report: Report<'_>,
    ) -> Result<Document, Failure> {
        let (etag, last_modified) = (
            header(response.headers(), &ETAG),
            header(response.headers(), &LAST_MODIFIED),
        );
        let mut file = self.store.scratch().map_err(Failure::Final)?;
        let mut hasher = Hasher::default();
        let shown = credentials::redacted(url);
        report(Event::RepodataBytes {
            url: &shown,
            bytes: 0,
        });
        loop {
            let piece = response
                .chunk()
                .await
                .map_err(|error| Failure::Passing(self.cause(&error), None))?;
            let Some(piece) = piece else { break };
            hasher.update(&piece);
            if hasher.size() > LIMIT {
                return Err(Failure::Final(Error::TooLarge {
                    url: shown,
                    limit: LIMIT,
                }));
            }
            let path = file.path().to_owned();
            file.write_all(&piece)
                .map_err(|error| Failure::Final(cache_error(&path)(error)))?;
            report(Event::RepodataBytes {
                url: &shown,
                bytes: piece.len() as u64,
            });
        }
        let digests = hasher.finish();
        let wanted = wanted(url, digests.sha256);
        let package = self
            .store
            .admit_file(file, digests, &wanted)
            .map_err(Failure::Final)?;
        let mut earlier = Vec::new();
        if let Some((memory, _)) = before
            && memory.sha256 != hex::encode(&digests.sha256)
        {
            earlier.extend(memory.earlier.iter().chain([&memory.sha256]).cloned());
        }
        let memory = Memory {
            url: url.to_string(),
            sha256: hex::encode(&digests.sha256),
            size: digests.size,
            etag,
            last_modified,
            earlier,
        };
        self.remember(url, memory).map_err(Failure::Final)?;
        Ok(document(url.clone(), package, false))
    }

    fn memory_path(&self, url: &Url) -> PathBuf {
        let name = hex::encode(&sha256_of(url.as_str()));
        self.options.cache_dir.join("documents").join(name)
    }

    /// What is known of a URL, if its bytes are still here.
    fn remembered(&self, url: &Url) -> Option<(Memory, Package)> {
        let text = fs_err::read(self.memory_path(url)).ok()?;
        let memory: Memory = serde_json::from_slice(&text).ok()?;
        if memory.url != url.as_str() {
            return None;
        }
        let sha256 = hex::decode(&memory.sha256)?;
        let package = self.store.find(&wanted(url, sha256)).ok().flatten()?;
        Some((memory, package))
    }

    fn remember(&self, url: &Url, mut memory: Memory) -> Result<(), Error> {
        while memory.earlier.len() > EARLIER {
            let oldest = memory.earlier.remove(0);
            if oldest != memory.sha256
                && let Some(sha256) = hex::decode(&oldest)
            {
                self.store.remove(sha256);
            }
        }
        let path = self.memory_path(url);
        let text = serde_json::to_vec(&memory).unwrap_or_default();
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder).map_err(cache_error(folder))?;
        }
        let mut file = self.store.scratch()?;
        file.write_all(&text).map_err(cache_error(&path))?;
        file.persist(&path)
            .map(drop)
            .map_err(|error| cache_error(&path)(error.error))
    }
}

impl LocalDocument {
    /// The file itself, from which what was read can be read again.
    pub fn file(&self) -> io::Result<File> {
        self.file.file().try_clone()
    }

    /// What the bytes that were read come to.
    pub fn finish(self) -> Document {
        Document {
            url: self.url,
            path: self.path,
            sha256: self.hasher.finalize().into(),
            size: self.size,
            cached: true,
        }
    }
}

impl Read for LocalDocument {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        self.size += count as u64;
        Ok(count)
    }
}

fn open(url: &Url) -> Result<Option<(PathBuf, fs_err::File)>, Error> {
    let path = url.to_file_path().map_err(|()| Error::PackageUrl {
        url: url.to_string(),
    })?;
    match fs_err::File::open(&path) {
        Ok(file) => Ok(Some((path, file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::PackageFile { path, source }),
    }
}

/// A file on this machine, where it lies.
fn local(url: Url) -> Result<Option<Document>, Error> {
    let Some((path, file)) = open(&url)? else {
        return Ok(None);
    };
    let (sha256, size) = sha256_of_all(file).map_err(|source| Error::PackageFile {
        path: path.clone(),
        source,
    })?;
    Ok(Some(Document {
        url,
        path,
        sha256,
        size,
        cached: true,
    }))
}

fn document(url: Url, package: Package, cached: bool) -> Document {
    Document {
        url,
        path: package.path,
        sha256: package.sha256,
        size: package.size,
        cached,
    }
}

fn wanted(url: &Url, sha256: [u8; 32]) -> Wanted {
    Wanted {
        url: url.clone(),
        file_name: url.path().rsplit('/').next().unwrap_or_default().to_owned(),
        sha256: Some(sha256),
        md5: None,
        size: None,
    }
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    (text.len() <= 200).then(|| text.to_owned())
}
