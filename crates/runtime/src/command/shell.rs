//! Shell initialisation: the installed conda does it, as it would for the user.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::plan::{Initialize, Plan};
use crate::process;

/// Why the shell was not initialised.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot run `{program}`")]
    Start {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{command}` failed: {status}")]
    Failed { command: String, status: ExitStatus },
}

/// Runs `conda init` of the finished prefix. `shell` is the value of `SHELL`.
pub(super) fn initialize(prefix: &Path, plan: &Plan, shell: Option<&str>) -> Result<(), Error> {
    let Some(arguments) = arguments(plan.dialogue.initialize, shell) else {
        return Ok(());
    };
    let python = plan
        .python
        .as_ref()
        .map_or("bin/python", |python| &python.executable);
    let program = prefix.join(python);
    let mut command = Command::new(&program);
    // `python -m` looks for modules where it is started, which may be anybody's folder.
    process::in_prefix(&mut command, prefix)
        .env("PYTHONNOUSERSITE", "1")
        .args(&arguments);
    let status = command.status().map_err(|source| Error::Start {
        program: program.clone(),
        source,
    })?;
    if status.success() {
        return Ok(());
    }
    let command = format!("{} {}", program.display(), arguments.join(" "));
    Err(Error::Failed { command, status })
}

/// constructor runs the same, with `zsh` where that is the user's shell.
fn arguments(initialize: Initialize, shell: Option<&str>) -> Option<Vec<&'static str>> {
    let zsh = shell.is_some_and(|shell| shell.ends_with("zsh"));
    match initialize {
        Initialize::No => None,
        Initialize::Classic if zsh => Some(vec!["-m", "conda", "init", "zsh"]),
        Initialize::Classic => Some(vec!["-m", "conda", "init"]),
        Initialize::Condabin => Some(vec!["-m", "conda", "init", "--condabin"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conda_is_asked_for_what_the_user_wants() {
        let check = |initialize, shell, expected: Option<&str>| {
            let arguments = arguments(initialize, shell).map(|arguments| arguments.join(" "));
            assert_eq!(arguments.as_deref(), expected);
        };
        check(Initialize::No, Some("/bin/zsh"), None);
        check(
            Initialize::Classic,
            Some("/bin/bash"),
            Some("-m conda init"),
        );
        check(
            Initialize::Classic,
            Some("/usr/bin/zsh"),
            Some("-m conda init zsh"),
        );
        check(Initialize::Classic, None, Some("-m conda init"));
        check(
            Initialize::Condabin,
            Some("/bin/zsh"),
            Some("-m conda init --condabin"),
        );
    }
}
