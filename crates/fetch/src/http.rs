//! The HTTP clients: certificates, proxies and timeouts, then the layers that every request goes
//! through: repeating (repodata only; packages resume instead), mirrors, credentials of channel
//! URLs, stored credentials. What is requested is for others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use http::Extensions;
use rattler_networking::authentication_storage::backends::file::FileStorage;
use rattler_networking::mirror_middleware::Mirror;
use rattler_networking::{
    AuthenticationMiddleware, AuthenticationStorage, MirrorMiddleware, OfflineMiddleware,
};
use reqwest::{Request, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use tokio::sync::mpsc::UnboundedSender;
use url::Url;

use crate::credentials::Credentials;
use crate::repodata::Message;
use crate::retry::{self, Policy};
use crate::{Cause, Error, Options};

/// What we call ourselves: the product, not a browser.
const USER_AGENT: &str = concat!("archiconda/", env!("CARGO_PKG_VERSION"));

/// Where the retries of repodata requests are reported to while a query runs.
#[derive(Clone, Default)]
pub(crate) struct RetryReports {
    sender: Arc<Mutex<Option<UnboundedSender<Message>>>>,
}

impl RetryReports {
    pub(crate) fn set(&self, sender: Option<UnboundedSender<Message>>) {
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = sender;
    }

    fn send(&self, message: Message) {
        if let Some(sender) = &*self.sender.lock().unwrap_or_else(PoisonError::into_inner) {
            // Nobody listens any more where the query has ended.
            let _ = sender.send(message);
        }
    }
}

/// A client that trusts no certificate.
pub(crate) fn bare(options: &Options) -> Result<reqwest::Client, Error> {
    let client = builder(options).tls_certs_only([]).build();
    client.map_err(|error| Error::Start(Cause::new(&error, &str::to_owned)))
}

/// The client without any layer. Roots come from the system or from `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` (through `rustls-native-certs`), proxies from the usual variables. Where there is no
/// root certificate at all, http works nevertheless, and https says that the issuer is unknown.
pub(crate) fn plain(options: &Options, bare: &reqwest::Client) -> reqwest::Client {
    let client = builder(options).build();
    client.unwrap_or_else(|_| bare.clone())
}

fn builder(options: &Options) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.idle_timeout)
        // A token in a path would go to the server that a redirect names.
        .referer(false)
        // Sizes and digests are those of the bytes as they are sent.
        .no_gzip()
}

/// The client for packages.
pub(crate) fn for_packages(
    plain: &reqwest::Client,
    options: &Options,
    credentials: &Credentials,
    storage: &AuthenticationStorage,
) -> ClientWithMiddleware {
    let builder = ClientBuilder::new(plain.clone());
    layers(builder, options, credentials, storage)
}

/// The client for repodata.
pub(crate) fn for_repodata(
    plain: &reqwest::Client,
    options: &Options,
    credentials: &Credentials,
    storage: &AuthenticationStorage,
    reports: &RetryReports,
) -> ClientWithMiddleware {
    let mut builder = ClientBuilder::new(plain.clone());
    if options.offline {
        builder = builder.with(OfflineMiddleware);
    }
    builder = builder.with(Repeat {
        policy: options.policy(),
        reports: reports.clone(),
        credentials: credentials.clone(),
    });
    layers(builder, options, credentials, storage)
}

fn layers(
    mut builder: ClientBuilder,
    options: &Options,
    credentials: &Credentials,
    storage: &AuthenticationStorage,
) -> ClientWithMiddleware {
    if !options.mirrors.is_empty() {
        builder = builder.with(MirrorMiddleware::from_map(mirrors(options)));
    }
    builder
        .with(credentials.clone())
        .with(AuthenticationMiddleware::from_auth_storage(storage.clone()))
        .build()
}

/// Prefixes are compared as text and joined with what follows, so that all end in a slash.
fn mirrors(options: &Options) -> HashMap<Url, Vec<Mirror>> {
    let folder = |url: &Url| {
        let mut url = url.clone();
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        url
    };
    options
        .mirrors
        .iter()
        .map(|(url, mirrors)| {
            let mirrors = mirrors
                .iter()
                .map(|mirror| Mirror {
                    url: folder(mirror),
                    no_zstd: false,
                    no_bz2: false,
                    max_failures: None,
                })
                .collect();
            (folder(url), mirrors)
        })
        .collect()
}

/// rattler's stores: `RATTLER_AUTH_FILE`, `~/.rattler/credentials.json`, netrc; before them the
/// file of the options. Keyrings are not asked: a build host has none, and asking takes a D-Bus.
pub(crate) fn storage(options: &Options) -> Result<AuthenticationStorage, Error> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Error::Credentials(Cause::new(error, &str::to_owned))
    };
    let defaults =
        AuthenticationStorage::from_env_and_defaults().map_err(|error| failed(&error))?;
    let Some(path) = &options.auth_file else {
        return Ok(defaults);
    };
    let mut storage = AuthenticationStorage::empty();
    let file = FileStorage::from_path(path.clone()).map_err(|error| failed(&error))?;
    storage.add_backend(Arc::new(file));
    for backend in defaults.backends {
        storage.add_backend(backend);
    }
    Ok(storage)
}

/// Repeats requests that fail for a passing reason.
struct Repeat {
    policy: Policy,
    reports: RetryReports,
    credentials: Credentials,
}

#[async_trait]
impl Middleware for Repeat {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let url = request.url().to_string();
        let mut attempt = 0;
        loop {
            let Some(copy) = request.try_clone() else {
                return next.run(request, extensions).await;
            };
            let result = next.clone().run(copy, extensions).await;
            let (reason, asked) = match &result {
                Ok(response) if retry::is_transient(response.status()) => (
                    format!("the server answered {}", response.status()),
                    retry::retry_after(response.headers()),
                ),
                Ok(_) => return result,
                Err(error) => (
                    Cause::new(error, &|text| self.credentials.hide(text)).line(),
                    None,
                ),
            };
            attempt += 1;
            let Some(wait) = self.policy.pause(attempt, asked) else {
                return result;
            };
            self.reports.send(Message::Retry {
                url: conda::credentials::redact_text(&url),
                reason,
                wait,
            });
            tokio::time::sleep(wait).await;
        }
    }
}

/// All bytes of an answer; none if these are more than `most`, whatever it says of its length.
pub(crate) async fn body(
    mut response: Response,
    most: u64,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if (bytes.len() + piece.len()) as u64 > most {
            return Ok(None);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Some(bytes))
}
