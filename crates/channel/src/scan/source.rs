//! What packages are read from: files, or objects of a bucket, which are asked for before it is their turn.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use fetch::s3::{self, Bucket, Object, Reader};
use fs_err::File;

use super::Stat;
use crate::Unusable;

/// Where a package lies.
pub(crate) enum Source {
    File(PathBuf),
    Object(Arc<Bucket>, Object),
    /// An object whose bytes are on their way.
    Coming(Box<Reader>),
}

/// A package that is read.
pub(super) enum Opened {
    File(File),
    Object(Box<Reader>, Option<s3::Error>),
}

impl Source {
    /// Asks for an object's bytes.
    pub(super) fn start(&mut self) {
        if let Self::Object(bucket, object) = self {
            let mut reader = Box::new(bucket.reader(std::mem::take(object)));
            reader.start();
            *self = Self::Coming(reader);
        }
    }

    /// Opens a package if it is what was listed.
    pub(super) fn open(&mut self, stat: Stat) -> Result<Opened, Unusable> {
        self.start();
        let read = |source| Unusable::Read { source };
        match std::mem::replace(self, Self::File(PathBuf::new())) {
            Self::File(path) => {
                let file = File::open(&path).map_err(read)?;
                *self = Self::File(path);
                let opened = Opened::File(file);
                opened.check(stat)?;
                Ok(opened)
            }
            Self::Coming(reader) => Ok(Opened::Object(reader, None)),
            Self::Object(bucket, object) => {
                Ok(Opened::Object(Box::new(bucket.reader(object)), None))
            }
        }
    }
}

impl Opened {
    /// Fails if a file is another one now. Of an object no byte of another version is ever read.
    pub(super) fn check(&self, stat: Stat) -> Result<(), Unusable> {
        let Self::File(file) = self else {
            return Ok(());
        };
        match file.metadata() {
            Err(source) => Err(Unusable::Read { source }),
            Ok(metadata) if Stat::of(&metadata) != stat => Err(Unusable::Changed),
            Ok(_) => Ok(()),
        }
    }

    /// What the store said when a read failed, in place of what came of that.
    pub(super) fn explain(&mut self, outcome: Unusable) -> Unusable {
        match self {
            Self::Object(_, failure) => match failure.take() {
                None => outcome,
                Some(s3::Error::Changed { .. }) => Unusable::Changed,
                Some(source) => Unusable::Store { source },
            },
            Self::File(_) => outcome,
        }
    }
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Object(reader, failure) => {
                reader
                    .read(buffer)
                    .map_err(|error| match error.downcast::<s3::Error>() {
                        Ok(error) => {
                            *failure = Some(error);
                            io::Error::other("the store failed")
                        }
                        Err(error) => error,
                    })
            }
        }
    }
}

impl Seek for Opened {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.seek(to),
            Self::Object(reader, _) => reader.seek(to),
        }
    }
}
