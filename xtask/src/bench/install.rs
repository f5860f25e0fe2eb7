//! `install`, `install-skewed`: an installer beside `cp -r` of the tree that it makes, and beside
//! those who install the same packages.

use std::process::Command;

use anyhow::Result;

use super::Bench;
use super::input::{self, Packages, Shape};
use super::measure::{Measured, count, rotate};
use super::report::{Bound, Outcome, Quantity};
use super::tools::Tools;

const OURS: &str = "installer, 2 threads";
const SINGLE: &str = "installer, 1 thread";
const COPY: &str = "cp -r";
const RATTLER: &str = "py-rattler, cold cache";
const EXTRACT: &str = "conda-package-handling, extraction alone";
const CONDA: &str = "conda create --offline, explicit list";

/// Packages of similar sizes.
pub(super) fn even(bench: &Bench<'_>) -> Result<Outcome> {
    let shape = Shape::environment(bench.quick);
    let packages = input::packages(&bench.folder.join("channel"), shape)?;
    let mut outcome = measure(bench, "install", shape, &packages, true)?;
    outcome.ratio(Quantity::Cpu, OURS, COPY, Bound::AtMost(1.4));
    outcome.ratio(Quantity::Wall, OURS, COPY, Bound::AtMost(0.8));
    outcome.ratio(Quantity::Cpu, RATTLER, OURS, Bound::AtLeast(1.6));
    outcome.ratio(Quantity::Cpu, EXTRACT, OURS, Bound::AtLeast(4.5));
    outcome.ratio(Quantity::Cpu, CONDA, OURS, Bound::AtLeast(1.0));
    outcome.ratio(Quantity::Wall, CONDA, OURS, Bound::AtLeast(1.0));
    outcome.ratio(Quantity::Memory, CONDA, OURS, Bound::AtLeast(1.0));
    Ok(outcome)
}

/// One package holds 40 % of the bytes: do both threads have work to the end?
pub(super) fn skewed(bench: &Bench<'_>) -> Result<Outcome> {
    let shape = Shape {
        largest: Some(0.4),
        ..Shape::environment(bench.quick)
    };
    let packages = input::packages(&bench.folder.join("channel"), shape)?;
    let mut outcome = measure(bench, "install-skewed", shape, &packages, false)?;
    outcome.ratio(Quantity::Wall, OURS, SINGLE, Bound::AtMost(0.65));
    outcome.ratio(Quantity::Cpu, OURS, COPY, Bound::AtMost(1.4));
    outcome.ratio(Quantity::Wall, OURS, COPY, Bound::AtMost(0.8));
    Ok(outcome)
}

fn measure(
    bench: &Bench<'_>,
    name: &'static str,
    shape: Shape,
    packages: &Packages,
    peers: bool,
) -> Result<Outcome> {
    let (tools, folder) = (bench.tools, &bench.folder);
    tools.index(&packages.channel)?;
    let spec = Tools::spec(packages, folder)?;
    crate::process::quietly(&mut tools.build(&spec, folder))?;
    let installer = Tools::installer(folder);
    let tree = folder.join("tree");
    crate::place::remove(&tree)?;
    crate::process::quietly(&mut Tools::install(&installer, &tree, None))?;
    let files = count(&tree)?;

    let (prefix, cache) = (folder.join("prefix"), folder.join("pkgs"));
    let ours = |label: &str, threads| {
        let (installer, prefix) = (installer.clone(), prefix.clone());
        Measured::new(label, move || {
            Tools::install(&installer, &prefix, Some(threads))
        })
    };
    let mut measured = vec![
        ours(OURS, 2),
        Measured::new(COPY, || {
            let mut command = Command::new("cp");
            command.arg("-r").args([&tree, &prefix]);
            command
        }),
        ours(SINGLE, 1),
    ];
    let mut missing = Vec::new();
    if peers {
        let mut offer = |label: &str, command: &dyn Fn() -> Result<Command, String>| {
            command()
                .map_err(|reason| missing.push(format!("{label}: {reason}")))
                .is_ok()
        };
        let rattler = || tools.rattler(packages, &prefix, &cache);
        let extract = || tools.extract(packages, &prefix);
        let conda = || tools.conda(packages, folder, &prefix, &cache);
        let none = || Command::new("false");
        if offer(RATTLER, &rattler) {
            measured.push(Measured::new(RATTLER, move || {
                rattler().unwrap_or_else(|_| none())
            }));
        }
        if offer(EXTRACT, &extract) {
            let one = Measured::new(EXTRACT, move || extract().unwrap_or_else(|_| none()));
            measured.push(one.at_most(3));
        }
        if offer(CONDA, &conda) {
            let one = Measured::new(CONDA, move || conda().unwrap_or_else(|_| none()));
            measured.push(one.at_most(3));
        }
    }
    let measured: Vec<Measured<'_>> = measured
        .into_iter()
        .map(|one| {
            one.fresh(&[&prefix, &cache])
                .makes(&prefix, shape.files * 9 / 10)
        })
        .collect();
    let runs = rotate(&measured, bench.runs)?;
    let about = format!(
        "{} packages, {files} files in the finished tree, {} MB, no scripts and nothing compiled{}. \
         `cp -r` copies the finished tree.",
        shape.packages,
        shape.bytes / 1_000_000,
        shape.largest.map_or(String::new(), |share| format!(
            "; one package holds {:.0} % of the bytes",
            share * 100.0
        )),
    );
    let mut outcome = Outcome::new(name, about, runs);
    outcome.missing = missing;
    Ok(outcome)
}
