//! Where the files of a channel lie: in a folder, or in a bucket. Both are asked the same: what packages
//! there are, what is known of a file, what is in it, and to put one there or take it away. In which order that
//! is done is `publish`'s business.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archive::package::Kind;

use crate::Error;
use crate::scan::{Source, Stat};

mod folder;
mod objects;

pub(crate) use objects::{Objects, headers};

/// Where a channel lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder.
    Folder(PathBuf),
    /// A bucket of an S3-compatible store.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// What the keys of the channel begin with, before a slash; may be empty.
        prefix: String,
    },
}

/// A location that files are read from and written to.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Folder(PathBuf),
    Bucket(Arc<Objects>),
}

/// What lies in a platform's folder.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// What is named like a package, sorted by name.
    pub(crate) packages: Vec<Listed>,
    /// The other names, in no order.
    pub(crate) others: Vec<String>,
}

/// A file that is named like a package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listed {
    /// The name; what of it is not UTF-8 is replaced, and then it cannot be opened under it.
    pub(crate) file: String,
    pub(crate) kind: Kind,
    /// What is known of it, if it is a file.
    pub(crate) stat: Result<Stat, Odd>,
    /// An object's tag.
    pub(crate) tag: String,
}

/// Why something in a folder is no package, whatever is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Odd {
    Name,
    NotFile,
    Unreadable,
}

impl Location {
    /// What a user means: `s3://BUCKET/PREFIX`, or a folder.
    pub fn parse(text: &OsStr) -> Result<Self, Error> {
        let Some((scheme, rest)) = text.to_str().and_then(|text| text.split_once("://")) else {
            return Ok(Self::Folder(text.into()));
        };
        let problem = |problem| Error::Unsupported { problem };
        if scheme != "s3" {
            return Err(problem(format!(
                "`{}`: a channel is a folder or s3://BUCKET/PREFIX",
                text.display()
            )));
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        if bucket.is_empty()
            || prefix
                .split('/')
                .any(|part| part.is_empty() && !prefix.is_empty())
        {
            return Err(problem(format!(
                "`{}` is not s3://BUCKET/PREFIX",
                text.display()
            )));
        }
        Ok(Self::S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self::Folder(path.to_owned())
    }
}

impl From<&PathBuf> for Location {
    fn from(path: &PathBuf) -> Self {
        Self::Folder(path.clone())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(formatter, "{}", path.display()),
            Self::S3 { bucket, prefix } => write!(formatter, "s3://{bucket}/{prefix}"),
        }
    }
}

impl Place {
    /// Opens a location. Nothing is made.
    pub(crate) fn open(location: &Location) -> Result<Self, Error> {
        Ok(match location {
            Location::Folder(path) => Self::Folder(path.clone()),
            Location::S3 { bucket, prefix } => {
                Self::Bucket(Arc::new(Objects::open(bucket, prefix)?))
            }
        })
    }

    /// A folder below.
    pub(crate) fn at(&self, name: &str) -> Self {
        match self {
            Self::Folder(path) => Self::Folder(path.join(name)),
            Self::Bucket(objects) => Self::Bucket(objects.at(name)),
        }
    }

    /// How a file is called in messages; "" is the place itself.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Folder(path) if name.is_empty() => path.clone(),
            Self::Folder(path) => path.join(name),
            Self::Bucket(objects) => objects.url(name).into(),
        }
    }

    /// What tells the place from all others on this machine.
    pub(crate) fn identity(&self) -> String {
        match self {
            Self::Folder(path) => {
                let path = fs_err::canonicalize(path).unwrap_or(path.clone());
                path.display().to_string()
            }
            Self::Bucket(objects) => objects.url(""),
        }
    }

    /// What the place is called among others.
    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Self::Folder(path) => {
                let path = fs_err::canonicalize(path).ok()?;
                Some(path.file_name()?.to_string_lossy().into_owned())
            }
            Self::Bucket(objects) => objects
                .url("")
                .rsplit('/')
                .find(|part| !part.is_empty())
                .map(str::to_owned),
        }
    }

    /// Lists a bucket, once; a folder is looked at whenever something is asked.
    pub(crate) fn load(&self) -> Result<(), Error> {
        match self {
            Self::Folder(_) => Ok(()),
            Self::Bucket(objects) => objects.load(),
        }
    }

    /// What was listed does not count any more.
    pub(crate) fn forget(&self) {
        if let Self::Bucket(objects) = self {
            objects.forget();
        }
    }

    /// What lies in it, from one look. Nothing is opened.
    pub(crate) fn list(&self) -> Result<Listing, Error> {
        match self {
            Self::Folder(path) => folder::list(path),
            Self::Bucket(objects) => Ok(Listing {
                packages: objects.packages()?,
                others: objects.names(),
            }),
        }
    }

    /// What is named like a package and has this name, if there is such a thing.
    pub(crate) fn find(&self, file: &str) -> Option<Listed> {
        match self {
            Self::Folder(path) => folder::find(path, file),
            Self::Bucket(objects) => objects.package(file),
        }
    }

    /// Where a package is read from.
    pub(crate) fn source(&self, listed: &Listed) -> Source {
        match self {
            Self::Folder(path) => Source::File(path.join(&listed.file)),
            Self::Bucket(objects) => objects.source(listed),
        }
    }

    /// What is known of a file, if it is one.
    pub(crate) fn stat(&self, name: &str) -> Option<Stat> {
        match self {
            Self::Folder(path) => folder::stat(&path.join(name)),
            Self::Bucket(objects) => objects.stat(name),
        }
    }

    /// A file's bytes, if it is there.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Folder(path) => folder::read(&path.join(name)),
            Self::Bucket(objects) => objects.read(name),
        }
    }

    /// Whether a file has these bytes.
    pub(crate) fn has(&self, name: &str, bytes: &[u8]) -> bool {
        match self {
            Self::Folder(path) => folder::has(&path.join(name), bytes),
            Self::Bucket(objects) => objects.has(name, bytes),
        }
    }

    /// The names of all files.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        match self {
            Self::Folder(path) => folder::names(path),
            Self::Bucket(objects) => Ok(objects.names()),
        }
    }

    /// Takes a file away, if it is there.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match self {
            Self::Folder(path) => folder::remove(&path.join(name)),
            Self::Bucket(objects) => objects.remove(name),
        }
    }
}

/// The format of a package, by its name. Hidden ones are what programs write before they rename it.
pub(crate) fn package_kind(name: &[u8]) -> Option<Kind> {
    if name.starts_with(b".") {
        return None;
    }
    [Kind::Conda, Kind::TarBz2]
        .into_iter()
        .find(|kind| name.ends_with(kind.extension().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_write() {
        let s3 = |bucket: &str, prefix: &str| Location::S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        };
        for (text, expected) in [
            ("channel", Location::Folder("channel".into())),
            ("/a/b:c", Location::Folder("/a/b:c".into())),
            ("s3://bucket", s3("bucket", "")),
            ("s3://bucket/", s3("bucket", "")),
            ("s3://bucket/a/b/", s3("bucket", "a/b")),
        ] {
            assert_eq!(Location::parse(OsStr::new(text)).expect(text), expected);
        }
        for text in [
            "s3://",
            "s3:///a",
            "s3://b//a",
            "s3://b/a//b",
            "gs://b/a",
            "http://h/c",
        ] {
            let error = Location::parse(OsStr::new(text)).expect_err(text);
            assert!(error.is_usage(), "{error}");
        }
    }
}
