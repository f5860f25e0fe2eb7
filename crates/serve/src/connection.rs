//! One connection: HTTP/1.1 or HTTP/2, whichever the client begins to speak, and when it is given up.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::exchange::{Door, Shared, answer};
use crate::settings::Limits;

/// The longest head of a request, in bytes: more than any client sends.
const HEAD: usize = 1 << 15;
/// The most lines of a head.
const FIELDS: usize = 100;
/// Requests that one HTTP/2 connection may ask at a time: clients ask for shards by the dozen.
const STREAMS: u32 = 128;
/// How long a connection on which nothing is asked stays when the server stops: a request may be on its way.
const LAST: Duration = Duration::from_secs(1);

/// What happens on a connection, and when it happened last.
#[derive(Debug)]
pub(crate) struct Activity {
    began: Instant,
    /// Milliseconds after the beginning.
    last: AtomicU64,
    requests: AtomicU64,
    /// Requests whose answer is not at its end.
    answering: AtomicUsize,
    /// Requests that wait for us, not for the client.
    working: AtomicUsize,
}

/// While there is one, the client is not waited for.
pub(crate) struct Work(Arc<Activity>);

impl Activity {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            last: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            answering: AtomicUsize::new(0),
            working: AtomicUsize::new(0),
        }
    }

    /// Something reached the client, or came from it.
    pub(crate) fn moved(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, SeqCst);
    }

    pub(crate) fn answering(&self) {
        self.requests.fetch_add(1, SeqCst);
        self.answering.fetch_add(1, SeqCst);
        self.moved();
    }

    pub(crate) fn answered(&self) {
        self.answering.fetch_sub(1, SeqCst);
        self.moved();
    }

    pub(crate) fn work(self: &Arc<Self>) -> Work {
        self.working.fetch_add(1, SeqCst);
        Work(Arc::clone(self))
    }

    /// Whether nobody waits for an answer.
    fn is_idle(&self) -> bool {
        self.answering.load(SeqCst) == 0 && self.working.load(SeqCst) == 0
    }

    /// When the client is given up, unless something happens.
    fn end(&self, limits: &Limits) -> Instant {
        let last = self.began + Duration::from_millis(self.last.load(SeqCst));
        if self.working.load(SeqCst) > 0 {
            // Looked at again then.
            Instant::now() + limits.stall
        } else if self.answering.load(SeqCst) > 0 {
            last + limits.stall
        } else if self.requests.load(SeqCst) == 0 {
            self.began + limits.header
        } else {
            last + limits.idle
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, SeqCst);
        self.0.moved();
    }
}

/// Answers what is asked on a connection until its end, or until the server stops and all is answered.
pub(crate) async fn serve<S>(
    stream: S,
    peer: IpAddr,
    door: Door,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::new());
    let limits = shared.limits.clone();
    let service = {
        let (shared, activity) = (Arc::clone(&shared), Arc::clone(&activity));
        service_fn(move |request| {
            let (shared, activity) = (Arc::clone(&shared), Arc::clone(&activity));
            async move { Ok::<_, Infallible>(answer(shared, activity, peer, door, request).await) }
        })
    };
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header.max(limits.idle))
        .max_buf_size(HEAD)
        .max_headers(FIELDS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEAD).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(limits.stall)
        .keep_alive_timeout(limits.header);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut stopping = stop.borrow().then(Instant::now);
    if stopping.is_some() {
        connection.as_mut().graceful_shutdown();
    }
    loop {
        let end = match stopping {
            Some(since) if activity.is_idle() => activity.end(&limits).min(since + LAST),
            _ => activity.end(&limits),
        };
        if end <= Instant::now() {
            return;
        }
        tokio::select! {
            // What goes wrong on the way is the client's loss, and stands in the log as an answer that was cut.
            _ = connection.as_mut() => return,
            () = tokio::time::sleep_until(end.into()) => {}
            changed = stop.changed(), if stopping.is_none() => {
                stopping = Some(Instant::now());
                if changed.is_ok() {
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_given_up_when_it_does_nothing() {
        let limits = Limits {
            header: Duration::from_secs(1),
            idle: Duration::from_secs(10),
            stall: Duration::from_secs(100),
            ..Limits::default()
        };
        let activity = Arc::new(Activity::new());
        // The test itself takes less than a second of each.
        let left = || (activity.end(&limits) - Instant::now()).as_secs() + 1;
        assert_eq!(left(), 1, "no request yet");
        activity.answering();
        assert_eq!(left(), 100, "an answer is on its way");
        activity.last.store(0, SeqCst);
        let work = activity.work();
        assert_eq!(left(), 100, "it waits for us");
        drop(work);
        activity.answered();
        assert_eq!(left(), 10, "nothing is asked");
    }
}
