//! Runs commands by turns and notes what each took: time, CPU and memory of the whole process with
//! its children.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use fs_err as fs;
use nix::sys::resource::{Usage, UsageWho, getrusage};
use serde::{Deserialize, Serialize};

use crate::place;
use crate::process;

/// A command to be measured.
pub(super) struct Measured<'a> {
    /// What it is called in tables.
    pub(super) label: String,
    /// The command; made anew for each run.
    pub(super) command: Box<dyn Fn() -> Command + 'a>,
    /// What is removed before and after each run, outside the measurement.
    pub(super) fresh: Vec<PathBuf>,
    /// What a run must have made: a folder, and how many files at least.
    pub(super) makes: Option<(PathBuf, usize)>,
    /// More runs than these would take too long.
    pub(super) at_most: usize,
    /// What is done before each run, outside the measurement.
    pub(super) prepare: Option<Box<dyn Fn() -> Result<()> + 'a>>,
    /// The first run counts, and is the only one.
    pub(super) once: bool,
}

/// What one run took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Run {
    /// Seconds.
    pub(super) wall: f64,
    /// Seconds in user and system mode, of all threads and processes.
    pub(super) cpu: f64,
    /// Bytes: the largest process's peak.
    pub(super) memory: u64,
    /// Bytes that were handed to the system to be written, by all processes.
    pub(super) written: u64,
}

/// All runs of a command, in order.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Runs {
    pub(super) label: String,
    pub(super) runs: Vec<Run>,
}

impl<'a> Measured<'a> {
    pub(super) fn new(label: &str, command: impl Fn() -> Command + 'a) -> Measured<'a> {
        Measured {
            label: label.to_owned(),
            command: Box::new(command),
            fresh: Vec::new(),
            makes: None,
            at_most: usize::MAX,
            prepare: None,
            once: false,
        }
    }

    pub(super) fn fresh(mut self, paths: &[&Path]) -> Measured<'a> {
        self.fresh
            .extend(paths.iter().map(|path| (*path).to_owned()));
        self
    }

    pub(super) fn makes(mut self, folder: &Path, files: usize) -> Measured<'a> {
        self.makes = Some((folder.to_owned(), files));
        self
    }

    pub(super) fn at_most(mut self, runs: usize) -> Measured<'a> {
        self.at_most = runs;
        self
    }

    pub(super) fn prepared(mut self, prepare: impl Fn() -> Result<()> + 'a) -> Measured<'a> {
        self.prepare = Some(Box::new(prepare));
        self
    }

    pub(super) fn once(mut self) -> Measured<'a> {
        self.once = true;
        self.at_most = 0;
        self
    }

    fn clean(&self) -> Result<()> {
        for path in &self.fresh {
            if path.is_file() {
                fs::remove_file(path)?;
            } else {
                place::remove(path)?;
            }
        }
        Ok(())
    }

    /// One run, checked.
    pub(super) fn run(&self) -> Result<Run> {
        self.clean()?;
        if let Some(prepare) = &self.prepare {
            prepare()?;
        }
        let run = measure(&(self.command)()).with_context(|| self.label.clone())?;
        if let Some((folder, files)) = &self.makes {
            let found = count(folder)?;
            if found < *files {
                bail!("{}: {found} files, and {files} are expected", self.label);
            }
        }
        self.clean()?;
        Ok(run)
    }
}

/// Runs all commands `rounds` times by turns, after one round that does not count.
pub(super) fn rotate(measured: &[Measured<'_>], rounds: usize) -> Result<Vec<Runs>> {
    let mut all: Vec<Runs> = measured
        .iter()
        .map(|one| Runs {
            label: one.label.clone(),
            runs: Vec::new(),
        })
        .collect();
    for round in 0..=rounds {
        for (one, runs) in measured.iter().zip(&mut all) {
            if round > one.at_most {
                continue;
            }
            let run = one.run()?;
            if round > 0 || one.once {
                runs.runs.push(run);
            }
        }
        process::say(&format!("xtask: round {round} of {rounds}"));
    }
    Ok(all)
}

/// Runs a command to its end in a process of its own that does nothing else, so that its children
/// are this command's and nobody else's.
fn measure(command: &Command) -> Result<Run> {
    let mut helper = Command::new(std::env::current_exe()?);
    helper
        .arg("measure")
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        helper.current_dir(folder);
    }
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => helper.env(key, value),
            None => helper.env_remove(key),
        };
    }
    let text = process::output(&mut helper)?;
    let line = text.lines().last().context("no measurement")?;
    Ok(serde_json::from_str(line)?)
}

/// The other side of [`measure`]: runs a command and prints what it took.
pub(super) fn measure_here(program: &[OsString]) -> Result<Run> {
    let (name, arguments) = program.split_first().context("no command")?;
    let start = Instant::now();
    let output = Command::new(name)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", name.display()))?;
    let wall = start.elapsed().as_secs_f64();
    if !output.status.success() {
        bail!(
            "{} failed ({})\n{}{}",
            name.display(),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok(Run {
        wall,
        cpu: cpu(&usage),
        memory: u64::try_from(usage.max_rss()).unwrap_or_default() * 1024,
        written: written(),
    })
}

/// The CPU time that was used, in seconds.
pub(super) fn cpu(usage: &Usage) -> f64 {
    let seconds = |time: nix::sys::time::TimeVal| {
        #[expect(clippy::cast_precision_loss, reason = "seconds and microseconds")]
        let seconds = time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        seconds
    };
    seconds(usage.user_time()) + seconds(usage.system_time())
}

/// What this process and those that it has waited for wrote so far; 0 where the kernel does not say.
fn written() -> u64 {
    let text = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let mut lines = text.lines();
    let count = lines.find_map(|line| line.strip_prefix("wchar: "));
    count
        .and_then(|count| count.parse().ok())
        .unwrap_or_default()
}

/// The number of files and links below a folder.
pub(super) fn count(folder: &Path) -> Result<usize> {
    let mut found = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        found += if entry.file_type()?.is_dir() {
            count(&entry.path())?
        } else {
            1
        };
    }
    Ok(found)
}

/// The middle of some numbers.
pub(super) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match (numbers.len() % 2, numbers.get(middle)) {
        (_, None) => f64::NAN,
        (1, Some(number)) => *number,
        (_, Some(upper)) => f64::midpoint(numbers[middle - 1], *upper),
    }
}
