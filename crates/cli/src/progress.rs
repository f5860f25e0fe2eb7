//! Turns the events of a build into bars on a terminal, or into few lines elsewhere. Everything
//! goes to standard error; standard output is the result's.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use installer::{Event, Stage};

use crate::say::printable;

/// What a person sees while a build runs.
pub(crate) struct Progress {
    quiet: bool,
    terminal: bool,
    colour: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bar: Option<ProgressBar>,
    /// How far each running download is, in bytes.
    positions: HashMap<String, u64>,
}

impl Progress {
    /// Bars only on a terminal that can move about (editors and logs say `TERM=dumb`), colours only where `NO_COLOR` does
    /// not forbid them (<https://no-color.org>).
    pub(crate) fn new(quiet: bool) -> Progress {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = std::io::stderr().is_terminal() && !is_dumb;
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Progress {
            quiet,
            terminal,
            colour: terminal && !plain,
            state: Mutex::default(),
        }
    }

    /// Says one line that the user should know.
    pub(crate) fn warn(&self, text: &str) {
        let label = if self.colour {
            "\x1b[33mwarning\x1b[0m"
        } else {
            "warning"
        };
        self.line(&format!("{label}: {}", printable(text)));
    }

    /// Shows one event.
    pub(crate) fn show(&self, event: &Event<'_>) {
        match event {
            Event::Stage(stage) => self.stage(*stage),
            Event::Fetch(event) => self.fetch(event),
            Event::Scanning { packages } => self.with_bar(|bar| bar.set_length(*packages as u64)),
            Event::Scanned { package, .. } => self.one(package),
            Event::Packing { total } => self.with_bar(|bar| bar.set_length(*total)),
            Event::Packed { bytes } => self.with_bar(|bar| bar.inc(*bytes)),
            Event::Wrote(path) => self.note(&format!("wrote {}", path.display())),
            Event::Warning(warning) => self.warn(&warning.to_string()),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.with_state(|state| {
            if let Some(bar) = state.bar.take() {
                bar.finish_and_clear();
            }
        });
    }

    fn stage(&self, stage: Stage) {
        let (verb, style) = match stage {
            Stage::Resolve => ("resolve", "{prefix:>8} {spinner} {msg}"),
            Stage::Fetch => (
                "fetch",
                "{prefix:>8} [{bar:24}] {bytes}/{total_bytes} {binary_bytes_per_sec} {wide_msg}",
            ),
            Stage::Scan => ("read", "{prefix:>8} [{bar:24}] {pos}/{len} {wide_msg}"),
            Stage::Pack => ("pack", "{prefix:>8} [{bar:24}] {bytes}/{total_bytes}"),
        };
        self.start(verb, style, 0);
    }

    /// Says what is done now, where its length is not known.
    pub(crate) fn doing(&self, text: &str) {
        if self.terminal {
            self.start("", "{spinner} {wide_msg}", 0);
            self.message(text);
        } else {
            self.note(text);
        }
    }

    /// Changes the words beside the bar.
    pub(crate) fn message(&self, text: &str) {
        self.with_bar(|bar| bar.set_message(printable(text).into_owned()));
    }

    /// Starts a bar that counts to `length`.
    pub(crate) fn count(&self, verb: &'static str, length: usize) {
        self.start(
            verb,
            "{prefix:>8} [{bar:24}] {pos}/{len} {wide_msg}",
            length as u64,
        );
    }

    /// Starts a bar that counts bytes.
    pub(crate) fn bytes(&self, verb: &'static str, length: u64) {
        self.start(
            verb,
            "{prefix:>8} [{bar:24}] {bytes}/{total_bytes} {binary_bytes_per_sec} {wide_msg}",
            length,
        );
    }

    /// Moves a bar that counts bytes.
    pub(crate) fn more(&self, bytes: u64) {
        self.with_bar(|bar| bar.inc(bytes));
    }

    /// Moves the bar by one; `name` is what was done.
    pub(crate) fn one(&self, name: &str) {
        self.with_bar(|bar| {
            bar.inc(1);
            bar.set_message(printable(name).into_owned());
        });
    }

    fn start(&self, verb: &'static str, style: &str, length: u64) {
        self.finish();
        if !self.terminal || self.quiet {
            return;
        }
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(verb);
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        self.with_state(|state| {
            state.bar = Some(bar);
            state.positions.clear();
        });
    }

    /// Shows what is fetched.
    pub(crate) fn fetch(&self, event: &fetch::Event<'_>) {
        use fetch::Event as Fetch;
        match event {
            Fetch::SubdirStarted { channel, subdir } => {
                self.message(&format!("{channel}{subdir}"));
            }
            Fetch::PackageStarted {
                file_name, size, ..
            } => self.with_bar(|bar| {
                bar.inc_length(size.unwrap_or(0));
                bar.set_message(printable(file_name).into_owned());
            }),
            Fetch::PackageBytes {
                file_name,
                position,
            } => self.with_state(|state| {
                let before = state.positions.insert((*file_name).to_owned(), *position);
                if let Some(bar) = &state.bar {
                    let moved = bar.position().saturating_sub(before.unwrap_or(0)) + position;
                    bar.set_position(moved);
                }
            }),
            Fetch::RepodataBytes { url, bytes: 0 } => self.message(url),
            Fetch::RepodataBytes { .. } | Fetch::SubdirDone { .. } | Fetch::PackageDone { .. } => {}
            Fetch::Retry { url, reason, wait } => {
                self.note(&format!(
                    "{url}: {reason}; again in {:.1} s",
                    wait.as_secs_f64()
                ));
            }
            Fetch::Warning { message } => self.warn(message),
        }
    }

    /// A line that is not a warning.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.line(&printable(text));
        }
    }

    fn line(&self, text: &str) {
        let bar = self.with_state(|state| state.bar.clone());
        let print = || {
            // Nobody is left to tell if standard error is closed.
            let _ = writeln!(std::io::stderr(), "{text}");
        };
        match bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn with_bar(&self, change: impl FnOnce(&ProgressBar)) {
        self.with_state(|state| {
            if let Some(bar) = &state.bar {
                change(bar);
            }
        });
    }

    fn with_state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Bytes for people.
#[expect(
    clippy::cast_precision_loss,
    reason = "a figure with one decimal for people"
)]
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
