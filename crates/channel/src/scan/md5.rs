//! MD5 (RFC 1321) of several streams at the same time, one in each lane of the processor's vectors:
//! a single stream is bound by the latency of its steps. The compiler makes vectors of the arrays;
//! `pulp` picks what this processor has.

#![expect(
    clippy::inline_always,
    reason = "what is not inlined is not compiled for the processor's vectors"
)]

use pulp::{Arch, Simd, WithSimd};

#[cfg(test)]
mod tests;

/// How many streams go side by side: 32-bit words in an AVX-512 register, and two of AVX2's.
pub(super) const LANES: usize = 16;

/// From how many streams on the lanes are quicker than one stream after the other.
const WORTHWHILE: usize = 4;

/// How many blocks of each stream are brought into the order of vectors at a time.
const AHEAD: usize = 8;

/// The length of a block, in bytes.
pub(super) const BLOCK: usize = 64;

/// The state of one stream.
pub(super) type State = [u32; 4];

/// The state before the first block.
pub(super) const START: State = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// The blocks of one stream that come next.
pub(super) struct Stream<'a> {
    /// Changed by the blocks.
    pub(super) state: &'a mut State,
    /// At least as many as are asked for.
    pub(super) blocks: &'a [[u8; BLOCK]],
}

/// Takes `count` blocks of each stream in. At most [`LANES`] streams.
pub(super) fn advance(streams: &mut [Stream<'_>], count: usize) {
    if streams.len() < WORTHWHILE {
        for stream in streams {
            let blocks = stream.blocks.get(..count).unwrap_or_default();
            md5::block_api::compress(stream.state, blocks);
        }
        return;
    }
    let Some(first) = streams.first() else { return };
    // A lane without a stream computes what another one does.
    let mut blocks = [first.blocks; LANES];
    let mut states = [START; LANES];
    for ((block, state), stream) in blocks.iter_mut().zip(&mut states).zip(&*streams) {
        (*block, *state) = (stream.blocks, *stream.state);
    }
    Arch::new().dispatch(Lanes {
        states: &mut states,
        blocks: &blocks,
        count,
    });
    for (stream, state) in streams.iter_mut().zip(states) {
        *stream.state = state;
    }
}

/// What follows the content of a stream of `length` bytes: a one, zeros, the length in bits.
pub(super) fn padding(length: u64) -> ([u8; 2 * BLOCK], usize) {
    let rest = usize::try_from(length % BLOCK as u64).unwrap_or_default();
    let blocks = if rest < BLOCK - 8 { 1 } else { 2 };
    let count = blocks * BLOCK - rest;
    let mut bytes = [0; 2 * BLOCK];
    if let Some(first) = bytes.first_mut() {
        *first = 0x80;
    }
    if let Some(end) = bytes.get_mut(count - 8..count) {
        end.copy_from_slice(&length.wrapping_mul(8).to_le_bytes());
    }
    (bytes, count)
}

/// The digest that a state says after the last block.
pub(super) fn digest(state: State) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (place, word) in bytes.chunks_exact_mut(4).zip(state) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

struct Lanes<'a> {
    states: &'a mut [State; LANES],
    blocks: &'a [&'a [[u8; BLOCK]]; LANES],
    count: usize,
}

/// Four words of each lane, as they stand in a block.
type Quarter = [[u32; 4]; LANES];

/// Vectors of several groups of lanes, one of each: what one group waits for, another one does meanwhile.
type Groups<S, const N: usize> = [<S as Simd>::u32s; N];

impl WithSimd for Lanes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Several blocks are brought together before the first is used: what was just written in
        // pieces is slow to read as a vector.
        let mut gathered = [[[[0; 4]; LANES]; 4]; AHEAD];
        for start in (0..self.count).step_by(AHEAD) {
            let end = (start + AHEAD).min(self.count);
            for (lane, blocks) in self.blocks.iter().enumerate() {
                let blocks = blocks.get(start..end).unwrap_or_default();
                for (quarters, block) in gathered.iter_mut().zip(blocks) {
                    let (words, _) = block.as_chunks::<4>();
                    let (pieces, _) = words.as_chunks::<4>();
                    for (quarter, [a, b, c, d]) in quarters.iter_mut().zip(pieces) {
                        quarter[lane] = [
                            u32::from_le_bytes(*a),
                            u32::from_le_bytes(*b),
                            u32::from_le_bytes(*c),
                            u32::from_le_bytes(*d),
                        ];
                    }
                }
            }
            let gathered = gathered.get(..end - start).unwrap_or_default();
            if S::U32_LANES == LANES {
                take::<S, 1>(simd, self.states, gathered);
            } else {
                take::<S, 2>(simd, self.states, gathered);
            }
        }
    }
}

/// Takes blocks in, `N` groups of lanes at a time. Which lane of a vector has which stream is the
/// processor's choice, and the same one for states and blocks.
#[inline(always)]
fn take<S: Simd, const N: usize>(simd: S, states: &mut [State; LANES], gathered: &[[Quarter; 4]]) {
    let (vectors, _) = S::as_mut_simd_u32s(states.as_flattened_mut());
    let (groups, _) = vectors.as_chunks_mut::<4>();
    let (groups, _) = groups.as_chunks_mut::<N>();
    for (number, group) in groups.iter_mut().enumerate() {
        let mut sums = turned(simd, group);
        for quarters in gathered {
            let mut words = [[simd.splat_u32s(0); N]; 16];
            for (words, quarter) in words.as_chunks_mut::<4>().0.iter_mut().zip(quarters) {
                let (vectors, _) = S::as_simd_u32s(quarter.as_flattened());
                let (groups, _) = vectors.as_chunks::<4>();
                if let Some(group) = groups.as_chunks::<N>().0.get(number) {
                    *words = turned(simd, group);
                }
            }
            let more = compress::<S, N>(simd, sums, &words);
            for (sum, more) in sums.iter_mut().zip(more) {
                *sum = add(simd, *sum, more);
            }
        }
        for (at, group) in group.iter_mut().enumerate() {
            *group =
                simd.interleave_shfl_f32s([sums[0][at], sums[1][at], sums[2][at], sums[3][at]]);
        }
    }
}

/// Four words of each stream, after each other, as four vectors for each group.
#[inline(always)]
fn turned<S: Simd, const N: usize>(simd: S, groups: &[[S::u32s; 4]; N]) -> [Groups<S, N>; 4] {
    let mut turned = [[simd.splat_u32s(0); N]; 4];
    for (at, group) in groups.iter().enumerate() {
        let group = simd.deinterleave_shfl_f32s(*group);
        for (turned, word) in turned.iter_mut().zip(group) {
            turned[at] = word;
        }
    }
    turned
}

macro_rules! step {
    ($simd:ident, $function:ident, $a:ident, $b:ident, $c:ident, $d:ident, $words:ident, $($index:literal $shift:literal $constant:literal),*) => {
        $(
            for at in 0..N {
                let mixed = $function($simd, $b[at], $c[at], $d[at]);
                let added = $simd.add_u32s($words[$index][at], $simd.splat_u32s($constant));
                let sum = $simd.add_u32s($simd.add_u32s($a[at], added), mixed);
                $a[at] = $simd.add_u32s(rotate($simd, sum, $shift), $b[at]);
            }
            ($a, $b, $c, $d) = ($d, $a, $b, $c);
        )*
    };
}

#[inline(always)]
fn compress<S: Simd, const N: usize>(
    simd: S,
    states: [Groups<S, N>; 4],
    words: &[Groups<S, N>; 16],
) -> [Groups<S, N>; 4] {
    let [mut a, mut b, mut c, mut d] = states;
    step!(simd, choose, a, b, c, d, words,
        0 7 0xd76a_a478, 1 12 0xe8c7_b756, 2 17 0x2420_70db, 3 22 0xc1bd_ceee,
        4 7 0xf57c_0faf, 5 12 0x4787_c62a, 6 17 0xa830_4613, 7 22 0xfd46_9501,
        8 7 0x6980_98d8, 9 12 0x8b44_f7af, 10 17 0xffff_5bb1, 11 22 0x895c_d7be,
        12 7 0x6b90_1122, 13 12 0xfd98_7193, 14 17 0xa679_438e, 15 22 0x49b4_0821);
    step!(simd, choose_by_last, a, b, c, d, words,
        1 5 0xf61e_2562, 6 9 0xc040_b340, 11 14 0x265e_5a51, 0 20 0xe9b6_c7aa,
        5 5 0xd62f_105d, 10 9 0x0244_1453, 15 14 0xd8a1_e681, 4 20 0xe7d3_fbc8,
        9 5 0x21e1_cde6, 14 9 0xc337_07d6, 3 14 0xf4d5_0d87, 8 20 0x455a_14ed,
        13 5 0xa9e3_e905, 2 9 0xfcef_a3f8, 7 14 0x676f_02d9, 12 20 0x8d2a_4c8a);
    step!(simd, parity, a, b, c, d, words,
        5 4 0xfffa_3942, 8 11 0x8771_f681, 11 16 0x6d9d_6122, 14 23 0xfde5_380c,
        1 4 0xa4be_ea44, 4 11 0x4bde_cfa9, 7 16 0xf6bb_4b60, 10 23 0xbebf_bc70,
        13 4 0x289b_7ec6, 0 11 0xeaa1_27fa, 3 16 0xd4ef_3085, 6 23 0x0488_1d05,
        9 4 0xd9d4_d039, 12 11 0xe6db_99e5, 15 16 0x1fa2_7cf8, 2 23 0xc4ac_5665);
    step!(simd, last, a, b, c, d, words,
        0 6 0xf429_2244, 7 10 0x432a_ff97, 14 15 0xab94_23a7, 5 21 0xfc93_a039,
        12 6 0x655b_59c3, 3 10 0x8f0c_cc92, 10 15 0xffef_f47d, 1 21 0x8584_5dd1,
        8 6 0x6fa8_7e4f, 15 10 0xfe2c_e6e0, 6 15 0xa301_4314, 13 21 0x4e08_11a1,
        4 6 0xf753_7e82, 11 10 0xbd3a_f235, 2 15 0x2ad7_d2bb, 9 21 0xeb86_d391);
    [a, b, c, d]
}

#[inline(always)]
fn add<S: Simd, const N: usize>(
    simd: S,
    mut left: Groups<S, N>,
    right: Groups<S, N>,
) -> Groups<S, N> {
    for (left, right) in left.iter_mut().zip(right) {
        *left = simd.add_u32s(*left, right);
    }
    left
}

#[inline(always)]
fn rotate<S: Simd>(simd: S, words: S::u32s, bits: u32) -> S::u32s {
    let left = simd.wrapping_dyn_shl_u32s(words, simd.splat_u32s(bits));
    let right = simd.wrapping_dyn_shr_u32s(words, simd.splat_u32s(32 - bits));
    simd.or_u32s(left, right)
}

/// The functions F, G, H and I of the RFC.
#[inline(always)]
fn choose<S: Simd>(simd: S, x: S::u32s, y: S::u32s, z: S::u32s) -> S::u32s {
    simd.xor_u32s(z, simd.and_u32s(x, simd.xor_u32s(y, z)))
}

#[inline(always)]
fn choose_by_last<S: Simd>(simd: S, x: S::u32s, y: S::u32s, z: S::u32s) -> S::u32s {
    choose(simd, z, x, y)
}

#[inline(always)]
fn parity<S: Simd>(simd: S, x: S::u32s, y: S::u32s, z: S::u32s) -> S::u32s {
    simd.xor_u32s(simd.xor_u32s(x, y), z)
}

#[inline(always)]
fn last<S: Simd>(simd: S, x: S::u32s, y: S::u32s, z: S::u32s) -> S::u32s {
    simd.xor_u32s(y, simd.or_u32s(x, simd.not_u32s(z)))
}
