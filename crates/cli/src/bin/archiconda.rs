//! `archiconda`: all commands in one executable.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::archiconda()
}
