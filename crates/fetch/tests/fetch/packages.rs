//! Packages: what comes, what is kept, and what is refused.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fetch::{Client, Error, Options, Wanted};

use crate::support::{Log, Place, Reply, Server, bytes, chain, wanted};

#[test]
fn many_come_in_order_and_are_kept() {
    let server = Server::start(|request| {
        let seed: u32 = request.path[1..2].parse().expect("a digit");
        Reply::file(request, &bytes(10_000 + seed as usize, seed), "\"1\"")
    });
    let place = Place::new();
    let list: Vec<Wanted> = [3, 1, 4, 1, 5, 9, 2, 6]
        .map(|seed| {
            let body = bytes(10_000 + seed as usize, seed);
            wanted(&server.url(&format!("{seed}-1-0.conda")), &body)
        })
        .into();
    let log = Log::default();
    let packages = place
        .client()
        .packages(&list, &|event| log.report(event))
        .expect("packages");
    for (package, wanted) in packages.iter().zip(&list) {
        let body = std::fs::read(&package.path).expect("a file");
        assert_eq!(Some(package.size), wanted.size);
        assert_eq!(body.len() as u64, package.size);
        assert_eq!(Some(package.sha256), wanted.sha256);
        assert_eq!(Some(package.md5), wanted.md5);
        assert!(
            package
                .path
                .starts_with(place.path().join("cache/packages/sha256"))
        );
    }
    assert_eq!(server.gets().len(), 7, "one archive is fetched once");
    assert_eq!(log.count("PackageStarted"), 7);
    assert_eq!(log.count("PackageDone"), 7);
    assert_eq!(place.store("partial"), Vec::<String>::new());

    let log = Log::default();
    let again = place
        .client()
        .packages(&list, &|event| log.report(event))
        .expect("packages");
    assert_eq!(again, packages);
    assert_eq!(server.gets().len(), 7, "the store has them");
    assert_eq!(log.count("PackageStarted"), 0);
    drop(server);
    assert_eq!(
        place.offline().packages(&list, &|_| ()).expect("packages"),
        packages
    );
}

#[test]
fn md5_alone_is_enough_as_in_2018() {
    let body = bytes(5_000, 1);
    let served = body.clone();
    let server = Server::start(move |request| Reply::file(request, &served, "\"1\""));
    let place = Place::new();
    let full = wanted(&server.url("xz-5.2-0.tar.bz2"), &body);
    let old = Wanted {
        sha256: None,
        size: None,
        ..full.clone()
    };
    for _ in 0..2 {
        let package = place
            .client()
            .packages(std::slice::from_ref(&old), &|_| ())
            .expect("a package")
            .remove(0);
        assert_eq!(Some(package.sha256), full.sha256);
        assert_eq!(server.gets().len(), 1);
    }
    let wrong = Wanted {
        md5: Some([0; 16]),
        ..old
    };
    let error = place
        .client()
        .packages(&[wrong], &|_| ())
        .expect_err("another md5");
    assert!(
        error.is_integrity() && error.to_string().contains("md5"),
        "{error}"
    );
    // The same archive under its sha256 is there already, but not with another md5.
    let lie = Wanted {
        md5: Some([0; 16]),
        ..full
    };
    let error = place
        .client()
        .packages(&[lie], &|_| ())
        .expect_err("another md5");
    assert!(error.is_integrity(), "{error}");
    assert_eq!(server.gets().len(), 2);
}

#[test]
fn without_a_digest_it_is_taken_as_it_comes() {
    let counter = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        Reply::ok(bytes(
            100,
            u32::try_from(counter.fetch_add(1, Ordering::SeqCst)).expect("few"),
        ))
    });
    let place = Place::new();
    let unknown = Wanted {
        sha256: None,
        md5: None,
        size: None,
        ..wanted(&server.url("xz-5.2-0.conda"), b"")
    };
    let fetch = |client: Client| {
        let log = Log::default();
        let package = client
            .packages(std::slice::from_ref(&unknown), &|event| log.report(event))
            .expect("a package")
            .remove(0);
        assert_eq!(log.count("Warning"), 1);
        std::fs::read(package.path).expect("a file")
    };
    assert_eq!(fetch(place.client()), bytes(100, 0));
    assert_eq!(
        fetch(place.client()),
        bytes(100, 1),
        "the URL may hold other bytes now"
    );
    assert_eq!(fetch(place.offline()), bytes(100, 1));
}

#[test]
fn wrong_bytes_leave_nothing() {
    let body = bytes(50_000, 1);
    let mut flipped = body.clone();
    flipped[25_000] ^= 1;
    let server = Server::start(move |request| match request.path.as_str() {
        "/flipped.conda" => Reply::ok(flipped.clone()),
        "/short.conda" => Reply::ok(&flipped[..49_999]),
        "/long.conda" => Reply::ok([&flipped[..], b"x"].concat()),
        _ => Reply {
            endless: true,
            ..Reply::ok(flipped.clone())
        },
    });
    for (name, part) in [
        ("flipped.conda", "sha256 of"),
        ("short.conda", "has 49999 bytes, expected 50000"),
        ("long.conda", "has at least 50001 bytes, expected 50000"),
        ("endless.conda", "expected 50000"),
    ] {
        let place = Place::new();
        let log = Log::default();
        let error = place
            .client()
            .packages(&[wanted(&server.url(name), &body)], &|event| {
                log.report(event);
            })
            .expect_err(name);
        assert!(error.is_integrity(), "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(
            log.count("Retry"),
            0,
            "{name}: the server said all it had to say"
        );
        assert_eq!(place.store(""), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_package_of_unknown_size_ends_somewhere() {
    let server = Server::start(|_| Reply {
        endless: true,
        ..Reply::ok(bytes(1000, 1))
    });
    let place = Place::new();
    let client = Client::new(Options {
        package_limit: 100_000,
        ..place.options()
    })
    .expect("a client");
    let endless = Wanted {
        size: None,
        ..wanted(&server.url("x-1-0.conda"), b"")
    };
    let error = client.packages(&[endless], &|_| ()).expect_err("endless");
    assert!(
        matches!(error, Error::TooLarge { limit: 100_000, .. }),
        "{error}"
    );
    assert_eq!(place.store(""), Vec::<String>::new());
}

#[test]
fn passing_troubles_are_waited_out() {
    for status in [408, 429, 500, 502, 503, 504] {
        let counter = AtomicUsize::new(0);
        let body = bytes(1000, 1);
        let served = body.clone();
        let server = Server::start(
            move |request| match counter.fetch_add(1, Ordering::SeqCst) {
                0 | 1 => Reply::status(status).with("Retry-After", "0"),
                _ => Reply::file(request, &served, "\"1\""),
            },
        );
        let place = Place::new();
        let log = Log::default();
        place
            .client()
            .packages(&[wanted(&server.url("x-1-0.conda"), &body)], &|event| {
                log.report(event);
            })
            .expect("a package");
        assert_eq!(server.gets().len(), 3);
        let retry = log
            .lines()
            .into_iter()
            .find(|line| line.starts_with("Retry"))
            .expect("a retry");
        assert!(retry.contains(&status.to_string()), "{retry}");
    }
}

#[test]
fn lasting_troubles_are_not_repeated() {
    for status in [400, 401, 403, 404, 410] {
        let server = Server::start(move |_| Reply::status(status));
        let place = Place::new();
        let list = [wanted(&server.url("x-1-0.conda"), b"x")];
        let error = place
            .client()
            .packages(&list, &|_| ())
            .expect_err("refused");
        assert!(matches!(error, Error::Status { .. }), "{error}");
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert!(!error.is_integrity());
        assert_eq!(server.gets().len(), 1);
        assert_eq!(place.store("partial"), Vec::<String>::new());
    }
}

#[test]
fn patience_has_an_end() {
    let server = Server::start(|_| Reply::status(503).with("Retry-After", "86400"));
    let place = Place::new();
    let before = Instant::now();
    let list = [wanted(&server.url("x-1-0.conda"), b"x")];
    let error = place.client().packages(&list, &|_| ()).expect_err("never");
    assert!(
        before.elapsed() < Duration::from_secs(5),
        "a day is too long"
    );
    assert_eq!(server.gets().len(), 4);
    assert!(
        matches!(error, Error::Download { attempts: 4, .. }),
        "{error}"
    );
    assert!(chain(&error).contains("503"), "{}", chain(&error));
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    let place = Place::new();
    let gone = {
        let server = Server::start(|_| Reply::status(500));
        server.url("x-1-0.conda")
    };
    let error = place
        .client()
        .packages(&[wanted(&gone, b"x")], &|_| ())
        .expect_err("gone");
    assert!(matches!(error, Error::Download { .. }), "{error}");
    assert_eq!(place.store("partial"), Vec::<String>::new());
}

#[test]
fn files_are_copied_and_verified() {
    let place = Place::new();
    let body = bytes(300_000, 1);
    let path = place.path().join("my channel").join("xz-5.2-0.conda");
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(&path, &body).expect("a file");
    let url = url_of(&path);
    let good = wanted(&url, &body);
    // Offline too: a folder is no network.
    let package = place
        .offline()
        .packages(std::slice::from_ref(&good), &|_| ())
        .expect("a package")
        .remove(0);
    std::fs::write(&path, b"another").expect("a file");
    assert_eq!(std::fs::read(&package.path).expect("a file"), body);

    let place = Place::new();
    let error = place
        .client()
        .packages(&[good], &|_| ())
        .expect_err("another file");
    assert!(matches!(error, Error::Size { .. }), "{error}");
    let error = place
        .client()
        .packages(
            &[Wanted {
                size: None,
                ..wanted(&url, &body)
            }],
            &|_| (),
        )
        .expect_err("another file");
    assert!(matches!(error, Error::Digest { .. }), "{error}");
    for path in [
        path.with_file_name("absent.conda"),
        path.parent().expect("a folder").to_owned(),
    ] {
        let error = place
            .client()
            .packages(&[wanted(&url_of(&path), b"x")], &|_| ())
            .expect_err("no file");
        assert!(matches!(error, Error::PackageFile { .. }), "{error}");
        assert!(error.to_string().contains("my channel"), "{error}");
    }
    assert_eq!(place.store(""), Vec::<String>::new());
}

#[test]
fn what_is_not_there_offline_is_named() {
    let place = Place::new();
    let list = [wanted("https://example.org/linux-64/xz-5.2-0.conda", b"x")];
    let error = place
        .offline()
        .packages(&list, &|_| ())
        .expect_err("offline");
    let text = error.to_string();
    assert!(
        text.contains("xz-5.2-0.conda") && text.contains("--offline"),
        "{text}"
    );
    let list = [wanted("ftp://example.org/xz-5.2-0.conda", b"x")];
    assert!(matches!(
        place.client().packages(&list, &|_| ()),
        Err(Error::PackageUrl { .. })
    ));
}

#[test]
fn a_damaged_entry_is_fetched_again() {
    let body = bytes(10_000, 1);
    let served = body.clone();
    let server = Server::start(move |request| Reply::file(request, &served, "\"1\""));
    let place = Place::new();
    let list = [wanted(&server.url("x-1-0.conda"), &body)];
    let path = place
        .client()
        .packages(&list, &|_| ())
        .expect("a package")
        .remove(0)
        .path;
    std::fs::write(&path, &body[..5_000]).expect("truncated");
    let again = place
        .client()
        .packages(&list, &|_| ())
        .expect("a package")
        .remove(0);
    assert_eq!(std::fs::read(again.path).expect("a file"), body);
    assert_eq!(server.gets().len(), 2);
    // Without what is noted beside it, the entry is read and kept.
    std::fs::remove_file(path.with_extension("info")).expect("a file");
    place.client().packages(&list, &|_| ()).expect("a package");
    assert_eq!(server.gets().len(), 2);
    assert!(path.with_extension("info").exists());
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let place = Place::new();
    std::fs::write(place.path().join("cache"), "a file").expect("a file");
    let server = Server::start(|_| Reply::ok("x"));
    let error = place
        .client()
        .packages(&[wanted(&server.url("x-1-0.conda"), b"x")], &|_| ())
        .expect_err("no folder");
    assert!(matches!(error, Error::Cache { .. }), "{error}");
    assert!(error.to_string().contains("/cache/packages"), "{error}");
}

#[test]
fn two_at_once_fetch_once() {
    let body = bytes(200_000, 1);
    let served = body.clone();
    let server = Server::start(move |request| {
        std::thread::sleep(Duration::from_millis(150));
        Reply::file(request, &served, "\"1\"")
    });
    let place = Place::new();
    let list = [wanted(&server.url("x-1-0.conda"), &body)];
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let package = place
                    .client()
                    .packages(&list, &|_| ())
                    .expect("a package")
                    .remove(0);
                assert_eq!(std::fs::read(package.path).expect("a file"), body);
            });
        }
    });
    assert_eq!(server.gets().len(), 1, "the others waited for the first");
    assert_eq!(place.store("partial"), Vec::<String>::new());
}

fn url_of(path: &std::path::Path) -> String {
    url::Url::from_file_path(path)
        .expect("absolute")
        .to_string()
}
