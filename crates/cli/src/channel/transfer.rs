//! `archiconda channel export` and `import`: a channel in one file.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use ::channel::transfer::{self, Event, Report};
use anyhow::anyhow;
use serde_json::json;

use crate::arguments::Telling;
use crate::arguments::channel::{Export, Import};
use crate::exit::{Exit, Failure};
use crate::progress::{Progress, megabytes};
use crate::say;

/// What stands for standard output and input in the place of a file.
const STREAM: &str = "-";

pub(super) fn export(arguments: &Export) -> Result<Exit, Failure> {
    let (channel, file) = (&arguments.channel, &arguments.file);
    let since = arguments.since.as_deref();
    let is_stream = file == Path::new(STREAM);
    if is_stream && io::stdout().is_terminal() {
        let error = anyhow!("an export is no text for a terminal: write it to a file or a pipe");
        return Err(Failure::new(Exit::Usage, error));
    }
    let progress = Progress::new(arguments.telling.quiet);
    let report = |event: Event<'_>| show(&progress, "export", event);
    let done = if is_stream {
        let out = (io::stdout(), Path::new("standard output"));
        transfer::export_into(channel, out, since, &report)
    } else {
        transfer::export(channel, file, since, &report)
    };
    progress.finish();
    let text = tell(&done?, &arguments.telling, "carried");
    if is_stream || file == Path::new("/dev/stdout") {
        // Nothing may follow the bytes.
        say::aside(&text);
    } else {
        say::verbatim(&text)?;
    }
    Ok(Exit::Done)
}

pub(super) fn import(arguments: &Import) -> Result<Exit, Failure> {
    let file = if arguments.file == Path::new(STREAM) {
        Path::new("/dev/stdin")
    } else {
        &arguments.file
    };
    let progress = Progress::new(arguments.telling.quiet);
    let report = |event: Event<'_>| show(&progress, "import", event);
    let done = transfer::import(file, &arguments.channel, arguments.wait, &report);
    progress.finish();
    say::verbatim(&tell(&done?, &arguments.telling, "taken over"))?;
    Ok(Exit::Done)
}

fn show(progress: &Progress, verb: &'static str, event: Event<'_>) {
    match event {
        Event::Total { bytes } => progress.bytes(verb, bytes),
        Event::Copied { path, bytes } => {
            progress.message(path);
            progress.more(bytes);
        }
        Event::Waiting { owner } => {
            progress.note(&format!("waiting: the channel is being written by {owner}"));
        }
    }
}

fn tell(done: &Report, telling: &Telling, verb: &str) -> String {
    if telling.json {
        let value = json!({
            "files": done.files, "carried": done.carried, "bytes": done.bytes, "removed": done.removed,
        });
        format!("{value:#}\n")
    } else if telling.quiet {
        String::new()
    } else {
        format!(
            "{} of {} files {verb}, {:.1} MB; {} removed\n",
            done.carried,
            done.files,
            megabytes(done.bytes),
            done.removed
        )
    }
}
