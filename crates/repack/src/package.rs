//! Drafts become package files: the content as it is, and an `info/` with all that conda-build
//! writes. The same draft gives the same bytes.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use archive::digest::Hasher;
use archive::package::{Item, ItemKind, Kind, WriteOptions};
use conda::hex;
use fs_err as fs;
use serde_json::{Value, json};

use crate::draft::{Draft, DraftFile, PlaceholderMode};
use crate::{Error, error};

/// The sha256 of no bytes, which conda-build gives to links that lead nowhere in the package.
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Writes a package into the folder of its platform below `channel`, in place of one of the same
/// name, and returns the file name.
pub(crate) fn write(
    draft: &Draft,
    kind: Kind,
    options: WriteOptions,
    channel: &Path,
) -> Result<String, Error> {
    let stem = format!("{}-{}-{}", draft.name, draft.version, draft.build);
    let suffix = match kind {
        Kind::Conda => ".conda",
        Kind::TarBz2 => ".tar.bz2",
    };
    let name = format!("{stem}{suffix}");
    let folder = channel.join(&draft.subdir);
    fs::create_dir_all(&folder).map_err(error::file("make", &folder))?;
    let path = folder.join(&name);
    let measured = measure(draft)?;
    let info = info(draft, &measured)?;
    let time = draft.timestamp_ms / 1000;
    let at_time = move |item: Item<'static>| Item {
        mtime: time,
        ..item
    };
    let info = info.into_iter().map(|(path, bytes)| Item {
        path,
        kind: ItemKind::File {
            size: bytes.len() as u64,
            content: Box::new(io::Cursor::new(bytes)),
        },
        mode: 0o644,
        mtime: time,
    });
    let content = draft.files.iter().map(|(path, file)| match file {
        DraftFile::File { source, mode, .. } => Item {
            path: path.clone(),
            kind: ItemKind::File {
                size: measured.get(path).map_or(0, |(_, size)| *size),
                content: Box::new(Lazy::new(source.clone())),
            },
            mode: *mode,
            mtime: time,
        },
        DraftFile::SymbolicLink { target } => {
            at_time(Item::symbolic_link(path.clone(), target.clone()))
        }
    });
    let scratch = tempfile::NamedTempFile::new_in(&folder).map_err(error::file("write", &path))?;
    let written = archive::package::write(&scratch, kind, &stem, info, content, &options);
    written.map_err(|source| Error::Package {
        file: name.clone(),
        source,
    })?;
    let place = |scratch: tempfile::NamedTempFile| {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::Permissions::from_mode(0o644);
        scratch.as_file().set_permissions(mode)?;
        // Indexers date packages by it.
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(time);
        scratch.as_file().set_modified(time)?;
        scratch.persist(&path).map_err(|error| error.error)
    };
    place(scratch).map_err(error::file("write", &path))?;
    Ok(name)
}

/// The build string: a digest of what the package was made of, as conda-build has one of what it
/// was built with, and the build number.
pub(crate) fn build_string(draft: &Draft) -> Result<String, Error> {
    let mut digest = Hasher::new();
    for (path, (sha256, size)) in measure(draft)? {
        digest.update(format!("{path}\0{sha256}\0{size}\n").as_bytes());
    }
    for depend in &draft.depends {
        digest.update(format!("{depend}\n").as_bytes());
    }
    let digest = hex::encode(&digest.finish().sha256.0);
    let start = digest.get(..7).unwrap_or_default();
    Ok(format!("h{start}_{}", draft.build_number))
}

/// The sha256 and size of every file.
fn measure(draft: &Draft) -> Result<BTreeMap<String, (String, u64)>, Error> {
    let one = |(path, file): (&String, &DraftFile)| {
        let DraftFile::File { source, .. } = file else {
            return Ok(None);
        };
        let read = fs::File::open(source).and_then(|file| {
            let found = Hasher::new().all_of(file)?;
            Ok((hex::encode(&found.sha256.0), found.length))
        });
        let read = read.map_err(error::file("read", source))?;
        Ok(Some((path.clone(), read)))
    };
    draft
        .files
        .iter()
        .filter_map(|entry| one(entry).transpose())
        .collect()
}

/// The files below `info/`, sorted.
fn info(
    draft: &Draft,
    measured: &BTreeMap<String, (String, u64)>,
) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let mut info = BTreeMap::new();
    let mut add = |name: &str, bytes: Vec<u8>| info.insert(format!("info/{name}"), bytes);
    let text = |value: &Value| format!("{value:#}").into_bytes();
    add("index.json", text(&index(draft)));
    add("paths.json", text(&paths(draft, measured)));
    let files: String = draft.files.keys().flat_map(|path| [path, "\n"]).collect();
    add("files", files.into_bytes());
    let has_prefix = has_prefix(draft);
    if !has_prefix.is_empty() {
        add("has_prefix", has_prefix.into_bytes());
    }
    let sources: Vec<Value> = draft
        .sources
        .iter()
        .map(|source| json!({ "file": source.file, "sha256": source.sha256 }))
        .collect();
    add(
        "about.json",
        text(&json!({
            "extra": { "sources": sources },
            "home": draft.home,
            "license": draft.license,
            "summary": draft.summary,
        })),
    );
    if !draft.run_exports.is_empty() {
        add(
            "run_exports.json",
            text(&json!({ "weak": draft.run_exports })),
        );
    }
    let noarch = match (draft.subdir == "noarch", draft.noarch_python) {
        (_, true) => Some(json!({ "entry_points": draft.entry_points, "type": "python" })),
        (true, false) => Some(json!({ "type": "generic" })),
        (false, false) => None,
    };
    if let Some(noarch) = noarch {
        let link = json!({ "noarch": noarch, "package_metadata_version": 1 });
        add("link.json", text(&link));
    }
    add("hash_input.json", b"{}".to_vec());
    add("git", Vec::new());
    // YAML of which JSON is a part.
    let recipe = json!({
        "package": { "name": draft.name, "version": draft.version },
        "source": sources,
        "build": { "number": draft.build_number, "string": draft.build },
        "requirements": { "run": draft.depends, "run_constrained": draft.constrains },
        "about": { "home": draft.home, "license": draft.license, "summary": draft.summary },
    });
    add("recipe/meta.yaml", text(&recipe));
    for (name, path) in &draft.license_files {
        let bytes = fs::read(path).map_err(error::file("read", path))?;
        add(&format!("licenses/{name}"), bytes);
    }
    Ok(info)
}

/// `info/index.json`, with the keys of conda-build's `metadata.info_index`.
fn index(draft: &Draft) -> Value {
    let noarch = draft.subdir == "noarch";
    let (platform, arch) = match draft.subdir.as_str() {
        "linux-64" => (Value::from("linux"), Value::from("x86_64")),
        "noarch" => (Value::Null, Value::Null),
        other => {
            let (platform, arch) = other.split_once('-').unwrap_or((other, ""));
            (Value::from(platform), Value::from(arch))
        }
    };
    let mut index = json!({
        "arch": arch,
        "build": draft.build,
        "build_number": draft.build_number,
        "depends": draft.depends,
        "license": draft.license,
        "name": draft.name,
        "platform": platform,
        "subdir": draft.subdir,
        "timestamp": draft.timestamp_ms,
        "version": draft.version,
    });
    if !draft.constrains.is_empty() {
        index["constrains"] = json!(draft.constrains);
    }
    if noarch {
        let kind = if draft.noarch_python {
            "python"
        } else {
            "generic"
        };
        index["noarch"] = Value::from(kind);
    }
    if let Some(path) = &draft.python_site_packages_path {
        index["python_site_packages_path"] = Value::from(path.as_str());
    }
    index
}

/// `info/paths.json` (conda-build's `build_info_files_json_v1`).
fn paths(draft: &Draft, measured: &BTreeMap<String, (String, u64)>) -> Value {
    let entry = |(path, file): (&String, &DraftFile)| match file {
        DraftFile::File { placeholder, .. } => {
            let (sha256, size) = measured.get(path).cloned().unwrap_or_default();
            let mut entry = json!({
                "_path": path, "path_type": "hardlink", "sha256": sha256, "size_in_bytes": size,
            });
            if let Some(placeholder) = placeholder {
                entry["prefix_placeholder"] = Value::from(placeholder.text.as_str());
                entry["file_mode"] = Value::from(mode(placeholder.mode));
            }
            entry
        }
        DraftFile::SymbolicLink { target } => {
            let found = followed(draft, path, target);
            let found = found.and_then(|path| measured.get(&path)).cloned();
            let (sha256, size) = found.unwrap_or_else(|| (EMPTY.to_owned(), 0));
            json!({
                "_path": path, "path_type": "softlink", "sha256": sha256, "size_in_bytes": size,
            })
        }
    };
    let paths: Vec<Value> = draft.files.iter().map(entry).collect();
    json!({ "paths": paths, "paths_version": 1 })
}

/// The file of the package that a link leads to.
fn followed(draft: &Draft, link: &str, target: &str) -> Option<String> {
    let (mut link, mut target) = (link.to_owned(), target.to_owned());
    for _ in 0..16 {
        let mut parts: Vec<&str> = link.split('/').collect();
        parts.pop();
        for part in target.split('/') {
            match part {
                ".." => drop(parts.pop()?),
                "." | "" => {}
                part => parts.push(part),
            }
        }
        let path = parts.join("/");
        match draft.files.get(&path)? {
            DraftFile::File { .. } => return Some(path),
            DraftFile::SymbolicLink { target: next } => {
                target.clone_from(next);
                link = path;
            }
        }
    }
    None
}

/// `info/has_prefix`, for tools that do not know `paths.json`.
fn has_prefix(draft: &Draft) -> String {
    let line = |(path, file): (&String, &DraftFile)| match file {
        DraftFile::File {
            placeholder: Some(placeholder),
            ..
        } => Some(format!(
            "{} {} {path}\n",
            placeholder.text,
            mode(placeholder.mode)
        )),
        _ => None,
    };
    draft.files.iter().filter_map(line).collect()
}

fn mode(mode: PlaceholderMode) -> &'static str {
    match mode {
        PlaceholderMode::Text => "text",
        PlaceholderMode::Binary => "binary",
    }
}

/// A file that is opened when it is read: a package may have more than may be open.
struct Lazy {
    path: PathBuf,
    file: Option<fs::File>,
}

impl Lazy {
    fn new(path: PathBuf) -> Lazy {
        Lazy { path, file: None }
    }
}

impl Read for Lazy {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.file.is_none() {
            self.file = Some(fs::File::open(&self.path)?);
        }
        let count = self.file.as_mut().map_or(Ok(0), |file| file.read(buffer))?;
        if count == 0 {
            self.file = None;
        }
        Ok(count)
    }
}
