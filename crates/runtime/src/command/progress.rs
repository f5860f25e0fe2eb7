//! Events as text: one line that is written over on a terminal, a few plain lines elsewhere.
//! No colours, so `NO_COLOR` has nothing to switch off.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::host::size;
use crate::Event;

/// Shows events. Warnings go to `errors`, all else to `output`.
pub(super) struct Progress<'a> {
    state: Mutex<State<'a>>,
    terminal: bool,
}

struct State<'a> {
    output: &'a mut (dyn Write + Send),
    errors: &'a mut (dyn Write + Send),
    bytes: (u64, u64),
    packages: (usize, usize),
    shown: Option<Instant>,
    /// Characters that stand in the line which is written over.
    width: usize,
}

/// A terminal need not be told more often.
const INTERVAL: Duration = Duration::from_millis(100);

impl<'a> Progress<'a> {
    /// `terminal`: whether `output` is one.
    pub(super) fn new(
        output: &'a mut (dyn Write + Send),
        errors: &'a mut (dyn Write + Send),
        terminal: bool,
    ) -> Progress<'a> {
        let state = State {
            output,
            errors,
            bytes: (0, 0),
            packages: (0, 0),
            shown: None,
            width: 0,
        };
        Progress {
            state: Mutex::new(state),
            terminal,
        }
    }

    /// Takes an event; from any thread.
    pub(super) fn report(&self, event: Event<'_>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Recovered { prefix } => {
                state.line(&format!(
                    "An interrupted installation into {} was undone.",
                    prefix.display()
                ));
            }
            Event::Kept { prefix } => {
                state.line(&format!(
                    "What an interrupted installation left in {} stays: it was used since.",
                    prefix.display()
                ));
            }
            Event::Started { packages, bytes } => {
                state.packages = (0, packages);
                state.bytes = (0, bytes);
                state.line(&format!("Installing {packages} packages, {}.", size(bytes)));
            }
            Event::Decoded { bytes } => {
                state.bytes.0 = state.bytes.0.saturating_add(bytes);
                self.update(&mut state);
            }
            Event::Package { .. } => {
                state.packages.0 += 1;
                self.update(&mut state);
            }
            Event::Compiling { files } => {
                state.line(&format!("Compiling {files} Python files."));
            }
            Event::NotCompiled { reason } => {
                state.warning(&format!(
                    "warning: Python files were not compiled: {}",
                    reason.trim_end()
                ));
            }
            Event::Script { script } => state.line(&format!("Running the {script}.")),
            Event::Message { package, text } => {
                state.line(&format!("\nMessage of {package}:\n{}\n", text.trim_end()));
            }
            Event::ScriptOutput { script, text } => {
                state.warning(&format!("output of the {script}:\n{}", text.trim_end()));
            }
            Event::Undoing => state.warning("Undoing what was done so far."),
        }
    }

    fn update(&self, state: &mut State<'_>) {
        let recent = state.shown.is_some_and(|shown| shown.elapsed() < INTERVAL);
        if !self.terminal || recent {
            return;
        }
        state.shown = Some(Instant::now());
        let ((bytes, all_bytes), (packages, all_packages)) = (state.bytes, state.packages);
        let text = format!(
            "{} of {}, {packages} of {all_packages} packages",
            size(bytes.min(all_bytes)),
            size(all_bytes)
        );
        let _ = write!(state.output, "\r{text:<width$}", width = state.width);
        let _ = state.output.flush();
        state.width = text.len();
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.state
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl State<'_> {
    fn clear(&mut self) {
        if self.width > 0 {
            let _ = write!(self.output, "\r{:width$}\r", "", width = self.width);
            let _ = self.output.flush();
            self.width = 0;
        }
    }

    fn line(&mut self, text: &str) {
        self.clear();
        let _ = writeln!(self.output, "{text}").and_then(|()| self.output.flush());
    }

    fn warning(&mut self, text: &str) {
        self.clear();
        let _ = writeln!(self.errors, "{text}").and_then(|()| self.errors.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(terminal: bool, events: &[Event<'_>]) -> (String, String) {
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let progress = Progress::new(&mut output, &mut errors, terminal);
        for event in events {
            progress.report(*event);
        }
        drop(progress);
        (
            String::from_utf8(output).unwrap(),
            String::from_utf8(errors).unwrap(),
        )
    }

    const EVENTS: &[Event<'_>] = &[
        Event::Started {
            packages: 2,
            bytes: 2000,
        },
        Event::Decoded { bytes: 1500 },
        Event::Package { dist: "a-1-0" },
        Event::Script {
            script: "post_install script",
        },
        Event::NotCompiled {
            reason: "no reason\n",
        },
    ];

    #[test]
    fn a_log_gets_a_few_plain_lines() {
        let (output, errors) = shown(false, EVENTS);
        assert_eq!(
            output,
            "Installing 2 packages, 2.0 kB.\nRunning the post_install script.\n"
        );
        assert_eq!(
            errors,
            "warning: Python files were not compiled: no reason\n"
        );
    }

    #[test]
    fn a_terminal_gets_a_line_that_disappears() {
        let (output, _) = shown(true, EVENTS);
        assert!(
            output.contains("\r1.5 kB of 2.0 kB, 0 of 2 packages"),
            "{output:?}"
        );
        assert!(
            output.contains(" \rRunning the post_install script.\n"),
            "{output:?}"
        );
        let (output, _) = shown(true, &EVENTS[..2]);
        assert!(output.ends_with(" \r"), "{output:?}");
    }
}
