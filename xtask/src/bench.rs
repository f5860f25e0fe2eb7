//! `cargo xtask bench`: measures our tools beside their peers, on inputs that are generated, and
//! compares with the marks that the project has set itself. A bench is a module with a function
//! from [`Bench`] to [`Outcome`], and a row of [`BENCHES`].

mod build;
mod engine;
mod facts;
mod image;
mod index;
mod input;
mod install;
mod measure;
mod memory;
mod meta;
mod report;
mod serve;
#[cfg(test)]
mod tests;
mod tools;
mod worth;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use fs_err as fs;
use serde_json::json;

use crate::place::{self, Workspace};
use crate::process;
use facts::Facts;
use report::Outcome;
use tools::Tools;

/// What to measure.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench                    everything, and rewrite docs/benchmarks.md
  cargo xtask bench install --runs 15  one bench and its variants, install-skewed
  cargo xtask bench index              all that concerns the indexer: half an hour, 12 GB of memory
  cargo xtask bench index --skip index-million   the same without its largest
  cargo xtask bench --quick            small inputs, few runs, no page: that everything still runs")]
pub(crate) struct Options {
    /// Which benches, each with those whose name it begins [default: all]
    #[arg(value_name = "NAME", value_parser = BENCHES.map(|(name, _)| name))]
    names: Vec<String>,
    /// Leave this one out, and those whose name it begins
    #[arg(long, value_name = "NAME", value_parser = BENCHES.map(|(name, _)| name))]
    skip: Vec<String>,
    /// Inputs of a tenth of the size and two runs; docs/benchmarks.md stays as it is
    #[arg(long)]
    quick: bool,
    /// How often each command runs [default: 7, or 2 with --quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: Option<u32>,
    /// The cargo profile of the builder
    #[arg(long, value_name = "NAME", default_value = "release")]
    profile: String,
    /// Use the tools as they are in `target`, without building them
    #[arg(long)]
    no_build: bool,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    /// Work in this folder and leave everything there
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// A command to run and measure, for the bench itself.
#[derive(clap::Args)]
pub(crate) struct Measure {
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// What every bench gets.
struct Bench<'a> {
    tools: &'a Tools,
    /// A folder of its own.
    folder: PathBuf,
    quick: bool,
    runs: usize,
}

/// Makes inputs, measures, and compares with the marks.
type Function = fn(&Bench<'_>) -> Result<Outcome>;

/// All benches, in the order in which they run.
const BENCHES: [(&str, Function); 16] = [
    ("install", install::even),
    ("install-skewed", install::skewed),
    ("memory", memory::run),
    ("build", build::run),
    ("index", index::cold),
    ("index-mixed", index::mixed),
    ("index-memory", index::memory),
    ("index-warm", index::warm),
    ("index-added", index::added),
    ("index-million", index::million),
    ("meta", meta::small),
    ("meta-large", meta::large),
    ("meta-worth", worth::run),
    ("serve", serve::run),
    ("image", image::native),
    ("image-emulated", image::emulated),
];

/// Where figures are kept.
const PAGE: &str = "docs/benchmarks.md";

/// Runs the benches. A missed mark is no error: figures depend on the machine.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let tools = Tools::prepare(workspace, &options.profile, !options.no_build)?;
    let (folder, kept) = match &options.keep {
        Some(folder) => {
            fs::create_dir_all(folder)?;
            (fs::canonicalize(folder)?, true)
        }
        None => (scratch(workspace)?, false),
    };
    let facts = Facts::gather(&folder);
    let found = measure_all(&tools, &folder, options);
    if !kept {
        place::remove(&folder)?;
    }
    let found = found?;
    let mut out = std::io::stdout().lock();
    if options.json {
        let text = json!({ "facts": facts, "benches": found });
        writeln!(out, "{text:#}")?;
    } else {
        writeln!(out, "{}, {}\n", facts.machine, facts.date)?;
        for outcome in &found {
            writeln!(out, "{}", outcome.table())?;
        }
    }
    if options.quick {
        return Ok(());
    }
    let mut command = String::from("cargo xtask bench");
    for name in &options.names {
        command = format!("{command} {name}");
    }
    for name in &options.skip {
        command = format!("{command} --skip {name}");
    }
    if let Some(runs) = options.runs {
        command = format!("{command} --runs {runs}");
    }
    if options.profile != "release" {
        command = format!("{command} --profile {}", options.profile);
    }
    report::publish(&workspace.root().join(PAGE), &command, &facts, &found)
}

/// Packages to be read by the floor of bench `build`.
#[derive(clap::Args)]
pub(crate) struct ReadPackages {
    #[arg(required = true)]
    packages: Vec<PathBuf>,
}

/// Reads packages and does nothing with them.
pub(crate) fn read_packages(options: &ReadPackages) -> Result<()> {
    build::read_packages(&options.packages)
}

/// Repodata to be cut by the peer of bench `meta`.
#[derive(clap::Args)]
pub(crate) struct FilterRepodata {
    source: PathBuf,
    /// Repodata with what stays.
    kept: PathBuf,
    out: PathBuf,
}

/// Cuts repodata as a program does that has a tree for everything.
pub(crate) fn filter_repodata(options: &FilterRepodata) -> Result<()> {
    meta::filter(&options.source, &options.kept, &options.out)
}

/// Runs one command; prints what it took as the last line.
pub(crate) fn measure(options: &Measure) -> Result<()> {
    let run = measure::measure_here(&options.command)?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&run)?)?;
    Ok(())
}

fn measure_all(tools: &Tools, folder: &Path, options: &Options) -> Result<Vec<Outcome>> {
    let runs = options.runs.unwrap_or(if options.quick { 2 } else { 7 });
    let mut found = Vec::new();
    for (name, bench) in BENCHES {
        let is_meant = |wanted: &String| {
            let rest = name.strip_prefix(wanted.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        let wanted = options.names.is_empty() || options.names.iter().any(is_meant);
        if !wanted || options.skip.iter().any(is_meant) {
            continue;
        }
        let own = folder.join(name);
        fs::create_dir_all(&own)?;
        let one = Bench {
            tools,
            folder: own,
            quick: options.quick,
            runs: usize::try_from(runs)?,
        };
        let outcome = process::timed(&format!("bench {name}"), || bench(&one))?;
        if options.keep.is_none() {
            place::remove(&one.folder)?;
        }
        found.push(outcome);
    }
    Ok(found)
}

/// A folder in memory where there is one: what a disk does differs from minute to minute.
fn scratch(workspace: &Workspace) -> Result<PathBuf> {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() {
        memory.to_owned()
    } else {
        process::say("xtask: no /dev/shm: files are written to a disk, and times will vary");
        workspace.work("bench")?
    };
    let folder = parent.join(format!("archiconda-bench-{}", std::process::id()));
    if folder.exists() {
        bail!("{} is there already", folder.display());
    }
    fs::create_dir_all(&folder).context("no folder to work in")?;
    Ok(folder)
}
