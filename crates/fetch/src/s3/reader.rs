//! An object as a file that is read in the order that packages are: the end, which says where what
//! lies, a little of the beginning, a member anywhere, then everything once. The end and the beginning are
//! kept, so that no byte is asked for twice on that way.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::{Error, Object, Requests};

/// Objects up to this size are asked for as a whole.
const WHOLE: u64 = 1 << 20;

/// How much of the end is kept: the directory of a zip archive, and most often the metadata before it.
const TAIL: u64 = 256 << 10;

/// How much of the beginning is kept.
const HEAD: u64 = 64 << 10;

/// How much is asked for anywhere else.
const BLOCK: u64 = 256 << 10;

/// How many pieces wait to be taken; a piece is what came from the network at once.
const AHEAD: usize = 4;

/// An object that is read. Its requests begin with [`Reader::start`] or with the first byte.
pub struct Reader {
    requests: Arc<Requests>,
    handle: Handle,
    object: Object,
    position: u64,
    tail_start: u64,
    tail: Tail,
    head: Vec<u8>,
    stream: Option<Stream>,
    block: (u64, Vec<u8>),
}

enum Tail {
    Unasked,
    Asked(oneshot::Receiver<Result<Vec<u8>, Error>>),
    Here(Vec<u8>),
}

/// What comes one after the other, up to the tail.
struct Stream {
    position: u64,
    pieces: mpsc::Receiver<Result<Vec<u8>, Error>>,
    piece: Vec<u8>,
    taken: usize,
}

impl Reader {
    pub(super) fn new(requests: Arc<Requests>, handle: Handle, object: Object) -> Self {
        let tail_start = if object.size <= WHOLE {
            0
        } else {
            object.size - TAIL
        };
        Self {
            requests,
            handle,
            object,
            position: 0,
            tail_start,
            tail: Tail::Unasked,
            head: Vec::new(),
            stream: None,
            block: (0, Vec::new()),
        }
    }

    /// Asks for what will be read first, without waiting for it.
    pub fn start(&mut self) {
        if matches!(self.tail, Tail::Unasked) && self.object.size > 0 {
            let (sender, receiver) = oneshot::channel();
            let part = part(
                &self.requests,
                &self.object,
                self.tail_start..self.object.size,
            );
            self.handle.spawn(async move {
                // Nobody waits for the answer where the reader is gone.
                let _ = sender.send(part.await);
            });
            self.tail = Tail::Asked(receiver);
            if self.tail_start > 0 {
                self.stream = Some(self.open(0));
            }
        }
    }

    fn open(&self, position: u64) -> Stream {
        let (sender, pieces) = mpsc::channel(AHEAD);
        let (requests, object) = (Arc::clone(&self.requests), self.object.clone());
        let range = position..self.tail_start;
        self.handle.spawn(async move {
            let mut stream = match requests.get_part(&object, range).await {
                Ok(result) => result.into_stream(),
                Err(error) => {
                    let _ = sender.send(Err(error)).await;
                    return;
                }
            };
            while let Some(piece) = stream.next().await {
                let piece = piece
                    .map(Vec::from)
                    .map_err(|error| requests.failures.of("read", &object.key, &error));
                if sender.send(piece).await.is_err() {
                    return;
                }
            }
        });
        Stream {
            position,
            pieces,
            piece: Vec::new(),
            taken: 0,
        }
    }

    /// The bytes at the position, at least one before the end.
    fn bytes(&mut self) -> io::Result<&[u8]> {
        self.start();
        let position = self.position;
        if position >= self.object.size {
            return Ok(&[]);
        }
        if position >= self.tail_start {
            return self.tail(position);
        }
        let head = HEAD.min(self.tail_start);
        if position < head {
            while self.head.len() as u64 <= position {
                self.grow_head(head)?;
            }
            return Ok(rest(&self.head, position));
        }
        let stream = self.stream.as_ref();
        if stream.is_none_or(|stream| stream.position != position) {
            if position != head {
                return self.block(position);
            }
            // Once more from the beginning.
            self.stream = Some(self.open(position));
        }
        match &mut self.stream {
            Some(stream) => stream.bytes(),
            None => Ok(&[]),
        }
    }

    fn tail(&mut self, position: u64) -> io::Result<&[u8]> {
        if let Tail::Asked(receiver) = &mut self.tail {
            let answer = self.handle.block_on(receiver);
            let bytes = answer.map_err(|_| ended())?.map_err(io::Error::other)?;
            if bytes.len() as u64 != self.object.size - self.tail_start {
                return Err(ended());
            }
            self.tail = Tail::Here(bytes);
        }
        match &self.tail {
            Tail::Here(bytes) => Ok(rest(bytes, position - self.tail_start)),
            _ => Err(ended()),
        }
    }

    fn grow_head(&mut self, limit: u64) -> io::Result<()> {
        let length = self.head.len() as u64;
        if self
            .stream
            .as_ref()
            .is_none_or(|stream| stream.position != length)
        {
            self.stream = Some(self.open(length));
        }
        if let Some(stream) = &mut self.stream {
            let bytes = stream.bytes()?;
            let room = usize::try_from(limit - length).unwrap_or(usize::MAX);
            let count = bytes.len().min(room);
            self.head.extend(bytes.iter().take(count));
            stream.take(count);
        }
        Ok(())
    }

    fn block(&mut self, position: u64) -> io::Result<&[u8]> {
        let (start, bytes) = &self.block;
        if position < *start || position >= start + bytes.len() as u64 {
            let range = position..self.tail_start.min(position + BLOCK);
            let part = part(&self.requests, &self.object, range);
            let bytes = self.handle.block_on(part).map_err(io::Error::other)?;
            if bytes.is_empty() {
                return Err(ended());
            }
            self.block = (position, bytes);
        }
        Ok(rest(&self.block.1, position - self.block.0))
    }
}

impl Stream {
    fn bytes(&mut self) -> io::Result<&[u8]> {
        while self.taken >= self.piece.len() {
            self.piece = match self.pieces.blocking_recv() {
                None => return Err(ended()),
                Some(piece) => piece.map_err(io::Error::other)?,
            };
            self.taken = 0;
        }
        Ok(self.piece.get(self.taken..).unwrap_or_default())
    }

    fn take(&mut self, count: usize) {
        self.taken += count;
        self.position += count as u64;
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.bytes()?.read(buffer)?;
        if let Some(stream) = &mut self.stream
            && stream.position == self.position
            && self.position < self.tail_start
            && self.position >= HEAD.min(self.tail_start)
        {
            stream.take(count);
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(distance) => self.object.size.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "a place before the start")
        })?;
        Ok(self.position)
    }
}

/// A part of an object, as a whole.
fn part(
    requests: &Arc<Requests>,
    object: &Object,
    range: Range<u64>,
) -> impl Future<Output = Result<Vec<u8>, Error>> + Send + 'static {
    let (requests, object) = (Arc::clone(requests), object.clone());
    async move {
        let result = requests.get_part(&object, range).await?;
        let bytes = result.bytes().await;
        bytes
            .map(Vec::from)
            .map_err(|error| requests.failures.of("read", &object.key, &error))
    }
}

fn rest(bytes: &[u8], from: u64) -> &[u8] {
    usize::try_from(from)
        .ok()
        .and_then(|from| bytes.get(from..))
        .unwrap_or_default()
}

/// An answer that is shorter than what was asked for.
fn ended() -> io::Error {
    io::Error::other(Error::Short)
}
