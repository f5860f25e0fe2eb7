//! Reads a specification key by key, and says why a key is not accepted. Which values a key takes
//! is in `values`.

use std::collections::BTreeMap;
use std::ops::Range;

use conda::Subdir;
use toml::Spanned;

use super::values::{
    excluded, extra_files, file_name, identifier, initialize, lines, prefix, remaps, requested,
    specs, variables, virtual_specs,
};
use super::{Compression, Distribution, Parsed, Settings, check};
use crate::error::{Error, quote};
use crate::keys::{self, Status};
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
    let mut named = Some(DEFAULT_PLATFORMS.to_vec());
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
            "platforms" => named = platforms(&mut source, value),
            "target" => overrides = read_overrides(&mut source, value),
            _ => setting(&mut source, &mut settings, entry),
        }
    }
    if let (false, Some(name), Some(version), Some(platforms)) =
        (source.has_errors(), name, version, named)
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

pub(crate) fn platforms<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Vec<Subdir>> {
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

fn platforms_of_machines() -> impl Iterator<Item = Subdir> {
    Subdir::all().filter(|platform| *platform != Subdir::NoArch)
}

/// The platform that was meant by a text that is none, if one is near enough.
pub fn near_platform(name: &str) -> Option<&'static str> {
    match name {
        // The other spellings of these two processors are no typing errors.
        "linux-arm64" | "aarch64" | "arm64" => Some("linux-aarch64"),
        "linux-x86_64" | "linux-amd64" | "x86_64" => Some("linux-64"),
        _ => keys::nearest(name, platforms_of_machines().map(Subdir::as_str)),
    }
}

pub(crate) fn subdir(source: &mut Source<'_>, name: &str, span: Range<usize>) -> Option<Subdir> {
    let found = platforms_of_machines().find(|platform| platform.as_str() == name);
    if found.is_none() {
        let advice = near_platform(name).map(|near| format!("did you mean `{near}`?"));
        source.error(span, format!("unknown platform {}", quote(name)), advice);
    }
    found
}
