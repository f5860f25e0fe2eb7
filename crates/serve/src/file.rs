//! A file of a folder as an answer: the form that the client reads best, what tells its state, and as
//! much of it as is wanted.

use std::io;
use std::time::{Duration, SystemTime};

use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL,
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION,
    RANGE, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::body::Body;
use crate::conditions::{self, Wanted};
use crate::content::{self, Identity};
use crate::digests::{Coding, Digests};
use crate::folder::{Entry, Folder, Found};
use crate::path;
use crate::reply::{self, Reply};

/// What stands for a folder.
pub(crate) const PAGE: &str = "index.html";

/// What a client asks of a folder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) parts: &'a [String],
    /// Whether the address ends with a slash.
    pub(crate) is_folder: bool,
    /// Whether it wants the content, and not only what is said of it.
    pub(crate) is_get: bool,
    pub(crate) headers: &'a HeaderMap,
    /// Whether everybody may have it; otherwise caches that many use may not keep it.
    pub(crate) is_public: bool,
}

/// Answers from a folder.
pub(crate) async fn answer(folder: &Folder, digests: &Digests, asked: Asked<'_>) -> Reply {
    // A file that is being written in place is another one in a moment.
    for _ in 0..3 {
        match attempt(folder, digests, asked).await {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            Ok(reply) => return reply,
            Err(error) => return failure(&error),
        }
    }
    failure(&io::ErrorKind::ResourceBusy.into())
}

fn failure(error: &io::Error) -> Reply {
    let second = Duration::from_secs(1);
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            reply::text(StatusCode::FORBIDDEN, "the server may not read the file")
        }
        io::ErrorKind::ResourceBusy => reply::later(
            StatusCode::SERVICE_UNAVAILABLE,
            "the file is being written",
            second,
        ),
        _ if matches!(
            error
                .raw_os_error()
                .map(rustix::io::Errno::from_raw_os_error),
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE | rustix::io::Errno::NOMEM)
        ) =>
        {
            reply::later(
                StatusCode::SERVICE_UNAVAILABLE,
                "the server has too much to do",
                second,
            )
        }
        _ => reply::text(StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be read"),
    }
}

async fn attempt(folder: &Folder, digests: &Digests, asked: Asked<'_>) -> io::Result<Reply> {
    let mut parts: Vec<&str> = asked.parts.iter().map(String::as_str).collect();
    if asked.is_folder || parts.is_empty() {
        parts.push(PAGE);
    }
    let entry = match folder.find(&parts)? {
        Some(Found::File(entry)) => entry,
        Some(Found::Folder) if !asked.is_folder => return page_below(folder, &parts),
        _ => return Ok(reply::not_found()),
    };
    let name = parts.last().copied().unwrap_or_default();
    let is_text = content::is_text(name);
    let (entry, coding) = if is_text {
        best(folder, digests, &parts, entry, asked.headers).await?
    } else {
        (entry, None)
    };
    let tag = match content::identity(name) {
        Identity::Name(digest) => quoted(&digest.to_string()),
        Identity::Stat => {
            let stat = entry.stat;
            let time = stat.modified().duration_since(SystemTime::UNIX_EPOCH);
            let time = time.unwrap_or_default().as_nanos();
            format!("\"{:x}-{time:x}-{:x}\"", stat.size, stat.inode)
        }
        Identity::Content => quoted(&digests.of(&entry).await?.to_string()),
    };
    let described = Described {
        name,
        tag: &tag,
        modified: entry.stat.modified(),
        length: entry.stat.size,
        coding,
        varies: is_text,
    };
    let (mut reply, part) = describe(&described, asked)?;
    if let Some((start, end)) = part {
        let kept = match content::identity(name) {
            Identity::Content => digests.hot.content(&entry).await?,
            // Too many to be asked for often.
            Identity::Name(_) | Identity::Stat => None,
        };
        let (first, last) = (usize::try_from(start), usize::try_from(end));
        *reply.body_mut() = if let (Some(bytes), Ok(first), Ok(last)) = (kept, first, last) {
            Body::text(bytes.slice(first..last))
        } else {
            // Before anything is promised.
            entry.file()?;
            Body::part(entry, start, end)
        };
    }
    Ok(reply)
}

/// What is known of a file before it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Described<'a> {
    pub(crate) name: &'a str,
    /// What tells its state, in quotes.
    pub(crate) tag: &'a str,
    pub(crate) modified: SystemTime,
    /// In bytes.
    pub(crate) length: u64,
    /// How it is packed for who reads that.
    pub(crate) coding: Option<Coding>,
    /// Whether others may get it packed otherwise.
    pub(crate) varies: bool,
}

/// An answer without its body, and from which byte to before which one the body goes, if there is one.
pub(crate) fn describe(
    file: &Described<'_>,
    asked: Asked<'_>,
) -> io::Result<(Reply, Option<(u64, u64)>)> {
    let (name, length) = (file.name, file.length);
    let modified = file.modified.min(SystemTime::now());
    let wanted = conditions::wanted(asked.headers, asked.is_get, file.tag, modified, length);

    let mut reply = Response::new(Body::nothing());
    let headers = reply.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let control = match wanted {
        // What is wrong with one question is no answer to others.
        Wanted::Failed | Wanted::Unsatisfiable => HeaderValue::from_static("no-store"),
        _ => cache_control(name, asked.is_public),
    };
    headers.insert(CACHE_CONTROL, control);
    headers.insert(ETAG, value(file.tag)?);
    headers.insert(LAST_MODIFIED, value(&httpdate::fmt_http_date(modified))?);
    if file.varies {
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    if matches!(wanted, Wanted::NotModified | Wanted::Failed) {
        let failed = wanted == Wanted::Failed;
        *reply.status_mut() = if failed {
            StatusCode::PRECONDITION_FAILED
        } else {
            StatusCode::NOT_MODIFIED
        };
        return Ok((reply, None));
    }
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("ETag, Content-Length, Content-Range, Accept-Ranges"),
    );
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(content::media_type(name)),
    );
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some(coding) = file.coding {
        let coding = match coding {
            Coding::Zstd => "zstd",
            Coding::Gzip => "gzip",
        };
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    let (status, start, end) = match wanted {
        Wanted::Part(start, end) => (StatusCode::PARTIAL_CONTENT, start, end),
        Wanted::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
        _ => (StatusCode::OK, 0, length),
    };
    match status {
        StatusCode::PARTIAL_CONTENT => {
            let range = format!("bytes {start}-{}/{length}", end - 1);
            headers.insert(CONTENT_RANGE, value(&range)?);
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            headers.insert(CONTENT_RANGE, value(&format!("bytes */{length}"))?);
        }
        _ => {}
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(end - start));
    *reply.status_mut() = status;
    Ok((reply, (asked.is_get && start < end).then_some((start, end))))
}

/// The compressed file beside a file, if the client reads that and it holds the same.
async fn best(
    folder: &Folder,
    digests: &Digests,
    parts: &[&str],
    entry: Entry,
    headers: &HeaderMap,
) -> io::Result<(Entry, Option<Coding>)> {
    // Who wants a part means the bytes of the file itself.
    if !headers.contains_key(RANGE) {
        for coding in conditions::codings(headers) {
            let ending = match coding {
                Coding::Zstd => ".zst",
                Coding::Gzip => ".gz",
            };
            let Some((name, above)) = parts.split_last() else {
                continue;
            };
            let name = format!("{name}{ending}");
            let beside: Vec<&str> = above.iter().copied().chain([name.as_str()]).collect();
            if let Ok(Some(packed)) = folder.file(&beside)
                && packed.stat.size < entry.stat.size
                && digests
                    .is_inside(&entry, &packed, coding)
                    .await
                    .unwrap_or(false)
            {
                return Ok((packed, Some(coding)));
            }
        }
    }
    Ok((entry, None))
}

/// A folder without the slash, in which there is a page whose links need it.
fn page_below(folder: &Folder, parts: &[&str]) -> io::Result<Reply> {
    let page: Vec<&str> = parts.iter().copied().chain([PAGE]).collect();
    if folder.file(&page)?.is_none() {
        return Ok(reply::not_found());
    }
    Ok(folder_of(parts.last().copied().unwrap_or_default()))
}

/// Leads to a folder of this name.
pub(crate) fn folder_of(name: &str) -> Reply {
    let mut reply = reply::text(StatusCode::MOVED_PERMANENTLY, "see the folder");
    // Relative, since the address may have a token or another host's name before it.
    if let Ok(location) = value(&format!("./{}/", path::encoded(name))) {
        reply.headers_mut().insert(LOCATION, location);
    }
    reply
}

fn cache_control(name: &str, is_public: bool) -> HeaderValue {
    match (content::cache_control(name), is_public) {
        (kept, true) => HeaderValue::from_static(kept),
        (content::SHORT, false) => HeaderValue::from_static("private, max-age=60"),
        (_, false) => HeaderValue::from_static("private, max-age=31536000, immutable"),
    }
}

/// Half of a SHA-256 digest tells all contents apart that there will ever be.
fn quoted(digest: &str) -> String {
    format!("\"{}\"", digest.get(..32).unwrap_or(digest))
}

fn value(text: &str) -> io::Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(io::Error::other)
}
