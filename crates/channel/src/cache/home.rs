//! Where the cache of a channel is kept: in its `.cache` folder, in a database, or, for a channel in a bucket, as one
//! compressed object that is fetched into a folder of this machine and written back.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archive::digest::Sha256;
use fetch::postgres::{Address, Database};
use fetch::s3::{Condition, Put, Upload};

use super::{Cache, FILE};
use crate::Error;
use crate::place::{Objects, Place, headers};

/// What tells a channel from all others in a database, whatever it is called on each machine.
const IDENTITY: &str = "archiconda-index.id";

/// The level of the compressed object: the cache is written often and read as often.
const LEVEL: i32 = 3;

/// Where a cache is kept.
pub(crate) enum Home {
    Folder(PathBuf),
    Bucket(Copy),
    Database(Box<Address>, String),
}

/// The cache's object and its copy here.
pub(crate) struct Copy {
    objects: Arc<Objects>,
    folder: PathBuf,
}

impl Home {
    /// Of a channel whose lock is held, or whose cache is in the database.
    pub(crate) fn of(
        channel: &Place,
        database: Option<&Address>,
        copies: &Path,
    ) -> Result<Self, Error> {
        if let Some(address) = database {
            let address = Box::new(address.clone());
            return Ok(Self::Database(address, identity(channel)?));
        }
        Ok(match channel {
            Place::Folder(path) => Self::Folder(path.join(".cache")),
            Place::Bucket(objects) => {
                let name = Sha256::of(objects.url("").as_bytes()).to_string();
                let folder = copies.join("index").join(name);
                fs_err::create_dir_all(&folder).map_err(|source| Error::Write {
                    path: folder.clone(),
                    source,
                })?;
                Self::Bucket(Copy {
                    objects: Arc::clone(objects),
                    folder,
                })
            }
        })
    }

    /// Opens the cache.
    pub(crate) fn open(&self) -> Result<Cache, Error> {
        Ok(match self {
            Self::Folder(folder) => Cache::open(folder)?,
            Self::Bucket(copy) => {
                copy.fetch()?;
                Cache::open(&copy.folder)?
            }
            Self::Database(address, identity) => {
                let database = Database::open(address, identity).map_err(super::Error::from)?;
                Cache::of_database(database)?
            }
        })
    }

    /// Throws away what is in it.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        let folder = match self {
            Self::Folder(folder) => folder,
            Self::Bucket(copy) => &copy.folder,
            Self::Database(address, identity) => {
                let database = Database::open(address, identity).map_err(super::Error::from)?;
                return Ok(database.clear().map_err(super::Error::from)?);
            }
        };
        Cache::remove(folder).map_err(|source| Error::Write {
            path: folder.join(FILE),
            source,
        })
    }

    /// Keeps what a run has learned where the next one, on whatever machine, finds it.
    pub(crate) fn keep(&self, cache: Cache) -> Result<(), Error> {
        let is_changed = cache.is_changed();
        drop(cache);
        match self {
            Self::Bucket(copy) if is_changed => copy.store(),
            _ => Ok(()),
        }
    }
}

impl Copy {
    fn key(&self) -> String {
        self.objects.key(&format!(".cache/{FILE}.zst"))
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Which version of the object the copy began as.
    fn tag_path(&self) -> PathBuf {
        self.folder.join("tag")
    }

    fn tag(&self) -> Option<String> {
        fs_err::read_to_string(self.tag_path()).ok()
    }

    /// Makes the copy that of the object that is there, unless it is: what a killed run has added to it
    /// counts then.
    fn fetch(&self) -> Result<(), Error> {
        let local = |source| Error::Write {
            path: self.path(),
            source,
        };
        let there = self.objects.find(&format!(".cache/{FILE}.zst"))?;
        if self.path().is_file() && there.as_ref().map(|object| &object.etag) == self.tag().as_ref()
        {
            return Ok(());
        }
        let clear = |path: PathBuf| match fs_err::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        clear(self.tag_path())
            .and_then(|()| clear(self.path()))
            .map_err(local)?;
        let Some(object) = there else {
            return Ok(());
        };
        let tag = object.etag.clone();
        let mut reader = self.objects.bucket().reader(object);
        let unpack = |reader: &mut fetch::s3::Reader| {
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            zstd::stream::copy_decode(reader, &mut file)?;
            file.persist(self.path())?;
            fs_err::write(self.tag_path(), &tag)
        };
        match unpack(&mut reader) {
            Ok(()) => Ok(()),
            Err(error) => match error.downcast::<fetch::s3::Error>() {
                Ok(error) => Err(error.into()),
                // Not what this program writes: it is as if there were none, and is written anew.
                Err(error) if error.kind() == io::ErrorKind::Other => {
                    fs_err::write(self.tag_path(), &tag).map_err(local)
                }
                Err(error) => Err(local(error)),
            },
        }
    }

    /// Writes the object anew. Somebody else's is left: it is only a cache.
    fn store(&self) -> Result<(), Error> {
        let packed = fs_err::File::open(self.path())
            .and_then(|file| zstd::stream::encode_all(file, LEVEL))
            .map_err(|source| Error::Read {
                path: self.path(),
                source,
            })?;
        let put = self.objects.bucket().put(Upload {
            key: self.key(),
            bytes: packed,
            condition: self.tag().map_or(Condition::Absent, Condition::Is),
            headers: headers(".cache/"),
        })?;
        let done = match put {
            Put::Done(tag) => fs_err::write(self.tag_path(), tag),
            Put::Refused => fs_err::remove_file(self.tag_path()),
        };
        match done {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::Write {
                path: self.tag_path(),
                source: error,
            }),
            _ => Ok(()),
        }
    }
}

/// A channel's identity, which is made where there is none. A copy of a folder is another channel: there the
/// file's inode is part of it, which is the same for all machines that share the folder.
fn identity(channel: &Place) -> Result<String, Error> {
    let fresh = || {
        let random = || RandomState::new().build_hasher().finish();
        format!("{:016x}{:016x}\n", random(), random())
    };
    match channel {
        Place::Folder(path) => {
            let folder = path.join(".cache");
            let path = folder.join(IDENTITY);
            let read = || {
                fs_err::create_dir_all(&folder)?;
                let draft = tempfile::NamedTempFile::new_in(&folder)?;
                fs_err::write(draft.path(), fresh())?;
                // Whoever is first is right.
                match draft.persist_noclobber(&path) {
                    Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(error.error);
                    }
                    _ => {}
                }
                let inode = crate::scan::Stat::of(&fs_err::metadata(&path)?).inode;
                Ok(format!("{}-{inode}", fs_err::read_to_string(&path)?.trim()))
            };
            read().map_err(|source| Error::Write {
                path: path.clone(),
                source,
            })
        }
        Place::Bucket(objects) => {
            let key = objects.key(&format!(".cache/{IDENTITY}"));
            let bucket = objects.bucket();
            let mut there = bucket.get(&key)?;
            if there.is_none() {
                bucket.put(Upload {
                    key: key.clone(),
                    bytes: fresh().into_bytes(),
                    condition: Condition::Absent,
                    headers: headers(".cache/"),
                })?;
                there = bucket.get(&key)?;
            }
            let (there, _) = there.unwrap_or_default();
            let there = String::from_utf8_lossy(&there).trim().to_owned();
            Ok(format!("{there}-{}", objects.url("")))
        }
    }
}
