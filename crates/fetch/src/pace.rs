//! How much is fetched at a time: so many requests to one server, and so many bytes in a second. How often something
//! is tried again is `retry`'s business.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use url::Url;

/// What all downloads of a client share.
#[derive(Debug)]
pub(crate) struct Pace {
    per_host: usize,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// Bytes in a second, if they are limited.
    rate: Option<u64>,
    /// When what was taken so far would have come at that rate.
    due: Mutex<Option<Instant>>,
}

impl Pace {
    pub(crate) fn new(per_host: usize, rate: Option<u64>) -> Self {
        Self {
            per_host: per_host.max(1),
            hosts: Mutex::default(),
            rate: rate.filter(|rate| *rate > 0),
            due: Mutex::default(),
        }
    }

    /// Waits until the server of a URL may be asked; it may while the value lives.
    pub(crate) async fn enter(&self, url: &Url) -> Option<OwnedSemaphorePermit> {
        let host = format!("{:?}:{:?}", url.host_str(), url.port_or_known_default());
        let semaphore = {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(self.per_host));
            Arc::clone(hosts.entry(host).or_insert_with(new))
        };
        // Nobody closes it.
        semaphore.acquire_owned().await.ok()
    }

    /// Waits until so many bytes fit the rate.
    pub(crate) async fn take(&self, bytes: u64) {
        if let Some(due) = self.due_after(bytes, Instant::now()) {
            tokio::time::sleep_until(due).await;
        }
    }

    /// When so many bytes more would have come.
    fn due_after(&self, bytes: u64, now: Instant) -> Option<Instant> {
        let rate = self.rate?;
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        // What was not taken is not saved up.
        let begin = due.map_or(now, |due| due.max(now));
        #[expect(clippy::cast_precision_loss, reason = "a pause need not be exact")]
        let cost = Duration::from_secs_f64(bytes as f64 / rate as f64);
        Some(*due.insert(begin + cost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_at_the_rate() {
        let pace = Pace::new(1, Some(1000));
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        for _ in 0..9 {
            pace.due_after(500, begin);
        }
        assert_eq!(pace.due_after(500, after(1)), Some(after(5)));
        assert_eq!(pace.due_after(2000, after(60)), Some(after(62)));
        assert_eq!(Pace::new(1, None).due_after(u64::MAX, begin), None);
        assert_eq!(Pace::new(1, Some(0)).due_after(1, begin), None);
    }

    #[tokio::test]
    async fn each_server_has_its_own_places() {
        let pace = Pace::new(2, None);
        let url = |text: &str| Url::parse(text).unwrap();
        let one = pace.enter(&url("https://one.example/a")).await;
        let _two = pace.enter(&url("https://one.example:443/b")).await;
        let _other = pace.enter(&url("https://two.example/")).await;
        let address = url("https://one.example/c");
        let third = tokio::time::timeout(Duration::from_millis(20), pace.enter(&address));
        assert!(third.await.is_err());
        drop(one);
        assert!(pace.enter(&address).await.is_some());
    }
}
