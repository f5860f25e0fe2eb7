//! From options to the client that fetches.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use fetch::Client;
use url::Url;

use crate::arguments::Network;
use crate::exit::Failure;

/// The client, and the folder of all caches.
pub(crate) fn client(network: &Network) -> Result<(Client, PathBuf), Failure> {
    let mut defaults = fetch::Options::default();
    if let Some(seconds) = network.timeout {
        let timeout = Duration::from_secs(seconds);
        (defaults.connect_timeout, defaults.idle_timeout) = (timeout, timeout);
    }
    let cache_dir = network
        .cache_dir
        .clone()
        .unwrap_or(defaults.cache_dir.clone());
    let client = Client::new(fetch::Options {
        cache_dir: cache_dir.clone(),
        offline: network.offline,
        channel_alias: network.channel_alias.clone(),
        mirrors: mirrors(network),
        per_host: usize::from(network.max_per_host),
        concurrency: usize::from(network.max_per_host).max(defaults.concurrency),
        rate: network.limit_rate,
        ..defaults
    })?;
    Ok((client, cache_dir))
}

/// Several mirrors of one server are tried in the order in which they are given.
fn mirrors(network: &Network) -> HashMap<Url, Vec<Url>> {
    let mut mirrors: HashMap<Url, Vec<Url>> = HashMap::new();
    for (from, to) in &network.mirror {
        mirrors.entry(from.clone()).or_default().push(to.clone());
    }
    mirrors
}
