//! Digests as text: the lower-case hexadecimal form that repodata, locks and `@EXPLICIT` lists use.
//! Computing digests is left to whoever reads the bytes.

use std::fmt::Write as _;

/// The hexadecimal form of `bytes`, two lower-case digits each.
pub fn encode(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The `N` bytes that `text` spells in exactly `2 * N` hexadecimal digits of either case.
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = *pair else { return None };
        *byte = 16 * nibble(high)? + nibble(low)?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decode_is_the_inverse_of_encode() {
        let bytes = [0x00, 0x7f, 0x80, 0xff];
        assert_eq!(encode(&bytes), "007f80ff");
        assert_eq!(decode("007F80ff"), Some(bytes));
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "007f80",
            "007f80ff00",
            "007f80fg",
            "007f8 ff",
            "+07f80ff",
            "007f8é",
        ] {
            assert_eq!(decode::<4>(text), None, "{text}");
        }
    }
}
