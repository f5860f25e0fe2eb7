//! Credentials inside URLs: how they are found, taken out, and hidden in text that people read.
//! conda puts a token into the path (`/t/TOKEN/`, conda's `gateways/connection` and
//! `common/url.py: split_anaconda_token`), everyone else a user and a password before the host.
//! Sending credentials is left to the crate that makes requests.

use url::Url;

/// What stands in the place of a secret.
pub const HIDDEN: &str = "********";

/// A URL taken apart into where something is and who may read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitUrl {
    /// The same place without user, password, token, query and fragment.
    pub bare: Url,
    /// The strings that must not be shown: token, password. Empty where the URL held none.
    pub secrets: Vec<String>,
}

/// Takes the credentials out of `url`. Query and fragment are dropped too: a query may be a
/// signature, and neither names a place in a channel.
pub fn split(url: &Url) -> SplitUrl {
    let mut bare = url.clone();
    let mut secrets = Vec::new();
    if let Some(password) = url.password() {
        secrets.push(password.to_owned());
    }
    // Refused only for URLs without a host, which hold no user either.
    let _ = bare.set_password(None);
    let _ = bare.set_username("");
    bare.set_query(None);
    bare.set_fragment(None);
    if matches!(url.scheme(), "http" | "https")
        && let Some((path, token)) = split_token(url.path())
    {
        bare.set_path(&path);
        secrets.push(token);
    }
    SplitUrl { bare, secrets }
}

/// `url` without user, password, token, query and fragment: what locks and records may hold.
pub fn without(url: &Url) -> Url {
    split(url).bare
}

/// `text`, which may be a URL, without credentials. Any other text stays as it is.
pub fn without_in(text: &str) -> String {
    match Url::parse(text) {
        Ok(url) if !url.username().is_empty() || !split(&url).secrets.is_empty() => {
            without(&url).to_string()
        }
        _ => text.to_owned(),
    }
}

/// `url` for people to read: the same, with each secret and every query value hidden.
pub fn redacted(url: &Url) -> String {
    redact_text(url.as_str())
}

/// `text` with the credentials of every URL in it hidden. Works on messages of other libraries,
/// which quote URLs in the middle of a sentence.
pub fn redact_text(text: &str) -> String {
    with_urls(text, &|_, after| redact_after_scheme(after))
}

/// `text` without the credentials of any URL in it: what other programs read again, like specs.
pub fn without_within(text: &str) -> String {
    with_urls(text, &|scheme, after| {
        // `CHANNEL::NAME`.
        let end = after.find("::").unwrap_or(after.len());
        let (channel, name) = after.split_at(end);
        let whole = format!("{scheme}://{channel}");
        let bare = match Url::parse(&whole) {
            Ok(_) => without_in(&whole),
            Err(_) => redact_text(&whole),
        };
        let bare = bare.split_once("://").map_or("", |(_, bare)| bare);
        format!(
            "{}{name}",
            bare.strip_suffix('/')
                .filter(|_| !channel.ends_with('/'))
                .unwrap_or(bare)
        )
    })
}

/// `text` with what `change` makes of each URL in it, of whose scheme and what follows that.
fn with_urls(text: &str, change: &dyn Fn(&str, &str) -> String) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        result.push_str(before);
        let end = after
            .find(|c: char| c.is_whitespace() || "\"'`<>()[]{}|\\^".contains(c))
            .unwrap_or(after.len());
        let (url, following) = after.split_at(end);
        let scheme = before.trim_end_matches("://");
        let in_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let scheme = scheme.rsplit(|c| !in_scheme(c)).next().unwrap_or_default();
        result.push_str(&change(scheme, url));
        rest = following;
    }
    result.push_str(rest);
    result
}

/// `text` with a secret hidden wherever it stands. One that is shorter than four characters is a part of many words, and
/// hidden where it is a word.
pub fn hide(text: &str, secret: &str) -> String {
    const SHORT: usize = 4;
    if secret.is_empty() {
        return text.to_owned();
    }
    let is_short = secret.chars().count() < SHORT;
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(secret) {
        let last = before.chars().next_back().or(result.chars().next_back());
        let of_word = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
        let is_part = is_short && (of_word(last) || of_word(after.chars().next()));
        result.push_str(before);
        result.push_str(if is_part { secret } else { HIDDEN });
        rest = after;
    }
    result + rest
}

/// `user:password@host/t/TOKEN/rest?query` with its secrets hidden.
fn redact_after_scheme(text: &str) -> String {
    let (address, query) = match text.split_once('?') {
        Some((address, _)) => (address, true),
        None => (text, false),
    };
    let (authority, path) = match address.find('/') {
        Some(at) => address.split_at(at),
        None => (address, ""),
    };
    let mut result = match authority.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:{HIDDEN}@{host}"),
            // A user alone may be a token that stands in the place of a name.
            None => format!("{HIDDEN}@{host}"),
        },
        None => authority.to_owned(),
    };
    let mut segments = path.split('/');
    let mut hidden = false;
    if let Some(first) = segments.next() {
        result.push_str(first);
    }
    let mut previous = "";
    for segment in segments {
        result.push('/');
        if previous == "t" && !hidden && !segment.is_empty() {
            result.push_str(HIDDEN);
            hidden = true;
        } else {
            result.push_str(segment);
        }
        previous = segment;
    }
    if query {
        result.push('?');
        result.push_str(HIDDEN);
    }
    result
}

/// The path without its first `t/TOKEN`, and the token.
fn split_token(path: &str) -> Option<(String, String)> {
    let segments: Vec<&str> = path.split('/').collect();
    let at = segments.iter().position(|segment| *segment == "t")?;
    let token = segments.get(at + 1).filter(|token| !token.is_empty())?;
    let kept: Vec<&str> = segments
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != at && *index != at + 1)
        .map(|(_, segment)| *segment)
        .collect();
    Some((kept.join("/"), (*token).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[test]
    fn secrets_are_hidden_and_words_are_not() {
        for (text, secret, expected) in [
            ("password hush: no", "hush", "password ********: no"),
            ("xhushxhush", "hush", "x********x********"),
            (
                "no password for e: e",
                "e",
                "no password for ********: ********",
            ),
            ("eel", "e", "eel"),
            ("über ü ü", "ü", "über ******** ********"),
            ("abab ab", "ab", "abab ********"),
            ("nothing", "", "nothing"),
        ] {
            assert_eq!(hide(text, secret), expected, "{text} {secret}");
        }
    }

    #[test]
    fn credentials_are_taken_out() {
        for (given, bare, secrets) in [
            (
                "https://example.org/forge/",
                "https://example.org/forge/",
                &[][..],
            ),
            (
                "https://example.org/t/s3cret/forge/",
                "https://example.org/forge/",
                &["s3cret"],
            ),
            (
                "https://example.org/conda/t/s3cret/forge",
                "https://example.org/conda/forge",
                &["s3cret"],
            ),
            (
                "https://user:pass@example.org/forge/?sig=1#x",
                "https://example.org/forge/",
                &["pass"],
            ),
            (
                "https://u:p@example.org/t/s/c",
                "https://example.org/c",
                &["p", "s"],
            ),
            ("https://example.org/t/", "https://example.org/t/", &[]),
            ("file:///t/folder/channel", "file:///t/folder/channel", &[]),
        ] {
            let split = split(&url(given));
            assert_eq!(split.bare.as_str(), bare);
            assert_eq!(split.secrets, secrets);
        }
    }

    #[test]
    fn text_shows_no_secret() {
        for (given, shown) in [
            (
                "error for url (https://u:pa@ss@example.org/t/tok-en/forge/x.conda?sig=abc): gone",
                "error for url (https://u:********@example.org/t/********/forge/x.conda?********): gone",
            ),
            (
                "https://token@example.org/a",
                "https://********@example.org/a",
            ),
            ("no URL at all: a/t/b", "no URL at all: a/t/b"),
            (
                "https://a.org/t/one/x and https://b.org/t/two/y",
                "https://a.org/t/********/x and https://b.org/t/********/y",
            ),
            (
                "https://a.org/conda/t/one",
                "https://a.org/conda/t/********",
            ),
        ] {
            assert_eq!(redact_text(given), shown);
        }
    }

    #[test]
    fn specs_lose_credentials_and_nothing_else() {
        for (given, kept) in [
            ("numpy >=1.26,<2", "numpy >=1.26,<2"),
            (
                "conda-forge::numpy[version='>=1',build=py*]",
                "conda-forge::numpy[version='>=1',build=py*]",
            ),
            (
                "https://bob:hush@chan.example/ch::aa ==1",
                "https://chan.example/ch::aa ==1",
            ),
            ("http://bob:hush@127.0.0.1:80::aa", "http://127.0.0.1::aa"),
            (
                "http://bob:hush@nowhere:port::aa",
                "http://bob:********@nowhere:port::aa",
            ),
            (
                "aa[channel='https://chan.example/t/hush/ch',version=1]",
                "aa[channel='https://chan.example/ch',version=1]",
            ),
            (
                "https://chan.example/ch/linux-64/aa-1-0.conda",
                "https://chan.example/ch/linux-64/aa-1-0.conda",
            ),
            ("://", "://"),
        ] {
            assert_eq!(without_within(given), kept);
        }
    }
}
