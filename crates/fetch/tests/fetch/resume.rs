//! Downloads that break: what was received is kept, used, and never trusted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fetch::{Client, Error, Options, Wanted};

use crate::support::{Log, Place, Reply, Request, Server, bytes, chain, wanted};

const SIZE: usize = 100_000;
const BREAK: usize = 40_000;

/// A server whose first answer is `first`, and whose further ones are right.
fn server(first: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> (Server, Vec<u8>) {
    let counter = AtomicUsize::new(0);
    let body = bytes(SIZE, 1);
    let served = body.clone();
    let server = Server::start(
        move |request| match counter.fetch_add(1, Ordering::SeqCst) {
            0 => first(request),
            _ => Reply::file(request, &served, "\"v1\""),
        },
    );
    (server, body)
}

fn broken(body: &[u8]) -> Reply {
    Reply {
        cut_at: Some(BREAK),
        ..Reply::ok(body).with("ETag", "\"v1\"")
    }
}

fn impatient(place: &Place) -> Client {
    Client::new(Options {
        retries: 0,
        ..place.options()
    })
    .expect("a client")
}

#[test]
fn a_broken_answer_goes_on_where_it_broke() {
    let (server, body) = server(|_| broken(&bytes(SIZE, 1)));
    let place = Place::new();
    let log = Log::default();
    let package = place
        .client()
        .packages(&[wanted(&server.url("x-1-0.conda"), &body)], &|event| {
            log.report(event);
        })
        .expect("a package")
        .remove(0);
    assert_eq!(std::fs::read(package.path).expect("a file"), body);
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].header("range"), None);
    assert_eq!(requests[1].header("range"), Some("bytes=40000-"));
    assert_eq!(requests[1].header("if-range"), Some("\"v1\""));
    assert_eq!(log.count("Retry"), 1);
    assert_eq!(place.store("partial"), Vec::<String>::new());
}

#[test]
fn the_next_run_goes_on_where_the_last_one_broke() {
    let (server, body) = server(|_| broken(&bytes(SIZE, 1)));
    let place = Place::new();
    let list = [wanted(&server.url("x-1-0.conda"), &body)];
    let error = impatient(&place)
        .packages(&list, &|_| ())
        .expect_err("broken");
    assert!(
        matches!(error, Error::Download { attempts: 1, .. }),
        "{}",
        chain(&error)
    );
    assert_eq!(
        place.store("partial").len(),
        2,
        "the bytes and their version"
    );
    assert_eq!(place.store("sha256"), Vec::<String>::new());
    let log = Log::default();
    let package = place
        .client()
        .packages(&list, &|event| log.report(event))
        .expect("a package")
        .remove(0);
    assert_eq!(std::fs::read(package.path).expect("a file"), body);
    assert_eq!(server.requests()[1].header("range"), Some("bytes=40000-"));
    assert!(
        log.lines()[0].contains("resumed: 40000"),
        "{:?}",
        log.lines()
    );
    assert_eq!(place.store("partial"), Vec::<String>::new());
}

#[test]
fn a_server_that_ignores_ranges_starts_over() {
    let body = bytes(SIZE, 1);
    let served = body.clone();
    let counter = AtomicUsize::new(0);
    let server = Server::start(move |_| match counter.fetch_add(1, Ordering::SeqCst) {
        0 => broken(&served),
        _ => Reply::ok(served.clone()),
    });
    let place = Place::new();
    let package = place
        .client()
        .packages(&[wanted(&server.url("x-1-0.conda"), &body)], &|_| ())
        .expect("a package")
        .remove(0);
    assert_eq!(std::fs::read(package.path).expect("a file"), body);
    assert_eq!(server.gets().len(), 2);
}

#[test]
fn another_version_starts_over() {
    // What the first answer began is not what the server has by then.
    let (server, body) = server(|_| Reply {
        cut_at: Some(BREAK),
        ..Reply::ok(bytes(SIZE, 2)).with("ETag", "\"v0\"")
    });
    let place = Place::new();
    let package = place
        .client()
        .packages(&[wanted(&server.url("x-1-0.conda"), &body)], &|_| ())
        .expect("a package")
        .remove(0);
    assert_eq!(std::fs::read(package.path).expect("a file"), body);
    assert_eq!(server.requests()[1].header("if-range"), Some("\"v0\""));
    assert_eq!(server.gets().len(), 2);
}

#[test]
fn parts_that_do_not_fit_together_start_over_once() {
    let (server, body) = server(|_| broken(&bytes(SIZE, 1)));
    let place = Place::new();
    let list = [wanted(&server.url("x-1-0.conda"), &body)];
    impatient(&place)
        .packages(&list, &|_| ())
        .expect_err("broken");
    let partial = place
        .store("partial")
        .into_iter()
        .find(|name| name.ends_with(".partial"))
        .expect("a file");
    let path = place.path().join("cache/packages/partial").join(partial);
    let mut damaged = std::fs::read(&path).expect("a file");
    damaged[100] ^= 1;
    std::fs::write(&path, damaged).expect("a file");
    let package = place
        .client()
        .packages(&list, &|_| ())
        .expect("a package")
        .remove(0);
    assert_eq!(std::fs::read(package.path).expect("a file"), body);
    let ranges: Vec<bool> = server
        .requests()
        .iter()
        .map(|request| request.header("range").is_some())
        .collect();
    assert_eq!(ranges, [false, true, false]);
}

#[test]
fn parts_that_never_fit_are_refused() {
    // Always from the middle, always the wrong bytes.
    let wrong = bytes(SIZE, 2);
    let counter = AtomicUsize::new(0);
    let server = Server::start(move |request| {
        let reply = Reply::file(request, &wrong, "\"v1\"");
        if counter.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            Reply {
                cut_at: Some(BREAK),
                ..reply
            }
        } else {
            reply
        }
    });
    let place = Place::new();
    let error = place
        .client()
        .packages(
            &[wanted(&server.url("x-1-0.conda"), &bytes(SIZE, 1))],
            &|_| (),
        )
        .expect_err("wrong");
    assert!(error.is_integrity(), "{error}");
    assert_eq!(
        server.gets().len(),
        4,
        "broken, resumed, and once more from the beginning"
    );
    assert_eq!(place.store(""), Vec::<String>::new());
}

#[test]
fn a_partial_file_that_is_too_long_or_complete() {
    let body = bytes(SIZE, 1);
    for (left, requests) in [([&body[..], b"more"].concat(), 2), (body.clone(), 1)] {
        let (server, body) = server(|_| broken(&bytes(SIZE, 1)));
        let place = Place::new();
        let list = [wanted(&server.url("x-1-0.conda"), &body)];
        impatient(&place)
            .packages(&list, &|_| ())
            .expect_err("broken");
        let partial = place
            .store("partial")
            .into_iter()
            .find(|name| name.ends_with(".partial"))
            .expect("a file");
        std::fs::write(
            place.path().join("cache/packages/partial").join(partial),
            left,
        )
        .expect("a file");
        place.client().packages(&list, &|_| ()).expect("a package");
        assert_eq!(server.gets().len(), requests);
    }
}

#[test]
fn a_silent_server_is_given_up_and_asked_again() {
    for at in [0, BREAK] {
        let (server, body) = server(move |_| Reply {
            stall_at: Some(at),
            ..Reply::ok(bytes(SIZE, 1)).with("ETag", "\"v1\"")
        });
        let place = Place::new();
        let client = Client::new(Options {
            idle_timeout: Duration::from_millis(300),
            ..place.options()
        })
        .expect("a client");
        let before = Instant::now();
        let list = [wanted(&server.url("x-1-0.conda"), &body)];
        client.packages(&list, &|_| ()).expect("a package");
        assert!(
            before.elapsed() < Duration::from_secs(4),
            "{:?}",
            before.elapsed()
        );
        assert_eq!(server.gets().len(), 2);
    }
}

#[test]
fn an_answer_that_ends_early_without_a_word() {
    let (server, body) = server(|_| Reply {
        until_close: true,
        ..Reply::ok(&bytes(SIZE, 1)[..BREAK])
    });
    let place = Place::new();
    let list = [wanted(&server.url("x-1-0.conda"), &body)];
    let package = place
        .client()
        .packages(&list, &|_| ())
        .expect("a package")
        .remove(0);
    assert_eq!(std::fs::read(package.path).expect("a file"), body);
    assert_eq!(server.requests()[1].header("range"), Some("bytes=40000-"));
}

#[test]
fn a_part_that_was_not_asked_for() {
    let body = bytes(SIZE, 1);
    let served = body.clone();
    let counter = AtomicUsize::new(0);
    let server = Server::start(
        move |request| match counter.fetch_add(1, Ordering::SeqCst) {
            0 => broken(&served),
            1 => Reply {
                status: 206,
                ..Reply::ok(&served[10..])
            }
            .with("Content-Range", &format!("bytes 10-{}/{SIZE}", SIZE - 1)),
            2 => Reply {
                status: 206,
                ..Reply::ok(&served[..10])
            },
            _ => Reply::file(request, &served, "\"v1\""),
        },
    );
    let place = Place::new();
    let list = [wanted(&server.url("x-1-0.conda"), &body)];
    let package = place
        .client()
        .packages(&list, &|_| ())
        .expect("a package")
        .remove(0);
    assert_eq!(std::fs::read(package.path).expect("a file"), body);
}

#[test]
fn without_a_digest_only_the_same_version_goes_on() {
    for (tag, resumed) in [
        (Some("\"v1\""), true),
        (Some("W/\"v1\""), false),
        (None, false),
    ] {
        let (server, body) = server(move |_| {
            let reply = Reply {
                cut_at: Some(BREAK),
                ..Reply::ok(bytes(SIZE, 1))
            };
            match tag {
                Some(tag) => reply.with("ETag", tag),
                None => reply,
            }
        });
        let place = Place::new();
        let unknown = Wanted {
            sha256: None,
            md5: None,
            size: None,
            ..wanted(&server.url("x-1-0.conda"), &body)
        };
        impatient(&place)
            .packages(std::slice::from_ref(&unknown), &|_| ())
            .expect_err("broken");
        let package = place
            .client()
            .packages(&[unknown], &|_| ())
            .expect("a package")
            .remove(0);
        assert_eq!(
            std::fs::read(package.path).expect("a file"),
            body,
            "{tag:?}"
        );
        assert_eq!(
            server.requests()[1].header("range").is_some(),
            resumed,
            "{tag:?}"
        );
    }
}
