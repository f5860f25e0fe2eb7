//! From the path of an address to names of files. Whatever could be read in two ways is refused here, so
//! that nobody below meets `..`, a slash inside a name, or a hidden file.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The longest path, in bytes. A package's file name has at most 255 of them.
const LONGEST: usize = 4096;

/// What stands for itself in a part of a path (RFC 3986, `pchar`).
const NAME: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'+')
    .remove(b'=')
    .remove(b',')
    .remove(b'@');

/// An address, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Address {
    /// What stands between `/t/` and the rest, as conda writes it.
    pub(crate) token: Option<String>,
    /// The rest, decoded. None is empty, hidden, or `..`.
    pub(crate) parts: Vec<String>,
    /// Whether it ends with a slash, as folders do.
    pub(crate) is_folder: bool,
}

/// Why a path is not looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is longer than any path here.
    Long,
    /// It means nothing, or more than one thing.
    Odd,
    /// It may mean something, but nothing that is served.
    Hidden,
}

impl Address {
    /// Takes the path of a request apart.
    pub(crate) fn parse(path: &str) -> Result<Self, Refusal> {
        if path.len() > LONGEST {
            return Err(Refusal::Long);
        }
        let inner = path.strip_prefix('/').ok_or(Refusal::Odd)?;
        let mut parts = Vec::new();
        let mut hidden = false;
        for raw in inner.split('/').filter(|raw| !raw.is_empty()) {
            let part = percent_decode_str(raw).decode_utf8();
            let part = part.map_err(|_| Refusal::Odd)?;
            let odd = |letter: char| letter.is_control() || letter == '/' || letter == '\\';
            if part == "." || part == ".." || part.contains(odd) || is_broken(raw) {
                return Err(Refusal::Odd);
            }
            hidden |= part.starts_with('.');
            parts.push(part.into_owned());
        }
        if hidden {
            return Err(Refusal::Hidden);
        }
        let token = (parts.len() >= 2 && parts.first().is_some_and(|part| part == "t"))
            .then(|| parts.drain(..2).nth(1))
            .flatten();
        Ok(Self {
            token,
            parts,
            is_folder: path.ends_with('/'),
        })
    }

    /// The path as it may be told to others: without the token.
    pub(crate) fn shown(&self) -> String {
        let mut text = String::new();
        if self.token.is_some() {
            text.push_str("/t/***");
        }
        for part in &self.parts {
            text.push('/');
            text.push_str(&encoded(part));
        }
        if self.is_folder || text.is_empty() {
            text.push('/');
        }
        text
    }
}

/// A name as it stands in a path.
pub(crate) fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NAME).to_string()
}

/// A `%` that no two hexadecimal digits follow.
fn is_broken(raw: &str) -> bool {
    raw.split('%').skip(1).any(|rest| {
        let digits = rest.as_bytes().first_chunk::<2>();
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_become_names() {
        for (path, parts) in [
            ("/", &[][..]),
            ("/a/b.json", &["a", "b.json"]),
            ("//a///b/", &["a", "b"]),
            ("/a/x-1%211.0-0.conda", &["a", "x-1!1.0-0.conda"]),
            ("/a/x+y=z", &["a", "x+y=z"]),
            ("/a/%252e%252e", &["a", "%2e%2e"]),
            ("/t", &["t"]),
        ] {
            let address = Address::parse(path).expect(path);
            assert_eq!(address.parts, parts, "{path}");
            assert_eq!(address.token, None, "{path}");
        }
    }

    #[test]
    fn tokens_are_taken_out_and_not_shown() {
        let address = Address::parse("/t/s3cret/a/b%20c").expect("an address");
        assert_eq!(address.token.as_deref(), Some("s3cret"));
        assert_eq!(address.parts, ["a", "b c"]);
        assert_eq!(address.shown(), "/t/***/a/b%20c");
        let address = Address::parse("/%74/s3cret/").expect("an address");
        assert_eq!(address.shown(), "/t/***/");
    }

    #[test]
    fn what_leaves_the_tree_is_refused_in_every_spelling() {
        for path in [
            "/..",
            "/a/../b",
            "/%2e%2e/b",
            "/%2E./b",
            "/.%2e",
            "/a/.",
            "/a%2fb",
            "/a/..%2f..%2fetc",
            "/a%5c..",
            "/a\\b",
            "/a%00b",
            "/a%0ab",
            "/%c0%ae%c0%ae/b",
            "/%ff",
            "/%",
            "/%2",
            "/%zz",
            "a",
            "*",
            "",
        ] {
            assert_eq!(Address::parse(path), Err(Refusal::Odd), "{path}");
        }
        for path in ["/.cache/x", "/a/.cache", "/%2ecache/x", "/..."] {
            assert_eq!(Address::parse(path), Err(Refusal::Hidden), "{path}");
        }
        let long = format!("/{}", "a".repeat(5000));
        assert_eq!(Address::parse(&long), Err(Refusal::Long));
    }

    proptest! {
        #[test]
        fn no_text_gives_a_way_out(path in "(/|%2f|%2e|\\.|%25|[a-z]|\\\\|%5c|%00|é|t/){0,24}") {
            if let Ok(address) = Address::parse(&format!("/{path}")) {
                for part in address.parts {
                    prop_assert!(!part.is_empty() && !part.starts_with('.'));
                    prop_assert!(!part.contains(['/', '\\', '\0']));
                }
            }
        }

        #[test]
        fn what_is_shown_means_the_same(parts in prop::collection::vec("[^/\\\\.\\pC][^/\\\\\\pC]{0,8}", 1..4)) {
            prop_assume!(parts[0] != "t");
            let address = Address { token: None, parts, is_folder: false };
            prop_assert_eq!(Address::parse(&address.shown()), Ok(address));
        }
    }
}
