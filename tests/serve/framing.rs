//! Requests that no honest client sends: each is refused, and nothing of it is taken for a second request.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use super::channel;
use crate::support::run::Place;
use crate::support::serving::{Serving, receive, until};

const SMUGGLED: &str = "GET /demo/noarch/repodata.json HTTP/1.1\r\nHost: test\r\n\r\n";

/// All that comes back for these bytes until the server closes the connection.
fn all(server: &Serving, request: &str) -> String {
    let mut stream = server.connect();
    // Who refuses early does not read all of it.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    // A reset after the answer is as good as an end.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn requests_that_mean_two_things_are_refused_and_end_the_connection() {
    let place = Place::new();
    channel(&place);
    let server = Serving::start(&place, &["demo"]);
    let start = "GET /demo/noarch/repodata.json HTTP/1.1\r\n";
    let length = SMUGGLED.len();
    for (head, status) in [
        (
            format!(
                "{start}Host: test\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            "411",
        ),
        (
            format!(
                "{start}Host: test\r\nTransfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n0\r\n\r\n"
            ),
            "411",
        ),
        (
            format!("{start}Host: test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "411",
        ),
        (
            format!("{start}Host: test\r\nTransfer-Encoding: xchunked\r\n\r\n"),
            "400",
        ),
        (
            format!("{start}Host: test\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
            "400",
        ),
        (
            format!("{start}Host: test\r\nContent-Length: {length}\r\nContent-Length: 0\r\n\r\n"),
            "400",
        ),
        (
            format!("{start}Host: test\r\nContent-Length: 0, {length}\r\n\r\n"),
            "400",
        ),
        (
            format!("{start}Host: test\r\nContent-Length: +{length}\r\n\r\n"),
            "400",
        ),
        (
            format!("{start}Host: test\r\nContent-Length: -1\r\n\r\n"),
            "400",
        ),
        (
            format!("{start}Host: test\r\nContent-Length: 0x10\r\n\r\n"),
            "400",
        ),
        (
            format!("{start}Host: test\r\nContent-Length: {length}\r\n\r\n"),
            "413",
        ),
        (format!("{start}Host: test\r\nX: a\r\n b\r\n\r\n"), "400"),
        (format!("{start}Host: test\r\nX: a\rY: b\r\n\r\n"), "400"),
        (format!("{start}Host: test\r\nX: a\0b\r\n\r\n"), "400"),
        (format!("{start}Host: test\r\nX Y: a\r\n\r\n"), "400"),
        (format!("{start}Host: test\r\n: a\r\n\r\n"), "400"),
        (format!("{start}Host: test\r\nHost: other\r\n\r\n"), "400"),
        (format!("{start}\r\n"), "400"),
        (
            "GET /demo/noarch/repodata.json HTTP/3.7\r\nHost: test\r\n\r\n".to_owned(),
            "400",
        ),
        (
            "GET  /demo/noarch/repodata.json HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(),
            "400",
        ),
        (
            "GET /demo/a b HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(),
            "400",
        ),
        (
            "G\u{e9}T / HTTP/1.1\r\nHost: test\r\n\r\n".to_owned(),
            "400",
        ),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(), "400"),
    ] {
        let answer = all(&server, &format!("{head}{SMUGGLED}"));
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{head:?}: {answer}"
        );
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{head:?}: {answer}");
        assert!(!answer.contains("repodata_version"), "{head:?}: {answer}");
    }
    // Lines may end without the carriage return (RFC 9112, section 2.2), and then all of them mean the same.
    let bare = SMUGGLED
        .replace("\r\n", "\n")
        .replace("\n\n", "\nConnection: close\n\n");
    let answer = all(&server, &bare);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.matches("HTTP/1.1 ").count() == 1);
    // After all that, and several on one connection, in order.
    let close = SMUGGLED.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let answer = all(&server, &format!("{SMUGGLED}{SMUGGLED}{close}"));
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 3);
}

#[test]
fn heads_are_bounded() {
    let place = Place::new();
    channel(&place);
    let server = Serving::start(&place, &["demo"]);
    let request = |path: &str, headers: &str| {
        let text =
            format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}\r\n");
        let answer = all(&server, &text);
        answer
            .split(' ')
            .nth(1)
            .map(str::to_owned)
            .unwrap_or_default()
    };
    let many = |count: usize| "X-Some: header\r\n".repeat(count);
    let long = |length: usize| format!("X-Some: {}\r\n", "a".repeat(length));
    assert_eq!(request("/demo/noarch/repodata.json", &many(50)), "200");
    assert_eq!(request("/demo/noarch/repodata.json", &many(200)), "431");
    assert_eq!(request("/demo/noarch/repodata.json", &long(8_000)), "200");
    assert_eq!(request("/demo/noarch/repodata.json", &long(200_000)), "431");
    assert_eq!(request(&format!("/{}", "a".repeat(5_000)), ""), "414");
    assert!(["414", "431"].contains(&request(&format!("/{}", "a".repeat(200_000)), "").as_str()));
}

#[test]
fn slow_clients_are_given_up_and_others_are_not() {
    let place = Place::new();
    place.write("demo/noarch/big-1-0.conda", vec![7; 32 << 20]);
    let limits = [
        "--header-timeout",
        "1",
        "--idle-timeout",
        "2",
        "--stall-timeout",
        "2",
        "demo",
    ];
    let server = Serving::start(&place, &limits);
    // Nothing at all, a head that never ends, the beginning of either protocol, and silence after an answer.
    let mut silent = server.connect();
    let mut preface = server.connect();
    let mut idle = server.connect();
    let mut trickle = server.connect();
    let mut stalled = server.connect();
    preface.write_all(b"PRI * HTTP/2").expect("a beginning");
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n")
        .expect("a request");
    receive(&mut idle, false).is(200);
    stalled
        .write_all(b"GET /noarch/big-1-0.conda HTTP/1.1\r\nHost: test\r\n\r\n")
        .expect("a request");
    trickle
        .write_all(b"GET / HTTP/1.1\r\n")
        .expect("a beginning");
    let began = Instant::now();
    for number in 0.. {
        // It is closed while it goes on.
        let line = format!("X-{number}: a\r\n");
        if trickle.write_all(line.as_bytes()).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(began.elapsed() < Duration::from_secs(30));
    for (stream, what) in [
        (&mut silent, "silent"),
        (&mut preface, "preface"),
        (&mut idle, "idle"),
    ] {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        let text = String::from_utf8_lossy(&rest);
        assert!(text.is_empty() || text.contains(" 408 "), "{what}: {text}");
    }
    // What was not taken is not sent any more.
    server.says("\"cut\":true");
    let mut count = 0;
    let mut buffer = vec![0; 1 << 20];
    while let Ok(read) = stalled.read(&mut buffer)
        && read > 0
    {
        count += read;
    }
    assert!(count < 32 << 20, "{count}");
    assert_eq!(server.get("/noarch/big-1-0.conda").body.len(), 32 << 20);
}

#[test]
fn one_address_may_ask_so_often() {
    let place = Place::new();
    channel(&place);
    let server = Serving::start(&place, &["demo", "--rate-limit", "1"]);
    let path = "/demo/noarch/repodata.json";
    server.get(path).is(200);
    until(|| {
        let answer = server.get(path);
        assert!([200, 429].contains(&answer.status), "{answer:?}");
        answer.status == 429 && answer.header("retry-after") == "1"
    });
    server.get("/healthz").is(200);
    until(|| server.get(path).status == 200);
}

/// Behind a proxy it is the proxy's clients that are counted, and nobody can pass for another.
#[test]
fn a_proxy_says_who_asks() {
    let place = Place::new();
    channel(&place);
    let path = "/demo/noarch/repodata.json";
    let ask = |server: &Serving, client: &str| {
        let client = format!("X-Forwarded-For: {client}");
        server.ask("GET", path, &[&client]).status
    };
    let proxied = [
        "demo",
        "--rate-limit",
        "1",
        "--trusted-proxy",
        "127.0.0.0/8",
    ];
    let server = Serving::start(&place, &proxied);
    assert_eq!(ask(&server, "192.0.2.1"), 200);
    until(|| ask(&server, "198.51.100.1, 192.0.2.1") == 429);
    assert_eq!(ask(&server, "192.0.2.2"), 200);
    server.says("\"peer\":\"192.0.2.2\"");
    let server = Serving::start(&place, &["demo", "--rate-limit", "1"]);
    until(|| ask(&server, "192.0.2.1") == 429);
    assert_eq!(ask(&server, "192.0.2.2"), 429);
    assert!(!server.log().contains("192.0.2"));
}
