//! One package, or one blob of an image, over HTTP: begun or resumed, cut off where it is too long, repeated where the
//! failure may pass, verified, and only then in the store.

use std::time::Duration;

use conda::credentials;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE,
};
use reqwest::{Response, StatusCode};

use crate::packages::{Package, Wanted, verify, wrong_size};
use crate::partial::{Partial, is_full};
use crate::registry::{self, Registry};
use crate::retry::{is_transient, retry_after};
use crate::{Cause, Client, Error, Event};

type Report<'a> = &'a (dyn Fn(Event<'_>) + Sync);

/// A download that advances so far between two failures may go on failing: it will end.
const PROGRESS: u64 = 1 << 20;

/// Why an attempt did not end with all bytes.
enum Failure {
    /// It may go well the next time, after the pause that the server asked for.
    Passing(Cause, Option<Duration>),
    /// The bytes are not the right ones.
    Wrong(Error),
    /// It will not go well.
    Final(Error),
}

/// Whom a download asks.
#[derive(Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// Servers of packages, by way of mirrors and with the credentials that are kept for them.
    Channels,
    /// A registry of images.
    Registry(&'a Registry<'a>),
}

/// Fetches `wanted` into the store of `client`.
pub(crate) async fn download(
    client: &Client,
    wanted: &Wanted,
    origin: Origin<'_>,
    report: Report<'_>,
) -> Result<Package, Error> {
    let mut partial = Partial::open(client.store.partial_path(wanted)?).await?;
    // Another process may have been quicker.
    if let Some(package) = client.store.find(wanted)? {
        partial.discard();
        return Ok(package);
    }
    let nothing_to_check_with = wanted.sha256.is_none() && wanted.md5.is_none();
    let too_much = wanted.size.is_some_and(|size| partial.position() > size);
    if too_much || (nothing_to_check_with && partial.validator().is_none()) {
        partial.restart()?;
    }
    report(Event::PackageStarted {
        file_name: &wanted.file_name,
        size: wanted.size,
        resumed: partial.position(),
    });
    let mut transfer = Transfer {
        client,
        wanted,
        origin,
        report,
        spliced: partial.position() > 0,
        partial,
    };
    match transfer.run().await {
        Ok(package) => Ok(package),
        Err(error) => {
            let worthless = error.is_integrity()
                || matches!(&error, Error::Cache { source, .. } if is_full(source))
                || transfer.partial.position() == 0;
            if worthless {
                transfer.partial.discard();
            }
            Err(error)
        }
    }
}

struct Transfer<'a> {
    client: &'a Client,
    wanted: &'a Wanted,
    origin: Origin<'a>,
    report: Report<'a>,
    partial: Partial,
    /// Whether the bytes come from more than one answer, so that they may not fit together.
    spliced: bool,
}

impl Transfer<'_> {
    async fn run(&mut self) -> Result<Package, Error> {
        let mut attempt = 0;
        let mut restarted = false;
        loop {
            let before = self.partial.position();
            let failure = match self.attempt().await {
                Ok(()) => match self.admit() {
                    Ok(package) => return Ok(package),
                    Err(error) if error.is_integrity() => Failure::Wrong(error),
                    Err(error) => return Err(error),
                },
                Err(failure) => failure,
            };
            let (cause, asked) = match failure {
                Failure::Final(error) => return Err(error),
                Failure::Wrong(error) => {
                    if !self.spliced || restarted {
                        return Err(error);
                    }
                    restarted = true;
                    self.restart()?;
                    self.repeat(&error.to_string(), Duration::ZERO).await;
                    continue;
                }
                Failure::Passing(cause, asked) => (cause, asked),
            };
            attempt = if self.partial.position() >= before.saturating_add(PROGRESS) {
                1
            } else {
                attempt + 1
            };
            let Some(wait) = self.client.options.policy().pause(attempt, asked) else {
                return Err(Error::Download {
                    url: self.shown_url(),
                    attempts: attempt,
                    source: cause,
                });
            };
            self.repeat(&cause.line(), wait).await;
        }
    }

    /// One request: all bytes that were lacking are there, or it failed.
    async fn attempt(&mut self) -> Result<(), Failure> {
        let position = self.partial.position();
        if position > 0 && self.wanted.size == Some(position) {
            return Ok(());
        }
        let _place = self.client.pace.enter(&self.wanted.url).await;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if position > 0 {
            let text = |text: &str| HeaderValue::from_str(text).ok();
            headers.extend(text(&format!("bytes={position}-")).map(|range| (RANGE, range)));
            let validator = self.partial.validator().and_then(text);
            headers.extend(validator.map(|validator| (IF_RANGE, validator)));
        }
        let response = self.ask(headers).await?;
        self.begin(&response, position)?;
        self.receive(response).await
    }

    async fn ask(&self, headers: HeaderMap) -> Result<Response, Failure> {
        match self.origin {
            Origin::Channels => {
                let request = self
                    .client
                    .connections()
                    .packages
                    .get(self.wanted.url.clone());
                let answer = request.headers(headers).send().await;
                answer.map_err(|error| Failure::Passing(self.client.cause(&error), None))
            }
            Origin::Registry(registry) => {
                let answer = registry.get(self.wanted, headers).await;
                answer.map_err(|error| match error {
                    registry::Error::Unreachable { source, .. } => Failure::Passing(source, None),
                    error => Failure::Final(Error::Registry(Box::new(error))),
                })
            }
        }
    }

    /// Whether `response` goes on at `position`, or begins.
    fn begin(&mut self, response: &Response, position: u64) -> Result<(), Failure> {
        let status = response.status();
        let refused = |asked| {
            let cause = Cause::message(format!("the server answered {status}"));
            Err(Failure::Passing(cause, asked))
        };
        let total = match status {
            StatusCode::OK => {
                if position > 0 {
                    self.restart().map_err(Failure::Final)?;
                }
                self.partial.set_validator(validator(response.headers()));
                response.content_length()
            }
            StatusCode::PARTIAL_CONTENT => {
                let (start, total) = content_range(response.headers()).unwrap_or((u64::MAX, None));
                if start != position {
                    self.restart().map_err(Failure::Final)?;
                    let cause = Cause::message("the server sent another part than was asked for");
                    return Err(Failure::Passing(cause, None));
                }
                self.spliced |= position > 0;
                total
            }
            // What we hold may be more than there is now.
            StatusCode::RANGE_NOT_SATISFIABLE if position > 0 => {
                self.restart().map_err(Failure::Final)?;
                return refused(None);
            }
            status if is_transient(status) => return refused(retry_after(response.headers())),
            status => {
                return Err(Failure::Final(Error::Status {
                    url: self.shown_url(),
                    status: status.to_string(),
                }));
            }
        };
        match (total, self.wanted.size) {
            (Some(total), Some(size)) if total != size => {
                Err(Failure::Wrong(wrong_size(self.wanted, size, total)))
            }
            _ => Ok(()),
        }
    }

    async fn receive(&mut self, mut response: Response) -> Result<(), Failure> {
        let limit = self
            .wanted
            .size
            .unwrap_or(self.client.options.package_limit);
        loop {
            let piece = response
                .chunk()
                .await
                .map_err(|error| Failure::Passing(self.client.cause(&error), None))?;
            let Some(piece) = piece else { break };
            let position = self.partial.position().saturating_add(piece.len() as u64);
            if position > limit {
                return Err(Failure::Wrong(match self.wanted.size {
                    Some(size) => wrong_size(self.wanted, size, position),
                    None => Error::TooLarge {
                        url: self.shown_url(),
                        limit,
                    },
                }));
            }
            self.client.pace.take(piece.len() as u64).await;
            self.partial.append(&piece).map_err(Failure::Final)?;
            (self.report)(Event::PackageBytes {
                file_name: &self.wanted.file_name,
                position,
            });
        }
        match self.wanted.size {
            Some(size) if self.partial.position() < size => {
                let cause = Cause::message(format!(
                    "the answer ended after {} of {size} bytes",
                    self.partial.position()
                ));
                Err(Failure::Passing(cause, None))
            }
            _ => Ok(()),
        }
    }

    fn admit(&mut self) -> Result<Package, Error> {
        let digests = self.partial.complete()?;
        // Before the disk is touched: the common failure leaves the store as it is.
        verify(self.wanted, digests)?;
        let package = self
            .client
            .store
            .admit_path(self.partial.path(), digests, self.wanted)?;
        self.partial.set_validator(None);
        Ok(package)
    }

    fn restart(&mut self) -> Result<(), Error> {
        self.spliced = false;
        self.partial.restart()
    }

    async fn repeat(&self, reason: &str, wait: Duration) {
        (self.report)(Event::Retry {
            url: &self.shown_url(),
            reason,
            wait,
        });
        tokio::time::sleep(wait).await;
    }

    fn shown_url(&self) -> String {
        credentials::redacted(&self.wanted.url)
    }
}

/// What a resumed request can be conditional on (RFC 9110, 13.1.5): a strong tag, or a date.
fn validator(headers: &HeaderMap) -> Option<&str> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    text(ETAG)
        .filter(|tag| tag.starts_with('"'))
        .or_else(|| text(LAST_MODIFIED))
        .filter(|text| text.len() <= 200)
}

/// `bytes START-END/TOTAL` (RFC 9110, 14.4); the total may be `*`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}
