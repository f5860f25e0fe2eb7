//! `build-installer SPEC`: the same as `archiconda installer SPEC`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::build_installer()
}
