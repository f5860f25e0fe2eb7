//! RECORD: the list of a wheel's files with their digests (recording installed projects,
//! formerly PEP 376 and 627).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Error;
use super::file_name::FileName;

/// A file's digest and length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// sha256.
    pub(super) sha256: [u8; 32],
    /// In bytes.
    pub(super) size: Option<u64>,
}

/// Reads a RECORD: each file with its digest, or without one where the specification allows that.
pub(super) fn parse(
    wheel: &FileName,
    text: &[u8],
) -> Result<BTreeMap<String, Option<Listed>>, Error> {
    let wrong = |problem: String| Error::Metadata {
        wheel: wheel.text.clone(),
        file: "RECORD",
        problem,
    };
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text);
    let mut files = BTreeMap::new();
    for row in reader.records() {
        let row = row.map_err(|error| wrong(error.to_string()))?;
        let path = row.get(0).unwrap_or_default();
        let digest = row.get(1).unwrap_or_default();
        let size = row.get(2).unwrap_or_default();
        let listed = if digest.is_empty() {
            None
        } else {
            let sha256 = digest
                .strip_prefix("sha256=")
                .and_then(|text| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok())
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or_else(|| wrong(format!("`{digest}` of `{path}` is no sha256")))?;
            let size = match size {
                "" => None,
                text => Some(
                    text.parse()
                        .map_err(|_| wrong(format!("`{text}` of `{path}` is no size")))?,
                ),
            };
            Some(Listed { sha256, size })
        };
        if files.insert(path.to_owned(), listed).is_some() {
            return Err(wrong(format!("`{path}` is there twice")));
        }
    }
    Ok(files)
}

/// A digest as RECORD has it.
pub(super) fn digest(sha256: &[u8; 32]) -> String {
    format!("sha256={}", URL_SAFE_NO_PAD.encode(sha256))
}

/// The text of a RECORD.
pub(super) fn text(files: &BTreeMap<String, Option<Listed>>) -> String {
    let mut text = String::new();
    for (path, listed) in files {
        let path = if path.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", path.replace('"', "\"\""))
        } else {
            path.clone()
        };
        text.push_str(&path);
        match listed {
            Some(listed) => {
                let size = listed.size.map(|size| size.to_string()).unwrap_or_default();
                // Writing to a String does not fail.
                let _ = writeln!(text, ",{},{size}", digest(&listed.sha256));
            }
            None => text.push_str(",,\n"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wheel() -> FileName {
        FileName::parse("a-1-py3-none-any.whl").unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let mut files = BTreeMap::new();
        for (path, number) in [("a.py", 1), ("b, \"c\".py", 2), ("ü.py", 3)] {
            let listed = Listed {
                sha256: [number; 32],
                size: Some(number.into()),
            };
            files.insert(path.to_owned(), Some(listed));
        }
        files.insert("a-1.dist-info/RECORD".to_owned(), None);
        let read = parse(&wheel(), text(&files).as_bytes()).unwrap();
        assert_eq!(read, files);
    }

    #[test]
    fn refuses_what_is_no_record() {
        let empty = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        assert!(parse(&wheel(), format!("a.py,{empty},0\r\n").as_bytes()).is_ok());
        for text in [
            format!("a.py,{empty},0\na.py,{empty},0\n"),
            format!("a.py,{empty},many\n"),
            format!("a.py,{empty}x,0\n"),
            "a.py,md5=abc,0\n".to_owned(),
            "a.py,sha256=abc,0\n".to_owned(),
        ] {
            assert!(parse(&wheel(), text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(&wheel(), b"\xff\xfe,,\n").is_err());
    }
}
