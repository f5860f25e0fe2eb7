//! Which glibc a `libc.so.6` is, from its bytes: nothing is run, so a foreign one will do.

/// Offset and values of `e_machine` in an ELF header (System V ABI; `elf.h`).
const MACHINES: &[(&str, u16)] = &[("linux-64", 62), ("linux-aarch64", 183)];

/// The banner that glibc's `csu/version.c` compiles in.
const BANNER: &[u8] = b"GNU C Library ";

/// Whether these are the bytes of a 64-bit little-endian ELF file for this platform's CPU. Of a
/// platform that is not known here, any ELF file will do.
pub(in crate::command) fn is_for(libc: &[u8], platform: &str) -> bool {
    let Some((_, machine)) = MACHINES.iter().find(|(name, _)| *name == platform) else {
        return libc.starts_with(b"\x7fELF");
    };
    libc.starts_with(b"\x7fELF\x02\x01") && libc.get(18..20) == Some(&machine.to_le_bytes()[..])
}

/// The release in the banner, `GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.`;
/// where there is none, the highest symbol version, `GLIBC_2.36`.
pub(in crate::command) fn version(libc: &[u8]) -> Option<String> {
    banner(libc).or_else(|| highest_symbol_version(libc))
}

/// Whether version `found` is `required` or later; none if one of them is no version.
pub(in crate::command) fn at_least(found: &str, required: &str) -> Option<bool> {
    Some(numbers(found)? >= numbers(required)?)
}

fn banner(libc: &[u8]) -> Option<String> {
    positions(libc, BANNER).find_map(|start| {
        let line = libc
            .get(start..)?
            .split(|byte| matches!(byte, b'\n' | 0))
            .next()?;
        let line = line.get(..line.len().min(300))?;
        let (_, rest) = std::str::from_utf8(line)
            .ok()?
            .split_once("release version ")?;
        leading_version(rest.as_bytes())
    })
}

fn highest_symbol_version(libc: &[u8]) -> Option<String> {
    let names = positions(libc, b"GLIBC_2.").filter_map(|start| {
        let name = libc.get(start + "GLIBC_".len()..)?;
        let version = leading_version(name)?;
        (name.get(version.len()) == Some(&0)).then_some(version)
    });
    names.max_by_key(|version| numbers(version))
}

/// Digits with dots between them, at the start of `bytes`.
fn leading_version(bytes: &[u8]) -> Option<String> {
    let end = bytes
        .iter()
        .position(|byte| !byte.is_ascii_digit() && *byte != b'.');
    let text = std::str::from_utf8(bytes.get(..end.unwrap_or(bytes.len()))?).ok()?;
    let text = text.trim_end_matches('.');
    numbers(text).map(|_| text.to_owned())
}

/// `2.36.0` as `[2, 36]`: trailing zeros say nothing.
fn numbers(version: &str) -> Option<Vec<u32>> {
    let numbers: Result<Vec<u32>, _> = version.trim().split('.').map(str::parse).collect();
    let mut numbers = numbers.ok()?;
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    Some(numbers)
}

fn positions<'a>(bytes: &'a [u8], wanted: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    bytes
        .windows(wanted.len())
        .enumerate()
        .filter(move |(_, window)| *window == wanted)
        .map(|(at, _)| at)
}
