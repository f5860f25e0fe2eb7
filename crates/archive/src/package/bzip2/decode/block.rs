//! One block: from its codes to the last column of the sorted rotations, and from that to its bytes.

use std::io::{self, BufRead};

use super::bits::Bits;
use super::broken;
use super::table::Table;

/// How many symbols are coded by a group before another one is selected.
const SELECTED: usize = 50;

/// After so many equal bytes stands how many more there are.
const RUN: u8 = 4;

/// The block that is being told.
#[derive(Default)]
pub(super) struct Block {
    /// How many bytes a block may have before runs are unfolded.
    limit: usize,
    /// For each rotation its last byte (8 bits), and which one follows it (24 bits).
    rotations: Vec<u32>,
    /// Which rotation is next.
    next: u32,
    /// How many rotations are left.
    left: usize,
    last: u8,
    /// How many of the last bytes were equal.
    equal: u8,
    /// How many more times the last byte is to be told.
    more: u8,
    checksum: u32,
    expected: u32,
}

impl Block {
    /// Allows blocks of `level` times 100 KB.
    pub(super) fn allow(&mut self, level: u32) {
        self.limit = level as usize * 100_000;
    }

    /// Reads a block after its mark and checksum.
    pub(super) fn read(&mut self, bits: &mut Bits<impl BufRead>, expected: u32) -> io::Result<()> {
        if bits.take(1)? == 1 {
            return Err(broken("it is of bzip2 0.9.0, with randomised blocks"));
        }
        let origin = bits.take(24)? as usize;
        let mut places = self.column(bits)?;
        if origin >= self.rotations.len() {
            return Err(broken("a block begins outside of itself"));
        }
        // From how often each byte is there to where the rotations are that begin with it.
        let mut sum = 0;
        for place in &mut places {
            sum += std::mem::replace(place, sum);
        }
        for number in 0..self.rotations.len() {
            let byte = self.rotations[number] & 0xff;
            let place = &mut places[byte as usize];
            self.rotations[*place as usize] |= u32::try_from(number).unwrap_or_default() << 8;
            *place += 1;
        }
        self.next = self.rotations[origin] >> 8;
        self.left = self.rotations.len();
        (self.equal, self.more) = (0, 0);
        (self.checksum, self.expected) = (u32::MAX, expected);
        Ok(())
    }

    /// Reads the last column into `rotations`, and counts its bytes.
    fn column(&mut self, bits: &mut Bits<impl BufRead>) -> io::Result<[u32; 256]> {
        let (mut recent, used) = used(bits)?;
        let groups = bits.take(3)? as usize;
        if !(2..=6).contains(&groups) {
            return Err(broken("a block has an impossible number of groups"));
        }
        let selectors = selectors(bits, groups)?;
        let tables: Vec<Table> = (0..groups)
            .map(|_| Table::read(bits, used + 2))
            .collect::<io::Result<_>>()?;
        let mut counts = [0_u32; 256];
        let column = &mut self.rotations;
        column.clear();
        column.reserve_exact(self.limit);
        // Runs of the most recent byte, in a numeral system with the digits 1 and 2.
        let (mut run, mut weight) = (0, 1);
        for selector in selectors {
            let table = &tables[usize::from(selector)];
            for _ in 0..SELECTED {
                let symbol = table.symbol(bits)?;
                if symbol < 2 {
                    run += weight << symbol;
                    weight <<= 1;
                    if run > self.limit {
                        return Err(broken("a run is longer than a block"));
                    }
                    continue;
                }
                if run > 0 {
                    let byte = recent[0];
                    counts[usize::from(byte)] += u32::try_from(run).unwrap_or_default();
                    column.resize(column.len() + run, u32::from(byte));
                    (run, weight) = (0, 1);
                }
                let is_end = symbol == used + 1;
                if column.len() + usize::from(!is_end) > self.limit {
                    return Err(broken("a block is longer than it may be"));
                }
                if is_end {
                    return Ok(counts);
                }
                let place = symbol - 1;
                let byte = recent[place];
                // Most are near, and a loop of few steps is quicker than a call.
                if place < 16 {
                    for place in (0..place).rev() {
                        recent[place + 1] = recent[place];
                    }
                } else {
                    recent.copy_within(0..place, 1);
                }
                recent[0] = byte;
                counts[usize::from(byte)] += 1;
                column.push(u32::from(byte));
            }
        }
        Err(broken("a block has no end"))
    }

    /// Tells more of its bytes; none when all are told.
    pub(super) fn tell(&mut self, buffer: &mut [u8]) -> usize {
        let mut told = 0;
        for slot in &mut *buffer {
            if self.more > 0 {
                self.more -= 1;
            } else {
                let Some(byte) = self.step() else { break };
                if self.equal > 0 && byte == self.last {
                    self.equal += 1;
                } else {
                    (self.equal, self.last) = (1, byte);
                }
                if self.equal == RUN {
                    self.more = self.step().unwrap_or_default();
                    self.equal = 0;
                }
            }
            *slot = self.last;
            let index = (self.checksum >> 24) as usize ^ usize::from(self.last);
            self.checksum = self.checksum << 8 ^ CHECKSUMS[index];
            told += 1;
        }
        told
    }

    /// The checksum, if it is the one that was promised.
    pub(super) fn finish(&self) -> io::Result<u32> {
        if !self.checksum == self.expected {
            Ok(self.expected)
        } else {
            Err(broken("the checksum of a block is wrong"))
        }
    }

    #[inline]
    fn step(&mut self) -> Option<u8> {
        self.left = self.left.checked_sub(1)?;
        let rotation = *self.rotations.get(self.next as usize)?;
        self.next = rotation >> 8;
        let [byte, ..] = rotation.to_le_bytes();
        Some(byte)
    }
}

/// Which bytes there are, in their order, and how many.
fn used(bits: &mut Bits<impl BufRead>) -> io::Result<([u8; 256], usize)> {
    let mut found = [0; 256];
    let mut count = 0;
    let rows = bits.take(16)?;
    for row in (0..16_u8).filter(|row| rows >> (15 - row) & 1 == 1) {
        let columns = bits.take(16)?;
        for column in (0..16_u8).filter(|column| columns >> (15 - column) & 1 == 1) {
            found[count] = row << 4 | column;
            count += 1;
        }
    }
    if count == 0 {
        return Err(broken("a block has no bytes"));
    }
    Ok((found, count))
}

/// Which group codes each run of symbols.
fn selectors(bits: &mut Bits<impl BufRead>, groups: usize) -> io::Result<Vec<u8>> {
    let count = bits.take(15)?;
    let mut recent = [0, 1, 2, 3, 4, 5];
    let mut selectors = Vec::new();
    for _ in 0..count {
        let mut place = 0;
        while bits.take(1)? == 1 {
            place += 1;
            if place == groups {
                return Err(broken("there is no such group"));
            }
        }
        recent[..=place].rotate_right(1);
        selectors.push(recent[0]);
    }
    Ok(selectors)
}

/// CRC-32 with the highest bit first, for each byte (the polynomial is Ethernet's).
const CHECKSUMS: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "it is below 256")]
        let mut value = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            let carried = value >> 31 == 1;
            value <<= 1;
            if carried {
                value ^= 0x04c1_1db7;
            }
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};
