//! Packages that come in and go. A package is written beside its place under a hidden name, checked as hostile, and
//! put in its place whole; what is there already under the name is never lost by mistake.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use archive::digest::{Hasher, Sha256};
use archive::package::{Kind, Package, split_file_name};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use channel::SUBDIRS;
use http::header::{CONTENT_LENGTH, EXPECT, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use hyper::body::{Body as _, Bytes, Incoming};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::connection::Activity;
use crate::folder::Folder;
use crate::log;
use crate::path;
use crate::reply::{self, Reply};
use crate::settings::Limits;

/// What uploads are called until they are whole.
const DRAFT: &str = ".archiconda-upload-";

/// Pieces of an upload that may wait for the disk.
const WAITING: usize = 8;
/// How much of a body is read that nobody wants, so that its sender comes to read why.
const DISCARDED: u64 = 16 << 20;

/// A package's place in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) subdir: String,
    pub(crate) file: String,
    kind: Kind,
}

/// What comes with a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Terms {
    sha256: Option<Sha256>,
    length: Option<u64>,
    force: bool,
}

/// How an upload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    New,
    Replaced,
    /// These very bytes were there.
    Same,
    /// Others were there, and stay.
    Other,
}

/// Why an upload is not taken.
#[derive(Debug, thiserror::Error)]
enum Problem {
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
}

/// What must agree with the path.
#[derive(Deserialize)]
struct Index {
    name: String,
    version: String,
    build: String,
    subdir: Option<String>,
}

impl Target {
    /// What follows a channel's name in the address of a package.
    pub(crate) fn parse(parts: &[String]) -> Option<Self> {
        let [subdir, file] = parts else { return None };
        let kind = Kind::from_file_name(file)?;
        let known = SUBDIRS.contains(&subdir.as_str());
        let sound = split_file_name(file).is_some() && file.len() <= 255 && file.is_ascii();
        (known && sound).then(|| Self {
            subdir: subdir.clone(),
            file: file.clone(),
            kind,
        })
    }

    /// `SUBDIR/FILE`.
    pub(crate) fn path(&self) -> String {
        format!("{}/{}", self.subdir, self.file)
    }
}

impl Terms {
    /// Reads them; or says what of them cannot be read.
    pub(crate) fn parse(headers: &HeaderMap, query: Option<&str>) -> Result<Self, &'static str> {
        let mut sha256 = None;
        if let Some(value) = headers.get("x-package-sha256") {
            let text = value.to_str().unwrap_or_default();
            let digest = text.to_ascii_lowercase().parse();
            sha256 = Some(digest.map_err(|_| "X-Package-SHA256 is no SHA-256 digest")?);
        }
        for field in ["repr-digest", "content-digest"] {
            for value in headers.get_all(field) {
                let Some(digest) = structured(value.to_str().unwrap_or_default())? else {
                    continue;
                };
                if sha256.is_some_and(|known| known != digest) {
                    return Err("the digests are not the same");
                }
                sha256 = Some(digest);
            }
        }
        let length = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let force = query
            .unwrap_or_default()
            .split('&')
            .any(|pair| pair == "force=true");
        Ok(Self {
            sha256,
            length,
            force,
        })
    }
}

/// `sha-256=:BASE64:` among the digests of a field (RFC 9530).
fn structured(text: &str) -> Result<Option<Sha256>, &'static str> {
    let problem = "the digest is not sha-256=:BASE64:";
    for item in text.split(',').map(str::trim) {
        let Some(value) = item.strip_prefix("sha-256=") else {
            continue;
        };
        let inner = value
            .strip_prefix(':')
            .and_then(|rest| rest.strip_suffix(':'));
        let bytes = STANDARD
            .decode(inner.ok_or(problem)?)
            .map_err(|_| problem)?;
        return Ok(Some(Sha256(bytes.try_into().map_err(|_| problem)?)));
    }
    Ok(None)
}

/// A request to put a package.
pub(crate) struct Upload<'a> {
    pub(crate) target: &'a Target,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) version: Version,
    pub(crate) query: Option<&'a str>,
    pub(crate) limits: &'a Limits,
    pub(crate) activity: &'a Activity,
}

/// Takes a package, and says whether the channel is another one now.
pub(crate) async fn put(
    folder: &Folder,
    upload: Upload<'_>,
    mut body: Incoming,
    received: &mut u64,
) -> (Reply, bool) {
    let terms = match Terms::parse(upload.headers, upload.query) {
        Ok(terms) => terms,
        Err(problem) => return (reply::refused(StatusCode::BAD_REQUEST, problem), false),
    };
    if terms.length.is_none() && upload.version != Version::HTTP_2 {
        let reply = reply::refused(
            StatusCode::LENGTH_REQUIRED,
            "send the package with Content-Length",
        );
        return (reply, false);
    }
    if terms
        .length
        .is_some_and(|length| length > upload.limits.upload)
    {
        return (too_large(upload.limits), false);
    }
    let (pieces, waiting) = mpsc::channel(WAITING);
    let written = {
        let (folder, target) = (folder.clone(), upload.target.clone());
        spawn_blocking(move || write(&folder, &target, terms, waiting))
    };
    let refused = feed(&mut body, pieces, &upload, received).await;
    // The thread sees the end of the pieces, takes its draft away if it was not the right one, and ends.
    let written = written
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error).into()));
    if let Some(reply) = refused {
        return (reply, false);
    }
    let path = upload.target.path();
    match written {
        Ok(Placed::New) => {
            let mut reply = reply::text(StatusCode::CREATED, &format!("stored {path}"));
            let location = format!("./{}", path::encoded(&upload.target.file));
            if let Ok(location) = HeaderValue::from_str(&location) {
                reply.headers_mut().insert(LOCATION, location);
            }
            (reply, true)
        }
        Ok(Placed::Replaced) => (
            reply::text(StatusCode::OK, &format!("replaced {path}")),
            true,
        ),
        // Whoever sends again may have been cut off before the index was asked for.
        Ok(Placed::Same) => (
            reply::text(StatusCode::OK, &format!("{path} is there already")),
            true,
        ),
        Ok(Placed::Other) => {
            let message = format!("{path} is there with other bytes; ?force=true replaces it");
            (reply::text(StatusCode::CONFLICT, &message), false)
        }
        Err(problem) => (failure(&problem), false),
    }
}

fn too_large(limits: &Limits) -> Reply {
    let message = format!("packages of up to {} bytes are taken", limits.upload);
    reply::refused(StatusCode::PAYLOAD_TOO_LARGE, &message)
}

fn failure(problem: &Problem) -> Reply {
    let text = problem.to_string();
    match problem {
        Problem::Length => reply::refused(StatusCode::BAD_REQUEST, &text),
        Problem::Digest | Problem::Package(_) | Problem::Index(_) => {
            let text: String = log::printable(&text).chars().take(500).collect();
            reply::text(StatusCode::UNPROCESSABLE_ENTITY, &text)
        }
        Problem::Write(error) => match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => reply::text(
                StatusCode::INSUFFICIENT_STORAGE,
                "there is no room for the package",
            ),
            _ => reply::text(StatusCode::INTERNAL_SERVER_ERROR, &text),
        },
    }
}

/// Hands a body on piece by piece. A reply if that does not come to its end.
async fn feed(
    body: &mut Incoming,
    pieces: mpsc::Sender<Option<Bytes>>,
    upload: &Upload<'_>,
    received: &mut u64,
) -> Option<Reply> {
    loop {
        let frame = next(body);
        let Ok(frame) = tokio::time::timeout(upload.limits.stall, frame).await else {
            return Some(reply::refused(
                StatusCode::REQUEST_TIMEOUT,
                "the package does not come",
            ));
        };
        match frame {
            None => {
                let _ = pieces.send(None).await;
                return None;
            }
            Some(Err(_)) => {
                return Some(reply::refused(
                    StatusCode::BAD_REQUEST,
                    "the package was cut off",
                ));
            }
            Some(Ok(bytes)) => {
                upload.activity.moved();
                *received += bytes.len() as u64;
                if *received > upload.limits.upload {
                    return Some(too_large(upload.limits));
                }
                // Who writes says why it does not go on.
                if pieces.send(Some(bytes)).await.is_err() {
                    discard(body, upload.headers, upload.limits).await;
                    return None;
                }
            }
        }
    }
}

async fn next(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        let frame =
            std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(bytes)) => return Some(Ok(bytes)),
            // Trailers.
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

/// Reads some of a body that nobody wants: who still sends does not see an answer, only that the connection is gone. Who
/// waits for leave to send is told in time.
pub(crate) async fn discard(body: &mut Incoming, headers: &HeaderMap, limits: &Limits) {
    if headers.contains_key(EXPECT) {
        return;
    }
    let read = async {
        let mut count = 0;
        while count < DISCARDED
            && let Some(Ok(bytes)) = next(body).await
        {
            count += bytes.len() as u64;
        }
    };
    let _ = tokio::time::timeout(limits.header, read).await;
}

/// A file that goes unless it is put in its place.
struct Draft {
    folder: OwnedFd,
    name: String,
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
    }
}

fn write(
    folder: &Folder,
    target: &Target,
    terms: Terms,
    mut pieces: mpsc::Receiver<Option<Bytes>>,
) -> Result<Placed, Problem> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let subdir = folder.make(&target.subdir)?;
    let number = NEXT.fetch_add(1, Relaxed);
    let draft = Draft {
        folder: subdir,
        name: format!("{DRAFT}{}-{number}", std::process::id()),
    };
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(&draft.folder, &draft.name, flags, Mode::from(0o644));
    let mut file = File::from(opened.map_err(io::Error::from)?);
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
    check(&file, target)?;
    file.sync_all()?;
    place(&draft, target, digests.sha256, terms.force)
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

fn place(draft: &Draft, target: &Target, sha256: Sha256, force: bool) -> Result<Placed, Problem> {
    let folder = &draft.folder;
    // Whoever puts the same name at the same time comes before or after, and then is seen.
    let placed = match rename_new(folder, &draft.name, &target.file) {
        Ok(()) => Placed::New,
        Err(Errno::EXIST) if is_same(folder, &target.file, sha256)? => return Ok(Placed::Same),
        Err(Errno::EXIST) if force => {
            let renamed = rustix::fs::renameat(folder, &draft.name, folder, &target.file);
            renamed.map_err(io::Error::from)?;
            Placed::Replaced
        }
        Err(Errno::EXIST) => return Ok(Placed::Other),
        Err(error) => return Err(io::Error::from(error).into()),
    };
    rustix::fs::fsync(folder).map_err(io::Error::from)?;
    Ok(placed)
}

/// Gives a file its name if nothing has it.
fn rename_new(folder: &OwnedFd, from: &str, to: &str) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        // Not every file system can.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            rustix::fs::linkat(folder, from, folder, to, AtFlags::empty())
        }
        renamed => renamed,
    }
}

fn is_same(folder: &OwnedFd, name: &str, sha256: Sha256) -> io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(opened) => File::from(opened),
        // A link: whatever it leads to.
        Err(Errno::LOOP) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if !opened.metadata()?.is_file() {
        return Ok(false);
    }
    Ok(Sha256::of_reader(opened)? == sha256)
}

/// Takes a package away.
pub(crate) async fn delete(folder: &Folder, target: &Target) -> (Reply, bool) {
    let (folder, owned) = (folder.clone(), target.clone());
    let removed = spawn_blocking(move || -> io::Result<()> {
        let subdir = folder.enter(&owned.subdir)?;
        rustix::fs::unlinkat(&subdir, &owned.file, AtFlags::empty())?;
        Ok(rustix::fs::fsync(&subdir)?)
    });
    match removed
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
    {
        Ok(()) => (reply::empty(StatusCode::NO_CONTENT), true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (reply::not_found(), false),
        Err(_) => {
            let reply = reply::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the package cannot be removed",
            );
            (reply, false)
        }
    }
}

/// Removes what servers left that were killed; what is young may be another one's.
pub(crate) fn sweep(channel: &Path) {
    let day = Duration::from_hours(24);
    let is_old = |entry: &fs_err::DirEntry| {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > day))
    };
    let folders = fs_err::read_dir(channel).into_iter().flatten().flatten();
    for folder in folders.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        for entry in fs_err::read_dir(folder.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            if entry.file_name().to_string_lossy().starts_with(DRAFT) && is_old(&entry) {
                let _ = fs_err::remove_file(entry.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_packages() {
        let target = |path: &str| {
            let parts: Vec<_> = path.split('/').map(str::to_owned).collect();
            Target::parse(&parts).map(|target| target.path())
        };
        for path in ["noarch/a-b-1!2.0-h1_0.conda", "linux-64/a-1-0.tar.bz2"] {
            assert_eq!(target(path).as_deref(), Some(path));
        }
        for path in [
            "a-1-0.conda",
            "linux-65/a-1-0.conda",
            "linux-64/a-1.conda",
            "linux-64/a-1-0.zip",
            "linux-64/b/a-1-0.conda",
            "linux-64/\u{e9}-1-0.conda",
        ] {
            assert_eq!(target(path), None, "{path}");
        }
        assert_eq!(
            target(&format!("noarch/{}-1-0.conda", "a".repeat(255))),
            None
        );
    }

    #[test]
    fn what_comes_with_a_package() {
        let sha256 = Sha256::of(b"a");
        let base64 = STANDARD.encode(sha256.0);
        let terms = |fields: &[(&'static str, String)], query| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_str(value).expect("a value"));
            }
            Terms::parse(&headers, query)
        };
        let known = Terms {
            sha256: Some(sha256),
            ..Terms::default()
        };
        for fields in [
            &[("x-package-sha256", sha256.to_string().to_uppercase())][..],
            &[("repr-digest", format!("md5=:AA==:, sha-256=:{base64}:"))],
            &[("content-digest", format!("sha-256=:{base64}:"))],
            &[
                ("x-package-sha256", sha256.to_string()),
                ("repr-digest", format!("sha-256=:{base64}:")),
            ],
        ] {
            assert_eq!(terms(fields, None), Ok(known), "{fields:?}");
        }
        for fields in [
            &[("x-package-sha256", "abc".to_owned())][..],
            &[("repr-digest", "sha-256=:AA==:".to_owned())],
            &[("repr-digest", format!("sha-256={base64}"))],
            &[
                ("x-package-sha256", Sha256::of(b"b").to_string()),
                ("repr-digest", format!("sha-256=:{base64}:")),
            ],
        ] {
            assert!(terms(fields, None).is_err(), "{fields:?}");
        }
        assert_eq!(
            terms(&[("content-length", "7".to_owned())], Some("a&force=true"))
                .map(|it| (it.length, it.force)),
            Ok((Some(7), true))
        );
        assert_eq!(terms(&[], Some("force=false")), Ok(Terms::default()));
    }
}
