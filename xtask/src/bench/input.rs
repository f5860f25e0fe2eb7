//! Packages and channels to measure with: generated from a seed, so that every machine measures
//! the same bytes, and shaped like a conda-forge environment.

mod content;
pub(super) mod random;
pub(super) mod stock;

use std::io::{BufWriter, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use archive::digest::{Hasher, Sha256};
use archive::package::{Item, ItemKind, Kind, WriteOptions, write};
use fs_err as fs;
use serde_json::{Value, json};

use content::Vocabulary;
use random::Random;

/// conda's name of this machine: what is measured runs here.
pub(super) const PLATFORM: &str = if cfg!(target_arch = "aarch64") {
    "linux-aarch64"
} else {
    "linux-64"
};

/// The prefix that packages were "built" with: 255 bytes, as conda-build has it.
const PLACEHOLDER: &str = concat!(
    "/opt/conda-bld/measured_1700000000000/_h_env_placehold_placehold_placehold_placehold_placehold",
    "_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold",
    "_placehold_placehold_placehold_placehold_placehold_placehold_p"
);

/// Everything that is made is older than the machine that makes it.
const MODIFIED: u64 = 1_700_000_000;

/// zstd's level: higher ones take minutes for the set, and decode at the same speed.
const LEVEL: i32 = 12;

/// A set of packages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// conda's name of the machine that they are for.
    pub(super) platform: &'static str,
    pub(super) packages: usize,
    pub(super) files: usize,
    /// Decoded bytes of all files.
    pub(super) bytes: usize,
    /// The share of the first package in all bytes; otherwise a tenth or less.
    pub(super) largest: Option<f64>,
    /// Length of a single file, in a package of its own.
    pub(super) single: Option<u64>,
}

impl Shape {
    /// The set of the issue, or a tenth of it.
    pub(super) fn environment(quick: bool) -> Shape {
        let part = if quick { 10 } else { 1 };
        Shape {
            platform: PLATFORM,
            packages: 40,
            files: 25_000 / part,
            bytes: 250_000_000 / part,
            largest: None,
            single: None,
        }
    }
}

/// A folder of packages.
pub(super) struct Packages {
    /// The channel's folder, with one subdir.
    pub(super) channel: PathBuf,
    /// The names of the packages, without version and build.
    pub(super) names: Vec<String>,
    /// The package files.
    pub(super) files: Vec<PathBuf>,
    /// The compressed length of all, in bytes.
    pub(super) length: u64,
}

/// Writes the packages of `shape` into their folder of the channel, on all processors.
pub(super) fn packages(channel: &Path, shape: Shape) -> Result<Packages> {
    let subdir = channel.join(shape.platform);
    fs::create_dir_all(&subdir)?;
    let shares = shares(shape);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut made = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(&share) = shares.get(number) else {
                return Ok(made);
            };
            made.push((number, package(&subdir, shape, number, share)?));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let made: Result<Vec<_>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| {
                let made: Result<Vec<_>> = worker
                    .join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("a generator panicked")));
                made
            })
            .collect()
    });
    let mut made: Vec<_> = made?.into_iter().flatten().collect();
    made.sort();
    let mut files: Vec<PathBuf> = made.into_iter().map(|(_, file)| file).collect();
    let mut names: Vec<String> = (0..shares.len()).map(name).collect();
    if let Some(length) = shape.single {
        files.push(single(&subdir, length)?);
        names.push("single".to_owned());
    }
    let mut length = 0;
    for file in &files {
        length += fs::metadata(file)?.len();
    }
    Ok(Packages {
        channel: channel.to_owned(),
        names,
        files,
        length,
    })
}

/// No two of one source: an image has its packages in several layers then, as it has with real ones.
fn name(number: usize) -> String {
    let letter = |number: usize| char::from(b'a' + u8::try_from(number % 26).unwrap_or_default());
    format!("{}{}-measured", letter(number / 26), letter(number))
}

/// The share of each package: falling as in real environments.
fn shares(shape: Shape) -> Vec<f64> {
    let first = usize::from(shape.largest.is_some());
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let weights: Vec<f64> = (first..shape.packages)
        .map(|number| 1.0 / (number as f64 + 4.0))
        .collect();
    let rest = (1.0 - shape.largest.unwrap_or(0.0)) / weights.iter().sum::<f64>();
    shape
        .largest
        .into_iter()
        .chain(weights.into_iter().map(|weight| weight * rest))
        .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "sizes of files that are made up"
)]
fn package(subdir: &Path, shape: Shape, number: usize, share: f64) -> Result<PathBuf> {
    let mut random = Random::new(number as u64);
    let vocabulary = Vocabulary::new(&mut random);
    let count = ((shape.files as f64 * share) as usize).max(4);
    let bytes = shape.bytes as f64 * share;
    // Sizes of files are log-normal: many small ones hold little, a few large ones most.
    let sizes: Vec<f64> = (0..count).map(|_| (random.normal() * 1.7).exp()).collect();
    let scale = bytes / sizes.iter().sum::<f64>();
    let name = name(number);
    let mut files = Vec::with_capacity(count);
    for (index, size) in sizes.iter().enumerate() {
        let size = (size * scale) as usize;
        files.push(file(&mut random, &vocabulary, &name, index, size));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    store(subdir, &name, &files)
}

struct Made {
    path: String,
    bytes: Vec<u8>,
    mode: u32,
    /// `text` or `binary`, where the placeholder stands in it.
    placeholder: Option<&'static str>,
}

fn file(
    random: &mut Random,
    vocabulary: &Vocabulary,
    package: &str,
    index: usize,
    size: usize,
) -> Made {
    let module = package.replace('-', "_");
    if size > 48 << 10 && index.is_multiple_of(16) {
        return Made {
            path: format!("share/{package}/images/{index:05}.png"),
            bytes: Vocabulary::noise(random, size),
            mode: 0o644,
            placeholder: None,
        };
    }
    if size > 48 << 10 {
        let mut bytes = vocabulary.library(random, size);
        let placeholder = index.is_multiple_of(2);
        if placeholder {
            let string = [PLACEHOLDER.as_bytes(), b"/lib\0"].concat();
            let at = bytes.len() / 2;
            bytes[at..at + string.len()].copy_from_slice(&string);
        }
        return Made {
            path: format!("lib/lib{module}_{index}.so.1"),
            bytes,
            mode: 0o755,
            placeholder: placeholder.then_some("binary"),
        };
    }
    let mut bytes = vocabulary.text(random, size);
    if index % 100 == 7 {
        let mut script = format!("#!{PLACEHOLDER}/bin/python\n").into_bytes();
        script.append(&mut bytes);
        return Made {
            path: format!("bin/{package}-{index}"),
            bytes: script,
            mode: 0o755,
            placeholder: Some("text"),
        };
    }
    let folder = index / 40 % 12;
    let path = match index % 10 {
        0 => format!("include/{module}/part{folder}/header_{index}.h"),
        1 => format!("share/{package}/data{folder}/table_{index}.json"),
        _ => format!("lib/python3.11/site-packages/{module}/part{folder}/module_{index}.py"),
    };
    Made {
        path,
        bytes,
        mode: 0o644,
        placeholder: None,
    }
}

fn store(subdir: &Path, name: &str, files: &[Made]) -> Result<PathBuf> {
    let paths = files.iter().map(|file| {
        let mut entry = json!({
            "_path": file.path,
            "path_type": "hardlink",
            "sha256": Sha256::of(&file.bytes),
            "size_in_bytes": file.bytes.len(),
        });
        if let Some(mode) = file.placeholder {
            entry["prefix_placeholder"] = PLACEHOLDER.into();
            entry["file_mode"] = mode.into();
        }
        entry
    });
    let info = info(subdir, name, &paths.collect());
    let content = files.iter().map(|file| {
        let mut item = Item::file(file.path.as_str(), &file.bytes).mode(file.mode);
        item.mtime = MODIFIED;
        item
    });
    finish(subdir, name, &info, content, LEVEL)
}

/// A package of one file, which never is in memory.
fn single(subdir: &Path, length: u64) -> Result<PathBuf> {
    let (path, name) = ("share/single/weights.bin", "single");
    let mut hasher = Hasher::new();
    let mut stream = Blocks::new(length);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    let paths = json!([{
        "_path": path,
        "path_type": "hardlink",
        "sha256": hasher.finish().sha256,
        "size_in_bytes": length,
    }]);
    let item = Item {
        path: path.to_owned(),
        kind: ItemKind::File {
            size: length,
            content: Box::new(Blocks::new(length)),
        },
        mode: 0o644,
        mtime: MODIFIED,
    };
    let info = info(subdir, name, &paths);
    finish(subdir, name, &info, std::iter::once(item), 1)
}

/// `length` bytes: noise and zeros by turns, which a compressor is quickly done with.
struct Blocks {
    random: Random,
    block: Vec<u8>,
    position: usize,
    left: u64,
}

impl Blocks {
    fn new(length: u64) -> Blocks {
        Blocks {
            random: Random::new(length),
            block: Vec::new(),
            position: 0,
            left: length,
        }
    }
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.position == self.block.len() {
            self.block = Vocabulary::noise(&mut self.random, 1 << 16);
            self.block.resize(1 << 18, 0);
            self.position = 0;
        }
        let rest = &self.block[self.position..];
        let wanted = buffer.len().min(rest.len());
        let count = wanted.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        buffer[..count].copy_from_slice(&rest[..count]);
        self.position += count;
        self.left -= count as u64;
        Ok(count)
    }
}

fn info(subdir: &Path, name: &str, paths: &Value) -> Vec<(&'static str, Vec<u8>)> {
    let platform = subdir.file_name().unwrap_or_default().to_string_lossy();
    let index = json!({
        "name": name,
        "version": "1.0",
        "build": "0",
        "build_number": 0,
        "depends": [],
        "subdir": platform,
        "arch": std::env::consts::ARCH,
        "platform": "linux",
        "license": "BSD-3-Clause",
        "timestamp": MODIFIED * 1000,
    });
    let paths = json!({ "paths": paths, "paths_version": 1 });
    let about = json!({ "summary": "A package to measure with" });
    [
        ("info/about.json", about),
        ("info/index.json", index),
        ("info/paths.json", paths),
    ]
    .map(|(path, value)| (path, format!("{value:#}\n").into_bytes()))
    .into()
}

fn finish<'a>(
    subdir: &Path,
    name: &str,
    info: &'a [(&'static str, Vec<u8>)],
    content: impl Iterator<Item = Item<'a>>,
    level: i32,
) -> Result<PathBuf> {
    let stem = format!("{name}-1.0-0");
    let path = subdir.join(format!("{stem}.conda"));
    let file = BufWriter::new(fs::File::create(&path)?);
    let info = info.iter().map(|(path, bytes)| Item::file(*path, bytes));
    let options = WriteOptions {
        zstd_level: level,
        ..WriteOptions::default()
    };
    let file = write(file, Kind::Conda, &stem, info, content, &options)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.into_inner()
        .map_err(std::io::IntoInnerError::into_error)?;
    Ok(path)
}
