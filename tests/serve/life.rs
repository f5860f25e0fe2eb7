//! A server's life: beginning, many clients while the channel changes, what it writes down, and its end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use archive::digest::Sha256;
use fs_err as fs;
use serde_json::Value;

use super::channel;
use crate::support::package::Package;
use crate::support::run::{Place, run};
use crate::support::serving::{Serving, connect, receive, until};

#[test]
fn wrong_usage_is_told_before_anything_is_served() {
    let place = Place::new();
    fs::create_dir(place.join("a")).expect("a folder");
    fs::create_dir_all(place.join("b/a")).expect("a folder");
    let serve = |arguments: &[&str]| {
        let mut command = place.archiconda();
        run(command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments))
    };
    serve(&[]).exits(2).says(&["[NAME=]DIR"]);
    serve(&["nowhere"]).exits(2).says(&["nowhere"]);
    serve(&["x=nowhere"]).exits(1).says(&["nowhere"]);
    serve(&["a", "b/a"])
        .exits(2)
        .says(&["two channels have it", "NAME=DIR"]);
    serve(&["t=a"]).exits(2).says(&["`t` cannot be the name"]);
    serve(&["a", "--tls-cert", "x.pem"])
        .exits(2)
        .says(&["--tls-key"]);
    serve(&["a", "--tls-cert", "x.pem", "--tls-key", "y.pem"])
        .exits(1)
        .says(&["x.pem"]);
    place.write("x.pem", "no certificate");
    serve(&["a", "--tls-cert", "x.pem", "--tls-key", "x.pem"])
        .exits(2)
        .says(&["there is no certificate in it"]);
    serve(&["--dynamic", "x", "--blacklists", "nowhere"])
        .exits(1)
        .says(&["nowhere"]);
    serve(&["a", "--listen", "192.0.2.1:1"])
        .exits(1)
        .says(&["cannot listen on 192.0.2.1:1"]);
}

#[test]
fn many_clients_while_packages_appear() {
    const CLIENTS: usize = 200;
    const ROUNDS: usize = 6;
    let place = Place::new();
    let folder = channel(&place);
    let server = Serving::start(&place, &["demo"]);
    let address = server.address;
    let (done, begun, checked) = (
        AtomicBool::new(false),
        Barrier::new(CLIENTS + 1),
        AtomicUsize::new(0),
    );
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (done, begun, checked) = (&done, &begun, &checked);
            scope.spawn(move || {
                let mut stream = connect(address);
                begun.wait();
                let mut last = false;
                while !last {
                    last = done.load(SeqCst);
                    let names = if number % 2 == 0 {
                        listed(&mut stream)
                    } else {
                        listed_in_shards(&mut stream)
                    };
                    // What was named is there, whole, however new it is.
                    for name in names.iter().skip(number % 7).step_by(7) {
                        get(&mut stream, name);
                    }
                    checked.fetch_add(names.len(), SeqCst);
                }
            });
        }
        begun.wait();
        for round in 0..ROUNDS {
            for number in 0..3 {
                Package::named(&format!("new{number} {round} 0")).write_to(&folder);
            }
            let mut index = place.archiconda();
            run(index
                .arg("index")
                .arg(&folder)
                .args(["--all", "--grace", "1h"]))
            .succeeds();
        }
        done.store(true, SeqCst);
    });
    assert!(checked.load(SeqCst) > CLIENTS * 15);
    let metrics = server.get("/metrics").is(200).text();
    assert!(
        metrics.contains("archiconda_http_cut_responses_total 0\n"),
        "{metrics}"
    );
    assert!(
        !metrics.contains("status=\"404\"") && !metrics.contains("status=\"5"),
        "{metrics}"
    );
}

fn get(stream: &mut TcpStream, path: &str) -> Vec<u8> {
    let request = format!("GET /demo/linux-64/{path} HTTP/1.1\r\nHost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("a request");
    receive(stream, false).is(200).body
}

/// The packages that repodata.json names.
fn listed(stream: &mut TcpStream) -> Vec<String> {
    let repodata: Value = serde_json::from_slice(&get(stream, "repodata.json")).expect("JSON");
    let packages = repodata["packages.conda"].as_object().expect("packages");
    packages.keys().cloned().collect()
}

/// The shards that the index names: it holds their digests as binary of 32 bytes.
fn listed_in_shards(stream: &mut TcpStream) -> Vec<String> {
    let index = get(stream, "repodata_shards.msgpack.zst");
    let index = zstd::decode_all(&index[..]).expect("an index");
    let digest = |at: usize| index.get(at + 2..at + 34)?.try_into().ok().map(Sha256);
    digests(&index)
        .filter_map(digest)
        .map(|digest| format!("{digest}.msgpack.zst"))
        .collect()
}

fn digests(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let mut next = 0;
    std::iter::from_fn(move || {
        let found = bytes
            .get(next..)?
            .windows(2)
            .position(|pair| pair == [0xc4, 0x20])?;
        let at = next + found;
        next = at + 34;
        Some(at)
    })
}

#[test]
fn told_to_stop_it_finishes_what_it_is_sending() {
    let place = Place::new();
    let content: Vec<u8> = (0..48_000_000_u32)
        .map(|number| (number % 253) as u8)
        .collect();
    place.write("demo/noarch/big-1-0.conda", &content);
    let mut server = Serving::start(&place, &["demo"]);
    let request = b"GET /noarch/big-1-0.conda HTTP/1.1\r\nHost: test\r\n\r\n";
    let mut stream = server.connect();
    stream.write_all(request).expect("a request");
    let mut first = [0; 1000];
    stream.read_exact(&mut first).expect("a beginning");
    let mut idle = server.connect();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n")
        .expect("a request");
    receive(&mut idle, false).is(200);
    server.signal("TERM");
    server.says("stopping");
    // Nobody new comes in, who asks nothing is sent away, and who is being answered gets all of it.
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).expect("an end");
    assert!(rest.is_empty());
    while TcpStream::connect(server.address).is_ok() {
        thread::yield_now();
    }
    let mut all = first.to_vec();
    stream.read_to_end(&mut all).expect("the rest");
    assert!(all.ends_with(&content), "{} bytes", all.len());
    assert_eq!(server.end(), Some(0));
}

#[test]
fn connections_on_which_nothing_is_asked_do_not_keep_it_from_stopping() {
    let place = Place::new();
    channel(&place);
    let long = "100000";
    let mut server = Serving::start(
        &place,
        &[
            "demo",
            "--grace",
            long,
            "--header-timeout",
            long,
            "--idle-timeout",
            long,
        ],
    );
    let (mut silent, mut half) = (server.connect(), server.connect());
    half.write_all(b"GET /hea").expect("a beginning");
    // Both were taken: another one after them was.
    server.get("/healthz").is(200);
    server.signal("TERM");
    assert_eq!(server.end(), Some(0));
    for stream in [&mut silent, &mut half] {
        // Cut, or closed.
        assert!(stream.read(&mut [0]).unwrap_or(0) == 0);
    }
    assert!(!server.log().contains("their time was over"));
}

#[test]
fn a_client_that_takes_nothing_does_not_keep_it_from_stopping() {
    let place = Place::new();
    place.write("demo/noarch/big-1-0.conda", vec![0; 48_000_000]);
    let mut server = Serving::start(&place, &["demo", "--grace", "0.5"]);
    let mut stream = server.connect();
    stream
        .write_all(b"GET /noarch/big-1-0.conda HTTP/1.1\r\nHost: test\r\n\r\n")
        .expect("a request");
    let mut first = [0; 1000];
    stream.read_exact(&mut first).expect("a beginning");
    server.signal("INT");
    assert_eq!(server.end(), Some(0));
    assert!(
        server.log().contains("their time was over"),
        "{}",
        server.log()
    );
}

#[test]
fn requests_are_written_down_without_secrets() {
    let place = Place::new();
    channel(&place);
    let server = Serving::start(&place, &["demo"]);
    let size = server.get("/demo/noarch/repodata.json").is(200).body.len();
    let agent = "User-Agent: conda/26.5 \"quoted\"";
    let secret = "/t/s3cret/demo/noarch/repodata.json?force=s3cret&s3cret";
    server.ask("GET", secret, &[agent]).is(401);
    let basic = "Authorization: Basic czNjcmV0OnMzY3JldA==";
    server.ask("HEAD", "/demo/absent", &[basic]).is(404);
    server.ask("GET", "/t/s3cret/../x", &[]).is(400);
    server.ask("GET", "/%74/s3cret/%0a", &[]).is(400);
    until(|| server.log().lines().count() == 5);
    let log = server.log();
    for secret in ["s3cret", "czNj"] {
        assert!(!log.contains(secret), "{log}");
    }
    let lines = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let lines: Vec<Value> = lines.collect();
    let with = |status: u16| {
        lines
            .iter()
            .find(|line| line["status"] == status)
            .expect("a line")
    };
    assert_eq!(with(200)["path"], "/demo/noarch/repodata.json");
    assert_eq!(with(200)["bytes"], size);
    assert_eq!(with(200)["channel"], "demo");
    assert_eq!(with(200)["peer"], "127.0.0.1");
    assert_eq!(
        with(401)["path"],
        "/t/***/demo/noarch/repodata.json?force=***&***"
    );
    assert_eq!(with(401)["agent"], "conda/26.5 \"quoted\"");
    assert_eq!(with(400)["path"], "-");
}

#[test]
fn numbers_for_prometheus_beside_the_channels_or_elsewhere() {
    let place = Place::new();
    channel(&place);
    let server = Serving::start(&place, &["demo"]);
    let size = server.get("/demo/noarch/repodata.json").is(200).body.len();
    server.get("/demo/absent").is(404);
    server.get("/healthz").is(200);
    let metrics = server.get("/metrics").is(200);
    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(metrics.header("content-type"), media_type);
    // The ends of exchanges are counted just after clients have them.
    let mut text = String::new();
    until(|| {
        text = server.get("/metrics").is(200).text();
        let lines = [
            "archiconda_http_requests_total{channel=\"demo\",method=\"GET\",status=\"200\"} 1",
            "archiconda_http_requests_total{channel=\"demo\",method=\"GET\",status=\"404\"} 1",
            "archiconda_http_requests_in_flight 1",
        ];
        lines
            .iter()
            .all(|line| text.lines().any(|one| one == *line))
    });
    let sent = text
        .lines()
        .find_map(|line| line.strip_prefix("archiconda_http_sent_bytes_total{channel=\"demo\"} "));
    assert_eq!(
        sent.and_then(|sent| sent.parse().ok()),
        Some(size + "not found\n".len())
    );
    let apart = Serving::start(&place, &["demo", "--metrics-listen", "127.0.0.1:0"]);
    apart.get("/metrics").is(404);
    let url = apart.printed["metrics"]
        .as_str()
        .expect("an address")
        .to_owned();
    let address = url
        .trim_start_matches("http://")
        .trim_end_matches("/metrics");
    let mut stream = connect(address.parse().expect("an address"));
    let mut ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request");
        receive(&mut stream, false)
    };
    assert!(ask("/metrics").is(200).text().contains("build_info"));
    ask("/healthz").is(200);
    ask("/demo/noarch/repodata.json").is(404);
}
