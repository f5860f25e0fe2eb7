//! Reads an image's definition key by key.

use std::collections::BTreeMap;
use std::ops::Range;

use conda::Subdir;
use toml::de::DeValue;

use super::envs::envs;
use super::files::{self, files, user};
use super::references::{base, tags};
use super::{
    Image, LayerCompression, LinkScripts, MOST_LAYERS, ParsedImage, Pyc, Settings, Trim, TrimGroup,
    debian, installer,
};
use crate::distribution::{platforms, specs, subdir};
use crate::error::{Error, quote};
use crate::requirement::PackageSpec;
use crate::source::{Source, Value};

/// The keys that stand at the top level only.
const TOP: [&str; 6] = [
    "platforms",
    "layers",
    "compression",
    "pyc",
    "link_scripts",
    "target",
];

/// The keys that a platform may have, too.
const ANYWHERE: [&str; 18] = [
    "installer",
    "base",
    "debs",
    "locale",
    "prefix",
    "packages",
    "prefetch",
    "envs",
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
    let mut compiled = None;
    let mut placed = None;
    let named = entries.iter().any(|(key, ..)| *key == "installer");
    for (key, span, value) in entries {
        let source = &mut source;
        match key {
            "installer" => match source.line(key, value) {
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
                let words = [
                    ("skip", Pyc::Skip),
                    ("host-python", Pyc::HostPython),
                    ("emulate", Pyc::Emulate),
                ];
                image.pyc = source.word(key, &words, value).unwrap_or(image.pyc);
                if image.pyc != Pyc::Skip {
                    compiled = Some(value.span());
                }
            }
            "link_scripts" => {
                let words = [
                    ("error", LinkScripts::Error),
                    ("skip", LinkScripts::Skip),
                    ("emulate", LinkScripts::Emulate),
                    ("first-run", LinkScripts::FirstRun),
                ];
                let read = source.word(key, &words, value);
                image.link_scripts = read.unwrap_or(image.link_scripts);
            }
            "target" => {
                image.overrides = targets(source, value);
                placed.get_or_insert(span);
            }
            _ => {
                if key == "files" {
                    placed = Some(value.span());
                }
                setting(source, &mut image.settings, key, span, value);
            }
        }
    }
    installer::check(&mut source, &image, named);
    if let Some(span) = placed {
        files::check(&mut source, &image, &span);
    }
    if let Some(span) = compiled {
        check_compiled(&mut source, &image, span);
    }
    if source.has_errors() {
        return Err(source.into_error());
    }
    Ok(ParsedImage {
        definition: image,
        warnings: source.into_warnings(),
    })
}

/// Bytecode is not made to be left out.
fn check_compiled(source: &mut Source<'_>, image: &Image, span: Range<usize>) {
    let all = [&image.settings]
        .into_iter()
        .chain(image.overrides.values());
    let mut trims = all.filter_map(|settings| settings.trim.as_ref());
    if trims.any(|trim| trim.contains(&Trim::Group(TrimGroup::Pycache))) {
        let message = "`pyc` makes what `trim` leaves out with \"pycache\"";
        source.error(span, message, Some("leave one of them out".to_owned()));
    }
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
        "envs" => settings.envs = envs(source, value),
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
pub(super) fn path<'t>(source: &mut Source<'t>, name: &str, value: &Value<'t>) -> Option<String> {
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

/// Match specs, none of which is an archive.
pub(super) fn packages<'t>(
    source: &mut Source<'t>,
    key: &str,
    value: &Value<'t>,
) -> Option<Vec<PackageSpec>> {
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
