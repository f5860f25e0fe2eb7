//! Answers that are not files: short texts, so that nobody takes a page for a package.

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION,
    RETRY_AFTER, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};

use crate::body::Body;

/// What is sent back.
pub(crate) type Reply = Response<Body>;

/// A status and what it means, in a line.
pub(crate) fn text(status: StatusCode, message: &str) -> Reply {
    let text = format!("{message}\n");
    let length = text.len();
    let mut reply = Response::new(Body::text(text));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    // A package that is not there now may be there in a second.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    reply
}

/// No body.
pub(crate) fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Body::nothing());
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    reply
}

/// The request means nothing, or two things: whatever follows on this connection may, too.
pub(crate) fn refused(status: StatusCode, message: &str) -> Reply {
    let mut reply = text(status, message);
    reply
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

/// It is elsewhere, for now.
pub(crate) fn found(url: &str) -> Reply {
    let mut reply = text(StatusCode::FOUND, "the package is elsewhere");
    match HeaderValue::from_str(url) {
        Ok(url) => {
            reply.headers_mut().insert(LOCATION, url);
            reply
        }
        Err(_) => not_found(),
    }
}

pub(crate) fn not_found() -> Reply {
    text(StatusCode::NOT_FOUND, "not found")
}

/// Nobody said who it is, or somebody said it wrong. The same whether there is such a channel or not.
pub(crate) fn unauthorized() -> Reply {
    let mut reply = text(
        StatusCode::UNAUTHORIZED,
        "a token is needed: https://HOST/t/TOKEN/CHANNEL, or as a password or bearer token",
    );
    let headers = reply.headers_mut();
    let basic = HeaderValue::from_static("Basic realm=\"channels\", charset=\"UTF-8\"");
    headers.append(WWW_AUTHENTICATE, basic);
    let bearer = HeaderValue::from_static("Bearer realm=\"channels\"");
    headers.append(WWW_AUTHENTICATE, bearer);
    headers.insert(VARY, HeaderValue::from_static("Authorization"));
    reply
}

/// Not now.
pub(crate) fn later(status: StatusCode, message: &str, after: Duration) -> Reply {
    let mut reply = text(status, message);
    let seconds = after.as_secs_f64().ceil().max(1.0);
    if let Ok(value) = HeaderValue::from_str(&format!("{seconds:.0}")) {
        reply.headers_mut().insert(RETRY_AFTER, value);
    }
    reply
}
