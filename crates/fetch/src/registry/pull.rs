//! What a registry gives: manifests, whole, and blobs, into the store, where they are kept under their
//! digests. What was fetched once is not asked for again.

use std::io::Write as _;
use std::path::PathBuf;

use ::http::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap};
use ::http::{Method, StatusCode};
use conda::hex;
use futures_util::stream::{self, StreamExt as _};
use reqwest::{RequestBuilder, Response};

use super::{Error, Registry};
use crate::digest::{Digests, Hasher};
use crate::download::Origin;
use crate::packages::{Package, Wanted};
use crate::store::cache_error;
use crate::{Event, download, http};

type Report<'a> = &'a (dyn Fn(Event<'_>) + Sync);

/// A manifest that is longer than this is none.
const LONGEST_MANIFEST: u64 = 8 << 20;

/// How many blobs are fetched at once.
const AT_ONCE: usize = 4;

/// What we understand: images and indexes of both kinds.
const TYPES: &str = "application/vnd.oci.image.index.v1+json, \
                     application/vnd.oci.image.manifest.v1+json, \
                     application/vnd.docker.distribution.manifest.list.v2+json, \
                     application/vnd.docker.distribution.manifest.v2+json";

/// A manifest or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The digest of its bytes.
    pub sha256: [u8; 32],
    /// The document.
    pub bytes: Vec<u8>,
}

/// A blob to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// The digest of its bytes.
    pub sha256: [u8; 32],
    /// How many bytes it has.
    pub size: u64,
}

impl Registry<'_> {
    /// The manifest that the tag of the reference names now.
    pub fn tagged(&self) -> Result<Manifest, Error> {
        if self.client.options.offline {
            return Err(Error::Offline {
                reference: self.reference.to_string(),
            });
        }
        let manifest = self.client.block_on(self.manifest_of(self.reference.tag()));
        self.keep(manifest?)
    }

    /// The manifest that another tag of the repository names now, if there is one. It is not kept.
    pub fn named(&self, tag: &str) -> Result<Option<Manifest>, Error> {
        match self.client.block_on(self.manifest_of(tag)) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(Error::Absent { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The manifest with this digest: from the store, or fetched.
    pub fn manifest(&self, sha256: [u8; 32]) -> Result<Manifest, Error> {
        let name = format!("sha256:{}", hex::encode(&sha256));
        let wanted = self.wanted(&name, Some(sha256), None)?;
        if let Some(package) = self.client.store.find(&wanted)? {
            let bytes = fs_err::read(&package.path).map_err(cache_error(&package.path))?;
            let manifest = Manifest::of(bytes);
            if manifest.sha256 == sha256 {
                return Ok(manifest);
            }
            // Somebody changed it in the store.
            self.client.store.remove(sha256);
        }
        if self.client.options.offline {
            return Err(Error::Offline {
                reference: format!("{}@{name}", self.reference),
            });
        }
        let manifest = self.client.block_on(self.manifest_of(&name))?;
        if manifest.sha256 != sha256 {
            return Err(Error::WrongManifest {
                registry: self.reference.host().to_owned(),
                expected: name,
                actual: hex::encode(&manifest.sha256),
            });
        }
        self.keep(manifest)
    }

    /// Where a manifest lies that was given.
    pub fn kept(&self, sha256: [u8; 32]) -> PathBuf {
        self.client.store.entry_path(&sha256)
    }

    /// The files of blobs, in their order: from the store, or fetched a few at a time, gone on with where
    /// an earlier attempt ended, and verified.
    pub fn blobs(&self, blobs: &[Blob], report: Report<'_>) -> Result<Vec<PathBuf>, Error> {
        let wanted: Vec<Wanted> = blobs
            .iter()
            .map(|blob| {
                let name = format!("sha256:{}", hex::encode(&blob.sha256));
                self.wanted(&name, Some(blob.sha256), Some(blob.size))
            })
            .collect::<Result<_, _>>()?;
        self.client.block_on(async {
            let mut fetches = stream::iter(wanted.iter().enumerate())
                .map(|(number, wanted)| async move {
                    let fetched = self.blob(wanted, report).await;
                    fetched.map(|package| (number, package.path))
                })
                .buffer_unordered(AT_ONCE);
            let mut paths = vec![PathBuf::new(); blobs.len()];
            while let Some(fetched) = fetches.next().await {
                let (number, path) = fetched?;
                paths[number] = path;
            }
            Ok(paths)
        })
    }

    /// Takes blobs out of the store that are not any more what they were when they came in.
    pub fn recheck(&self, blobs: &[Blob]) -> Result<(), Error> {
        for blob in blobs {
            self.client.store.recheck(blob.sha256)?;
        }
        Ok(())
    }

    async fn blob(&self, wanted: &Wanted, report: Report<'_>) -> Result<Package, Error> {
        let found = self.client.store.find(wanted)?;
        let cached = found.is_some();
        let package = match found {
            Some(package) => package,
            None if self.client.options.offline => {
                return Err(Error::Offline {
                    reference: format!("{} ({})", self.reference, wanted.file_name),
                });
            }
            None => download::download(self.client, wanted, Origin::Registry(self), report).await?,
        };
        report(Event::PackageDone {
            file_name: &wanted.file_name,
            size: package.size,
            cached,
        });
        Ok(package)
    }

    /// One request for a blob or a part of it. What may pass is for the caller to repeat.
    pub(crate) async fn get(&self, wanted: &Wanted, headers: HeaderMap) -> Result<Response, Error> {
        const ACTION: &str = "fetch a blob";
        let fill = |request: RequestBuilder| Ok(request.headers(headers.clone()));
        let response = self
            .send(Method::GET, &wanted.url, ACTION, false, &fill)
            .await?;
        match response.status() {
            StatusCode::NOT_FOUND => Err(self.absent(&wanted.file_name)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(self.refused(ACTION, response).await)
            }
            _ => Ok(response),
        }
    }

    async fn manifest_of(&self, name: &str) -> Result<Manifest, Error> {
        const ACTION: &str = "fetch a manifest";
        let url = self.url(&format!("manifests/{name}"))?;
        let fill = |request: RequestBuilder| {
            Ok(request
                .header(ACCEPT, TYPES)
                .header(ACCEPT_ENCODING, "identity"))
        };
        let policy = self.client.options.policy();
        let mut attempt = 0;
        loop {
            let response = self.send(Method::GET, &url, ACTION, true, &fill).await?;
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Err(self.absent(name)),
                _ => return Err(self.refused(ACTION, response).await),
            }
            let broken = match http::body(response, LONGEST_MANIFEST).await {
                Ok(Some(bytes)) => return Ok(Manifest::of(bytes)),
                Ok(None) => {
                    return Err(Error::Long {
                        registry: self.reference.host().to_owned(),
                        name: name.to_owned(),
                        limit: LONGEST_MANIFEST,
                    });
                }
                Err(error) => error,
            };
            attempt += 1;
            let Some(pause) = policy.pause(attempt, None) else {
                return Err(Error::Unreachable {
                    registry: self.reference.host().to_owned(),
                    action: ACTION,
                    source: self.cause(broken),
                });
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Puts a manifest into the store.
    fn keep(&self, manifest: Manifest) -> Result<Manifest, Error> {
        let name = format!("sha256:{}", hex::encode(&manifest.sha256));
        let wanted = self.wanted(&name, Some(manifest.sha256), None)?;
        let mut file = self.client.store.scratch()?;
        let path = file.path().to_owned();
        file.write_all(&manifest.bytes)
            .map_err(cache_error(&path))?;
        self.client
            .store
            .admit_file(file, digests(&manifest.bytes), &wanted)?;
        Ok(manifest)
    }

    fn wanted(
        &self,
        name: &str,
        sha256: Option<[u8; 32]>,
        size: Option<u64>,
    ) -> Result<Wanted, Error> {
        Ok(Wanted {
            url: self.url(&format!("blobs/{name}"))?,
            file_name: name.to_owned(),
            sha256,
            md5: None,
            size,
        })
    }

    fn absent(&self, name: &str) -> Error {
        Error::Absent {
            registry: self.reference.host().to_owned(),
            repository: self.reference.name().to_owned(),
            name: name.to_owned(),
        }
    }
}

impl Manifest {
    fn of(bytes: Vec<u8>) -> Manifest {
        Manifest {
            sha256: digests(&bytes).sha256,
            bytes,
        }
    }
}

fn digests(bytes: &[u8]) -> Digests {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}
