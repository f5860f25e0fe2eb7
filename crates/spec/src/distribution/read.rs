//! Reads a specification key by key: which type each key has and which values it takes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use conda::{PackageName, Subdir};
use toml::Spanned;
use toml::de::DeValue;

use super::{Compression, Distribution, ExtraFile, Initialize, Parsed, Remap, Settings, check};
use crate::error::{Error, quote};
use crate::keys::{self, Status};
use crate::requirement::PackageSpec;
use crate::source::{Entry, Source, Value};
use crate::{condarc, outputs};

/// The platforms of a specification that names none.
const DEFAULT_PLATFORMS: [Subdir; 2] = [Subdir::LinuxAarch64, Subdir::Linux64];

/// Reads the whole text.
pub(super) fn distribution(text: &str) -> Result<Parsed, Error> {
    let (mut source, table) = Source::parse(text)?;
    let entries = Source::entries(&table);
    for required in ["name", "version"] {
        if !entries.iter().any(|(key, ..)| *key == required) {
            let advice = Some(format!("add `{required} = \"…\"` at the top"));
            source.error(0..0, format!("`{required}` is missing"), advice);
        }
    }
    let mut name = None;
    let mut version = None;
    let mut platforms = Some(DEFAULT_PLATFORMS.to_vec());
    let mut settings = Settings::default();
    let mut overrides = BTreeMap::new();
    for entry in entries {
        let (key, _, value) = &entry;
        match *key {
            "$schema" => {
                let _ = source.line(key, value);
            }
            "name" => name = identifier(&mut source, key, value),
            "version" => version = identifier(&mut source, key, value),
            "platforms" => platforms = read_platforms(&mut source, value),
            "target" => overrides = read_overrides(&mut source, value),
            _ => setting(&mut source, &mut settings, entry),
        }
    }
    if let (false, Some(name), Some(version), Some(platforms)) =
        (source.has_errors(), name, version, platforms)
    {
        let distribution = Distribution {
            name,
            version,
            platforms,
            settings,
            overrides,
        };
        check::consistent(&mut source, &distribution);
        if !source.has_errors() {
            return Ok(Parsed {
                distribution,
                warnings: source.into_warnings(),
            });
        }
    }
    Err(source.into_error())
}

/// Reads one key that may stand at the top level and in `[target.PLATFORM]`.
fn setting<'t>(source: &mut Source<'t>, settings: &mut Settings, entry: Entry<'_, 't>) {
    let (key, key_span, value) = entry;
    macro_rules! set {
        ($field:ident, $read:expr) => {
            settings.$field = $read.map(|read| Spanned::new(key_span, read))
        };
    }
    match key {
        "channels" => set!(channels, lines(source, key, value)),
        "channels_remap" => set!(channels_remap, remaps(source, value)),
        "specs" => set!(specs, specs(source, key, value)),
        "environment_file" => set!(environment_file, source.line(key, value)),
        "exclude" => set!(exclude, excluded(source, value)),
        "user_requested_specs" => set!(user_requested_specs, requested(source, key, value)),
        "virtual_specs" => set!(virtual_specs, virtual_specs(source, key, value)),
        "license_file" => set!(license_file, source.line(key, value)),
        "write_condarc" => set!(write_condarc, source.boolean(key, value)),
        "condarc" => set!(condarc, condarc::read(source, value)),
        "conda_default_channels" => set!(conda_default_channels, lines(source, key, value)),
        "conda_channel_alias" => set!(conda_channel_alias, source.line(key, value)),
        "default_prefix" => set!(default_prefix, prefix(source, key, value)),
        "initialize_conda" => set!(initialize_conda, initialize(source, key, value)),
        "initialize_by_default" => set!(initialize_by_default, source.boolean(key, value)),
        "extra_files" => set!(extra_files, extra_files(source, value)),
        "pre_install" => set!(pre_install, source.line(key, value)),
        "post_install" => set!(post_install, source.line(key, value)),
        "script_env_variables" => set!(script_env_variables, variables(source, value)),
        "keep_pkgs" => set!(keep_pkgs, source.boolean(key, value)),
        "installer_filename" => set!(installer_filename, file_name(source, key, value)),
        "ignore_duplicate_files" => set!(ignore_duplicate_files, source.boolean(key, value)),
        "check_path_spaces" => set!(check_path_spaces, source.boolean(key, value)),
        "conclusion_text" => set!(conclusion_text, source.text(key, value)),
        "build_outputs" => set!(build_outputs, outputs::read(source, value)),
        "compression" => {
            let words = [
                ("default", Compression::Default),
                ("solid", Compression::Solid),
            ];
            set!(compression, source.word(key, &words, value));
        }
        _ => no_setting(source, key, key_span),
    }
}

/// Says why a key is not accepted, or is accepted without effect.
fn no_setting(source: &mut Source<'_>, key: &str, span: Range<usize>) {
    match keys::status(key) {
        Some(Status::Obsolete(why)) => {
            source.warning(
                span,
                format!("`{key}` is obsolete and has no effect: {why}"),
                Some("remove it".into()),
            );
        }
        Some(Status::NotYet) => {
            source.error(
                span,
                format!("`{key}` is a key of constructor that is not supported here yet"),
                None,
            );
        }
        Some(Status::OtherInstallers(kind)) => {
            source.error(
                span,
                format!(
                    "`{key}` only has a meaning for {kind} installers, which are not built yet"
                ),
                Some("remove it".into()),
            );
        }
        Some(Status::Supported) => {
            source.error(
                span,
                format!("`{key}` belongs to the top level, not to a platform"),
                None,
            );
        }
        None => {
            let near = if source.is_full() {
                None
            } else {
                keys::suggestion(key)
            };
            let advice = near.map(|near| format!("did you mean `{near}`?"));
            source.error(span, format!("unknown key {}", quote(key)), advice);
        }
    }
}

fn read_overrides<'t>(source: &mut Source<'t>, value: &Value<'t>) -> BTreeMap<Subdir, Settings> {
    let mut overrides = BTreeMap::new();
    for (name, span, value) in source.table("target", value).unwrap_or_default() {
        let platform = subdir(source, name, span);
        let mut settings = Settings::default();
        for entry in source
            .table(&format!("target.{name}"), value)
            .unwrap_or_default()
        {
            setting(source, &mut settings, entry);
        }
        if let Some(platform) = platform {
            overrides.insert(platform, settings);
        }
    }
    overrides
}

fn read_platforms<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Vec<Subdir>> {
    let platforms = source.list("platforms", "platforms", value, |source, element| {
        let name = source.line("platforms", element)?;
        subdir(source, &name, element.span()).map(|platform| (platform, element.span()))
    })?;
    if platforms.is_empty() {
        let advice = Some("leave the key out for linux-aarch64 and linux-64".to_owned());
        source.error(value.span(), "`platforms` is empty", advice);
        return None;
    }
    let mut named = Vec::new();
    for (platform, span) in platforms {
        if named.contains(&platform) {
            source.error(span, format!("platform `{platform}` is named twice"), None);
        } else {
            named.push(platform);
        }
    }
    Some(named)
}

fn subdir(source: &mut Source<'_>, name: &str, span: Range<usize>) -> Option<Subdir> {
    let platforms = || Subdir::all().filter(|platform| *platform != Subdir::NoArch);
    let found = platforms().find(|platform| platform.as_str() == name);
    if found.is_none() {
        // The other spellings of these two processors are no typing errors.
        let near = match name {
            "linux-arm64" | "aarch64" | "arm64" => Some("linux-aarch64"),
            "linux-x86_64" | "linux-amd64" | "x86_64" => Some("linux-64"),
            _ => keys::nearest(name, platforms().map(Subdir::as_str)),
        };
        let advice = near.map(|near| format!("did you mean `{near}`?"));
        source.error(span, format!("unknown platform {}", quote(name)), advice);
    }
    found
}

/// `name` and `version`: `^[a-zA-Z0-9_]([a-zA-Z0-9._-]*[a-zA-Z0-9_])?$` (`NAME_REGEX` of
/// constructor's schema), and short enough for a file name with both in it.
fn identifier<'t>(source: &mut Source<'t>, key: &str, value: &Value<'t>) -> Option<String> {
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

fn lines<'t>(source: &mut Source<'t>, key: &str, value: &Value<'t>) -> Option<Vec<String>> {
    source.list(key, "strings", value, |source, element| {
        source.line(key, element)
    })
}

fn specs<'t>(source: &mut Source<'t>, key: &str, value: &Value<'t>) -> Option<Vec<PackageSpec>> {
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

fn requested<'t>(source: &mut Source<'t>, key: &str, value: &Value<'t>) -> Option<Vec<String>> {
    source.list(key, "specs", value, |source, element| {
        spec(source, key, element).map(|spec| spec.raw)
    })
}

fn virtual_specs<'t>(
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

fn excluded<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Vec<PackageName>> {
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

fn remaps<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Vec<Remap>> {
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

fn initialize<'t>(source: &mut Source<'t>, key: &str, value: &Value<'t>) -> Option<Initialize> {
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
fn prefix<'t>(source: &mut Source<'t>, key: &str, value: &Value<'t>) -> Option<String> {
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

fn extra_files<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Vec<ExtraFile>> {
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

fn variables<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<BTreeMap<String, String>> {
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

fn file_name<'t>(source: &mut Source<'t>, key: &str, value: &Value<'t>) -> Option<String> {
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
