//! Reads an image's definition key by key.

use std::collections::BTreeMap;
use std::ops::Range;

use conda::Subdir;
use toml::de::DeValue;

use super::{
    Account, Base, Content, Image, ImageFile, LayerCompression, LinkScripts, MOST_LAYERS,
    ParsedImage, Pyc, Settings, Trim, TrimGroup, User, debian, installer,
};
use crate::distribution::{platforms, specs, subdir};
use crate::error::{Error, quote};
use crate::requirement::PackageSpec;
use crate::source::{Source, Value};

/// The keys that stand at the top level only.
const TOP: [&str; 7] = [
    "installer",
    "platforms",
    "layers",
    "compression",
    "pyc",
    "link_scripts",
    "target",
];

/// The keys that a platform may have, too.
const ANYWHERE: [&str; 16] = [
    "base",
    "debs",
    "locale",
    "prefix",
    "packages",
    "prefetch",
    "trim",
    "files",
    "env",
    "user",
    "workdir",
    "entrypoint",
    "cmd",
    "labels",
    "annotations",
    "tags",
];

/// Keys that will have a meaning.
const NOT_YET: [&str; 1] = ["envs"];

/// How many layers an image gets where the definition does not say: a few can be fetched at a time,
/// and one changed package does not rewrite all.
const LAYERS: usize = 10;

/// Reads the whole text.
pub(super) fn image(text: &str) -> Result<ParsedImage, Error> {
    let (mut source, table) = Source::parse(text)?;
    let entries = Source::entries(&table);
    let mut image = Image {
        installer: None,
        platforms: None,
        layers: LAYERS,
        compression: LayerCompression::Gzip,
        pyc: Pyc::Skip,
        link_scripts: LinkScripts::Error,
        settings: Settings::default(),
        overrides: BTreeMap::new(),
    };
    let named = entries.iter().any(|(key, ..)| *key == "installer");
    for (key, span, value) in entries {
        let source = &mut source;
        match key {
            "installer" => match installer::installer(source, value) {
                Some(path) if installer::is_finished(&path) => {
                    image.settings.installer = Some(path);
                }
                read => image.installer = read,
            },
            "platforms" => image.platforms = platforms(source, value),
            "layers" => image.layers = layers(source, value).unwrap_or(LAYERS),
            "compression" => {
                let words = [
                    ("gzip", LayerCompression::Gzip),
                    ("zstd", LayerCompression::Zstd),
                ];
                image.compression = source.word(key, &words, value).unwrap_or(image.compression);
            }
            "pyc" => {
                let later = ["host-python", "emulate"];
                let words = [("skip", Pyc::Skip)];
                image.pyc = policy(source, key, &words, &later, value).unwrap_or(image.pyc);
            }
            "link_scripts" => {
                let later = ["emulate", "first-run"];
                let words = [("error", LinkScripts::Error), ("skip", LinkScripts::Skip)];
                image.link_scripts =
                    policy(source, key, &words, &later, value).unwrap_or(image.link_scripts);
            }
            "target" => image.overrides = targets(source, value),
            _ => setting(source, &mut image.settings, key, span, value),
        }
    }
    installer::check(&mut source, &image, named);
    if source.has_errors() {
        return Err(source.into_error());
    }
    Ok(ParsedImage {
        definition: image,
        warnings: source.into_warnings(),
    })
}

/// One key that may stand at the top level and in `[target.PLATFORM]`.
fn setting<'t>(
    source: &mut Source<'t>,
    settings: &mut Settings,
    key: &str,
    span: Range<usize>,
    value: &Value<'t>,
) {
    match key {
        "installer" => settings.installer = installer::of_platform(source, value),
        "base" => settings.base = base(source, value),
        "debs" => settings.debs = debian::debs(source, value),
        "locale" => settings.locale = debian::locale(source, value),
        "prefix" => settings.prefix = prefix(source, value),
        "packages" | "prefetch" => {
            let read = packages(source, key, value);
            if key == "packages" {
                settings.packages = read;
            } else {
                settings.prefetch = read;
            }
        }
        "trim" => settings.trim = source.list(key, "strings", value, trim),
        "files" => settings.files = files(source, value),
        "env" => settings.env = variables(source, value),
        "user" => settings.user = user(source, value),
        "workdir" => settings.workdir = path(source, key, value),
        "entrypoint" => settings.entrypoint = words(source, key, value),
        "cmd" => settings.cmd = words(source, key, value),
        "labels" => settings.labels = texts(source, key, value),
        "annotations" => settings.annotations = texts(source, key, value),
        "tags" => settings.tags = tags(source, value),
        _ if NOT_YET.contains(&key) => {
            source.error(span, format!("`{key}` is not supported here yet"), None);
        }
        _ if TOP.contains(&key) => {
            let message = format!("`{key}` belongs to the top level, not to a platform");
            source.error(span, message, None);
        }
        _ => {
            let known: Vec<&str> = TOP.iter().chain(&ANYWHERE).copied().collect();
            source.unknown(span, "an image's definition", key, &known);
        }
    }
}

fn targets<'t>(source: &mut Source<'t>, value: &Value<'t>) -> BTreeMap<Subdir, Settings> {
    let mut targets = BTreeMap::new();
    for (name, span, value) in source.table("target", value).unwrap_or_default() {
        let platform = subdir(source, name, span);
        let mut settings = Settings::default();
        let what = format!("target.{name}");
        for (key, span, value) in source.table(&what, value).unwrap_or_default() {
            setting(source, &mut settings, key, span, value);
        }
        if let Some(platform) = platform {
            targets.insert(platform, settings);
        }
    }
    targets
}

fn layers<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<usize> {
    let DeValue::Integer(number) = value.get_ref() else {
        source.wrong_type("layers", "a number", value, None);
        return None;
    };
    let count = number
        .as_str()
        .parse()
        .ok()
        .filter(|count| (2..=MOST_LAYERS).contains(count));
    if count.is_none() {
        let message = format!("`layers` is a number from 2 to {MOST_LAYERS}");
        source.error(value.span(), message, None);
    }
    count
}

/// One of a few words, some of which have no effect yet.
fn policy<'t, T: Copy>(
    source: &mut Source<'t>,
    key: &str,
    words: &[(&str, T)],
    later: &[&str],
    value: &Value<'t>,
) -> Option<T> {
    if let DeValue::String(text) = value.get_ref()
        && later.contains(&text.as_ref())
    {
        let message = format!("`{key} = \"{text}\"` is not supported here yet");
        let known: Vec<String> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        let advice = Some(format!("supported: {}", known.join(", ")));
        source.error(value.span(), message, advice);
        return None;
    }
    source.word(key, words, value)
}

fn base<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Base> {
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

/// The prefix goes into first lines of scripts, into `PATH` and into a shell's profile.
fn prefix<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<String> {
    let path = path(source, "prefix", value)?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._+@-".contains(letter);
    let fault = if path == "/" {
        "is the root of the image"
    } else if !path.chars().all(plain) {
        "may hold only letters, digits, and `/._+@-`"
    } else {
        return Some(path);
    };
    let advice = Some("write for example \"/opt/conda\"".to_owned());
    source.error(value.span(), format!("`prefix` {fault}"), advice);
    None
}

/// An absolute path made of plain names; a slash at its end is taken off.
fn path<'t>(source: &mut Source<'t>, name: &str, value: &Value<'t>) -> Option<String> {
    let text = source.line(name, value)?;
    let bare = text.trim_end_matches('/');
    let Some(names) = text.strip_prefix('/') else {
        let message = format!("`{name}` is not absolute");
        let advice = Some(format!("write \"/{}\"", text.trim_start_matches("./")));
        source.error(value.span(), message, advice);
        return None;
    };
    if bare.is_empty() {
        return Some("/".to_owned());
    }
    let names = names.trim_end_matches('/').split('/');
    if names
        .into_iter()
        .any(|name| matches!(name, "" | "." | ".."))
    {
        let message = format!("`{name}` has an empty name, `.` or `..` in it");
        source.error(value.span(), message, None);
        return None;
    }
    Some(bare.to_owned())
}

fn packages<'t>(source: &mut Source<'t>, key: &str, value: &Value<'t>) -> Option<Vec<PackageSpec>> {
    let specs = specs(source, key, value)?;
    if let Some(archive) = specs.iter().find(|spec| spec.match_spec.url.is_some()) {
        let message = format!(
            "{} in `{key}` is an archive, not a spec",
            quote(&archive.raw)
        );
        source.error(value.span(), message, None);
        return None;
    }
    Some(specs)
}

/// The name of a group, or a pattern: what has neither `/` nor `*` in it was meant to be a group.
fn trim<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Trim> {
    let text = source.line("trim", value)?;
    let mut groups = TrimGroup::ALL.into_iter();
    if let Some((_, group)) = groups.find(|(name, _)| *name == text) {
        return Some(Trim::Group(group));
    }
    let advice = || {
        let names = TrimGroup::ALL.map(|(name, _)| format!("\"{name}\""));
        let names = names.join(", ");
        Some(format!(
            "write one of {names}, or a pattern, \"share/**/*.txt\""
        ))
    };
    if !text.contains(['*', '?', '/', '.']) {
        let message = format!("{} is no group of files", quote(&text));
        source.error(value.span(), message, advice());
        return None;
    }
    if let Err(error) = glob::Pattern::new(&text) {
        let message = format!("{} is no pattern: {}", quote(&text), error.msg);
        source.error(value.span(), message, advice());
        return None;
    }
    if text.starts_with('/') {
        let message = format!("{} is not relative to the prefix", quote(&text));
        source.error(value.span(), message, advice());
        return None;
    }
    Some(Trim::Glob(text))
}

fn files<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Vec<ImageFile>> {
    let files = source.list("files", "tables", value, file)?;
    let mut paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    paths.sort_unstable();
    if let Some(pair) = paths.windows(2).find(|pair| pair[0] == pair[1]) {
        let message = format!("`files` has {} twice", quote(pair[0]));
        source.error(value.span(), message, None);
        return None;
    }
    Some(files)
}

fn file<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<ImageFile> {
    const KNOWN: [&str; 6] = ["path", "source", "text", "link", "mode", "owner"];
    let entries = source.table("files", value)?;
    let mut place = None;
    let mut contents = Vec::new();
    let mut permissions = None;
    let mut ids = Some((0, 0));
    for (key, span, value) in entries {
        let name = format!("files.{key}");
        match key {
            "path" => place = path(source, &name, value).map(|path| (path, value.span())),
            "source" => contents.push(source.line(&name, value).map(Content::Source)),
            "text" => contents.push(source.text(&name, value).map(Content::Text)),
            "link" => contents.push(source.line(&name, value).map(Content::Link)),
            "mode" => permissions = mode(source, &name, value),
            "owner" => ids = owner(source, &name, value),
            _ => source.unknown(span, "an element of `files`", key, &KNOWN),
        }
    }
    let Some((path, span)) = place else {
        let advice = Some("add `path = \"/etc/NAME\"`".to_owned());
        source.error(value.span(), "this file has no usable `path`", advice);
        return None;
    };
    if path == "/" {
        let message = "`files.path` is the root of the image";
        source.error(span, message, None);
        return None;
    }
    if contents.len() != 1 {
        let message = "a file has one of `source`, `text` and `link`";
        source.error(value.span(), message, None);
        return None;
    }
    Some(ImageFile {
        path,
        content: contents.pop().flatten()?,
        mode: permissions,
        owner: ids?,
    })
}

/// Permission bits, written in octal.
fn mode<'t>(source: &mut Source<'t>, name: &str, value: &Value<'t>) -> Option<u32> {
    let text = source.text(name, value)?;
    let mode = u32::from_str_radix(&text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777);
    if mode.is_none() {
        let message = format!("`{name}` is {}, which is no mode", quote(&text));
        let advice = Some("write it in octal: \"755\"".to_owned());
        source.error(value.span(), message, advice);
    }
    mode
}

fn owner<'t>(source: &mut Source<'t>, name: &str, value: &Value<'t>) -> Option<(u32, u32)> {
    let text = source.text(name, value)?;
    let ids = text
        .split_once(':')
        .and_then(|(user, group)| Some((user.parse().ok()?, group.parse().ok()?)));
    if ids.is_none() {
        let message = format!("`{name}` is {}, which is no owner", quote(&text));
        let advice = Some("write the numbers of user and group: \"1000:1000\"".to_owned());
        source.error(value.span(), message, advice);
    }
    ids
}

fn variables<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<BTreeMap<String, String>> {
    let variables = texts(source, "env", value)?;
    if let Some(name) = variables.keys().find(|name| name.contains('=')) {
        let message = format!("{} is no name of a variable", quote(name));
        source.error(value.span(), message, None);
        return None;
    }
    Some(variables)
}

fn texts<'t>(
    source: &mut Source<'t>,
    key: &str,
    value: &Value<'t>,
) -> Option<BTreeMap<String, String>> {
    let mut texts = BTreeMap::new();
    for (name, span, value) in source.table(key, value)? {
        let odd = name.is_empty() || name.contains(|c: char| c.is_control() || c.is_whitespace());
        if odd {
            let message = format!("{} in `{key}` is no usable name", quote(name));
            source.error(span, message, None);
            continue;
        }
        if let Some(text) = source.text(&format!("{key}.{name}"), value) {
            texts.insert(name.to_owned(), text);
        }
    }
    Some(texts)
}

fn words<'t>(source: &mut Source<'t>, key: &str, value: &Value<'t>) -> Option<Vec<String>> {
    source.list(key, "strings", value, |source, element| {
        source.text(key, element)
    })
}

fn user<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<User> {
    const KNOWN: [&str; 5] = ["name", "uid", "gid", "home", "shell"];
    let DeValue::Table(table) = value.get_ref() else {
        let text = source.line("user", value)?;
        let parts: Vec<&str> = text.split(':').collect();
        if parts.len() > 2 || parts.iter().any(|part| !is_account_name(part)) {
            let message = format!("`user` is {}, which is no user", quote(&text));
            let advice = Some(
                "write a name of the base, \"1000:1000\", or `{ name = \"…\", uid = 1000 }`"
                    .to_owned(),
            );
            source.error(value.span(), message, advice);
            return None;
        }
        return Some(User::Known(text));
    };
    let mut name = None;
    let (mut uid, mut gid, mut home) = (Some(1000), None, None);
    let mut shell = Some("/bin/sh".to_owned());
    for (key, span, value) in Source::entries(table) {
        let whole = format!("user.{key}");
        match key {
            "name" => name = source.line(&whole, value).map(|name| (name, value.span())),
            "uid" => uid = id(source, &whole, value),
            "gid" => gid = id(source, &whole, value),
            "home" => home = path(source, &whole, value),
            "shell" => shell = path(source, &whole, value),
            _ => source.unknown(span, "`user`", key, &KNOWN),
        }
    }
    let Some((name, span)) = name else {
        let advice = Some("add `name = \"builder\"`".to_owned());
        source.error(value.span(), "`user` has no `name`", advice);
        return None;
    };
    let number = name.chars().all(|letter| letter.is_ascii_digit());
    if !is_account_name(&name) || number {
        let message = format!("{} is no name of an account", quote(&name));
        source.error(span, message, None);
        return None;
    }
    let uid = uid?;
    Some(User::New(Account {
        home: home.unwrap_or_else(|| format!("/home/{name}")),
        gid: gid.unwrap_or(uid),
        shell: shell?,
        name,
        uid,
    }))
}

/// What `useradd` takes (`NAME_REGEX` of Debian's adduser), and numbers.
fn is_account_name(text: &str) -> bool {
    let inner = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    !text.is_empty() && text.len() <= 32 && !text.starts_with('-') && text.chars().all(inner)
}

fn id<'t>(source: &mut Source<'t>, name: &str, value: &Value<'t>) -> Option<u32> {
    let DeValue::Integer(number) = value.get_ref() else {
        source.wrong_type(name, "a number", value, None);
        return None;
    };
    let id = number
        .as_str()
        .parse::<u32>()
        .ok()
        .filter(|id| *id < u32::MAX);
    if id.is_none() {
        source.error(value.span(), format!("`{name}` is no usable number"), None);
    }
    id
}

fn tags<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Vec<String>> {
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
