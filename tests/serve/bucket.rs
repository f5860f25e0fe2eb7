//! A channel in a bucket, served: what clients get is what is there, of one version, and a store that fails is told of.

use fs_err as fs;

use super::channel;
use crate::support::bucket::Bucket;
use crate::support::rattler::INSTALL;
use crate::support::requirements;
use crate::support::run::{Place, run};
use crate::support::serving::{Serving, until};

/// A server that knows where the bucket is.
pub(super) fn serve(place: &Place, bucket: &Bucket, arguments: &[&str]) -> Serving {
    let mut command = place.archiconda();
    Serving::with(place, bucket.tell(&mut command), arguments)
}

#[test]
fn a_channel_in_a_bucket_is_served() {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let place = Place::new();
    let folder = channel(&place);
    bucket.put_channel("some/demo", &folder);
    let server = serve(&place, &bucket, &["s3://bucket/some/demo"]);
    for path in [
        "linux-64/repodata.json",
        "linux-64/repodata.json.zst",
        "noarch/repodata_shards.msgpack.zst",
        "linux-64/alpha-1.0-0.conda",
        "index.html",
    ] {
        let there = fs::read(folder.join(path)).expect("a file");
        let answer = server.get(&format!("/demo/{path}")).is(200);
        assert!(answer.body == there, "{path}");
        let tag = answer.header("etag").to_owned();
        let known = format!("If-None-Match: {tag}");
        let again = server
            .ask("GET", &format!("/demo/{path}"), &[&known])
            .is(304);
        assert!(again.body.is_empty());
        let head = server.ask("HEAD", &format!("/demo/{path}"), &[]).is(200);
        assert_eq!(head.header("content-length"), there.len().to_string());
        let part = server
            .ask("GET", &format!("/demo/{path}"), &["Range: bytes=3-9"])
            .is(206);
        assert!(part.body == there[3..10], "{path}");
        let range = format!("bytes 3-9/{}", there.len());
        assert_eq!(part.header("content-range"), range);
    }
    let kept = |path: &str| server.get(path).header("cache-control").to_owned();
    assert_eq!(kept("/demo/linux-64/repodata.json"), "public, max-age=60");
    assert!(kept("/demo/linux-64/alpha-1.0-0.conda").contains("immutable"));
    // Folders have pages, and what is not there or hidden is not there.
    server.get("/demo/linux-64/").is(200);
    let moved = server.get("/demo/linux-64").is(301);
    assert_eq!(moved.header("location"), "./linux-64/");
    assert_eq!(server.get("/demo").is(301).header("location"), "./demo/");
    for path in [
        "/demo/nothing.json",
        "/demo/nothing",
        "/demo/.cache/x",
        "/other/x",
    ] {
        server.get(path).is(404);
    }
    server.get("/demo/linux-64/../x").is(400);
    // Without a token nothing is put here.
    server
        .send("PUT", "/demo/linux-64/alpha-1.0-0.conda", &[], b"x")
        .is(405);
    // What is written there is there.
    bucket.put("some/demo/new.txt", b"new");
    assert_eq!(server.get("/demo/new.txt").is(200).body, b"new");
}

#[test]
fn clients_install_from_a_bucket() {
    let (Some(bucket), Some(python)) = (Bucket::start(), requirements::oracles()) else {
        return;
    };
    let place = Place::new();
    bucket.put_channel("demo", &channel(&place));
    let server = serve(&place, &bucket, &["mine=s3://bucket/demo"]);
    for form in ["shards", "zst", "json"] {
        let mut command = place.command(&python);
        let prefix = place.join(form);
        command
            .args(["-c", INSTALL, &format!("{}mine", server.url()), form])
            .arg(&prefix)
            .arg("alpha");
        run(&mut command).succeeds();
        assert!(prefix.join("prefix/share/beta/version").is_file(), "{form}");
    }
}

#[test]
fn a_store_that_fails_is_told_of() {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let place = Place::new();
    bucket.put_channel("demo", &channel(&place));
    let server = serve(&place, &bucket, &["s3://bucket/demo"]);
    let path = "/demo/linux-64/repodata.json";
    server.get(path).is(200);
    bucket.refuse("HEAD", "repodata.json", 403, 1);
    let answer = server.get(path).is(502);
    assert!(!answer.text().contains("hush-hush") && !server.log().contains("hush-hush"));
    server.says("repodata.json");
    until(|| server.get(path).status == 200);
    // Who may not read the bucket is told so at once.
    let mut command = place.archiconda();
    bucket.tell(&mut command);
    command.args(["serve", "--listen", "127.0.0.1:0", "s3://nowhere/demo"]);
    run(&mut command).exits(1).says(&["nowhere"]);
}
