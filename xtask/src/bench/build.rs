//! `build`: making an installer of packages that are downloaded already, beside a program that does
//! only what cannot be left out, and a second time beside `cat`.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use archive::digest::HashingReader;
use archive::package::{Kind, Package};
use fs_err as fs;

use super::Bench;
use super::input::{self, Shape};
use super::measure::{Measured, rotate};
use super::report::{Bound, Outcome, Quantity};
use super::tools::Tools;

const FIRST: &str = "build-installer, first";
const SECOND: &str = "build-installer, plan cache";
const FLOOR: &str = "read, hash, decode once";
const COPY: &str = "cat of the packages";

pub(super) fn run(bench: &Bench<'_>) -> Result<Outcome> {
    let (tools, folder) = (bench.tools, &bench.folder);
    let shape = Shape::environment(bench.quick);
    let packages = input::packages(&folder.join("channel"), shape)?;
    tools.index(&packages.channel)?;
    let spec = Tools::spec(&packages, folder)?;
    let first = folder.join("first");
    let second = folder.join("second");
    for cache in [&first, &second] {
        crate::process::quietly(&mut tools.build(&spec, cache))?;
    }
    let program = std::env::current_exe()?;
    let copy = folder.join("copy");
    let measured = [
        Measured::new(FIRST, || tools.build(&spec, &first))
            .fresh(&[&first.join("cache/plans"), &first.join("out")]),
        Measured::new(FLOOR, || {
            let mut command = Command::new(&program);
            command.arg("read-packages").args(&packages.files);
            command
        }),
        Measured::new(SECOND, || tools.build(&spec, &second)).fresh(&[&second.join("out")]),
        Measured::new(COPY, || {
            let mut command = Command::new("sh");
            command
                .args(["-c", "out=$1; shift; cat \"$@\" > \"$out\"", "sh"])
                .arg(&copy)
                .args(&packages.files);
            command
        })
        .fresh(&[&copy]),
    ];
    let runs = rotate(&measured, bench.runs)?;
    let about = format!(
        "{} packages of {} MB, {} MB when compressed, from a warm download cache. The floor reads \
         each package once, takes its SHA-256 and that of everything in it, and keeps nothing; \
         `cat` writes the packages into one file.",
        shape.packages,
        shape.bytes / 1_000_000,
        packages.length / 1_000_000
    );
    let mut outcome = Outcome::new("build", about, runs);
    outcome.ratio(Quantity::Cpu, FIRST, FLOOR, Bound::AtMost(1.5));
    outcome.ratio(Quantity::Cpu, SECOND, COPY, Bound::AtMost(2.0));
    Ok(outcome)
}

/// The floor: the least that a builder has to do with packages which it sees for the first time.
pub(super) fn read_packages(files: &[PathBuf]) -> Result<()> {
    for file in files {
        read_package(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    Ok(())
}

fn read_package(file: &Path) -> Result<()> {
    let mut package = HashingReader::new(fs::File::open(file)?);
    let mut buffer = vec![0; 1 << 17];
    while package.read(&mut buffer)? > 0 {}
    let (source, whole, _) = package.finish();
    let package = Package::open(source, Kind::Conda)?;
    let members = [package.content_member(), package.info_member()];
    let members: Vec<_> = members.into_iter().flatten().cloned().collect();
    let mut source = package.into_inner();
    for member in members {
        source.seek(SeekFrom::Start(member.offset))?;
        let decoder = zstd::Decoder::new((&mut source).take(member.length))?;
        let mut content = HashingReader::new(decoder);
        while content.read(&mut buffer)? > 0 {}
        let (_, content, _) = content.finish();
        writeln!(std::io::stdout(), "{whole} {content}")?;
    }
    Ok(())
}
