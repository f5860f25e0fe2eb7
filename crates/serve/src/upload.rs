//! Packages that come in and go: what a request says ([`terms`]), the bytes that come with it ([`incoming`]) and whether
//! they are the package ([`draft`]), its place in a folder or in a bucket, and what is answered. What is there already
//! under the name is never lost by mistake.

use std::io;
use std::path::Path;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_RANGE, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode, Version};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::bucket::Objects;
use crate::connection::Activity;
use crate::error::chain;
use crate::folder::Folder;
use crate::log::{self, Log};
use crate::path;
use crate::publish::Teller;
use crate::reply::{self, Reply};
use crate::settings::Limits;
use draft::Problem;

mod bucket;
mod draft;
mod folder;
mod incoming;
mod terms;

pub(crate) use folder::sweep;
pub(crate) use incoming::discard;
pub(crate) use terms::{Target, Terms};

/// Pieces of an upload that may wait for the disk.
const WAITING: usize = 8;

/// When who was refused for a passing reason may try again.
const AGAIN: Duration = Duration::from_secs(5);

/// Where packages are put.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Folder(Folder),
    Bucket(Objects),
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

/// A request to put a package or to take it away.
pub(crate) struct Upload<'a> {
    pub(crate) place: Place,
    pub(crate) target: &'a Target,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) version: Version,
    pub(crate) query: Option<&'a str>,
    pub(crate) limits: &'a Limits,
    /// Where what is on its way into a bucket waits.
    pub(crate) drafts: &'a Path,
    pub(crate) activity: &'a Activity,
    pub(crate) log: &'a Log,
    /// Who is told that the channel is another one now, also if nobody waits for the answer any more.
    pub(crate) teller: Teller,
}

/// Takes a package.
pub(crate) async fn put(upload: Upload<'_>, mut body: Incoming, received: &mut u64) -> Reply {
    if upload.headers.contains_key(CONTENT_RANGE) {
        return reply::refused(StatusCode::BAD_REQUEST, "send the package as a whole");
    }
    if upload.headers.contains_key(CONTENT_ENCODING) {
        return reply::refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "send the package as it is, without Content-Encoding",
        );
    }
    let terms = match Terms::parse(upload.headers, upload.query) {
        Ok(terms) => terms,
        Err(problem) => return reply::refused(StatusCode::BAD_REQUEST, problem),
    };
    if terms.length.is_none() && upload.version != Version::HTTP_2 {
        return reply::refused(
            StatusCode::LENGTH_REQUIRED,
            "send the package with Content-Length",
        );
    }
    if terms
        .length
        .is_some_and(|length| length > upload.limits.upload)
    {
        return too_large(upload.limits);
    }
    let (pieces, waiting) = mpsc::channel(WAITING);
    let written = {
        let (place, target) = (upload.place.clone(), upload.target.clone());
        let (drafts, teller) = (upload.drafts.to_owned(), upload.teller.clone());
        spawn_blocking(move || {
            let placed = match &place {
                Place::Folder(to) => folder::put(to, &target, terms, waiting),
                Place::Bucket(to) => bucket::put(to, &target, terms, waiting, &drafts),
            };
            let is_changed = match &placed {
                // Whoever sends again may have been cut off before the index was asked for.
                Ok(placed) => *placed != Placed::Other,
                // A store that does not answer may have done it.
                Err(problem) => matches!(problem, Problem::Store(_)),
            };
            if is_changed {
                teller.changed(Some(target.path()));
            }
            placed
        })
    };
    let refused = incoming::feed(&mut body, pieces, &upload, received).await;
    // The thread sees the end of the pieces, takes its draft away if it was not the right one, and ends.
    let written = written
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error).into()));
    if let Some(reply) = refused {
        return reply;
    }
    let path = upload.target.path();
    match written {
        Ok(Placed::New) => {
            let mut reply = reply::text(StatusCode::CREATED, &format!("stored {path}"));
            let location = format!("./{}", path::encoded(&upload.target.file));
            if let Ok(location) = HeaderValue::from_str(&location) {
                reply.headers_mut().insert(LOCATION, location);
            }
            reply
        }
        Ok(Placed::Replaced) => reply::text(StatusCode::OK, &format!("replaced {path}")),
        Ok(Placed::Same) => reply::text(StatusCode::OK, &format!("{path} is there already")),
        Ok(Placed::Other) => {
            let message = format!("{path} is there with other bytes; ?force=true replaces it");
            reply::text(StatusCode::CONFLICT, &message)
        }
        Err(problem) => failure(&problem, &path, upload.log),
    }
}

/// Takes a package away.
pub(crate) async fn delete(upload: Upload<'_>) -> Reply {
    let (place, target) = (upload.place, upload.target.clone());
    let teller = upload.teller;
    let removed = spawn_blocking(move || {
        let removed = match &place {
            Place::Folder(from) => folder::delete(from, &target),
            Place::Bucket(from) => bucket::delete(from, &target),
        };
        if matches!(removed, Ok(true) | Err(Problem::Store(_))) {
            teller.changed(Some(target.path()));
        }
        removed
    });
    match removed
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error).into()))
    {
        Ok(true) => reply::empty(StatusCode::NO_CONTENT),
        Ok(false) => reply::not_found(),
        Err(problem) => failure(&problem, &upload.target.path(), upload.log),
    }
}

fn too_large(limits: &Limits) -> Reply {
    let message = format!("packages of up to {} bytes are taken", limits.upload);
    reply::refused(StatusCode::PAYLOAD_TOO_LARGE, &message)
}

/// What the client is told, and the operator where it is his to do something about it.
fn failure(problem: &Problem, path: &str, log: &Log) -> Reply {
    let note = || log.note("error", &format!("{path}: {}", chain(problem)));
    let text = problem.to_string();
    match problem {
        Problem::Length => reply::refused(StatusCode::BAD_REQUEST, &text),
        Problem::Digest | Problem::Package(_) | Problem::Index(_) => {
            let text: String = log::printable(&text).chars().take(500).collect();
            reply::text(StatusCode::UNPROCESSABLE_ENTITY, &text)
        }
        Problem::Write(error) => {
            note();
            match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => reply::text(
                    StatusCode::INSUFFICIENT_STORAGE,
                    "there is no room for the package",
                ),
                _ => reply::text(StatusCode::INTERNAL_SERVER_ERROR, &text),
            }
        }
        Problem::Remove(_) => {
            note();
            reply::text(StatusCode::INTERNAL_SERVER_ERROR, &text)
        }
        Problem::Store(_) => {
            note();
            let text = format!("{text}: try again");
            reply::later(StatusCode::BAD_GATEWAY, &text, AGAIN)
        }
        Problem::Busy => reply::later(StatusCode::SERVICE_UNAVAILABLE, &text, AGAIN),
    }
}
