//! Registries of images (OCI distribution specification 1.1): how they are asked, and what they want to see
//! before they answer. Blobs are fetched into the store (`pull`) and streamed from files (`push`). What is in
//! them, and which of them make an image, is for others.
//!
//! On reqwest as the rest of this crate, rather than on a client library: a transfer has to stream,
//! to go on where a connection broke, and to send no credential to a host that it was not made for,
//! and little of a library is left then.

mod credentials;
mod error;
mod pull;
mod push;
mod reference;
mod token;

use std::sync::{Mutex, PoisonError};

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use reqwest::{RequestBuilder, Response};
use url::Url;

use crate::retry;
use crate::{Cause, Client};
use credentials::Login;

pub use error::Error;
pub use pull::{Blob, Manifest};
pub use push::{Sent, Upload};
pub use reference::Reference;

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
            let mut request = self
                .client
                .connections()
                .plain
                .request(method.clone(), url.clone());
            // Uploads may go to another host, which the credential is not for.
            let ours = self.is_ours(url);
            if let Some(header) = self.authorization().filter(|_| ours) {
                request = request.header(AUTHORIZATION, header);
            }
            let result = fill(request)?.send().await;
            let wait = match &result {
                // Nor may a host to which we were sent on ask for it.
                Ok(response)
                    if response.status() == StatusCode::UNAUTHORIZED
                        && self.is_ours(response.url())
                        && !asked =>
                {
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
                let token = bearer.fetch(
                    &self.client.connections().plain,
                    login,
                    &self.reference,
                    open,
                );
                token.await.map(Some)
            }
        }
    }

    fn is_ours(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
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
    let bytes = crate::http::body(response, 1 << 16).await.ok()??;
    let errors: Errors = serde_json::from_slice(&bytes).ok()?;
    let one = errors.errors.first()?;
    let text = format!("{} {}", one.code, one.message);
    Some(text.trim().chars().take(LONGEST_MESSAGE).collect())
}
