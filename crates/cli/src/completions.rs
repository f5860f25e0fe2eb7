//! `archiconda completions`: what makes a shell complete commands and options.

use clap::CommandFactory as _;

use crate::arguments::{Archiconda, BuildInstaller, Completions, Executable};
use crate::exit::{Exit, Failure};
use crate::say;

/// Runs the command.
pub(crate) fn run(arguments: &Completions) -> Result<Exit, Failure> {
    let mut command = match arguments.executable {
        Executable::Archiconda => Archiconda::command(),
        Executable::BuildInstaller => BuildInstaller::command(),
    };
    let name = command.get_name().to_owned();
    // The generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    say::verbatim(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
