//! `archiconda image`: bakes, and says what is in an image and how two differ.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use serde_json::json;

use crate::arguments::image::{Bake, Diff, Image, Inspect, Reach};
use crate::environment::source_date_epoch;
use crate::exit::{Exit, Failure};
use crate::network;
use crate::progress::{Progress, megabytes};
use crate::say::{self, some};
use ::image::inspect::{Difference, Inspected, Network};
use ::image::{Baked, BakedImage, BakedLayer, Event, LayerKind, Options};
use spec::Base;

/// Packages that a line of the table names; the others are counted.
const NAMED: usize = 4;

/// Runs the command.
pub(crate) fn run(arguments: &Image) -> Result<Exit, Failure> {
    match arguments {
        Image::Bake(arguments) => bake(arguments),
        Image::Inspect(arguments) => inspect(arguments),
        Image::Diff(arguments) => diff(arguments),
    }
}

fn bake(arguments: &Bake) -> Result<Exit, Failure> {
    let name = arguments.definition.display().to_string();
    let text = fs_err::read_to_string(&arguments.definition)
        .with_context(|| format!("cannot read the definition `{name}`"))
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let parsed = spec::Image::parse(&text)
        .map_err(|error| Failure::new(Exit::Usage, anyhow!("{}", error.render(&name))))?;
    let progress = Progress::new(arguments.telling.quiet);
    for warning in &parsed.warnings {
        progress.warn(&warning.render(&name));
    }
    let (client, cache_dir) = network::client(&arguments.network)?;
    let output = match &arguments.output {
        Some(output) => Some(output.clone()),
        None if !arguments.push.is_empty() => None,
        None => Some(
            PathBuf::from(arguments.definition.file_stem().unwrap_or_default())
                .with_extension("tar"),
        ),
    };
    let options = Options {
        definition: arguments.definition.clone(),
        output,
        push: arguments.push.clone(),
        plain_http: arguments.plain_http,
        cache_dir,
        platforms: arguments.platform.clone(),
        lock: match (arguments.locked, arguments.update) {
            (true, _) => installer::LockMode::Locked,
            (_, true) => installer::LockMode::Update,
            _ => installer::LockMode::Auto,
        },
        cache_from: arguments.cache_from.clone(),
        no_cache: arguments.no_cache,
        annotations: arguments.annotation.iter().cloned().collect(),
        no_sbom: arguments.no_sbom,
        dry_run: arguments.dry_run,
        threads: arguments.threads.count,
        source_date_epoch: source_date_epoch()?,
    };
    let report = |event: Event<'_>| match event {
        Event::Installer(event) => progress.show(&event),
        Event::Pull { .. } => progress.bytes("pull", 0),
        Event::Fetch(event) => progress.fetch(&event),
        Event::Base { total, .. } => progress.bytes("base", total),
        Event::Layers { total, .. } => progress.bytes("layers", total),
        Event::Push { total, .. } => progress.bytes("push", total),
        Event::Bytes { bytes } => progress.more(bytes),
        Event::Wrote(path) => progress.note(&format!("wrote {}", path.display())),
        Event::Warning(warning) => progress.warn(&warning.to_string()),
    };
    let baked = ::image::bake(&parsed.definition, &client, &options, &report);
    progress.finish();
    let baked = baked?;
    if arguments.telling.json {
        say::json(&baked)?;
    } else if arguments.dry_run || !arguments.telling.quiet {
        say::result(&describe(&baked))?;
    }
    Ok(Exit::Done)
}

fn inspect(arguments: &Inspect) -> Result<Exit, Failure> {
    let images = inspected(&arguments.image, &arguments.reach)?;
    if arguments.json {
        say::json(&json!({ "images": images }))?;
    } else {
        say::result(&images.iter().map(table).collect::<String>())?;
    }
    Ok(Exit::Done)
}

/// What is in an image. Nobody is asked for one that lies here.
fn inspected(image: &Base, reach: &Reach) -> Result<Vec<Inspected>, Failure> {
    let Base::Registry(name) = image else {
        return Ok(::image::inspect::inspect(image)?);
    };
    let (client, _) = network::client(&reach.network)?;
    let progress = Progress::new(false);
    let network = Network {
        client: &client,
        plain_http: reach.plain_http,
        report: &|event| progress.fetch(&event),
    };
    let images = ::image::inspect::inspect_pulled(name, &network);
    progress.finish();
    Ok(images?)
}

fn diff(arguments: &Diff) -> Result<Exit, Failure> {
    let old = inspected(&arguments.old, &arguments.reach)?;
    let new = inspected(&arguments.new, &arguments.reach)?;
    let differences = ::image::inspect::diff(&old, &new);
    if differences.is_empty() {
        let error = anyhow!(
            "`{}` and `{}` have no platform in common",
            arguments.old,
            arguments.new
        );
        return Err(Failure::new(Exit::Failed, error));
    }
    if arguments.json {
        say::json(&json!({ "differences": differences }))?;
    } else {
        say::result(&differences.iter().map(changes).collect::<String>())?;
    }
    Ok(Exit::Done)
}

fn describe(baked: &Baked) -> String {
    let mut text = String::new();
    if let Some(output) = &baked.output {
        let _ = writeln!(text, "{}", output.display());
    }
    let _ = writeln!(text, "  {}", baked.tags.join(", "));
    if let Some(digest) = &baked.digest {
        let _ = writeln!(text, "  {digest}");
    }
    for sbom in &baked.sboms {
        let _ = writeln!(text, "  {}", sbom.display());
    }
    for pushed in &baked.pushed {
        let _ = writeln!(
            text,
            "  pushed {}: {} blobs sent, {} were there",
            pushed.reference,
            pushed.sent,
            pushed.present + pushed.mounted
        );
    }
    text.extend(baked.images.iter().map(describe_one));
    text
}

fn describe_one(image: &BakedImage) -> String {
    let mut text = format!(
        "{} ({}): {} layers, {:.1} MB\n",
        image.platform,
        image.engine_platform,
        image.layers.len(),
        megabytes(image.size)
    );
    for layer in &image.layers {
        text += &describe_layer(layer);
    }
    let trimmed: u64 = image.trimmed.values().sum();
    if trimmed > 0 {
        let names: Vec<String> = image.trimmed.keys().cloned().collect();
        let _ = writeln!(
            text,
            "  trim: {:.1} MB are left out of {}",
            megabytes(trimmed),
            some(&names, NAMED)
        );
    }
    let modules: usize = image.not_compiled.values().sum();
    if modules > 0 {
        let names: Vec<&str> = image.not_compiled.keys().map(String::as_str).collect();
        let _ = writeln!(
            text,
            "  pyc = \"skip\": {modules} Python modules of {} packages are not compiled: {}",
            names.len(),
            names.join(", ")
        );
    }
    for (scripts, what) in [
        (&image.emulated_scripts, "ran under emulation"),
        (
            &image.first_run_scripts,
            "run when a container starts first",
        ),
    ] {
        if !scripts.is_empty() {
            let _ = writeln!(
                text,
                "  {} scripts {what}: {}",
                scripts.len(),
                some(scripts, NAMED)
            );
        }
    }
    if !image.made.is_empty() {
        let _ = writeln!(
            text,
            "  {} files are made that scripts of Debian packages would have made; `--json` lists them",
            image.made.len()
        );
    }
    if !image.unconfigured.is_empty() {
        let _ = writeln!(
            text,
            "  scripts of {} Debian packages did not run: {}",
            image.unconfigured.len(),
            some(&image.unconfigured, NAMED)
        );
    }
    text
}

/// A layer as it is stored, then its largest packages as they are unpacked.
fn describe_layer(layer: &BakedLayer) -> String {
    let kind = match layer.kind {
        LayerKind::Base => "base",
        LayerKind::Files => "files that belong to no package",
        LayerKind::Scripts => "what scripts of packages changed",
        LayerKind::Debs if layer.cached => "Debian packages, as before",
        LayerKind::Debs => "Debian packages",
        LayerKind::Packages if layer.cached => "packages, as before",
        LayerKind::Packages => "packages",
    };
    let unpacked = layer.unpacked.map_or(String::new(), |unpacked| {
        format!(", unpacked {:.1} MB", megabytes(unpacked))
    });
    let mut text = format!("  {:8.1} MB  {kind}{unpacked}\n", megabytes(layer.size));
    let mut packages: Vec<_> = layer.packages.iter().collect();
    packages.sort_by_key(|package| std::cmp::Reverse(package.size));
    let named = if packages.len() <= NAMED + 1 {
        packages.len()
    } else {
        NAMED
    };
    for package in &packages[..named] {
        let mark = match &package.env {
            Some(env) => format!(" ({env})"),
            None if package.prefetched => " (prefetched)".to_owned(),
            None => String::new(),
        };
        let size = megabytes(package.size);
        let _ = writeln!(text, "           {size:8.1} MB  {}{mark}", package.name);
    }
    let rest = &packages[named..];
    if !rest.is_empty() {
        let size = megabytes(rest.iter().map(|package| package.size).sum());
        let _ = writeln!(text, "           {size:8.1} MB  {} more", rest.len());
    }
    text
}

fn table(image: &Inspected) -> String {
    let mut text = format!(
        "{} {}\n  id {}\n  {} layers, {:.1} MB\n",
        image.tag.as_deref().unwrap_or("(no name)"),
        image.platform,
        image.id,
        image.layers.len(),
        megabytes(image.size)
    );
    for layer in &image.layers {
        let _ = writeln!(
            text,
            "{}\n  {:.1} MB, unpacked {:.1} MB, {} entries, {:.1} MB of no package",
            layer.digest,
            megabytes(layer.size),
            megabytes(layer.unpacked),
            layer.entries,
            megabytes(layer.other)
        );
        for package in &layer.packages {
            let mark = package.mark();
            let mark = mark.map_or(String::new(), |mark| format!("  ({mark})"));
            let _ = writeln!(
                text,
                "  {:8.1} MB  {}{mark}",
                megabytes(package.size),
                package.name
            );
        }
    }
    text
}

fn changes(difference: &Difference) -> String {
    let mut text = format!("{}\n", difference.platform);
    if difference.is_none() {
        text += "  no difference\n";
        return text;
    }
    for name in &difference.added {
        let _ = writeln!(text, "  + {name}");
    }
    for name in &difference.removed {
        let _ = writeln!(text, "  - {name}");
    }
    for (old, new) in &difference.changed {
        let _ = writeln!(text, "  {old} -> {new}");
    }
    for (key, (old, new)) in &difference.config {
        let _ = writeln!(text, "  {key}: {old} -> {new}");
    }
    let _ = writeln!(
        text,
        "  {} layers kept, {} new: {:.1} MB",
        difference.layers_kept,
        difference.layers_new,
        megabytes(difference.bytes_new)
    );
    text
}
