//! `index…`: the indexer beside conda-index and py-rattler's, on channels that are new, unchanged, or
//! have one package more, up to a million of them.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use archive::package::Kind;
use fs_err as fs;

use super::Bench;
use super::input::PLATFORM;
use super::input::stock::{self, Content, Stock};
use super::measure::{Measured, rotate};
use super::report::{Bound, Outcome, Quantity};
use crate::process;

const OURS: &str = "archiconda index";
const CONDA_INDEX: &str = "conda-index 0.13";
const RATTLER: &str = "py-rattler 0.28, index_fs";

/// The length of a package in the middle, in bytes.
const MEDIAN: usize = 200_000;

/// The files that most channels have.
const USUAL: [&str; 2] = ["--zst", "--write-shards"];

/// All packages are `.conda`.
pub(super) fn cold(bench: &Bench<'_>) -> Result<Outcome> {
    let mut outcome = new_channel(bench, "index", 0)?;
    outcome.ratio(Quantity::Cpu, CONDA_INDEX, OURS, Bound::AtLeast(7.0));
    outcome.ratio(Quantity::Wall, CONDA_INDEX, OURS, Bound::AtLeast(9.0));
    outcome.ratio(Quantity::Cpu, RATTLER, OURS, Bound::AtLeast(6.0));
    outcome.ratio(Quantity::Wall, RATTLER, OURS, Bound::AtLeast(6.0));
    Ok(outcome)
}

/// A third of the packages are `.tar.bz2`.
pub(super) fn mixed(bench: &Bench<'_>) -> Result<Outcome> {
    let mut outcome = new_channel(bench, "index-mixed", 3)?;
    outcome.ratio(Quantity::Cpu, CONDA_INDEX, OURS, Bound::AtLeast(6.0));
    outcome.ratio(Quantity::Cpu, RATTLER, OURS, Bound::AtLeast(1.8));
    Ok(outcome)
}

fn new_channel(bench: &Bench<'_>, name: &'static str, bzipped: usize) -> Result<Outcome> {
    let stock = Stock {
        packages: if bench.quick { 60 } else { 3465 },
        content: Content::Files(MEDIAN),
        bzipped,
    };
    let (about, everybody) = Everybody::of(bench, stock)?;
    let about = format!(
        "{about}{}. Nobody has indexed them yet. Options are everybody's defaults, but py-rattler \
         is told to leave out what the others leave out by default, `.zst` and shards.",
        if bzipped == 0 {
            ", all `.conda`"
        } else {
            ", a third of them `.tar.bz2`"
        },
    );
    everybody.outcome(bench, name, about, true)
}

/// Packages of 70 MB, more than there are threads.
pub(super) fn memory(bench: &Bench<'_>) -> Result<Outcome> {
    let stock = Stock {
        packages: 24,
        content: Content::Noise(if bench.quick { 2_000_000 } else { 70_000_000 }),
        bzipped: 12,
    };
    let (about, everybody) = Everybody::of(bench, stock)?;
    let about = format!("{about}, two of them `.tar.bz2`. Nobody has indexed them yet.");
    let mut outcome = everybody.outcome(bench, "index-memory", about, true)?;
    let memory = outcome.largest(Quantity::Memory, OURS);
    outcome.target(
        "peak memory".to_owned(),
        memory,
        " MB",
        Bound::AtMost(120.0),
    );
    Ok(outcome)
}

/// Nothing has changed since the last time.
pub(super) fn warm(bench: &Bench<'_>) -> Result<Outcome> {
    let stock = Stock {
        packages: if bench.quick { 500 } else { 5000 },
        content: Content::Small,
        bzipped: 3,
    };
    let (about, everybody) = Everybody::of(bench, stock)?;
    let about = format!("{about}, indexed before and unchanged since.");
    let mut outcome = everybody.outcome(bench, "index-warm", about, false)?;
    let seconds = outcome.middle(Quantity::Cpu, OURS);
    outcome.target("CPU".to_owned(), seconds, " s", Bound::AtMost(0.05));
    outcome.ratio(Quantity::Cpu, CONDA_INDEX, OURS, Bound::AtLeast(15.0));
    Ok(outcome)
}

/// One package more in a channel as large as conda-forge's linux-64.
pub(super) fn added(bench: &Bench<'_>) -> Result<Outcome> {
    const ALL: &str = "one more: repodata.json, .zst, shards";
    const SHARDS: &str = "one more: shards alone";
    const ALL_NAMED: &str = "one more, named by --only: repodata.json, .zst, shards";
    const NAMED: &str = "one more, named by --only: shards alone";
    const UNCHANGED: &str = "unchanged";
    let channel = Growing::new(bench, if bench.quick { 6600 } else { 660_000 })?;
    let shards = bench.folder.join("shards");
    let alone = || {
        let mut command = channel.index(&["--no-write-monolithic", "--write-shards"]);
        command.arg("--output").arg(&shards);
        command
    };
    let measured = [
        Measured::new(ALL, || channel.index(&USUAL)).prepared(|| channel.grow()),
        Measured::new(ALL_NAMED, || {
            let mut command = channel.index(&USUAL);
            command.arg("--only").arg(channel.newest());
            command
        })
        .prepared(|| {
            // What others put into the cache meanwhile must be in these files, too.
            process::quietly(&mut channel.index(&USUAL))?;
            channel.grow()
        }),
        Measured::new(UNCHANGED, || channel.index(&USUAL)),
        Measured::new(SHARDS, alone).prepared(|| channel.grow()),
        Measured::new(NAMED, || {
            let mut command = alone();
            command.arg("--only").arg(channel.newest());
            command
        })
        .prepared(|| {
            process::quietly(&mut alone())?;
            channel.grow()
        }),
    ];
    let runs = rotate(&measured, bench.runs.min(5))?;
    let about = format!(
        "{}, all `.conda`, with nothing but metadata in them, and one more before each \
         run. Shards alone go to a folder of their own; the channel's packages and cache are the same.",
        channel.about()
    );
    let mut outcome = Outcome::new("index-added", about, runs);
    for (label, seconds) in [(ALL_NAMED, 3.0), (NAMED, 0.5)] {
        let found = outcome.middle(Quantity::Wall, label);
        let what = format!("wall time of {label}");
        outcome.target(what, found, " s", Bound::AtMost(seconds));
    }
    let memory = outcome.largest(Quantity::Memory, ALL);
    let what = format!("peak memory of {ALL}");
    outcome.target(what, memory, " MB", Bound::AtMost(1000.0));
    Ok(outcome)
}

/// A million packages, from nothing.
pub(super) fn million(bench: &Bench<'_>) -> Result<Outcome> {
    let channel = Growing::new(bench, if bench.quick { 10_000 } else { 1_000_000 })?;
    let measured = [
        Measured::new("new", || channel.index(&USUAL)).once(),
        Measured::new("unchanged", || channel.index(&USUAL)),
        Measured::new("one more", || channel.index(&USUAL)).prepared(|| channel.grow()),
    ];
    let runs = rotate(&measured, bench.runs.min(3))?;
    let about = format!(
        "{}, all `.conda`, with nothing but metadata in them, in one platform: \
         repodata.json, `.zst` and shards of a channel that is new, unchanged, or has one more.",
        channel.about()
    );
    Ok(Outcome::new("index-million", about, runs))
}

/// Everybody who indexes, each with a channel of the same packages.
struct Everybody<'a> {
    measured: Vec<(Measured<'a>, PathBuf)>,
    missing: Vec<String>,
}

impl<'a> Everybody<'a> {
    /// Makes the packages, and says what they are.
    fn of(bench: &'a Bench<'_>, stock: Stock) -> Result<(String, Everybody<'a>)> {
        let (tools, folder) = (bench.tools, &bench.folder);
        let ours = folder.join("ours");
        let length = stock::fill(&ours, stock)?;
        let mut everybody = Everybody {
            measured: Vec::new(),
            missing: Vec::new(),
        };
        let channel = ours.clone();
        let command = move || tools.indexer(&channel, &[]);
        everybody
            .measured
            .push((Measured::new(OURS, command), ours.clone()));
        type Peer = fn(&super::Tools, &Path) -> Result<Command, String>;
        let peers: [(&str, Peer); 2] = [
            (CONDA_INDEX, super::Tools::conda_index),
            (RATTLER, super::Tools::rattler_index),
        ];
        for (number, (label, command)) in peers.into_iter().enumerate() {
            let channel = folder.join(format!("peer{number}"));
            if let Err(reason) = command(tools, &channel) {
                everybody.missing.push(format!("{label}: {reason}"));
                continue;
            }
            link(&ours, &channel)?;
            let place = channel.clone();
            let command = move || command(tools, &place).unwrap_or_else(|_| Command::new("false"));
            let measured = Measured::new(label, command).at_most(3);
            everybody.measured.push((measured, channel));
        }
        let about = format!("{} packages of {} MB", stock.packages, length / 1_000_000);
        Ok((about, everybody))
    }

    /// Measures. `anew`: with nothing in the channels but packages.
    fn outcome(
        self,
        bench: &Bench<'_>,
        name: &'static str,
        about: String,
        anew: bool,
    ) -> Result<Outcome> {
        let measured: Vec<_> = self
            .measured
            .into_iter()
            .map(|(one, channel)| {
                if anew {
                    one.prepared(move || only_packages(&channel))
                } else {
                    one
                }
            })
            .collect();
        let runs = rotate(&measured, bench.runs)?;
        let mut outcome = Outcome::new(name, about, runs);
        outcome.missing = self.missing;
        Ok(outcome)
    }
}

/// A channel to which packages are added.
struct Growing<'a> {
    bench: &'a Bench<'a>,
    channel: PathBuf,
    packages: usize,
    length: u64,
    added: Cell<usize>,
    /// The package that came last, as `SUBDIR/FILE`.
    newest: RefCell<String>,
}

impl<'a> Growing<'a> {
    fn new(bench: &'a Bench<'a>, packages: usize) -> Result<Growing<'a>> {
        let stock = Stock {
            packages,
            content: Content::Small,
            bzipped: 0,
        };
        let channel = bench.folder.join("channel");
        Ok(Growing {
            bench,
            length: stock::fill(&channel, stock)?,
            channel,
            packages,
            added: Cell::new(0),
            newest: RefCell::default(),
        })
    }

    fn about(&self) -> String {
        format!(
            "{} packages of {} MB",
            self.packages,
            self.length / 1_000_000
        )
    }

    fn index(&self, arguments: &[&str]) -> Command {
        self.bench.tools.indexer(&self.channel, arguments)
    }

    fn grow(&self) -> Result<()> {
        let added = self.added.get();
        self.added.set(added + 1);
        let path = stock::add(&self.channel, self.packages + added)?;
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        self.newest.replace(format!("{PLATFORM}/{file}"));
        Ok(())
    }

    fn newest(&self) -> String {
        self.newest.borrow().clone()
    }
}

/// The same packages in another channel.
fn link(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.join(PLATFORM))?;
    for entry in fs::read_dir(from.join(PLATFORM))? {
        let entry = entry?;
        fs::hard_link(entry.path(), to.join(PLATFORM).join(entry.file_name()))?;
    }
    Ok(())
}

/// Removes all that is no package.
fn only_packages(channel: &Path) -> Result<()> {
    for entry in fs::read_dir(channel)? {
        let entry = entry?;
        if entry.file_name() == PLATFORM {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    for entry in fs::read_dir(channel.join(PLATFORM))? {
        let path = entry?.path();
        if Kind::from_file_name(&path.to_string_lossy()).is_some() {
            continue;
        }
        if path.is_dir() {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
