//! The bytes that come, in a file that nobody sees: hashed while they are written, then read as hostile. Only what is the
//! package that the request names has a place to go to.

use std::fs::File;
use std::io::{self, Write as _};

use archive::digest::{Digests, Hasher};
use archive::package::Package;
use hyper::body::Bytes;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{Target, Terms};

/// What comes: pieces, and then nothing more. Who sends them and goes has not sent all.
pub(super) type Pieces = mpsc::Receiver<Option<Bytes>>;

/// Why an upload is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("the bytes are not those of the digest")]
    Digest,
    #[error("the body has another length than the request says")]
    Length,
    #[error("not a sound package: {0}")]
    Package(#[from] archive::package::Error),
    #[error("its info/index.json {0}")]
    Index(String),
    #[error("the file cannot be written")]
    Write(#[from] io::Error),
    #[error("the file cannot be removed")]
    Remove(#[source] io::Error),
    #[error("the store of the channel does not take the package")]
    Store(#[from] fetch::s3::Error),
    #[error("the package is written by others all the time")]
    Busy,
}

/// What must agree with the path.
#[derive(Deserialize)]
struct Index {
    name: String,
    version: String,
    build: String,
    subdir: Option<String>,
}

/// Writes what comes into an empty file, and checks it.
pub(super) fn take(
    mut file: &File,
    target: &Target,
    terms: Terms,
    mut pieces: Pieces,
) -> Result<Digests, Problem> {
    let mut hasher = Hasher::new();
    loop {
        match pieces.blocking_recv() {
            // The sender is gone.
            None => return Err(Problem::Length),
            Some(None) => break,
            Some(Some(bytes)) => {
                hasher.update(&bytes);
                file.write_all(&bytes)?;
            }
        }
    }
    let digests = hasher.finish();
    if terms.length.is_some_and(|length| length != digests.length) {
        return Err(Problem::Length);
    }
    if terms.sha256.is_some_and(|wanted| wanted != digests.sha256) {
        return Err(Problem::Digest);
    }
    check(file, target)?;
    Ok(digests)
}

/// Whether it is a package, and the one that the path says.
fn check(file: &File, target: &Target) -> Result<(), Problem> {
    let mut package = Package::open(file, target.kind)?;
    let index = package.index_json()?;
    package.check_whole()?;
    // Nobody shall come to unpack what leads out of a prefix.
    package.entries(&mut |_| Ok::<(), archive::package::Error>(()))?;
    let index: Index = serde_json::from_slice(&index)
        .map_err(|error| Problem::Index(format!("cannot be read: {error}")))?;
    let stem = format!(
        "{}-{}-{}{}",
        index.name,
        index.version,
        index.build,
        target.kind.extension()
    );
    if stem != target.file {
        return Err(Problem::Index(format!("is that of {stem}")));
    }
    match index.subdir {
        Some(subdir) if subdir != target.subdir => Err(Problem::Index(format!("is for {subdir}"))),
        _ => Ok(()),
    }
}
