//! The decoder against libbzip2, which writes what it reads.

use std::io::{BufReader, ErrorKind, Read as _, Write as _};

use proptest::prelude::*;

use super::Decoder;

fn packed(text: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = ::bzip2::write::BzEncoder::new(Vec::new(), ::bzip2::Compression::new(level));
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn unpacked(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    // Bits are taken across the ends of short pieces.
    let mut decoder = Decoder::new(BufReader::with_capacity(7, bytes));
    decoder.read_to_end(&mut text).map(|_| text)
}

/// Letters that come from a few words, and so have long and short codes.
fn words(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut text = Vec::new();
    while text.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let word = state >> 24;
        text.extend(format!("{} ", word * word % 9973).bytes());
        if word == 7 {
            text.extend((0..=255).rev());
        }
    }
    text
}

#[test]
fn texts_of_all_kinds() {
    let all: Vec<u8> = (0..=255).collect();
    for text in [
        &b""[..],
        b"a",
        b"aaaa",
        b"aaaaa",
        &[7; 3],
        &[7; 4],
        &[7; 259],
        &[7; 260],
        &vec![0; 1_000_000],
        &[255; 255 * 5 + 4],
        &all,
        &words(350_000),
    ] {
        for level in [1, 9] {
            assert_eq!(unpacked(&packed(text, level)).unwrap(), text);
        }
    }
}

#[test]
fn streams_may_follow_each_other() {
    let both = [packed(b"one", 9), packed(b"", 1), packed(b"two", 3)].concat();
    assert_eq!(unpacked(&both).unwrap(), b"onetwo");
    let more = [&packed(b"one", 9)[..], b"\0"].concat();
    assert!(unpacked(&more).is_err());
}

#[test]
fn what_is_cut_off_ends_too_early() {
    let whole = packed(&words(3000), 9);
    for length in 0..whole.len() {
        let error = unpacked(&whole[..length]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{length}");
    }
}

#[test]
fn no_flipped_bit_changes_a_text() {
    let text = words(2000);
    let whole = packed(&text, 1);
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 0x80 >> (bit % 8);
        // Some bits have no meaning: the level of a short text, codes that nothing uses, what fills the
        // last byte up.
        if let Ok(found) = unpacked(&damaged) {
            assert_eq!(found, text, "{bit}");
        }
    }
}

proptest! {
    #[test]
    fn whatever_was_packed_comes_back(
        pieces in prop::collection::vec((any::<u8>(), 1..700_usize, any::<bool>()), 0..60),
        level in 1..=9_u32,
    ) {
        let mut text = Vec::new();
        for (byte, length, is_run) in pieces {
            for at in 0..length {
                text.push(if is_run { byte } else { byte.wrapping_mul(at.to_le_bytes()[0]) });
            }
        }
        prop_assert_eq!(unpacked(&packed(&text, level)).unwrap(), text);
    }

    #[test]
    fn noise_is_an_error(level in b'1'..=b'9', noise in prop::collection::vec(any::<u8>(), 0..400)) {
        let head = [b'B', b'Z', b'h', level, 0x31, 0x41, 0x59, 0x26, 0x53, 0x59];
        prop_assert!(unpacked(&[&head[..], &noise].concat()).is_err());
    }
}
