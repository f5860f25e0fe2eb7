//! A bzip2 decoder for who wants the first of many bytes: a block of 900 KB has to be taken apart before its
//! first byte is known, and here that takes less than half of libbzip2's time (its codes are looked up, not
//! searched bit by bit). What follows is decoded in the same way, block after block. The format is that of
//! bzip2 1.0.8 without the randomised blocks of version 0.9.0, which no conda package ever had.

use std::io::{self, BufRead, Read};

mod bits;
mod block;
mod table;

use bits::Bits;
use block::Block;

#[cfg(test)]
mod tests;

/// What a block begins with.
const BLOCK: u64 = 0x3141_5926_5359;

/// The 48 bits that stand after the last block of a stream, before its checksum.
pub(super) const END: u64 = 0x1772_4538_5090;

/// Reads one stream after the other, as they follow each other in the source.
pub(in crate::package) struct Decoder<R> {
    bits: Bits<R>,
    block: Block,
    /// The checksum of the stream's blocks so far.
    combined: u32,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before a stream, or at the end of all; whether it is the first.
    Outside { first: bool },
    /// In a stream, before a block or its end.
    Between,
    /// In a block.
    Inside,
    /// Nothing follows.
    Ended,
}

impl<R: BufRead> Decoder<R> {
    pub(in crate::package) fn new(source: R) -> Self {
        Self {
            bits: Bits::new(source),
            block: Block::default(),
            combined: 0,
            place: Place::Outside { first: true },
        }
    }

    fn begin_stream(&mut self, first: bool) -> io::Result<()> {
        if !first && self.bits.has_ended()? {
            self.place = Place::Ended;
            return Ok(());
        }
        let level = match self.bits.take(32)? {
            head @ 0x425a_6831..=0x425a_6839 => head - 0x425a_6830,
            _ => return Err(broken("it does not begin as a bzip2 stream")),
        };
        self.block.allow(level);
        self.combined = 0;
        self.place = Place::Between;
        Ok(())
    }

    fn begin_block(&mut self) -> io::Result<()> {
        let mark = u64::from(self.bits.take(24)?) << 24 | u64::from(self.bits.take(24)?);
        let checksum = self.bits.take(32)?;
        match mark {
            BLOCK => {
                self.block.read(&mut self.bits, checksum)?;
                self.place = Place::Inside;
                Ok(())
            }
            END if checksum == self.combined => {
                self.bits.align();
                self.place = Place::Outside { first: false };
                Ok(())
            }
            END => Err(broken("the checksum of the stream is wrong")),
            _ => Err(broken("a block does not begin where one should")),
        }
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.place {
                Place::Outside { first } => self.begin_stream(first)?,
                Place::Between => self.begin_block()?,
                Place::Inside => {
                    let count = self.block.tell(buffer);
                    if count > 0 {
                        return Ok(count);
                    }
                    let checksum = self.block.finish()?;
                    self.combined = self.combined.rotate_left(1) ^ checksum;
                    self.place = Place::Between;
                }
                Place::Ended => return Ok(0),
            }
        }
    }
}

fn broken(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
