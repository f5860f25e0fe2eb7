//! One package while it is read.

use std::io::{self, Read as _, Seek as _, SeekFrom};

use archive::digest::{Hasher, Md5, Sha256};
use archive::package;

use super::md5::{self, BLOCK, State, Stream};
use super::metadata::{self, Metadata};
use super::source::Opened;
use super::{Done, Job, Wanted};
use crate::Unusable;
use crate::scanned::{PostInstall, Scanned};

/// How much is read at a time, in bytes: a gang's buffers fit into the processor's own memory.
const CHUNK: usize = 64 << 10;

/// An open package. It is ready while there are blocks to take.
pub(super) struct Lane {
    job: Job,
    file: Opened,
    metadata: Metadata,
    sha256: Hasher,
    md5: State,
    crc32: crc32fast::Hasher,
    /// How many bytes of the file were read.
    position: u64,
    buffer: Vec<u8>,
    /// How many blocks of the buffer are done.
    passed: usize,
    ended: bool,
    failure: Option<Unusable>,
}

impl Lane {
    /// Opens a package and reads its metadata. What is broken already, or has its digests, is done.
    pub(super) fn open(
        mut job: Job,
        wanted: Wanted,
        buffer: Vec<u8>,
    ) -> Result<Self, (Box<Done>, Vec<u8>)> {
        let mut opened = || {
            let mut file = job.source.open(job.stat)?;
            let read = |source| Unusable::Read { source };
            let metadata = metadata::read(&mut file, job.kind, wanted);
            let metadata = metadata.map_err(|source| {
                file.explain(match source {
                    package::Error::Read { source } => Unusable::Read { source },
                    source => Unusable::Package { source },
                })
            })?;
            file.seek(SeekFrom::Start(0)).map_err(read)?;
            Ok((file, metadata))
        };
        let (file, metadata) = match opened() {
            Ok(opened) => opened,
            Err(error) => {
                let outcome = Err(error);
                return Err((Box::new(Done { job, outcome }), buffer));
            }
        };
        if let Some((md5, sha256)) = job.known {
            let outcome = describe(&job, metadata, md5, sha256);
            return Err((Box::new(Done { job, outcome }), buffer));
        }
        Ok(Self {
            job,
            file,
            metadata,
            sha256: Hasher::new(),
            md5: md5::START,
            crc32: crc32fast::Hasher::new(),
            position: 0,
            buffer,
            passed: usize::MAX,
            ended: false,
            failure: None,
        })
    }

    /// Whether there are blocks to take; reads on if there are not.
    pub(super) fn is_ready(&mut self) -> bool {
        if self.passed < self.buffer.len() / BLOCK {
            return true;
        }
        if self.ended || self.failure.is_some() {
            return false;
        }
        if let Err(source) = self.fill() {
            self.failure = Some(self.file.explain(Unusable::Read { source }));
        }
        self.failure.is_none()
    }

    /// How many blocks there are to take.
    pub(super) fn blocks(&self) -> usize {
        (self.buffer.len() / BLOCK).saturating_sub(self.passed)
    }

    /// The blocks there are to take.
    pub(super) fn stream(&mut self) -> Stream<'_> {
        let (blocks, _) = self.buffer.as_chunks();
        Stream {
            state: &mut self.md5,
            blocks: blocks.get(self.passed..).unwrap_or_default(),
        }
    }

    /// So many blocks were taken.
    pub(super) fn pass(&mut self, count: usize) {
        self.passed += count;
    }

    /// What the package came to, and the buffer for the next one.
    pub(super) fn finish(self) -> (Done, Vec<u8>) {
        let buffer = self.buffer;
        let outcome = match self.failure {
            Some(failure) => Err(failure),
            None => check(
                &self.job,
                &self.file,
                &self.metadata,
                self.position,
                self.crc32.finalize(),
            )
            .and_then(|()| {
                let md5 = Md5(md5::digest(self.md5));
                let sha256 = self.sha256.finish().sha256;
                describe(&self.job, self.metadata, md5, sha256)
            }),
        };
        let job = self.job;
        (Done { job, outcome }, buffer)
    }

    /// Reads the next piece; behind the last one comes what MD5 wants at the end.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.resize(CHUNK, 0);
        let mut count = 0;
        while let Some(rest) = self.buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
            match self.file.read(rest) {
                Ok(0) => {
                    self.ended = true;
                    break;
                }
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.buffer.truncate(count);
        self.passed = 0;
        self.sha256.update(&self.buffer);
        if let Some(member) = &self.metadata.content {
            let within = |position: u64| {
                let distance = position.saturating_sub(self.position);
                usize::try_from(distance).unwrap_or(usize::MAX).min(count)
            };
            let end = member.offset.saturating_add(member.length);
            let part = within(member.offset)..within(end);
            self.crc32.update(self.buffer.get(part).unwrap_or_default());
        }
        self.position += count as u64;
        if self.ended {
            let (padding, length) = md5::padding(self.position);
            self.buffer
                .extend_from_slice(padding.get(..length).unwrap_or_default());
        }
        Ok(())
    }
}

/// Whether the file is still the one that was listed, and its content what the archive says.
fn check(
    job: &Job,
    file: &Opened,
    metadata: &Metadata,
    length: u64,
    crc32: u32,
) -> Result<(), Unusable> {
    file.check(job.stat)?;
    if length != job.stat.size {
        return Err(Unusable::Changed);
    }
    match &metadata.content {
        Some(member) if member.crc32 != crc32 => Err(Unusable::Package {
            source: package::Error::Member {
                member: member.name.clone(),
                problem: "does not have the checksum that the zip archive says",
            },
        }),
        _ => Ok(()),
    }
}

fn describe(
    job: &Job,
    mut metadata: Metadata,
    md5: Md5,
    sha256: Sha256,
) -> Result<(Scanned, Wanted), Unusable> {
    let size = job.stat.size;
    let seen = metadata.seen;
    let details = seen.details;
    let scanned = Scanned {
        file: job.file.clone(),
        kind: job.kind,
        md5,
        sha256,
        size,
        mtime_ns: job.stat.mtime_ns,
        record: metadata.record(&md5.to_string(), &sha256.to_string(), size)?,
        run_exports: metadata.run_exports()?,
        about: metadata.about(),
        post_install: if details {
            metadata.post_install()
        } else {
            PostInstall::default()
        },
        recipe: metadata.recipe(),
        icon: metadata.take_icon(),
    };
    Ok((scanned, seen))
}
