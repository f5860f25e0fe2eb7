//! `conda-meta/NAME-VERSION-BUILD.json`: what conda and rattler know of an installed package. The
//! fields are those of conda's `PrefixRecord` (conda/models/records.py) and rattler's
//! (`rattler_conda_types::prefix_record`).

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::Path;

use archive::digest::Sha256;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::lay::installed;
use crate::plan::{Entry, File, Kind, Package, Places};

/// Link types as conda numbers them (`LinkType` in conda/models/enums.py).
const HARD_LINK: u8 = 1;
const COPY: u8 = 3;

/// Everything that a record is made of.
pub(crate) struct Record<'a> {
    pub(crate) package: &'a Package,
    /// The final prefix.
    pub(crate) prefix: &'a str,
    /// Whether the extracted package stays in `pkgs/`.
    pub(crate) kept: bool,
    /// Digest and length of the entries whose content depends on the prefix.
    pub(crate) written: &'a HashMap<usize, (Sha256, u64)>,
    /// The files that hard links name, with their numbers.
    pub(crate) hard_links: &'a HashMap<&'a str, (usize, &'a Entry, &'a File)>,
}

impl Record<'_> {
    /// Writes the record as conda does: keys sorted, two spaces of indentation.
    pub(crate) fn write(&self, sink: &mut dyn Write) -> io::Result<()> {
        let dist = &self.package.dist;
        let folder = format!("{}/pkgs/{dist}", self.prefix);
        let archive = self
            .package
            .record
            .get("fn")
            .and_then(Value::as_str)
            .unwrap_or(dist);
        let paths = self.paths();
        let files = paths.iter().map(|path| path.path).collect();
        let mut fields: BTreeMap<&str, Field<'_>> = BTreeMap::new();
        fields.extend(
            self.package
                .record
                .iter()
                .map(|(key, value)| (&**key, Field::Value(value))),
        );
        let archive = Field::Text(format!("{}/pkgs/{archive}", self.prefix));
        fields.insert("package_tarball_full_path", archive);
        fields.insert("extracted_package_dir", Field::Text(folder.clone()));
        let kind = if self.kept { HARD_LINK } else { COPY };
        fields.insert(
            "link",
            Field::Link(Link {
                source: folder,
                kind,
            }),
        );
        fields.insert(
            "requested_specs",
            Field::Specs(&self.package.requested_specs),
        );
        fields.insert("files", Field::Files(files));
        fields.insert(
            "paths_data",
            Field::Paths(PathsData {
                paths,
                paths_version: 1,
            }),
        );
        serde_json::to_writer_pretty(&mut *sink, &fields)?;
        sink.write_all(b"\n")
    }

    fn paths(&self) -> Vec<PathData<'_>> {
        let entries = self.package.entries.iter().enumerate();
        let entries = entries.filter(|(_, entry)| installed(entry));
        let mut paths: Vec<PathData<'_>> = entries
            .map(|(index, entry)| self.path(index, entry))
            .collect();
        paths.sort_by(|a, b| order(a.path, b.path));
        paths
    }

    fn path<'e>(&'e self, index: usize, entry: &'e Entry) -> PathData<'e> {
        let mut path = PathData {
            path: &entry.path,
            file_mode: None,
            no_link: entry.no_link.then_some(true),
            path_type: "hardlink",
            prefix_placeholder: None,
            sha256: None,
            sha256_in_prefix: None,
            size_in_bytes: None,
        };
        let written = self.written.get(&index);
        match &entry.kind {
            Kind::File(file) => path.describe(file, written),
            Kind::HardLink { to } => {
                if let Some((index, _, file)) = self.hard_links.get(to.as_str()) {
                    path.describe(file, self.written.get(index));
                }
            }
            Kind::SymbolicLink { target, listed } => {
                path.path_type = "softlink";
                path.sha256 = listed.and_then(|listed| listed.sha256);
                let listed = listed.and_then(|listed| listed.size);
                path.size_in_bytes = Some(listed.unwrap_or(target.len() as u64));
            }
            Kind::Directory => path.path_type = "directory",
            Kind::EntryPoint { .. } => {
                path.path_type = "unix_python_entry_point";
                path.sha256 = written.map(|(sha256, _)| *sha256);
                path.size_in_bytes = written.map(|(_, size)| *size);
            }
        }
        path
    }
}

/// Writes `object` as conda writes `repodata_record.json`.
pub(crate) fn write_sorted(object: &Map<String, Value>, sink: &mut dyn Write) -> io::Result<()> {
    let sorted: BTreeMap<&String, &Value> = object.iter().collect();
    serde_json::to_writer_pretty(&mut *sink, &sorted)?;
    sink.write_all(b"\n")
}

/// Adds compiled modules to a record that is in its place.
pub(crate) fn add_compiled(path: &Path, compiled: &[String]) -> Result<(), Error> {
    let read = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let text = std::fs::read(path).map_err(read)?;
    let text = with_compiled(&text, compiled).map_err(|error| read(error.into()))?;
    std::fs::write(path, text).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

/// The text of a record with compiled modules added.
///
/// Fails if `text` is no record.
pub fn with_compiled(text: &[u8], compiled: &[String]) -> serde_json::Result<Vec<u8>> {
    let mut record: BTreeMap<String, Value> = serde_json::from_slice(text)?;
    if let Some(Value::Array(files)) = record.get_mut("files") {
        files.extend(compiled.iter().map(|path| Value::from(path.as_str())));
        files.sort_by(|a, b| {
            order(
                a.as_str().unwrap_or_default(),
                b.as_str().unwrap_or_default(),
            )
        });
    }
    if let Some(Value::Array(paths)) = record
        .get_mut("paths_data")
        .and_then(|d| d.get_mut("paths"))
    {
        let entry = |path: &String| serde_json::json!({ "_path": path, "path_type": "pyc_file" });
        paths.extend(compiled.iter().map(entry));
        let key = |value: &Value| {
            value
                .get("_path")
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        paths.sort_by(|a, b| order(&key(a).unwrap_or_default(), &key(b).unwrap_or_default()));
    }
    let mut text = serde_json::to_vec_pretty(&record)?;
    text.push(b'\n');
    Ok(text)
}

/// Paths in the order of their parts, as rattler sorts them.
fn order(a: &str, b: &str) -> std::cmp::Ordering {
    a.split('/').cmp(b.split('/'))
}

#[derive(Serialize)]
#[serde(untagged)]
enum Field<'a> {
    Value(&'a Value),
    Text(String),
    Specs(&'a [String]),
    Files(Vec<&'a str>),
    Paths(PathsData<'a>),
    Link(Link),
}

#[derive(Serialize)]
struct Link {
    source: String,
    #[serde(rename = "type")]
    kind: u8,
}

#[derive(Serialize)]
struct PathsData<'a> {
    paths: Vec<PathData<'a>>,
    paths_version: u8,
}

#[derive(Serialize)]
struct PathData<'a> {
    #[serde(rename = "_path")]
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_mode: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_link: Option<bool>,
    path_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix_placeholder: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256_in_prefix: Option<Sha256>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_in_bytes: Option<u64>,
}

impl<'a> PathData<'a> {
    fn describe(&mut self, file: &'a File, written: Option<&(Sha256, u64)>) {
        self.sha256 = Some(file.sha256);
        self.size_in_bytes = Some(written.map_or(file.size, |(_, size)| *size));
        self.sha256_in_prefix = written
            .map(|(sha256, _)| *sha256)
            .filter(|sha256| *sha256 != file.sha256);
        if let Some(placeholder) = &file.placeholder {
            self.prefix_placeholder = Some(&placeholder.prefix);
            self.file_mode = Some(match placeholder.places {
                Places::Text { .. } => "text",
                Places::Binary { .. } => "binary",
            });
        }
    }
}
