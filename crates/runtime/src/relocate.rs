//! Puts the real prefix where a package has the one of its build, in one pass over bytes that
//! come in pieces of any size; memory does not depend on the file's length.
//!
//! Where the placeholder stands is the plan's business ([`Placeholder`]); that it does stand there
//! is verified here. The results are those of rattler's `install::link`, which follow conda's
//! `gateways/disk/update.py` and, for encodings, the draft CEP of conda/ceps#179.

mod shebang;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use crate::plan::{CString, Encoding, Occurrence, Placeholder, Places};

pub use shebang::python_shebang;

/// The longest first line of a script that is looked at, in bytes: it has to be in memory as a
/// whole. Linux ignores what follows byte 256.
const LONGEST_FIRST_LINE: u64 = 1 << 20;

/// Why a prefix cannot be replaced.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The prefix does not fit where the placeholder stands in a binary.
    #[error("there is room for a prefix of {room} bytes, and this one has {length}")]
    TooLong {
        /// Length of the placeholder in bytes.
        room: usize,
        /// Length of the prefix in bytes.
        length: usize,
    },
    /// The plan's positions overlap or lie outside the file.
    #[error("the positions of the prefix contradict each other")]
    Disorder,
    /// The placeholder is not where the plan says.
    #[error("the build prefix is not at position {offset}")]
    Missing {
        /// Position in the file.
        offset: u64,
    },
    /// The sink does not take the result.
    #[error("the result cannot be written")]
    Write {
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
}

/// The replacement of one file's placeholder, under way.
#[derive(Debug)]
pub struct Relocation {
    steps: Vec<Step>,
    /// The placeholder and what takes its place, for each [`Encoding`] that occurs.
    texts: Vec<(Encoding, Vec<u8>, Vec<u8>)>,
    /// Position of the next byte of input.
    position: u64,
    /// The next step.
    next: usize,
    /// How many bytes of the current step's placeholder or terminator were seen.
    matched: usize,
    shebang: Shebang,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    /// Position in the file as packaged.
    offset: u64,
    action: Action,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    /// Write the text at this index of [`Relocation::texts`] instead of the placeholder.
    Replace(usize),
    /// Write this many zeros.
    Pad(u64),
    /// See this many zeros.
    Terminate(usize),
}

/// The first line of a script, collected until it is complete.
#[derive(Debug)]
struct Shebang {
    length: u64,
    line: Vec<u8>,
    placeholder: String,
    prefix: String,
}

impl Relocation {
    /// Prepares a file of `size` bytes for `prefix`.
    pub fn new(placeholder: &Placeholder, prefix: &str, size: u64) -> Result<Relocation, Problem> {
        let mut relocation = Relocation {
            steps: Vec::new(),
            texts: Vec::new(),
            position: 0,
            next: 0,
            matched: 0,
            shebang: Shebang {
                length: 0,
                line: Vec::new(),
                placeholder: placeholder.prefix.clone(),
                prefix: prefix.to_owned(),
            },
        };
        if placeholder.prefix.is_empty() {
            return Ok(relocation);
        }
        match &placeholder.places {
            Places::Text {
                shebang,
                occurrences,
            } => {
                relocation.plan_text(*shebang, occurrences, size)?;
            }
            Places::Binary { strings } => {
                let mut free = 0;
                for string in strings {
                    free = relocation.plan_string(string, free, size)?;
                }
            }
        }
        Ok(relocation)
    }

    /// How many bytes come of a file of `size` bytes. Not known before for a script whose first line
    /// names the prefix.
    pub fn length(&self, size: u64) -> Option<u64> {
        if self.shebang.length > 0 {
            return None;
        }
        self.steps
            .iter()
            .try_fold(size, |length, step| match step.action {
                Action::Replace(index) => {
                    let (_, placeholder, text) = self.texts.get(index)?;
                    (length + text.len() as u64).checked_sub(placeholder.len() as u64)
                }
                Action::Pad(zeros) => length.checked_add(zeros),
                Action::Terminate(_) => Some(length),
            })
    }

    /// Takes the next piece of the file and writes what follows from it.
    pub fn feed(&mut self, mut bytes: &[u8], sink: &mut impl Write) -> Result<(), Problem> {
        loop {
            let step = self.next;
            let used = self.advance(bytes, sink)?;
            if used == 0 && self.next == step {
                return Ok(());
            }
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    /// Ends the file: everything that the plan names must have been seen.
    pub fn finish(&mut self, sink: &mut impl Write) -> Result<(), Problem> {
        self.feed(&[], sink)?;
        if self.position < self.shebang.length {
            return Err(Problem::Disorder);
        }
        match self.steps.get(self.next) {
            None => Ok(()),
            Some(step) => Err(Problem::Missing {
                offset: step.offset,
            }),
        }
    }

    /// One step: returns how many bytes of the input it used.
    fn advance(&mut self, bytes: &[u8], sink: &mut impl Write) -> Result<usize, Problem> {
        if self.position < self.shebang.length {
            return self.take_first_line(bytes, sink);
        }
        let Some(step) = self.steps.get(self.next) else {
            write(sink, bytes)?;
            self.position += bytes.len() as u64;
            return Ok(bytes.len());
        };
        if self.position < step.offset {
            let count = at_most(bytes, step.offset - self.position);
            write(sink, bytes.get(..count).unwrap_or_default())?;
            self.position += count as u64;
            return Ok(count);
        }
        match step.action {
            Action::Replace(index) => self.replace(index, bytes, sink),
            Action::Pad(zeros) => {
                pad(sink, zeros)?;
                self.next += 1;
                Ok(0)
            }
            Action::Terminate(length) => self.terminate(length, bytes, sink),
        }
    }

    fn replace(
        &mut self,
        index: usize,
        bytes: &[u8],
        sink: &mut impl Write,
    ) -> Result<usize, Problem> {
        let Some((_, placeholder, text)) = self.texts.get(index) else {
            return Err(Problem::Disorder);
        };
        let rest = placeholder.get(self.matched..).unwrap_or_default();
        let count = rest.len().min(bytes.len());
        if bytes.get(..count) != rest.get(..count) {
            return Err(Problem::Missing {
                offset: self.position - self.matched as u64,
            });
        }
        self.matched += count;
        self.position += count as u64;
        if self.matched == placeholder.len() {
            write(sink, text)?;
            self.matched = 0;
            self.next += 1;
        }
        Ok(count)
    }

    /// The string must end here: otherwise the zeros went into the middle of one.
    fn terminate(
        &mut self,
        length: usize,
        bytes: &[u8],
        sink: &mut impl Write,
    ) -> Result<usize, Problem> {
        let count = (length - self.matched).min(bytes.len());
        let seen = bytes.get(..count).unwrap_or_default();
        if seen.iter().any(|&byte| byte != 0) {
            return Err(Problem::Missing {
                offset: self.position,
            });
        }
        write(sink, seen)?;
        self.position += count as u64;
        self.matched += count;
        if self.matched == length {
            self.matched = 0;
            self.next += 1;
        }
        Ok(count)
    }

    fn take_first_line(&mut self, bytes: &[u8], sink: &mut impl Write) -> Result<usize, Problem> {
        let count = at_most(bytes, self.shebang.length - self.position);
        self.shebang
            .line
            .extend_from_slice(bytes.get(..count).unwrap_or_default());
        self.position += count as u64;
        if self.position == self.shebang.length && count > 0 {
            if !self.shebang.line.starts_with(b"#!") {
                return Err(Problem::Missing { offset: 0 });
            }
            let Shebang {
                line,
                placeholder,
                prefix,
                ..
            } = &self.shebang;
            write(sink, &shebang::replace(line, placeholder, prefix))?;
            self.shebang.line = Vec::new();
        }
        Ok(count)
    }

    fn plan_text(
        &mut self,
        shebang: u64,
        occurrences: &[Occurrence],
        size: u64,
    ) -> Result<(), Problem> {
        if shebang > LONGEST_FIRST_LINE || shebang > size {
            return Err(Problem::Disorder);
        }
        self.shebang.length = shebang;
        let mut free = shebang;
        for occurrence in occurrences {
            free = self.plan_replacement(occurrence.offset, occurrence.encoding, free, size)?;
        }
        Ok(())
    }

    fn plan_string(&mut self, string: &CString, free: u64, size: u64) -> Result<u64, Problem> {
        let CString {
            offsets,
            end,
            encoding,
        } = string;
        let (end, unit) = (*end, code_unit(*encoding));
        let mut next = free;
        for &offset in offsets {
            next = self.plan_replacement(offset, *encoding, next, end)?;
        }
        let index = self.text(*encoding);
        let lengths = self
            .texts
            .get(index)
            .map(|(_, old, new)| (old.len(), new.len()));
        let (room, length) = lengths.ok_or(Problem::Disorder)?;
        let Some(shorter) = room.checked_sub(length) else {
            return Err(Problem::TooLong {
                room: self.shebang.placeholder.len(),
                length: self.shebang.prefix.len(),
            });
        };
        let zeros = (shorter as u64).checked_mul(offsets.len() as u64);
        let zeros = zeros.ok_or(Problem::Disorder)?;
        self.steps.push(Step {
            offset: end,
            action: Action::Pad(zeros),
        });
        if end == size {
            return Ok(end);
        }
        let aligned = offsets.iter().all(|offset| (end - offset) % unit == 0);
        if !aligned || size.checked_sub(end).is_none_or(|rest| rest < unit) {
            return Err(Problem::Disorder);
        }
        let action = Action::Terminate(usize::try_from(unit).unwrap_or(1));
        self.steps.push(Step {
            offset: end,
            action,
        });
        Ok(end + unit)
    }

    /// Plans one replacement between `free` and `end`, and returns where the next one may begin.
    fn plan_replacement(
        &mut self,
        offset: u64,
        encoding: Encoding,
        free: u64,
        end: u64,
    ) -> Result<u64, Problem> {
        let index = self.text(encoding);
        let length = self
            .texts
            .get(index)
            .map_or(0, |(_, placeholder, _)| placeholder.len());
        let after = offset.checked_add(length as u64).ok_or(Problem::Disorder)?;
        if offset < free || after > end {
            return Err(Problem::Disorder);
        }
        self.steps.push(Step {
            offset,
            action: Action::Replace(index),
        });
        Ok(after)
    }

    fn text(&mut self, encoding: Encoding) -> usize {
        if let Some(index) = self
            .texts
            .iter()
            .position(|(known, _, _)| *known == encoding)
        {
            return index;
        }
        let Shebang {
            placeholder,
            prefix,
            ..
        } = &self.shebang;
        self.texts.push((
            encoding,
            encoding.encode(placeholder),
            encoding.encode(prefix),
        ));
        self.texts.len() - 1
    }
}

/// Bytes per character.
fn code_unit(encoding: Encoding) -> u64 {
    match encoding {
        Encoding::Utf8 => 1,
        Encoding::Utf16Le | Encoding::Utf16Be => 2,
        Encoding::Utf32Le | Encoding::Utf32Be => 4,
    }
}

fn at_most(bytes: &[u8], count: u64) -> usize {
    bytes
        .len()
        .min(usize::try_from(count).unwrap_or(usize::MAX))
}

fn pad(sink: &mut impl Write, mut zeros: u64) -> Result<(), Problem> {
    const ZEROS: [u8; 1024] = [0; 1024];
    while zeros > 0 {
        let count = at_most(&ZEROS, zeros);
        write(sink, ZEROS.get(..count).unwrap_or_default())?;
        zeros -= count as u64;
    }
    Ok(())
}

fn write(sink: &mut impl Write, bytes: &[u8]) -> Result<(), Problem> {
    sink.write_all(bytes)
        .map_err(|source| Problem::Write { source })
}
