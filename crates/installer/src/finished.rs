//! A finished installer of ours, read as what it was made of: its plan and frames, verified as its own runtime
//! verifies them. Nothing of it is run.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use archive::payload::{self, Payload};
use conda::{RepoDataRecord, Subdir};
use fs_err::File;
use rayon::prelude::*;
use runtime::plan::{Package, Plan};

use crate::build::Prepared;
use crate::error::Error;
use crate::frames::Frames;
use crate::plan::Planned;
use crate::scan::Part;

/// What the shell text of our installers begins with: a file with it and without a trailer was cut off.
const BEGINNING: &[u8] = b"#!/bin/sh\n{\n# The shell text before the payload of an installer.";

/// An installer whose header, runtime and plan are verified.
#[derive(Debug)]
pub struct Finished {
    path: PathBuf,
    plan: Plan,
    platform: Subdir,
    packages: Vec<Package>,
    records: Vec<RepoDataRecord>,
}

impl Finished {
    /// Opens an installer and reads its plans. Its files are verified by [`Finished::prepare`].
    pub fn open(path: &Path) -> Result<Finished, Error> {
        let read = |source| Error::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(read)?;
        let metadata = file.metadata().map_err(read)?;
        if !metadata.is_file() {
            return Err(Error::Foreign {
                path: path.to_owned(),
            });
        }
        let payload = Payload::open(file.file(), metadata.len());
        let payload = payload.map_err(|source| unusable(path, &file, source))?;
        let damaged = |source| named(path, source);
        payload.verify_program().map_err(damaged)?;
        let plan: Plan = payload.json(payload.index.plan).map_err(damaged)?;
        let cannot = |problem: String| Error::Unusable {
            path: path.to_owned(),
            problem,
        };
        if let Some(field) = plan.unsupported() {
            return Err(cannot(format!(
                "its plan has `{field}`, which this program does not know; use the version that built it"
            )));
        }
        // What packages have is checked where it is laid.
        let plain = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
        if let Some(text) = plan.texts.iter().find(|t| !t.path.split('/').all(plain)) {
            return Err(cannot(format!(
                "its plan has the path `{}`, which leads out of the prefix",
                text.path.escape_debug()
            )));
        }
        let platform = plan.platform.parse().map_err(|_| {
            cannot(format!(
                "it is for `{}`, which is no platform that is known here",
                plan.platform.escape_debug()
            ))
        })?;
        let packages: Vec<Package> = plan
            .packages
            .iter()
            .map(|head| payload.json(head.plan).map_err(damaged))
            .collect::<Result<_, _>>()?;
        let record = |package: &Package| {
            let body = serde_json::Value::Object(package.record.clone());
            serde_json::from_value(body).map_err(|error| {
                cannot(format!(
                    "the record of `{}` in its plan is none: {error}",
                    package.dist.escape_debug()
                ))
            })
        };
        let records = packages.iter().map(record).collect::<Result<_, _>>()?;
        Ok(Finished {
            path: path.to_owned(),
            plan,
            platform,
            packages,
            records,
        })
    }

    /// The installer's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Name and version of the distribution.
    pub fn title(&self) -> (&str, &str) {
        (&self.plan.name, &self.plan.version)
    }

    /// The platform that it is for.
    pub fn platform(&self) -> Subdir {
        self.platform
    }

    /// The packages in it, in dependency order.
    pub fn records(&self) -> &[RepoDataRecord] {
        &self.records
    }

    /// Verifies all its files: what is left to do is to write them, as after [`crate::prepare`].
    pub fn prepare(self) -> Result<Prepared, Error> {
        let path = self.path;
        let read = |source| Error::Read {
            path: path.clone(),
            source,
        };
        let file = File::open(&path).map_err(read)?;
        let length = file.metadata().map_err(read)?.len();
        let payload = Payload::open(file.file(), length);
        let payload = payload.map_err(|source| unusable(&path, &file, source))?;
        let numbers = 0..payload.index.frames.len();
        numbers
            .into_par_iter()
            .try_for_each(|number| payload.verify(number).map(|_| ()))
            .map_err(|source| named(&path, source))?;
        let parts = payload.index.frames.iter().map(|frame| Part {
            cached: None,
            offset: frame.offset,
            length: frame.length,
            size: frame.size,
            sha256: frame.sha256,
            info: false,
        });
        Ok(Prepared {
            records: self.records,
            packages: Vec::new(),
            planned: Planned {
                plan: self.plan,
                packages: self.packages,
                clobbers: Vec::new(),
            },
            frames: Frames::of_one(&path, parts),
        })
    }
}

/// What it means that no payload can be opened.
fn unusable(path: &Path, file: &File, source: payload::Error) -> Error {
    let mut beginning = Vec::new();
    let ours = file
        .try_clone()
        .and_then(|file| {
            file.take(BEGINNING.len() as u64)
                .read_to_end(&mut beginning)
        })
        .is_ok_and(|_| beginning == BEGINNING);
    match source {
        payload::Error::NoTrailer if !ours => Error::Foreign {
            path: path.to_owned(),
        },
        source => named(path, source),
    }
}

fn named(path: &Path, source: payload::Error) -> Error {
    let path = path.to_owned();
    match source {
        payload::Error::Read { source, .. } => Error::Read { path, source },
        payload::Error::Newer { .. } => Error::Unusable {
            path,
            problem: format!("{source}; use the version that built it, or a later one"),
        },
        source => Error::Finished { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_begins_as_it_is_known_to() {
        let header = include_bytes!("../../../installer/header.sh");
        assert!(header.starts_with(BEGINNING));
    }

    #[test]
    fn what_is_no_installer_of_ours_is_told_from_one_that_was_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sh");
        for (text, foreign) in [
            (&b""[..], true),
            (b"#!/bin/sh\n# NAME: Miniconda3\n", true),
            (&[BEGINNING, &[b'\n'; 9000]].concat(), false),
        ] {
            fs_err::write(&path, text).unwrap();
            let error = Finished::open(&path).unwrap_err();
            assert_eq!(matches!(error, Error::Foreign { .. }), foreign, "{error}");
            assert_eq!(error.is_usage(), foreign);
            assert_eq!(error.is_integrity(), !foreign);
        }
        let error = Finished::open(folder.path()).unwrap_err();
        assert!(error.is_usage(), "{error}");
    }
}
