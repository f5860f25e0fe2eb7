//! `archiconda index`: makes a folder of packages a channel, and names what it left out.

use std::io::Write as _;

use anyhow::Context as _;
use serde_json::json;

use crate::arguments::Index;
use crate::exit::{Exit, Failure};
use crate::progress::Progress;
use channel::{Event, Options, Report};

/// Runs the command.
pub(crate) fn run(arguments: &Index) -> Result<Exit, Failure> {
    let failed = |error| Failure::new(Exit::Failed, error);
    if !arguments.dir.is_dir() {
        let error = anyhow::anyhow!("`{}` is not a folder", arguments.dir.display());
        return Err(Failure::new(Exit::Usage, error));
    }
    let progress = Progress::new(arguments.quiet);
    let options = Options {
        threads: arguments.threads,
    };
    let report = |event: Event<'_>| match event {
        Event::Listed { packages } => progress.count("index", packages),
        Event::Indexed { file, .. } => progress.one(file),
        Event::Skipped {
            subdir,
            file,
            reason,
        } => {
            progress.one(file);
            progress.warn(&format!("left out `{subdir}/{file}`: {}", chain(reason)));
        }
        Event::Published { .. } => {}
    };
    let indexed = channel::index(&arguments.dir, &options, &report);
    progress.finish();
    let indexed = indexed
        .context("cannot index the channel")
        .map_err(failed)?;
    let text = describe(&indexed, arguments);
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write the result")
        .map_err(failed)?;
    Ok(Exit::Done)
}

fn describe(report: &Report, arguments: &Index) -> String {
    if arguments.json {
        let subdirs: Vec<_> = report
            .subdirs
            .iter()
            .map(|subdir| {
                let skipped: Vec<_> = subdir
                    .skipped
                    .iter()
                    .map(
                        |skipped| json!({ "file": skipped.file, "reason": chain(&skipped.reason) }),
                    )
                    .collect();
                json!({
                    "subdir": subdir.name, "packages": subdir.packages,
                    "changed": subdir.changed, "skipped": skipped,
                })
            })
            .collect();
        return format!("{:#}\n", json!({ "subdirs": subdirs }));
    }
    if arguments.quiet {
        return String::new();
    }
    let line = |subdir: &channel::Subdir| {
        let changed = if subdir.changed {
            "written"
        } else {
            "unchanged"
        };
        format!("{}: {} packages, {changed}\n", subdir.name, subdir.packages)
    };
    report.subdirs.iter().map(line).collect()
}

/// An error with the causes below it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.extend([": ", &error.to_string()]);
        next = error.source();
    }
    text
}
