//! The few fields of an ELF file that tell where it runs. Source: `elf(5)`.

use anyhow::{Context, Result, bail};

const LOAD: u32 = 1;
const INTERPRETER: u32 = 3;

/// CPUs that the project builds for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Machine {
    X86_64,
    Aarch64,
}

/// What the loader of the kernel looks at.
#[derive(Debug)]
pub(crate) struct Header {
    /// None: a CPU that is none of ours.
    pub(crate) machine: Option<Machine>,
    /// Whether the file asks for a dynamic loader.
    pub(crate) interpreter: bool,
    /// The smallest alignment of a loaded segment, in bytes.
    pub(crate) alignment: u64,
}

impl Header {
    /// Reads a 64-bit little-endian file.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        if bytes.get(..6) != Some(b"\x7fELF\x02\x01") {
            bail!("no 64-bit little-endian ELF file");
        }
        let machine = match number(bytes, 18, 2)? {
            62 => Some(Machine::X86_64),
            183 => Some(Machine::Aarch64),
            _ => None,
        };
        let table = number(bytes, 32, 8)?;
        let size = number(bytes, 54, 2)?;
        let count = number(bytes, 56, 2)?;
        let mut header = Self {
            machine,
            interpreter: false,
            alignment: u64::MAX,
        };
        for index in 0..count {
            let entry = index
                .checked_mul(size)
                .and_then(|offset| table.checked_add(offset))
                .context("ELF program header out of range")?;
            let kind = number(bytes, entry, 4)?;
            header.interpreter |= kind == u64::from(INTERPRETER);
            if kind == u64::from(LOAD) {
                header.alignment =
                    header
                        .alignment
                        .min(number(bytes, entry.saturating_add(48), 8)?);
            }
        }
        Ok(header)
    }
}

fn number(bytes: &[u8], offset: u64, width: u64) -> Result<u64> {
    let start = usize::try_from(offset)?;
    let end = usize::try_from(offset.saturating_add(width))?;
    let field = bytes.get(start..end).context("truncated ELF file")?;
    Ok(field
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_test_is_recognised() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let header = Header::read(&bytes).unwrap();
        let expected = if cfg!(target_arch = "aarch64") {
            Machine::Aarch64
        } else {
            Machine::X86_64
        };
        assert_eq!(header.machine, Some(expected));
        assert!(header.interpreter);
        assert!(header.alignment >= 4096);
    }

    #[test]
    fn no_elf_and_truncated_elf_are_errors() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        assert!(Header::read(b"#!/bin/sh\n").is_err());
        for length in [0, 5, 20, 63, 100] {
            assert!(Header::read(&bytes[..length]).is_err(), "{length}");
        }
    }
}
