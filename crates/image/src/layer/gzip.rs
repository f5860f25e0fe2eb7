//! A gzip stream of members that are compressed each on its own, by all threads at once, while the data of the next ones
//! are made. Where a member ends follows from the length of the data alone, so the bytes are the same with any number of
//! threads.
//! Readers take several members as one stream (RFC 1952, section 2.2; eStargz's layers are made of them, too).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use libdeflater::{CompressionLvl, Compressor};

/// As small as what gzip makes at its level 6 (of real packages 0.3 % smaller; level 4 would be 1.7 % larger), in a quarter
/// of the time. Another level would be another digest.
const LEVEL: i32 = 5;

/// What a member unpacks to, in bytes. Matches reach 32 KiB back, so more would save next to nothing.
const MEMBER: usize = 1 << 19;

/// Members of a layer that are on their way at once: enough for many threads, little for many layers.
const TOGETHER: usize = 8;

thread_local! {
    /// Made once for each thread: it is as large as a member.
    static COMPRESSOR: RefCell<Option<Compressor>> =
        RefCell::new(CompressionLvl::new(LEVEL).ok().map(Compressor::new));
}

/// Compresses what is written.
#[derive(Debug)]
pub(super) struct GzipMembers<W> {
    sink: W,
    /// The member that is being filled.
    last: Piece,
    /// Full members, which any thread may compress.
    waiting: VecDeque<Arc<Member>>,
    /// Buffers that were used before.
    spare: Vec<Piece>,
    /// Whether there was a member.
    begun: bool,
}

/// A member, before and after.
#[derive(Debug, Default)]
struct Piece {
    data: Vec<u8>,
    /// What comes of it: as many bytes as are said; the others are of earlier members.
    packed: Vec<u8>,
    length: usize,
}

/// A member on its way.
#[derive(Debug)]
struct Member {
    stage: Mutex<Stage>,
    done: Condvar,
}

#[derive(Debug)]
enum Stage {
    Waiting(Piece),
    /// A thread has it, or had it.
    Taken,
    Done(io::Result<Piece>),
}

impl<W: Write> GzipMembers<W> {
    pub(super) fn new(sink: W) -> GzipMembers<W> {
        GzipMembers {
            sink,
            last: Piece::default(),
            waiting: VecDeque::new(),
            spare: Vec::new(),
            begun: false,
        }
    }

    /// Completes the stream. One of nothing is a member, too.
    pub(super) fn finish(mut self) -> io::Result<W> {
        if !self.last.data.is_empty() || !self.begun {
            self.send_off()?;
        }
        while let Some(first) = self.waiting.pop_front() {
            self.write(&first)?;
        }
        Ok(self.sink)
    }

    /// Lets the other threads have the last member, and begins another one.
    fn send_off(&mut self) -> io::Result<()> {
        if self.waiting.len() == TOGETHER
            && let Some(first) = self.waiting.pop_front()
        {
            self.write(&first)?;
        }
        let next = self.spare.pop().unwrap_or_default();
        let member = Arc::new(Member::of(std::mem::replace(&mut self.last, next)));
        self.begun = true;
        self.waiting.push_back(Arc::clone(&member));
        rayon::spawn(move || {
            member.compress();
        });
        Ok(())
    }

    /// Writes the first member. Until it is ready, this thread compresses what nobody else has begun: the others may
    /// all be busy with layers of their own, or there may be none.
    fn write(&mut self, first: &Member) -> io::Result<()> {
        first.compress();
        while !first.is_done() && self.waiting.iter().any(|member| member.compress()) {}
        let mut piece = first.wait()?;
        self.sink
            .write_all(piece.packed.get(..piece.length).unwrap_or_default())?;
        piece.data.clear();
        self.spare.push(piece);
        Ok(())
    }
}

impl Member {
    fn of(piece: Piece) -> Member {
        Member {
            stage: Mutex::new(Stage::Waiting(piece)),
            done: Condvar::new(),
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compresses it, unless a thread did or does so; whether this one did.
    fn compress(&self) -> bool {
        let mut stage = self.stage();
        if !matches!(*stage, Stage::Waiting(_)) {
            return false;
        }
        let Stage::Waiting(mut piece) = std::mem::replace(&mut *stage, Stage::Taken) else {
            return false;
        };
        drop(stage);
        let packed = piece.pack();
        *self.stage() = Stage::Done(packed.map(|()| piece));
        self.done.notify_all();
        true
    }

    fn is_done(&self) -> bool {
        matches!(*self.stage(), Stage::Done(_))
    }

    /// What came of it, once.
    fn wait(&self) -> io::Result<Piece> {
        let busy = |stage: &mut Stage| !matches!(stage, Stage::Done(_));
        let mut stage = self
            .done
            .wait_while(self.stage(), busy)
            .unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *stage, Stage::Taken) {
            Stage::Done(result) => result,
            _ => Err(failed()),
        }
    }
}

impl Piece {
    /// Makes one member of the data: no name, no time, a system that is not known (RFC 1952, section 2.3).
    fn pack(&mut self) -> io::Result<()> {
        COMPRESSOR.with_borrow_mut(|compressor| {
            let compressor = compressor.as_mut().ok_or_else(failed)?;
            let most = compressor.gzip_compress_bound(self.data.len());
            if self.packed.len() < most {
                self.packed.resize(most, 0);
            }
            let length = compressor.gzip_compress(&self.data, &mut self.packed);
            self.length = length.map_err(|_| failed())?;
            Ok(())
        })
    }
}

fn failed() -> io::Error {
    io::Error::other("the compressor failed")
}

impl<W: Write> Write for GzipMembers<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.last.data.len() == MEMBER {
            self.send_off()?;
        }
        let data = &mut self.last.data;
        data.reserve_exact(MEMBER - data.len());
        let count = buffer.len().min(MEMBER - data.len());
        data.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn packed(data: &[u8], step: usize) -> Vec<u8> {
        let mut encoder = GzipMembers::new(Vec::new());
        for piece in data.chunks(step) {
            encoder.write_all(piece).unwrap();
        }
        encoder.finish().unwrap()
    }

    #[test]
    fn what_comes_out_is_what_went_in_whatever_its_length() {
        let long: Vec<u8> = (0..MEMBER * (TOGETHER + 1) + 7)
            .map(|i| u8::try_from(i * i % 251).unwrap())
            .collect();
        for length in [0, 1, MEMBER - 1, MEMBER, MEMBER + 1, long.len()] {
            let bytes = packed(&long[..length], 1 << 16);
            let mut back = Vec::new();
            let mut decoder = flate2::read::MultiGzDecoder::new(&bytes[..]);
            decoder.read_to_end(&mut back).unwrap();
            assert!(back == long[..length], "{length} bytes");
        }
    }

    #[test]
    fn bytes_do_not_follow_from_threads_or_pieces() {
        let data: Vec<u8> = (0..MEMBER * 3)
            .map(|i| u8::try_from(i / 1000 % 256).unwrap())
            .collect();
        let expected = packed(&data, data.len());
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let pool = pool.build().unwrap();
            assert!(pool.install(|| packed(&data, 777)) == expected, "{threads}");
        }
        // Magic, method, no flags, no time, nothing about speed, no system.
        assert_eq!(expected[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    }
}
