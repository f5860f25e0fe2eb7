//! What every client must be able to read, and that threads change nothing.

use std::io::Read as _;

use super::{DEFAULT_LEVEL, PARALLEL, Packer, bz2_copy, zst, zst_copy, zst_with};

/// A little like repodata, and longer than a window.
fn text(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut text = Vec::with_capacity(length + 100);
    while text.len() < length {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let record = format!(
            "\"name-{}\":{{\"sha256\":\"{state:016x}\",\"depends\":[\"python\"]}},",
            state >> 50
        );
        text.extend_from_slice(record.as_bytes());
    }
    text
}

#[test]
fn one_context_for_many_gives_the_same_bytes() {
    let mut packer = Packer::default();
    let text = text(5 << 20);
    let parallel = usize::try_from(PARALLEL).unwrap();
    for level in [3, DEFAULT_LEVEL, 3] {
        for length in [
            0,
            1,
            700,
            20_000,
            400_000,
            127,
            parallel - 1,
            parallel,
            20_000,
        ] {
            let part = &text[..length];
            let packed = packer.zst(part, level).unwrap();
            assert_eq!(
                packed,
                zst(part, level).unwrap(),
                "{length} bytes, level {level}"
            );
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let text = text(24 << 20);
    for level in [DEFAULT_LEVEL, 3] {
        let one = zst_with(&text, level, 1).unwrap();
        assert_eq!(zst_with(&text, level, 4).unwrap(), one);
        assert_eq!(zst_with(&text, level, 0).unwrap(), one);
        assert_eq!(zst(&text, level).unwrap(), one);
        assert!(one.len() < text.len() / 3);
        let mut copied = Vec::new();
        let length = text.len() as u64;
        zst_copy(&mut &*text, length, &mut copied, level, 2).unwrap();
        assert_eq!(copied, one);
        assert!(zst_copy(&mut &*text, length + 1, &mut Vec::new(), level, 2).is_err());
    }
}

#[test]
fn frames_say_their_size_and_have_small_windows() {
    for length in [0, 1, 3 << 20, 20 << 20] {
        let text = text(length);
        for level in [1, 19, 22]
            .into_iter()
            .take(if length > 4 << 20 { 1 } else { 3 })
        {
            let packed = zst(&text, level).unwrap();
            let size = zstd::zstd_safe::get_frame_content_size(&packed).unwrap();
            assert_eq!(size, Some(text.len() as u64));
            let mut decoder = zstd::Decoder::new(&*packed).unwrap();
            decoder.window_log_max(23).unwrap();
            let mut plain = Vec::new();
            decoder.read_to_end(&mut plain).unwrap();
            assert_eq!(plain, text);
        }
    }
}

#[test]
fn bzip2_is_one_stream() {
    let text = text(3 << 20);
    let mut packed = Vec::new();
    bz2_copy(&mut &*text, &mut packed).unwrap();
    let mut plain = Vec::new();
    bzip2::read::BzDecoder::new(&*packed)
        .read_to_end(&mut plain)
        .unwrap();
    assert_eq!(plain, text);
}
