//! `build-installer`: reads the spec, builds, and says what was built.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use serde_json::json;

use crate::arguments::Installer;
use crate::environment::source_date_epoch;
use crate::exit::{Exit, Failure};
use crate::network;
use crate::progress::{Progress, megabytes};
use crate::say;
use installer::{Built, LockMode, Options};

/// Runs the command.
pub(crate) fn run(arguments: &Installer) -> Result<Exit, Failure> {
    let name = arguments.spec.display().to_string();
    let text = fs_err::read_to_string(&arguments.spec)
        .with_context(|| format!("cannot read the spec `{name}`"))
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    let parsed = spec::Distribution::parse(&text)
        .map_err(|error| Failure::new(Exit::Usage, anyhow!("{}", error.render(&name))))?;
    let progress = Progress::new(arguments.telling.quiet);
    for warning in &parsed.warnings {
        progress.warn(&warning.render(&name));
    }
    let (client, cache_dir) = network::client(&arguments.network)?;
    let options = Options {
        spec: arguments.spec.clone(),
        output_dir: arguments.output_dir.clone(),
        cache_dir,
        platforms: arguments.platform.clone(),
        runtimes: runtimes(arguments)?,
        lock: match (arguments.locked, arguments.update) {
            (true, _) => LockMode::Locked,
            (_, true) => LockMode::Update,
            _ => LockMode::Auto,
        },
        dry_run: arguments.dry_run,
        threads: arguments.threads.count,
        source_date_epoch: source_date_epoch()?,
        ..Options::default()
    };
    let report = |event: installer::Event<'_>| progress.show(&event);
    let built = installer::build(&parsed.distribution, &client, &options, &report);
    progress.finish();
    let built = built?;
    if arguments.telling.json {
        say::json(&json!({ "installers": built }))?;
    } else if arguments.dry_run || !arguments.telling.quiet {
        say::result(&built.iter().map(describe_one).collect::<String>())?;
    }
    Ok(Exit::Done)
}

fn describe_one(one: &Built) -> String {
    if let (Some(file), Some(size), Some(sha256)) = (&one.file, one.size, &one.sha256) {
        let seconds: f64 = one.seconds.values().sum();
        return format!(
            "{}\n  {} packages, {} files, {:.1} MB, {seconds:.1} s\n  sha256 {sha256}\n",
            file.display(),
            one.packages.len(),
            one.files.unwrap_or(0),
            megabytes(size),
        );
    }
    let mut text = format!("{} ({} packages)\n", one.platform, one.packages.len());
    for package in &one.packages {
        text.extend(["  ", package, "\n"]);
    }
    text
}

fn runtimes(arguments: &Installer) -> Result<Vec<PathBuf>, Failure> {
    if let Some(folder) = &arguments.runtimes {
        return Ok(vec![folder.clone()]);
    }
    let executable = std::env::current_exe()
        .context(
            "cannot tell where this executable lies: name the runtimes' folder with --runtimes",
        )
        .map_err(|error| Failure::new(Exit::Failed, error))?;
    Ok(installer::beside(&executable))
}
