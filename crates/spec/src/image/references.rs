//! `base` and `tags`: what images are called, here and in registries.

use std::fmt;

use toml::de::DeValue;

use super::{Base, debian};
use crate::error::quote;
use crate::source::{Source, Value};

/// What the image stands on.
pub(super) fn base<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Base> {
    const FORMS: &str = "write \"scratch\", \"docker://NAME:TAG\" for one in a registry, a path, or \
                         \"oci:DIR:TAG\", \"oci-archive:FILE:TAG\", \"docker-archive:FILE:NAME\", \
                         or { debian = { suite = \"bookworm\" } }";
    if let DeValue::Table(_) = value.get_ref() {
        return debian::base(source, value);
    }
    let text = source.line("base", value)?;
    if text == "scratch" {
        return Some(Base::Scratch);
    }
    match Base::named(&text) {
        Ok(base) => Some(base),
        Err(problem) => {
            let advice = if text.starts_with(REGISTRY) {
                "write for example \"docker://debian:bookworm-slim\""
            } else {
                FORMS
            };
            source.error(value.span(), problem, Some(advice.to_owned()));
            None
        }
    }
}

/// What the names of images in registries begin with.
const REGISTRY: &str = "docker://";

/// Transports of containers-transports(5) for images that lie in files, and such as only an engine can read.
const TRANSPORTS: [&str; 6] = [
    "oci:",
    "oci-archive:",
    "docker-archive:",
    "docker:",
    "docker-daemon:",
    "containers-storage:",
];

impl Base {
    /// The image that a text names: in a registry with `docker://` before it; at a path, with `oci:`,
    /// `oci-archive:` or `docker-archive:` before it and a colon and its name behind it, or without (sources:
    /// containers-transports(5)).
    ///
    /// # Errors
    ///
    /// What is wrong with it, for people.
    pub fn named(text: &str) -> Result<Base, String> {
        if let Some(reference) = text.strip_prefix(REGISTRY) {
            return match remote_fault(reference) {
                None => Ok(Base::Registry(reference.to_owned())),
                Some(fault) => Err(format!("{} {fault}", quote(text))),
            };
        }
        let mut transports = TRANSPORTS.into_iter();
        let Some((transport, rest)) =
            transports.find_map(|transport| Some((transport, text.strip_prefix(transport)?)))
        else {
            return Ok(Base::Path(text.to_owned()));
        };
        let (path, reference) = match rest.split_once(':') {
            Some((path, reference)) => (path.to_owned(), Some(reference.to_owned())),
            None => (rest.to_owned(), None),
        };
        let complete = !path.is_empty() && reference.as_deref() != Some("");
        match transport {
            "oci:" if complete => Ok(Base::Layout { path, reference }),
            "oci-archive:" if complete => Ok(Base::OciArchive { path, reference }),
            "docker-archive:" if complete => Ok(Base::DockerArchive { path, reference }),
            "oci:" | "oci-archive:" | "docker-archive:" => {
                Err(format!("{} names no file or folder", quote(text)))
            }
            _ => Err(format!("images from `{transport}` are not read here")),
        }
    }
}

/// As [`Base::named`] reads it.
impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (transport, path, reference) = match self {
            Base::Scratch => return f.write_str("scratch"),
            Base::Path(path) => return f.write_str(path),
            Base::Registry(name) => return write!(f, "{REGISTRY}{name}"),
            Base::Debian(_) => return f.write_str("a root of Debian packages"),
            Base::Layout { path, reference } => ("oci", path, reference),
            Base::OciArchive { path, reference } => ("oci-archive", path, reference),
            Base::DockerArchive { path, reference } => ("docker-archive", path, reference),
        };
        write!(f, "{transport}:{path}")?;
        match reference {
            None => Ok(()),
            Some(reference) => write!(f, ":{reference}"),
        }
    }
}

/// What the image is called.
pub(super) fn tags<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Vec<String>> {
    source.list("tags", "strings", value, |source, element| {
        let tag = source.line("tags", element)?;
        match fault(&tag) {
            None => Some(tag),
            Some(fault) => {
                let message = format!("{} {fault}", quote(&tag));
                let advice = Some("write for example \"archiconda3:latest\"".to_owned());
                source.error(element.span(), message, advice);
                None
            }
        }
    })
}

/// What is wrong with the name of an image in a registry: a tag may be lacking, and a digest follow.
fn remote_fault(reference: &str) -> Option<&'static str> {
    let (name, digest) = match reference.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (reference, None),
    };
    let hexadecimal = |digits: &str| {
        let digit = |letter: char| letter.is_ascii_digit() || ('a'..='f').contains(&letter);
        digits.len() == 64 && digits.chars().all(digit)
    };
    if digest.is_some_and(|digest| !digest.strip_prefix("sha256:").is_some_and(hexadecimal)) {
        return Some("has a digest that is none; one is `sha256:` and 64 digits");
    }
    match fault(name) {
        Some(_) if !name.rsplit('/').next().unwrap_or(name).contains(':') => {
            fault(&format!("{name}:latest"))
        }
        fault => fault,
    }
}

/// What is wrong with a reference (grammar: github.com/distribution/reference, `reference.go`).
fn fault(reference: &str) -> Option<&'static str> {
    if reference.contains('@') {
        return Some("has a digest, which only the finished image has");
    }
    let (host, rest) = match reference.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => {
            (Some(host), rest)
        }
        _ => (None, reference),
    };
    let letters = |text: &str, more: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    if host.is_some_and(|host| !letters(host, ".-:[]")) {
        return Some("does not begin with a host");
    }
    let Some((name, tag)) = rest.split_once(':') else {
        return Some("has no tag");
    };
    let component = |text: &str| {
        let lower = !text.chars().any(|letter| letter.is_ascii_uppercase());
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        letters(text, "._-") && lower && ends(text.chars().next()) && ends(text.chars().last())
    };
    if !name.split('/').all(component) {
        return Some("has a name that may hold only lower-case letters, digits, `.`, `_` and `-`");
    }
    if !letters(tag, "._-") || tag.starts_with(['.', '-']) || tag.len() > 128 {
        return Some("has a tag that may hold only letters, digits, `.`, `_` and `-`");
    }
    None
}
