//! One request and what becomes of it. The steps are those of a reader: is it well-formed, is it too much, what is it
//! about, may it be, and what is the answer.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, ALLOW,
    CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version};
use hyper::body::Incoming;
use ipnet::IpNet;

use crate::access::{Access, Act, Denial, Who};
use crate::body::Body;
use crate::connection::Activity;
use crate::digests::Digests;
use crate::file::{self, Asked};
use crate::limits::Permits;
use crate::log::{Line, Log};
use crate::metrics::{Metrics, Outcome};
use crate::path::{Address, Refusal};
use crate::proxies;
use crate::publish::Publisher;
use crate::reply::{self, Reply};
use crate::settings::Limits;
use crate::site::{Channel, Site, Source};
use crate::upload::{self, Target, Upload};

const READING: &str = "GET, HEAD, OPTIONS";
const WRITING: &str = "GET, HEAD, OPTIONS, PUT, DELETE";

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) site: Site,
    pub(crate) access: RwLock<Arc<Access>>,
    pub(crate) digests: Digests,
    pub(crate) metrics: Metrics,
    pub(crate) log: Arc<Log>,
    pub(crate) publisher: Publisher,
    pub(crate) limits: Limits,
    /// Where packages wait that are on their way into a bucket.
    pub(crate) drafts: PathBuf,
    pub(crate) proxies: Vec<IpNet>,
    /// Requests of each address, if they are counted.
    pub(crate) rate: Option<Permits>,
    /// Wrong tokens of each address.
    pub(crate) failures: Permits,
    /// Whether the numbers are at every address.
    pub(crate) has_metrics: bool,
}

/// Where a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Where channels are.
    Channels,
    /// Where only numbers are.
    Metrics,
}

/// What is written down of a request, when its answer is at its end or nobody wants it any more.
pub(crate) struct Exchange {
    shared: Arc<Shared>,
    activity: Arc<Activity>,
    began: Instant,
    peer: IpAddr,
    method: Method,
    protocol: &'static str,
    agent: String,
    status: StatusCode,
    about: About,
    promised: u64,
    sent: u64,
}

/// What a request turned out to be about.
#[derive(Debug, Default)]
pub(crate) struct About {
    /// The address without its secrets; empty if it could not be read.
    path: String,
    channel: Option<usize>,
    token: String,
    received: u64,
}

impl Shared {
    pub(crate) fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Answers a request.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    activity: Arc<Activity>,
    peer: IpAddr,
    door: Door,
    request: Request<Incoming>,
) -> Reply {
    let began = Instant::now();
    let peer = proxies::client(peer, &shared.proxies, request.headers());
    shared.metrics.began();
    let working = activity.work();
    let method = request.method().clone();
    let protocol = match request.version() {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    };
    let agent = request.headers().get(USER_AGENT);
    let agent = agent.filter(|_| shared.log.takes_requests());
    let agent = agent
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or_default();
    let agent: String = agent.chars().take(200).collect();
    let mut exchange = Exchange {
        shared: Arc::clone(&shared),
        activity: Arc::clone(&activity),
        began,
        peer,
        method,
        protocol,
        agent,
        status: StatusCode::OK,
        about: About::default(),
        promised: 0,
        sent: 0,
    };
    activity.answering();
    let mut reply = respond(&shared, &activity, peer, door, request, &mut exchange.about).await;
    if exchange.method == Method::HEAD {
        *reply.body_mut() = Body::nothing();
    }
    if exchange.protocol == "HTTP/2" {
        reply.headers_mut().remove(http::header::CONNECTION);
    }
    exchange.status = reply.status();
    drop(working);
    reply.map(|body| body.watched(exchange))
}

async fn respond(
    shared: &Shared,
    activity: &Activity,
    peer: IpAddr,
    door: Door,
    request: Request<Incoming>,
    about: &mut About,
) -> Reply {
    let (head, mut body) = request.into_parts();
    if let Some(refused) = malformed(&head.headers, head.version, &head.method) {
        return refused;
    }
    let address = match Address::parse(head.uri.path()) {
        Ok(address) => address,
        Err(Refusal::Long) => {
            return reply::refused(StatusCode::URI_TOO_LONG, "the address is too long");
        }
        Err(Refusal::Odd) if head.method == Method::OPTIONS && head.uri.path() == "*" => {
            Address::default()
        }
        Err(Refusal::Odd) => return reply::refused(StatusCode::BAD_REQUEST, "the address is none"),
        Err(Refusal::Hidden) => return reply::not_found(),
    };
    if shared.log.takes_requests() {
        about.path = shown(&address, head.uri.query());
    }
    let names: Vec<&str> = address.parts.iter().map(String::as_str).collect();
    let is_read = [Method::GET, Method::HEAD].contains(&head.method);
    match names.as_slice() {
        ["healthz"] if is_read => return reply::text(StatusCode::OK, "ok"),
        ["metrics"] if is_read && door == Door::Metrics => return metrics(shared),
        _ if door == Door::Metrics => return reply::not_found(),
        _ => {}
    }
    let now = Instant::now();
    if let Some(Err(after)) = shared.rate.as_ref().map(|rate| rate.take(peer, now)) {
        return reply::later(StatusCode::TOO_MANY_REQUESTS, "too many requests", after);
    }
    let access = shared.access();
    let who = match who(shared, &access, peer, &address, &head.headers) {
        Ok(who) => who,
        Err(reply) => {
            upload::discard(&mut body, &head.headers, &shared.limits).await;
            return *reply;
        }
    };
    if let Who::Holder(token) = &who {
        about.token.clone_from(&token.name);
    }
    if names == ["metrics"] && is_read && shared.has_metrics {
        // They tell the names of all channels.
        return match who {
            Who::Anyone if access.hides() => reply::unauthorized(),
            _ => metrics(shared),
        };
    }
    let found = shared.site.find(&address.parts);
    about.channel = found.map(|(channel, _)| channel.number);
    let channel = found.map(|(channel, _)| channel);
    // The same for all channels: it is no hint which there are.
    let methods = if access.has_any_writers() {
        WRITING
    } else {
        READING
    };
    let act = match head.method {
        Method::OPTIONS => return options(methods),
        Method::GET | Method::HEAD => Act::Read,
        Method::PUT | Method::DELETE if methods == WRITING => Act::Write,
        _ => return not_allowed(methods),
    };
    if address.parts.is_empty() && act == Act::Read && shared.site.channels().len() > 1 {
        return channels(&shared.site, &access, &who);
    }
    if let Err(denial) = access.check(&who, channel, act) {
        upload::discard(&mut body, &head.headers, &shared.limits).await;
        return denied(denial);
    }
    let Some((channel, rest)) = found else {
        return reply::not_found();
    };
    // Who asks about channels that are served here, too, must be allowed to read these.
    for one in shared.site.asked_about(channel, rest) {
        if let Err(denial) = access.check(&who, Some(one), Act::Read) {
            upload::discard(&mut body, &head.headers, &shared.limits).await;
            return denied(denial);
        }
    }
    if act == Act::Read {
        let asked = Asked {
            parts: rest,
            is_folder: address.is_folder,
            is_get: head.method == Method::GET,
            headers: &head.headers,
            is_public: access.is_public(channel),
        };
        let digests = &shared.digests;
        let reply = match &channel.source {
            Source::Folder(folder) => file::answer(folder, digests, asked).await,
            Source::Bucket(objects) => objects.answer(&shared.log, asked).await,
            Source::Compiled(compiled) => {
                let reply = file::answer(compiled.folder(), digests, asked).await;
                compiled.answer(reply, digests, asked).await
            }
            Source::Dynamic(dynamic) => dynamic.answer(digests, &shared.log, asked).await,
        };
        // The channel's page, whose links need the slash.
        return match address.parts.last() {
            Some(name) if rest.is_empty() && !address.is_folder && has_page(&reply) => {
                file::folder_of(name)
            }
            _ => reply,
        };
    }
    let Some(place) = channel.place() else {
        upload::discard(&mut body, &head.headers, &shared.limits).await;
        return not_allowed(READING);
    };
    let Some(target) = Target::parse(rest).filter(|_| !address.is_folder) else {
        upload::discard(&mut body, &head.headers, &shared.limits).await;
        let message = "packages are put at CHANNEL/SUBDIR/NAME-VERSION-BUILD.conda or .tar.bz2";
        return reply::text(StatusCode::BAD_REQUEST, message);
    };
    let upload = Upload {
        place,
        target: &target,
        headers: &head.headers,
        version: head.version,
        query: head.uri.query(),
        limits: &shared.limits,
        drafts: &shared.drafts,
        activity,
        log: &shared.log,
        teller: shared.publisher.teller(channel.number),
    };
    if head.method == Method::PUT {
        upload::put(upload, body, &mut about.received).await
    } else {
        upload::delete(upload).await
    }
}

/// Where the channels are that somebody may read.
fn channels(site: &Site, access: &Access, who: &Who) -> Reply {
    let channels = site.channels().iter();
    let readable = channels.filter(|one| access.check(who, Some(one), Act::Read).is_ok());
    let paths: Vec<String> = readable.flat_map(Channel::paths).collect();
    match access.check(who, None, Act::Read) {
        Err(denial) if paths.is_empty() => denied(denial),
        _ => reply::text(StatusCode::OK, &paths.join("\n")),
    }
}

/// Whether there is a file, as far as an answer tells.
fn has_page(reply: &Reply) -> bool {
    reply.status().is_success() || reply.status() == StatusCode::NOT_MODIFIED
}

/// What two programs on the way could understand in two ways.
fn malformed(headers: &HeaderMap, version: Version, method: &Method) -> Option<Reply> {
    let bad = |message| Some(reply::refused(StatusCode::BAD_REQUEST, message));
    let hosts = headers.get_all(HOST).iter().count();
    if version == Version::HTTP_11 && hosts == 0 {
        return bad("there is no Host");
    }
    if hosts > 1 {
        return bad("there is more than one Host");
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        // With a length, nobody on the way can be mistaken about where the next request begins.
        return Some(reply::refused(
            StatusCode::LENGTH_REQUIRED,
            "send the body with Content-Length",
        ));
    }
    let lengths = headers.get_all(CONTENT_LENGTH).iter().count();
    if lengths > 1 {
        return bad("there is more than one Content-Length");
    }
    let has_body = headers
        .get(CONTENT_LENGTH)
        .is_some_and(|length| length != "0");
    if has_body && *method != Method::PUT {
        return Some(reply::refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "this request has no body",
        ));
    }
    None
}

/// Who asks, unless it has been wrong too often.
fn who(
    shared: &Shared,
    access: &Access,
    peer: IpAddr,
    address: &Address,
    headers: &HeaderMap,
) -> Result<Who, Box<Reply>> {
    let who = access.who(address.token.as_deref(), headers);
    if matches!(who, Who::Anyone) {
        return Ok(who);
    }
    let now = Instant::now();
    let too_often = |after: Duration| {
        Box::new(reply::later(
            StatusCode::TOO_MANY_REQUESTS,
            "too many wrong tokens",
            after,
        ))
    };
    // A right token is not told from a wrong one meanwhile.
    shared.failures.look(peer, now).map_err(too_often)?;
    if matches!(who, Who::Wrong) {
        shared.failures.take(peer, now).map_err(too_often)?;
        return Err(Box::new(reply::unauthorized()));
    }
    Ok(who)
}

fn denied(denial: Denial) -> Reply {
    match denial {
        Denial::Unauthorized => reply::unauthorized(),
        Denial::Forbidden => reply::text(
            StatusCode::FORBIDDEN,
            "this token may not write to the channel",
        ),
        Denial::NotFound => reply::not_found(),
    }
}

fn not_allowed(methods: &'static str) -> Reply {
    let mut reply = reply::text(StatusCode::METHOD_NOT_ALLOWED, "this cannot be done here");
    reply
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(methods));
    reply
}

/// Also what browsers ask before they ask from a page of another host.
fn options(methods: &'static str) -> Reply {
    let mut reply = reply::empty(StatusCode::NO_CONTENT);
    let headers = reply.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(methods));
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD"),
    );
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "Authorization, Range, If-None-Match, If-Modified-Since, If-Range",
        ),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    reply
}

fn metrics(shared: &Shared) -> Reply {
    let mut reply = reply::text(StatusCode::OK, shared.metrics.text().trim_end());
    let media_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    reply.headers_mut().insert(CONTENT_TYPE, media_type);
    reply
}

/// The address for the log: names of a query, and no values.
fn shown(address: &Address, query: Option<&str>) -> String {
    let mut text = address.shown();
    let mut mark = '?';
    for pair in query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .take(8)
    {
        let name = pair.split('=').next().unwrap_or_default();
        let is_word = name.len() <= 20 && name.bytes().all(|byte| byte.is_ascii_lowercase());
        text.push(mark);
        text.push_str(if is_word { name } else { "***" });
        text.push_str(if pair.contains('=') { "=***" } else { "" });
        mark = '&';
    }
    text
}

impl Exchange {
    pub(crate) fn promise(&mut self, length: u64) {
        self.promised = length;
    }

    pub(crate) fn sent(&mut self, length: u64) {
        self.sent += length;
        self.activity.moved();
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.activity.answered();
        let took = self.began.elapsed();
        let whole = self.sent == self.promised;
        self.shared.metrics.ended(Outcome {
            channel: self.about.channel,
            method: &self.method,
            status: self.status,
            sent: self.sent,
            received: self.about.received,
            whole,
            took,
        });
        let channel = self
            .about
            .channel
            .and_then(|number| self.shared.site.channels().get(number));
        self.shared.log.request(&Line {
            peer: self.peer,
            method: self.method.as_str(),
            path: if self.about.path.is_empty() {
                "-"
            } else {
                &self.about.path
            },
            protocol: self.protocol,
            status: self.status.as_u16(),
            sent: self.sent,
            received: self.about.received,
            whole,
            took,
            channel: channel.map_or("", |channel| channel.name.as_str()),
            token: &self.about.token,
            agent: &self.agent,
        });
    }
}
