//! Against a reference that has the whole file in memory, in pieces of any size.

use proptest::prelude::*;

use super::*;
use crate::plan::Placeholder;

const OLD: &str = "/build/placehold_placehold";

/// Relocates in pieces of `piece` bytes.
fn relocate(bytes: &[u8], places: Places, prefix: &str, piece: usize) -> Result<Vec<u8>, Problem> {
    let placeholder = Placeholder {
        prefix: OLD.into(),
        places,
    };
    let mut relocation = Relocation::new(&placeholder, prefix, bytes.len() as u64)?;
    let length = relocation.length(bytes.len() as u64);
    let mut result = Vec::new();
    for piece in bytes.chunks(piece) {
        relocation.feed(piece, &mut result)?;
    }
    relocation.finish(&mut result)?;
    if let Some(length) = length {
        assert_eq!(result.len() as u64, length, "what was said before");
    }
    Ok(result)
}

fn text(shebang: u64, offsets: &[u64]) -> Places {
    let occurrence = |&offset| Occurrence {
        offset,
        encoding: Encoding::Utf8,
    };
    Places::Text {
        shebang,
        occurrences: offsets.iter().map(occurrence).collect(),
    }
}

fn shebang(line: &str, prefix: &str) -> String {
    let places = text(line.len() as u64, &[]);
    String::from_utf8(relocate(line.as_bytes(), places, prefix, 3).unwrap()).unwrap()
}

#[test]
fn first_lines_follow_ratters_rules() {
    let long = format!("/{}", "p".repeat(130));
    let python = format!("#!{OLD}/bin/python3.10 -s\n");
    let perl = format!("#! {OLD}/bin/perl -w\n");
    for (line, prefix, expected) in [
        (&python, "/opt/a", "#!/opt/a/bin/python3.10 -s\n".to_owned()),
        (&perl, "/opt/a", "#! /opt/a/bin/perl -w\n".to_owned()),
        (&perl, &long, "#!/usr/bin/env perl -w\n".to_owned()),
        (&perl, "/a b", "#!/usr/bin/env perl -w\n".to_owned()),
        (
            &python,
            &long,
            format!("#!/bin/sh\n'''exec' \"{long}/bin/python3.10\" -s \"$0\" \"$@\" #'''\n"),
        ),
        (
            &python,
            "/a b",
            "#!/bin/sh\n'''exec' \"/a b/bin/python3.10\" -s \"$0\" \"$@\" #'''\n".to_owned(),
        ),
        (&"#!/bin/sh".to_owned(), "/a b", "#!/bin/sh".to_owned()),
    ] {
        assert_eq!(shebang(line, prefix), expected, "{line} {prefix}");
    }
}

#[test]
fn entry_points_find_their_python() {
    assert_eq!(python_shebang("/a/bin/python3"), "#!/a/bin/python3");
    let path = format!("/{}/bin/python3", "p".repeat(120));
    assert_eq!(
        python_shebang(&path),
        format!("#!/bin/sh\n'''exec' \"{path}\" \"$0\" \"$@\" #'''")
    );
    assert!(python_shebang("/a b/python").starts_with("#!/bin/sh\n"));
}

#[test]
fn a_string_in_a_binary_keeps_its_length() {
    let content = format!("ELF\0{OLD}/lib:{OLD}/lib64\0rest");
    let second = 4 + OLD.len() as u64 + 5;
    let string = CString {
        offsets: vec![4, second],
        end: content.len() as u64 - 5,
        encoding: Encoding::Utf8,
    };
    let places = Places::Binary {
        strings: vec![string],
    };
    let padding = "\0".repeat(2 * (OLD.len() - 4));
    let expected = format!("ELF\0/new/lib:/new/lib64{padding}\0rest");
    let result = relocate(content.as_bytes(), places.clone(), "/new", 7).unwrap();
    assert_eq!(String::from_utf8(result).unwrap(), expected);

    let long = format!("{OLD}x");
    let problem = relocate(content.as_bytes(), places, &long, 7).unwrap_err();
    let (room, length) = (OLD.len(), OLD.len() + 1);
    assert!(
        matches!(problem, Problem::TooLong { room: r, length: l } if (r, l) == (room, length)),
        "{problem}"
    );
}

#[test]
fn wide_strings_end_with_a_wide_zero() {
    let mut content = Encoding::Utf16Le.encode(&format!("{OLD}/x"));
    let end = content.len() as u64;
    content.extend([0, 0, b'y', 0]);
    let string = CString {
        offsets: vec![0],
        end,
        encoding: Encoding::Utf16Le,
    };
    let mut expected = Encoding::Utf16Le.encode("/n/x");
    expected.resize(content.len() - 2, 0);
    expected.extend([b'y', 0]);
    let places = Places::Binary {
        strings: vec![string],
    };
    assert_eq!(relocate(&content, places, "/n", 5).unwrap(), expected);
}

#[test]
fn what_is_not_there_is_named() {
    let content = format!("x{OLD}y{OLD}");
    let length = OLD.len() as u64;
    let run = |places| relocate(content.as_bytes(), places, "/n", 4).unwrap_err();
    let binary = |offsets: &[u64], end| Places::Binary {
        strings: vec![CString {
            offsets: offsets.to_vec(),
            end,
            encoding: Encoding::Utf8,
        }],
    };
    assert!(matches!(run(text(0, &[2])), Problem::Missing { offset: 2 }));
    assert!(matches!(run(text(0, &[1, length])), Problem::Disorder));
    assert!(matches!(run(text(0, &[length + 3])), Problem::Disorder));
    assert!(matches!(run(text(1, &[1])), Problem::Missing { offset: 0 }));
    assert!(matches!(run(text(length * 9, &[])), Problem::Disorder));
    // The string goes on where the plan says that it ends.
    let problem = run(binary(&[1], length + 1));
    assert!(matches!(problem, Problem::Missing { offset } if offset == length + 1));
    assert!(matches!(run(binary(&[1], length * 9)), Problem::Disorder));
    assert!(matches!(
        run(binary(&[u64::MAX], u64::MAX)),
        Problem::Disorder
    ));
}

/// One piece of a file: some bytes without the placeholder, then the placeholder.
fn segments() -> impl Strategy<Value = Vec<(Vec<u8>, Encoding)>> {
    let encoding = prop_oneof![
        Just(Encoding::Utf8),
        Just(Encoding::Utf16Le),
        Just(Encoding::Utf16Be),
        Just(Encoding::Utf32Le),
        Just(Encoding::Utf32Be),
    ];
    prop::collection::vec((prop::collection::vec(1u8..32, 0..20), encoding), 0..12)
}

proptest! {
    #[test]
    fn texts_are_like_the_reference(
        segments in segments(),
        prefix in "/[a-z]{0,40}",
        piece in 1usize..50,
    ) {
        let (mut content, mut expected, mut occurrences) = (Vec::new(), Vec::new(), Vec::new());
        for (bytes, encoding) in segments {
            content.extend(&bytes);
            expected.extend(&bytes);
            occurrences.push(Occurrence { offset: content.len() as u64, encoding });
            content.extend(encoding.encode(OLD));
            expected.extend(encoding.encode(&prefix));
        }
        let places = Places::Text { shebang: 0, occurrences };
        prop_assert_eq!(relocate(&content, places.clone(), &prefix, piece).unwrap(), expected);
        prop_assert_eq!(relocate(&content, places, OLD, piece).unwrap(), content);
    }

    #[test]
    fn binaries_keep_their_length(
        strings in prop::collection::vec((segments(), prop::collection::vec(1u8..32, 0..9)), 0..6),
        prefix in "/[a-z]{0,24}",
        piece in 1usize..50,
        terminated in any::<bool>(),
    ) {
        let (mut content, mut expected, mut found) = (Vec::new(), Vec::new(), Vec::new());
        let count = strings.len();
        for (index, (segments, rest)) in strings.into_iter().enumerate() {
            let mut offsets = Vec::new();
            for (bytes, _) in segments {
                content.extend(&bytes);
                expected.extend(&bytes);
                offsets.push(content.len() as u64);
                content.extend(OLD.as_bytes());
                expected.extend(prefix.as_bytes());
            }
            content.extend(&rest);
            expected.extend(&rest);
            expected.resize(content.len(), 0);
            if !offsets.is_empty() {
                let end = content.len() as u64;
                found.push(CString { offsets, end, encoding: Encoding::Utf8 });
            }
            if terminated || index + 1 < count {
                content.push(0);
                expected.push(0);
            }
        }
        let places = Places::Binary { strings: found };
        let result = relocate(&content, places.clone(), &prefix, piece).unwrap();
        prop_assert_eq!(result.len(), content.len());
        prop_assert_eq!(result, expected);
        prop_assert_eq!(relocate(&content, places, OLD, piece).unwrap(), content);
    }

    #[test]
    fn no_plan_makes_it_panic(
        content in prop::collection::vec(any::<u8>(), 0..60),
        shebang in 0u64..70,
        offsets in prop::collection::vec(0u64..70, 0..4),
        end in 0u64..70,
        binary in any::<bool>(),
    ) {
        let places = if binary {
            Places::Binary {
                strings: vec![CString { offsets, end, encoding: Encoding::Utf32Le }],
            }
        } else {
            text(shebang, &offsets)
        };
        let _ = relocate(&content, places, "/n", 8);
    }
}
