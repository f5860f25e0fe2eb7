//! Digests what is read in a thread of its own, so that the reader need not wait: where a stream is decoded, that is a
//! third of the work.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use archive::digest::{Digests, Hasher};

/// What the thread gets at a time, in bytes.
const PIECE: usize = 1 << 18;

/// How many pieces the reader may be ahead.
const AHEAD: usize = 4;

/// Passes on what is read, and has it digested.
pub(super) struct DigestBeside<'scope, R> {
    inner: R,
    piece: Vec<u8>,
    full: SyncSender<Vec<u8>>,
    /// Pieces that were digested, to be filled again.
    empty: Receiver<Vec<u8>>,
    thread: ScopedJoinHandle<'scope, Digests>,
}

impl<'scope, R> DigestBeside<'scope, R> {
    pub(super) fn new(
        inner: R,
        scope: &'scope Scope<'scope, '_>,
    ) -> io::Result<DigestBeside<'scope, R>> {
        let (full, pieces) = sync_channel::<Vec<u8>>(AHEAD);
        let (used, empty) = sync_channel(AHEAD + 2);
        let digest = move || {
            let mut hasher = Hasher::new();
            for mut piece in pieces {
                hasher.update(&piece);
                piece.clear();
                // The reader may be done.
                let _ = used.try_send(piece);
            }
            hasher.finish()
        };
        Ok(DigestBeside {
            inner,
            piece: Vec::with_capacity(PIECE),
            full,
            empty,
            thread: Builder::new().spawn_scoped(scope, digest)?,
        })
    }

    /// The digests of all that was read.
    pub(super) fn finish(self) -> io::Result<Digests> {
        let gone = || io::Error::other("what digests the layer has ended");
        self.full.send(self.piece).map_err(|_| gone())?;
        drop(self.full);
        self.thread.join().map_err(|_| gone())
    }
}

impl<R: Read> Read for DigestBeside<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.piece
            .extend_from_slice(buffer.get(..count).unwrap_or_default());
        if self.piece.len() >= PIECE {
            let next = self.empty.try_recv();
            let next = next.unwrap_or_else(|_| Vec::with_capacity(PIECE));
            let piece = std::mem::replace(&mut self.piece, next);
            self.full
                .send(piece)
                .map_err(|_| io::Error::other("what digests the layer has ended"))?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use archive::digest::Sha256;

    use super::*;

    #[test]
    fn the_digest_is_that_of_all_bytes_however_they_are_read() {
        let all: Vec<u8> = (0..PIECE * (AHEAD + 4) + 3)
            .map(|i| u8::try_from(i * i % 251).unwrap())
            .collect();
        for length in [0, 1, PIECE, all.len()] {
            for step in [7, 1 << 13, PIECE + 1] {
                let data = &all[..length];
                let digests = std::thread::scope(|scope| {
                    let mut reader = DigestBeside::new(data, scope).unwrap();
                    let mut buffer = vec![0; step];
                    while reader.read(&mut buffer).unwrap() > 0 {}
                    reader.finish().unwrap()
                });
                assert_eq!(digests.sha256, Sha256::of(data), "{length} by {step}");
                assert_eq!(digests.length, length as u64);
            }
        }
    }

    #[test]
    fn who_stops_reading_stops_the_thread() {
        let data = vec![0; PIECE * 3];
        std::thread::scope(|scope| {
            let mut reader = DigestBeside::new(&data[..], scope).unwrap();
            let mut buffer = vec![0; PIECE];
            reader.read_exact(&mut buffer).unwrap();
        });
    }
}
