//! Reads what an image's definition says of Debian packages: a base made of them, `debs`, `locale`.

use std::ops::Range;

use toml::de::DeValue;

use super::{Archive, Base, DebianBase, DebianLike, Debs, Variant};
use crate::error::quote;
use crate::source::{Source, Value};

/// The keys that say where packages come from.
const ARCHIVE: [&str; 8] = [
    "suite",
    "mirror",
    "security",
    "updates",
    "components",
    "keyring",
    "trusted",
    "check_valid_until",
];

/// `base`, where it is a table: `{ debian = { suite = "bookworm" } }`.
pub(super) fn base<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Base> {
    const KNOWN: [&str; 2] = ["debian", "ubuntu"];
    let entries = source.table("base", value)?;
    let mut found = None;
    for (key, span, value) in entries {
        let distribution = match key {
            "debian" => DebianLike::Debian,
            "ubuntu" => DebianLike::Ubuntu,
            _ => {
                source.unknown(span, "`base`", key, &KNOWN);
                continue;
            }
        };
        if found.is_some() {
            source.error(span, "a base is made of one distribution", None);
            return None;
        }
        found = Some(root(source, key, distribution, value));
    }
    if found.is_none() {
        let advice = Some("write `{ debian = { suite = \"bookworm\" } }`".to_owned());
        source.error(value.span(), "`base` names no distribution", advice);
    }
    let root = found??;
    Some(Base::Debian(Box::new(root)))
}

fn root<'t>(
    source: &mut Source<'t>,
    name: &str,
    distribution: DebianLike,
    value: &Value<'t>,
) -> Option<DebianBase> {
    let entries = source.table(&format!("base.{name}"), value)?;
    let mut root = DebianBase {
        archive: Archive {
            distribution: Some(distribution),
            ..Archive::default()
        },
        variant: Variant::Minbase,
        packages: Vec::new(),
    };
    for (key, span, value) in entries {
        let whole = format!("base.{name}.{key}");
        match key {
            "packages" => root.packages = packages(source, &whole, value).unwrap_or_default(),
            "variant" => {
                let words = [
                    ("minbase", Variant::Minbase),
                    ("essential", Variant::Essential),
                ];
                root.variant = source.word(&whole, &words, value).unwrap_or(root.variant);
            }
            _ => {
                let known: Vec<&str> = ["packages", "variant"].into_iter().chain(ARCHIVE).collect();
                archive(source, &mut root.archive, &whole, key, span, value, &known);
            }
        }
    }
    if root.archive.suite.is_none() {
        let example = match distribution {
            DebianLike::Debian => "bookworm",
            DebianLike::Ubuntu => "noble",
        };
        let advice = Some(format!("add `suite = \"{example}\"`"));
        source.error(
            value.span(),
            format!("`base.{name}` has no `suite`"),
            advice,
        );
        return None;
    }
    Some(root)
}

/// `debs`: a list of names, or a table that also says where they come from.
pub(super) fn debs<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Debs> {
    let mut debs = Debs::default();
    let DeValue::Table(table) = value.get_ref() else {
        debs.packages = packages(source, "debs", value)?;
        return Some(debs);
    };
    for (key, span, value) in Source::entries(table) {
        let whole = format!("debs.{key}");
        match key {
            "packages" => debs.packages = packages(source, &whole, value).unwrap_or_default(),
            "distribution" => {
                let words = [
                    ("debian", DebianLike::Debian),
                    ("ubuntu", DebianLike::Ubuntu),
                ];
                debs.archive.distribution = source.word(&whole, &words, value);
            }
            _ => {
                let known: Vec<&str> = ["packages", "distribution"]
                    .into_iter()
                    .chain(ARCHIVE)
                    .collect();
                archive(source, &mut debs.archive, &whole, key, span, value, &known);
            }
        }
    }
    if debs.packages.is_empty() {
        let advice = Some("add `packages = [\"curl\"]`".to_owned());
        source.error(value.span(), "`debs` names no packages", advice);
        return None;
    }
    Some(debs)
}

fn archive<'t>(
    source: &mut Source<'t>,
    archive: &mut Archive,
    whole: &str,
    key: &str,
    span: Range<usize>,
    value: &Value<'t>,
    known: &[&str],
) {
    match key {
        "suite" => archive.suite = word(source, whole, value),
        "mirror" => archive.mirror = address(source, whole, value),
        "security" => archive.security = address(source, whole, value),
        "updates" => archive.updates = source.boolean(whole, value),
        "components" => {
            archive.components = source.list(whole, "strings", value, |source, element| {
                word(source, whole, element)
            });
        }
        "keyring" => archive.keyring = source.line(whole, value),
        "trusted" => archive.trusted = source.boolean(whole, value).unwrap_or(false),
        "check_valid_until" => archive.check_valid_until = source.boolean(whole, value),
        _ => {
            let what = whole.rsplit_once('.').map_or(whole, |(table, _)| table);
            source.unknown(span, &format!("`{what}`"), key, known);
        }
    }
}

/// A name that becomes part of addresses: `bookworm`, `stable-updates`, `non-free-firmware`.
fn word<'t>(source: &mut Source<'t>, name: &str, value: &Value<'t>) -> Option<String> {
    let text = source.line(name, value)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._+~/".contains(c);
    let sound = text.chars().all(plain)
        && text
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.'));
    if !sound {
        let message = format!("`{name}` is {}, which is no usable name", quote(&text));
        source.error(value.span(), message, None);
        return None;
    }
    Some(text)
}

fn address<'t>(source: &mut Source<'t>, name: &str, value: &Value<'t>) -> Option<String> {
    let text = source.line(name, value)?;
    let known = ["http://", "https://", "file:///"];
    if !known.iter().any(|scheme| text.starts_with(scheme)) || text.contains(char::is_whitespace) {
        let message = format!("`{name}` is {}, which is no address", quote(&text));
        let advice = Some("write for example \"http://deb.debian.org/debian\"".to_owned());
        source.error(value.span(), message, advice);
        return None;
    }
    Some(text.trim_end_matches('/').to_owned())
}

/// Names of packages (Debian policy, 5.6.1).
fn packages<'t>(source: &mut Source<'t>, name: &str, value: &Value<'t>) -> Option<Vec<String>> {
    source.list(name, "strings", value, |source, element| {
        let text = source.line(name, element)?;
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
        let sound = text.len() >= 2
            && text.chars().all(inner)
            && text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !sound {
            let message = format!("{} is no name of a Debian package", quote(&text));
            let advice = text
                .contains(['=', '<', '>', ' '])
                .then(|| "write the name alone; the lock keeps the version".to_owned());
            source.error(element.span(), message, advice);
            return None;
        }
        Some(text)
    })
}

/// `locale`: only such as have UTF-8, which is what everything else in the image expects.
pub(super) fn locale<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<String> {
    let text = source.line("locale", value)?;
    let (name, charset) = text.split_once('.').unwrap_or((&text, ""));
    let (name, modifier) = name.split_once('@').unwrap_or((name, ""));
    let letters = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric());
    let (language, territory) = name.split_once('_').unwrap_or((name, ""));
    let utf8 = charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8");
    let known = language == "C" || (2..=3).contains(&language.len()) && !territory.is_empty();
    if !utf8 || !modifier.is_empty() || !known || !letters(language) || !letters(territory) {
        let message = format!("`locale` is {}, which is no locale", quote(&text));
        let advice = Some("write for example \"en_US.UTF-8\" or \"C.UTF-8\"".to_owned());
        source.error(value.span(), message, advice);
        return None;
    }
    Some(format!("{name}.UTF-8"))
}

/// What tells programs of a locale.
pub(super) fn environment(locale: &str) -> Vec<(&'static str, String)> {
    let name = locale.split('.').next().unwrap_or(locale);
    let mut variables = vec![("LANG", locale.to_owned()), ("LC_ALL", locale.to_owned())];
    if let Some((language, _)) = name.split_once('_') {
        variables.push(("LANGUAGE", format!("{name}:{language}")));
    }
    variables
}
