//! A channel in a bucket: the same files as in a folder, read once, written under conditions.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use fs_err as fs;
use serde_json::Value;

use super::{indexer, odd_packages};
use crate::support::bucket::{Bucket, Request};
use crate::support::package::{Package, file, noise, write_to};
use crate::support::raw;
use crate::support::run::{Place, run};

/// All files of a folder, by their path in it.
pub(super) fn files(folder: &Path, below: &str) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder.join(below)).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name");
        let path = if below.is_empty() {
            name
        } else {
            format!("{below}/{name}")
        };
        if path == ".cache" {
        } else if entry.path().is_dir() {
            found.extend(files(folder, &path));
        } else {
            found.insert(path.clone(), fs::read(folder.join(&path)).expect("a file"));
        }
    }
    found
}

/// What is in a bucket is what is in a folder.
pub(super) fn same(bucket: &Bucket, prefix: &str, folder: &Path) {
    let expected = files(folder, "");
    let keys: Vec<_> = bucket
        .list(&format!("{prefix}/"))
        .into_keys()
        .filter_map(|key| Some(key.strip_prefix(&format!("{prefix}/"))?.to_owned()))
        .filter(|key| !key.starts_with(".cache/"))
        .collect();
    assert_eq!(keys, expected.keys().cloned().collect::<Vec<_>>());
    for (path, bytes) in &expected {
        let (_, there) = bucket.get(&format!("{prefix}/{path}")).expect(path);
        assert!(there == *bytes, "{path} differs");
    }
}

/// Gives the files of a local channel the times that the bucket's have: shard indexes tell the newest.
pub(super) fn same_times(bucket: &Bucket, prefix: &str, channel: &Path) {
    for (key, (written, _)) in bucket.list(&format!("{prefix}/")) {
        let path = channel.join(key.strip_prefix(&format!("{prefix}/")).expect("a key"));
        let mut touch = std::process::Command::new("touch");
        let status = touch.arg("--date").arg(&written).arg(path).status();
        assert!(status.expect("touch").success());
    }
}

fn is_write_outside_cache(request: &Request) -> bool {
    matches!(request.method.as_str(), "PUT" | "DELETE" | "POST")
        && !request.path.contains(".cache/")
}

fn repodata(bucket: &Bucket, path: &str) -> Value {
    let (_, text) = bucket.get(path).expect(path);
    serde_json::from_slice(&text).expect("JSON")
}

/// A package above the size that is asked for as a whole.
fn large(name: &str) -> Package {
    Package::named(name).with(vec![file("share/noise", noise(3_000_000))])
}

/// A `.conda` whose metadata lies where nobody puts it: between two large members.
fn odd_order(package: &Package) -> Vec<u8> {
    let info: Vec<_> = package
        .info_files()
        .iter()
        .map(|(path, text)| raw::file(path, text))
        .collect();
    let pack = |tar: Vec<u8>| zstd::encode_all(&tar[..], 3).expect("a stream");
    let stem = package.stem();
    let noise = noise(1_500_000);
    let content = raw::tar(&[raw::Raw {
        content: noise.clone(),
        ..raw::node(b'0', "share/noise")
    }]);
    raw::zip(&[
        ("metadata.json", br#"{"conda_pkg_format_version": 2}"#),
        (&format!("pkg-{stem}.tar.zst"), &pack(content)),
        (&format!("info-{stem}.tar.zst"), &pack(raw::tar(&info))),
        ("signature", &noise),
    ])
}

#[test]
fn a_bucket_is_indexed_like_a_folder() {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let place = Place::new();
    let channel = place.join("channel");
    for package in odd_packages() {
        package.write_to(&channel);
    }
    large("large 1 0").write_to(&channel);
    large("large 1 1").bzipped().write_to(&channel);
    let odd = Package::named("odd 1 0");
    write_to(&channel, &odd, &odd_order(&odd));
    let bad = Package::named("bad 1 0");
    write_to(&channel, &bad, &bad.bytes()[..400]);
    bucket.put_channel("a/b", &channel);
    same_times(&bucket, "a/b", &channel);

    let arguments = ["--all", "-n", "name", "--json"];
    run(&mut indexer(&place, &channel, &arguments)).succeeds();
    let first = run(&mut bucket.indexer(&place, "a/b", &arguments))
        .succeeds()
        .says(&["left out `linux-64/bad-1-0.conda`"])
        .hides(&["hush"]);
    assert!(first.stdout.contains("\"read\""));
    same(&bucket, "a/b", &channel);

    // Every byte of a large package is asked for once, and only of the version that was listed.
    let parts = bucket.requests(|one| one.method == "GET" && one.path.contains("large-1-0.conda"));
    let mut asked = 0;
    for part in &parts {
        assert!(part.headers.contains_key("if-match"), "{part:?}");
        let range = part.headers.get("range").expect("a range");
        let (start, end) = range
            .trim_start_matches("bytes=")
            .split_once('-')
            .expect("a range");
        let number = |text: &str| text.parse::<u64>().expect("a number");
        asked += number(end) + 1 - number(start);
    }
    let size = fs::metadata(channel.join("linux-64/large-1-0.conda"))
        .expect("a file")
        .len();
    assert_eq!((asked, parts.len()), (size, 2), "{parts:?}");

    for (name, cached, kind) in [
        ("linux-64/repodata.json", "max-age=60", "application/json"),
        (
            "linux-64/repodata.json.zst",
            "max-age=60",
            "application/zstd",
        ),
        ("index.html", "max-age=60", "text/html"),
    ] {
        let (head, _) = bucket.get(&format!("a/b/{name}")).expect(name);
        let head = head.to_lowercase();
        assert!(
            head.contains(cached) && head.contains(kind),
            "{name}: {head}"
        );
    }
    let shard = bucket.list("a/b/linux-64/");
    let shard = shard
        .keys()
        .find(|key| key.ends_with(".msgpack.zst") && !key.contains("repodata"));
    let (head, _) = bucket.get(shard.expect("a shard")).expect("a shard");
    assert!(head.to_lowercase().contains("immutable"), "{head}");

    // A warm run reads no package and writes no file.
    bucket.forget();
    let before = bucket.list("a/b/");
    let warm = run(&mut bucket.indexer(&place, "a/b", &arguments)).succeeds();
    let report: Value = serde_json::from_str(&warm.stdout).expect("JSON");
    for subdir in report["subdirs"].as_array().expect("platforms") {
        assert_eq!(
            (&subdir["read"], &subdir["changed"]),
            (&0.into(), &false.into())
        );
    }
    assert_eq!(bucket.requests(is_write_outside_cache).len(), 0);
    let packages = |one: &Request| one.method == "GET" && one.path.contains(".conda");
    assert_eq!(bucket.requests(packages).len(), 0);
    let changed: Vec<_> = bucket
        .list("a/b/")
        .into_iter()
        .filter(|(key, stamp)| before.get(key) != Some(stamp))
        .map(|(key, _)| key)
        .collect();
    assert_eq!(changed, ["a/b/.cache/archiconda-index.lock"]);

    // On a machine that never saw the channel it is the same: the cache is in the bucket.
    let elsewhere = Place::new();
    bucket.forget();
    run(&mut bucket.indexer(&elsewhere, "a/b", &arguments)).succeeds();
    assert_eq!(bucket.requests(is_write_outside_cache).len(), 0);
    assert_eq!(bucket.requests(packages).len(), 0);

    // A package is replaced under its name, another is gone.
    let twin = Package::named("twin 1.0 0").needs(&["other"]);
    bucket.put("a/b/linux-64/twin-1.0-0.conda", &twin.bytes());
    bucket.remove("a/b/linux-64/old-1.0-0.conda");
    run(&mut bucket.indexer(&elsewhere, "a/b", &arguments)).succeeds();
    let repodata = repodata(&bucket, "a/b/linux-64/repodata.json");
    let packages = &repodata["packages.conda"];
    assert_eq!(packages["twin-1.0-0.conda"]["depends"][0], "other");
    assert!(packages["old-1.0-0.conda"].is_null());
    assert!(packages["old-2.0-0.conda"].is_object());
}

#[test]
fn what_somebody_else_wrote_is_never_lost() {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let place = Place::new();
    bucket.put("c/noarch/a-1-0.conda", &Package::named("a 1 0").bytes());
    run(&mut bucket.indexer(&place, "c", &[])).succeeds();

    // Between the listing and the writing another program writes.
    bucket.put("c/noarch/b-1-0.conda", &Package::named("b 1 0").bytes());
    bucket.hold("GET", "b-1-0.conda");
    let child = bucket
        .indexer(&place, "c", &[])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a process");
    bucket.wait_for(|one| one.path.contains("b-1-0.conda"));
    bucket.put("c/noarch/repodata.json", b"{\"another\":1}");
    bucket.let_go();
    let output = child.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("`s3://bucket/c/noarch/repodata.json` was written by somebody else"),
        "{said}"
    );
    assert_eq!(repodata(&bucket, "c/noarch/repodata.json")["another"], 1);
    run(&mut bucket.indexer(&place, "c", &[])).succeeds();
    let there = repodata(&bucket, "c/noarch/repodata.json");
    assert!(there["packages.conda"]["b-1-0.conda"].is_object());
}

#[test]
fn two_indexers_at_once() {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let places = [Place::new(), Place::new()];
    for round in 0..3 {
        let file = format!("c/noarch/name-{round}-0.conda");
        bucket.put(&file, &Package::named(&format!("name {round} 0")).bytes());
        let children = places.each_ref().map(|place| {
            bucket
                .indexer(place, "c", &["--zst", "--write-shards"])
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .expect("a process")
        });
        for child in children {
            let output = child.wait_with_output().expect("its end");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
        }
        let there = repodata(&bucket, "c/noarch/repodata.json");
        let packages = there["packages.conda"].as_object().expect("packages");
        assert_eq!(packages.len(), round + 1);
    }
}

#[test]
fn a_killed_indexer_leaves_nothing_half_done() {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let place = Place::new();
    bucket.put("c/noarch/a-1-0.conda", &Package::named("a 1 0").bytes());
    for (method, path) in [
        ("GET", "a-1-0.conda"),
        ("PUT", "repodata_from_packages.json"),
        ("PUT", "/repodata.json"),
        ("PUT", "redb.zst"),
    ] {
        bucket.forget();
        bucket.hold(method, path);
        let mut child = bucket
            .indexer(&place, "c", &[])
            .stdout(Stdio::null())
            .spawn()
            .expect("a process");
        bucket.wait_for(|one| one.method == method && one.path.contains(path));
        // A second one says who is first.
        run(&mut bucket.indexer(&place, "c", &["--wait", "0"]))
            .exits(1)
            .says(&[&format!("being indexed by process {}", child.id())]);
        child.kill().expect("a process to kill");
        child.wait().expect("its end");
        bucket.drop_held();
        if path != "redb.zst" {
            bucket.put(
                "c/noarch/a-1-0.conda",
                &Package::named("a 1 0").needs(&[path]).bytes(),
            );
        }
    }
    run(&mut bucket.indexer(&place, "c", &[])).succeeds();
    let there = repodata(&bucket, "c/noarch/repodata.json");
    assert_eq!(
        there["packages.conda"]["a-1-0.conda"]["depends"][0],
        "/repodata.json"
    );
}

#[test]
fn passing_failures_pass_and_others_stop_the_run() {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let place = Place::new();
    bucket.put("c/noarch/a-1-0.conda", &Package::named("a 1 0").bytes());
    bucket.refuse("GET", "a-1-0.conda", 503, 2);
    bucket.refuse("GET", "list-type", 500, 1);
    bucket.refuse("PUT", "repodata.json", 429, 1);
    bucket.refuse("PUT", "archiconda-index.lock", 503, 1);
    run(&mut bucket.indexer(&place, "c", &[])).succeeds();

    // A package is not left out because the store refuses it.
    bucket.put("c/noarch/b-1-0.conda", &Package::named("b 1 0").bytes());
    bucket.refuse("GET", "b-1-0.conda", 403, usize::MAX);
    let before = bucket.list("c/noarch/repodata.json");
    run(&mut bucket.indexer(&place, "c", &[]))
        .exits(1)
        .says(&[
            "`s3://bucket/c/noarch/b-1-0.conda`",
            "credentials do not allow it",
        ])
        .hides(&["hush"]);
    assert_eq!(bucket.list("c/noarch/repodata.json"), before);

    run(&mut bucket.indexer(&place, "empty", &[]))
        .exits(2)
        .says(&["nothing at `s3://bucket/empty`"]);
    let mut other = place.archiconda();
    run(bucket.tell(&mut other).args(["index", "s3://absent/c"]))
        .exits(1)
        .says(&["no such bucket", "s3://absent/c"])
        .hides(&["hush"]);
    let mut without = place.archiconda();
    run(without
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .args(["index", "s3://bucket/c"]))
    .exits(1)
    .says(&["no credentials were found", "AWS_ACCESS_KEY_ID"]);
    let mut plain = place.archiconda();
    run(bucket
        .tell(&mut plain)
        .env("AWS_ENDPOINT_URL", "http://192.0.2.1:9000")
        .args(["index", "s3://bucket/c"]))
    .exits(1)
    .says(&["AWS_ALLOW_HTTP=true"]);
}

#[test]
fn a_store_that_ignores_conditions_is_refused() {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let place = Place::new();
    bucket.put("c/noarch/a-1-0.conda", &Package::named("a 1 0").bytes());
    bucket.forget_conditions();
    run(&mut bucket.indexer(&place, "c", &[]))
        .exits(1)
        .says(&["takes no notice of conditions", "s3://bucket/c"]);
    assert!(bucket.get("c/noarch/repodata.json").is_none());
}

/// The rows of one platform are read before those of the next one turn out to be damaged.
#[test]
fn a_damaged_cache_empties_no_platform() {
    let Some(bucket) = Bucket::start() else {
        return;
    };
    let place = Place::new();
    let channel = place.join("channel");
    for number in 0..12 {
        let [native, generic] = [Package::named, Package::generic];
        for package in [
            native(&format!("a{number} 1 0")),
            generic(&format!("b{number} 1 0")),
        ] {
            write_to(&channel, &package, &package.bytes());
        }
    }
    bucket.put_channel("c", &channel);
    run(&mut bucket.indexer(&place, "c", &[])).succeeds();
    let repodata = || {
        ["linux-64", "noarch"].map(|subdir| {
            bucket
                .get(&format!("c/{subdir}/repodata.json"))
                .expect("an index")
                .1
        })
    };
    let before = repodata();
    let caches = databases(&place.cache());
    assert!(
        !caches.is_empty(),
        "no cache in {}",
        place.cache().display()
    );
    let mut lost = 0;
    for cache in &caches {
        let whole = fs::read(cache).expect("a cache");
        for part in 1..12 {
            let mut bytes = whole.clone();
            let at = bytes.len() * part / 12;
            for byte in bytes.iter_mut().skip(at).take(2000) {
                *byte ^= 0x55;
            }
            fs::write(cache, bytes).expect("written");
            let output = run(&mut bucket.indexer(&place, "c", &[])).succeeds();
            lost += usize::from(output.stderr.contains("the cache is damaged"));
            assert!(repodata() == before, "{part}: {output}");
        }
    }
    assert!(lost > 0, "no damage was noticed");
}

/// The caches below a folder.
fn databases(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(databases(&path));
        } else if fs::read(&path).is_ok_and(|bytes| bytes.starts_with(b"redb")) {
            found.push(path);
        }
    }
    found
}
