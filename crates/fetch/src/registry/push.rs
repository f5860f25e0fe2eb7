//! What a registry is sent: blobs that it lacks, several at a time, and manifests. An upload that breaks
//! goes on where the registry says that it stands, and begins anew where it does not say so.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{self, Either};
use futures_util::stream::{self, StreamExt as _};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use http::{Method, StatusCode};
use reqwest::{Body, RequestBuilder, Response};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use url::Url;

use super::{Error, LONGEST_MESSAGE, Registry};

/// How many bytes of a blob are read at a time.
const PIECE: usize = 1 << 17;

/// How many blobs are sent at once.
const AT_ONCE: usize = 4;

/// An upload that advances so far between two failures may go on failing: it will end.
const PROGRESS: u64 = 1 << 20;

/// How often it is told how far an upload is.
const TICK: Duration = Duration::from_millis(200);

const ACTION: &str = "send a blob";

/// A blob to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// `sha256:` and its digits.
    pub digest: String,
    /// How many bytes it has.
    pub size: u64,
    /// The file with them.
    pub path: PathBuf,
    /// Another repository of the registry that has it, if one is known.
    pub from: Option<String>,
}

/// What became of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The repository had it.
    Present,
    /// The registry took it from another repository.
    Mounted,
    /// Its bytes went out.
    Uploaded,
}

/// An upload that the registry began.
struct Session {
    location: Url,
    /// How many bytes it has.
    position: u64,
}

type Progress<'a> = &'a (dyn Fn(u64) + Sync);

impl Registry<'_> {
    /// Sends blobs, unless the registry has them, a few at a time. Returns what became of each. `sent` is
    /// told how many bytes are there that were not when it was told last.
    pub fn push_blobs(&self, blobs: &[Upload], sent: Progress<'_>) -> Result<Vec<Sent>, Error> {
        self.client.block_on(async {
            let mut uploads = stream::iter(blobs.iter().enumerate())
                .map(|(number, blob)| async move {
                    let done = self.push_blob(blob, sent).await;
                    done.map(|done| (number, done))
                })
                .buffer_unordered(AT_ONCE);
            let mut done = vec![Sent::Present; blobs.len()];
            while let Some(one) = uploads.next().await {
                let (number, became) = one?;
                done[number] = became;
            }
            Ok(done)
        })
    }

    /// Sends a manifest or an index under a tag or digest. Returns whether the registry made it known as a
    /// referrer, if it is one (distribution specification, "Pushing Manifests with Subject").
    pub fn push_manifest(
        &self,
        name: &str,
        media_type: &str,
        digest: &str,
        bytes: &[u8],
    ) -> Result<bool, Error> {
        const ACTION: &str = "send a manifest";
        self.client.block_on(async {
            let url = self.url(&format!("manifests/{name}"))?;
            let fill = |request: RequestBuilder| {
                Ok(request
                    .header(CONTENT_TYPE, media_type)
                    .body(bytes.to_vec()))
            };
            let response = self.send(Method::PUT, &url, ACTION, true, &fill).await?;
            if !response.status().is_success() {
                return Err(self.refused(ACTION, response).await);
            }
            let stored = response.headers().get("docker-content-digest");
            match stored.and_then(|stored| stored.to_str().ok()) {
                Some(stored) if stored != digest => Err(Error::OtherDigest {
                    registry: self.reference.host().to_owned(),
                    expected: digest.to_owned(),
                    actual: stored.chars().take(LONGEST_MESSAGE).collect(),
                }),
                _ => Ok(response.headers().contains_key("oci-subject")),
            }
        })
    }

    async fn push_blob(&self, blob: &Upload, sent: Progress<'_>) -> Result<Sent, Error> {
        const ASK: &str = "ask for a blob";
        let there = self.url(&format!("blobs/{}", blob.digest))?;
        let response = self.send(Method::HEAD, &there, ASK, true, &Ok).await?;
        match response.status() {
            StatusCode::OK => {
                sent(blob.size);
                return Ok(Sent::Present);
            }
            StatusCode::NOT_FOUND => {}
            _ => return Err(self.refused(ASK, response).await),
        }
        let mut session = None;
        if let Some(from) = &blob.from {
            let response = self.begin(Some((from, &blob.digest))).await?;
            if response.status() == StatusCode::CREATED {
                sent(blob.size);
                return Ok(Sent::Mounted);
            }
            // Else it begins an upload, or will not hear of the other repository.
            session = self.session(&response, &self.base)?;
        }
        let mut told = 0;
        let mut attempt = 0;
        loop {
            let mut upload = match session.take() {
                Some(session) => session,
                None => self.begin_upload().await?,
            };
            let before = upload.position;
            let error = match self.upload(blob, &mut upload, &mut told, sent).await {
                Ok(()) => {
                    sent(blob.size.saturating_sub(told));
                    return Ok(Sent::Uploaded);
                }
                Err(error) if error.is_transient() => {
                    session = self.standing(&upload, blob).await;
                    error
                }
                // Not every registry that says where an upload stands lets it go on.
                Err(error @ Error::Answer { .. }) if before > 0 => error,
                Err(error) => return Err(error),
            };
            let position = session.as_ref().map_or(0, |session| session.position);
            attempt = if position >= before.saturating_add(PROGRESS) {
                1
            } else {
                attempt + 1
            };
            let Some(pause) = self.client.options.policy().pause(attempt, None) else {
                return Err(error);
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends what the upload lacks, and ends it.
    async fn upload(
        &self,
        blob: &Upload,
        upload: &mut Session,
        told: &mut u64,
        sent: Progress<'_>,
    ) -> Result<(), Error> {
        let start = upload.position;
        if start < blob.size {
            let position = Arc::new(AtomicU64::new(start));
            let fill = |request: RequestBuilder| {
                position.store(start, Ordering::Relaxed);
                let request = request
                    .header(CONTENT_LENGTH, blob.size - start)
                    .header(CONTENT_TYPE, "application/octet-stream")
                    .body(body(&blob.path, start, &position)?);
                Ok(if start == 0 {
                    request
                } else {
                    request.header(CONTENT_RANGE, format!("{start}-{}", blob.size - 1))
                })
            };
            let location = upload.location.clone();
            let mut request = pin!(self.send(Method::PATCH, &location, ACTION, false, &fill));
            let response = loop {
                let tick = pin!(tokio::time::sleep(TICK));
                let next = future::select(request, tick).await;
                let now = position.load(Ordering::Relaxed);
                sent(now.saturating_sub(*told));
                *told = now.max(*told);
                match next {
                    Either::Left((response, _)) => break response?,
                    Either::Right(((), unfinished)) => request = unfinished,
                }
            };
            if !response.status().is_success() {
                return Err(self.refused(ACTION, response).await);
            }
            upload.position = blob.size;
            // A registry may leave it where it is.
            if let Some(next) = self.session(&response, &location)? {
                upload.location = next.location;
            }
        }
        let mut location = upload.location.clone();
        location
            .query_pairs_mut()
            .append_pair("digest", &blob.digest);
        let empty = |request: RequestBuilder| Ok(request.header(CONTENT_LENGTH, 0));
        let response = self
            .send(Method::PUT, &location, ACTION, false, &empty)
            .await?;
        if response.status() == StatusCode::CREATED {
            return Ok(());
        }
        Err(self.refused(ACTION, response).await)
    }

    /// Where the registry says that a broken upload stands; none if it does not.
    async fn standing(&self, upload: &Session, blob: &Upload) -> Option<Session> {
        let response = self
            .send(Method::GET, &upload.location, ACTION, false, &Ok)
            .await
            .ok()?;
        if response.status() != StatusCode::NO_CONTENT {
            return None;
        }
        let range = response.headers().get(RANGE)?.to_str().ok()?;
        let (_, last) = range.trim_start_matches("bytes=").split_once('-')?;
        // `0-0` is what registries say of nothing, too.
        let position = match last.trim().parse().ok()? {
            0 => 0,
            last => last + 1_u64,
        };
        let next = self.session(&response, &upload.location).ok()?;
        (position <= blob.size).then(|| Session {
            location: next.map_or_else(|| upload.location.clone(), |next| next.location),
            position,
        })
    }

    async fn begin_upload(&self) -> Result<Session, Error> {
        let response = self.begin(None).await?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(self.refused(ACTION, response).await);
        }
        let session = self.session(&response, &self.base)?;
        session.ok_or_else(|| Error::Answer {
            registry: self.reference.host().to_owned(),
            action: ACTION,
            status: StatusCode::ACCEPTED.as_u16(),
            message: "it does not say where to".to_owned(),
        })
    }

    /// Asks for an upload, or for a blob of another repository.
    async fn begin(&self, mount: Option<(&str, &str)>) -> Result<Response, Error> {
        let mut begin = self.url("blobs/uploads/")?;
        if let Some((from, digest)) = mount {
            begin
                .query_pairs_mut()
                .append_pair("mount", digest)
                .append_pair("from", from);
        }
        let empty = |request: RequestBuilder| Ok(request.header(CONTENT_LENGTH, 0));
        self.send(Method::POST, &begin, ACTION, true, &empty).await
    }

    /// The upload that an answer names; none if it names none.
    fn session(&self, response: &Response, base: &Url) -> Result<Option<Session>, Error> {
        let location = response.headers().get(LOCATION);
        let location = location
            .filter(|_| response.status().is_success())
            .and_then(|location| location.to_str().ok())
            .and_then(|location| base.join(location).ok());
        let Some(location) = location else {
            return Ok(None);
        };
        // No content goes out in the open because a registry says so.
        if self.base.scheme() == "https" && location.scheme() != "https" {
            return Err(Error::Open {
                registry: self.reference.host().to_owned(),
                url: conda::credentials::without(&location).to_string(),
            });
        }
        Ok(Some(Session {
            location,
            position: 0,
        }))
    }
}

/// A file from `start` on as the body of a request, read while it is sent. `position` says how far.
fn body(path: &Path, start: u64, position: &Arc<AtomicU64>) -> Result<Body, Error> {
    let file = fs_err::File::open(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })?;
    let file = tokio::fs::File::from_std(file.into_parts().0);
    let position = Arc::clone(position);
    Ok(Body::wrap_stream(stream::try_unfold(
        (file, start, position),
        |(mut file, start, position)| async move {
            if start > 0 && position.load(Ordering::Relaxed) == start {
                file.seek(SeekFrom::Start(start)).await?;
            }
            let mut piece = vec![0; PIECE];
            let count = file.read(&mut piece).await?;
            piece.truncate(count);
            position.fetch_add(count as u64, Ordering::Relaxed);
            Ok::<_, std::io::Error>((count > 0).then_some((piece, (file, start, position))))
        },
    )))
}
