//! Libraries made here, and what becomes of them.

use super::*;

/// A library with one loaded segment, a note, and a dynamic section with room for three entries
/// more; `code` is its only section with instructions.
fn library(machine: u16, code: &[u8], text: &str, code_at: u64) -> Vec<u8> {
    let mut bytes = vec![0; 0x1000];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    let word = |value: u64| value.to_le_bytes();
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &3_u16.to_le_bytes());
    put(18, &machine.to_le_bytes());
    put(32, &word(64));
    put(40, &word(0x800));
    put(56, &3_u16.to_le_bytes());
    put(60, &2_u16.to_le_bytes());
    let mut segment = |index: usize, kind: u32, offset: u64, size: u64, align: u64| {
        let at = 64 + 56 * index;
        put(at, &kind.to_le_bytes());
        put(at + 4, &5_u32.to_le_bytes());
        for (index, field) in [offset, offset, offset, size, size, align]
            .iter()
            .enumerate()
        {
            put(at + 8 + 8 * index, &word(*field));
        }
    };
    segment(0, PT_LOAD, 0, 0x1000, 0x1_0000);
    segment(1, PT_DYNAMIC, 0x200, 16 * 8, 8);
    segment(2, PT_NOTE, 0x180, 32, 4);
    let strings = b"\0libc.so.6\0libz.so.1\0libx.so.3\0";
    let entries = [
        (DT_NEEDED, 1),
        (DT_NEEDED, 11),
        (DT_SONAME, 21),
        (DT_STRTAB, 0x300),
        (DT_STRSZ, strings.len() as u64),
    ];
    for (index, (tag, value)) in entries.iter().enumerate() {
        put(0x200 + 16 * index, &word(*tag));
        put(0x208 + 16 * index, &word(*value));
    }
    put(0x300, strings);
    put(0x400, text.as_bytes());
    let at = usize::try_from(code_at).unwrap();
    put(at, code);
    // Two sections: the strings, the code.
    for (header, flags, at, size) in [
        (0x800, 2_u64, 0x300, strings.len()),
        (0x840, 6, code_at, code.len()),
    ] {
        put(header + 8, &word(flags));
        put(header + 16, &word(at));
        put(header + 24, &word(at));
        put(header + 32, &word(size as u64));
    }
    bytes
}

#[test]
fn other_files_are_none() {
    for bytes in [&b"#!/bin/sh\n"[..], b"", b"\x7fEL"] {
        assert_eq!(read(bytes), Ok(None));
    }
    assert_eq!(read(b"\x7fELF\x01\x01"), Err(ElfError::Class));
}

#[test]
fn what_a_library_says_of_itself() {
    let elf = read(&library(183, b"", "", 0x500)).unwrap().unwrap();
    assert_eq!(elf.machine, 183);
    assert_eq!(elf.needed, ["libc.so.6", "libz.so.1"]);
    assert_eq!(elf.soname.as_deref(), Some("libx.so.3"));
    assert_eq!(elf.run_path, None);
    assert!(elf.dynamic);
}

#[test]
fn a_run_path_is_added_and_replaced() {
    let before = library(62, b"", "", 0x500);
    let path = |path: &str| Edit {
        run_path: Some(path.to_owned()),
        texts: Vec::new(),
    };
    let once = edit(&before, &path("$ORIGIN/../lib")).unwrap();
    let elf = read(&once).unwrap().unwrap();
    assert_eq!(elf.run_path.as_deref(), Some("$ORIGIN/../lib"));
    assert_eq!(elf.needed, ["libc.so.6", "libz.so.1"]);
    assert_eq!(elf.soname.as_deref(), Some("libx.so.3"));
    assert_eq!(
        once,
        edit(&before, &path("$ORIGIN/../lib")).unwrap(),
        "the same bytes"
    );
    // The segment is where the loader can map it.
    let segment = View::new(&once).unwrap().segments[2];
    assert_eq!(
        segment.offset % segment.align,
        segment.address % segment.align
    );
    assert!(segment.address >= 0x1000);
    assert_eq!(segment.offset + segment.size, once.len() as u64);
    // There was one note only.
    assert_eq!(
        edit(&once, &path("$ORIGIN")),
        Err(ElfError::Room("another segment"))
    );
}

#[test]
fn loaded_segments_stay_in_order() {
    // The note comes before a second loaded segment, as where patchelf was at work.
    let mut before = library(183, b"", "", 0x500);
    let mut header = before[64..120].to_vec();
    header[16..24].copy_from_slice(&0x2_0000_u64.to_le_bytes());
    header[32..40].copy_from_slice(&0_u64.to_le_bytes());
    before[64 + 3 * 56..64 + 4 * 56].copy_from_slice(&header);
    before[56..58].copy_from_slice(&4_u16.to_le_bytes());
    let change = Edit {
        run_path: Some("$ORIGIN".to_owned()),
        texts: Vec::new(),
    };
    let after = edit(&before, &change).unwrap();
    let view = View::new(&after).unwrap();
    let loads = view.segments.iter().filter(|one| one.kind == PT_LOAD);
    let addresses: Vec<u64> = loads.map(|one| one.address).collect();
    assert_eq!(addresses.len(), 3);
    assert!(addresses.is_sorted(), "{addresses:x?}");
    assert_eq!(
        read(&after).unwrap().unwrap().run_path.as_deref(),
        Some("$ORIGIN")
    );
}

#[test]
fn texts_move_with_what_names_them() {
    let text = "/usr/lib/ssl/cert.pem";
    let target = format!("{}/ssl/cert.pem", crate::draft::placeholder());
    let moved = Edit {
        run_path: None,
        texts: vec![(text.to_owned(), target.clone())],
    };
    // lea rax, [rip + 0x400 - 0x507]; ret
    let mut intel = vec![0x48, 0x8d, 0x05];
    intel.extend((0x400_i32 - 0x507).to_le_bytes());
    intel.push(0xc3);
    // adrp x0, 0; add x0, x0, #0x400; ret
    let arm: Vec<u8> = [0x9000_0000_u32, 0x9110_0000, 0xd65f_03c0]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    for (machine, code) in [(62, intel), (183, arm)] {
        let after = edit(&library(machine, &code, text, 0x500), &moved).unwrap();
        let named = if machine == 62 {
            let distance = i32::from_le_bytes(after[0x503..0x507].try_into().unwrap());
            0x507_u64.wrapping_add_signed(i64::from(distance))
        } else {
            let word = |at: usize| u32::from_le_bytes(after[at..at + 4].try_into().unwrap());
            let adrp = word(0x500);
            let pages = u64::from((adrp >> 5 & 0x7_ffff) << 2 | adrp >> 29 & 3);
            (pages << 12) + u64::from(word(0x504) >> 10 & 0xfff)
        };
        let view = View::new(&after).unwrap();
        let at = usize::try_from(view.offset(named).unwrap()).unwrap();
        assert_eq!(
            &after[at..=at + target.len()],
            format!("{target}\0").as_bytes(),
            "{machine}"
        );
    }
    let unused = edit(&library(62, b"", text, 0x500), &moved).unwrap_err();
    assert_eq!(
        unused.to_string(),
        format!("cannot move the text `{text}`: nothing was found that names it")
    );
    let absent = edit(&library(62, b"", "", 0x500), &moved).unwrap_err();
    assert!(
        absent.to_string().contains("it is not in the file"),
        "{absent}"
    );
}

#[test]
fn damaged_files_are_errors_and_nothing_worse() {
    let whole = library(62, b"", "", 0x500);
    let change = Edit {
        run_path: Some("$ORIGIN".to_owned()),
        texts: vec![("x".to_owned(), "y".to_owned())],
    };
    for length in (4..whole.len()).step_by(7) {
        let _ = read(&whole[..length]);
        let _ = edit(&whole[..length], &change);
    }
    for at in 4..0x280 {
        for value in [0xff, 0x80, 0] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            let _ = read(&bytes);
            let _ = edit(&bytes, &change);
        }
    }
}
