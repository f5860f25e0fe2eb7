//! Where the build prefix stands in a file, by rattler's own search, so that what our runtime
//! replaces is exactly what rattler's installer would replace.

use rattler::install::link::{find_cstring_occurrences, find_text_occurrences};

use conda::package::{FileMode, OffsetEncoding, PrefixPlaceholder};
use runtime::plan::{CString, Encoding, Occurrence, Placeholder, Places};

/// Finds all occurrences in `bytes`, a whole file.
pub(super) fn find(bytes: &[u8], placeholder: &PrefixPlaceholder) -> Placeholder {
    let prefix = &placeholder.placeholder;
    let places = match placeholder.file_mode {
        FileMode::Text => {
            let shebang = shebang_length(bytes);
            let occurrences = find_text_occurrences(bytes, shebang, prefix);
            Places::Text {
                shebang: shebang as u64,
                occurrences: occurrences
                    .into_iter()
                    .map(|found| Occurrence {
                        offset: found.offset as u64,
                        encoding: encoding(found.encoding),
                    })
                    .collect(),
            }
        }
        FileMode::Binary => Places::Binary {
            strings: find_cstring_occurrences(bytes, prefix)
                .into_iter()
                .map(|found| CString {
                    offsets: found
                        .offsets
                        .into_iter()
                        .map(|offset| offset as u64)
                        .collect(),
                    end: found.nul_pos as u64,
                    encoding: encoding(found.encoding),
                })
                .collect(),
        },
    };
    Placeholder {
        prefix: prefix.clone(),
        places,
    }
}

/// The first line with its newline, where it names an interpreter.
fn shebang_length(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"#!") {
        bytes
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(bytes.len(), |end| end + 1)
    } else {
        0
    }
}

fn encoding(encoding: OffsetEncoding) -> Encoding {
    match encoding {
        OffsetEncoding::Utf8 => Encoding::Utf8,
        OffsetEncoding::Utf16Le => Encoding::Utf16Le,
        OffsetEncoding::Utf16Be => Encoding::Utf16Be,
        OffsetEncoding::Utf32Le => Encoding::Utf32Le,
        OffsetEncoding::Utf32Be => Encoding::Utf32Be,
    }
}
