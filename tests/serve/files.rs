//! Files over HTTP: states, parts, forms, names, and what is no file.

use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use archive::digest::Sha256;
use fs_err as fs;

use super::channel;
use crate::support::package::Package;
use crate::support::run::Place;
use crate::support::serving::Serving;

#[test]
fn every_file_of_a_channel_is_whole_and_says_what_it_is() {
    let place = Place::new();
    let channel = channel(&place);
    let server = Serving::start(&place, &["demo"]);
    let mut count = 0;
    for folder in ["", "linux-64/", "noarch/"] {
        for entry in fs::read_dir(channel.join(folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("a name");
            if !entry.path().is_file() {
                continue;
            }
            let path = format!("/demo/{folder}{name}");
            let answer = server.get(&path).is(200);
            assert!(
                answer.body == fs::read(entry.path()).expect("a file"),
                "{path}"
            );
            assert_eq!(
                server.get(&format!("/{folder}{name}")).body,
                answer.body,
                "one channel needs no name"
            );
            let head = server.ask("HEAD", &path, &[]).is(200);
            let mut same = answer.headers.clone();
            same.insert("date".to_owned(), head.header("date").to_owned());
            assert_eq!(head.headers, same, "{path}");
            let immutable = archive::package::Kind::from_file_name(&name).is_some()
                || (name.ends_with(".msgpack.zst") && !name.starts_with("repodata"));
            let kept = if immutable {
                "public, max-age=31536000, immutable"
            } else {
                "public, max-age=60"
            };
            assert_eq!(answer.header("cache-control"), kept, "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), "*");
            assert_eq!(answer.header("accept-ranges"), "bytes");
            assert_eq!(answer.header("content-encoding"), "");
            for conditions in ["If-None-Match: ", "If-None-Match: \"x\", W/"] {
                let condition = format!("{conditions}{}", answer.header("etag"));
                let again = server.ask("GET", &path, &[&condition]).is(304);
                assert_eq!(again.header("etag"), answer.header("etag"));
                assert_eq!(again.header("cache-control"), kept);
            }
            let date = format!("If-Modified-Since: {}", answer.header("last-modified"));
            server.ask("GET", &path, &[&date]).is(304);
            count += 1;
        }
    }
    assert!(count > 20, "{count} files");
    // Shards lie in a folder of their own, or beside the index.
    let page = server.get("/demo/linux-64/").is(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(
        page.body,
        fs::read(channel.join("linux-64/index.html")).expect("a page")
    );
    let moved = server.get("/demo/linux-64").is(301);
    assert_eq!(moved.header("location"), "./linux-64/");
    // A page's links are relative to its folder, the channel's, too.
    let moved = server.get("/demo").is(301);
    assert_eq!(moved.header("location"), "./demo/");
    server.get("/demo/").is(200);
    assert_eq!(
        server.get("/").is(200).header("content-type"),
        "text/html; charset=utf-8"
    );
}

#[test]
fn what_is_not_there_is_told_shortly_and_never_as_a_page() {
    let place = Place::new();
    let channel = channel(&place);
    place.write("secret", "hidden from all");
    place.write("demo/folder/file.txt", "a file");
    symlink(place.join("secret"), channel.join("noarch/away.json")).expect("a link");
    symlink("../../secret", channel.join("noarch/up.json")).expect("a link");
    symlink("repodata.json", channel.join("noarch/inside.json")).expect("a link");
    let server = Serving::start(&place, &["demo"]);
    server.get("/demo/noarch/inside.json").is(200);
    server.get("/demo/folder/file.txt").is(200);
    for (path, status) in [
        ("/demo/noarch/absent-1-0.conda", 404),
        ("/demo/noarch/repodata.json/", 404),
        ("/demo/osx-64/repodata.json", 404),
        ("/demo/folder", 404),
        ("/demo/folder/", 404),
        ("/demo/.cache/", 404),
        ("/demo/.cache/archiconda-index.redb", 404),
        ("/demo/%2ecache/archiconda-index.lock", 404),
        ("/demo/noarch/away.json", 404),
        ("/demo/noarch/up.json", 404),
        ("/demo/../secret", 400),
        ("/demo/noarch/../../secret", 400),
        ("/../../../../etc/passwd", 400),
        ("/demo/%2e%2e/secret", 400),
        ("/demo/..%2fsecret", 400),
        ("/demo/%2e%2e%2fsecret", 400),
        ("/demo/..%5csecret", 400),
        ("/demo/..\\secret", 400),
        ("/demo/%c0%ae%c0%ae/secret", 400),
        ("/demo/%252e%252e/secret", 404),
        ("/demo/noarch/repodata.json%00.conda", 400),
        ("/demo/%zz", 400),
        ("//etc/passwd", 404),
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert_eq!(
            answer.header("content-type"),
            "text/plain; charset=utf-8",
            "{path}"
        );
        assert!(
            answer.body.len() < 100 && !answer.text().contains('<'),
            "{path}: {answer:?}"
        );
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"] {
        let answer = server
            .ask(method, "/demo/noarch/repodata.json", &[])
            .is(405);
        assert_eq!(answer.header("allow"), "GET, HEAD, OPTIONS", "{method}");
    }
    let answer = server
        .ask("OPTIONS", "/demo/noarch/repodata.json", &[])
        .is(204);
    assert_eq!(answer.header("access-control-allow-methods"), "GET, HEAD");
    server.ask("OPTIONS", "*", &[]).is(204);
}

#[test]
fn parts_of_a_package() {
    let place = Place::new();
    let content: Vec<u8> = (0..1_000_000_u32)
        .map(|number| (number * 7 % 251) as u8)
        .collect();
    place.write("demo/noarch/big-1-0.conda", &content);
    let server = Serving::start(&place, &["demo"]);
    let path = "/noarch/big-1-0.conda";
    let whole = server.get(path).is(200);
    let tag = whole.header("etag").to_owned();
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=131071-131072", 131_071, 131_073),
        ("bytes=999999-", 999_999, 1_000_000),
        ("bytes=-500000", 500_000, 1_000_000),
        ("bytes=500000-9999999", 500_000, 1_000_000),
    ] {
        for condition in ["X-None: 0".to_owned(), format!("If-Range: {tag}")] {
            let answer = server
                .ask("GET", path, &[&format!("Range: {range}"), &condition])
                .is(206);
            assert!(answer.body == content[start..end], "{range}");
            let shown = format!("bytes {start}-{}/1000000", end - 1);
            assert_eq!(answer.header("content-range"), shown);
        }
    }
    let answer = server.ask("GET", path, &["Range: bytes=1000000-"]).is(416);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-range"), "bytes */1000000");
    for headers in [
        &["Range: bytes=0-1,5-6"][..],
        &["Range: bytes=5-1"],
        &["Range: bytes=0-1", "If-Range: \"other\""],
        &[
            "Range: bytes=0-1",
            "If-Range: Sun, 09 Sep 2001 01:46:40 GMT",
        ],
    ] {
        assert!(
            server.ask("GET", path, headers).is(200).body == content,
            "{headers:?}"
        );
    }
    let head = server.ask("HEAD", path, &["Range: bytes=0-1"]).is(200);
    assert_eq!(head.header("content-length"), "1000000");
}

#[test]
fn compressed_forms_are_sent_only_if_they_hold_the_same() {
    let place = Place::new();
    let channel = channel(&place);
    let plain = fs::read(channel.join("noarch/repodata.json")).expect("a file");
    let packed = fs::read(channel.join("noarch/repodata.json.zst")).expect("a file");
    let server = Serving::start(&place, &["demo"]);
    let path = "/demo/noarch/repodata.json";
    let zstd = "Accept-Encoding: gzip, deflate, br, zstd";
    let answer = server.ask("GET", path, &[zstd]).is(200);
    assert_eq!(answer.header("content-encoding"), "zstd");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("vary"), "Accept-Encoding");
    assert!(answer.body == packed);
    let identity = server.get(path).is(200);
    assert!(identity.body == plain && identity.header("vary") == "Accept-Encoding");
    assert_ne!(
        identity.header("etag"),
        answer.header("etag"),
        "other bytes have another tag"
    );
    let condition = format!("If-None-Match: {}", answer.header("etag"));
    server.ask("GET", path, &[zstd, &condition]).is(304);
    server.ask("GET", path, &[&condition]).is(200);
    // A part is one of the file itself.
    let part = server.ask("GET", path, &[zstd, "Range: bytes=0-9"]).is(206);
    assert!(part.body == plain[..10]);
    // The file itself is never said to be encoded.
    let file = server.ask("GET", &format!("{path}.zst"), &[zstd]).is(200);
    assert!(file.body == packed && file.header("content-encoding").is_empty());
    // Another revision: the compressed form is the old one, whatever its time.
    let newer = String::from_utf8(plain)
        .expect("text")
        .replace("beta", "BETA");
    place.write("new", &newer);
    let past = SystemTime::now() - Duration::from_hours(1);
    let file = fs::OpenOptions::new()
        .append(true)
        .open(place.join("new"))
        .expect("a file");
    file.file().set_modified(past).expect("a time");
    fs::rename(place.join("new"), channel.join("noarch/repodata.json")).expect("a rename");
    let answer = server.ask("GET", path, &[zstd]).is(200);
    assert!(answer.body == newer.as_bytes() && answer.header("content-encoding").is_empty());
}

#[test]
fn a_tag_is_that_of_the_content_whatever_happens_to_the_file() {
    let place = Place::new();
    let channel = place.join("demo");
    let server_place = place.write("demo/noarch/repodata.json", "{}");
    let server = Serving::start(&place, &["demo"]);
    let mut tags = std::collections::BTreeMap::new();
    for round in 0..100 {
        // The same length, often within one tick of the clock, in place and by rename.
        let text = format!("{{\"{:04}\":0}}", round % 50);
        if round % 2 == 0 {
            fs::write(&server_place, &text).expect("a file");
        } else {
            place.write("new", &text);
            fs::rename(place.join("new"), channel.join("noarch/repodata.json")).expect("a rename");
        }
        let answer = server.get("/demo/noarch/repodata.json").is(200);
        assert_eq!(answer.text(), text);
        let tag = answer.header("etag").to_owned();
        assert!(
            Sha256::of(text.as_bytes())
                .to_string()
                .starts_with(tag.trim_matches('"')),
            "{tag}"
        );
        assert_eq!(*tags.entry(text).or_insert_with(|| tag.clone()), tag);
    }
    assert_eq!(tags.len(), 50);
}

#[test]
fn several_channels_each_under_its_name() {
    let place = Place::new();
    Package::generic("a 1 0").write_to(&place.join("one"));
    Package::generic("b 1 0").write_to(&place.join("two"));
    let server = Serving::start(&place, &["one", "pkgs/main=two"]);
    server.get("/one/noarch/a-1-0.conda").is(200);
    server.get("/pkgs/main/noarch/b-1-0.conda").is(200);
    for path in [
        "/noarch/a-1-0.conda",
        "/two/noarch/b-1-0.conda",
        "/one/noarch/b-1-0.conda",
        "/one/",
    ] {
        server.get(path).is(404);
    }
    assert_eq!(server.get("/").is(200).body, b"/one\n/pkgs/main\n");
    let urls: Vec<_> = server.printed["channels"]
        .as_array()
        .expect("channels")
        .iter()
        .collect();
    assert_eq!(urls[1]["name"], "pkgs/main");
    assert_eq!(urls[1]["urls"][0], format!("{}pkgs/main", server.url()));
    // A channel that is replaced as a whole.
    fs::rename(place.join("one"), place.join("old")).expect("a rename");
    server.get("/one/noarch/a-1-0.conda").is(404);
    fs::rename(place.join("two"), place.join("one")).expect("a rename");
    server.get("/one/noarch/b-1-0.conda").is(200);
}
