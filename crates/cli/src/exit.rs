//! Exit codes, and how results and errors are told.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;

/// What a shell learns (design: "Exit codes").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Something failed.
    Failed = 1,
    /// The user asked for something that cannot be asked for.
    Usage = 2,
    /// No set of packages satisfies the specs.
    NoSolution = 3,
    /// Bytes are not those that were promised.
    Integrity = 4,
}

/// An error of a command, and the code that it ends with.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) error: anyhow::Error,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Failure {
        Failure {
            exit,
            error: error.into(),
        }
    }
}

/// The exit code of the first kind that an error says to be of.
fn first(kinds: &[(bool, Exit)]) -> Exit {
    let found = kinds.iter().find(|(is_of_kind, _)| *is_of_kind);
    found.map_or(Exit::Failed, |(_, exit)| *exit)
}

impl From<installer::Error> for Failure {
    fn from(error: installer::Error) -> Failure {
        let exit = first(&[
            (error.is_integrity(), Exit::Integrity),
            (error.is_unsolvable(), Exit::NoSolution),
            (error.is_usage(), Exit::Usage),
        ]);
        Failure::new(exit, error)
    }
}

impl From<image::Error> for Failure {
    fn from(error: image::Error) -> Failure {
        let exit = first(&[
            (error.is_integrity(), Exit::Integrity),
            (error.is_unsolvable(), Exit::NoSolution),
            (error.is_usage(), Exit::Usage),
        ]);
        Failure::new(exit, error)
    }
}

impl From<repack::Error> for Failure {
    fn from(error: repack::Error) -> Failure {
        let exit = first(&[
            (error.is_integrity(), Exit::Integrity),
            (error.is_usage(), Exit::Usage),
        ]);
        Failure::new(exit, error)
    }
}

impl From<serve::Error> for Failure {
    fn from(error: serve::Error) -> Failure {
        Failure::new(first(&[(error.is_usage(), Exit::Usage)]), error)
    }
}

impl From<channel::meta::Error> for Failure {
    fn from(error: channel::meta::Error) -> Failure {
        let exit = first(&[
            (error.is_integrity(), Exit::Integrity),
            (error.is_usage(), Exit::Usage),
        ]);
        Failure::new(exit, error)
    }
}

impl From<channel::verify::Error> for Failure {
    fn from(error: channel::verify::Error) -> Failure {
        let exit = first(&[
            (error.is_integrity(), Exit::Integrity),
            (error.is_usage(), Exit::Usage),
        ]);
        Failure::new(exit, error)
    }
}

impl From<channel::transfer::Error> for Failure {
    fn from(error: channel::transfer::Error) -> Failure {
        let exit = first(&[
            (error.is_integrity(), Exit::Integrity),
            (error.is_usage(), Exit::Usage),
        ]);
        Failure::new(exit, error)
    }
}

impl From<fetch::Error> for Failure {
    fn from(error: fetch::Error) -> Failure {
        Failure::new(first(&[(error.is_integrity(), Exit::Integrity)]), error)
    }
}

/// Tells the result.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout();
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .context("cannot write the result")
        .map_err(|error| Failure::new(Exit::Failed, error))
}

/// Tells the error, the causes below it, and turns both into an exit code.
pub(crate) fn finish(result: Result<Exit, Failure>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let mut text = format!("error: {}\n", printable(&failure.error.to_string()));
            for cause in failure.error.chain().skip(1) {
                let lines = printable(&cause.to_string()).replace('\n', "\n    ");
                text.extend(["  caused by: ", &lines, "\n"]);
            }
            // Nobody is left to tell if standard error is closed.
            let _ = std::io::stderr().write_all(text.as_bytes());
            failure.exit.into()
        }
    }
}

/// Names out of hostile packages and answers must not steer the terminal.
fn printable(text: &str) -> String {
    let shown = |letter: char| {
        let harmless = !letter.is_control() || letter == '\n';
        let escaped = (!harmless).then(|| letter.escape_default());
        harmless
            .then_some(letter)
            .into_iter()
            .chain(escaped.into_iter().flatten())
    };
    text.chars().flat_map(shown).collect()
}
