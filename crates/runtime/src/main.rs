//! The executable inside every installer. All that it does is [`runtime::command`]'s; here is only
//! what a process has and a library does not: arguments, standard streams and the exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(runtime::command::run(std::env::args_os()))
}
