//! Any bytes as `info/index.json`: refused, or a record that every reader of JSON takes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(record) = channel::fuzz::index_json(bytes) {
        let read: Result<serde_json::Value, _> = serde_json::from_str(&record);
        assert!(read.is_ok_and(|value| value.is_object()), "{record}");
    }
});
