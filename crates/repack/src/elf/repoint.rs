//! Texts that a program has compiled in, such as `/usr/lib/ssl/cert.pem`, have no room for a
//! prefix. Wherever the program's code or data names such a text, it is made to name another
//! address: instructions that compute an address relative to themselves (`lea` on x86-64, `adrp`
//! with `add` on `AArch64`) and relative relocations.

use super::edit::put;
use super::{DT_RELA, DT_RELASZ, ElfError, PF_X, PT_LOAD, View, number};

const X86_64: u16 = 62;
const AARCH64: u16 = 183;
const SHF_EXECINSTR: u64 = 4;
/// `R_X86_64_RELATIVE` and `R_AARCH64_RELATIVE`.
const RELATIVE: [(u16, u64); 2] = [(X86_64, 8), (AARCH64, 1027)];
/// How many instructions after `adrp` its `add` is looked for.
const REACH: usize = 24;

/// Makes all that names `text` name `target`.
pub(super) fn repoint(
    view: &View<'_>,
    out: &mut [u8],
    text: &str,
    target: u64,
) -> Result<(), ElfError> {
    let problem = |problem| ElfError::Text {
        text: text.to_owned(),
        problem,
    };
    let needle = [text.as_bytes(), b"\0"].concat();
    let mut found = false;
    let mut uses = 0;
    let mut from = 0;
    while let Some(at) = find(view.bytes.get(from..).unwrap_or_default(), &needle) {
        let offset = from + at;
        from = offset + 1;
        let Some(address) = view.address(offset as u64) else {
            continue;
        };
        found = true;
        uses += match view.machine {
            X86_64 => x86_64(view, out, address, target),
            AARCH64 => aarch64(view, out, address, target),
            _ => return Err(problem("unknown machine")),
        }
        .map_err(problem)?;
        uses += relocations(view, out, address, target)?;
    }
    if !found {
        return Err(problem("it is not in the file"));
    }
    if uses == 0 {
        return Err(problem("nothing was found that names it"));
    }
    Ok(())
}

/// `lea register, [rip + distance]`: REX.W, 8D, mode 00 with r/m 101.
fn x86_64(view: &View<'_>, out: &mut [u8], old: u64, new: u64) -> Result<usize, &'static str> {
    let mut uses = 0;
    for (start, code, at) in code(view) {
        for (index, window) in code.windows(7).enumerate() {
            let &[rex, 0x8d, mode, d0, d1, d2, d3] = window else {
                continue;
            };
            if rex & 0xf8 != 0x48 || mode & 0xc7 != 5 {
                continue;
            }
            let next = at.wrapping_add(index as u64 + 7);
            let distance = i32::from_le_bytes([d0, d1, d2, d3]);
            if next.wrapping_add_signed(i64::from(distance)) != old {
                continue;
            }
            let distance = new.wrapping_sub(next).cast_signed();
            let distance = i32::try_from(distance).map_err(|_| "the file is too large")?;
            put(out, start + index + 3, &distance.to_le_bytes()).map_err(|_| "damaged")?;
            uses += 1;
        }
    }
    Ok(uses)
}

/// `adrp register, page` and, a little later, `add register, register, rest`.
fn aarch64(view: &View<'_>, out: &mut [u8], old: u64, new: u64) -> Result<usize, &'static str> {
    let mut uses = 0;
    for (start, code, at) in code(view) {
        let words: Vec<u32> = code
            .chunks_exact(4)
            .map(|word| {
                word.iter()
                    .rev()
                    .fold(0, |sum, byte| sum << 8 | u32::from(*byte))
            })
            .collect();
        for (index, word) in words.iter().enumerate() {
            if word & 0x9f00_0000 != 0x9000_0000 {
                continue;
            }
            let address = at.wrapping_add(4 * index as u64);
            let pages = i64::from((word >> 5 & 0x7_ffff) << 2 | word >> 29 & 3) << 43 >> 43;
            let page = (address >> 12).wrapping_add_signed(pages);
            if page != old >> 12 {
                continue;
            }
            let register = word & 31;
            let later = words.iter().enumerate().skip(index + 1).take(REACH);
            let mut adds = later.filter(|(_, add)| {
                *add & 0xffc0_0000 == 0x9100_0000 && **add >> 5 & 31 == register
            });
            let Some((second, add)) = adds.next() else {
                continue;
            };
            if u64::from(add >> 10 & 0xfff) != old & 0xfff {
                continue;
            }
            if add & 31 != register {
                return Err("its page is used for more than this text");
            }
            let pages = (new >> 12).wrapping_sub(address >> 12);
            if !(-(1 << 20)..1 << 20).contains(&pages.cast_signed()) {
                return Err("the file is too large");
            }
            // Of a number in two's complement the low bits are what counts.
            let pages = (pages & 0x1f_ffff) as u32;
            let adrp = word & 0x9f00_001f | (pages & 3) << 29 | pages >> 2 << 5;
            let add = add & 0xffc0_03ff | ((new & 0xfff) as u32) << 10;
            put(out, start + 4 * index, &adrp.to_le_bytes()).map_err(|_| "damaged")?;
            put(out, start + 4 * second, &add.to_le_bytes()).map_err(|_| "damaged")?;
            uses += 1;
        }
    }
    Ok(uses)
}

/// Pointers in data that the dynamic linker fills in.
fn relocations(view: &View<'_>, out: &mut [u8], old: u64, new: u64) -> Result<usize, ElfError> {
    const WHAT: &str = "the table of relocations";
    let kind = RELATIVE
        .iter()
        .find(|(machine, _)| *machine == view.machine);
    let (Some((_, kind)), Some(address), Some(size)) =
        (kind, view.value(DT_RELA), view.value(DT_RELASZ))
    else {
        return Ok(0);
    };
    let start = view.offset(address).ok_or(ElfError::Outside(WHAT))?;
    let start = usize::try_from(start).map_err(|_| ElfError::Outside(WHAT))?;
    let count = usize::try_from(size / 24).map_err(|_| ElfError::Outside(WHAT))?;
    let mut uses = 0;
    for index in 0..count {
        let entry = start + 24 * index;
        let is_relative = number::<4>(view.bytes, entry + 8, WHAT)? == *kind;
        if is_relative && number::<8>(view.bytes, entry + 16, WHAT)? == old {
            put(out, entry + 16, &new.to_le_bytes())?;
            uses += 1;
        }
    }
    Ok(uses)
}

/// The sections with instructions: position in the file, bytes, address.
fn code<'a>(view: &View<'a>) -> Vec<(usize, &'a [u8], u64)> {
    let sections = view
        .sections
        .iter()
        .filter(|one| one.flags & SHF_EXECINSTR != 0);
    let mut ranges: Vec<_> = sections
        .map(|one| (one.offset, one.size, one.address))
        .collect();
    if ranges.is_empty() {
        let segments = view.segments.iter();
        let loaded = segments.filter(|one| one.kind == PT_LOAD && one.flags & PF_X != 0);
        ranges = loaded
            .map(|one| (one.offset, one.size, one.address))
            .collect();
    }
    ranges
        .into_iter()
        .filter_map(|(offset, size, address)| {
            let start = usize::try_from(offset).ok()?;
            let end = usize::try_from(offset.checked_add(size)?).ok()?;
            Some((start, view.bytes.get(start..end)?, address))
        })
        .collect()
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, needle)
}
