//! How much of the decoded stream may be read at a time, and what an error of the tar reader
//! really comes from.

use std::cell::Cell;
use std::io::{self, Read};

use super::super::Error;
use super::super::layout::lossy;

/// What may stand between two entries: padding, long names and extended attributes.
pub(super) const HEADER_LIMIT: u64 = 1 << 20;

/// Counts what is read from the decoder and stops it at a limit that moves.
pub(super) struct Meter {
    count: Cell<u64>,
    limit: Cell<u64>,
    total: u64,
    exceeded: Cell<bool>,
    failed: Cell<bool>,
    ended: Cell<bool>,
}

impl Meter {
    pub(super) fn new(total: u64) -> Self {
        Self {
            count: Cell::new(0),
            limit: Cell::new(total),
            total,
            exceeded: Cell::new(false),
            failed: Cell::new(false),
            ended: Cell::new(false),
        }
    }

    /// Lets so many more bytes pass.
    pub(super) fn allow(&self, more: u64) {
        self.limit
            .set(self.count.get().saturating_add(more).min(self.total));
    }

    /// Lets all pass that the whole archive may have.
    pub(super) fn allow_all(&self) {
        self.limit.set(self.total);
    }

    /// How many bytes have passed.
    pub(super) fn count(&self) -> u64 {
        self.count.get()
    }

    /// Whether the stream has come to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// What an error of the tar reader or of the content comes from.
    pub(super) fn explain(&self, source: io::Error, entry: Option<&str>) -> Error {
        let entry = entry.map(|entry| lossy(entry.as_bytes()));
        let source = match source.downcast::<Error>() {
            Ok(error) => return error,
            Err(source) => source,
        };
        if self.exceeded.get() {
            let (what, limit) = if self.limit.get() == self.total {
                ("the decoded size at the end", self.total)
            } else {
                ("what follows the content", HEADER_LIMIT)
            };
            return Error::Limit {
                entry: entry.unwrap_or_else(|| ".".to_owned()),
                what,
                limit,
            };
        }
        if self.failed.get() && source.raw_os_error().is_some() {
            return Error::Read { source };
        }
        if self.ended.get() || source.kind() == io::ErrorKind::UnexpectedEof {
            return Error::Truncated { entry };
        }
        if self.failed.get() {
            return Error::Decode { source };
        }
        Error::Tar { entry, source }
    }
}

/// The decoder, read as far as the meter allows.
pub(super) struct Metered<'a, R> {
    inner: R,
    meter: &'a Meter,
}

impl<'a, R> Metered<'a, R> {
    pub(super) fn new(inner: R, meter: &'a Meter) -> Self {
        Self { inner, meter }
    }
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let meter = self.meter;
        let left = meter.limit.get().saturating_sub(meter.count.get());
        if left == 0 && !buffer.is_empty() {
            meter.exceeded.set(true);
            return Err(io::Error::other("limit reached"));
        }
        let length = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let window = buffer.get_mut(..length).unwrap_or_default();
        match self.inner.read(window) {
            Ok(count) => {
                meter.count.set(meter.count.get() + count as u64);
                if count == 0 && length > 0 {
                    meter.ended.set(true);
                }
                Ok(count)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::Interrupted {
                    meter.failed.set(true);
                }
                Err(error)
            }
        }
    }
}
