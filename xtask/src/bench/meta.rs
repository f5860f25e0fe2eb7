//! `meta…`: compiling a meta-channel beside a program that reads the same repodata into a tree of values,
//! takes the same packages out of it, and writes them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use fs_err as fs;
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::Value;

use super::Bench;
use super::input::PLATFORM;
use super::input::random::Random;
use super::measure::{Measured, cpu, rotate};
use super::report::{Bound, Outcome, Quantity};
use crate::process;

const OURS: &str = "archiconda channel build";
const TREE: &str = "serde_json::Value";

/// Nothing but repodata.json and shards is made, and nothing but shards compressed.
const PLAIN: [&str; 8] = [
    "--no-proof",
    "--no-bz2",
    "--no-zst",
    "--no-channeldata",
    "--no-current-repodata",
    "--no-run-exports",
    "--no-html-dependencies",
    "--quiet",
];

/// conda-forge's linux-64 of 2024: 302 MB, of which 200 names are needed.
pub(super) fn small(bench: &Bench<'_>) -> Result<Outcome> {
    let records = if bench.quick { 20_000 } else { 563_000 };
    let (mut outcome, _) = compile(bench, "meta", records, 200)?;
    outcome.ratio(Quantity::Cpu, OURS, TREE, Bound::AtMost(1.0 / 6.0));
    outcome.ratio(Quantity::Memory, OURS, TREE, Bound::AtMost(1.0 / 4.0));
    Ok(outcome)
}

/// A million records, of which 5,000 names are needed.
pub(super) fn large(bench: &Bench<'_>) -> Result<Outcome> {
    let records = if bench.quick { 40_000 } else { 1_000_000 };
    let (mut outcome, packing) = compile(bench, "meta-large", records, 5000)?;
    let found = outcome.middle(Quantity::Cpu, OURS) - packing;
    let what = format!(
        "CPU time of {OURS}, apart from {packing:.2} s that its shards take to be compressed"
    );
    outcome.target(what, found, " s", Bound::AtMost(4.0));
    Ok(outcome)
}

/// The CPU time that a folder's shards take to be compressed once more, in seconds.
fn packing(folder: &Path) -> Result<f64> {
    /// The level of shards.
    const LEVEL: i32 = 3;
    let mut plain = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".msgpack.zst") {
            plain.push(zstd::decode_all(&*fs::read(path)?)?);
        }
    }
    let mut packer = zstd::bulk::Compressor::new(LEVEL)?;
    let before = getrusage(UsageWho::RUSAGE_THREAD)?;
    for shard in &plain {
        packer.compress(shard)?;
    }
    let after = getrusage(UsageWho::RUSAGE_THREAD)?;
    Ok(cpu(&after) - cpu(&before))
}

/// What is compiled: a channel in a folder, and a definition.
pub(super) struct Input {
    pub(super) upstream: PathBuf,
    /// The folder that the compiled channel is written into, as `meta`.
    pub(super) out: PathBuf,
    pub(super) roots: Vec<String>,
    folder: PathBuf,
    /// The length of repodata.json in bytes.
    length: u64,
    names: usize,
}

impl Input {
    pub(super) fn new(folder: &Path, records: usize, roots: usize) -> Result<Input> {
        let upstream = folder.join("upstream");
        let (length, names) = repodata(&upstream.join(PLATFORM), records)?;
        fs::create_dir_all(upstream.join("noarch"))?;
        let nothing = br#"{"info":{"subdir":"noarch"},"packages":{},"packages.conda":{}}"#;
        fs::write(upstream.join("noarch/repodata.json"), nothing)?;
        // The roots lie in the middle: what they need is among the names before them.
        let roots: Vec<String> = (0..roots.min(names / 4))
            .map(|number| name(number * 3))
            .collect();
        fs::write(
            folder.join("meta.toml"),
            format!(
                "name = \"meta\"\nchannels = [\"./upstream\"]\nplatforms = [\"{PLATFORM}\"]\nroots = {roots:?}\n"
            ),
        )?;
        Ok(Input {
            upstream,
            out: folder.join("out"),
            roots,
            folder: folder.to_owned(),
            length,
            names,
        })
    }

    /// Compiles it.
    pub(super) fn build(&self, bench: &Bench<'_>) -> Command {
        let mut command = bench.tools.archiconda();
        command.args(["channel", "build"]);
        command.arg(self.folder.join("meta.toml"));
        command.arg("--output-dir").arg(&self.out).args(PLAIN);
        command.arg("--cache-dir").arg(self.folder.join("cache"));
        command
    }
}

/// Both ways beside each other; and the CPU time that compressing the shards takes, in seconds.
fn compile(
    bench: &Bench<'_>,
    name: &'static str,
    records: usize,
    roots: usize,
) -> Result<(Outcome, f64)> {
    let folder = &bench.folder;
    let input = Input::new(folder, records, roots)?;
    let out = &input.out;
    let build = || input.build(bench);
    process::quietly(&mut build())?;
    let kept = folder.join("kept.json");
    let made = out.join("meta").join(PLATFORM);
    fs::copy(made.join("repodata.json"), &kept)?;
    let packing = packing(&made)?;
    let program = std::env::current_exe()?;
    let copy = folder.join("copy.json");
    let source = input.upstream.join(PLATFORM).join("repodata.json");
    let measured = [
        Measured::new(OURS, build).fresh(&[out]),
        Measured::new(TREE, || {
            let mut command = Command::new(&program);
            command.arg("filter-repodata").args([&source, &kept, &copy]);
            command
        })
        .fresh(&[&copy])
        .at_most(3),
    ];
    let runs = rotate(&measured, bench.runs.min(5))?;
    let stayed: Value = serde_json::from_slice(&fs::read(&kept)?)?;
    let count = stayed["packages.conda"]
        .as_object()
        .map_or(0, serde_json::Map::len);
    let about = format!(
        "repodata.json of {records} records and {} names, {} MB; of it {} roots can need {count} packages. Ours \
         follows the dependencies and writes repodata.json, shards and their index, from a folder; no proof, nothing \
         compressed but shards. `{TREE}` is told which packages stay, and writes repodata.json alone.",
        input.names,
        input.length / 1_000_000,
        input.roots.len(),
    );
    Ok((Outcome::new(name, about, runs), packing))
}

/// A repodata.json as large as conda-forge's: its length in bytes, and how many names there are.
fn repodata(folder: &Path, records: usize) -> Result<(u64, usize)> {
    fs::create_dir_all(folder)?;
    let path = folder.join("repodata.json");
    let mut out = BufWriter::new(fs::File::create(&path)?);
    out.write_all(b"{\"info\":{},\"packages\":{},\"packages.conda\":{")?;
    let mut random = Random::new(31);
    let per_name = 27;
    let names = records.div_ceil(per_name);
    let mut files: Vec<(String, String)> = Vec::with_capacity(per_name);
    for number in 0..names {
        files.clear();
        for one in 0..per_name.min(records - number * per_name) {
            let (minor, build) = (one / 3, one % 3);
            let mut depends = String::new();
            for _ in 0..random.below(7) {
                // What is needed by many comes first.
                let other = random.skewed(number.max(1));
                let _ = write!(
                    depends,
                    "\"{} >={}.{},<{}.0a0\",",
                    name(other),
                    1,
                    random.below(9),
                    2
                );
            }
            let file = format!(
                "{}-1.{minor}.0-h{:07x}_{build}.conda",
                name(number),
                random.next() & 0xfff_ffff
            );
            let digest = format!("{:016x}{:016x}", random.next(), random.next());
            let record = format!(
                "{{\"build\":\"{}\",\"build_number\":{build},\"constrains\":[],\"depends\":[{depends}\"__glibc >=2.17,<3.0.a0\"],\
                 \"license\":\"BSD-3-Clause\",\"license_family\":\"BSD\",\"md5\":\"{digest}\",\"name\":\"{}\",\
                 \"sha256\":\"{digest}{digest}\",\"size\":{},\"subdir\":\"{PLATFORM}\",\"timestamp\":{},\"version\":\"1.{minor}.0\"}}",
                file.rsplit('-')
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches(".conda"),
                name(number),
                random.below(10_000_000),
                1_700_000_000_000_u64 + random.next() % 100_000_000_000,
            );
            files.push((file, record));
        }
        files.sort();
        for (position, (file, record)) in files.iter().enumerate() {
            let comma = if number + position > 0 { "," } else { "" };
            write!(out, "{comma}\"{file}\":{record}")?;
        }
    }
    out.write_all(b"},\"removed\":[],\"repodata_version\":1}")?;
    out.into_inner().context("cannot write the repodata")?;
    Ok((fs::metadata(&path)?.len(), names))
}

/// Names in the order of their numbers.
fn name(number: usize) -> String {
    format!("package-{number:05}")
}

/// What a program does that has a tree for everything.
pub(super) fn filter(source: &Path, kept: &Path, out: &Path) -> Result<()> {
    let stays: BTreeSet<String> = {
        let kept: Value = serde_json::from_slice(&fs::read(kept)?)?;
        let packages = kept["packages.conda"].as_object().context("no packages")?;
        packages.keys().cloned().collect()
    };
    let mut repodata: Value = serde_json::from_slice(&fs::read(source)?)?;
    let packages = repodata["packages.conda"]
        .as_object_mut()
        .context("no packages")?;
    packages.retain(|file, _| stays.contains(file));
    fs::write(out, serde_json::to_vec(&repodata)?)?;
    Ok(())
}
