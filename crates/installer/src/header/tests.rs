//! The text itself; what shells make of it is in [`shells`].

use super::*;

mod shells;

fn fields(runtime: &[u8]) -> Fields<'_> {
    Fields {
        name: "Archiconda3",
        version: "0.3.0",
        platform: "linux-aarch64",
        machines: &["aarch64", "arm64"],
        default_prefix: "${HOME:-/opt}/archiconda3",
        runtime,
    }
}

#[test]
fn the_text_is_padded_and_knows_its_length() {
    let text = render(&fields(b"runtime")).unwrap();
    assert_eq!(text.len() % BLOCK, 0);
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("#!/bin/sh\n{\n"));
    assert!(text.ends_with("\n\n"));
    assert!(text.contains(&format!("\nruntime_start='{}'\n", text.len() / BLOCK)));
    assert!(text.contains("\nruntime_blocks='1'\n"));
    assert!(text.contains("\nmachines='aarch64 arm64'\n"));
    let group_end = text.find("\n}\n)").unwrap();
    assert!(
        text[..group_end].split('@').all(|piece| !is_token(piece)),
        "a token is left"
    );
}

#[test]
fn a_text_that_just_needs_another_block_gets_it() {
    // Whatever the length of the text, one of these names brings it to the border of a block.
    for length in 0..BLOCK {
        let name = "n".repeat(length);
        let text = render(&Fields {
            name: &name,
            ..fields(b"")
        })
        .unwrap();
        let start = format!("\nruntime_start='{}'\n", text.len() / BLOCK).into_bytes();
        assert!(
            text.windows(start.len()).any(|window| window == start),
            "{length}"
        );
    }
}

#[test]
fn every_token_has_a_value_and_every_value_a_token() {
    let value = |text: &str| text.to_owned();
    let check = |template: &str, expected: Result<&str, Error>| {
        let values = [("A", value("it's")), ("B_C", value("@A@ $x"))];
        assert_eq!(
            substitute(template, &values),
            expected.map(str::to_owned),
            "{template}"
        );
    };
    check(
        "x @A@@B_C@ \"$@\" a@b",
        Ok(r#"x 'it'\''s''@A@ $x' "$@" a@b"#),
    );
    check("@A@ @B@ @B_C@", Err(Error::Unknown { token: "B".into() }));
    check("@A@ @A@", Err(Error::Unused { token: "B_C" }));
    let nul = substitute("@A@", &[("A", value("a\0"))]);
    assert_eq!(nul, Err(Error::Nul { token: "A" }));
}
