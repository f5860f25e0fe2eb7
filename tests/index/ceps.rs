//! What newer standards add: carried through where packages say it, written where the user asks for it.

use std::path::Path;

use archive::digest::Sha256;
use archive::package::{Item, Kind, WriteOptions};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fs_err as fs;
use serde_json::{Value, json};

use super::golden::{both, compare};
use super::indexer;
use crate::support::package::{Package, write_to};
use crate::support::run::{Output, Place, run};

/// CEP 17, 20, 43, 44, 45 and 48 in `info/index.json`.
fn newer_packages() -> Vec<Package> {
    let index = |index: Value, package: Package| Package { index, ..package };
    vec![
        index(
            json!({ "python_site_packages_path": "lib/python3.13t/site-packages" }),
            Package::named("python 3.13.1 h1_0_cp313t"),
        ),
        index(
            json!({ "noarch": "python", "depends": ["cpython >=3.9", "python-abi3"] }),
            Package::generic("stable 1.0 py39_0"),
        ),
        index(
            json!({
                "depends": ["b[version=\">=2\",when=\"python >=3.10\"]", "c[extras=[fast]]", "d[flags=[cuda]]"],
                "constrains": ["e[build_number=0]"],
                "extra_depends": { "fast": ["f >=1", "g[when=\"__unix\"]"], "empty": [] },
                "flags": ["cuda", "blas:mkl"], "repodata_revision": 3,
            }),
            Package::named("newer 2.0 0"),
        ),
    ]
}

fn record(channel: &Path, path: &str, name: &str) -> Value {
    let (subdir, file) = path.split_once('/').expect("a path");
    let text = fs::read(channel.join(subdir).join(name)).expect("repodata");
    let repodata: Value = serde_json::from_slice(&text).expect("JSON");
    repodata["packages.conda"][file].clone()
}

fn indexed(place: &Place, channel: &Path, arguments: &[&str]) -> Output {
    run(&mut indexer(place, channel, arguments)).succeeds()
}

#[test]
fn what_packages_say_is_carried_through() {
    let place = Place::new();
    let fill = |channel: &Path| {
        for package in newer_packages() {
            package.write_to(channel);
        }
    };
    for arguments in [&["--run-exports"][..], &["--repodata-next"]] {
        let Some(()) = both(&place, &fill, arguments) else {
            return;
        };
        let names = [
            "repodata.json",
            "repodata_from_packages.json",
            "run_exports.json",
        ];
        // conda-index leaves what it is not asked for any more, be it true or not.
        let asked = names.iter().copied();
        let asked = asked
            .filter(|name| *name != "run_exports.json" || arguments.contains(&"--run-exports"));
        compare(&place, &["linux-64", "noarch"], &asked.collect::<Vec<_>>());
    }
    assert!(!place.join("ours/linux-64/run_exports.json").exists());
    indexed(&place, &place.join("ours"), &["--all"]);
    let newer = record(
        &place.join("ours"),
        "linux-64/newer-2.0-0.conda",
        "current_repodata.json",
    );
    assert_eq!(newer["extra_depends"]["fast"][1], "g[when=\"__unix\"]");
}

#[test]
fn channels_say_how_they_stand_to_others() {
    let place = Place::new();
    let channel = place.join("channel");
    Package::named("a 1 0").write_to(&channel);
    let relations = [
        "--write-shards",
        "--channel-relations",
        "base=../first",
        "--channel-relations=overrides=../../last",
    ];
    indexed(&place, &channel, &relations);
    let expected = r#""channel_relations":{"base":"../first","overrides":"../../last"}"#;
    for name in ["repodata.json", "repodata_from_packages.json"] {
        let text = fs::read_to_string(channel.join("linux-64").join(name)).expect("repodata");
        assert!(text.contains(expected), "{text}");
    }
    let index = channel.join("linux-64/repodata_shards.msgpack.zst");
    let plain =
        |index: &Path| zstd::decode_all(&*fs::read(index).expect("an index")).expect("a frame");
    let has = |text: &[u8]| plain(&index).windows(text.len()).any(|part| part == text);
    assert!(has(
        b"channel_relations\x82\xa4base\xa8../first\xa9overrides\xaa../../last"
    ));
    indexed(&place, &channel, &["--write-shards"]);
    assert!(!has(b"channel_relations"));
    for (wrong, expected) in [
        ("base=https://example.org", "begins with `../`"),
        ("base=other", "begins with `../`"),
        ("other=../a", "expected base=PATH or overrides=PATH"),
    ] {
        run(&mut indexer(
            &place,
            &channel,
            &["--channel-relations", wrong],
        ))
        .exits(2)
        .says(&[expected]);
    }
    let same = [
        "--channel-relations=base=../a",
        "--channel-relations=overrides=../a",
    ];
    run(&mut indexer(&place, &channel, &same))
        .exits(2)
        .says(&["before and after"]);
}

#[test]
fn the_time_of_indexing_stays() {
    let place = Place::new();
    let channel = place.join("channel");
    let (a, b) = (Package::named("a 1 0"), Package::named("b 1 0"));
    a.write_to(&channel);
    let time = |package: &Package| {
        let path = format!("linux-64/{}", package.file_name());
        let times = [
            "repodata.json",
            "repodata_from_packages.json",
            "current_repodata.json",
        ]
        .map(|name| record(&channel, &path, name)["indexed_timestamp"].as_i64());
        assert!(times.iter().all(|time| *time == times[0]), "{times:?}");
        times[0]
    };
    // What was there before anybody asked is known from then on.
    indexed(&place, &channel, &["--current-repodata"]);
    assert_eq!(time(&a), None);
    let arguments = ["--indexed-timestamp", "--current-repodata"];
    let patch = json!({ "packages.conda": { "a-1-0.conda": { "indexed_timestamp": 1, "license": "patched" } } });
    fs::write(
        channel.join("linux-64/patch_instructions.json"),
        patch.to_string(),
    )
    .expect("hotfixes");
    indexed(&place, &channel, &arguments);
    let first = time(&a).expect("a time");
    assert!(first > 1_700_000_000_000);
    assert_eq!(
        record(&channel, "linux-64/a-1-0.conda", "repodata.json")["license"],
        "patched"
    );
    // Another package, a touched file, a lost cache, an import: nothing changes it.
    b.write_to(&channel);
    indexed(&place, &channel, &arguments);
    let second = time(&b).expect("a time");
    assert!(second > first);
    let path = channel.join("linux-64/a-1-0.conda");
    let touch = |path: &Path| {
        let bytes = fs::read(path).expect("a package");
        fs::remove_file(path).expect("a package");
        fs::write(path, bytes).expect("a package");
    };
    let times = || (time(&a), time(&b));
    touch(&path);
    indexed(&place, &channel, &arguments);
    assert_eq!(times(), (Some(first), Some(second)));
    fs::remove_dir_all(channel.join(".cache")).expect("a cache");
    indexed(&place, &channel, &arguments);
    assert_eq!(times(), (Some(first), Some(second)));
    let copy = place.join("copy");
    for name in ["a-1-0.conda", "b-1-0.conda", "repodata_from_packages.json"] {
        fs::create_dir_all(copy.join("linux-64")).expect("a folder");
        fs::copy(
            channel.join("linux-64").join(name),
            copy.join("linux-64").join(name),
        )
        .expect("a file");
    }
    let mut import = arguments.to_vec();
    let copy_text = copy.display().to_string();
    import.extend(["--import", &copy_text]);
    let output = indexed(&place, &copy, &[&import[..], &["--json"]].concat());
    assert_eq!(output.json()["subdirs"][0]["read"], 0);
    assert_eq!(
        record(&copy, "linux-64/b-1-0.conda", "repodata.json")["indexed_timestamp"],
        second
    );
    // Other bytes under the name are another package.
    let other = Package {
        index: json!({ "license": "other", "timestamp": 9_000_000_000_000_u64 }),
        ..a.clone()
    };
    other.write_to(&channel);
    indexed(&place, &channel, &arguments)
        .says(&["`linux-64/a-1-0.conda` says that it was built later than now"]);
    assert!(time(&a).expect("a time") > second);
    indexed(&place, &channel, &["--current-repodata"]);
    assert_eq!(time(&b), None);
}

#[test]
fn attestations_beside_packages_are_advertised() {
    let place = Place::new();
    let channel = place.join("channel");
    let (a, b) = (Package::named("a 1 0"), Package::named("b 1 0"));
    let folder = channel.join("linux-64");
    a.write_to(&channel);
    b.write_to(&channel);
    let bundle = |name: &str, bytes: &[u8]| {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "predicateType": "https://schemas.conda.org/attestations/publish/v1",
            "subject": [{ "name": name, "digest": { "sha256": Sha256::of(bytes).to_string() } }],
        });
        let payload = BASE64_STANDARD.encode(statement.to_string());
        json!({ "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "dsseEnvelope": { "payload": payload } })
    };
    let write = |file: &str, content: &str| {
        fs::write(folder.join(format!("{file}.sigs")), content).expect("attestations");
    };
    let digest = |file: &str| {
        let path = format!("linux-64/{file}");
        record(&channel, &path, "repodata.json")["attestations_sha256"].clone()
    };
    let first = json!([bundle("a-1-0.conda", &a.bytes())]).to_string();
    write("a-1-0.conda", &first);
    write("absent-1-0.conda", &first);
    let arguments = ["--write-shards"];
    let output = indexed(&place, &channel, &arguments);
    assert_eq!(output.stderr, "");
    let sha256 = Sha256::of(first.as_bytes()).to_string();
    assert_eq!(
        (digest("a-1-0.conda"), digest("b-1-0.conda")),
        (json!(sha256), Value::Null)
    );
    let second_name = |sha256: &str| folder.join(format!("a-1-0.conda.sigs.{sha256}"));
    assert_eq!(
        fs::read_to_string(second_name(&sha256)).expect("the same bytes"),
        first
    );
    indexed(&place, &channel, &arguments).prints(&["linux-64: 2 packages, unchanged"]);

    // More attestations: the old ones stay under their own name, and hotfixes change nothing.
    let patch = json!({ "packages.conda": { "a-1-0.conda": { "attestations_sha256": null, "license": "x" } } });
    fs::write(folder.join("patch_instructions.json"), patch.to_string()).expect("hotfixes");
    let more = json!([bundle("a-1-0.conda", &a.bytes()), { "other": "predicate" }]).to_string();
    write("a-1-0.conda", &more);
    indexed(&place, &channel, &arguments);
    let newer = Sha256::of(more.as_bytes()).to_string();
    assert_eq!(digest("a-1-0.conda"), json!(newer));
    assert!(second_name(&sha256).is_file() && second_name(&newer).is_file());
    indexed(&place, &channel, &["--no-update-cache"]);
    assert_eq!(digest("a-1-0.conda"), json!(newer));
    indexed(&place, &channel, &["--no-attestations"]);
    assert_eq!(digest("a-1-0.conda"), Value::Null);

    // Those of another file, or none at all, are told and left out; the package is not.
    for (content, expected) in [
        (
            json!([bundle("b-1-0.conda", &a.bytes())]).to_string(),
            "of another file than the package",
        ),
        (
            json!([bundle("a-1-0.conda", b"other")]).to_string(),
            "of another file than the package",
        ),
        ("[]".to_owned(), "no list of bundles"),
        ("[1]".to_owned(), "no list of bundles"),
        ("no".to_owned(), "no JSON"),
    ] {
        write("a-1-0.conda", &content);
        run(&mut indexer(&place, &channel, &["--strict"]))
            .exits(1)
            .says(&["left out `linux-64/a-1-0.conda.sigs`", expected])
            .prints(&["linux-64: 2 packages"]);
        assert_eq!(digest("a-1-0.conda"), Value::Null);
    }
    fs::remove_file(folder.join("a-1-0.conda.sigs")).expect("attestations");
    let output = indexed(&place, &channel, &["--strict"]);
    assert_eq!(output.stderr, "");
}

#[test]
fn notices_and_icons_go_where_the_rest_goes() {
    const ICON: &[u8] = b"\x89PNG\r\n\x1a\nrest";
    let place = Place::new();
    let channel = place.join("channel");
    let output = place.join("out");
    let notices = r#"{"notices": [{"id": "1", "message": "Hello", "level": "info"}]}"#;
    fs::create_dir_all(&channel).expect("a folder");
    fs::write(channel.join("notices.json"), notices).expect("notices");
    let icon = "fe70374a342a551816afeafd712d358c.png";
    let package = Package {
        index: json!({ "icon": icon }),
        ..Package::named("a 1 0")
    };
    let index = package.index_json().to_string();
    let info = [
        Item::file("info/index.json", index.as_bytes()),
        Item::file("info/icon.png", ICON),
    ];
    let sink = std::io::Cursor::new(Vec::new());
    let quick = WriteOptions {
        zstd_level: 1,
        bzip2_level: 1,
    };
    let bytes = archive::package::write(sink, Kind::Conda, "a-1-0", info, [], &quick);
    write_to(&channel, &package, bytes.expect("a package").get_ref());
    let output_text = output.display().to_string();
    let arguments = ["--channeldata", "--output", &output_text];
    indexed(&place, &channel, &arguments);
    assert_eq!(
        fs::read_to_string(output.join("notices.json")).expect("notices"),
        notices
    );
    assert_eq!(
        fs::read(output.join("icons").join(icon)).expect("an icon"),
        ICON
    );
    fs::write(channel.join("notices.json"), "{}").expect("notices");
    indexed(&place, &channel, &arguments);
    assert_eq!(
        fs::read_to_string(output.join("notices.json")).expect("notices"),
        "{}"
    );
    fs::remove_file(channel.join("notices.json")).expect("notices");
    indexed(&place, &channel, &arguments);
    assert!(!output.join("notices.json").exists());
    // In the channel itself they are the user's.
    fs::write(channel.join("notices.json"), notices).expect("notices");
    indexed(&place, &channel, &["--channeldata"]);
    indexed(&place, &channel, &["--channeldata"]);
    assert_eq!(
        fs::read_to_string(channel.join("notices.json")).expect("notices"),
        notices
    );
    assert!(channel.join("icons").join(icon).is_file());
}
