//! Files that change under their name: asked for conditionally, kept, and never half.

use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use fetch::{Client, Error, Options};
use url::Url;

use crate::support::{Log, Place, Reply, Request, Server};

fn url(server: &Server, path: &str) -> Url {
    Url::parse(&server.url(path)).expect("a URL")
}

/// As a good server does.
fn conditional(request: &Request, body: &str, tag: &str) -> Reply {
    if request.header("if-none-match") == Some(tag) {
        return Reply::status(304).with("ETag", tag);
    }
    Reply::ok(body).with("ETag", tag)
}

#[test]
fn what_did_not_change_is_not_sent_again() {
    let version = std::sync::Arc::new(AtomicUsize::new(1));
    let now = std::sync::Arc::clone(&version);
    let server = Server::start(move |request| match request.path.as_str() {
        "/absent" => Reply::status(404),
        "/refused" => Reply::status(403),
        _ => {
            let version = now.load(Ordering::SeqCst);
            conditional(
                request,
                &format!("version {version}"),
                &format!("\"v{version}\""),
            )
        }
    });
    let place = Place::new();
    let client = place.client();
    let log = Log::default();
    let get = |client: &Client| {
        let found = client.document(&url(&server, "index"), &|event| log.report(event));
        let document = found.expect("an answer").expect("a document");
        let text = std::fs::read_to_string(&document.path).expect("a file");
        (text, document.cached)
    };
    assert_eq!(get(&client), ("version 1".to_owned(), false));
    assert_eq!(get(&client), ("version 1".to_owned(), true));
    version.store(2, Ordering::SeqCst);
    // Another process knows what this one has.
    assert_eq!(get(&place.client()), ("version 2".to_owned(), false));
    let requests = server.requests();
    let asked: Vec<_> = requests
        .iter()
        .map(|request| request.header("if-none-match"))
        .collect();
    assert_eq!(asked, [None, Some("\"v1\""), Some("\"v1\"")]);
    // What is no use is asked for as if it had never been there.
    client.forget_document(&url(&server, "index"));
    assert_eq!(get(&client), ("version 2".to_owned(), false));
    let silent = |_: fetch::Event<'_>| {};
    let absent = client.document(&url(&server, "absent"), &silent);
    assert_eq!(absent.expect("an answer"), None);
    let refused = client.document(&url(&server, "refused"), &silent);
    assert!(refused.expect_err("a refusal").is_refusal());
    // Without a network, what was fetched last counts.
    let before = server.requests().len();
    assert_eq!(get(&place.offline()), ("version 2".to_owned(), true));
    let unknown = place.offline().document(&url(&server, "other"), &silent);
    assert_eq!(unknown.expect("no request"), None);
    assert_eq!(server.requests().len(), before);
}

#[test]
fn half_a_document_is_none() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply {
            cut_at: Some(3),
            ..Reply::ok("whole")
        },
        1 => Reply::status(503).with("Retry-After", "0"),
        _ => Reply::ok("whole"),
    });
    let place = Place::new();
    let silent = |_: fetch::Event<'_>| {};
    let impatient = Client::new(Options {
        retries: 0,
        ..place.options()
    });
    let failed = impatient
        .expect("a client")
        .document(&url(&server, "x"), &silent);
    assert!(matches!(failed, Err(Error::Download { .. })), "{failed:?}");
    let found = place.client().document(&url(&server, "x"), &silent);
    let path = found.expect("an answer").expect("a document").path;
    assert_eq!(std::fs::read(path).expect("a file"), b"whole");
}

#[test]
fn local_files_stay_where_they_are() {
    let place = Place::new();
    let path = place.path().join("repodata.json");
    // More than is read at a time.
    let text = "some text ".repeat(100_000);
    std::fs::write(&path, &text).expect("a file");
    let silent = |_: fetch::Event<'_>| {};
    let get = |path: &std::path::Path| {
        let url = Url::from_file_path(path).expect("a URL");
        place.client().document(&url, &silent).expect("an answer")
    };
    let document = get(&path).expect("a document");
    let size = text.len() as u64;
    assert_eq!((&document.path, document.size), (&path, size));
    assert_eq!(get(&path.with_extension("zst")), None);
    // Digested while it is read, it is the same.
    let open = |url: &Url| place.client().local_document(url).expect("an answer");
    let mut same = open(&document.url).expect("a document");
    let mut read = String::new();
    same.read_to_string(&mut read).expect("text");
    assert_eq!((same.finish(), read), (document, text));
    let absent = Url::from_file_path(path.with_extension("zst")).expect("a URL");
    assert!(open(&absent).is_none());
}
