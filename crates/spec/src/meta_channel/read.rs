//! Reads a definition key by key.

use std::collections::BTreeMap;
use std::ops::Range;

use conda::{PackageName, ParseStrictness, Subdir, VersionSpec};
use toml::de::DeValue;

use super::{Keep, MetaChannel, Mirror, Newer, ParsedMetaChannel, Patterns, Priority, Wishes};
use crate::distribution::{identifier, lines, platforms, specs, subdir, virtual_specs};
use crate::error::{Error, quote};
use crate::source::{Source, Value};

const KEYS: [&str; 18] = [
    "name",
    "channels",
    "channel_priority",
    "platforms",
    "roots",
    "sets",
    "virtual_specs",
    "keep",
    "pins",
    "pins_file",
    "exclude",
    "include",
    "exclude_newer",
    "blacklist",
    "no_deps",
    "run_exports",
    "mirror",
    "target",
];

/// Reads the whole text.
pub(super) fn meta_channel(text: &str) -> Result<ParsedMetaChannel, Error> {
    let (mut source, table) = Source::parse(text)?;
    let entries = Source::entries(&table);
    for required in ["name", "channels", "platforms"] {
        if !entries.iter().any(|(key, ..)| *key == required) {
            let advice = Some(match required {
                "channels" => "add `channels = [\"conda-forge\"]`".to_owned(),
                "platforms" => "add `platforms = [\"linux-aarch64\"]`".to_owned(),
                _ => "add `name = \"…\"` at the top".to_owned(),
            });
            source.error(0..0, format!("`{required}` is missing"), advice);
        }
    }
    let mut name = None;
    let mut named = None;
    let mut definition = MetaChannel {
        name: String::new(),
        channels: Vec::new(),
        priority: Priority::Strict,
        platforms: Vec::new(),
        keep: Keep::default(),
        pins: BTreeMap::new(),
        pins_file: None,
        exclude: Patterns::default(),
        include: Patterns::default(),
        exclude_newer: None,
        blacklist: None,
        no_deps: false,
        run_exports: true,
        mirror: Mirror::None,
        top: Wishes::default(),
        overrides: BTreeMap::new(),
    };
    let mut include_span = None;
    for (key, span, value) in entries {
        let source = &mut source;
        let d = &mut definition;
        match key {
            "name" => {
                name = identifier(source, key, value);
                // The channel's folder would be taken for a platform's.
                if let Some(platform) = name.as_ref().and_then(|name| name.parse::<Subdir>().ok()) {
                    let advice = Some(format!("call it \"my-{platform}\", for instance"));
                    let message = format!("`name` is {platform}, as the folder of a platform");
                    source.error(value.span(), message, advice);
                }
            }
            "channels" => named = channels(source, value),
            "channel_priority" => {
                let words = [
                    ("strict", Priority::Strict),
                    ("flexible", Priority::Flexible),
                ];
                d.priority = source.word(key, &words, value).unwrap_or(d.priority);
            }
            "platforms" => d.platforms = platforms(source, value).unwrap_or_default(),
            "roots" | "sets" | "virtual_specs" => wish(source, &mut d.top, key, value),
            "keep" => d.keep = keep(source, value),
            "pins" => d.pins = pins(source, value),
            "pins_file" => d.pins_file = source.line(key, value),
            "exclude" => d.exclude = patterns(source, key, value),
            "include" => {
                d.include = patterns(source, key, value);
                include_span = Some(span);
            }
            "exclude_newer" => d.exclude_newer = newer(source, key, value),
            "blacklist" => d.blacklist = source.line(key, value),
            "no_deps" => d.no_deps = source.boolean(key, value).unwrap_or_default(),
            "run_exports" => d.run_exports = source.boolean(key, value).unwrap_or(true),
            "mirror" => {
                let words = [
                    ("none", Mirror::None),
                    ("on-demand", Mirror::OnDemand),
                    ("full", Mirror::Full),
                ];
                d.mirror = source.word(key, &words, value).unwrap_or(d.mirror);
            }
            "target" => d.overrides = targets(source, value),
            _ => source.unknown(span, "a meta-channel's definition", key, &KEYS),
        }
    }
    if let Some(span) = include_span
        && definition.exclude == Patterns::default()
        && definition.blacklist.is_none()
    {
        let advice =
            Some("to keep nothing else, add `[exclude]` with `names = [\"*\"]`".to_owned());
        source.warning(
            span,
            "`include` has no effect: nothing is excluded that it could take back",
            advice,
        );
    }
    if !source.has_errors() {
        for platform in &definition.platforms {
            if definition.roots(*platform).is_empty() {
                let message = format!("there are no `roots` for {platform}");
                let advice = Some("add `roots = [\"python\"]`: what users ask for".to_owned());
                source.error(0..0, message, advice);
                break;
            }
        }
        for platform in definition.overrides.keys() {
            if !definition.platforms.contains(platform) {
                let message = format!("`target.{platform}` is not among `platforms`");
                source.error(0..0, message, None);
            }
        }
    }
    match (source.has_errors(), name, named) {
        (false, Some(name), Some(channels)) => Ok(ParsedMetaChannel {
            definition: MetaChannel {
                name,
                channels,
                ..definition
            },
            warnings: source.into_warnings(),
        }),
        _ => Err(source.into_error()),
    }
}

fn channels<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Option<Vec<String>> {
    let named = lines(source, "channels", value)?;
    if named.is_empty() {
        let advice = Some("write `channels = [\"conda-forge\"]`".to_owned());
        source.error(value.span(), "`channels` is empty", advice);
        return None;
    }
    let twice = named
        .iter()
        .enumerate()
        .find(|(position, channel)| named[..*position].contains(channel));
    if let Some((_, channel)) = twice {
        let message = format!("{} is named twice", quote(channel));
        source.error(value.span(), message, None);
        return None;
    }
    Some(named)
}

/// One key that may stand at the top level and in `[target.PLATFORM]`.
fn wish<'t>(source: &mut Source<'t>, wishes: &mut Wishes, key: &str, value: &Value<'t>) {
    match key {
        "roots" => wishes.roots = specs_of_names(source, key, value),
        "sets" => {
            wishes.sets = source.list(key, "lists of specs", value, |source, element| {
                specs_of_names(source, key, element)
            });
        }
        _ => wishes.virtual_specs = virtual_specs(source, key, value),
    }
}

/// Specs of packages in channels, not of archives.
fn specs_of_names<'t>(
    source: &mut Source<'t>,
    key: &str,
    value: &Value<'t>,
) -> Option<Vec<crate::PackageSpec>> {
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

fn targets<'t>(source: &mut Source<'t>, value: &Value<'t>) -> BTreeMap<Subdir, Wishes> {
    let mut targets = BTreeMap::new();
    for (name, span, value) in source.table("target", value).unwrap_or_default() {
        let platform = subdir(source, name, span);
        let mut wishes = Wishes::default();
        let what = format!("target.{name}");
        for (key, span, value) in source.table(&what, value).unwrap_or_default() {
            match key {
                "roots" | "sets" | "virtual_specs" => wish(source, &mut wishes, key, value),
                _ if KEYS.contains(&key) => {
                    let message = format!("`{key}` belongs to the top level, not to a platform");
                    source.error(span, message, None);
                }
                _ => source.unknown(span, &what, key, &["roots", "sets", "virtual_specs"]),
            }
        }
        if let Some(platform) = platform {
            targets.insert(platform, wishes);
        }
    }
    targets
}

fn keep<'t>(source: &mut Source<'t>, value: &Value<'t>) -> Keep {
    let mut keep = Keep::default();
    for (key, span, value) in source.table("keep", value).unwrap_or_default() {
        match key {
            "versions" => keep.versions = count(source, "keep.versions", value),
            "builds" => keep.builds = count(source, "keep.builds", value),
            "max_build_number" => {
                keep.max_build_number = source
                    .boolean("keep.max_build_number", value)
                    .unwrap_or_default();
            }
            _ => source.unknown(
                span,
                "`keep`",
                key,
                &["versions", "builds", "max_build_number"],
            ),
        }
    }
    keep
}

fn count<'t>(source: &mut Source<'t>, name: &str, value: &Value<'t>) -> Option<usize> {
    let DeValue::Integer(number) = value.get_ref() else {
        source.wrong_type(name, "a number", value, None);
        return None;
    };
    match number.as_str().parse() {
        Ok(count) if count > 0 => Some(count),
        _ => {
            let advice = Some("leave the key out to keep all".to_owned());
            source.error(value.span(), format!("`{name}` is at least 1"), advice);
            None
        }
    }
}

fn pins<'t>(source: &mut Source<'t>, value: &Value<'t>) -> BTreeMap<PackageName, Vec<String>> {
    let mut pins = BTreeMap::new();
    for (name, span, value) in source.table("pins", value).unwrap_or_default() {
        let Ok(package) = name.parse::<PackageName>() else {
            let message = format!("{} is no package's name", quote(name));
            source.error(span, message, None);
            continue;
        };
        let key = format!("pins.{name}");
        let versions = source.list(&key, "version specs", value, |source, element| {
            let version = source.line(&key, element)?;
            match VersionSpec::from_str(&version, ParseStrictness::Lenient) {
                Ok(_) => Some(version),
                Err(error) => {
                    let message = format!("{} is no version spec: {error}", quote(&version));
                    let advice = Some("write for example `\"3.12.*\"`".to_owned());
                    source.error(element.span(), message, advice);
                    None
                }
            }
        });
        if let Some(versions) = versions {
            if versions.is_empty() {
                let advice = Some("to leave the package out, use `exclude.names`".to_owned());
                source.error(value.span(), format!("`{key}` is empty"), advice);
            }
            pins.insert(package, versions);
        }
    }
    pins
}

fn patterns<'t>(source: &mut Source<'t>, name: &str, value: &Value<'t>) -> Patterns {
    const KNOWN: [&str; 4] = ["names", "specs", "licenses", "features"];
    let mut patterns = Patterns::default();
    for (key, span, value) in source.table(name, value).unwrap_or_default() {
        let whole = format!("{name}.{key}");
        match key {
            "names" => patterns.names = lines(source, &whole, value).unwrap_or_default(),
            "specs" => patterns.specs = specs_of_names(source, &whole, value).unwrap_or_default(),
            "licenses" => patterns.licenses = lines(source, &whole, value).unwrap_or_default(),
            "features" => patterns.features = lines(source, &whole, value).unwrap_or_default(),
            _ => source.unknown(span, &format!("`{name}`"), key, &KNOWN),
        }
    }
    patterns
}

fn newer<'t>(source: &mut Source<'t>, key: &str, value: &Value<'t>) -> Option<Newer> {
    let text = match value.get_ref() {
        DeValue::Datetime(date) => date.to_string(),
        _ => source.line(key, value)?,
    };
    let found = newer_of(&text);
    if found.is_none() {
        let message = format!("`{key}` is {}, which is no date", quote(&text));
        let advice = "write a day (\"2026-06-01\"), an instant (\"2026-06-01T12:00:00Z\") or an age (\"14d\")";
        source.error(value.span(), message, Some(advice.to_owned()));
    }
    found
}

/// A day, an instant or an age.
pub(super) fn newer_of(text: &str) -> Option<Newer> {
    instant(text)
        .map(Newer::Than)
        .or_else(|| age(text).map(Newer::ThanAgo))
}

/// `14d` or `36h`, in milliseconds.
fn age(text: &str) -> Option<i64> {
    const HOUR: i64 = 3_600_000;
    let (number, unit) = [('h', HOUR), ('d', 24 * HOUR), ('w', 7 * 24 * HOUR)]
        .iter()
        .find_map(|(letter, unit)| Some((text.strip_suffix(*letter)?, *unit)))?;
    number
        .trim()
        .parse::<i64>()
        .ok()
        .filter(|number| *number >= 0)?
        .checked_mul(unit)
}

/// `YYYY-MM-DD`, which stands for its end, or `YYYY-MM-DDThh:mm:ssZ`, in milliseconds since 1970.
pub(super) fn instant(text: &str) -> Option<i64> {
    const DAY: i64 = 86_400;
    let number = |range: Range<usize>| {
        let digits = text.get(range)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse::<i64>().ok()).flatten()
    };
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let separators = [text.get(4..5)?, text.get(7..8)?];
    if separators != ["-", "-"] || !(1..=12).contains(&month) || day < 1 || day > days(year, month)
    {
        return None;
    }
    let before: i64 = (1970..year).map(length).sum::<i64>()
        + (1..month).map(|month| days(year, month)).sum::<i64>()
        + day
        - 1;
    if year < 1970 {
        return None;
    }
    let seconds = match text.get(10..)? {
        "" => DAY - 1,
        rest => {
            let time = rest
                .strip_prefix(['T', 't', ' '])?
                .strip_suffix(['Z', 'z'])?;
            let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
            let whole = time.len() == 8 && time.get(2..3)? == ":" && time.get(5..6)? == ":";
            if !whole || hour > 23 || minute > 59 || second > 59 {
                return None;
            }
            hour * 3600 + minute * 60 + second
        }
    };
    let fraction = if text.len() == 10 { 999 } else { 0 };
    Some((before * DAY + seconds) * 1000 + fraction)
}

fn length(year: i64) -> i64 {
    if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) {
        366
    } else {
        365
    }
}

fn days(year: i64, month: i64) -> i64 {
    match month {
        2 => length(year) - 337,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
