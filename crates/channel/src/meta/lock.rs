//! The lock beside a definition: which bytes of the channels it was compiled from, so that a build can be
//! repeated. Shards are named by the digests in their index.

use std::collections::BTreeMap;
use std::path::Path;

use archive::digest::Sha256;
use fetch::Document;
use serde::{Deserialize, Serialize};
use url::Url;

use super::Error;

const VERSION: u32 = 1;

/// What was read of a platform's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Revision {
    url: String,
    documents: BTreeMap<String, (Sha256, u64)>,
}

/// A lock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Locked {
    documents: BTreeMap<String, (Sha256, u64)>,
    /// The instant that `exclude_newer` meant, in milliseconds since 1970.
    pub(super) newest_ms: Option<i64>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exclude_newer_ms: Option<i64>,
    #[serde(default)]
    document: Vec<Row>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Row {
    url: String,
    size: u64,
    sha256: String,
}

impl Revision {
    pub(super) fn new(url: &Url) -> Self {
        Self {
            url: url.to_string(),
            documents: BTreeMap::new(),
        }
    }

    /// Notes what was read.
    pub(super) fn add(&mut self, name: &str, document: &Document) {
        let known = (Sha256(document.sha256), document.size);
        self.documents.insert(name.to_owned(), known);
    }
}

impl Locked {
    pub(super) fn new(revisions: &[Revision], newest_ms: Option<i64>) -> Self {
        let all = revisions.iter().flat_map(|revision| {
            let documents = revision.documents.iter();
            documents.map(|(name, known)| (format!("{}{name}", revision.url), *known))
        });
        Self {
            documents: all.collect(),
            newest_ms,
        }
    }

    /// What a URL had, if it was read.
    pub(super) fn get(&self, url: &Url) -> Option<([u8; 32], u64)> {
        let (sha256, size) = self.documents.get(url.as_str())?;
        Some((sha256.0, *size))
    }

    /// Reads a lock; none where there is no file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let text = match fs_err::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(Error::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        let wrong = |source: super::Reason| Error::Lock {
            path: path.to_owned(),
            source,
        };
        let file: File = toml::from_str(&text).map_err(|error| wrong(Box::new(error)))?;
        if file.version != VERSION {
            let problem = format!(
                "it has version {}, this program knows {VERSION}",
                file.version
            );
            return Err(wrong(problem.into()));
        }
        let mut documents = BTreeMap::new();
        for row in file.document {
            let sha256 = row.sha256.parse();
            let sha256 =
                sha256.map_err(|_| wrong(format!("`{}` is no SHA-256", row.sha256).into()))?;
            documents.insert(row.url, (sha256, row.size));
        }
        Ok(Some(Self {
            documents,
            newest_ms: file.exclude_newer_ms,
        }))
    }

    /// Writes the lock where it differs from what is there.
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        if Self::read(path).ok().flatten().as_ref() == Some(self) {
            return Ok(());
        }
        let rows = self.documents.iter().map(|(url, (sha256, size))| Row {
            url: url.clone(),
            size: *size,
            sha256: sha256.to_string(),
        });
        let file = File {
            version: VERSION,
            exclude_newer_ms: self.newest_ms,
            document: rows.collect(),
        };
        let body = toml::to_string(&file).unwrap_or_default();
        let text = format!(
            "# What the definition beside this file was compiled from. Written by `archiconda channel build`.\n\n{body}"
        );
        super::write_file(path, text.as_bytes())
    }
}
