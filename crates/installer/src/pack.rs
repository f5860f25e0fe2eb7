//! Writes the installer: header, runtime, frames, the packages' plans, the plan.

use std::io::{BufWriter, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use fetch::Draft;
use fs_err as fs;
use rayon::prelude::*;

use archive::digest::{HashingWriter, Sha256};
use archive::payload::{self, Writer, compress_json};

use crate::cache::Cache;
use crate::event::Event;
use crate::frames::Frames;
use crate::plan::Planned;
use crate::scan::Part;
use crate::{Error, Report};

/// A finished installer.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) size: u64,
    pub(crate) sha256: Sha256,
}

/// Writes the installer to `path`, executable, by rename.
pub(crate) fn pack(
    path: &Path,
    header: &[u8],
    runtime: &[u8],
    frames: &Frames,
    mut planned: Planned,
    report: Report<'_>,
) -> Result<Packed, Error> {
    let payload = |source| Error::Payload {
        path: path.to_owned(),
        source,
    };
    report(Event::Packing {
        total: frames.length(),
    });
    let sink = HashingWriter::new(BufWriter::with_capacity(1 << 20, Draft::beside(path)?));
    let mut writer = Writer::new(sink, header, runtime).map_err(payload)?;
    for (source, part) in frames.sources() {
        frame(&mut writer, source, part).map_err(|error| error.named(path))?;
        report(Event::Packed { bytes: part.length });
    }
    let plans: Vec<_> = planned
        .packages
        .par_iter()
        .map(compress_json)
        .collect::<Result<_, _>>()
        .map_err(payload)?;
    for (head, (stream, size)) in planned.plan.packages.iter_mut().zip(plans) {
        let length = stream.len() as u64;
        head.plan = writer
            .frame(&mut &stream[..], length, size, None)
            .map_err(payload)?;
    }
    let plan = writer.json(&planned.plan).map_err(payload)?;
    let written = writer.finish(plan).map_err(payload)?;
    let (sink, sha256, size) = written.sink.finish();
    let file = sink.into_inner().map_err(|error| Error::Write {
        path: path.to_owned(),
        source: error.into_error(),
    })?;
    file.publish(path, 0o755, true)?;
    Ok(Packed { size, sha256 })
}

fn frame(
    writer: &mut Writer<HashingWriter<BufWriter<Draft>>>,
    source: &Path,
    part: &Part,
) -> Result<usize, Failure> {
    let read = |error| Failure::Read(source.to_owned(), error);
    let mut file = fs::File::open(source).map_err(read)?;
    file.seek(SeekFrom::Start(part.offset)).map_err(read)?;
    writer
        .frame(
            &mut file.take(part.length),
            part.length,
            part.size,
            Some(part.sha256),
        )
        .map_err(|error| match error {
            payload::Error::Digest { .. } => {
                if part.cached.is_some() {
                    Cache::discard(source);
                }
                Failure::Changed(source.to_owned())
            }
            other => Failure::Payload(other),
        })
}

enum Failure {
    Read(PathBuf, std::io::Error),
    Changed(PathBuf),
    Payload(payload::Error),
}

impl Failure {
    fn named(self, path: &Path) -> Error {
        match self {
            Failure::Read(path, source) => Error::Read { path, source },
            Failure::Changed(path) => Error::Changed { path },
            Failure::Payload(source) => Error::Payload {
                path: path.to_owned(),
                source,
            },
        }
    }
}
