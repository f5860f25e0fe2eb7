//! Repodata that does not come, or not well: who is named, what helps, and what is waited out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use conda::Subdir;
use fetch::{Client, Error, Options};

use crate::repodata::{channel, files, records, repodata, server, specs};
use crate::support::{Log, Place, Reply, Server, chain};

#[test]
fn a_channel_that_cannot_be_reached_is_named_with_what_helps() {
    let url = {
        let server = Server::start(|_| Reply::status(404));
        server.url("t/s3cret-token/forge")
    };
    let place = Place::new();
    let error = records(&place.client(), &[&url], &["python"]).expect_err("gone");
    assert!(
        matches!(error, Error::Unreachable { .. }),
        "{}",
        chain(&error)
    );
    let text = chain(&error);
    for part in ["/forge/", "--channel-alias", "--offline", "folder"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("s3cret"), "{text}");
}

#[test]
fn a_channel_with_nothing_is_not_found() {
    let server = Server::start(|_| Reply::status(404));
    let place = Place::new();
    std::fs::create_dir(place.path().join("empty")).expect("a folder");
    for text in [
        server.url("forge"),
        place.path().join("empty").display().to_string(),
    ] {
        let error = records(&place.client(), &[&text], &["python"]).expect_err("nothing");
        assert!(
            matches!(error, Error::ChannelNotFound { .. }),
            "{}",
            chain(&error)
        );
        let text = error.to_string();
        assert!(text.contains("linux-64, noarch"), "{text}");
    }
    // A platform alone may be missing.
    let noarch = self::server(&[(
        "c/noarch/repodata.json",
        repodata("noarch", &[("pip", "1", &[])]),
    )]);
    assert_eq!(
        files(&records(&place.client(), &[&noarch.url("c")], &["pip"]).expect("records")),
        [["pip-1-0.conda"]]
    );
}

#[test]
fn a_server_that_refuses_says_so() {
    for status in [401, 403, 500] {
        let server = Server::start(move |_| Reply::status(status));
        let place = Place::new();
        let error =
            records(&place.client(), &[&server.url("forge")], &["python"]).expect_err("refused");
        let text = chain(&error);
        assert!(matches!(error, Error::Refused { .. }), "{text}");
        assert!(
            text.contains(&status.to_string()) && text.contains("/forge/"),
            "{text}"
        );
    }
}

#[test]
fn passing_troubles_are_waited_out() {
    let troubles = AtomicUsize::new(0);
    let text = repodata("linux-64", &[("python", "3.7", &[])]);
    let server = Server::start(move |request| {
        if request.path != "/forge/linux-64/repodata.json" {
            return Reply::status(404);
        }
        match troubles.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::status(503),
            1 => Reply::status(429).with("Retry-After", "0"),
            _ => Reply::ok(text.clone()),
        }
    });
    let place = Place::new();
    let client = place.client();
    let channel = channel(&client, &server.url("forge"));
    let log = Log::default();
    let lists = client
        .records(
            &[channel],
            &[Subdir::Linux64],
            &specs(&["python"]),
            &|event| log.report(event),
        )
        .expect("records");
    assert_eq!(files(&lists), [["python-3.7-0.conda"]]);
    assert_eq!(log.count("Retry"), 2, "{:?}", log.lines());
}

#[test]
fn a_silent_server_is_given_up() {
    let server = Server::start(|_| Reply {
        stall_at: Some(0),
        declared: Some(1000),
        ..Reply::ok("x".repeat(1000))
    });
    let place = Place::new();
    let client = Client::new(Options {
        idle_timeout: Duration::from_millis(200),
        retries: 1,
        ..place.options()
    })
    .expect("a client");
    let before = Instant::now();
    let error = records(&client, &[&server.url("forge")], &["python"]).expect_err("silent");
    assert!(
        matches!(error, Error::Unreachable { .. }),
        "{}",
        chain(&error)
    );
    assert!(
        before.elapsed() < Duration::from_secs(30),
        "{:?}",
        before.elapsed()
    );
}

#[test]
fn repodata_that_cannot_be_read_is_named_and_forgotten() {
    let good = repodata("linux-64", &[("python", "3.7", &[])]);
    for bad in [
        String::new(),
        good[..good.len() / 2].to_owned(),
        "<html>log in first</html>".to_owned(),
        good.replace("\"depends\":[]", "\"depends\":7"),
        "[".repeat(100_000),
        format!("{{\"packages\":{}", "{\"a\":".repeat(100_000)),
    ] {
        let mended = Arc::new(AtomicBool::new(false));
        let (served, good, now) = (bad.clone(), good.clone(), Arc::clone(&mended));
        let server = Server::start(move |request| match request.path.as_str() {
            "/forge/linux-64/repodata.json" if now.load(Ordering::SeqCst) => {
                Reply::ok(good.clone())
            }
            "/forge/linux-64/repodata.json" => {
                Reply::ok(served.clone()).with("Cache-Control", "max-age=3600")
            }
            _ => Reply::status(404),
        });
        let place = Place::new();
        let start: String = bad.chars().take(30).collect();
        let error =
            records(&place.client(), &[&server.url("forge")], &["python"]).expect_err(&start);
        let text = chain(&error);
        assert!(matches!(error, Error::Repodata { .. }), "{start}: {text}");
        assert!(error.to_string().contains("/forge/linux-64/"), "{text}");
        mended.store(true, Ordering::SeqCst);
        let lists = records(&place.client(), &[&server.url("forge")], &["python"]).expect("mended");
        assert_eq!(files(&lists), [["python-3.7-0.conda"]]);
    }
}

#[test]
fn zst_that_cannot_be_read_is_named() {
    let zst = zstd::encode_all(
        repodata("linux-64", &[("python", "3.7", &[])]).as_bytes(),
        3,
    )
    .expect("zstd");
    let cut = zst[..zst.len() / 2].to_vec();
    let server = Server::start(move |request| match request.path.as_str() {
        "/forge/linux-64/repodata.json.zst" => Reply::ok(cut.clone()),
        _ => Reply::status(404),
    });
    let place = Place::new();
    let error =
        records(&place.client(), &[&server.url("forge")], &["python"]).expect_err("truncated");
    assert!(matches!(error, Error::Repodata { .. }), "{}", chain(&error));
}

#[test]
fn local_repodata_that_cannot_be_read_is_named() {
    let place = Place::new();
    let folder = place.path().join("local/linux-64");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("repodata.json"), "{\"packages\": ").expect("a file");
    let local = place.path().join("local").display().to_string();
    let error = records(&place.client(), &[&local], &["python"]).expect_err("truncated");
    assert!(matches!(error, Error::Repodata { .. }), "{}", chain(&error));
    assert!(error.to_string().contains("local/linux-64"), "{error}");
}

#[test]
fn archives_are_no_specs_and_the_cache_is_named() {
    let place = Place::new();
    let mut archive = specs(&["xz"]);
    archive[0].url = Some(
        "https://u:s3cret@example.org/xz-1-0.conda"
            .parse()
            .expect("a URL"),
    );
    let error = place
        .client()
        .records(&[], &[], &archive, &|_| ())
        .expect_err("a URL");
    assert!(matches!(error, Error::ArchiveSpec { .. }));
    assert!(!error.to_string().contains("s3cret"), "{error}");
    std::fs::write(place.path().join("cache"), "a file").expect("a file");
    let error =
        records(&place.client(), &["https://example.org/c"], &["xz"]).expect_err("no folder");
    assert!(matches!(error, Error::Cache { .. }), "{}", chain(&error));
    assert!(error.to_string().contains("/cache/repodata"), "{error}");
}
