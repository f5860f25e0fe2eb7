//! Channels to be indexed: any number of packages whose metadata is like conda-forge's, with as much
//! content as is asked for.

use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use archive::package::{Item, Kind, WriteOptions, write};
use fs_err as fs;
use serde_json::{Value, json};

use super::content::Vocabulary;
use super::random::Random;
use super::{MODIFIED, PLATFORM};

/// How many names there are at most: 4,000,000 packages of conda-forge have 34,000.
const NAMES: usize = 34_000;

/// How compressed content is: what an indexer takes does not depend on it, and generating does.
const QUICK: WriteOptions = WriteOptions {
    zstd_level: 1,
    bzip2_level: 9,
};

/// What the packages of a channel are like.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Stock {
    /// How many there are.
    pub(in super::super) packages: usize,
    /// What is in them besides metadata.
    pub(in super::super) content: Content,
    /// Every so many-th one is a `.tar.bz2`; 0 for none.
    pub(in super::super) bzipped: usize,
}

/// What is in a package.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Content {
    /// Nothing to speak of.
    Small,
    /// Files that compress to so many bytes in the middle; the sizes of packages are log-normal.
    Files(usize),
    /// Noise of so many bytes.
    Noise(usize),
}

/// Writes packages number `0..packages` into `CHANNEL/PLATFORM`, on all processors. What they take, in
/// bytes.
pub(in super::super) fn fill(channel: &Path, stock: Stock) -> Result<u64> {
    let subdir = channel.join(PLATFORM);
    fs::create_dir_all(&subdir)?;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut random = Random::new(0);
        let vocabulary = Vocabulary::new(&mut random);
        let mut length = 0;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= stock.packages {
                return Ok(length);
            }
            let path = package(&subdir, &vocabulary, stock, number)?;
            length += fs::metadata(path)?.len();
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let lengths: Result<Vec<u64>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("a generator panicked")))
            })
            .collect()
    });
    Ok(lengths?.into_iter().sum())
}

/// Adds one package that [`fill`] has not written.
pub(in super::super) fn add(channel: &Path, number: usize) -> Result<PathBuf> {
    let stock = Stock {
        packages: 0,
        content: Content::Small,
        bzipped: 0,
    };
    let vocabulary = Vocabulary::new(&mut Random::new(0));
    package(&channel.join(PLATFORM), &vocabulary, stock, number)
}

fn package(subdir: &Path, vocabulary: &Vocabulary, stock: Stock, number: usize) -> Result<PathBuf> {
    let mut random = Random::new(number as u64 + 1);
    let name = name(random.skewed(NAMES));
    let version = format!(
        "{}.{}.{}",
        random.skewed(30),
        random.skewed(40),
        random.skewed(20)
    );
    let build_number = random.skewed(8);
    let build = match random.below(3) {
        0 => format!("py3{}h{number:07x}_{build_number}", 8 + random.below(6)),
        _ => format!("h{number:07x}_{build_number}"),
    };
    let index = index(&mut random, &name, &version, &build, build_number);
    let content = content(&mut random, vocabulary, stock.content, &name);
    let paths = paths(&mut random, &name);
    let mut info = vec![
        ("info/index.json", index),
        ("info/about.json", about(&mut random, &name)),
        ("info/paths.json", paths),
    ];
    if random.below(4) == 0 {
        let exports = json!({ "weak": [format!("{name} >={version},<99.0a0")] });
        info.push(("info/run_exports.json", exports));
    }
    let info: Vec<_> = info
        .into_iter()
        .map(|(path, value)| (path, format!("{value:#}\n").into_bytes()))
        .collect();
    let kind = if stock.bzipped > 0 && number.is_multiple_of(stock.bzipped) {
        Kind::TarBz2
    } else {
        Kind::Conda
    };
    let stem = format!("{name}-{version}-{build}");
    let path = subdir.join(format!("{stem}{kind}"));
    let file = BufWriter::new(fs::File::create(&path)?);
    let info = info.iter().map(|(path, bytes)| Item::file(*path, bytes));
    let content = content.iter().map(|(path, bytes)| {
        let mut item = Item::file(path.as_str(), bytes);
        item.mtime = MODIFIED;
        item
    });
    let file = write(file, kind, &stem, info, content, &QUICK)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.into_inner()
        .map_err(std::io::IntoInnerError::into_error)?;
    Ok(path)
}

/// The same name for the same number.
fn name(number: usize) -> String {
    const PARTS: [&str; 24] = [
        "arrow", "boost", "cert", "data", "edit", "flow", "graph", "http", "image", "json",
        "kernel", "lib", "math", "net", "open", "parse", "query", "regex", "sql", "table", "unit",
        "vision", "web", "zip",
    ];
    let mut random = Random::new(number as u64);
    let mut part = || PARTS[random.below(PARTS.len())];
    let (first, second) = (part(), part());
    match number % 4 {
        0 => format!("{first}{second}-{number}"),
        1 => format!("r-{first}{number}"),
        2 => format!("py{first}_{second}{number}"),
        _ => format!("lib{first}{number}"),
    }
}

fn index(
    random: &mut Random,
    name: &str,
    version: &str,
    build: &str,
    build_number: usize,
) -> Value {
    const LICENSES: [&str; 5] = [
        "MIT",
        "BSD-3-Clause",
        "Apache-2.0",
        "GPL-3.0-or-later",
        "ISC",
    ];
    let mut depends: Vec<String> = (0..=random.skewed(12))
        .map(|_| {
            let needed = self::name(random.skewed(NAMES));
            let (major, minor) = (random.skewed(20), random.skewed(30));
            match random.below(3) {
                0 => needed,
                1 => format!("{needed} >={major}.{minor}"),
                _ => format!("{needed} >={major}.{minor},<{}.0a0", major + 1),
            }
        })
        .collect();
    depends.sort();
    depends.dedup();
    let mut index = json!({
        "arch": std::env::consts::ARCH,
        "build": build,
        "build_number": build_number,
        "depends": depends,
        "license": LICENSES[random.skewed(LICENSES.len())],
        "name": name,
        "platform": "linux",
        "subdir": PLATFORM,
        "timestamp": MODIFIED * 1000 + random.next() % 100_000_000_000,
        "version": version,
    });
    if random.below(3) == 0 {
        index["license_family"] = "BSD".into();
        index["constrains"] = json!([format!("{} >=1", self::name(random.skewed(NAMES)))]);
    }
    index
}

fn about(random: &mut Random, name: &str) -> Value {
    json!({
        "description": format!("{name} does what it says. ").repeat(1 + random.skewed(20)),
        "dev_url": format!("https://example.org/{name}"),
        "home": format!("https://{name}.example.org"),
        "license": "BSD-3-Clause",
        "summary": format!("A package called {name}, to measure with"),
    })
}

fn paths(random: &mut Random, name: &str) -> Value {
    let paths: Vec<Value> = (0..=random.skewed(60))
        .map(|number| {
            json!({
                "_path": format!("lib/python3.11/site-packages/{name}/module_{number}.py"),
                "path_type": "hardlink",
                "sha256": format!("{:016x}{:016x}", random.next(), random.next()).repeat(2),
                "size_in_bytes": random.skewed(100_000),
            })
        })
        .collect();
    json!({ "paths": paths, "paths_version": 1 })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "sizes of files that are made up"
)]
fn content(
    random: &mut Random,
    vocabulary: &Vocabulary,
    content: Content,
    name: &str,
) -> Vec<(String, Vec<u8>)> {
    match content {
        Content::Small => vec![(format!("share/{name}/version"), b"1\n".to_vec())],
        Content::Noise(length) => {
            let bytes = Vocabulary::noise(random, length);
            vec![(format!("share/{name}/weights.bin"), bytes)]
        }
        Content::Files(median) => {
            // Three to one is what the compressors make of it.
            let length = (median as f64 * 3.0 * random.normal().exp()) as usize;
            vec![
                (
                    format!("lib/lib{name}.so.1"),
                    vocabulary.library(random, length / 2),
                ),
                (
                    format!("lib/python3.11/site-packages/{name}/module.py"),
                    vocabulary.text(random, length / 2),
                ),
            ]
        }
    }
}
