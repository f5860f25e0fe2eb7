//! Exit codes, and how an error is told.

use std::process::ExitCode;

use crate::say;

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

    /// With what was being done.
    pub(crate) fn context(self, doing: &'static str) -> Failure {
        Failure {
            exit: self.exit,
            error: self.error.context(doing),
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

impl From<channel::Error> for Failure {
    fn from(error: channel::Error) -> Failure {
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
        let exit = first(&[
            (error.is_integrity(), Exit::Integrity),
            (error.is_usage(), Exit::Usage),
        ]);
        Failure::new(exit, error)
    }
}

/// Tells the error, the causes below it, and turns both into an exit code.
pub(crate) fn finish(result: Result<Exit, Failure>) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let mut text = format!("error: {}\n", failure.error);
            for cause in failure.error.chain().skip(1) {
                let lines = cause.to_string().replace('\n', "\n    ");
                text.extend(["  caused by: ", &lines, "\n"]);
            }
            say::aside(&text);
            failure.exit.into()
        }
    }
}
