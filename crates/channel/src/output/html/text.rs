//! Text and addresses from packages, made harmless.

use std::fmt::{self, Write as _};

use archive::digest::Sha256;

/// Text in an element or in a quoted attribute. Characters without a form, and those that turn the
/// direction of all that follows, are replaced.
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plain = 0;
        for (position, character) in self.0.char_indices() {
            let replacement = match character {
                '&' => "&amp;",
                '<' => "&lt;",
                '>' => "&gt;",
                '"' => "&quot;",
                '\'' => "&#39;",
                '\t' | '\n' => continue,
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => "\u{fffd}",
                _ if character.is_control() => "\u{fffd}",
                _ => continue,
            };
            formatter.write_str(self.0.get(plain..position).unwrap_or_default())?;
            formatter.write_str(replacement)?;
            plain = position + character.len_utf8();
        }
        formatter.write_str(self.0.get(plain..).unwrap_or_default())
    }
}

/// One segment of a relative address: never a scheme, a query or a way up.
pub(super) struct Path<'a>(pub(super) &'a str);

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dots = matches!(self.0, "." | "..");
        for byte in self.0.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' | b'+' | b'!' => {
                    formatter.write_char(char::from(byte))?;
                }
                b'.' if !dots => formatter.write_char('.')?,
                _ => write!(formatter, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

/// An address that may be a link: http or https, and nothing in it that a browser would pass over.
pub(super) fn web_address(address: &str) -> Option<&str> {
    let address = address.trim();
    let is_web = ["http://", "https://"].iter().any(|scheme| {
        address
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    let is_clean = !address
        .chars()
        .any(|letter| letter.is_control() || letter.is_whitespace());
    (is_web && is_clean && address.len() <= 2000).then_some(address)
}

/// The beginning of a text, up to a number of characters.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default().trim_end()),
        None => text.to_owned(),
    }
}

/// The file name, without its extension, for a package's page. Different names have different ones,
/// also where upper and lower case are the same; a valid name (CEP 26) is its own.
pub(crate) fn file_stem(name: &str) -> String {
    const LONGEST: usize = 200;
    let mut stem = String::new();
    for (position, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => stem.push(char::from(byte)),
            b'.' if position > 0 => stem.push('.'),
            _ => {
                let _ = write!(stem, "~{byte:02x}");
            }
        }
    }
    if stem == "index" || stem.is_empty() {
        // A server shows `index.html` for the folder.
        stem.push_str("~.");
    }
    if stem.len() > LONGEST {
        stem = format!("~{}", Sha256::of(name.as_bytes()));
    }
    stem
}

/// A size as conda-index shows it (`human_bytes`).
pub(super) struct Size(pub(super) u64);

impl fmt::Display for Size {
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KIB: f64 = 1024.0;
        let size = self.0 as f64;
        if self.0 < 1024 {
            write!(formatter, "{} B", self.0)
        } else if size < KIB * KIB {
            write!(formatter, "{:.0} KB", size / KIB)
        } else if size < KIB * KIB * KIB {
            write!(formatter, "{:.1} MB", size / KIB / KIB)
        } else {
            write!(formatter, "{:.2} GB", size / KIB / KIB / KIB)
        }
    }
}

/// A number with separators: `30,000`.
pub(super) struct Count(pub(super) usize);

impl fmt::Display for Count {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (position, digit) in digits.chars().enumerate() {
            if position > 0 && (digits.len() - position).is_multiple_of(3) {
                formatter.write_char(',')?;
            }
            formatter.write_char(digit)?;
        }
        Ok(())
    }
}
