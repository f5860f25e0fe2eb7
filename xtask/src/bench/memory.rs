//! `memory`: how much memory and how much room on the disk an installation takes at its worst, and
//! how large the runtime is.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use fs_err as fs;

use super::Bench;
use super::input::{self, Shape};
use super::measure::{Measured, rotate};
use super::report::{Bound, Outcome, Quantity};
use super::tools::Tools;

const OURS: &str = "installer, 2 threads";

pub(super) fn run(bench: &Bench<'_>) -> Result<Outcome> {
    let (tools, folder) = (bench.tools, &bench.folder);
    let single: u64 = if bench.quick { 128 << 20 } else { 1 << 30 };
    let shape = Shape {
        single: Some(single),
        ..Shape::environment(true)
    };
    let packages = input::packages(&folder.join("channel"), shape)?;
    tools.index(&packages.channel)?;
    let spec = Tools::spec(&packages, folder)?;
    crate::process::quietly(&mut tools.build(&spec, folder))?;
    let installer = Tools::installer(folder);

    // A folder of its own: what is in it during the installation is what the installation takes.
    let room = folder.join("room");
    fs::create_dir_all(&room)?;
    let prefix = room.join("prefix");
    let install = Measured::new(OURS, || Tools::install(&installer, &prefix, Some(2)));
    let (peak, finished) = peak_room(&room, || {
        crate::process::quietly(&mut Tools::install(&installer, &prefix, Some(2)))
    })?;
    let measured = [install.fresh(&[&prefix]).makes(&prefix, 1)];
    let runs = rotate(&measured, bench.runs.min(3))?;

    let about = format!(
        "{} packages of {} MB in all, and one that is a single file of {} MB. Room is what lies \
         beside and in the prefix, looked at again and again during an installation.",
        shape.packages,
        shape.bytes / 1_000_000,
        single / 1_000_000
    );
    let mut outcome = Outcome::new("memory", about, runs);
    let memory = outcome.largest(Quantity::Memory, OURS);
    outcome.target("peak memory".to_owned(), memory, " MB", Bound::AtMost(64.0));
    #[expect(clippy::cast_precision_loss, reason = "megabytes for people")]
    let (length, share) = (
        tools.runtime_length()? as f64 / 1e6,
        peak as f64 / finished as f64,
    );
    outcome.target("runtime".to_owned(), length, " MB", Bound::AtMost(3.0));
    outcome.target("runtime, aim".to_owned(), length, " MB", Bound::AtMost(1.5));
    outcome.target(
        "peak room : finished prefix".to_owned(),
        share,
        "",
        Bound::AtMost(1.05),
    );
    Ok(outcome)
}

/// The most bytes that lay in `folder` while `work` ran, and those afterwards.
fn peak_room(folder: &Path, work: impl FnOnce() -> Result<()>) -> Result<(u64, u64)> {
    let done = AtomicBool::new(false);
    let peak = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut peak = 0;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(size(folder));
                std::thread::sleep(Duration::from_millis(5));
            }
            peak
        });
        let worked = work();
        done.store(true, Ordering::Relaxed);
        worked.map(|()| watcher.join().unwrap_or(u64::MAX))
    })?;
    let finished = size(folder);
    Ok((peak.max(finished), finished))
}

/// Bytes of all files below a folder, in whole pages. What vanishes meanwhile counts nothing.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => size(&entry.path()),
            Ok(_) => entry.metadata().map_or(0, |data| {
                std::os::unix::fs::MetadataExt::blocks(&data) * 512
            }),
            Err(_) => 0,
        })
        .sum()
}
