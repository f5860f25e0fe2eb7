//! Why an installer's command line could not be carried out, and the exit status for it.

use std::io;
use std::path::PathBuf;

use super::{arguments, check, dialogue, host, prefix, shell};

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("this program is a part of an installer: run the installer, `sh FILE`")]
    NotInInstaller,
    #[error(transparent)]
    Usage(#[from] arguments::Error),
    #[error("cannot open `{installer}`")]
    Open {
        installer: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{installer}` cannot be used, nothing was installed: download it again")]
    Installer {
        installer: PathBuf,
        #[source]
        source: archive::payload::Error,
    },
    #[error(
        "this installer has format {found}, which the program in it ({version}) does not know: \
         it was put together by a newer version of the tools, and needs a program of that version"
    )]
    Newer { found: u32, version: &'static str },
    #[error(
        "this installer needs `{field}`, which the program in it ({version}) does not know: \
         it was made by a newer version of the tools, and needs a program of that version"
    )]
    Unsupported {
        field: &'static str,
        version: &'static str,
    },
    #[error(transparent)]
    Check(#[from] check::Error),
    #[error(transparent)]
    Host(#[from] host::Error),
    #[error(transparent)]
    Prefix(#[from] prefix::Error),
    #[error(transparent)]
    Dialogue(#[from] dialogue::Error),
    #[error("cannot catch signals")]
    Signals(#[source] io::Error),
    #[error("the installation was interrupted, nothing was changed")]
    Interrupted,
    #[error(transparent)]
    Install(crate::Error),
    #[error("the installation in `{prefix}` is complete, but the shell could not be initialized")]
    Shell {
        prefix: PathBuf,
        #[source]
        source: shell::Error,
    },
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Error {
        match error {
            crate::Error::Cancelled => Error::Interrupted,
            error => Error::Install(error),
        }
    }
}

impl Error {
    /// 2 for wrong usage, for a machine of another kind, and for the user's refusal; otherwise 1.
    pub(super) fn status(&self) -> u8 {
        let refused = match self {
            Error::NotInInstaller | Error::Usage(_) => true,
            Error::Host(error) => error.is_other_platform(),
            Error::Dialogue(error) => {
                matches!(error, dialogue::Error::License | dialogue::Error::NoAnswer)
            }
            _ => false,
        };
        if refused { 2 } else { 1 }
    }
}

/// An error and its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("error: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
