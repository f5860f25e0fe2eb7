//! Programs that are run on the way. Every failure names the command and holds what it said.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

use crate::Error;

/// A program, and how to get it where it is absent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    /// Its name, looked up in `PATH`.
    pub(crate) name: &'static str,
    /// What to do where it is absent, such as ``apt install patchelf``.
    pub(crate) hint: &'static str,
}

/// Debian's package tool.
pub(crate) const APT_GET: Program = Program {
    name: "apt-get",
    hint: "use a machine with Debian or Ubuntu, or give a folder of .deb files with --debs",
};

/// A Python with pip, of any version.
pub(crate) const PYTHON: Program = Program {
    name: "python3",
    hint: "apt install python3-pip",
};

impl Program {
    /// A command without arguments, with neither input nor a language of the user's.
    pub(crate) fn command(self) -> Command {
        let mut command = Command::new(self.name);
        command.env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    /// Runs a command of this program to its end and returns what it printed.
    pub(crate) fn run(self, command: &mut Command) -> Result<Vec<u8>, Error> {
        run(command, self.hint)
    }
}

/// Runs a command to its end and returns what it printed. `hint` says how to get the program.
pub(crate) fn run(command: &mut Command, hint: &str) -> Result<Vec<u8>, Error> {
    let output = command.output().map_err(|source| {
        let program = command.get_program().to_string_lossy().into_owned();
        if source.kind() == std::io::ErrorKind::NotFound {
            Error::NoProgram {
                program,
                hint: hint.to_owned(),
            }
        } else {
            Error::Start { program, source }
        }
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Error::Program {
        command: line(command),
        status: output.status.to_string(),
        said: said(&output),
    })
}

/// The command as a user would type it.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

/// The end of what it said: enough to see why, not enough to drown it.
fn said(output: &Output) -> String {
    const LINES: usize = 20;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let text = if stderr.trim().is_empty() {
        String::from_utf8_lossy(&output.stdout)
    } else {
        stderr
    };
    let lines: Vec<&str> = text.trim().lines().collect();
    let start = lines.len().saturating_sub(LINES);
    lines.get(start..).unwrap_or_default().join("\n")
}
