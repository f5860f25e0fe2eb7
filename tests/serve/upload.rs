//! Packages that are put and taken away, and the index that follows them.

use std::io::Write as _;
use std::path::Path;
use std::thread;

use archive::digest::Sha256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fs_err as fs;
use serde_json::Value;

use super::access::token;
use super::channel;
use crate::support::package::Package;
use crate::support::raw;
use crate::support::run::Place;
use crate::support::serving::{Answer, Serving, receive, until};

/// A server of the channel `demo`, and a header that lets write to it.
fn writable(place: &Place, arguments: &[&str]) -> (Serving, String) {
    let token = token(place, &["--name", "writer", "--channel", "demo", "--write"]);
    let fixed = ["demo", "--tokens", "tokens.toml"];
    let server = Serving::start(place, &[&fixed, arguments].concat());
    (server, format!("Authorization: Bearer {token}"))
}

/// Nothing of an upload that was not taken is left.
fn is_clean(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| entry.expect("an entry").file_name())
        .all(|name| !name.to_string_lossy().contains("upload"))
}

#[test]
fn a_package_is_put_checked_and_indexed() {
    let place = Place::new();
    let folder = channel(&place);
    let (server, auth) = writable(&place, &["--index-delay", "1"]);
    let package = Package::named("delta 1.0 h1_0").needs(&["alpha"]);
    let bytes = package.bytes();
    let path = "/demo/linux-64/delta-1.0-h1_0.conda";
    let digest = Sha256::of(&bytes);
    let before = server
        .get("/demo/linux-64/repodata_shards.msgpack.zst")
        .is(200);
    let put = |more: &[&str], query: &str, bytes: &[u8]| -> Answer {
        let headers: Vec<&str> = [auth.as_str()].iter().chain(more).copied().collect();
        server.send("PUT", &format!("{path}{query}"), &headers, bytes)
    };
    let right = format!("X-Package-SHA256: {digest}");
    let answer = put(&[&right], "", &bytes).is(201);
    assert_eq!(answer.header("location"), "./delta-1.0-h1_0.conda");
    assert_eq!(server.get(path).is(200).body, bytes);
    // In the shards soon, in the flat files later.
    until(|| {
        let shards = server
            .get("/demo/linux-64/repodata_shards.msgpack.zst")
            .is(200);
        let plain = zstd::decode_all(&shards.body[..]).expect("an index");
        shards.body != before.body && plain.windows(5).any(|part| part == b"delta")
    });
    until(|| {
        let repodata: Value =
            serde_json::from_slice(&server.get("/demo/linux-64/repodata.json").body).expect("JSON");
        repodata["packages.conda"]["delta-1.0-h1_0.conda"]["sha256"] == digest.to_string()
    });
    until(|| {
        server
            .get("/demo/channeldata.json")
            .text()
            .contains("\"delta\"")
    });
    // Again, another one, and another one on purpose.
    put(&[], "", &bytes).is(200);
    let other = package.clone().with(Vec::new()).bytes();
    put(&[], "", &other).is(409);
    assert_eq!(server.get(path).body, bytes);
    put(&[], "?force=true", &other).is(200);
    assert_eq!(server.get(path).body, other);
    until(|| {
        server
            .get("/demo/linux-64/repodata.json")
            .text()
            .contains(&Sha256::of(&other).to_string())
    });
    // Away.
    server.ask("DELETE", path, &[&auth]).is(204);
    server.get(path).is(404);
    server.ask("DELETE", path, &[&auth]).is(404);
    until(|| {
        !server
            .get("/demo/linux-64/repodata.json")
            .text()
            .contains("delta")
    });
    assert!(is_clean(&folder.join("linux-64")));
}

#[test]
fn what_is_no_package_of_this_name_is_not_taken() {
    let place = Place::new();
    let folder = channel(&place);
    fs::create_dir(place.join("outside")).expect("a folder");
    std::os::unix::fs::symlink("../outside", folder.join("osx-64")).expect("a link");
    let (server, auth) = writable(&place, &["--max-upload", "1M"]);
    let bytes = Package::named("delta 1.0 0").bytes();
    let hostile = raw::package(
        &Package::named("delta 1.0 0"),
        &[raw::file("../../up", "x")],
    );
    let wrong = format!("X-Package-SHA256: {}", Sha256::of(b"other"));
    let digest = |bytes: &[u8]| STANDARD.encode(Sha256::of(bytes).0);
    let repr = format!("Repr-Digest: md5=:AAAA:, sha-256=:{}:", digest(b"other"));
    let both = format!("Content-Digest: sha-256=:{}:", digest(&bytes));
    let large = vec![0; (1 << 20) + 1];
    let sound = "linux-64/delta-1.0-0.conda";
    for (target, header, bytes, status, says) in [
        (sound, wrong.as_str(), &bytes[..], 422, "digest"),
        (sound, &repr, &bytes, 422, "digest"),
        (sound, "Repr-Digest: sha-256=abc", &bytes, 400, "BASE64"),
        (
            sound,
            "X-Package-SHA256: abc",
            &bytes,
            400,
            "X-Package-SHA256",
        ),
        (sound, "Content-Range: bytes 0-9/20", &bytes, 400, "whole"),
        (sound, "Content-Encoding: gzip", &bytes, 415, "as it is"),
        (sound, &both, &bytes[..bytes.len() - 1], 422, "digest"),
        (sound, "X: y", &bytes[..bytes.len() / 2], 422, "package"),
        (sound, "X: y", b"no package at all", 422, "package"),
        (sound, "X: y", &hostile, 422, "package"),
        (sound, "X: y", &large, 413, "bytes"),
        (
            "linux-64/delta-1.1-0.conda",
            "X: y",
            &bytes,
            422,
            "delta-1.0-0.conda",
        ),
        (
            "linux-64/delta-1.0-0.tar.bz2",
            "X: y",
            &bytes,
            422,
            "package",
        ),
        ("noarch/delta-1.0-0.conda", "X: y", &bytes, 422, "linux-64"),
        ("osx-64/delta-1.0-0.conda", "X: y", &bytes, 500, "written"),
        ("delta-1.0-0.conda", "X: y", &bytes, 400, "SUBDIR"),
        ("nowhere/delta-1.0-0.conda", "X: y", &bytes, 400, "SUBDIR"),
        (
            "linux-64/x/delta-1.0-0.conda",
            "X: y",
            &bytes,
            400,
            "SUBDIR",
        ),
        ("linux-64/repodata.json", "X: y", &bytes, 400, "SUBDIR"),
        ("linux-64/delta.conda", "X: y", &bytes, 400, "SUBDIR"),
        ("linux-64/..%2fdelta-1.0-0.conda", "X: y", &bytes, 400, ""),
        ("linux-64/../../delta-1.0-0.conda", "X: y", &bytes, 400, ""),
        ("linux-64/.delta-1.0-0.conda", "X: y", &bytes, 404, ""),
        ("gen_patch.py", "X: y", b"import os", 400, "SUBDIR"),
    ] {
        let answer = server.send("PUT", &format!("/demo/{target}"), &[&auth, header], bytes);
        assert_eq!(
            answer.status,
            status,
            "{target} {header}: {}",
            answer.text()
        );
        assert!(
            answer.text().contains(says),
            "{target} {header}: {}",
            answer.text()
        );
    }
    server.get(&format!("/demo/{sound}")).is(404);
    assert!(is_clean(&folder.join("linux-64")));
    // Where the indexer follows the operator's link, no package comes.
    assert!(!place.join("outside/delta-1.0-0.conda").exists() && is_clean(&place.join("outside")));
    // Without a length, cut off, and without leave.
    server
        .ask("PUT", &format!("/demo/{sound}"), &[&auth])
        .is(411);
    let mut stream = server.connect();
    let head = format!(
        "PUT /demo/{sound} HTTP/1.1\r\nHost: test\r\n{auth}\r\nContent-Length: 1000\r\n\r\nhalf"
    );
    stream.write_all(head.as_bytes()).expect("a request");
    stream.shutdown(std::net::Shutdown::Write).expect("an end");
    drop(stream);
    server.says("\"status\":400,");
    until(|| is_clean(&folder.join("linux-64")));
    for (headers, status) in [(&[][..], 401), (&["Authorization: Bearer wrong"], 401)] {
        for method in ["PUT", "DELETE"] {
            server
                .send(
                    method,
                    "/demo/linux-64/alpha-1.0-0.conda",
                    headers,
                    &bytes[..if method == "PUT" { 9 } else { 0 }],
                )
                .is(status);
        }
    }
    server.get("/demo/linux-64/alpha-1.0-0.conda").is(200);
    let allowed = server
        .ask("POST", &format!("/demo/{sound}"), &[&auth])
        .is(405);
    assert_eq!(allowed.header("allow"), "GET, HEAD, OPTIONS, PUT, DELETE");
}

#[test]
fn one_of_many_that_put_the_same_name_has_it() {
    let place = Place::new();
    let folder = channel(&place);
    let (server, auth) = writable(&place, &[]);
    let contents: Vec<Vec<u8>> = (0..8)
        .map(|number| {
            let file = crate::support::package::file("share/number", format!("{number}"));
            Package::named("delta 1.0 0").with(vec![file]).bytes()
        })
        .collect();
    let statuses: Vec<u16> = thread::scope(|scope| {
        let put = |bytes| {
            server
                .send("PUT", "/demo/linux-64/delta-1.0-0.conda", &[&auth], bytes)
                .status
        };
        let threads: Vec<_> = contents
            .iter()
            .map(|bytes| scope.spawn(move || put(bytes)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("an answer"))
            .collect()
    });
    let count = |status: u16| statuses.iter().filter(|found| **found == status).count();
    assert_eq!((count(201), count(409)), (1, 7), "{statuses:?}");
    let winner = statuses
        .iter()
        .position(|status| *status == 201)
        .expect("one");
    assert!(server.get("/demo/linux-64/delta-1.0-0.conda").body == contents[winner]);
    assert!(is_clean(&folder.join("linux-64")));
}

#[test]
fn what_was_put_before_the_end_is_indexed_then_or_by_the_next_server() {
    let place = Place::new();
    let folder = channel(&place);
    let (mut server, auth) = writable(&place, &["--index-delay", "1000"]);
    let put = |server: &Serving, name: &str| {
        let bytes = Package::named(&format!("{name} 1 0")).bytes();
        server
            .send(
                "PUT",
                &format!("/demo/linux-64/{name}-1-0.conda"),
                &[&auth],
                &bytes,
            )
            .is(201);
    };
    let is_indexed = |name: &str| {
        let text = fs::read_to_string(folder.join("linux-64/repodata.json")).expect("a file");
        text.contains(&format!("{name}-1-0.conda"))
    };
    put(&server, "delta");
    assert!(!is_indexed("delta"));
    server.signal("TERM");
    assert_eq!(server.end(), Some(0));
    assert!(is_indexed("delta"));
    let (mut server, auth) = {
        let fixed = ["demo", "--tokens", "tokens.toml", "--index-delay", "1000"];
        (Serving::start(&place, &fixed), auth.clone())
    };
    let bytes = Package::named("epsilon 1 0").bytes();
    server
        .send("PUT", "/demo/linux-64/epsilon-1-0.conda", &[&auth], &bytes)
        .is(201);
    server.signal("KILL");
    server.end();
    let fixed = ["demo", "--tokens", "tokens.toml", "--index-delay", "0"];
    let next = Serving::start(&place, &fixed);
    until(|| is_indexed("epsilon"));
    drop(next);
}

#[test]
fn flat_files_follow_also_while_packages_come_all_the_time() {
    let place = Place::new();
    let folder = channel(&place);
    let (server, auth) = writable(&place, &["--index-delay", "1"]);
    let is_indexed = || {
        let text = fs::read_to_string(folder.join("linux-64/repodata.json")).expect("a file");
        text.contains("delta-0-0.conda")
    };
    let mut number = 0;
    while !is_indexed() {
        let bytes = Package::named(&format!("delta {number} 0")).bytes();
        let path = format!("/demo/linux-64/delta-{number}-0.conda");
        server.send("PUT", &path, &[&auth], &bytes).is(201);
        number += 1;
    }
}

#[test]
fn an_upload_over_one_connection_after_another() {
    let place = Place::new();
    channel(&place);
    let (server, auth) = writable(&place, &[]);
    let mut stream = server.connect();
    for name in ["delta", "epsilon"] {
        let bytes = Package::named(&format!("{name} 1 0")).bytes();
        let head = format!(
            "PUT /demo/linux-64/{name}-1-0.conda HTTP/1.1\r\nHost: test\r\n{auth}\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            bytes.len()
        );
        stream.write_all(head.as_bytes()).expect("a head");
        receive(&mut stream, true).is(100);
        stream.write_all(&bytes).expect("a body");
        receive(&mut stream, false).is(201);
    }
}
