//! Who may read and write which channel: a list of tokens in a TOML file (docs/serve.md, "Access"), and how a
//! token comes with a request.
//!
//! The list holds SHA-256 digests. A slow hash protects what people choose and others can guess; a token is 256
//! random bits, of which nobody tries enough, and a quick hash costs nothing for each request.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use archive::digest::Sha256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use crate::error::Error;
use crate::site::{Channel, Site};

/// A longer list is none, in bytes.
const LARGEST: u64 = 1 << 20;

/// No longer line is shown with an error, in bytes.
const LONGEST_LINE: usize = 1000;

/// The whole list.
#[derive(Debug, Default)]
pub(crate) struct Access {
    tokens: Vec<Arc<Token>>,
    channels: BTreeMap<String, Reading>,
}

/// What one token allows.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) name: String,
    sha256: Sha256,
    read: Vec<String>,
    write: Vec<String>,
    expires: Option<SystemTime>,
}

/// Who may read a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Reading {
    /// Everybody.
    #[default]
    Public,
    /// Who has a token for it.
    Tokens,
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Who {
    /// Nobody in particular.
    Anyone,
    /// Who has this token.
    Holder(Arc<Token>),
    /// Somebody with a token that is not in the list, or not any more.
    Wrong,
}

/// What is to be done with a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Read,
    Write,
}

/// Why it is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    /// A token is needed, or another one.
    Unauthorized,
    /// The channel may be read, not written.
    Forbidden,
    /// There is no such channel, or none that this token may know of.
    NotFound,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    channels: BTreeMap<String, FileChannel>,
    #[serde(default)]
    tokens: Vec<FileToken>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileChannel {
    access: Reading,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileToken {
    name: String,
    sha256: Sha256,
    #[serde(default)]
    read: Vec<String>,
    #[serde(default)]
    write: Vec<String>,
    expires: Option<toml::value::Datetime>,
}

impl Access {
    /// Reads the list.
    pub(crate) fn load(path: &Path, site: &Site) -> Result<Self, Error> {
        let refuse = |problem| Error::Tokens {
            path: path.to_owned(),
            problem,
        };
        let cannot = |error: std::io::Error| refuse(error.to_string());
        let file = fs_err::File::open(path).map_err(cannot)?;
        let mut text = String::new();
        let read = file.take(LARGEST + 1).read_to_string(&mut text);
        read.map_err(cannot)?;
        if text.len() as u64 > LARGEST {
            let most = LARGEST / 1024;
            return Err(refuse(format!("it is longer than {most} KiB")));
        }
        Self::parse(&text, site).map_err(refuse)
    }

    fn parse(text: &str, site: &Site) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| {
            // All of it shows the line.
            let is_long = text.lines().any(|line| line.len() > LONGEST_LINE);
            if is_long {
                error.message().to_owned()
            } else {
                error.to_string()
            }
        })?;
        let is_known = |name: &str| site.channels().iter().any(|channel| channel.name == name);
        let mut tokens: Vec<Arc<Token>> = Vec::new();
        for token in file.tokens {
            if let Some(other) = tokens.iter().find(|other| other.sha256 == token.sha256) {
                return Err(format!(
                    "`{}` and `{}` are the same token",
                    other.name, token.name
                ));
            }
            let named = token.read.iter().chain(&token.write);
            if let Some(unknown) = named.clone().find(|name| *name != "*" && !is_known(name)) {
                return Err(format!(
                    "`{}` names the channel `{unknown}`, which is not served",
                    token.name
                ));
            }
            let expires = token
                .expires
                .map(|date| instant(date, &token.name))
                .transpose()?;
            tokens.push(Arc::new(Token {
                name: token.name,
                sha256: token.sha256,
                read: token.read,
                write: token.write,
                expires,
            }));
        }
        let channels: BTreeMap<_, _> = file
            .channels
            .into_iter()
            .map(|(name, channel)| (name, channel.access))
            .collect();
        if let Some(unknown) = channels.keys().find(|name| !is_known(name)) {
            return Err(format!("[channels] names `{unknown}`, which is not served"));
        }
        Ok(Self { tokens, channels })
    }

    /// Whether there is anything to keep from somebody.
    pub(crate) fn hides(&self) -> bool {
        self.channels
            .values()
            .any(|reading| *reading == Reading::Tokens)
    }

    /// Whether there is anybody who may write to a channel.
    pub(crate) fn has_writers(&self, channel: &Channel) -> bool {
        self.tokens.iter().any(|token| may(&token.write, channel))
    }

    /// Whether there is anybody who may write to anything.
    pub(crate) fn has_any_writers(&self) -> bool {
        self.tokens.iter().any(|token| !token.write.is_empty())
    }

    /// Whether everybody may read it.
    pub(crate) fn is_public(&self, channel: &Channel) -> bool {
        self.channels
            .get(&channel.name)
            .copied()
            .unwrap_or_default()
            == Reading::Public
    }

    /// Who sends these.
    pub(crate) fn who(&self, in_path: Option<&str>, headers: &HeaderMap) -> Who {
        if self.tokens.is_empty() && in_path.is_none() {
            // Programs send what they have for a host to everybody there.
            return Who::Anyone;
        }
        let presented = match in_path {
            Some(token) => Some(token.to_owned()),
            None => in_headers(headers),
        };
        let Some(presented) = presented else {
            return Who::Anyone;
        };
        let digest = Sha256::of(presented.as_bytes());
        let now = SystemTime::now();
        let mut found = Who::Wrong;
        // All are looked at, each in the same time.
        for token in &self.tokens {
            let same = bool::from(token.sha256.0.ct_eq(&digest.0));
            if same && token.expires.is_none_or(|end| now < end) {
                found = Who::Holder(Arc::clone(token));
            }
        }
        found
    }

    /// Whether somebody may do something with a channel, which there may not be.
    pub(crate) fn check(
        &self,
        who: &Who,
        channel: Option<&Channel>,
        act: Act,
    ) -> Result<(), Denial> {
        let public = channel.is_some_and(|channel| self.is_public(channel));
        match (who, channel) {
            (Who::Anyone, Some(_)) if public && act == Act::Read => Ok(()),
            (Who::Anyone, None) if act == Act::Read && !self.hides() => Err(Denial::NotFound),
            (Who::Anyone | Who::Wrong, _) => Err(Denial::Unauthorized),
            (Who::Holder(_), None) => Err(Denial::NotFound),
            (Who::Holder(token), Some(channel)) => {
                let writes = may(&token.write, channel);
                let reads = public || writes || may(&token.read, channel);
                match act {
                    Act::Read if reads => Ok(()),
                    Act::Write if writes => Ok(()),
                    Act::Write if reads => Err(Denial::Forbidden),
                    _ => Err(Denial::NotFound),
                }
            }
        }
    }
}

fn may(names: &[String], channel: &Channel) -> bool {
    names
        .iter()
        .any(|name| name == "*" || *name == channel.name)
}

/// The password of Basic, whoever the user is, or the token of Bearer.
fn in_headers(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().unwrap_or_default();
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    let token = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(rest.trim().to_owned()),
        "basic" => STANDARD
            .decode(rest.trim())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| Some(text.split_once(':')?.1.to_owned())),
        _ => None,
    };
    // What cannot be read is no token of ours.
    Some(token.unwrap_or_default())
}

fn instant(date: toml::value::Datetime, token: &str) -> Result<SystemTime, String> {
    let mut text = date.to_string();
    if date.time.is_none() {
        text.push_str("T00:00:00");
    }
    let parsed = humantime::parse_rfc3339_weak(&text);
    parsed.map_err(|_| {
        format!("`{token}` expires at `{date}`, which is no date, or no time in UTC like 2027-01-31T12:00:00Z")
    })
}

/// A new token and its digest, both in hexadecimal: conda finds no other letters than these and dashes in
/// addresses. An error if the system has no randomness.
pub fn new_token() -> Result<(String, String), Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| Error::System(error.into()))?;
    let token = Sha256(bytes).to_string();
    let digest = Sha256::of(token.as_bytes()).to_string();
    Ok((token, digest))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::settings::{Named, Origin, Settings};

    fn site() -> Site {
        let named = ["open", "closed", "other"].map(|name| Named {
            name: name.to_owned(),
            origin: Origin::Folder(std::env::temp_dir()),
        });
        Site::new(&Settings {
            channels: named.into(),
            ..Settings::default()
        })
        .expect("a site")
    }

    fn list(site: &Site) -> Access {
        let digest = |token: &str| Sha256::of(token.as_bytes());
        let text = format!(
            r#"
            [channels]
            closed.access = "tokens"
            other = {{ access = "tokens" }}
            [[tokens]]
            name = "reader"
            sha256 = "{}"
            read = ["closed"]
            [[tokens]]
            name = "writer"
            sha256 = "{}"
            write = ["closed"]
            expires = 2999-12-31
            [[tokens]]
            name = "old"
            sha256 = "{}"
            write = ["*"]
            expires = 2020-01-01T00:00:00Z
            "#,
            digest("r"),
            digest("w"),
            digest("o"),
        );
        Access::parse(&text, site).expect("a list")
    }

    #[test]
    fn who_may_do_what() {
        use Act::{Read, Write};
        use Denial::{Forbidden, NotFound, Unauthorized};
        let site = site();
        let access = list(&site);
        let channel = |name: &str| site.channels().iter().find(|channel| channel.name == name);
        for (token, name, act, expected) in [
            (None, "open", Read, Ok(())),
            (None, "closed", Read, Err(Unauthorized)),
            (None, "nothing", Read, Err(Unauthorized)),
            (None, "open", Write, Err(Unauthorized)),
            (Some("r"), "closed", Read, Ok(())),
            (Some("r"), "closed", Write, Err(Forbidden)),
            (Some("r"), "open", Read, Ok(())),
            (Some("r"), "open", Write, Err(Forbidden)),
            (Some("r"), "other", Read, Err(NotFound)),
            (Some("r"), "other", Write, Err(NotFound)),
            (Some("r"), "nothing", Read, Err(NotFound)),
            (Some("w"), "closed", Read, Ok(())),
            (Some("w"), "closed", Write, Ok(())),
            (Some("o"), "open", Read, Err(Unauthorized)),
            (Some("x"), "open", Read, Err(Unauthorized)),
            (Some(""), "open", Read, Err(Unauthorized)),
        ] {
            let who = access.who(token, &HeaderMap::new());
            assert_eq!(
                access.check(&who, channel(name), act),
                expected,
                "{token:?} {name} {act:?}"
            );
        }
        let open = Access::default();
        let check = |name| open.check(&Who::Anyone, channel(name), Read);
        assert_eq!((check("open"), check("nothing")), (Ok(()), Err(NotFound)));
    }

    #[test]
    fn tokens_come_in_three_ways() {
        let site = site();
        let access = list(&site);
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (value, name) in [
            ("Bearer r".to_owned(), "reader"),
            ("bearer  r ".to_owned(), "reader"),
            (basic("token:w"), "writer"),
            (basic(":w"), "writer"),
            (basic("w"), ""),
            ("Basic %%%".to_owned(), ""),
            ("Digest r".to_owned(), ""),
            ("r".to_owned(), ""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(
                AUTHORIZATION,
                HeaderValue::from_str(&value).expect("a value"),
            );
            let found = match access.who(None, &headers) {
                Who::Holder(token) => token.name.clone(),
                Who::Wrong => String::new(),
                Who::Anyone => "anyone".to_owned(),
            };
            assert_eq!(found, name, "{value}");
            let path_first = access.who(Some("x"), &headers);
            assert!(matches!(path_first, Who::Wrong), "{value}");
        }
        assert!(matches!(access.who(None, &HeaderMap::new()), Who::Anyone));
    }

    #[test]
    fn lists_with_mistakes() {
        let digest = Sha256::of(b"");
        for (text, problem) in [
            ("tokens = 1".to_owned(), "tokens"),
            (
                "[channels]\nopen = { acces = 'public' }".to_owned(),
                "acces",
            ),
            (
                "[channels]\nopen = { access = 'nobody' }".to_owned(),
                "nobody",
            ),
            (
                "[channels]\nopne = { access = 'public' }".to_owned(),
                "opne",
            ),
            (
                "[[tokens]]\nname = 'a'\nsha256 = 'abc'".to_owned(),
                "SHA-256",
            ),
            (
                format!("[[tokens]]\nname = 'a'\nsha256 = '{digest}'\nread = ['opne']"),
                "opne",
            ),
            (
                format!("[[tokens]]\nname = 'a'\nsha256 = '{digest}'\nexpires = 12:00:00"),
                "12:00:00",
            ),
            (
                format!(
                    "[[tokens]]\nname = 'a'\nsha256 = '{digest}'\n[[tokens]]\nname = 'b'\nsha256 = '{digest}'"
                ),
                "the same",
            ),
        ] {
            let error = Access::parse(&text, &site()).expect_err(&text);
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn new_tokens_are_what_conda_finds_in_addresses() {
        let (token, digest) = new_token().expect("a token");
        assert_eq!(token.len(), 64);
        assert!(token.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(digest, Sha256::of(token.as_bytes()).to_string());
        assert_ne!(new_token().expect("a token").0, token);
    }
}
