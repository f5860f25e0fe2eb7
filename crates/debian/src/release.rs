//! `Release` files: which indexes a suite has, with their digests, and how long that holds
//! (apt's `secure-apt`, Debian's repository format).

use std::collections::HashMap;
use std::time::UNIX_EPOCH;

use crate::control::{Paragraph, paragraphs};
use crate::index::{is_digest, is_path};

/// What a suite says of itself.
#[derive(Debug, Clone)]
pub struct Release {
    fields: Paragraph,
    /// When it was made, in seconds since the epoch.
    pub date: Option<u64>,
    /// Until when it holds.
    pub valid_until: Option<u64>,
    /// Whether indexes may be asked for by their digests.
    pub by_hash: bool,
    files: HashMap<String, Listed>,
}

/// A file of the suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its length in bytes.
    pub size: u64,
    /// Its digest, in hexadecimal digits.
    pub sha256: String,
}

/// Why a file is no release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// It names no indexes, or without SHA-256.
    #[error("it lists no files with SHA-256 digests")]
    NoFiles,
    /// A date is none.
    #[error("its `{field}` is `{value}`, which is no date")]
    Date {
        /// The field.
        field: &'static str,
        /// What it says.
        value: String,
    },
}

impl Release {
    /// Reads the text, whose signature was checked before.
    pub fn parse(text: &str) -> Result<Release, ReleaseError> {
        let fields = paragraphs(text).next().unwrap_or_default();
        let mut files = HashMap::new();
        for line in fields.get("SHA256").unwrap_or_default().lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let [sha256, size, path] = *words
                && is_digest(sha256)
                && is_path(path)
                && let Ok(size) = size.parse()
            {
                let sha256 = sha256.to_ascii_lowercase();
                files.insert(path.to_owned(), Listed { size, sha256 });
            }
        }
        if files.is_empty() {
            return Err(ReleaseError::NoFiles);
        }
        Ok(Release {
            date: date(&fields, "Date")?,
            valid_until: date(&fields, "Valid-Until")?,
            by_hash: fields.get("Acquire-By-Hash") == Some("yes"),
            files,
            fields,
        })
    }

    /// A field, or nothing.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_default()
    }

    /// Whether it is the suite of that name: by its suite or by its code name.
    pub fn is_called(&self, suite: &str) -> bool {
        [self.field("Suite"), self.field("Codename")].contains(&suite)
    }

    /// Whether packages for all architectures stand in an index of their own, and only there.
    pub fn lists_all_apart(&self) -> bool {
        let mut architectures = self.field("Architectures").split_whitespace();
        let no_support = self.field("No-Support-for-Architecture-all");
        architectures.any(|one| one == "all") && !no_support.contains("Packages")
    }

    /// A file of the suite, by its path below the suite's folder.
    pub fn file(&self, path: &str) -> Option<&Listed> {
        self.files.get(path)
    }
}

fn date(fields: &Paragraph, field: &'static str) -> Result<Option<u64>, ReleaseError> {
    let Some(value) = fields.get(field) else {
        return Ok(None);
    };
    let zone = ["UTC", "GMT", "+0000", "Z"]
        .iter()
        .find_map(|zone| value.strip_suffix(zone));
    // One digit for the day or the hour will do, too: Ubuntu's have a space instead of the other.
    let padded = |word: &str| match word.split(':').next() {
        Some(number) if number.len() == 1 => format!("0{word}"),
        _ => word.to_owned(),
    };
    let text = zone.map(|text| {
        let words: Vec<String> = text.split_whitespace().map(padded).collect();
        format!("{} GMT", words.join(" "))
    });
    let instant = text.and_then(|text| httpdate::parse_http_date(&text).ok());
    let seconds = instant.and_then(|instant| instant.duration_since(UNIX_EPOCH).ok());
    match seconds {
        Some(seconds) => Ok(Some(seconds.as_secs())),
        None => Err(ReleaseError::Date {
            field,
            value: value.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_suite_says() {
        let digest = "Ab".repeat(32);
        let release = Release::parse(&format!(
            "Suite: oldstable\nCodename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\n\
             Valid-Until: Sat, 1 Aug 2026 00:00:00 +0000\nAcquire-By-Hash: yes\nSHA256:\n \
             {digest} 3 main/Packages.xz\n {digest} 3 ../x\n {digest} x y\n"
        ))
        .expect("a release");
        assert!(release.by_hash && release.is_called("bookworm") && release.is_called("oldstable"));
        assert!(!release.is_called("trixie"));
        assert_eq!(release.date, Some(1_783_764_997));
        assert_eq!(release.valid_until, Some(1_785_542_400));
        let listed = release.file("main/Packages.xz").expect("listed");
        assert_eq!(
            (listed.size, listed.sha256.as_str()),
            (3, &*"ab".repeat(32))
        );
        assert_eq!(release.file("../x"), None);
    }

    #[test]
    fn dates_as_archives_write_them() {
        for (text, expected) in [
            ("Sat, 11 Jul 2026 10:16:37 UTC", 1_783_764_997),
            ("Sat, 11 Jul 2026  1:16:37 UTC", 1_783_732_597),
            ("Sat, 1 Aug 2026 01:16:37 +0000", 1_785_546_997),
        ] {
            let text = format!("Date: {text}\nSHA256:\n {} 3 x\n", "a".repeat(64));
            let release = Release::parse(&text).unwrap();
            assert_eq!(release.date, Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        assert_eq!(
            Release::parse("MD5Sum:\n").err(),
            Some(ReleaseError::NoFiles)
        );
        let text = format!("SHA256:\n {} 3 x\nDate: yesterday\n", "a".repeat(64));
        assert!(matches!(
            Release::parse(&text).err(),
            Some(ReleaseError::Date { field: "Date", .. })
        ));
    }
}
