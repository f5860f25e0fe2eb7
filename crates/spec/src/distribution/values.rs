//! The readers of single keys: which forms a value has and which values are possible.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use conda::PackageName;
use toml::de::DeValue;

use super::{ExtraFile, Initialize, Remap};
use crate::error::quote;
use crate::keys::{self, Status};
use crate::requirement::PackageSpec;
use crate::source::{Source, Value};

/// `name` and `version`: `^[a-zA-Z0-9_]([a-zA-Z0-9._-]*[a-zA-Z0-9_])?$` (`NAME_REGEX` of
/// constructor's schema), and short enough for a file name with both in it.
pub(crate) fn identifier<'t>(
    source: &mut Source<'t>,
    key: &str,
    value: &Value<'t>,
) -> Option<String> {
    const LONGEST: usize = 100;
    if let DeValue::Float(_) | DeValue::Integer(_) = value.get_ref() {
        let written = source.written(&value.span());
        let advice = Some(format!(
            "write `{key} = \"{written}\"`; as a number, 1.10 would be 1.1"
        ));
        source.wrong_type(key, "a string", value, advice);
        return None;
    }
    let text = source.text(key, value)?;
    let inner = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    let outer = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let fault = if text.is_empty() {
        "is empty"
    } else if text.len() > LONGEST {
        "is longer than 100 characters"
    } else if !text.chars().all(inner) {
        "may hold only letters, digits, `.`, `_` and `-`"
    } else if !text.starts_with(outer) || !text.ends_with(outer) {
        "must begin and end with a letter, a digit or `_`"
    } else {
        return Some(text);
    };
    source.error(value.span(), format!("`{key}` {fault}"), None);
    None
}

pub(crate) fn lines<'t>(
    source: &mut Source<'t>,
    key: &str,
    value: &Value<'t>,
) -> Option<Vec<String>> {
    source.list(key, "strings", value, |source, element| {
        source.line(key, element)
    })
}

pub(crate) fn specs<'t>(
    source: &mut Source<'t>,
    key: &str,
    value: &Value<'t>,
) -> Option<Vec<PackageSpec>> {
    if let DeValue::String(text) = value.get_ref()
        && (text.contains('/') || text.ends_with(".txt"))
        && !text.contains("://")
    {
        let message = format!(
            "`{key}` as a file of specs is a form of constructor that is not supported here yet"
        );
        source.error(
            value.span(),
            message,
            Some("write a list, or use `environment_file`".into()),
        );
        return None;
    }
    source.list(key, "specs", value, |source, element| {
        spec(source, key, element)
    })
}

fn spec<'t>(source: &mut Source<'t>, key: &str, value: &Value<'t>) -> Option<PackageSpec> {
    let text = source.line(key, value)?;
    match PackageSpec::parse(&text) {
        Ok(spec) => Some(spec),
        Err(reason) => {
            source.error(
                value.span(),
                format!("{} in `{key}` is no package spec: {reason}", quote(&text)),
                None,
            );
            None
        }
    }
}

pub(super) fn requested<'t>(
    source: &mut Source<'t>,
    key: &str,
    value: &Value<'t>,
) -> Option<Vec<String>> {
    source.list(key, "specs", value, |source, element| {
        spec(source, key, element).map(|spec| spec.raw)
    })
}

pub(crate) fn virtual_specs<'t>(
    source: &mut Source<'t>,
    key: &str,
    value: &Value<'t>,
) -> Option<Vec<PackageSpec>> {
    source.list(key, "specs", value, |source, element| {
        let spec = spec(source, key, element)?;
        if spec
            .name()
            .is_none_or(|name| !name.as_normalized().starts_with("__"))
            || spec.match_spec.url.is_some()
        {
            let advice = Some(format!(
                "did you mean `__{}`?",
                spec.raw.trim_start_matches('_')
            ));
            let message = format!(
                "{} in `{key}` is no virtual package: its name must begin with `__`",
                quote(&spec.raw)
            );
            source.error(element.span(), message, advice);
            return None;
        }
        Some(spec)
    })
}

pub(super) fn excluded<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Vec<PackageName>> {
    source.list("exclude", "package names", value, |source, element| {
        let text = source.line("exclude", element)?;
        let advice = text.contains([' ', '=', '<', '>', '*', '[']).then(|| {
            let name = text
                .split(|c: char| " =<>*[".contains(c))
                .next()
                .unwrap_or_default();
            format!(
                "`exclude` takes names without versions, such as `{}`",
                if name.is_empty() { "readline" } else { name }
            )
        });
        let name = PackageName::try_from(text.as_str());
        if name.is_err() {
            source.error(
                element.span(),
                format!("{} in `exclude` is no package name", quote(&text)),
                advice,
            );
        }
        name.ok()
    })
}

pub(super) fn remaps<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Vec<Remap>> {
    source.list("channels_remap", "tables", value, |source, element| {
        let (mut src, mut dest) = (None, None);
        let mut complete = true;
        for (key, span, value) in source.table("channels_remap", element)? {
            let label = format!("channels_remap.{key}");
            match key {
                "src" => src = Some(source.line(&label, value)),
                "dest" => dest = Some(source.line(&label, value)),
                _ => {
                    source.unknown(span, "`channels_remap`", key, &["src", "dest"]);
                    complete = false;
                }
            }
        }
        for (key, value) in [("src", &src), ("dest", &dest)] {
            if value.is_none() {
                source.error(
                    element.span(),
                    format!("`{key}` is missing in `channels_remap`"),
                    None,
                );
            }
        }
        complete.then_some(Remap {
            src: src??,
            dest: dest??,
        })
    })
}

pub(super) fn initialize<'t>(
    source: &mut Source<'t>,
    key: &str,
    value: &Value<'t>,
) -> Option<Initialize> {
    match value.get_ref() {
        DeValue::Boolean(true) => Some(Initialize::Classic),
        DeValue::Boolean(false) => Some(Initialize::No),
        DeValue::String(_) => source.word(
            key,
            &[
                ("classic", Initialize::Classic),
                ("condabin", Initialize::Condabin),
            ],
            value,
        ),
        _ => {
            source.wrong_type(
                key,
                "`true`, `false`, \"classic\" or \"condabin\"",
                value,
                None,
            );
            None
        }
    }
}

/// The runtime expands variables itself and starts no shell for it, so that a command substitution
/// would become part of a folder's name.
pub(super) fn prefix<'t>(source: &mut Source<'t>, key: &str, value: &Value<'t>) -> Option<String> {
    let text = source.line(key, value)?;
    let fault = if !text.starts_with(['/', '~', '$']) {
        "must be absolute or begin with a variable, such as `${HOME}`"
    } else if text.contains('`') || text.contains("$(") {
        "may hold variables, but no commands"
    } else {
        return Some(text);
    };
    source.error(value.span(), format!("`{key}` {fault}"), None);
    None
}

pub(super) fn extra_files<'t>(
    source: &mut Source<'t>,
    value: &Value<'t>,
) -> Option<Vec<ExtraFile>> {
    let key = "extra_files";
    let groups = source.list(key, "paths or tables", value, |source, element| {
        let pairs: Vec<Option<(ExtraFile, Range<usize>)>> = match element.get_ref() {
            DeValue::Table(_) => source
                .table(key, element)?
                .into_iter()
                .map(|(from, span, to)| {
                    if from.trim().is_empty() {
                        source.error(span, format!("a source in `{key}` is empty"), None);
                        return None;
                    }
                    let to_text = source.line(key, to)?;
                    let destination = destination(source, &to_text, to.span())?;
                    Some((
                        ExtraFile {
                            source: from.to_owned(),
                            destination,
                        },
                        to.span(),
                    ))
                })
                .collect(),
            DeValue::String(_) => {
                let from = source.line(key, element)?;
                let name = from.rsplit('/').next().unwrap_or_default().to_owned();
                let destination = destination(source, &name, element.span())?;
                vec![Some((
                    ExtraFile {
                        source: from,
                        destination,
                    },
                    element.span(),
                ))]
            }
            _ => {
                source.wrong_type(
                    key,
                    "paths or `{ \"source\" = \"destination\" }`",
                    element,
                    None,
                );
                return None;
            }
        };
        pairs.into_iter().collect::<Option<Vec<_>>>()
    })?;
    let mut destinations = BTreeSet::new();
    let mut files = Vec::new();
    for (file, span) in groups.into_iter().flatten() {
        if !destinations.insert(file.destination.clone()) {
            source.error(
                span,
                format!(
                    "{} in `{key}` is the destination of two files",
                    quote(&file.destination)
                ),
                None,
            );
        }
        files.push(file);
    }
    Some(files)
}

/// A path inside the prefix, without `.` and doubled slashes.
fn destination(source: &mut Source<'_>, text: &str, span: Range<usize>) -> Option<String> {
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    let fault = if text.starts_with('/') {
        "is absolute; destinations are relative to the prefix"
    } else if parts.contains(&"..") {
        "leads out of the prefix"
    } else if parts.is_empty() || text.ends_with('/') {
        "does not name a file"
    } else {
        return Some(parts.join("/"));
    };
    source.error(
        span,
        format!("{} in `extra_files` {fault}", quote(text)),
        None,
    );
    None
}

pub(super) fn variables<'t>(
    source: &mut Source<'t>,
    value: &Value<'t>,
) -> Option<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    let mut complete = true;
    for (name, span, value) in source.table("script_env_variables", value)? {
        let first = |character: char| character.is_ascii_alphabetic() || character == '_';
        let any = |character: char| character.is_ascii_alphanumeric() || character == '_';
        if !name.starts_with(first) || !name.chars().all(any) {
            source.error(
                span.clone(),
                format!("{} is no name for an environment variable", quote(name)),
                None,
            );
            complete = false;
        }
        if keys::status(name).is_some_and(|status| status == Status::Supported) {
            let message = format!("`{name}` is read as an environment variable here");
            source.warning(
                span,
                message,
                Some("if it is meant as a setting, move it above the first `[table]`".into()),
            );
        }
        match source.text(&format!("script_env_variables.{name}"), value) {
            Some(text) => {
                variables.insert(name.to_owned(), text);
            }
            None => complete = false,
        }
    }
    complete.then_some(variables)
}

pub(super) fn file_name<'t>(
    source: &mut Source<'t>,
    key: &str,
    value: &Value<'t>,
) -> Option<String> {
    // Room for `.sha256` and for the name of a temporary file.
    const LONGEST: usize = 230;
    let text = source.line(key, value)?;
    let fault = if text.contains('/') || text == "." || text == ".." {
        "must be a file name without a folder; `--output-dir` says where it goes"
    } else if text.len() > LONGEST {
        "is longer than 230 characters"
    } else {
        return Some(text);
    };
    source.error(value.span(), format!("`{key}` {fault}"), None);
    None
}
