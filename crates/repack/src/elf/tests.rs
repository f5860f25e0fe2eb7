use super::*;

#[test]
fn other_files_are_none() {
    assert_eq!(read(b"#!/bin/sh\n"), Ok(None));
    assert_eq!(read(b""), Ok(None));
    assert_eq!(read(b"\x7fEL"), Ok(None));
}
