//! `meta-worth`: what clients gain by a meta-channel, at the same question, with the whole channel and with what is
//! compiled of it.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use fs_err as fs;

use super::Bench;
use super::input::PLATFORM;
use super::measure::{Measured, rotate};
use super::meta;
use super::report::{Bound, Outcome, Quantity};
use crate::process;

/// Loads a channel in a folder, and solves for a package.
const SOLVE: &str = r#"
import asyncio, os, sys
from rattler import Gateway, SourceConfig, VirtualPackage, solve
channel, platform, cache, *specs = sys.argv[1:]
config = SourceConfig(zstd_enabled=False, bz2_enabled=False, sharded_enabled=False)
async def main():
    gateway = Gateway(cache_dir=cache, default_config=config)
    machine = [package.into_generic() for package in VirtualPackage.detect()]
    records = await solve([channel], specs, gateway=gateway, platforms=[platform, "noarch"], virtual_packages=machine)
    assert records
asyncio.run(main())
os._exit(0)
"#;

/// Reads the list of packages as any program in Python does.
const LOAD: &str = "import json, sys; json.load(open(sys.argv[1], encoding='utf-8'))";

const SOLVED: [&str; 2] = ["py-rattler, the whole channel", "py-rattler, compiled"];
const LOADED: [&str; 2] = ["json.load, the whole channel", "json.load, compiled"];

/// conda-forge's linux-64 of 2024, of which 200 names are needed.
pub(super) fn run(bench: &Bench<'_>) -> Result<Outcome> {
    let records = if bench.quick { 20_000 } else { 563_000 };
    let input = meta::Input::new(&bench.folder, records, 200)?;
    let mut build = input.build(bench);
    process::quietly(&mut build)?;
    let channels = [input.upstream.clone(), input.out.join("meta")];
    let lengths: Vec<u64> = channels
        .iter()
        .map(|channel| Ok(fs::metadata(repodata(channel))?.len()))
        .collect::<Result<_>>()?;
    let asked = input.roots.last().map_or("", String::as_str);
    let about = format!(
        "repodata.json of {records} records, {} MB, and what is compiled of it for {} roots, {} MB: py-rattler loads it from a \
         folder and solves for `{asked}`, which is among the roots; Python's json reads it.",
        lengths[0] / 1_000_000,
        input.roots.len(),
        lengths[1] / 1_000_000,
    );
    let python = match &bench.tools.peers {
        Ok(python) => python,
        Err(reason) => {
            let mut outcome = Outcome::new("meta-worth", about, Vec::new());
            outcome.missing.push(format!("py-rattler: {reason}"));
            return Ok(outcome);
        }
    };
    let cache = bench.folder.join("repodata-cache");
    let mut measured = Vec::new();
    for (channel, label) in channels.iter().zip(SOLVED) {
        let solve = || {
            let mut command = Command::new(python);
            command.args(["-c", SOLVE]);
            command.arg(format!("file://{}", channel.display()));
            command.arg(PLATFORM).arg(&cache).arg(asked);
            command
        };
        measured.push(Measured::new(label, solve).fresh(&[&cache]).at_most(5));
    }
    for (channel, label) in channels.iter().zip(LOADED) {
        let load = || {
            let mut command = Command::new(python);
            command.args(["-c", LOAD]).arg(repodata(channel));
            command
        };
        measured.push(Measured::new(label, load).at_most(5));
    }
    let runs = rotate(&measured, bench.runs)?;
    let mut outcome = Outcome::new("meta-worth", about, runs);
    for [whole, compiled] in [SOLVED, LOADED] {
        for quantity in [Quantity::Wall, Quantity::Memory] {
            outcome.ratio(quantity, whole, compiled, Bound::AtLeast(1.0));
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a ratio of lengths")]
    let bytes = lengths[0] as f64 / lengths[1].max(1) as f64;
    let what = "bytes of repodata.json, the whole channel : compiled".to_owned();
    outcome.target(what, bytes, "", Bound::AtLeast(1.0));
    Ok(outcome)
}

fn repodata(channel: &Path) -> std::path::PathBuf {
    channel.join(PLATFORM).join("repodata.json")
}
