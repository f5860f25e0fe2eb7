//! The codes of one of a block's groups.

use std::io::{self, BufRead};

use super::bits::Bits;
use super::broken;

/// The longest code, in bits.
const LONGEST: u32 = 20;

/// Codes of at most so many bits are looked up, longer ones are compared with the limits of each length.
const QUICK: u32 = 10;

/// The most symbols: all bytes but one, two for runs, one for the end.
const SYMBOLS: usize = 258;

/// From codes to symbols.
pub(super) struct Table {
    /// By the next bits: the symbol, and in the four lowest bits its code's length; 0 for longer codes.
    quick: [u16; 1 << QUICK],
    /// By length: the first code, filled up to the longest length, that is longer.
    limits: [u32; LONGEST as usize + 1],
    /// By length: what is to be added to a code for its place in `symbols`.
    offsets: [i32; LONGEST as usize + 1],
    /// From the shortest code to the longest.
    symbols: [u16; SYMBOLS],
}

impl Table {
    /// Reads the lengths of the codes of `count` symbols.
    pub(super) fn read(bits: &mut Bits<impl BufRead>, count: usize) -> io::Result<Self> {
        let mut lengths = [0_u32; SYMBOLS];
        let lengths = lengths
            .get_mut(..count)
            .ok_or_else(|| broken("there are too many symbols"))?;
        let mut length = bits.take(5)?;
        for place in &mut *lengths {
            loop {
                if !(1..=LONGEST).contains(&length) {
                    return Err(broken("a code has an impossible length"));
                }
                if bits.take(1)? == 0 {
                    break;
                }
                length = if bits.take(1)? == 0 {
                    length + 1
                } else {
                    length - 1
                };
            }
            *place = length;
        }
        Ok(Self::of(lengths))
    }

    fn of(lengths: &[u32]) -> Self {
        let mut table = Self {
            quick: [0; 1 << QUICK],
            limits: [0; LONGEST as usize + 1],
            offsets: [0; LONGEST as usize + 1],
            symbols: [0; SYMBOLS],
        };
        let (mut code, mut place) = (0_u32, 0_u32);
        for length in 1..=LONGEST {
            table.offsets[length as usize] = place.cast_signed() - code.cast_signed();
            for (symbol, _) in (0..).zip(lengths).filter(|(_, other)| **other == length) {
                table.symbols[place as usize] = symbol;
                // Where lengths promise more codes than there are, those beyond the last are none.
                if length <= QUICK {
                    let first = (code as usize) << (QUICK - length);
                    let slots = table.quick.iter_mut().skip(first);
                    for slot in slots.take(1 << (QUICK - length)) {
                        *slot = symbol << 4 | u16::try_from(length).unwrap_or_default();
                    }
                }
                code += 1;
                place += 1;
            }
            table.limits[length as usize] = code << (LONGEST - length);
            code <<= 1;
        }
        table
    }

    /// Takes the next symbol.
    #[inline]
    pub(super) fn symbol(&self, bits: &mut Bits<impl BufRead>) -> io::Result<usize> {
        bits.fill()?;
        let quick = self.quick[bits.peek(QUICK) as usize];
        if quick != 0 {
            bits.skip(u32::from(quick & 15))?;
            return Ok(usize::from(quick >> 4));
        }
        let code = bits.peek(LONGEST);
        let is_it = |length: &u32| code < self.limits[*length as usize];
        let found = (QUICK + 1..=LONGEST).find(is_it).and_then(|length| {
            let code = (code >> (LONGEST - length)).cast_signed();
            let place = usize::try_from(code + self.offsets[length as usize]).ok()?;
            Some((length, *self.symbols.get(place)?))
        });
        let Some((length, symbol)) = found else {
            // After the end there are only zeros, which may be no code.
            bits.skip(LONGEST)?;
            return Err(broken("there is no such code"));
        };
        bits.skip(length)?;
        Ok(usize::from(symbol))
    }
}
