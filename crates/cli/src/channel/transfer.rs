//! `archiconda channel export` and `import`: a channel in one file.

use ::channel::transfer::{self, Event, Report};
use serde_json::json;

use super::print;
use crate::arguments::channel::{Export, Import};
use crate::exit::{Exit, Failure};
use crate::progress::{Progress, megabytes};

pub(super) fn export(arguments: &Export) -> Result<Exit, Failure> {
    let progress = Progress::new(arguments.telling.quiet);
    let since = arguments.since.as_deref();
    let done = transfer::export(&arguments.channel, &arguments.file, since, &|event| {
        show(&progress, "export", event);
    });
    progress.finish();
    tell(done?, arguments.telling.json, "carried")
}

pub(super) fn import(arguments: &Import) -> Result<Exit, Failure> {
    let progress = Progress::new(arguments.telling.quiet);
    let report = |event: Event<'_>| show(&progress, "import", event);
    let done = transfer::import(&arguments.file, &arguments.channel, arguments.wait, &report);
    progress.finish();
    tell(done?, arguments.telling.json, "taken over")
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

fn tell(done: Report, is_json: bool, verb: &str) -> Result<Exit, Failure> {
    let text = if is_json {
        let value = json!({
            "files": done.files, "carried": done.carried, "bytes": done.bytes, "removed": done.removed,
        });
        format!("{value:#}\n")
    } else {
        format!(
            "{} of {} files {verb}, {:.1} MB; {} removed\n",
            done.carried,
            done.files,
            megabytes(done.bytes),
            done.removed
        )
    };
    print(&text)?;
    Ok(Exit::Done)
}
