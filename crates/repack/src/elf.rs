//! ELF files (64 bit, little endian: all platforms that packages are made for), read without being
//! loaded: which libraries they need and which one they are. Positions are those of the System V ABI.

mod edit;
mod repoint;
#[cfg(test)]
mod tests;

pub(crate) use edit::{Edit, edit};

/// What an ELF file says of itself to the dynamic linker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Elf {
    /// `e_machine`.
    pub(crate) machine: u16,
    /// Its own name as a library.
    pub(crate) soname: Option<String>,
    /// The libraries that it needs, by their sonames.
    pub(crate) needed: Vec<String>,
    /// Where libraries are looked for first (`DT_RUNPATH`, or the older `DT_RPATH`).
    pub(crate) run_path: Option<String>,
    /// Whether the dynamic linker has anything to do with it.
    pub(crate) dynamic: bool,
}

/// Why a file that begins like an ELF file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// It is for a 32-bit or big-endian machine.
    #[error("neither 64 bit nor little endian")]
    Class,
    /// A table lies outside of the file.
    #[error("damaged: {0} lies outside of the file")]
    Outside(&'static str),
    /// There is no room for what is to be added.
    #[error("no room for {0}")]
    Room(&'static str),
    /// A text that is to be moved is not there or is used in an unknown way.
    #[error("cannot move the text `{text}`: {problem}")]
    Text {
        /// The text.
        text: String,
        /// What is wrong.
        problem: &'static str,
    },
}

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_NOTE: u32 = 4;
const PF_X: u32 = 1;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_RELA: u64 = 7;
const DT_RELASZ: u64 = 8;
const DT_STRSZ: u64 = 10;
const DT_SONAME: u64 = 14;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

/// Reads an ELF file; none where the bytes do not begin like one.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Elf>, ElfError> {
    if !bytes.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    let view = View::new(bytes)?;
    let mut elf = Elf {
        machine: view.machine,
        dynamic: !view.dynamic.is_empty(),
        ..Elf::default()
    };
    for entry in &view.dynamic {
        let text = || view.text(entry.value);
        match entry.tag {
            DT_NEEDED => elf.needed.push(text()?),
            DT_SONAME => elf.soname = Some(text()?),
            DT_RPATH if elf.run_path.is_none() => elf.run_path = Some(text()?),
            DT_RUNPATH => elf.run_path = Some(text()?),
            _ => {}
        }
    }
    Ok(Some(elf))
}

/// A segment.
#[derive(Debug, Clone, Copy)]
struct Segment {
    /// Where its header lies in the file.
    header: usize,
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    size: u64,
    memory: u64,
    align: u64,
}

/// A section.
#[derive(Debug, Clone, Copy)]
struct Section {
    /// Where its header lies in the file.
    header: usize,
    flags: u64,
    address: u64,
    offset: u64,
    size: u64,
}

/// An entry of the dynamic section.
#[derive(Debug, Clone, Copy)]
struct Dynamic {
    /// Where it lies in the file.
    position: usize,
    tag: u64,
    value: u64,
}

/// The tables of a file.
struct View<'a> {
    bytes: &'a [u8],
    machine: u16,
    segments: Vec<Segment>,
    sections: Vec<Section>,
    /// Up to and without the terminator.
    dynamic: Vec<Dynamic>,
    /// How many entries there is room for, the terminator included.
    dynamic_room: usize,
    /// The dynamic strings: offset, address and length.
    strings: (u64, u64, u64),
}

impl<'a> View<'a> {
    fn new(bytes: &'a [u8]) -> Result<View<'a>, ElfError> {
        // e_ident[EI_CLASS] and [EI_DATA].
        if bytes.get(4..6) != Some(&[2, 1]) {
            return Err(ElfError::Class);
        }
        let mut view = View {
            bytes,
            machine: u16::from_le_bytes(array(bytes, 18, "the header")?),
            segments: Vec::new(),
            sections: Vec::new(),
            dynamic: Vec::new(),
            dynamic_room: 0,
            strings: (0, 0, 0),
        };
        view.read_segments()?;
        view.read_sections()?;
        view.read_dynamic()?;
        Ok(view)
    }

    fn read_segments(&mut self) -> Result<(), ElfError> {
        const WHAT: &str = "the table of segments";
        let start = place(number::<8>(self.bytes, 32, WHAT)?, WHAT)?;
        let count = number::<2>(self.bytes, 56, WHAT)?;
        for index in 0..place(count, WHAT)? {
            let header = start
                .checked_add(index * 56)
                .ok_or(ElfError::Outside(WHAT))?;
            let field = |at| number::<8>(self.bytes, header + at, WHAT);
            self.segments.push(Segment {
                header,
                kind: u32::from_le_bytes(array(self.bytes, header, WHAT)?),
                flags: u32::from_le_bytes(array(self.bytes, header + 4, WHAT)?),
                offset: field(8)?,
                address: field(16)?,
                size: field(32)?,
                memory: field(40)?,
                align: field(48)?,
            });
        }
        Ok(())
    }

    fn read_sections(&mut self) -> Result<(), ElfError> {
        const WHAT: &str = "the table of sections";
        let start = place(number::<8>(self.bytes, 40, WHAT)?, WHAT)?;
        let count = number::<2>(self.bytes, 60, WHAT)?;
        for index in 0..place(count, WHAT)? {
            let header = start
                .checked_add(index * 64)
                .ok_or(ElfError::Outside(WHAT))?;
            let field = |at| number::<8>(self.bytes, header + at, WHAT);
            self.sections.push(Section {
                header,
                flags: field(8)?,
                address: field(16)?,
                offset: field(24)?,
                size: field(32)?,
            });
        }
        Ok(())
    }

    fn read_dynamic(&mut self) -> Result<(), ElfError> {
        const WHAT: &str = "the dynamic section";
        let Some(segment) = self.segments.iter().find(|one| one.kind == PT_DYNAMIC) else {
            return Ok(());
        };
        let start = place(segment.offset, WHAT)?;
        self.dynamic_room = place(segment.size, WHAT)? / 16;
        for index in 0..self.dynamic_room {
            let position = start
                .checked_add(index * 16)
                .ok_or(ElfError::Outside(WHAT))?;
            let tag = number::<8>(self.bytes, position, WHAT)?;
            if tag == DT_NULL {
                break;
            }
            let value = number::<8>(self.bytes, position + 8, WHAT)?;
            self.dynamic.push(Dynamic {
                position,
                tag,
                value,
            });
        }
        if self.dynamic.is_empty() {
            return Ok(());
        }
        let missing = ElfError::Outside("the table of dynamic strings");
        let address = self.value(DT_STRTAB).ok_or(missing.clone())?;
        let length = self.value(DT_STRSZ).ok_or(missing.clone())?;
        let offset = self.offset(address).ok_or(missing.clone())?;
        let end = offset.checked_add(length).ok_or(missing.clone())?;
        if end > self.bytes.len() as u64 {
            return Err(missing);
        }
        self.strings = (offset, address, length);
        Ok(())
    }

    /// The value of the first dynamic entry with this tag.
    fn value(&self, tag: u64) -> Option<u64> {
        let entry = self.dynamic.iter().find(|entry| entry.tag == tag)?;
        Some(entry.value)
    }

    /// Where in the file the byte at an address comes from.
    fn offset(&self, address: u64) -> Option<u64> {
        self.segments
            .iter()
            .filter(|segment| segment.kind == PT_LOAD)
            .find_map(|segment| {
                let inside = address.checked_sub(segment.address)?;
                (inside < segment.size).then(|| segment.offset.checked_add(inside))?
            })
    }

    /// At which address the byte of the file is loaded.
    fn address(&self, offset: u64) -> Option<u64> {
        self.segments
            .iter()
            .filter(|segment| segment.kind == PT_LOAD)
            .find_map(|segment| {
                let inside = offset.checked_sub(segment.offset)?;
                (inside < segment.size).then(|| segment.address.checked_add(inside))?
            })
    }

    /// A dynamic string.
    fn text(&self, at: u64) -> Result<String, ElfError> {
        let outside = ElfError::Outside("a dynamic string");
        let table = self.string_table()?;
        let start = usize::try_from(at).map_err(|_| outside.clone())?;
        let rest = table.get(start..).ok_or(outside.clone())?;
        let end = rest
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(outside.clone())?;
        let text = rest.get(..end).unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn string_table(&self) -> Result<&'a [u8], ElfError> {
        let outside = ElfError::Outside("the table of dynamic strings");
        let (offset, _, length) = self.strings;
        let start = usize::try_from(offset).map_err(|_| outside.clone())?;
        let end = usize::try_from(offset + length).map_err(|_| outside.clone())?;
        self.bytes.get(start..end).ok_or(outside)
    }
}

/// A little-endian number of `N` bytes.
fn array<const N: usize>(bytes: &[u8], at: usize, what: &'static str) -> Result<[u8; N], ElfError> {
    let field = bytes.get(at..).and_then(|rest| rest.first_chunk());
    field.copied().ok_or(ElfError::Outside(what))
}

fn number<const N: usize>(bytes: &[u8], at: usize, what: &'static str) -> Result<u64, ElfError> {
    Ok(array::<N>(bytes, at, what)?
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

fn place(value: u64, what: &'static str) -> Result<usize, ElfError> {
    // Twice the address space is left, so that small sums cannot overflow.
    usize::try_from(value)
        .ok()
        .filter(|value| *value < usize::MAX / 4)
        .ok_or(ElfError::Outside(what))
}
