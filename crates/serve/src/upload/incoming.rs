//! The body of a request, piece by piece: handed on to who writes it, or read by nobody so that its sender comes to read
//! why.

use std::pin::Pin;

use http::header::EXPECT;
use http::{HeaderMap, StatusCode};
use hyper::body::{Body as _, Bytes, Incoming};
use tokio::sync::mpsc;

use super::{Upload, too_large};
use crate::reply::{self, Reply};
use crate::settings::Limits;

/// How much of a body is read that nobody wants.
const DISCARDED: u64 = 16 << 20;

/// Hands a body on piece by piece. A reply if that does not come to its end.
pub(super) async fn feed(
    body: &mut Incoming,
    pieces: mpsc::Sender<Option<Bytes>>,
    upload: &Upload<'_>,
    received: &mut u64,
) -> Option<Reply> {
    loop {
        let frame = next(body);
        let Ok(frame) = tokio::time::timeout(upload.limits.stall, frame).await else {
            return Some(reply::refused(
                StatusCode::REQUEST_TIMEOUT,
                "the package does not come",
            ));
        };
        match frame {
            None => {
                let _ = pieces.send(None).await;
                return None;
            }
            Some(Err(_)) => {
                return Some(reply::refused(
                    StatusCode::BAD_REQUEST,
                    "the package was cut off",
                ));
            }
            Some(Ok(bytes)) => {
                upload.activity.moved();
                *received += bytes.len() as u64;
                if *received > upload.limits.upload {
                    return Some(too_large(upload.limits));
                }
                // Who writes says why it does not go on.
                if pieces.send(Some(bytes)).await.is_err() {
                    discard(body, upload.headers, upload.limits).await;
                    return None;
                }
            }
        }
    }
}

async fn next(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        let frame =
            std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(bytes)) => return Some(Ok(bytes)),
            // Trailers.
            Ok(Err(_)) => {}
            Err(error) => return Some(Err(error)),
        }
    }
}

/// Reads some of a body that nobody wants: who still sends does not see an answer, only that the connection is gone. Who
/// waits for leave to send is told in time.
pub(crate) async fn discard(body: &mut Incoming, headers: &HeaderMap, limits: &Limits) {
    if headers.contains_key(EXPECT) {
        return;
    }
    let read = async {
        let mut count = 0;
        while count < DISCARDED
            && let Some(Ok(bytes)) = next(body).await
        {
            count += bytes.len() as u64;
        }
    };
    let _ = tokio::time::timeout(limits.header, read).await;
}
