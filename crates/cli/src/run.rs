//! From the process's arguments to its exit code.

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Archiconda, BuildInstaller, Command};
use crate::exit::{self, Exit};
use crate::{channel, image, index, installer, repack, serve};

/// The `archiconda` executable.
pub fn archiconda() -> ExitCode {
    match parse::<Archiconda>() {
        Ok(Archiconda {
            command: Command::Installer(arguments),
        }) => exit::finish(installer::run(&arguments)),
        Ok(Archiconda {
            command: Command::Index(arguments),
        }) => exit::finish(index::run(&arguments)),
        Ok(Archiconda {
            command: Command::Channel(arguments),
        }) => exit::finish(channel::run(&arguments)),
        Ok(Archiconda {
            command: Command::Image(arguments),
        }) => exit::finish(image::run(&arguments)),
        Ok(Archiconda {
            command: Command::Repack(arguments),
        }) => exit::finish(repack::run(&arguments)),
        Ok(Archiconda {
            command: Command::Serve(arguments),
        }) => exit::finish(serve::run(&arguments)),
        Err(code) => code,
    }
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
