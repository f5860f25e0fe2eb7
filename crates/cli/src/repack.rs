//! `archiconda repack`: makes a bootstrap channel, and says which packages are in it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::arguments::repack::{PackageFormat, Repack};
use crate::environment::source_date_epoch;
use crate::exit::{Exit, Failure};
use crate::progress::Progress;
use crate::say;
use ::repack::{Event, LockMode, Made, Options};

/// Runs the command.
pub(crate) fn run(arguments: &Repack) -> Result<Exit, Failure> {
    let progress = Progress::new(arguments.telling.quiet);
    let options = options(arguments)?;
    let report = |event: Event<'_>| match event {
        Event::Stage(text) => progress.doing(text),
        Event::Wrote { subdir, file } => progress.message(&format!("{subdir}/{file}")),
        Event::Warning(text) => progress.warn(text),
    };
    let made = ::repack::repack(&arguments.spec, &options, &report);
    progress.finish();
    let made = made?;
    if arguments.telling.json {
        say::json(&as_json(&made, arguments))?;
    } else if !arguments.telling.quiet {
        let lines = made.packages.iter();
        let lines = lines.flat_map(|package| [package.as_str(), "\n"]);
        say::result(&lines.collect::<String>())?;
    }
    Ok(Exit::Done)
}

fn options(arguments: &Repack) -> Result<Options, Failure> {
    let cache_dir = match &arguments.cache_dir {
        Some(folder) => folder.clone(),
        None => fetch::default_cache_dir(),
    };
    Ok(Options {
        platforms: arguments
            .platform
            .iter()
            .map(|platform| platform.as_str().to_owned())
            .collect(),
        output_dir: arguments.output_dir.clone(),
        cache_dir: absolute(&cache_dir)?,
        debs: arguments.debs.clone(),
        wheels: arguments.wheels.clone(),
        lock: arguments.lock.clone(),
        lock_mode: match (arguments.locked, arguments.update) {
            (true, _) => LockMode::Locked,
            (_, true) => LockMode::Update,
            _ => LockMode::Follow,
        },
        offline: arguments.offline,
        tar_bz2: arguments.format == PackageFormat::TarBz2,
        zstd_level: Some(arguments.zstd_compression_level),
        threads: arguments.threads.count,
        timestamp: source_date_epoch()?,
    })
}

/// Programs that run elsewhere are told paths below it.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .with_context(|| format!("`{}` is no path", path.display()))
        .map_err(|error| Failure::new(Exit::Failed, error))
}

fn as_json(made: &Made, arguments: &Repack) -> Value {
    let subdirs: Vec<_> = made
        .index
        .subdirs
        .iter()
        .map(|subdir| json!({ "subdir": subdir.name, "packages": subdir.packages }))
        .collect();
    json!({
        "channel": arguments.output_dir,
        "lock": made.lock,
        "packages": made.packages,
        "subdirs": subdirs,
    })
}
