//! How often one address may do something: a bucket of permits for each, which fills up with time.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many addresses are remembered.
const MOST: usize = 1 << 16;

/// Permits for all addresses.
#[derive(Debug)]
pub(crate) struct Permits {
    /// In a second.
    rate: f64,
    most: f64,
    taken: Mutex<HashMap<IpAddr, Taken>>,
}

/// How many permits are missing from a full bucket, and when that was so.
#[derive(Debug, Clone, Copy)]
struct Taken {
    count: f64,
    at: Instant,
}

impl Permits {
    /// So many at once, and so many in a second.
    pub(crate) fn new(most: f64, rate: f64) -> Self {
        Self {
            rate,
            most,
            taken: Mutex::default(),
        }
    }

    /// Takes a permit, or says how long until there is one.
    pub(crate) fn take(&self, peer: IpAddr, now: Instant) -> Result<(), Duration> {
        self.ask(peer, now, 1.0)
    }

    /// Whether there is a permit.
    pub(crate) fn look(&self, peer: IpAddr, now: Instant) -> Result<(), Duration> {
        self.ask(peer, now, 0.0)
    }

    fn ask(&self, peer: IpAddr, now: Instant, take: f64) -> Result<(), Duration> {
        let mut all = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = network(peer);
        let left = |taken: &Taken| {
            let since = now.saturating_duration_since(taken.at).as_secs_f64();
            (taken.count - since * self.rate).max(0.0)
        };
        let count = all.get(&peer).map_or(0.0, left);
        let above = count + 1.0 - self.most;
        if above > 1e-9 {
            return Err(Duration::from_secs_f64(above / self.rate));
        }
        if take > 0.0 {
            if all.len() >= MOST && !all.contains_key(&peer) {
                all.retain(|_, taken| left(taken) > 0.0);
                // So many at once are no clients.
                if all.len() >= MOST {
                    all.clear();
                }
            }
            let count = count + take;
            all.insert(peer, Taken { count, at: now });
        }
        Ok(())
    }
}

/// Who has one IPv6 address has all of its /64.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn permits_come_back_with_time() {
        let permits = Permits::new(2.0, 1.0);
        let start = Instant::now();
        let peer = address("192.0.2.1");
        assert_eq!(permits.take(peer, start), Ok(()));
        assert_eq!(permits.take(peer, start), Ok(()));
        assert_eq!(permits.take(peer, start), Err(Duration::from_secs(1)));
        assert_eq!(permits.take(address("192.0.2.2"), start), Ok(()));
        assert_eq!(
            permits.take(address("::ffff:192.0.2.1"), start),
            Err(Duration::from_secs(1))
        );
        let later = start + Duration::from_secs(1);
        assert_eq!(permits.look(peer, later), Ok(()));
        assert_eq!(permits.look(peer, later), Ok(()), "looking takes nothing");
        assert_eq!(permits.take(peer, later), Ok(()));
        assert!(permits.take(peer, later).is_err());
    }

    #[test]
    fn a_network_is_one_client_and_memory_is_bounded() {
        let permits = Permits::new(1.0, 0.1);
        let now = Instant::now();
        assert!(permits.take(address("2001:db8::1"), now).is_ok());
        assert!(permits.take(address("2001:db8::2"), now).is_err());
        assert!(permits.take(address("2001:db8:0:1::1"), now).is_ok());
        for number in 0..200_000 {
            let peer = std::net::Ipv4Addr::from_bits(number);
            assert!(permits.take(peer.into(), now).is_ok());
        }
        assert!(permits.taken.lock().expect("the map").len() <= MOST);
    }
}
