//! Credentials that a user wrote into a channel's URL. They are taken out when the channel is
//! named, so that no record, lock or message holds them, and put back into the requests for that
//! channel alone: a mirror or another server never sees them. Stored credentials are rattler's.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use conda::credentials::{self, HIDDEN};
use http::Extensions;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next};
use url::Url;

/// The credentials that were seen so far. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Credentials {
    known: Arc<RwLock<Vec<Known>>>,
}

#[derive(Clone)]
struct Known {
    /// The channel without credentials, ending in `/`.
    bare: String,
    /// The channel with its token, without user and password, ending in `/`.
    with_token: String,
    /// User and password.
    authorization: Option<HeaderValue>,
    secrets: Vec<String>,
}

impl Credentials {
    /// `channel` without its credentials, which are kept for its requests.
    pub(crate) fn take(&self, channel: &Url, http: &reqwest::Client) -> Url {
        let split = credentials::split(channel);
        let has_user = !channel.username().is_empty() || channel.password().is_some();
        if split.secrets.is_empty() && !has_user {
            return split.bare;
        }
        // The client knows how to spell a user and a password in a header.
        let authorization = has_user
            .then(|| http.get(channel.clone()).build().ok())
            .flatten()
            .and_then(|request| request.headers().get(AUTHORIZATION).cloned())
            .map(|mut value| {
                value.set_sensitive(true);
                value
            });
        let mut with_token = channel.clone();
        let _ = with_token.set_username("");
        let _ = with_token.set_password(None);
        with_token.set_query(None);
        with_token.set_fragment(None);
        let mut secrets = split.secrets;
        // A user without a password is a token in the place of a name.
        if channel.password().is_none() && !channel.username().is_empty() {
            secrets.push(channel.username().to_owned());
        }
        let known = Known {
            bare: with_slash(&split.bare),
            with_token: with_slash(&with_token),
            authorization,
            secrets,
        };
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.bare != known.bare);
        all.push(known);
        split.bare
    }

    /// `text` with every known secret hidden, wherever it stands.
    pub(crate) fn hide(&self, text: &str) -> String {
        let all = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut text = text.to_owned();
        for secret in all.iter().flat_map(|known| &known.secrets) {
            // Short ones would take words apart; they are hidden by their place in a URL.
            if secret.len() >= 4 {
                text = text.replace(secret.as_str(), HIDDEN);
            }
        }
        text
    }

    fn of(&self, url: &Url) -> Option<Known> {
        let all = self.known.read().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .filter(|known| url.as_str().starts_with(&known.bare))
            .max_by_key(|known| known.bare.len())
            .cloned()
    }
}

#[async_trait]
impl Middleware for Credentials {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        if let Some(known) = self.of(request.url()) {
            let rest = &request.url().as_str()[known.bare.len()..];
            if let Ok(url) = Url::parse(&format!("{}{rest}", known.with_token)) {
                *request.url_mut() = url;
            }
            if let Some(value) = known.authorization {
                request.headers_mut().insert(AUTHORIZATION, value);
            }
        }
        next.run(request, extensions).await
    }
}

fn with_slash(url: &Url) -> String {
    let text = url.as_str();
    if text.ends_with('/') {
        text.to_owned()
    } else {
        format!("{text}/")
    }
}
