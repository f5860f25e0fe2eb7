//! One frame: verified, decoded once, its bytes written to every place that wants them.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use archive::digest::{Hasher, Sha256};
use archive::payload::{Decoder, FrameReader, ReadAt};

use super::package::Loaded;
use super::site::Site;
use crate::error::Error;
use crate::event::Event;
use crate::plan::File;
use crate::relocate::{Problem, Relocation};
use crate::tree::{Attributes, Tree};

/// Files up to this size are written in one go from the buffer, as are the pieces of longer ones.
const CAPACITY: usize = 1 << 18;

/// How many long files that share their bytes are open at once; more take another pass.
const MOST_OPEN: usize = 64;

/// How many bytes lie between two reports.
const REPORT_EVERY: u64 = 1 << 21;

/// A file to be written.
#[derive(Debug)]
pub(super) struct Job<'l> {
    pub(super) package: &'l Loaded,
    /// Position of its entry in the package's plan, for [`Loaded::note`].
    pub(super) entry: usize,
    pub(super) file: &'l File,
    /// Where it goes, relative to the tree.
    pub(super) path: Cow<'l, str>,
    /// Whether its placeholder is to be replaced.
    pub(super) relocate: bool,
    /// Where it is wanted, too, as a hard link.
    pub(super) link: Option<&'l str>,
    /// Whether it takes the place of what is there.
    pub(super) replace: bool,
}

/// What a thread decodes with, kept from frame to frame.
pub(super) struct Buffer {
    decoder: Decoder,
    decoded: Vec<u8>,
    /// What is to be written of a file whose placeholder is being replaced.
    relocated: Vec<u8>,
}

impl Buffer {
    pub(super) fn new() -> Buffer {
        Buffer {
            decoder: Decoder::new(),
            decoded: vec![0; CAPACITY],
            relocated: Vec::new(),
        }
    }
}

/// Writes all `jobs`, whose bytes are in `frame`.
pub(super) fn decode<S: ReadAt + ?Sized, T: Tree>(
    site: &Site<'_, S, T>,
    frame: usize,
    mut jobs: Vec<Job<'_>>,
    buffer: &mut Buffer,
) -> Result<(), Error> {
    let missing = archive::payload::Error::NoFrame { number: frame };
    let size = site.payload.index.frames.get(frame).map(|frame| frame.size);
    let size = size.ok_or(Error::Payload { source: missing })?;
    jobs.sort_by_key(|job| (job.file.offset, job.file.size));
    check_places(&jobs, size)?;
    let Buffer {
        decoder,
        decoded,
        relocated,
    } = buffer;
    let mut reported = 0;
    while !jobs.is_empty() {
        let reader = site
            .payload
            .frame(frame, decoder)
            .map_err(|source| Error::Payload { source })?;
        let mut stream = Stream {
            frame,
            reader,
            buffer: decoded,
            start: 0,
            end: 0,
            position: 0,
        };
        let mut later = Vec::new();
        let mut rest = jobs.into_iter().peekable();
        while let Some(first) = rest.next() {
            if site.stopped() {
                return Err(Error::Cancelled);
            }
            let (offset, length) = (first.file.offset, first.file.size);
            let mut sharing = vec![first];
            while let Some(job) = rest.next_if(|job| job.file.offset == offset) {
                sharing.push(job);
            }
            stream.skip_to(offset)?;
            match usize::try_from(length) {
                Ok(length) if length <= CAPACITY => {
                    let bytes = stream.take(length)?;
                    sharing
                        .iter()
                        .try_for_each(|job| write_whole(site, job, bytes, relocated))?;
                }
                _ => {
                    later.extend(sharing.split_off(sharing.len().min(MOST_OPEN)));
                    write_long(site, sharing, length, &mut stream, relocated)?;
                }
            }
            if stream.position >= reported + REPORT_EVERY {
                (site.report)(Event::Decoded {
                    bytes: stream.position - reported,
                });
                reported = stream.position;
            }
        }
        jobs = later;
    }
    (site.report)(Event::Decoded {
        bytes: size.saturating_sub(reported),
    });
    Ok(())
}

/// Files either share all their bytes or none.
fn check_places(jobs: &[Job<'_>], size: u64) -> Result<(), Error> {
    let mut free = 0;
    let mut last = None;
    for job in jobs {
        let File {
            offset,
            size: length,
            ..
        } = *job.file;
        let end = offset.checked_add(length).filter(|end| *end <= size);
        let shared = last == Some((offset, length));
        match end {
            Some(end) if shared || offset >= free => free = end,
            _ => {
                let problem = format!("the position of `{}` is impossible", job.path);
                return Err(Error::Plan { problem });
            }
        }
        last = Some((offset, length));
    }
    Ok(())
}

fn write_whole<S: ReadAt + ?Sized, T: Tree>(
    site: &Site<'_, S, T>,
    job: &Job<'_>,
    bytes: &[u8],
    relocated: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut sink = Sink::open(site, job)?;
    sink.write(bytes, relocated)
        .map_err(|problem| failure(site, job, problem))?;
    close(site, job, sink, relocated)
}

fn write_long<S: ReadAt + ?Sized, T: Tree>(
    site: &Site<'_, S, T>,
    jobs: Vec<Job<'_>>,
    length: u64,
    stream: &mut Stream<'_, '_, S>,
    relocated: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut sinks = Vec::with_capacity(jobs.len());
    for job in jobs {
        let sink = Sink::open(site, &job)?;
        sinks.push((job, sink));
    }
    let mut left = length;
    while left > 0 {
        if site.stopped() {
            return Err(Error::Cancelled);
        }
        let bytes = stream.some(left)?;
        for (job, sink) in &mut sinks {
            sink.write(bytes, relocated)
                .map_err(|problem| failure(site, job, problem))?;
        }
        left -= bytes.len() as u64;
    }
    sinks
        .into_iter()
        .try_for_each(|(job, sink)| close(site, &job, sink, relocated))
}

/// A file whose placeholder is being replaced.
struct Relocated<F> {
    relocation: Relocation,
    hasher: Hasher,
    file: F,
}

impl<F: Write> Relocated<F> {
    /// Writes what came of a piece: few large writes, whatever the number of replacements.
    fn pass_on(&mut self, piece: &[u8]) -> Result<(), Problem> {
        if piece.is_empty() {
            return Ok(());
        }
        self.hasher.update(piece);
        self.file
            .write_all(piece)
            .map_err(|source| Problem::Write { source })
    }
}

/// A file that is open.
enum Sink<F> {
    Plain(F),
    Relocated(Box<Relocated<F>>),
}

impl<F: Write> Sink<F> {
    fn open<S: ReadAt + ?Sized, T: Tree<File = F>>(
        site: &Site<'_, S, T>,
        job: &Job<'_>,
    ) -> Result<Self, Error> {
        let File {
            mode,
            modified,
            size,
            placeholder,
            ..
        } = job.file;
        // A file that cannot be relocated is not begun.
        let placeholder = placeholder.as_ref().filter(|_| job.relocate);
        let relocation = placeholder
            .map(|placeholder| Relocation::new(placeholder, site.settings.prefix, *size))
            .transpose()
            .map_err(|problem| failure(site, job, problem))?;
        let attributes = Attributes {
            mode: *mode,
            modified: Some(*modified),
            replace: job.replace,
            size: match &relocation {
                None => Some(*size),
                Some(relocation) => relocation.length(*size),
            },
        };
        let file = site
            .tree
            .file(&job.path, attributes)
            .map_err(site.cannot_write(&job.path))?;
        Ok(match relocation {
            None => Sink::Plain(file),
            Some(relocation) => {
                let hasher = Hasher::new();
                Sink::Relocated(Box::new(Relocated {
                    relocation,
                    hasher,
                    file,
                }))
            }
        })
    }

    fn write(&mut self, bytes: &[u8], piece: &mut Vec<u8>) -> Result<(), Problem> {
        match self {
            Sink::Plain(file) => file
                .write_all(bytes)
                .map_err(|source| Problem::Write { source }),
            Sink::Relocated(relocated) => {
                piece.clear();
                relocated.relocation.feed(bytes, piece)?;
                relocated.pass_on(piece)
            }
        }
    }

    /// The file, and digest and length of what was written if they depend on the prefix.
    fn finish(self, piece: &mut Vec<u8>) -> Result<(F, Option<(Sha256, u64)>), Problem> {
        match self {
            Sink::Plain(file) => Ok((file, None)),
            Sink::Relocated(mut relocated) => {
                piece.clear();
                relocated.relocation.finish(piece)?;
                relocated.pass_on(piece)?;
                let digests = relocated.hasher.finish();
                Ok((relocated.file, Some((digests.sha256, digests.length))))
            }
        }
    }
}

fn close<S: ReadAt + ?Sized, T: Tree>(
    site: &Site<'_, S, T>,
    job: &Job<'_>,
    sink: Sink<T::File>,
    relocated: &mut Vec<u8>,
) -> Result<(), Error> {
    let (file, result) = sink
        .finish(relocated)
        .map_err(|problem| failure(site, job, problem))?;
    site.tree
        .close(file)
        .map_err(site.cannot_write(&job.path))?;
    if let Some(path) = job.link {
        site.tree
            .hard_link(path, &job.path)
            .map_err(site.cannot_write(path))?;
    }
    job.package.note(job.entry, result);
    Ok(())
}

fn failure<S: ReadAt + ?Sized, T: Tree>(
    site: &Site<'_, S, T>,
    job: &Job<'_>,
    problem: Problem,
) -> Error {
    match problem {
        Problem::Write { source } => site.cannot_write(&job.path)(source),
        source => Error::Relocate {
            package: job.package.dist.clone(),
            path: job.path.clone().into_owned(),
            source,
        },
    }
}

/// A frame that is being decoded, through a buffer from which files are cut without copying.
struct Stream<'a, 'b, S: ?Sized> {
    frame: usize,
    reader: FrameReader<'a, S>,
    buffer: &'b mut Vec<u8>,
    start: usize,
    end: usize,
    /// Position in the frame of the byte at `start`.
    position: u64,
}

impl<S: ReadAt + ?Sized> Stream<'_, '_, S> {
    fn skip_to(&mut self, offset: u64) -> Result<(), Error> {
        while self.position < offset {
            let left = offset - self.position;
            self.some(left)?;
        }
        Ok(())
    }

    /// Exactly `length` bytes, at most [`CAPACITY`].
    fn take(&mut self, length: usize) -> Result<&[u8], Error> {
        if self.buffer.len() - self.start < length {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        while self.end - self.start < length {
            self.fill()?;
        }
        Ok(self.advance(length))
    }

    /// At least one byte and at most `left`.
    fn some(&mut self, left: u64) -> Result<&[u8], Error> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.fill()?;
        }
        let length = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(self.end - self.start);
        Ok(self.advance(length))
    }

    /// Reads until the buffer is full or the frame ends: few large pieces cost the least.
    fn fill(&mut self) -> Result<(), Error> {
        let frame = self.frame;
        let decode = |source| Error::Decode { frame, source };
        let before = self.end;
        while let Some(room) = self
            .buffer
            .get_mut(self.end..)
            .filter(|room| !room.is_empty())
        {
            let read = self.reader.read(room).map_err(decode)?;
            if read == 0 {
                break;
            }
            self.end += read;
        }
        if self.end == before {
            return Err(decode(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(())
    }

    fn advance(&mut self, length: usize) -> &[u8] {
        let start = self.start;
        self.start += length;
        self.position += length as u64;
        self.buffer.get(start..self.start).unwrap_or_default()
    }
}
