//! The sum that the POSIX command `cksum` prints, which every system has.

/// The sum of `bytes`, followed by zeros up to `length` bytes in all.
///
/// CRC-32 with the polynomial 0x04C11DB7, most significant bit first, over the bytes and then over
/// their number, in as many bytes as it needs, the lowest first (POSIX.1-2017, `cksum`).
pub(super) fn padded(bytes: &[u8], length: usize) -> u32 {
    let zeros = std::iter::repeat_n(&0, length.saturating_sub(bytes.len()));
    let mut sum = 0;
    for byte in bytes.iter().chain(zeros) {
        sum = step(sum, *byte);
    }
    let mut left = length;
    while left > 0 {
        sum = step(sum, left.to_le_bytes()[0]);
        left >>= 8;
    }
    !sum
}

const fn step(sum: u32, byte: u8) -> u32 {
    (sum << 8) ^ TABLE[((sum >> 24) as u8 ^ byte) as usize]
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index: u32 = 0;
    while index < 256 {
        let mut sum = index << 24;
        let mut bit = 0;
        while bit < 8 {
            let carry = sum >> 31 == 1;
            sum = if carry {
                sum << 1 ^ 0x04C1_1DB7
            } else {
                sum << 1
            };
            bit += 1;
        }
        table[index as usize] = sum;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_cksum_prints() {
        for (bytes, sum) in [
            (&b""[..], 4_294_967_295),
            (b"a", 1_220_704_766),
            (b"123456789", 930_766_865),
            (b"123456789\n", 1_552_147_931),
        ] {
            assert_eq!(padded(bytes, bytes.len()), sum);
        }
        assert_eq!(
            padded(b"abc", 4096),
            padded(&[&b"abc"[..], &[0; 4093]].concat(), 4096)
        );
    }
}
