//! Any bytes as `patch_instructions.json`: refused, or records that say the same in repodata.json and
//! in shards.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    channel::fuzz::patch_instructions(bytes);
});
