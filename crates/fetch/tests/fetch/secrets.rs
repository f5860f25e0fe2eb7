//! Credentials: they reach the server that they are for, and nobody else.

use std::path::Path;

use conda::Subdir;
use fetch::{Client, Options, Wanted};

use crate::repodata::{repodata, specs};
use crate::support::{Log, Place, Reply, Request, Server, bytes, chain, wanted};

/// A channel below `prefix` for those who satisfy `allowed`, and one package in it.
fn guarded(prefix: &'static str, allowed: fn(&Request) -> bool) -> Server {
    let data = repodata("linux-64", &[("xz", "5.2", &[])]);
    Server::start(move |request| {
        if !allowed(request) {
            return Reply::status(403);
        }
        match request.path.strip_prefix(prefix) {
            Some("/linux-64/repodata.json") => Reply::ok(data.clone()),
            Some("/linux-64/xz-5.2-0.conda") => Reply::file(request, &bytes(10, 1), "\"1\""),
            _ => Reply::status(404),
        }
    })
}

/// Fetches the records of `channel`, and the package of the record; everything that was said.
fn all_that_is_said(client: &Client, channel: &str) -> String {
    let log = Log::default();
    let channel = client.channel(channel, Path::new("/")).expect("a channel");
    let lists = client
        .records(
            std::slice::from_ref(&channel),
            &[Subdir::Linux64],
            &specs(&["xz"]),
            &|event| {
                log.report(event);
            },
        )
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    let record = &lists[0][0];
    let package = wanted(record.url.as_str(), &bytes(10, 1));
    client
        .packages(&[package], &|event| log.report(event))
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    format!("{channel:?} {record:?} {:?}", log.lines())
}

#[test]
fn a_token_in_the_url_is_sent_and_not_shown() {
    let server = guarded("/t/s3cret-token/forge", |request| {
        request.path.starts_with("/t/s3cret-token/")
    });
    let place = Place::new();
    let client = place.client();
    let said = all_that_is_said(&client, &server.url("t/s3cret-token/forge"));
    assert!(!said.contains("s3cret"), "{said}");
    assert!(
        said.contains(&server.url("forge/linux-64/repodata.json")),
        "{said}"
    );
}

#[test]
fn a_token_behind_the_alias_is_sent_and_not_shown() {
    let server = guarded("/conda/t/s3cret-token/forge", |_| true);
    let place = Place::new();
    let client = Client::new(Options {
        channel_alias: server.url("conda").parse().expect("a URL"),
        ..place.options()
    })
    .expect("a client");
    let said = all_that_is_said(&client, "t/s3cret-token/forge");
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn user_and_password_in_the_url_are_sent_and_not_shown() {
    // `me:s3cret` in base64 (RFC 7617).
    let server = guarded("/forge", |request| {
        request.header("authorization") == Some("Basic bWU6czNjcmV0")
    });
    let place = Place::new();
    let client = place.client();
    let said = all_that_is_said(
        &client,
        &format!("http://me:s3cret@{}/forge", server.authority()),
    );
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn stored_credentials_are_sent() {
    let server = guarded("/forge", |request| {
        request.header("authorization") == Some("Bearer s3cret-bearer")
    });
    let place = Place::new();
    let auth_file = place.path().join("credentials.json");
    std::fs::write(
        &auth_file,
        r#"{"127.0.0.1": {"BearerToken": "s3cret-bearer"}}"#,
    )
    .expect("a file");
    let client = Client::new(Options {
        auth_file: Some(auth_file.clone()),
        ..place.options()
    })
    .expect("a client");
    let said = all_that_is_said(&client, &server.url("forge"));
    assert!(!said.contains("s3cret"), "{said}");
    std::fs::write(&auth_file, "{").expect("a file");
    let error = Client::new(Options {
        auth_file: Some(auth_file),
        ..place.options()
    })
    .expect_err("no JSON");
    assert!(
        chain(&error).contains("credentials.json"),
        "{}",
        chain(&error)
    );
}

#[test]
fn another_channel_and_a_mirror_get_nothing() {
    let open = guarded("/open", |request| {
        !request.path.contains("s3cret") && request.header("authorization").is_none()
    });
    let place = Place::new();
    let client = Client::new(Options {
        mirrors: [(
            "https://conda.invalid/forge".parse().expect("a URL"),
            vec![open.url("open").parse().expect("a URL")],
        )]
        .into(),
        ..place.options()
    })
    .expect("a client");
    client
        .channel(
            &format!("http://me:s3cret@{}/t/s3cret-token/other", open.authority()),
            Path::new("/"),
        )
        .expect("a channel");
    all_that_is_said(&client, &open.url("open"));
    all_that_is_said(
        &client,
        "https://me:s3cret@conda.invalid/t/s3cret-token/forge",
    );
}

#[test]
fn redirects_do_not_carry_a_token() {
    let target = Server::start(|request| Reply::file(request, &bytes(10, 1), "\"1\""));
    let location = target.url("blob?X-Signature=s3cret-signature");
    let server = Server::start(move |_| Reply::status(302).with("Location", &location));
    let place = Place::new();
    let client = place.client();
    let url = format!(
        "http://me:s3cret@{}/t/s3cret-token/c/xz-5.2-0.conda",
        server.authority()
    );
    client
        .packages(&[wanted(&url, &bytes(10, 1))], &|_| ())
        .expect("a package");
    let request = target.requests().remove(0);
    assert!(
        request
            .headers
            .values()
            .all(|value| !value.contains("s3cret-token")),
        "{request:?}"
    );
    assert_eq!(request.header("authorization"), None);
    assert_eq!(
        server.requests()[0].path,
        "/t/s3cret-token/c/xz-5.2-0.conda"
    );
}

#[test]
fn no_failure_shows_a_secret() {
    let target = "http://127.0.0.1:1/blob?X-Signature=s3cret-signature";
    for (status, cut) in [
        (403, None),
        (404, None),
        (503, None),
        (302, None),
        (200, Some(3)),
        (200, None),
    ] {
        let server = Server::start(move |_| {
            Reply {
                cut_at: cut,
                ..Reply::ok(bytes(10, 2))
            }
            .with("Location", target)
            .but_status(status)
        });
        let place = Place::new();
        let client = place.client();
        let base = format!("http://me:s3cret@{}/t/s3cret-token/c", server.authority());
        let log = Log::default();
        let list = [Wanted {
            url: format!("{base}/xz-5.2-0.conda?sig=s3cret-query")
                .parse()
                .expect("a URL"),
            ..wanted(&server.url("xz-5.2-0.conda"), &bytes(10, 1))
        }];
        let error = client
            .packages(&list, &|event| log.report(event))
            .expect_err("fails");
        let said = format!("{} {error:?} {:?}", chain(&error), log.lines());
        assert!(!said.contains("s3cret"), "{said}");
        let channel = client.channel(&base, Path::new("/")).expect("a channel");
        let error = client
            .records(&[channel], &[Subdir::Linux64], &specs(&["xz"]), &|event| {
                log.report(event);
            })
            .expect_err("fails");
        let said = format!("{} {error:?} {:?}", chain(&error), log.lines());
        assert!(!said.contains("s3cret"), "{said}");
    }
}
