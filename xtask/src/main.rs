//! The project's own chores, as `cargo xtask COMMAND`. This file only reads arguments; each
//! command is a module. Nothing here is part of what users get.

mod apt;
mod bench;
mod demo;
mod elf;
mod fuzz;
mod machine;
mod oracles;
mod place;
mod process;
mod python;
mod runtime;
mod test;
mod toolchain;
mod tools;
mod userland;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Chores of the Archiconda build tools")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build the tools and the bootstrap channel, make installers, install them and run Python
    Demo(demo::Options),
    /// Make the static executables that go into installers
    Runtime(runtime::Options),
    /// Set the machine up for the tests: as root through apt, otherwise say what is missing
    Machine,
    /// Set the machine up, build what the tests run, and run all tests
    Test(test::Options),
    /// Measure our tools beside their peers
    Bench(bench::Options),
    /// Look for inputs that the readers of packages and hotfixes do not stand
    Fuzz(fuzz::Options),
    /// Run a command and print what it took
    #[command(hide = true)]
    Measure(bench::Measure),
    /// Read packages once, as the least that a builder has to do
    #[command(hide = true)]
    ReadPackages(bench::ReadPackages),
    /// Take packages out of repodata, as a program does that has a tree for everything
    #[command(hide = true)]
    FilterRepodata(bench::FilterRepodata),
}

fn main() -> ExitCode {
    let chore = Arguments::parse().chore;
    // These are measured themselves: nothing else may run before them.
    let done = match &chore {
        Chore::Measure(options) => bench::measure(options),
        Chore::ReadPackages(options) => bench::read_packages(options),
        Chore::FilterRepodata(options) => bench::filter_repodata(options),
        _ => place::Workspace::find().and_then(|workspace| run(&workspace, &chore)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            process::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(workspace: &place::Workspace, chore: &Chore) -> anyhow::Result<()> {
    match chore {
        Chore::Demo(options) => demo::run(workspace, options),
        Chore::Runtime(options) => runtime::make(workspace, options),
        Chore::Machine => machine::prepare(),
        Chore::Test(options) => test::run(workspace, options),
        Chore::Bench(options) => bench::run(workspace, options),
        Chore::Fuzz(options) => fuzz::run(workspace, options),
        Chore::Measure(_) | Chore::ReadPackages(_) | Chore::FilterRepodata(_) => Ok(()),
    }
}
