//! `files` and `user`: what an image gets besides packages, and whose it is.

use std::ops::Range;

use toml::de::DeValue;

use super::read::path;
use super::{Account, Content, Image, ImageFile, PREFIX, Settings, User};
use crate::error::quote;
use crate::source::{Source, Value};

/// Files that the image has besides its packages; no path twice.
pub(super) fn files<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Vec<ImageFile>> {
    let files = source.list("files", "tables", value, file)?;
    let mut paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    paths.sort_unstable();
    if let Some(pair) = paths.windows(2).find(|pair| pair[0] == pair[1]) {
        let message = format!("`files` has {} twice", quote(pair[0]));
        source.error(value.span(), message, None);
        return None;
    }
    let alone = |file: &&ImageFile| !matches!(file.content, Content::Source(_));
    for file in files.iter().filter(alone) {
        let inner = |path: &&&str| lies_in(path, &file.path) && **path != file.path;
        if let Some(inner) = paths.iter().find(inner) {
            let message = format!(
                "`files` has {}, which is no folder, and {} in it",
                quote(&file.path),
                quote(inner)
            );
            source.error(value.span(), message, None);
            return None;
        }
    }
    Some(files)
}

/// Whether a path is another one, or below it.
fn lies_in(path: &str, folder: &str) -> bool {
    let rest = path.strip_prefix(folder);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A file or a link where the prefix is would be in the image instead of it.
pub(super) fn check(source: &mut Source<'_>, image: &Image, span: &Range<usize>) {
    let none = Settings::default();
    for platform in [&none].into_iter().chain(image.overrides.values()) {
        let prefix = platform.prefix.as_ref().or(image.settings.prefix.as_ref());
        let prefix = prefix.map_or(PREFIX, String::as_str);
        let files = platform.files.as_ref().or(image.settings.files.as_ref());
        let takes = |file: &&ImageFile| {
            !matches!(file.content, Content::Source(_)) && lies_in(prefix, &file.path)
        };
        if let Some(file) = files.into_iter().flatten().find(takes) {
            let message = format!(
                "`files` has {} in the place of the prefix, {}",
                quote(&file.path),
                quote(prefix)
            );
            source.error(span.clone(), message, None);
            return;
        }
    }
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
    if path.split('/').any(|name| name.starts_with(".wh.")) {
        let message = "`files.path` has a name that begins with `.wh.`: in a layer it takes away what is below";
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

/// Who runs in the image: an account of the base, or one that is made.
pub(super) fn user<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<User> {
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
