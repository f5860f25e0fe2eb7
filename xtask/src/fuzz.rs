//! `cargo xtask fuzz`: builds the targets in `fuzz/` with coverage, which the stable compiler can do,
//! goes through all seeds, and then looks for new inputs for a while.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};
use fs_err as fs;

use crate::place::Workspace;
use crate::process;

/// The targets: a file in `fuzz/targets` and a folder in `fuzz/seeds` each, and the longest input in bytes.
const TARGETS: [(&str, &str); 4] = [
    ("conda", "8192"),
    ("tar_bz2", "8192"),
    ("index_json", "4096"),
    ("patch_instructions", "4096"),
];

/// What to fuzz.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask fuzz                                     all targets, 30 seconds each
  cargo xtask fuzz conda --seconds 3600                one for an hour
  cargo xtask fuzz conda --input target/xtask/fuzz/…   what was found, once more")]
pub(crate) struct Options {
    /// The targets [default: all]
    #[arg(value_name = "TARGET", value_parser = TARGETS.map(|(name, _)| name))]
    targets: Vec<String>,
    /// How long each is tried, after the seeds
    #[arg(long, value_name = "N", default_value_t = 30)]
    seconds: u32,
    /// Try only this file
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Write the seeds that are packages anew
    #[arg(long)]
    seeds: bool,
}

/// Fails where an input makes a target fail, and names it.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let work = workspace.work("fuzz")?;
    let home = workspace.root().join("fuzz");
    if options.seeds {
        let mut seeds = workspace.cargo();
        seeds.args(["run", "--profile", "ci", "--package", "fuzz"]);
        return process::run(seeds.args(["--bin", "fuzz-seeds"]));
    }
    let mut build = workspace.cargo();
    build
        .args(["build", "--locked", "--profile", "ci", "--package", "fuzz"])
        .env("RUSTC_WORKSPACE_WRAPPER", home.join("rustc"));
    for (target, _) in TARGETS {
        build.args(["--bin", &format!("fuzz-{target}")]);
    }
    process::timed("fuzz targets", || process::run(&mut build))?;
    let binary = |name: &str| {
        let folder = workspace.root().join("target/ci");
        Command::new(folder.join(format!("fuzz-{name}")))
    };
    let mut failed = Vec::new();
    for (target, longest) in TARGETS {
        if !options.targets.is_empty() && !options.targets.iter().any(|one| one == target) {
            continue;
        }
        let (corpus, found) = (
            work.join("corpus").join(target),
            work.join("found").join(target),
        );
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&found)?;
        let mut command = binary(target);
        command
            .arg(format!("-max_len={longest}"))
            .arg(format!("-artifact_prefix={}/", found.display()))
            .args(["-timeout=30", "-rss_limit_mb=1024", "-print_final_stats=1"]);
        match &options.input {
            Some(file) => command.arg(fs::canonicalize(file)?),
            // Without a limit on runs a limit of no seconds is none.
            None => command
                .arg(if options.seconds == 0 {
                    "-runs=0".to_owned()
                } else {
                    format!("-max_total_time={}", options.seconds)
                })
                .args([corpus, home.join("seeds").join(target)]),
        };
        let what = format!("fuzz {target}");
        if let Err(error) = process::timed(&what, || process::quietly(&mut command)) {
            process::say(&format!("{error:#}"));
            failed.push(target);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!(
        "inputs that make {} fail are in {}",
        failed.join(", "),
        work.join("found").display()
    )
}
