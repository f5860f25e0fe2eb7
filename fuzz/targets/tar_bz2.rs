//! Any bytes as a `.tar.bz2`: refused, or read to the end without a panic, and then listed.

#![no_main]

use archive::package::Kind;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    channel::fuzz::package(Kind::TarBz2, bytes);
});
