//! Packages that are put into a bucket: checked before anybody sees them, indexed whoever else writes there, and nothing
//! is left of what was not taken.

use std::io::Write as _;
use std::process::{Child, Stdio};
use std::thread;

use archive::digest::Sha256;
use fs_err as fs;
use serde_json::Value;

use super::access::token;
use super::bucket::serve;
use crate::support::bucket::Bucket;
use crate::support::package::{Package, file, noise};
use crate::support::raw;
use crate::support::run::Place;
use crate::support::serving::{Answer, Serving, receive, until};

const CHANNEL: &str = "s3://bucket/demo";

/// A server of the channel `demo` in the bucket, and a header that lets write to it.
struct Writable {
    place: Place,
    server: Serving,
    auth: String,
}

impl Writable {
    fn start(bucket: &Bucket, arguments: &[&str]) -> Writable {
        let place = Place::new();
        let token = token(
            &place,
            &["--name", "writer", "--channel", "demo", "--write"],
        );
        let fixed = [CHANNEL, "--tokens", "tokens.toml"];
        let server = serve(&place, bucket, &[&fixed, arguments].concat());
        Writable {
            place,
            server,
            auth: format!("Authorization: Bearer {token}"),
        }
    }

    fn put(&self, file: &str, bytes: &[u8]) -> Answer {
        let path = format!("/demo/linux-64/{file}");
        self.server.send("PUT", &path, &[&self.auth], bytes)
    }

    /// No package waits here any more.
    fn has_no_drafts(&self) -> bool {
        let mut entries = fs::read_dir(self.place.join("tmp")).expect("a folder");
        entries.next().is_none() && open_files(self.server.id(), &self.place.join("tmp")) == 0
    }
}

/// How many files below a folder a process has open, those without a name too.
fn open_files(process: u32, folder: &std::path::Path) -> usize {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).expect("its files");
    let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(folder)).count()
}

/// A package that is sent in three parts.
fn large(text: &str) -> Package {
    Package::named(text).with(vec![file("share/noise", noise(20_000_000))])
}

/// What `repodata.json` says of a package.
fn indexed(bucket: &Bucket, file: &str) -> Option<Value> {
    let (_, text) = bucket.get("demo/linux-64/repodata.json")?;
    let repodata: Value = serde_json::from_slice(&text).expect("JSON");
    repodata["packages.conda"].get(file).cloned()
}

fn is_there(bucket: &Bucket, file: &str) -> bool {
    bucket.get(&format!("demo/linux-64/{file}")).is_some()
}

#[test]
fn a_package_is_put_into_a_bucket_and_indexed() {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let writable = Writable::start(&bucket, &["--index-delay", "1"]);
    let server = &writable.server;
    let package = Package::named("delta 1!1.0 h1_0").needs(&["alpha"]);
    let bytes = package.bytes();
    let (name, path) = (
        "delta-1!1.0-h1_0.conda",
        "/demo/linux-64/delta-1!1.0-h1_0.conda",
    );
    // The bucket was empty until now.
    let answer = writable.put(name, &bytes).is(201);
    assert_eq!(answer.header("location"), "./delta-1!1.0-h1_0.conda");
    assert_eq!(server.get(path).is(200).body, bytes);
    let (head, _) = bucket.get(&format!("demo/linux-64/{name}")).expect("it");
    assert!(head.to_lowercase().contains("immutable"), "{head}");
    until(|| {
        let shards = server.get("/demo/linux-64/repodata_shards.msgpack.zst");
        shards.status == 200
            && zstd::decode_all(&shards.body[..])
                .expect("an index")
                .windows(5)
                .any(|part| part == b"delta")
    });
    let digest = Sha256::of(&bytes).to_string();
    until(|| indexed(&bucket, name).is_some_and(|record| record["sha256"] == digest));
    until(|| {
        server
            .get("/demo/channeldata.json")
            .text()
            .contains("\"delta\"")
    });
    // Again, another one, and another one on purpose.
    writable.put(name, &bytes).is(200);
    let other = package.clone().with(Vec::new()).bytes();
    writable.put(name, &other).is(409);
    assert_eq!(server.get(path).body, bytes);
    writable.put(&format!("{name}?force=true"), &other).is(200);
    assert_eq!(server.get(path).body, other);
    let digest = Sha256::of(&other).to_string();
    until(|| indexed(&bucket, name).is_some_and(|record| record["sha256"] == digest));
    // Away.
    server.ask("DELETE", path, &[&writable.auth]).is(204);
    server.get(path).is(404);
    server.ask("DELETE", path, &[&writable.auth]).is(404);
    until(|| indexed(&bucket, name).is_none());
    assert!(writable.has_no_drafts());
    assert!(!server.log().contains("hush-hush"));
}

#[test]
fn a_large_package_goes_in_parts_and_is_there_when_all_are() {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let writable = Writable::start(&bucket, &[]);
    let bytes = large("big 1 0").bytes();
    writable.put("big-1-0.conda", &bytes).is(201);
    let (_, there) = bucket.get("demo/linux-64/big-1-0.conda").expect("it");
    assert!(there == bytes);
    let parts = bucket.requests(|one| one.method == "PUT" && one.path.contains("partNumber"));
    assert_eq!(parts.len(), 3);
    let whole = bucket.requests(|one| one.method == "POST" && one.path.contains("uploadId"));
    assert_eq!(
        whole[0].headers.get("if-none-match").map(String::as_str),
        Some("*")
    );
    writable.put("big-1-0.conda", &bytes).is(200);
    let other = large("big 1 0").needs(&["other"]).bytes();
    writable.put("big-1-0.conda", &other).is(409);
    assert!(writable.server.get("/demo/linux-64/big-1-0.conda").body == bytes);
    writable.put("big-1-0.conda?force=true", &other).is(200);
    assert!(writable.server.get("/demo/linux-64/big-1-0.conda").body == other);
    assert_eq!(bucket.unfinished(), [""; 0]);
    assert!(writable.has_no_drafts());
}

#[test]
fn what_is_no_package_of_this_name_never_is_an_object() {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let writable = Writable::start(&bucket, &["--max-upload", "30M"]);
    let server = &writable.server;
    let (small, big) = (Package::named("a 1 0").bytes(), large("a 1 0").bytes());
    let hostile = raw::package(&Package::named("a 1 0"), &[raw::file("../../up", "x")]);
    let wrong = format!("X-Package-SHA256: {}", Sha256::of(b"other"));
    let sound = "linux-64/a-1-0.conda";
    for (target, header, bytes, status) in [
        (sound, wrong.as_str(), &small[..], 422),
        (sound, &wrong, &big, 422),
        (sound, "X: y", &big[..big.len() / 2], 422),
        (sound, "X: y", &hostile, 422),
        (sound, "X: y", &vec![0; (30 << 20) + 1], 413),
        ("linux-64/a-2-0.conda", "X: y", &big, 422),
        ("noarch/a-1-0.conda", "X: y", &small, 422),
        ("linux-64/repodata.json", "X: y", &small, 400),
        ("linux-64/..%2fa-1-0.conda", "X: y", &small, 400),
        (".cache/a-1-0.conda", "X: y", &small, 404),
    ] {
        let headers = [writable.auth.as_str(), header];
        server
            .send("PUT", &format!("/demo/{target}"), &headers, bytes)
            .is(status);
    }
    // The client goes away in the middle.
    let mut stream = server.connect();
    let head = format!(
        "PUT /demo/{sound} HTTP/1.1\r\nHost: test\r\n{}\r\nContent-Length: {}\r\n\r\n",
        writable.auth,
        big.len()
    );
    stream.write_all(head.as_bytes()).expect("a request");
    stream.write_all(&big[..15_000_000]).expect("half a body");
    until(|| open_files(server.id(), &writable.place.join("tmp")) == 1);
    drop(stream);
    until(|| writable.has_no_drafts());
    assert!(bucket.list("demo/").is_empty());
    assert_eq!(bucket.requests(|one| one.method != "GET").len(), 0);
    // Neither without leave.
    for headers in [&[][..], &["Authorization: Bearer wrong"]] {
        server
            .send("PUT", &format!("/demo/{sound}"), headers, b"123456789")
            .is(401);
    }
    let reader = token(&writable.place, &["--name", "reader", "--channel", "demo"]);
    server.signal("HUP");
    server.says("read tokens");
    let auth = format!("Authorization: Bearer {reader}");
    server
        .send("PUT", &format!("/demo/{sound}"), &[&auth], &small)
        .is(403);
    assert!(bucket.list("demo/").is_empty());
    writable.put("a-1-0.conda", &big).is(201);
}

#[test]
fn two_servers_before_one_bucket_lose_no_package() {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let servers = [0, 1].map(|_| Writable::start(&bucket, &["--index-delay", "1"]));
    let same = [large("same 1 0"), large("same 1 0").needs(&["other"])].map(|one| one.bytes());
    let statuses = thread::scope(|scope| {
        let threads: Vec<_> = servers
            .iter()
            .zip(["one", "two"])
            .zip(&same)
            .map(|((writable, name), same)| {
                scope.spawn(move || {
                    for number in 0..4 {
                        let bytes = Package::named(&format!("{name} {number} 0")).bytes();
                        writable
                            .put(&format!("{name}-{number}-0.conda"), &bytes)
                            .is(201);
                    }
                    writable.put("same-1-0.conda", same).status
                })
            })
            .collect();
        let statuses = threads
            .into_iter()
            .map(|thread| thread.join().expect("its end"));
        statuses.collect::<Vec<u16>>()
    });
    let first = statuses.iter().position(|status| *status == 201);
    let first = first.expect("one of them was first");
    assert_eq!(statuses[1 - first], 409, "{statuses:?}");
    let (_, there) = bucket.get("demo/linux-64/same-1-0.conda").expect("it");
    assert!(there == same[first]);
    assert_eq!(bucket.unfinished(), [""; 0]);
    until(|| {
        let names = ["one", "two"]
            .iter()
            .flat_map(|name| (0..4).map(move |number| format!("{name}-{number}-0.conda")));
        names
            .chain(["same-1-0.conda".to_owned()])
            .all(|file| indexed(&bucket, &file).is_some())
    });
}

#[test]
fn who_is_overtaken_on_the_way_replaces_nothing() {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let writable = Writable::start(&bucket, &[]);
    let small = Package::named("a 1 0").bytes();
    let big = large("a 1 0").bytes();
    let another = Package::named("a 1 0").needs(&["another"]).bytes();
    for (bytes, method, text) in [(&small, "PUT", "a-1-0.conda"), (&big, "POST", "uploadId")] {
        for (theirs, status) in [(&another, 409), (bytes, 200)] {
            bucket.forget();
            bucket.hold(method, text);
            let answer = thread::scope(|scope| {
                let put = scope.spawn(|| writable.put("a-1-0.conda", bytes));
                bucket.wait_for(|one| one.method == method && one.path.contains(text));
                bucket.put("demo/linux-64/a-1-0.conda", theirs);
                bucket.let_go();
                put.join().expect("an answer")
            });
            answer.is(status);
            let (_, there) = bucket.get("demo/linux-64/a-1-0.conda").expect("it");
            assert!(there == *theirs);
            assert_eq!(bucket.unfinished(), [""; 0]);
            bucket.remove("demo/linux-64/a-1-0.conda");
        }
    }
}

#[test]
fn a_store_that_does_not_take_a_package_has_nothing_of_it() {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let writable = Writable::start(&bucket, &[]);
    let small = Package::named("a 1 0").bytes();
    let big = large("a 1 0").bytes();
    for (bytes, method, text, status) in [
        (&small, "HEAD", "a-1-0.conda", 403),
        (&small, "PUT", "a-1-0.conda", 403),
        (&small, "PUT", "a-1-0.conda", 503),
        (&big, "POST", "uploads", 403),
        (&big, "PUT", "partNumber=2", 403),
        (&big, "POST", "uploadId", 403),
    ] {
        bucket.refuse(method, text, status, usize::MAX);
        let answer = writable.put("a-1-0.conda", bytes).is(502);
        assert!(answer.text().contains("try again"), "{}", answer.text());
        assert!(!answer.header("retry-after").is_empty());
        assert!(!is_there(&bucket, "a-1-0.conda"), "{method} {text}");
        assert_eq!(bucket.unfinished(), [""; 0], "{method} {text}");
        writable.server.says("linux-64/a-1-0.conda: the store of");
        bucket.accept();
    }
    assert!(!writable.server.log().contains("hush-hush"));
    // What passes is waited for.
    bucket.refuse("PUT", "partNumber=1", 503, 1);
    bucket.refuse("POST", "uploadId", 500, 1);
    writable.put("a-1-0.conda", &big).is(201);
    until(|| indexed(&bucket, "a-1-0.conda").is_some());
    assert!(writable.has_no_drafts());
}

#[test]
fn a_killed_server_leaves_no_package_that_is_not_whole() {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let big = large("a 1 0").bytes();
    for (method, text) in [("PUT", "partNumber=2"), ("POST", "uploadId")] {
        let mut writable = Writable::start(&bucket, &[]);
        bucket.forget();
        bucket.hold(method, text);
        let mut stream = writable.server.connect();
        let head = format!(
            "PUT /demo/linux-64/a-1-0.conda HTTP/1.1\r\nHost: test\r\n{}\r\nContent-Length: {}\r\n\r\n",
            writable.auth,
            big.len()
        );
        stream.write_all(head.as_bytes()).expect("a request");
        stream.write_all(&big).expect("a body");
        bucket.wait_for(|one| one.method == method && one.path.contains(text));
        writable.server.signal("KILL");
        writable.server.end();
        bucket.drop_held();
        bucket.let_go();
        assert!(!is_there(&bucket, "a-1-0.conda"));
        let mut drafts = fs::read_dir(writable.place.join("tmp")).expect("a folder");
        assert!(drafts.next().is_none());
    }
    let next = Writable::start(&bucket, &["--index-delay", "1"]);
    next.put("a-1-0.conda", &big).is(201);
    until(|| indexed(&bucket, "a-1-0.conda").is_some());
}

#[test]
fn a_package_whose_sender_is_gone_is_put_and_indexed() {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let writable = Writable::start(&bucket, &["--index-delay", "1"]);
    let bytes = Package::named("a 1 0").bytes();
    bucket.hold("PUT", "a-1-0.conda");
    let mut stream = writable.server.connect();
    let head = format!(
        "PUT /demo/linux-64/a-1-0.conda HTTP/1.1\r\nHost: test\r\n{}\r\nContent-Length: {}\r\n\r\n",
        writable.auth,
        bytes.len()
    );
    stream.write_all(head.as_bytes()).expect("a request");
    stream.write_all(&bytes).expect("a body");
    bucket.wait_for(|one| one.method == "PUT" && one.path.contains("a-1-0.conda"));
    drop(stream);
    // Its answer is nobody's any more.
    writable.server.says("\"method\":\"PUT\"");
    bucket.let_go();
    until(|| indexed(&bucket, "a-1-0.conda").is_some());
}

/// An indexer that has the channel's lock.
struct Indexer(Child);

impl Drop for Indexer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_package_is_taken_while_another_process_indexes() {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let writable = Writable::start(&bucket, &["--index-delay", "1"]);
    bucket.put(
        "demo/linux-64/b-1-0.conda",
        &Package::named("b 1 0").bytes(),
    );
    bucket.hold("GET", "b-1-0.conda");
    let mut command = bucket.indexer(&writable.place, "demo", &[]);
    let spawned = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut indexer = Indexer(spawned.expect("a process"));
    bucket.wait_for(|one| one.method == "GET" && one.path.contains("b-1-0.conda"));
    let mut stream = writable.server.connect();
    for name in ["c", "d"] {
        let bytes = Package::named(&format!("{name} 1 0")).bytes();
        let head = format!(
            "PUT /demo/linux-64/{name}-1-0.conda HTTP/1.1\r\nHost: test\r\n{}\r\nContent-Length: {}\r\n\r\n",
            writable.auth,
            bytes.len()
        );
        stream.write_all(head.as_bytes()).expect("a head");
        stream.write_all(&bytes).expect("a body");
        receive(&mut stream, false).is(201);
    }
    assert!(indexed(&bucket, "c-1-0.conda").is_none());
    bucket.let_go();
    assert!(indexer.0.wait().expect("its end").success());
    until(|| {
        ["b", "c", "d"]
            .iter()
            .all(|name| indexed(&bucket, &format!("{name}-1-0.conda")).is_some())
    });
    assert!(!writable.server.log().contains("not indexed"));
}
