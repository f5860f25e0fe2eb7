//! The lanes against the one-stream implementation.

use md5::Digest as _;
use proptest::prelude::*;

use super::{BLOCK, LANES, START, Stream, advance, digest, padding};

/// The digests of several texts, side by side.
fn side_by_side(texts: &[Vec<u8>]) -> Vec<[u8; 16]> {
    let padded: Vec<Vec<u8>> = texts
        .iter()
        .map(|text| {
            let (padding, length) = padding(text.len() as u64);
            [text.as_slice(), &padding[..length]].concat()
        })
        .collect();
    let mut states = vec![START; texts.len()];
    let mut passed = vec![0; texts.len()];
    loop {
        let mut streams: Vec<_> = states
            .iter_mut()
            .zip(&padded)
            .zip(&passed)
            .map(|((state, text), passed)| Stream {
                state,
                blocks: &text.as_chunks::<BLOCK>().0[*passed..],
            })
            .filter(|stream| !stream.blocks.is_empty())
            .collect();
        let Some(count) = streams.iter().map(|stream| stream.blocks.len()).min() else {
            return states.into_iter().map(digest).collect();
        };
        advance(&mut streams, count);
        for (passed, text) in passed.iter_mut().zip(&padded) {
            if *passed < text.len() / BLOCK {
                *passed += count;
            }
        }
    }
}

fn one_by_one(texts: &[Vec<u8>]) -> Vec<[u8; 16]> {
    texts
        .iter()
        .map(|text| md5::Md5::digest(text).into())
        .collect()
}

#[test]
fn all_lengths_around_the_ends_of_blocks() {
    let text = |length: usize| -> Vec<u8> {
        (0..length)
            .map(|at| (at * 7 % 251).to_le_bytes()[0])
            .collect()
    };
    for start in [0, 40, 100, 119, 1000, 65_530] {
        let texts: Vec<_> = (start..start + LANES).map(text).collect();
        assert_eq!(side_by_side(&texts), one_by_one(&texts), "{start}");
    }
}

proptest! {
    #[test]
    fn the_lanes_say_what_one_stream_says(
        texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 0..=LANES)
    ) {
        prop_assert_eq!(side_by_side(&texts), one_by_one(&texts));
    }
}
