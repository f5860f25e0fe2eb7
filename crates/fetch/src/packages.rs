//! Packages: what is wanted in, verified files out, several at a time. How one of them is fetched
//! is in `download` and `local`, where they are kept in `store`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use conda::{credentials, hex};
use futures_util::stream::{self, StreamExt as _};
use url::Url;

use crate::digest::Digests;
use crate::download::Origin;
use crate::store::Store;
use crate::{Cause, Client, Error, Event, download, local};

/// An archive to fetch, and what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Where it is: http, https or file.
    pub url: Url,
    /// Its name, for messages.
    pub file_name: String,
    /// Its digest, where the channel says one.
    pub sha256: Option<[u8; 32]>,
    /// Its digest, where the channel says one.
    pub md5: Option<[u8; 16]>,
    /// Its size in bytes, where the channel says it.
    pub size: Option<u64>,
}

/// An archive that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its file in the store. Its name is its digest, not an archive's name. Read-only by contract.
    pub path: PathBuf,
    /// The digest of its bytes.
    pub sha256: [u8; 32],
    /// The digest of its bytes.
    pub md5: [u8; 16],
    /// How many bytes it has.
    pub size: u64,
}

type Report<'a> = &'a (dyn Fn(Event<'_>) + Sync);

impl Client {
    /// The archives that `wanted` names, in its order: from the store, or fetched, a few at a time,
    /// and verified by every digest and size that is known. The first failure ends the call; what
    /// was fetched until then stays, complete or to be resumed.
    pub fn packages(&self, wanted: &[Wanted], report: Report<'_>) -> Result<Vec<Package>, Error> {
        let wanted: Vec<Wanted> = wanted
            .iter()
            .map(|wanted| self.without_credentials(wanted))
            .collect();
        // One archive may be wanted twice: for two platforms, or by two lines of a list.
        let mut firsts: HashMap<String, usize> = HashMap::new();
        let mut unique: Vec<&Wanted> = Vec::new();
        let places: Vec<usize> = wanted
            .iter()
            .map(|wanted| {
                *firsts.entry(Store::key(wanted)).or_insert_with(|| {
                    unique.push(wanted);
                    unique.len() - 1
                })
            })
            .collect();
        let fetched = self.block_on(self.fetch_all(&unique, report))?;
        places
            .iter()
            .zip(&wanted)
            .filter_map(|(place, wanted)| Some((fetched.get(*place)?, wanted)))
            .map(|(package, wanted)| {
                verify(
                    wanted,
                    Digests {
                        sha256: package.sha256,
                        md5: package.md5,
                        size: package.size,
                    },
                )?;
                Ok(package.clone())
            })
            .collect()
    }

    /// Where an archive grows while it is fetched, once [`Event::PackageStarted`] was told of it. What is there is
    /// neither whole nor checked; when it is both, the same file has another name.
    pub fn growing(&self, wanted: &Wanted) -> Result<PathBuf, Error> {
        self.store.partial_path(&self.without_credentials(wanted))
    }

    /// Reads what the store has of an archive again, and takes it out if it is not what its name says: bytes are
    /// checked when they come in, and a file that somebody else has a link to may be changed there.
    pub fn recheck(&self, wanted: &Wanted) -> Result<(), Error> {
        match wanted.sha256 {
            Some(sha256) => self.store.recheck(sha256),
            None => Ok(()),
        }
    }

    /// Of all archives that came out of the store so far, takes those out that are damaged, and returns where they were:
    /// for whoever found that something of them is not what it should be. The next time they are fetched.
    pub fn heal(&self) -> Result<Vec<PathBuf>, Error> {
        self.store.heal()
    }

    /// What `attempt` comes to. Where it finds bytes that are wrong, and some of the archives that came out of the store are
    /// damaged, these are told, and it is tried once more with others.
    pub fn healing<T, E: From<Error>>(
        &self,
        attempt: impl Fn() -> Result<T, E>,
        is_integrity: impl Fn(&E) -> bool,
        told: impl Fn(&Path),
    ) -> Result<T, E> {
        let outcome = attempt();
        if !outcome.as_ref().is_err_and(is_integrity) {
            return outcome;
        }
        let healed = self.heal()?;
        if healed.is_empty() {
            return outcome;
        }
        for path in &healed {
            told(path);
        }
        attempt()
    }

    /// Takes an archive out of the store, unless something else has a link to its file. Whoever has it open can go on
    /// reading.
    pub fn discard(&self, sha256: [u8; 32]) -> Result<(), Error> {
        self.store.discard(sha256)
    }

    async fn fetch_all(
        &self,
        wanted: &[&Wanted],
        report: Report<'_>,
    ) -> Result<Vec<Package>, Error> {
        let mut fetches = stream::iter(wanted.iter().enumerate())
            .map(|(index, wanted)| async move {
                self.fetch(wanted, report)
                    .await
                    .map(|package| (index, package))
            })
            .buffer_unordered(self.options.concurrency.max(1));
        let mut packages = Vec::with_capacity(wanted.len());
        while let Some(fetched) = fetches.next().await {
            packages.push(fetched?);
        }
        packages.sort_by_key(|(index, _)| *index);
        Ok(packages.into_iter().map(|(_, package)| package).collect())
    }

    async fn fetch(&self, wanted: &Wanted, report: Report<'_>) -> Result<Package, Error> {
        let found = if self.options.offline {
            self.store.find_offline(wanted)?
        } else {
            self.store.find(wanted)?
        };
        let cached = found.is_some();
        if wanted.sha256.is_none() && wanted.md5.is_none() {
            report(Event::Warning {
                message: &format!(
                    "nothing says which digest {} must have; it is taken as it comes",
                    wanted.file_name
                ),
            });
        }
        let package = match found {
            Some(package) => package,
            None => self.fetch_missing(wanted, report).await?,
        };
        report(Event::PackageDone {
            file_name: &wanted.file_name,
            size: package.size,
            cached,
        });
        Ok(package)
    }

    async fn fetch_missing(&self, wanted: &Wanted, report: Report<'_>) -> Result<Package, Error> {
        let refuse = || Error::PackageUrl {
            url: credentials::redacted(&wanted.url),
        };
        match wanted.url.scheme() {
            "file" => {
                let path = wanted.url.to_file_path().map_err(|()| refuse())?;
                report(Event::PackageStarted {
                    file_name: &wanted.file_name,
                    size: wanted.size,
                    resumed: 0,
                });
                let (store, copied) = (self.store.clone(), wanted.clone());
                tokio::task::spawn_blocking(move || local::copy(&store, &path, &copied))
                    .await
                    .map_err(|error| Error::Start(Cause::new(&error, &str::to_owned)))?
            }
            "http" | "https" if self.options.offline => Err(Error::PackageOffline {
                file_name: wanted.file_name.clone(),
            }),
            "http" | "https" => download::download(self, wanted, Origin::Channels, report).await,
            _ => Err(refuse()),
        }
    }

    /// Credentials in a package's URL go the way of a channel's.
    fn without_credentials(&self, wanted: &Wanted) -> Wanted {
        let mut url = self.file(&wanted.url);
        url.set_query(wanted.url.query());
        Wanted {
            url,
            ..wanted.clone()
        }
    }
}

/// Whether the bytes are those that `wanted` means.
pub(crate) fn verify(wanted: &Wanted, found: Digests) -> Result<(), Error> {
    if let Some(expected) = wanted.size
        && expected != found.size
    {
        return Err(wrong_size(wanted, expected, found.size));
    }
    let wrong = |algorithm, expected: &[u8], actual: &[u8]| Error::Digest {
        url: credentials::redacted(&wanted.url),
        algorithm,
        expected: hex::encode(expected),
        actual: hex::encode(actual),
    };
    if let Some(expected) = wanted.sha256
        && expected != found.sha256
    {
        return Err(wrong("sha256", &expected, &found.sha256));
    }
    if let Some(expected) = wanted.md5
        && expected != found.md5
    {
        return Err(wrong("md5", &expected, &found.md5));
    }
    Ok(())
}

pub(crate) fn wrong_size(wanted: &Wanted, expected: u64, actual: u64) -> Error {
    Error::Size {
        url: credentials::redacted(&wanted.url),
        expected,
        actual,
    }
}
