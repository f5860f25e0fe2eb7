//! From the process's arguments to its exit code.

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Archiconda, BuildInstaller, Command};
use crate::exit::{self, Exit};
use crate::{channel, completions, image, index, installer, repack, serve};

/// The `archiconda` executable.
pub fn archiconda() -> ExitCode {
    let command = match parse::<Archiconda>() {
        Ok(Archiconda { command }) => command,
        Err(code) => return code,
    };
    exit::finish(match command {
        Command::Installer(arguments) => installer::run(&arguments),
        Command::Index(arguments) => index::run(&arguments),
        Command::Channel(arguments) => channel::run(&arguments),
        Command::Image(arguments) => image::run(&arguments),
        Command::Repack(arguments) => repack::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
    })
}

/// The `build-installer` executable.
pub fn build_installer() -> ExitCode {
    match parse::<BuildInstaller>() {
        Ok(BuildInstaller { arguments }) => exit::finish(installer::run(&arguments)),
        Err(code) => code,
    }
}

/// Help and version go to standard output with exit code 0, mistakes to standard error with 2.
fn parse<T: Parser>() -> Result<T, ExitCode> {
    T::try_parse().map_err(|error| {
        // Nobody is left to tell if the terminal is gone.
        let _ = error.print();
        if error.use_stderr() {
            Exit::Usage.into()
        } else {
            ExitCode::SUCCESS
        }
    })
}
