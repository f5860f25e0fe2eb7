//! Bits, the highest of each byte first.

use std::io::{self, BufRead};

/// A source of bits.
pub(super) struct Bits<R> {
    source: R,
    /// What was taken from the source and not from here, from the highest bit on; zeros follow.
    ahead: u64,
    /// How many bits that are.
    count: u32,
}

impl<R: BufRead> Bits<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            ahead: 0,
            count: 0,
        }
    }

    /// Makes sure that 32 bits are ahead, or all that are left.
    #[inline]
    pub(super) fn fill(&mut self) -> io::Result<()> {
        if self.count >= 32 {
            return Ok(());
        }
        if let Some(word) = self.source.fill_buf()?.first_chunk() {
            self.ahead |= u64::from(u32::from_be_bytes(*word)) << (32 - self.count);
            self.count += 32;
            self.source.consume(4);
            return Ok(());
        }
        while self.count < 32 {
            let Some(byte) = self.source.fill_buf()?.first() else {
                break;
            };
            self.ahead |= u64::from(*byte) << (56 - self.count);
            self.count += 8;
            self.source.consume(1);
        }
        Ok(())
    }

    /// The next bits of those ahead, 1 to 32; zeros after the end.
    #[inline]
    pub(super) fn peek(&self, bits: u32) -> u32 {
        u32::try_from(self.ahead >> (64 - bits)).unwrap_or(u32::MAX)
    }

    /// Goes on by so many bits.
    #[inline]
    pub(super) fn skip(&mut self, bits: u32) -> io::Result<()> {
        self.count = self
            .count
            .checked_sub(bits)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        self.ahead <<= bits;
        Ok(())
    }

    /// Takes 1 to 32 bits.
    pub(super) fn take(&mut self, bits: u32) -> io::Result<u32> {
        self.fill()?;
        let taken = self.peek(bits);
        self.skip(bits)?;
        Ok(taken)
    }

    /// Goes on to the next whole byte.
    pub(super) fn align(&mut self) {
        let odd = self.count % 8;
        self.ahead <<= odd;
        self.count -= odd;
    }

    /// Whether nothing is left.
    pub(super) fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.count == 0 && self.source.fill_buf()?.is_empty())
    }
}
