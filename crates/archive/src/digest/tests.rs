//! Digests against published vectors, as text, and through readers and writers.

use std::io::{Read, Write};

use super::{Hasher, HashingReader, HashingWriter, Md5, PIECE, Sha256};

const ABC_SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const ABC_MD5: &str = "900150983cd24fb0d6963f7d28e17f72";

#[test]
fn published_vectors() {
    assert_eq!(Sha256::of(b"abc").to_string(), ABC_SHA256);
    assert_eq!(Md5::of(b"abc").to_string(), ABC_MD5);
    assert_eq!(
        format!("{:?}", Md5::of(b"")),
        "d41d8cd98f00b204e9800998ecf8427e"
    );
}

#[test]
fn all_bytes_of_a_reader() {
    /// Gives a few bytes, and is interrupted before each few.
    struct Slow<'a>(&'a [u8], bool);
    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(std::io::ErrorKind::Interrupted.into());
            }
            let count = buffer.len().min(1000);
            self.0.read(&mut buffer[..count])
        }
    }
    let bytes = vec![7; 2 * PIECE + 1];
    for length in [0, 1, 1000, PIECE, bytes.len()] {
        let bytes = &bytes[..length];
        assert_eq!(Sha256::of_reader(bytes).unwrap(), Sha256::of(bytes));
        let digests = Hasher::with_md5().all_of(Slow(bytes, false)).unwrap();
        assert_eq!(digests.sha256, Sha256::of(bytes));
        assert_eq!(digests.md5, Some(Md5::of(bytes)));
        assert_eq!(digests.length, length as u64);
    }
}

#[test]
fn text_of_any_case_and_only_of_the_exact_length() {
    assert_eq!(ABC_SHA256.to_uppercase().parse(), Ok(Sha256::of(b"abc")));
    for wrong in [
        "",
        "ab",
        &ABC_SHA256[1..],
        &format!("{ABC_SHA256}0"),
        &"é".repeat(32),
        &"g".repeat(64),
        &"+1".repeat(32),
    ] {
        let error = wrong.parse::<Sha256>().unwrap_err();
        assert!(
            error.to_string().contains("64 hexadecimal digits"),
            "{error}"
        );
    }
}

#[test]
fn json_is_a_string() {
    let json = format!("\"{ABC_MD5}\"");
    assert_eq!(serde_json::to_string(&Md5::of(b"abc")).unwrap(), json);
    assert_eq!(serde_json::from_str::<Md5>(&json).unwrap(), Md5::of(b"abc"));
    assert!(serde_json::from_str::<Md5>("3").is_err());
    assert!(serde_json::from_str::<Md5>("\"3\"").is_err());
}

#[test]
fn readers_and_writers_digest_what_passes() {
    let mut reader = HashingReader::with_md5(&b"abcdef"[..]);
    let mut text = [0; 3];
    reader.read_exact(&mut text).unwrap();
    let (rest, digests) = reader.finish_digests();
    assert_eq!(rest, b"def");
    assert_eq!(
        (digests.sha256, digests.md5, digests.length),
        (Sha256::of(b"abc"), Some(Md5::of(b"abc")), 3)
    );

    let mut writer = HashingWriter::new(Vec::new());
    writer.write_all(b"ab").unwrap();
    writer.write_all(b"c").unwrap();
    assert_eq!(writer.finish(), (b"abc".to_vec(), Sha256::of(b"abc"), 3));
}
