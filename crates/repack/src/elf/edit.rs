//! Gives an ELF file another run path, and texts with room for a prefix. Nothing that is there
//! moves: what is new goes into one more segment at the end of the file, which takes the header of
//! a note (the build's identity; its section stays). So an edit is the same on every machine.

use super::{DT_RPATH, DT_RUNPATH, DT_STRSZ, DT_STRTAB, ElfError, PT_LOAD, PT_NOTE, View, repoint};

/// The length of a segment's header.
const HEADER: usize = 56;

/// What is changed in a file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Edit {
    /// The new run path.
    pub(crate) run_path: Option<String>,
    /// Texts that the program's code names, and what it gets in their place.
    pub(crate) texts: Vec<(String, String)>,
}

/// Edits a file.
pub(crate) fn edit(bytes: &[u8], edit: &Edit) -> Result<Vec<u8>, ElfError> {
    let view = View::new(bytes)?;
    let note = view
        .segments
        .iter()
        .rfind(|segment| segment.kind == PT_NOTE)
        .ok_or(ElfError::Room("another segment"))?;
    let loads = view.segments.iter().filter(|one| one.kind == PT_LOAD);
    let align = loads
        .clone()
        .map(|one| one.align)
        .max()
        .unwrap_or(0)
        .max(0x1000);
    let end = loads
        .filter_map(|one| one.address.checked_add(one.memory))
        .max();
    let outside = ElfError::Outside("a segment");
    // The loader maps whole pages: address and position in the file agree in their last bits.
    let position = (bytes.len() as u64).next_multiple_of(16);
    let address = end
        .and_then(|end| end.checked_next_multiple_of(align))
        .and_then(|end| end.checked_add(position % align))
        .filter(|address| *address < 1 << 46)
        .ok_or(outside)?;

    let mut out = bytes.to_vec();
    let mut added = Vec::new();
    if let Some(path) = &edit.run_path {
        set_run_path(&view, &mut out, &mut added, address, position, path)?;
    }
    for (old, new) in &edit.texts {
        let target = address + added.len() as u64;
        repoint::repoint(&view, &mut out, old, target)?;
        added.extend_from_slice(new.as_bytes());
        added.push(0);
    }
    if added.is_empty() {
        return Ok(out);
    }
    let size = added.len() as u64;
    let header = note.header;
    put(&mut out, header, &PT_LOAD.to_le_bytes())?;
    put(&mut out, header + 4, &4_u32.to_le_bytes())?;
    let fields = [position, address, address, size, size, align];
    for (index, field) in fields.iter().enumerate() {
        put(&mut out, header + 8 + 8 * index, &field.to_le_bytes())?;
    }
    out.resize(bytes.len().next_multiple_of(16), 0);
    out.append(&mut added);
    order(&mut out)?;
    Ok(out)
}

/// Puts the headers of loaded segments in order of their addresses, as the ABI demands: the loader
/// takes the last one for the end of the library, and a note's header may stand before others.
fn order(out: &mut [u8]) -> Result<(), ElfError> {
    let view = View::new(out)?;
    let loads = view.segments.iter().filter(|one| one.kind == PT_LOAD);
    let slots: Vec<usize> = loads.clone().map(|one| one.header).collect();
    let mut ordered: Vec<(u64, usize)> = loads.map(|one| (one.address, one.header)).collect();
    ordered.sort_unstable();
    let mut headers = Vec::new();
    for (_, header) in ordered {
        let end = header.saturating_add(HEADER);
        let bytes = out.get(header..end).ok_or(ElfError::Outside("a table"))?;
        headers.push(bytes.to_vec());
    }
    for (slot, header) in slots.into_iter().zip(headers) {
        put(out, slot, &header)?;
    }
    Ok(())
}

/// The table of dynamic strings moves to the new segment and gets one more.
fn set_run_path(
    view: &View<'_>,
    out: &mut [u8],
    added: &mut Vec<u8>,
    address: u64,
    position: u64,
    path: &str,
) -> Result<(), ElfError> {
    let table = view.string_table()?;
    let offset = table.len() as u64;
    added.extend_from_slice(table);
    added.extend_from_slice(path.as_bytes());
    added.push(0);
    let size = added.len() as u64;
    let old = view
        .dynamic
        .iter()
        .filter(|entry| [DT_RPATH, DT_RUNPATH].contains(&entry.tag));
    let mut slots: Vec<usize> = old.map(|entry| entry.position).collect();
    if slots.is_empty() {
        let last = view
            .dynamic
            .last()
            .filter(|_| view.dynamic.len() + 1 < view.dynamic_room);
        let last = last.ok_or(ElfError::Room("a run path"))?;
        slots.push(last.position + 16);
    }
    for slot in slots {
        // conda's way: other than DT_RUNPATH, it also counts for what a module of Python needs.
        put(out, slot, &DT_RPATH.to_le_bytes())?;
        put(out, slot + 8, &offset.to_le_bytes())?;
    }
    for entry in &view.dynamic {
        match entry.tag {
            DT_STRTAB => put(out, entry.position + 8, &address.to_le_bytes())?,
            DT_STRSZ => put(out, entry.position + 8, &size.to_le_bytes())?,
            _ => {}
        }
    }
    // Linkers find the strings through the table of sections.
    let (_, before, _) = view.strings;
    for section in view
        .sections
        .iter()
        .filter(|one| one.address == before && before != 0)
    {
        put(out, section.header + 16, &address.to_le_bytes())?;
        put(out, section.header + 24, &position.to_le_bytes())?;
        put(out, section.header + 32, &size.to_le_bytes())?;
    }
    Ok(())
}

/// Overwrites bytes of the file.
pub(super) fn put(out: &mut [u8], at: usize, bytes: &[u8]) -> Result<(), ElfError> {
    let field = at
        .checked_add(bytes.len())
        .and_then(|end| out.get_mut(at..end))
        .ok_or(ElfError::Outside("a table"))?;
    field.copy_from_slice(bytes);
    Ok(())
}
