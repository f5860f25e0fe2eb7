//! Who asks, where proxies of the operator's stand before the server: what they say of their clients is believed, and what
//! anybody else says is not.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

/// The header that proxies add the address to from which a request came to them, the last one at its end.
const HEADER: &str = "x-forwarded-for";

/// The client of a request that came from an address: the last one in the list that is no proxy of ours. The list goes on
/// to the left as far as proxies of ours wrote it, so that no client can pass for another.
pub(crate) fn client(peer: IpAddr, proxies: &[IpNet], headers: &HeaderMap) -> IpAddr {
    let is_ours = |address: &IpAddr| proxies.iter().any(|network| network.contains(address));
    let mut client = peer;
    let lists = headers.get_all(HEADER).iter().rev();
    for list in lists {
        for entry in list.as_bytes().rsplit(|byte| *byte == b',') {
            if !is_ours(&client) {
                return client;
            }
            let Some(address) = address(entry) else {
                return client;
            };
            client = address;
        }
    }
    client
}

/// An address, perhaps with a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = match bare.unwrap_or(text).parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => text.parse::<SocketAddr>().ok()?.ip(),
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_proxies_of_ours_are_believed() {
        let proxies: Vec<IpNet> = ["10.0.0.0/8", "2001:db8::/32", "127.0.0.1/32"]
            .iter()
            .map(|network| network.parse().unwrap())
            .collect();
        for (peer, lists, expected) in [
            ("127.0.0.1", vec![], "127.0.0.1"),
            ("127.0.0.1", vec!["192.0.2.1"], "192.0.2.1"),
            ("127.0.0.1", vec!["198.51.100.7, 192.0.2.1"], "192.0.2.1"),
            (
                "127.0.0.1",
                vec!["198.51.100.7,192.0.2.1 , 10.1.2.3"],
                "192.0.2.1",
            ),
            (
                "127.0.0.1",
                vec!["198.51.100.7", "192.0.2.1", "10.1.2.3"],
                "192.0.2.1",
            ),
            ("127.0.0.1", vec!["10.1.2.3, 10.1.2.4"], "10.1.2.3"),
            ("2001:db8::1", vec!["[2001:db9::7]:4711"], "2001:db9::7"),
            ("2001:db8::1", vec!["[2001:db9::7]"], "2001:db9::7"),
            ("10.1.1.1", vec!["192.0.2.1:80"], "192.0.2.1"),
            ("10.1.1.1", vec!["::ffff:192.0.2.1"], "192.0.2.1"),
            ("10.1.1.1", vec!["unknown"], "10.1.1.1"),
            ("10.1.1.1", vec!["192.0.2.1, unknown, 10.2.2.2"], "10.2.2.2"),
            ("10.1.1.1", vec![""], "10.1.1.1"),
            ("192.0.2.9", vec!["198.51.100.7"], "192.0.2.9"),
        ] {
            let mut headers = HeaderMap::new();
            for list in &lists {
                headers.append(HEADER, HeaderValue::from_static(list));
            }
            let found = client(peer.parse().unwrap(), &proxies, &headers);
            assert_eq!(found.to_string(), expected, "{peer} {lists:?}");
            assert_eq!(client(found, &[], &headers), found);
        }
        let mut headers = HeaderMap::new();
        headers.append(HEADER, HeaderValue::from_bytes(b"\xff").unwrap());
        let peer = "10.1.1.1".parse().unwrap();
        assert_eq!(client(peer, &proxies, &headers), peer);
    }
}
