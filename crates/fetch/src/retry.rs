//! When a request is repeated and how long the pause is. Statuses and pauses only; the requests
//! are made by others.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// How often and how patiently.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// Attempts after the first.
    pub(crate) retries: u32,
    /// The first pause; each further one is twice as long.
    pub(crate) backoff: Duration,
    /// The longest pause, whatever a server asks for.
    pub(crate) longest: Duration,
}

impl Policy {
    /// The pause before attempt `attempt` (from 1), or `None` where there is none. `asked` is what
    /// the server asked for.
    pub(crate) fn pause(&self, attempt: u32, asked: Option<Duration>) -> Option<Duration> {
        if attempt > self.retries {
            return None;
        }
        let doubled = self
            .backoff
            .saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
        // Clients that failed together must not come back together.
        let jittered = doubled.mul_f64(0.5 + random_share()).min(self.longest);
        Some(asked.map_or(jittered, |asked| asked.min(self.longest).max(jittered)))
    }
}

/// Whether the same request may be answered differently a little later.
pub(crate) fn is_transient(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        )
}

/// The pause that a server asks for, in seconds (RFC 9110, 10.2.3). The form with a date is not
/// honoured: it would need a clock that both sides agree on.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
        .map(Duration::from_secs)
}

/// A number in 0..1 that differs between processes; nothing depends on its quality.
fn random_share() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let policy = Policy {
            retries: 3,
            backoff: Duration::from_millis(100),
            longest: Duration::from_millis(250),
        };
        let milliseconds = |attempt, asked: Option<u64>| {
            policy
                .pause(attempt, asked.map(Duration::from_millis))
                .map(|pause| pause.as_millis())
        };
        assert!((50..=150).contains(&milliseconds(1, None).expect("a pause")));
        assert!((100..=250).contains(&milliseconds(2, None).expect("a pause")));
        assert!((200..=250).contains(&milliseconds(3, None).expect("a pause")));
        assert_eq!(milliseconds(4, None), None);
        assert!((200..=250).contains(&milliseconds(1, Some(200)).expect("a pause")));
        assert_eq!(
            milliseconds(1, Some(3_600_000)),
            Some(250),
            "a server's wish has a bound"
        );
        assert!(milliseconds(u32::MAX, None).is_none());
    }

    #[test]
    fn only_passing_troubles_are_repeated() {
        for (status, expect) in [
            (200, false),
            (206, false),
            (400, false),
            (401, false),
            (403, false),
            (404, false),
            (408, true),
            (416, false),
            (429, true),
            (500, true),
            (501, false),
            (503, true),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(is_transient(status), expect, "{status}");
        }
    }
}
