//! Registries of images (OCI distribution specification 1.1): what is asked for, sent and answered. Blobs
//! are streamed from files. What is in them, and which of them make an image, is for others.
//!
//! On reqwest as the rest of this crate, rather than on a client library: an upload has to stream,
//! to begin again when a connection breaks, and to send no credential to a host that it was not made for,
//! and little of a library is left then.

mod credentials;
mod error;
mod reference;
mod token;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use futures_util::stream;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use reqwest::{Body, RequestBuilder, Response};
use tokio::io::AsyncReadExt as _;
use url::Url;

use crate::retry;
use crate::{Cause, Client};
use credentials::Login;

pub use error::Error;
pub use reference::Reference;

/// How many bytes of a blob are read at a time.
const PIECE: usize = 1 << 17;

/// The longest message of a registry that is repeated to the user, in characters.
const LONGEST_MESSAGE: usize = 300;

/// One repository of a registry.
pub struct Registry<'c> {
    client: &'c Client,
    reference: Reference,
    /// Ends in `/v2/NAME/`.
    base: Url,
    login: Option<Login>,
    /// What the registry took last.
    authorization: Mutex<Option<HeaderValue>>,
}

impl Client {
    /// The repository that a reference names, with the credentials that docker or podman keep for it.
    /// Without TLS on loopback, and elsewhere only with `plain_http`. Makes no request yet.
    pub fn registry(&self, reference: &Reference, plain_http: bool) -> Result<Registry<'_>, Error> {
        let scheme = if plain_http || reference.is_loopback() {
            "http"
        } else {
            "https"
        };
        let text = format!("{scheme}://{}/v2/{}/", reference.server(), reference.name());
        let base = Url::parse(&text).map_err(|_| Error::Reference {
            text: reference.to_string(),
            reason: "its host is none",
        })?;
        Ok(Registry {
            client: self,
            login: credentials::find(reference)?,
            reference: reference.clone(),
            base,
            authorization: Mutex::default(),
        })
    }
}

impl Registry<'_> {
    /// Sends the blob in a file, unless the registry has it. Returns whether it was sent. `sent` is
    /// told how many bytes went out since it was told last.
    pub fn push_blob(
        &self,
        digest: &str,
        size: u64,
        path: &Path,
        sent: &(dyn Fn(u64) + Sync),
    ) -> Result<bool, Error> {
        self.client.block_on(async {
            let there = self.url(&format!("blobs/{digest}"))?;
            let response = self
                .send(Method::HEAD, &there, "ask for a blob", true, &Ok)
                .await?;
            match response.status() {
                StatusCode::OK => {
                    sent(size);
                    return Ok(false);
                }
                StatusCode::NOT_FOUND => {}
                _ => return Err(self.refused("ask for a blob", response).await),
            }
            let policy = self.client.options.policy();
            let mut attempt = 0;
            loop {
                // An upload that broke off cannot be trusted to stand where it stopped.
                let error = match self.upload(digest, size, path).await {
                    Ok(()) => {
                        sent(size);
                        return Ok(true);
                    }
                    Err(error) => error,
                };
                attempt += 1;
                let pause = policy.pause(attempt, None);
                let Some(pause) = pause.filter(|_| error.is_transient()) else {
                    return Err(error);
                };
                tokio::time::sleep(pause).await;
            }
        })
    }

    /// Sends a manifest or an index under a tag or digest.
    pub fn push_manifest(
        &self,
        name: &str,
        media_type: &str,
        digest: &str,
        bytes: &[u8],
    ) -> Result<(), Error> {
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
                _ => Ok(()),
            }
        })
    }

    async fn upload(&self, digest: &str, size: u64, path: &Path) -> Result<(), Error> {
        const ACTION: &str = "send a blob";
        let begin = self.url("blobs/uploads/")?;
        let empty = |request: RequestBuilder| Ok(request.header(CONTENT_LENGTH, 0));
        let response = self
            .send(Method::POST, &begin, ACTION, true, &empty)
            .await?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(self.refused(ACTION, response).await);
        }
        let location = response.headers().get(LOCATION);
        let location = location
            .and_then(|location| location.to_str().ok())
            .and_then(|location| self.base.join(location).ok());
        let Some(mut location) = location else {
            return Err(Error::Answer {
                registry: self.reference.host().to_owned(),
                action: ACTION,
                status: response.status().as_u16(),
                message: "it does not say where to".to_owned(),
            });
        };
        // No content goes out in the open because a registry says so.
        if self.base.scheme() == "https" && location.scheme() != "https" {
            return Err(Error::Open {
                registry: self.reference.host().to_owned(),
                url: conda::credentials::without(&location).to_string(),
            });
        }
        location.query_pairs_mut().append_pair("digest", digest);
        let fill = |request: RequestBuilder| {
            Ok(request
                .header(CONTENT_LENGTH, size)
                .header(CONTENT_TYPE, "application/octet-stream")
                .body(body(path)?))
        };
        let response = self
            .send(Method::PUT, &location, ACTION, false, &fill)
            .await?;
        if response.status() == StatusCode::CREATED {
            return Ok(());
        }
        Err(self.refused(ACTION, response).await)
    }

    /// Makes a request, with what the registry wants to see, and if `repeat` again where it fails for a
    /// passing reason. `fill` adds headers and body.
    async fn send(
        &self,
        method: Method,
        url: &Url,
        action: &'static str,
        repeat: bool,
        fill: &(dyn Fn(RequestBuilder) -> Result<RequestBuilder, Error> + Sync),
    ) -> Result<Response, Error> {
        let policy = self.client.options.policy();
        let mut attempt = 0;
        let mut asked = false;
        loop {
            let mut request = self.client.plain.request(method.clone(), url.clone());
            // Uploads may go to another host, which the credential is not for.
            let ours = url.origin() == self.base.origin();
            if let Some(header) = self.authorization().filter(|_| ours) {
                request = request.header(AUTHORIZATION, header);
            }
            let result = fill(request)?.send().await;
            let wait = match &result {
                Ok(response) if response.status() == StatusCode::UNAUTHORIZED && ours && !asked => {
                    asked = true;
                    let challenge = response.headers().get(WWW_AUTHENTICATE);
                    let challenge = challenge.and_then(|challenge| challenge.to_str().ok());
                    let challenge = challenge.unwrap_or_default().to_owned();
                    if let Some(header) = self.answer(&challenge).await? {
                        *self
                            .authorization
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner) = Some(header);
                        continue;
                    }
                    None
                }
                Ok(response) if retry::is_transient(response.status()) => {
                    Some(retry::retry_after(response.headers()))
                }
                Ok(_) => None,
                Err(_) => Some(None),
            };
            attempt += 1;
            let pause = wait.and_then(|asked| policy.pause(attempt, asked));
            match pause.filter(|_| repeat) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => {
                    return result.map_err(|error| Error::Unreachable {
                        registry: self.reference.host().to_owned(),
                        action,
                        source: self.cause(error),
                    });
                }
            }
        }
    }

    /// The header that answers a challenge, if there is an answer.
    async fn answer(&self, challenge: &str) -> Result<Option<HeaderValue>, Error> {
        let Some(challenge) = token::Challenge::parse(challenge) else {
            return Ok(None);
        };
        match challenge {
            token::Challenge::Basic => Ok(self.login.as_ref().and_then(Login::basic)),
            token::Challenge::Bearer(bearer) => {
                let open = self.base.scheme() == "http";
                let login = self.login.as_ref();
                let token = bearer.fetch(&self.client.plain, login, &self.reference, open);
                token.await.map(Some)
            }
        }
    }

    fn authorization(&self) -> Option<HeaderValue> {
        self.authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn url(&self, path: &str) -> Result<Url, Error> {
        self.base.join(path).map_err(|_| Error::Reference {
            text: self.reference.to_string(),
            reason: "it leads to no address",
        })
    }

    /// What an answer that is none says.
    async fn refused(&self, action: &'static str, response: Response) -> Error {
        let status = response.status();
        let registry = self.reference.host().to_owned();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Error::Denied {
                registry,
                action,
                name: self.reference.name().to_owned(),
                status: status.as_u16(),
                known: self.login.is_some(),
            };
        }
        let message = message(response).await;
        Error::Answer {
            registry,
            action,
            status: status.as_u16(),
            message: message.unwrap_or_else(|| "no reason given".to_owned()),
        }
    }

    /// An error of the network. URLs of uploads may hold secrets in their query.
    fn cause(&self, error: reqwest::Error) -> Cause {
        self.client.cause(&error.without_url())
    }
}

impl std::fmt::Debug for Registry<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Registry")
            .field("reference", &self.reference)
            .finish_non_exhaustive()
    }
}

/// A file as the body of a request, read while it is sent.
fn body(path: &Path) -> Result<Body, Error> {
    let file = fs_err::File::open(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })?;
    let file = tokio::fs::File::from_std(file.into_parts().0);
    Ok(Body::wrap_stream(stream::try_unfold(
        file,
        |mut file| async move {
            let mut piece = vec![0; PIECE];
            let count = file.read(&mut piece).await?;
            piece.truncate(count);
            Ok::<_, std::io::Error>((count > 0).then_some((piece, file)))
        },
    )))
}

/// What a registry says of an error (distribution specification, "Error codes").
async fn message(response: Response) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    if response
        .content_length()
        .is_none_or(|length| length > 1 << 16)
    {
        return None;
    }
    let errors: Errors = serde_json::from_slice(&response.bytes().await.ok()?).ok()?;
    let one = errors.errors.first()?;
    let text = format!("{} {}", one.code, one.message);
    Some(text.trim().chars().take(LONGEST_MESSAGE).collect())
}
