//! What a registry wants to see before it answers: a password, or a token that somebody else gives for one
//! (docs of distribution, "Token authentication").

use std::net::IpAddr;

use ::http::HeaderValue;
use ::http::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::Client;
use serde::Deserialize;
use url::{Url, form_urlencoded};

use super::credentials::Login;
use super::{Error, Reference};
use crate::{Cause, http};

/// An answer that is longer holds no token, in bytes.
const LONGEST: u64 = 1 << 20;

/// A `WWW-Authenticate` header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer(Bearer),
}

/// Who gives tokens, and for what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bearer {
    realm: String,
    service: Option<String>,
    scope: Option<String>,
}

impl Challenge {
    pub(super) fn parse(header: &str) -> Option<Challenge> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let value = |wanted: &str| {
            let mut rest = rest;
            while let Some((key, after)) = rest.split_once('=') {
                let (value, next) = match after.strip_prefix('"') {
                    Some(quoted) => quoted.split_once('"')?,
                    None => after.split_once(',').unwrap_or((after, "")),
                };
                if key.trim().eq_ignore_ascii_case(wanted) {
                    return Some(value.to_owned());
                }
                rest = next.trim_start().trim_start_matches(',');
            }
            None
        };
        Some(Challenge::Bearer(Bearer {
            realm: value("realm")?,
            service: value("service"),
            scope: value("scope"),
        }))
    }
}

impl Bearer {
    /// Asks for a token. The password goes to whom the registry names, but never without TLS unless the
    /// registry itself has none.
    pub(super) async fn fetch(
        &self,
        client: &Client,
        login: Option<&Login>,
        reference: &Reference,
        open: bool,
    ) -> Result<HeaderValue, Error> {
        const ACTION: &str = "get a token";
        let registry = || reference.host().to_owned();
        let unusable = |message: &str| Error::Answer {
            registry: registry(),
            action: ACTION,
            status: 401,
            message: message.to_owned(),
        };
        let mut url = Url::parse(&self.realm).map_err(|_| unusable("its realm is no address"))?;
        let local = url.host_str().is_some_and(is_loopback);
        if url.scheme() != "https" && !(url.scheme() == "http" && (local || open)) {
            return Err(Error::Open {
                registry: registry(),
                url: conda::credentials::without(&url).to_string(),
            });
        }
        let wanted = format!("repository:{}:pull,push", reference.name());
        let scope = self.scope.as_deref().unwrap_or(&wanted);
        let request = if let Some(Login::Token(token)) = login {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "refresh_token")
                .append_pair("client_id", "archiconda")
                .append_pair("refresh_token", token)
                .append_pair("scope", scope);
            if let Some(service) = &self.service {
                form.append_pair("service", service);
            }
            let kind = "application/x-www-form-urlencoded";
            client
                .post(url)
                .header(CONTENT_TYPE, kind)
                .body(form.finish())
        } else {
            if let Some(service) = &self.service {
                url.query_pairs_mut().append_pair("service", service);
            }
            url.query_pairs_mut().append_pair("scope", scope);
            let request = client.get(url);
            match login.and_then(Login::basic) {
                Some(header) => request.header(AUTHORIZATION, header),
                None => request,
            }
        };
        let response = request.send().await.map_err(|error| Error::Unreachable {
            registry: registry(),
            action: ACTION,
            source: Cause::of(&error.without_url()),
        })?;
        let status = response.status();
        if status.is_client_error() {
            return Err(Error::Denied {
                registry: registry(),
                action: ACTION,
                name: reference.name().to_owned(),
                status: status.as_u16(),
                known: login.is_some(),
            });
        }
        let bytes = http::body(response, LONGEST).await.ok().flatten();
        let bytes = bytes.unwrap_or_default();
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| Error::Answer {
            registry: registry(),
            action: ACTION,
            status: status.as_u16(),
            message: "it is no token".to_owned(),
        })?;
        let token = answer.token.or(answer.access_token).unwrap_or_default();
        let header = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut header = header.map_err(|_| unusable("the token is none"))?;
        header.set_sensitive(true);
        Ok(header)
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

/// Whether a host, with a port or without, is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer(Bearer {
                realm: realm.to_owned(),
                service: service.map(str::to_owned),
                scope: scope.map(str::to_owned),
            }))
        };
        let scope = Some("repository:a/b:pull,push");
        for (header, expected) in [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://t/x\",service=\"s\",scope=\"repository:a/b:pull,push\"",
                bearer("https://t/x", Some("s"), scope),
            ),
            (
                "bearer service=s, realm=https://t",
                bearer("https://t", Some("s"), None),
            ),
            ("Bearer service=\"s\"", None),
            ("Bearer realm=\"https://t", None),
            ("Negotiate", None),
            ("", None),
        ] {
            assert_eq!(Challenge::parse(header), expected, "{header}");
        }
    }
}
