//! `base` and `tags`: what images are called, here and in registries.

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
    if let Some(reference) = text.strip_prefix("docker://") {
        let Some(fault) = remote_fault(reference) else {
            return Some(Base::Registry(reference.to_owned()));
        };
        let advice = Some("write for example \"docker://debian:bookworm-slim\"".to_owned());
        source.error(value.span(), format!("{} {fault}", quote(&text)), advice);
        return None;
    }
    let part = |rest: &str| {
        let (path, reference) = match rest.split_once(':') {
            Some((path, reference)) => (path, Some(reference.to_owned())),
            None => (rest, None),
        };
        let sound = !path.is_empty() && reference.as_deref() != Some("");
        sound.then(|| (path.to_owned(), reference))
    };
    let split = [
        "oci-archive:",
        "docker-archive:",
        "oci:",
        "docker:",
        "containers-storage:",
    ]
    .into_iter()
    .find_map(|transport| Some((transport, text.strip_prefix(transport)?)));
    let base = match split {
        None => Some(Base::Path(text)),
        Some(("oci:", rest)) => {
            part(rest).map(|(path, reference)| Base::Layout { path, reference })
        }
        Some(("oci-archive:", rest)) => {
            part(rest).map(|(path, reference)| Base::OciArchive { path, reference })
        }
        Some(("docker-archive:", rest)) => {
            part(rest).map(|(path, reference)| Base::DockerArchive { path, reference })
        }
        Some((transport, _)) => {
            let message = format!("a base from `{transport}` is not supported here yet");
            source.error(value.span(), message, Some(FORMS.to_owned()));
            return None;
        }
    };
    if base.is_none() {
        let message = "`base` names no file or folder";
        source.error(value.span(), message, Some(FORMS.to_owned()));
    }
    base
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
