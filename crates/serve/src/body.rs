//! The body of an answer. A file is read piece by piece, each when the one before is on its way, so that memory
//! does not grow with the file; what lies in the kernel's cache is read at once, and only the rest by another thread.

use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use rustix::io::{Errno, ReadWriteFlags};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::exchange::Exchange;
use crate::folder::Entry;

/// How much is read at a time.
pub(crate) const PIECE: usize = 1 << 17;

/// `TMPFS_MAGIC` of linux/magic.h.
const TMPFS: i64 = 0x0102_1994;

/// What is sent, and who counts it.
pub(crate) struct Body {
    content: Content,
    exchange: Option<Exchange>,
}

enum Content {
    Nothing,
    Text(Bytes),
    Part(Part),
    /// What others send, and how many bytes are left of it.
    Pieces(mpsc::Receiver<io::Result<Bytes>>, u64),
}

/// Bytes of a file from one position to another.
pub(crate) struct Part {
    entry: Arc<Entry>,
    position: u64,
    end: u64,
    /// The kernel does not say what is in its cache, and all of the file is in memory anyway.
    in_memory: bool,
    reading: Option<JoinHandle<io::Result<Piece>>>,
}

/// A buffer that is used again: fresh memory costs more than what is read into it.
struct Piece {
    buffer: Vec<u8>,
    length: usize,
}

/// How many buffers wait to be used again.
const SPARE: usize = 64;
static SPARES: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

impl Piece {
    fn new(length: usize) -> Self {
        let spare = SPARES.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self {
            buffer: spare.unwrap_or_else(|| vec![0; PIECE]),
            length,
        }
    }

    fn as_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(..self.length).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut spares = SPARES.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < SPARE {
            spares.push(std::mem::take(&mut self.buffer));
        }
    }
}

impl Body {
    pub(crate) fn nothing() -> Self {
        Self::of(Content::Nothing)
    }

    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        Self::of(Content::Text(text.into()))
    }

    pub(crate) fn part(entry: Entry, position: u64, end: u64) -> Self {
        if position >= end {
            return Self::nothing();
        }
        Self::of(Content::Part(Part {
            entry: Arc::new(entry),
            position,
            end,
            in_memory: false,
            reading: None,
        }))
    }

    /// So many bytes that come from elsewhere.
    pub(crate) fn pieces(pieces: mpsc::Receiver<io::Result<Bytes>>, length: u64) -> Self {
        Self::of(Content::Pieces(pieces, length))
    }

    fn of(content: Content) -> Self {
        Self {
            content,
            exchange: None,
        }
    }

    /// Tells the exchange what becomes of the body.
    pub(crate) fn watched(mut self, mut exchange: Exchange) -> Self {
        exchange.promise(self.left());
        self.exchange = Some(exchange);
        self
    }

    fn left(&self) -> u64 {
        match &self.content {
            Content::Nothing => 0,
            Content::Text(text) => text.len() as u64,
            Content::Part(part) => part.end - part.position,
            Content::Pieces(_, left) => *left,
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let bytes = match &mut self.content {
            Content::Nothing => return Poll::Ready(None),
            Content::Text(text) => std::mem::take(text),
            Content::Part(part) => match ready!(part.poll(context)) {
                Ok(piece) => Bytes::from_owner(piece),
                Err(error) => {
                    self.content = Content::Nothing;
                    return Poll::Ready(Some(Err(error)));
                }
            },
            Content::Pieces(pieces, left) => {
                let gone = || Err(io::ErrorKind::UnexpectedEof.into());
                match ready!(pieces.poll_recv(context)).unwrap_or_else(gone) {
                    Ok(piece) => {
                        *left = left.saturating_sub(piece.len() as u64);
                        piece
                    }
                    Err(error) => {
                        self.content = Content::Nothing;
                        return Poll::Ready(Some(Err(error)));
                    }
                }
            }
        };
        if self.left() == 0 {
            self.content = Content::Nothing;
        }
        if let Some(exchange) = &mut self.exchange {
            exchange.sent(bytes.len() as u64);
        }
        let is_empty = bytes.is_empty();
        Poll::Ready((!is_empty).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

impl Part {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Piece>> {
        let left = self.end - self.position;
        let length = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        let piece = if let Some(reading) = &mut self.reading {
            let read = ready!(Pin::new(reading).poll(context));
            self.reading = None;
            read.map_err(io::Error::other)??
        } else if let Some(piece) = self.read_cached(length)? {
            piece
        } else {
            let (entry, position) = (Arc::clone(&self.entry), self.position);
            self.reading = Some(tokio::task::spawn_blocking(move || {
                let mut piece = Piece::new(length);
                entry.file()?.read_exact_at(piece.as_mut(), position)?;
                Ok(piece)
            }));
            return self.poll(context);
        };
        self.position += piece.length as u64;
        // The last piece goes out only if all of them were of one state.
        if self.position == self.end && !self.entry.is_same()? {
            return Poll::Ready(Err(io::Error::other("the file was changed")));
        }
        Poll::Ready(Ok(piece))
    }

    /// What of a piece is in the kernel's cache; none if that is nothing, or nobody knows.
    fn read_cached(&mut self, length: usize) -> io::Result<Option<Piece>> {
        let file = self.entry.file()?;
        let mut piece = Piece::new(length);
        if self.in_memory {
            file.read_exact_at(piece.as_mut(), self.position)?;
            return Ok(Some(piece));
        }
        let mut buffers = [IoSliceMut::new(piece.as_mut())];
        match rustix::io::preadv2(file, &mut buffers, self.position, ReadWriteFlags::NOWAIT) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                piece.length = count;
                Ok(Some(piece))
            }
            Err(Errno::OPNOTSUPP) if rustix::fs::fstatfs(file)?.f_type == TMPFS => {
                self.in_memory = true;
                self.read_cached(length)
            }
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::INTR) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use fs_err as fs;

    use super::*;
    use crate::folder::Folder;

    fn read(mut body: Body, mut between: impl FnMut()) -> io::Result<Vec<u8>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            let mut all = Vec::new();
            loop {
                let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
                match frame.await {
                    None => return Ok(all),
                    Some(frame) => all.extend(frame?.into_data().expect("data")),
                }
                between();
            }
        })
    }

    #[test]
    fn a_part_is_exactly_these_bytes() {
        let place = tempfile::tempdir().expect("a folder");
        let content: Vec<u8> = (0..=250).cycle().take(3 * PIECE + 7).collect();
        fs::write(place.path().join("a"), &content).expect("a file");
        let folder = Folder::new(place.path().to_owned());
        for (start, end) in [
            (0, content.len()),
            (1, 2),
            (PIECE - 1, 2 * PIECE + 1),
            (5, 5),
        ] {
            let entry = folder.file(&["a"]).expect("a folder").expect("a file");
            let body = Body::part(entry, start as u64, end as u64);
            assert_eq!(body.size_hint().exact(), Some((end - start) as u64));
            assert!(
                read(body, || ()).expect("bytes") == content[start..end],
                "{start}-{end}"
            );
        }
    }

    #[test]
    fn a_file_that_changes_meanwhile_has_no_end() {
        let place = tempfile::tempdir().expect("a folder");
        let path = place.path().join("a");
        let folder = Folder::new(place.path().to_owned());
        let change = |change: &mut dyn FnMut()| {
            fs::write(&path, vec![b'a'; 2 * PIECE]).expect("a file");
            let entry = folder.file(&["a"]).expect("a folder").expect("a file");
            let end = entry.stat.size;
            read(Body::part(entry, 0, end), change)
        };
        assert!(change(&mut || ()).is_ok());
        assert!(change(&mut || fs::write(&path, "short").expect("a file")).is_err());
        let mut append = || {
            let file = fs::OpenOptions::new().append(true).open(&path);
            file.and_then(|mut file| file.write_all(b"more"))
                .expect("a file");
        };
        assert!(change(&mut append).is_err());
        let mut replace = || {
            fs::write(place.path().join("b"), "other").expect("a file");
            fs::rename(place.path().join("b"), &path).expect("a rename");
        };
        assert_eq!(change(&mut replace).expect("the old one").len(), 2 * PIECE);
    }
}
