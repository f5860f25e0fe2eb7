//! conda packages from a few lines in a test. What the metadata says fits the files, unless a test
//! wants it otherwise; for what the writer of packages refuses to write there is `raw`.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use archive::digest::Sha256;
use archive::package::{Item, Kind, WriteOptions, split_file_name};
use fs_err as fs;
use serde_json::{Map, Value, json};

/// A build prefix as conda-build makes them, 255 bytes long.
pub(crate) const PREFIX: &str = concat!(
    "/home/builder/work/_h_env_placehold_placehold_placehold_placehold_placehold_placehold_placehold",
    "_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_placehold_plac",
    "ehold_placehold_placehold_placehold_placehold_placehold_placehold",
);

/// All files of all packages have this time.
pub(crate) const MODIFIED: u64 = 1_600_000_000;

/// A package. `..Package::named("name 1.0 0")` fills in the rest.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) build: String,
    pub(crate) build_number: u64,
    /// The folder of the channel. A generic package is in `noarch`.
    pub(crate) subdir: &'static str,
    pub(crate) kind: Kind,
    pub(crate) depends: Vec<String>,
    /// `noarch: python`, with these entry points.
    pub(crate) python: Option<Vec<&'static str>>,
    /// Further keys of `info/index.json`; `null` takes one out.
    pub(crate) index: Value,
    /// Files, links and folders.
    pub(crate) files: Vec<File>,
    /// Files under `info/` that are added or take the place of others.
    pub(crate) info: Vec<(&'static str, String)>,
    /// Files under `info/` that are not there after all.
    pub(crate) without: Vec<&'static str>,
    /// `info/files` and `info/has_prefix`, as before 2016, in place of `info/paths.json`.
    pub(crate) old: bool,
}

/// Something in a package.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) kind: FileKind,
    pub(crate) mode: u32,
    /// `text` or `binary`: the content holds [`PREFIX`].
    pub(crate) placeholder: Option<&'static str>,
    /// Whether the package's list names it.
    pub(crate) listed: bool,
    pub(crate) no_link: bool,
}

/// What it is.
#[derive(Debug, Clone)]
pub(crate) enum FileKind {
    Content(Vec<u8>),
    HardLink(String),
    SymbolicLink(String),
    Folder,
}

/// A file with mode 644.
pub(crate) fn file(path: &str, content: impl AsRef<[u8]>) -> File {
    entry(path, FileKind::Content(content.as_ref().to_vec()), 0o644)
}

/// Bytes that no compressor makes less of.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_le_bytes()[7]
    };
    (0..length).map(next).collect()
}

/// A file with mode 755.
pub(crate) fn executable(path: &str, content: impl AsRef<[u8]>) -> File {
    entry(path, FileKind::Content(content.as_ref().to_vec()), 0o755)
}

/// A file in which `@PREFIX@` is the prefix, to be replaced as text.
pub(crate) fn text_prefix(path: &str, content: &str) -> File {
    let content = content.replace("@PREFIX@", PREFIX);
    File {
        placeholder: Some("text"),
        ..file(path, content)
    }
}

/// A file in which the prefix stands in strings that end in NUL: `strings` are what follows it.
pub(crate) fn binary_prefix(path: &str, strings: &[&str]) -> File {
    let mut content = b"\x7fELF\x02\x01\x01\0\xff\xfe".to_vec();
    for string in strings {
        content.extend_from_slice(PREFIX.as_bytes());
        content.extend_from_slice(string.as_bytes());
        content.extend_from_slice(b"\0\xff\x01");
    }
    File {
        placeholder: Some("binary"),
        ..executable(path, content)
    }
}

/// A second name of an earlier file.
pub(crate) fn hard_link(path: &str, target: &str) -> File {
    entry(path, FileKind::HardLink(target.to_owned()), 0o644)
}

/// A symbolic link.
pub(crate) fn symbolic_link(path: &str, target: &str) -> File {
    entry(path, FileKind::SymbolicLink(target.to_owned()), 0o777)
}

/// An empty folder.
pub(crate) fn folder(path: &str) -> File {
    entry(path, FileKind::Folder, 0o755)
}

/// A script that conda runs: `kind` is `pre-link`, `post-link` or `pre-unlink`.
pub(crate) fn link_script(package: &str, kind: &str, content: &str) -> File {
    executable(&format!("bin/.{package}-{kind}.sh"), content)
}

fn entry(path: &str, kind: FileKind, mode: u32) -> File {
    let path = path.to_owned();
    File {
        path,
        kind,
        mode,
        placeholder: None,
        listed: true,
        no_link: false,
    }
}

impl Package {
    /// A `.conda` for linux-64 with one small file: `named("name 1.0 build_0")`.
    pub(crate) fn named(text: &str) -> Package {
        let dashed = text.replace(' ', "-");
        let (name, version, build) = split_file_name(&dashed).expect("name version build");
        let number = build
            .rsplit('_')
            .next()
            .and_then(|number| number.parse().ok());
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            build: build.to_owned(),
            build_number: number.unwrap_or(0),
            subdir: "linux-64",
            kind: Kind::Conda,
            depends: Vec::new(),
            python: None,
            index: json!({}),
            files: vec![file(
                &format!("share/{name}/version"),
                format!("{version} {build}\n"),
            )],
            info: Vec::new(),
            without: Vec::new(),
            old: false,
        }
    }

    /// The same for all platforms: `noarch: generic`.
    pub(crate) fn generic(text: &str) -> Package {
        let index = json!({ "noarch": "generic" });
        Package {
            subdir: "noarch",
            index,
            ..Package::named(text)
        }
    }

    /// A `noarch: python` package with these entry points.
    pub(crate) fn python(text: &str, entry_points: &[&'static str]) -> Package {
        Package {
            subdir: "noarch",
            depends: vec!["python".to_owned()],
            python: Some(entry_points.to_vec()),
            ..Package::named(text)
        }
    }

    /// Needs these.
    pub(crate) fn needs(self, depends: &[&str]) -> Package {
        Package {
            depends: depends.iter().map(|text| (*text).to_owned()).collect(),
            ..self
        }
    }

    /// Holds exactly these.
    pub(crate) fn with(self, files: Vec<File>) -> Package {
        Package { files, ..self }
    }

    /// For this platform.
    pub(crate) fn on(self, subdir: &'static str) -> Package {
        Package { subdir, ..self }
    }

    /// As `.tar.bz2`.
    pub(crate) fn bzipped(self) -> Package {
        Package {
            kind: Kind::TarBz2,
            ..self
        }
    }

    /// `name-version-build`.
    pub(crate) fn stem(&self) -> String {
        format!("{}-{}-{}", self.name, self.version, self.build)
    }

    /// `name-version-build.conda`.
    pub(crate) fn file_name(&self) -> String {
        self.stem() + self.kind.extension()
    }

    /// The archive's bytes: the same for the same package.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let info = self.info_files();
        let info = info
            .iter()
            .map(|(path, content)| Item::file(path.as_str(), content.as_bytes()));
        let content = self.files.iter().map(|file| {
            let mut item = match &file.kind {
                FileKind::Content(content) => Item::file(file.path.as_str(), content),
                FileKind::HardLink(target) => Item::hard_link(file.path.as_str(), target.as_str()),
                FileKind::SymbolicLink(target) => {
                    Item::symbolic_link(file.path.as_str(), target.as_str())
                }
                FileKind::Folder => Item::directory(file.path.as_str()),
            };
            item.mtime = MODIFIED;
            item.mode(file.mode)
        });
        let quick = WriteOptions {
            zstd_level: 3,
            bzip2_level: 1,
        };
        let sink = Cursor::new(Vec::new());
        archive::package::write(sink, self.kind, &self.stem(), info, content, &quick)
            .expect("a package")
            .into_inner()
    }

    /// Writes it to its place in a channel.
    pub(crate) fn write_to(&self, channel: &Path) -> PathBuf {
        write_to(channel, self, &self.bytes())
    }

    /// The files under `info/`, with their paths.
    pub(crate) fn info_files(&self) -> Vec<(String, String)> {
        let pretty = |value: &Value| format!("{value:#}");
        let mut files = vec![("info/index.json", pretty(&self.index_json()))];
        if self.old {
            files.extend(self.old_listing());
        } else {
            files.push(("info/paths.json", pretty(&self.paths_json())));
        }
        if let Some(entry_points) = &self.python {
            let noarch = json!({ "type": "python", "entry_points": entry_points });
            let link = json!({ "noarch": noarch, "package_metadata_version": 1 });
            files.push(("info/link.json", pretty(&link)));
        }
        files.retain(|(path, _)| !self.info.iter().any(|(other, _)| other == path));
        files.extend(self.info.iter().cloned());
        files.retain(|(path, _)| !self.without.contains(path));
        files
            .into_iter()
            .map(|(path, text)| (path.to_owned(), text))
            .collect()
    }

    /// `info/index.json`.
    pub(crate) fn index_json(&self) -> Value {
        let mut index = Map::new();
        index.insert("name".into(), json!(self.name));
        index.insert("version".into(), json!(self.version));
        index.insert("build".into(), json!(self.build));
        index.insert("build_number".into(), json!(self.build_number));
        index.insert("depends".into(), json!(self.depends));
        index.insert("subdir".into(), json!(self.subdir));
        index.insert("license".into(), json!("BSD-3-Clause"));
        index.insert("timestamp".into(), json!(MODIFIED * 1000));
        if self.python.is_some() {
            index.insert("noarch".into(), json!("python"));
        }
        for (key, value) in self.index.as_object().into_iter().flatten() {
            match value {
                Value::Null => index.remove(key),
                value => index.insert(key.clone(), value.clone()),
            };
        }
        Value::Object(index)
    }

    fn paths_json(&self) -> Value {
        let paths: Vec<Value> = self
            .files
            .iter()
            .filter(|file| file.listed)
            .map(|file| {
                let mut path = Map::new();
                path.insert("_path".into(), json!(file.path));
                let (path_type, content) = match &file.kind {
                    FileKind::Content(_) | FileKind::HardLink(_) => {
                        ("hardlink", self.content(file))
                    }
                    FileKind::SymbolicLink(_) => ("softlink", Vec::new()),
                    FileKind::Folder => ("directory", Vec::new()),
                };
                path.insert("path_type".into(), json!(path_type));
                path.insert("sha256".into(), json!(Sha256::of(&content).to_string()));
                path.insert("size_in_bytes".into(), json!(content.len()));
                if file.no_link {
                    path.insert("no_link".into(), json!(true));
                }
                if let Some(mode) = file.placeholder {
                    path.insert("file_mode".into(), json!(mode));
                    path.insert("prefix_placeholder".into(), json!(PREFIX));
                }
                Value::Object(path)
            })
            .collect();
        json!({ "paths": paths, "paths_version": 1 })
    }

    fn old_listing(&self) -> Vec<(&'static str, String)> {
        let listed = || self.files.iter().filter(|file| file.listed);
        let lines = |lines: Vec<String>| lines.join("\n") + "\n";
        let prefixes: Vec<String> = listed()
            .filter_map(|file| Some(format!("{PREFIX} {} {}", file.placeholder?, file.path)))
            .collect();
        let mut files = vec![(
            "info/files",
            lines(listed().map(|file| file.path.clone()).collect()),
        )];
        if !prefixes.is_empty() {
            files.push(("info/has_prefix", lines(prefixes)));
        }
        files
    }

    /// A file's bytes; a hard link's are those of what it names.
    fn content(&self, file: &File) -> Vec<u8> {
        match &file.kind {
            FileKind::Content(content) => content.clone(),
            FileKind::HardLink(target) => {
                let first = self.files.iter().find(|file| file.path == *target);
                first.map(|file| self.content(file)).unwrap_or_default()
            }
            FileKind::SymbolicLink(_) | FileKind::Folder => Vec::new(),
        }
    }
}

/// Writes any bytes under a package's name to its place in a channel.
pub(crate) fn write_to(channel: &Path, package: &Package, bytes: &[u8]) -> PathBuf {
    let folder = channel.join(package.subdir);
    fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join(package.file_name());
    fs::write(&path, bytes).expect("a package");
    path
}
