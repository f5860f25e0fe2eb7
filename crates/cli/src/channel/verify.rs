//! `archiconda channel verify`: whether a channel is what it says.

use std::fmt::Write as _;
use std::path::Path;

use ::channel::verify::{self, Event, Options, Repair, Report};
use serde_json::{Value, json};

use crate::arguments::channel::Verify;
use crate::exit::{Exit, Failure};
use crate::network;
use crate::progress::{Progress, megabytes};
use crate::say;

pub(super) fn run(arguments: &Verify) -> Result<Exit, Failure> {
    let progress = Progress::new(arguments.telling.quiet);
    let client = if arguments.repair {
        Some(network::client(&arguments.network)?.0)
    } else {
        None
    };
    let from = match (&client, &arguments.from) {
        (Some(client), Some(text)) => {
            let channel = client.channel(text, Path::new("."))?;
            Some(channel.base_url.url().clone().into())
        }
        _ => None,
    };
    let options = Options {
        subdirs: arguments.subdir.iter().map(ToString::to_string).collect(),
        repair: client.as_ref().map(|client| Repair { client, from }),
    };
    let found = verify::verify(&arguments.channel, &options, &|event| match event {
        Event::Comparing { subdir } => progress.message(subdir),
        Event::Reading { bytes } => progress.bytes("verify", bytes),
        Event::Read { bytes } => progress.more(bytes),
        Event::Fetch(event) => progress.fetch(&event),
    });
    progress.finish();
    let found = found?;
    if arguments.telling.json {
        say::json(&as_json(&found))?;
    } else {
        say::result(&describe(&found, arguments.telling.quiet))?;
    }
    Ok(match found.failures() {
        0 => Exit::Done,
        _ => Exit::Integrity,
    })
}

fn describe(found: &Report, only_problems: bool) -> String {
    let mut text = String::new();
    for problem in &found.problems {
        let state = if problem.is_repaired {
            ": repaired"
        } else {
            ""
        };
        // Writing to a String does not fail.
        let _ = writeln!(text, "{} {}{state}", problem.path, problem.fault);
    }
    if only_problems {
        return text;
    }
    for subdir in &found.subdirs {
        let _ = write!(
            text,
            "{}: {} of {} packages are here, {:.1} MB",
            subdir.name,
            subdir.packages,
            subdir.records,
            megabytes(subdir.bytes)
        );
        if subdir.unnamed > 0 {
            let _ = write!(
                text,
                "; {} more that the index does not have",
                subdir.unnamed
            );
        }
        text.push('\n');
    }
    let _ = match (found.problems.len(), found.failures()) {
        (0, _) => writeln!(text, "all is sound"),
        (problems, 0) => writeln!(text, "{problems} repaired"),
        (problems, left) => writeln!(text, "{left} of {problems} problems are left"),
    };
    text
}

fn as_json(found: &Report) -> Value {
    let subdirs: Vec<_> = found
        .subdirs
        .iter()
        .map(|subdir| {
            json!({
                "subdir": subdir.name, "records": subdir.records, "packages": subdir.packages,
                "bytes": subdir.bytes, "unnamed": subdir.unnamed,
            })
        })
        .collect();
    let problems: Vec<_> = found
        .problems
        .iter()
        .map(|problem| {
            json!({
                "path": problem.path, "problem": problem.fault.word(),
                "reason": problem.fault.to_string(), "repaired": problem.is_repaired,
            })
        })
        .collect();
    json!({ "subdirs": subdirs, "problems": problems, "failures": found.failures() })
}
