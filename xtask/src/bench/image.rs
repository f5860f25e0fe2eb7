//! `image`, `image-emulated`: baking an image beside `docker build` of the same thing with our own installer,
//! on the same base, for this CPU and for the other one; and baking it again when one small package
//! changed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use archive::digest::Sha256;
use archive::package::{Item, Kind, WriteOptions, write};
use fs_err as fs;
use serde_json::json;

use super::Bench;
use super::engine::Engine;
use super::input::{self, Packages, Shape};
use super::measure::{Measured, rotate};
use super::report::{Bound, Outcome, Quantity};
use crate::place::Workspace;
use crate::{process, userland};

const FIRST: &str = "image bake";
const KNOWN: &str = "image bake, base at hand as docker has it";
const SECOND: &str = "image bake, one small package changed";
const BUILD: &str = "docker build";
const SAVED: &str = "docker build, and docker save through gzip -6";

/// A machine that an image is for.
struct Machine {
    platform: &'static str,
    /// Docker's name of it.
    architecture: &'static str,
    /// The kernel's, in the names of installers.
    cpu: &'static str,
    /// How many times as fast as docker we want to be.
    mark: f64,
}

/// For this machine.
pub(super) fn native(bench: &Bench<'_>) -> Result<Outcome> {
    let root = userland::make_amd64(&Workspace::find()?)?;
    let machine = Machine {
        platform: "linux-64",
        architecture: "amd64",
        cpu: "x86_64",
        mark: 2.0,
    };
    measure(bench, "image", &machine, &root)
}

/// For another one, which docker needs an emulator for.
pub(super) fn emulated(bench: &Bench<'_>) -> Result<Outcome> {
    let root = userland::make(&Workspace::find()?)?;
    let machine = Machine {
        platform: "linux-aarch64",
        architecture: "arm64",
        cpu: "aarch64",
        mark: 20.0,
    };
    measure(bench, "image-emulated", &machine, &root)
}

fn measure(
    bench: &Bench<'_>,
    name: &'static str,
    machine: &Machine,
    root: &Path,
) -> Result<Outcome> {
    let folder = &bench.folder;
    let shape = Shape {
        platform: machine.platform,
        ..Shape::environment(bench.quick)
    };
    let packages = input::packages(&folder.join("channel"), shape)?;
    for version in ["1.0", "2.0"] {
        small(&packages.channel, version)?;
    }
    bench.tools.index(&packages.channel)?;
    for version in ["1.0", "2.0"] {
        define(machine, &packages, folder, version)?;
    }
    let context = folder.join("context");
    installer(bench, machine, &context)?;
    let engine = Engine::start(&folder.join("docker"))?;
    base(&engine, machine, root, folder)?;

    let cache = folder.join("cache");
    let (image, images) = (folder.join("image.tar"), cache.join("images"));
    let layers = images.join("layers");
    let bake = |version: &str| {
        let mut command = bench.tools.archiconda();
        command
            .args(["image", "bake"])
            .arg(folder.join(format!("image-{version}.toml")))
            .args(["--quiet", "--locked", "--offline", "--cache-dir"])
            .arg(&cache)
            .arg("--output")
            .arg(&image);
        command
    };
    // The packages are at hand for both, as the installer is for docker.
    for version in ["1.0", "2.0"] {
        let mut first = bench.tools.archiconda();
        first
            .args(["image", "bake", "--quiet", "--output"])
            .arg(&image)
            .arg(folder.join(format!("image-{version}.toml")))
            .arg("--cache-dir")
            .arg(&cache);
        process::quietly(&mut first)?;
    }
    let build = format!(
        "docker build --quiet --no-cache --network none --tag measured {}",
        process::text(&context)?
    );
    let saved = folder.join("saved.tar.gz");
    let save = format!(
        "{build} && docker save measured | gzip -6 > {}",
        process::text(&saved)?
    );
    let slow = if machine.mark > 10.0 { 1 } else { 3 };
    let measured = [
        Measured::new(FIRST, || bake("1.0")).fresh(&[&images, &image]),
        // Docker has unpacked the base; ours has read it before.
        Measured::new(KNOWN, || bake("1.0"))
            .fresh(&[&images, &image])
            .prepared(|| {
                process::quietly(&mut bake("1.0"))?;
                fs::remove_dir_all(&layers)?;
                Ok(fs::remove_file(&image)?)
            }),
        Measured::new(SECOND, || bake("2.0"))
            .fresh(&[&images, &image])
            .prepared(|| process::quietly(&mut bake("1.0"))),
        Measured::new(BUILD, || engine.shell(&build)).at_most(slow),
        Measured::new(SAVED, || engine.shell(&save))
            .fresh(&[&saved])
            .at_most(slow),
    ];
    let runs = rotate(&measured, bench.runs)?;
    drop(measured);
    drop(engine);

    let about = format!(
        "{} packages, {} files, {} MB, for {}, on Debian 12's required packages. `docker build` copies our \
         installer, which stays in a layer of its image, and runs it{}; its daemon's CPU time is not seen here. Ours writes a compressed file (gzip, \
         within 2 % of zlib's level 6), docker keeps a folder.",
        shape.packages,
        shape.files,
        shape.bytes / 1_000_000,
        machine.platform,
        if machine.mark > 10.0 {
            " in an emulator"
        } else {
            ""
        }
    );
    let mut outcome = Outcome::new(name, about, runs);
    outcome.ratio(Quantity::Wall, SAVED, KNOWN, Bound::AtLeast(machine.mark));
    outcome.ratio(Quantity::Wall, BUILD, KNOWN, Bound::AtLeast(machine.mark));
    outcome.ratio(Quantity::Wall, SECOND, FIRST, Bound::AtMost(0.1));
    let memory = outcome.largest(Quantity::Memory, FIRST);
    outcome.target(
        "peak memory".to_owned(),
        memory,
        " MB",
        Bound::AtMost(200.0),
    );
    Ok(outcome)
}

/// The package that changes.
fn small(channel: &Path, version: &str) -> Result<()> {
    let subdir = channel.join("noarch");
    fs::create_dir_all(&subdir)?;
    let path = "lib/python3.11/site-packages/small/__init__.py";
    let text = format!("VERSION = {version:?}\n").repeat(500);
    let index = json!({
        "name": "small", "version": version, "build": "0", "build_number": 0, "depends": [],
        "subdir": "noarch", "noarch": "generic", "license": "BSD-3-Clause",
    });
    let paths = json!({ "paths_version": 1, "paths": [{
        "_path": path, "path_type": "hardlink", "sha256": Sha256::of(text.as_bytes()),
        "size_in_bytes": text.len(),
    }] });
    let info = [
        ("info/index.json", index.to_string()),
        ("info/paths.json", paths.to_string()),
        ("info/files", format!("{path}\n")),
    ];
    let info = info
        .iter()
        .map(|(path, text)| Item::file(*path, text.as_bytes()));
    let content = [Item::file(path, text.as_bytes())].into_iter();
    let stem = format!("small-{version}-0");
    let file = fs::File::create(subdir.join(format!("{stem}.conda")))?;
    write(
        file,
        Kind::Conda,
        &stem,
        info,
        content,
        &WriteOptions::default(),
    )?;
    Ok(())
}

/// Writes a distribution with that version of the package, and its image.
fn define(machine: &Machine, packages: &Packages, folder: &Path, version: &str) -> Result<()> {
    let mut specs = packages.names.clone();
    specs.push(format!("small =={version}"));
    let text = format!(
        "name = \"Measured\"\nversion = \"1.0\"\nplatforms = [\"{}\"]\nchannels = [{:?}]\nspecs = {specs:?}\n",
        machine.platform,
        format!("file://{}", process::text(&packages.channel)?),
    );
    fs::write(folder.join(format!("measured-{version}.toml")), text)?;
    let text = format!(
        "installer = \"measured-{version}.toml\"\nbase = \"oci:base:measured\"\ntags = [\"measured:{version}\"]\n"
    );
    fs::write(folder.join(format!("image-{version}.toml")), text)?;
    Ok(())
}

/// What docker builds from.
fn installer(bench: &Bench<'_>, machine: &Machine, context: &Path) -> Result<()> {
    let made = bench.folder.join("made");
    let spec = bench.folder.join("measured-1.0.toml");
    process::quietly(&mut bench.tools.build(&spec, &made))?;
    fs::create_dir_all(context)?;
    let name = format!("Measured-1.0-Linux-{}.sh", machine.cpu);
    fs::rename(made.join("out").join(name), context.join("installer.sh"))?;
    let text = "FROM base:measured\nCOPY installer.sh /tmp/\n\
                RUN sh /tmp/installer.sh -b -p /opt/conda && rm /tmp/installer.sh\n\
                ENV PATH=/opt/conda/bin:/usr/bin:/bin\n";
    fs::write(context.join("Dockerfile"), text)?;
    Ok(())
}

/// The same base for both: docker's, and a layout whose layer is compressed already. Docker before 23 notes this
/// machine's CPU in what it imports, whatever it is told, so it is given an archive that says for which CPU it is.
fn base(engine: &Engine, machine: &Machine, root: &Path, folder: &Path) -> Result<()> {
    let skopeo = process::find("skopeo").context("no skopeo (apt-get install skopeo)")?;
    let parts = folder.join("base-parts");
    fs::create_dir_all(&parts)?;
    let layer = parts.join("layer.tar");
    let mut pack = Command::new("tar");
    pack.args(["--create", "--numeric-owner", "--directory"])
        .arg(root)
        .args([
            "--exclude",
            "./tmp/*",
            "--exclude",
            "./dev/*",
            "--exclude",
            "./proc/*",
        ])
        .arg("--file")
        .arg(&layer)
        .arg(".");
    process::quietly(&mut pack)?;
    let digest = Sha256::of_reader(fs::File::open(&layer)?)?;
    let config = json!({
        "architecture": machine.architecture, "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
        "history": [{ "created_by": "tar" }],
    });
    fs::write(parts.join("config.json"), config.to_string())?;
    let manifest = json!([{
        "Config": "config.json", "RepoTags": ["base:measured"], "Layers": ["layer.tar"],
    }]);
    fs::write(parts.join("manifest.json"), manifest.to_string())?;
    let saved: PathBuf = folder.join("base.tar");
    let mut pack = Command::new("tar");
    pack.args(["--create", "--directory"])
        .arg(&parts)
        .arg("--file")
        .arg(&saved)
        .args(["manifest.json", "config.json", "layer.tar"]);
    process::quietly(&mut pack)?;
    let load = format!("docker load --input {}", process::text(&saved)?);
    process::quietly(&mut engine.shell(&load))?;
    let mut copy = Command::new(skopeo);
    copy.args(["--insecure-policy", "copy"])
        .arg(format!("docker-archive:{}", saved.display()))
        .arg(format!("oci:{}:measured", folder.join("base").display()));
    process::quietly(&mut copy)?;
    fs::remove_dir_all(parts)?;
    fs::remove_file(saved)?;
    Ok(())
}
