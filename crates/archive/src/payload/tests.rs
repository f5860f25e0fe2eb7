//! Write, then read; damage, then read.

use std::io::Read;

use proptest::prelude::*;

use super::*;
use crate::digest::Sha256;

const HEADER: [u8; BLOCK] = [b'#'; BLOCK];

/// An installer with these frames; the last one is the "plan", the number 7.
fn build(contents: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &HEADER, b"runtime").unwrap();
    for content in contents {
        let stream = zstd::bulk::compress(content, 3).unwrap();
        writer
            .frame(
                &mut &stream[..],
                stream.len() as u64,
                content.len() as u64,
                None,
            )
            .unwrap();
    }
    let plan = writer.json(&7).unwrap();
    let written = writer.finish(plan).unwrap();
    assert_eq!(written.length, written.sink.len() as u64);
    written.sink
}

/// Reads everything that a full check reads.
fn read(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let payload = Payload::open(bytes, bytes.len() as u64)?;
    payload.verify_program()?;
    assert_eq!(payload.json::<u8>(payload.index.plan)?, 7);
    let mut decoder = Decoder::new();
    let decode = |number| {
        let mut content = Vec::new();
        let part = Part::Frame(number);
        let mut frame = payload.frame(number, &mut decoder)?;
        frame
            .read_to_end(&mut content)
            .map_err(|source| Error::Decode { part, source })?;
        Ok(content)
    };
    (0..payload.index.plan).map(decode).collect()
}

#[test]
fn header_and_runtime_lie_where_the_trailer_says() {
    let bytes = build(&[]);
    let payload = Payload::open(&bytes[..], bytes.len() as u64).unwrap();
    let trailer = payload.trailer.unwrap();
    assert_eq!(trailer.header_length, BLOCK as u64);
    assert_eq!(trailer.runtime_length, BLOCK as u64);
    assert_eq!(&bytes[BLOCK..BLOCK + 7], b"runtime");
}

#[test]
fn a_newer_format_is_refused_as_newer() {
    let mut bytes = build(&[]);
    let format = bytes.len() - usize::try_from(TRAILER_LENGTH).unwrap() + 8;
    bytes[format] += 1;
    assert!(matches!(read(&bytes), Err(Error::Newer { found: 2 })));
}

#[test]
fn a_frame_that_decodes_to_another_size_is_an_error() {
    for declared in [2, 4] {
        let stream = zstd::bulk::compress(b"abc", 3).unwrap();
        let mut writer = Writer::new(Vec::new(), &HEADER, b"").unwrap();
        writer
            .frame(&mut &stream[..], stream.len() as u64, declared, None)
            .unwrap();
        let plan = writer.json(&7).unwrap();
        let bytes = writer.finish(plan).unwrap().sink;
        assert!(matches!(
            read(&bytes),
            Err(Error::Decode {
                part: Part::Frame(0),
                ..
            })
        ));
    }
}

#[test]
fn damage_is_named() {
    let contents = vec![b"first".repeat(100), b"second".repeat(100)];
    let sound = build(&contents);
    let payload = Payload::open(&sound[..], sound.len() as u64).unwrap();
    let frame = payload.index.frames[1].offset;
    let trailer = payload.trailer.unwrap();
    for (position, part) in [
        (100, Part::Header),
        (BLOCK as u64 + 100, Part::Runtime),
        (frame, Part::Frame(1)),
        (trailer.index_offset, Part::Index),
        (sound.len() as u64 - 1, Part::Trailer),
    ] {
        let mut bytes = sound.clone();
        bytes[usize::try_from(position).unwrap()] ^= 1;
        match read(&bytes) {
            Err(Error::Digest { part: named, .. }) => assert_eq!(named, part),
            other => panic!("{part} damaged, but: {other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(contents: Vec<Vec<u8>>) {
        prop_assert_eq!(read(&build(&contents)).unwrap(), contents);
    }

    #[test]
    fn no_flipped_bit_and_no_cut_goes_unnoticed(contents: Vec<Vec<u8>>, at: prop::sample::Index, bit in 0..8u8) {
        let sound = build(&contents);
        let mut flipped = sound.clone();
        flipped[at.index(sound.len())] ^= 1 << bit;
        prop_assert!(read(&flipped).is_err());
        prop_assert!(read(&sound[..at.index(sound.len())]).is_err());
    }

    #[test]
    fn a_trailer_survives_its_bytes(numbers: [u32; 4], digest: [u8; 32]) {
        let [header_length, runtime_length, index_offset, index_length] = numbers.map(u64::from);
        let index_offset = header_length + runtime_length + index_offset;
        let trailer = Trailer {
            header_length,
            runtime_length,
            index_offset,
            index_length,
            index_size: 9,
            header_sha256: Sha256(digest),
            runtime_sha256: Sha256::of(&digest),
            index_sha256: Sha256::of(b""),
        };
        let bytes = trailer.to_bytes();
        prop_assert_eq!(bytes.len() as u64, TRAILER_LENGTH);
        let file_length = index_offset + index_length + TRAILER_LENGTH;
        prop_assert_eq!(Trailer::from_bytes(&bytes, file_length).unwrap(), trailer);
    }
}
