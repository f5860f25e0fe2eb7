//! The package store: archives under their sha256, so that one archive is kept once and a name can
//! never hold other bytes. Archives come in by rename, when they are complete and verified.
//!
//! ```text
//! packages/sha256/ab/ab12…        the archive
//! packages/sha256/ab/ab12….info   its md5 and its size in bytes
//! packages/index/KEY              the sha256 of an archive of which less is known
//! packages/partial/KEY            a download that has not ended
//! ```

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conda::hex;
use fs_err as fs;
use tempfile::NamedTempFile;

use crate::digest::{Digests, Hasher, pump, sha256_of};
use crate::packages::{Package, Wanted};
use crate::{Error, packages};

/// A folder of verified archives. Any number of processes may use one at the same time.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    root: PathBuf,
    /// What was handed out without a look at its bytes.
    trusted: Arc<Mutex<BTreeSet<[u8; 32]>>>,
}

impl Store {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            trusted: Arc::default(),
        }
    }

    /// The archive that `wanted` means, where it is in the store and the digest says which it is.
    /// Its size is checked again; its bytes were checked when they came in. An entry that was
    /// damaged since is removed.
    pub(crate) fn find(&self, wanted: &Wanted) -> Result<Option<Package>, Error> {
        let sha256 = match (wanted.sha256, wanted.md5) {
            (Some(sha256), _) => Some(sha256),
            (None, Some(_)) => self.indexed(wanted)?,
            // Without a digest, the same URL may hold other bytes today.
            (None, None) => None,
        };
        match sha256 {
            Some(sha256) => self.entry(sha256, wanted),
            None => Ok(None),
        }
    }

    /// Like [`Store::find`], and also what a URL without a digest held when it was last fetched.
    pub(crate) fn find_offline(&self, wanted: &Wanted) -> Result<Option<Package>, Error> {
        if wanted.sha256.is_some() || wanted.md5.is_some() {
            return self.find(wanted);
        }
        match self.indexed(wanted)? {
            Some(sha256) => self.entry(sha256, wanted),
            None => Ok(None),
        }
    }

    /// The name of what `wanted` means before its sha256 is known; a file name.
    pub(crate) fn key(wanted: &Wanted) -> String {
        let url = || hex::encode(&sha256_of(wanted.url.as_str()))[..16].to_owned();
        match (wanted.sha256, wanted.md5) {
            (Some(sha256), _) => hex::encode(&sha256),
            (None, Some(md5)) => format!("md5-{}-{}", hex::encode(&md5), url()),
            (None, None) => format!("url-{}", url()),
        }
    }

    /// Where the download of `wanted` grows; its folder exists afterwards.
    pub(crate) fn partial_path(&self, wanted: &Wanted) -> Result<PathBuf, Error> {
        let path = self
            .partial_dir()?
            .join(format!("{}.partial", Self::key(wanted)));
        Ok(path)
    }

    /// A new file in the store's file system, for [`Store::admit_file`].
    pub(crate) fn scratch(&self) -> Result<NamedTempFile, Error> {
        let folder = self.partial_dir()?;
        tempfile::Builder::new()
            .permissions(std::fs::Permissions::from_mode(0o666))
            .tempfile_in(&folder)
            .map_err(cache_error(&folder))
    }

    /// Takes a complete file in, which must be what `wanted` says: checked against `digests`,
    /// which the caller computed from the bytes that it wrote.
    pub(crate) fn admit_path(
        &self,
        path: &Path,
        digests: Digests,
        wanted: &Wanted,
    ) -> Result<Package, Error> {
        packages::verify(wanted, digests)?;
        let entry = self.prepare(digests)?;
        fs::rename(path, &entry).map_err(cache_error(&entry))?;
        self.finish(entry, digests, wanted)
    }

    /// As [`Store::admit_path`], for a file of [`Store::scratch`].
    pub(crate) fn admit_file(
        &self,
        file: NamedTempFile,
        digests: Digests,
        wanted: &Wanted,
    ) -> Result<Package, Error> {
        packages::verify(wanted, digests)?;
        let entry = self.prepare(digests)?;
        file.persist(&entry)
            .map_err(|error| cache_error(&entry)(error.error))?;
        self.finish(entry, digests, wanted)
    }

    /// Takes an archive out. Whoever has it open can go on reading.
    pub(crate) fn remove(&self, sha256: [u8; 32]) {
        let entry = self.entry_path(&sha256);
        // Another process may have been quicker.
        let _ = fs::remove_file(info_path(&entry));
        let _ = fs::remove_file(entry);
    }

    /// Takes an archive out to which nothing else has a link: of others the file would stay, and only be fetched again.
    pub(crate) fn discard(&self, sha256: [u8; 32]) -> Result<(), Error> {
        let entry = self.entry_path(&sha256);
        match fs::metadata(&entry) {
            Ok(metadata) if metadata.nlink() > 1 => Ok(()),
            Ok(_) => {
                self.remove(sha256);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(cache_error(&entry)(error)),
        }
    }

    /// Takes an archive out that has not the digest that is its name.
    pub(crate) fn recheck(&self, sha256: [u8; 32]) -> Result<(), Error> {
        let entry = self.entry_path(&sha256);
        match fs::metadata(&entry) {
            Ok(_) => self.again(&entry, &info_path(&entry), sha256).map(drop),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(cache_error(&entry)(error)),
        }
    }

    /// Takes those archives out that were handed out and are not any more what they were when they came in.
    pub(crate) fn heal(&self) -> Result<Vec<PathBuf>, Error> {
        let trusted = std::mem::take(&mut *self.trusted());
        let mut removed = Vec::new();
        for sha256 in trusted {
            self.recheck(sha256)?;
            let entry = self.entry_path(&sha256);
            if !entry.exists() {
                removed.push(entry);
            }
        }
        Ok(removed)
    }

    fn trusted(&self) -> MutexGuard<'_, BTreeSet<[u8; 32]>> {
        self.trusted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prepare(&self, digests: Digests) -> Result<PathBuf, Error> {
        let entry = self.entry_path(&digests.sha256);
        if let Some(folder) = entry.parent() {
            fs::create_dir_all(folder).map_err(cache_error(folder))?;
        }
        self.write(&info_path(&entry), &info_text(digests))?;
        Ok(entry)
    }

    fn finish(&self, entry: PathBuf, digests: Digests, wanted: &Wanted) -> Result<Package, Error> {
        if wanted.sha256.is_none() {
            let folder = self.root.join("index");
            fs::create_dir_all(&folder).map_err(cache_error(&folder))?;
            self.write(
                &folder.join(Self::key(wanted)),
                &hex::encode(&digests.sha256),
            )?;
        }
        Ok(package(entry, digests))
    }

    fn indexed(&self, wanted: &Wanted) -> Result<Option<[u8; 32]>, Error> {
        let path = self.root.join("index").join(Self::key(wanted));
        Ok(read_small(&path)?.and_then(|text| hex::decode(text.trim())))
    }

    fn entry(&self, sha256: [u8; 32], wanted: &Wanted) -> Result<Option<Package>, Error> {
        let entry = self.entry_path(&sha256);
        let size = match fs::metadata(&entry) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cache_error(&entry)(error)),
        };
        let info = info_path(&entry);
        let digests = match read_small(&info)?.and_then(|text| parse_info(&text)) {
            Some((md5, known)) if known == size => Digests { sha256, md5, size },
            _ => match self.again(&entry, &info, sha256)? {
                Some(digests) => digests,
                None => return Ok(None),
            },
        };
        packages::verify(wanted, digests)?;
        self.trusted().insert(sha256);
        Ok(Some(package(entry, digests)))
    }

    /// Reads an entry whose size or whose information is not what it was.
    fn again(&self, entry: &Path, info: &Path, sha256: [u8; 32]) -> Result<Option<Digests>, Error> {
        let mut hasher = Hasher::default();
        let mut file = fs::File::open(entry).map_err(cache_error(entry))?;
        pump(&mut file, &mut hasher, &mut |_, _| Ok(())).map_err(cache_error(entry))?;
        let digests = hasher.finish();
        if digests.sha256 != sha256 {
            fs::remove_file(entry).map_err(cache_error(entry))?;
            return Ok(None);
        }
        self.write(info, &info_text(digests))?;
        Ok(Some(digests))
    }

    fn write(&self, path: &Path, text: &str) -> Result<(), Error> {
        let mut file = self.scratch()?;
        file.write_all(text.as_bytes()).map_err(cache_error(path))?;
        file.persist(path)
            .map(drop)
            .map_err(|error| cache_error(path)(error.error))
    }

    /// Where an archive lies, or would.
    pub(crate) fn entry_path(&self, sha256: &[u8; 32]) -> PathBuf {
        let name = hex::encode(sha256);
        self.root.join("sha256").join(&name[..2]).join(name)
    }

    fn partial_dir(&self) -> Result<PathBuf, Error> {
        let folder = self.root.join("partial");
        fs::create_dir_all(&folder).map_err(cache_error(&folder))?;
        Ok(folder)
    }
}

/// The error for a failure at `path` of the cache.
pub(crate) fn cache_error(path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::Cache {
        path: path.to_owned(),
        source,
    }
}

fn package(path: PathBuf, digests: Digests) -> Package {
    Package {
        path,
        sha256: digests.sha256,
        md5: digests.md5,
        size: digests.size,
    }
}

fn info_path(entry: &Path) -> PathBuf {
    entry.with_extension("info")
}

fn info_text(digests: Digests) -> String {
    format!("{} {}\n", hex::encode(&digests.md5), digests.size)
}

fn parse_info(text: &str) -> Option<([u8; 16], u64)> {
    let (md5, size) = text.trim().split_once(' ')?;
    Some((hex::decode(md5)?, size.parse().ok()?))
}

/// A file of one line; `None` where it does not exist or is something else.
fn read_small(path: &Path) -> Result<Option<String>, Error> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > 200 => Ok(None),
        Ok(_) => match fs::read(path) {
            Ok(bytes) => Ok(String::from_utf8(bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cache_error(path)(error)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cache_error(path)(error)),
    }
}
