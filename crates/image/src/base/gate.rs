//! A tar reader keeps long names and extended attributes in memory, however long they say to be. This lets it have as
//! much before each file as an image has.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

/// What may stand between two entries: padding, long names and extended attributes, in bytes.
pub(super) const HEADER_LIMIT: u64 = 1 << 20;

/// Lets as many bytes pass as its other end says.
pub(super) struct Gate<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R> Gate<R> {
    /// A gate before `inner`, and its other end, which begins with [`HEADER_LIMIT`].
    pub(super) fn before(inner: R) -> (Gate<R>, Rc<Cell<u64>>) {
        let left = Rc::new(Cell::new(HEADER_LIMIT));
        let gate = Gate {
            inner,
            left: Rc::clone(&left),
        };
        (gate, left)
    }
}

impl<R: Read> Read for Gate<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::other("there is too much before the next file"));
        }
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = self.inner.read(&mut buffer[..most])?;
        self.left.set(left - count as u64);
        Ok(count)
    }
}

impl<R: Seek> Seek for Gate<R> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.inner.seek(position)
    }
}
