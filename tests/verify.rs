//! `archiconda channel verify`: what is damaged is found and named, and packages are fetched again.

use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::Value;

use crate::support::package::{Package, write_to};
use crate::support::run::{Output, Place, run};
use crate::support::server::Server;

fn channel(place: &Place) -> PathBuf {
    let channel = place.join("forge");
    for package in [
        Package::named("app 2.0 0").needs(&["lib"]),
        Package::named("lib 1.0 0").bzipped(),
        Package::generic("pip 24.0 0"),
    ] {
        write_to(&channel, &package, &package.bytes());
    }
    run(place.archiconda().arg("index").arg(&channel).arg("--all")).succeeds();
    channel
}

fn verify(place: &Place, channel: &Path, arguments: &[&str]) -> Output {
    let mut command = place.archiconda();
    command.args(["channel", "verify", "--json"]).arg(channel);
    run(command.args(arguments))
}

/// The paths and the words of all problems.
fn problems(output: &Output) -> Vec<(String, String)> {
    let found = output.json();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let problems = found["problems"].as_array().expect("a list");
    let of_one = |one: &Value| (text(&one["path"]), text(&one["problem"]));
    problems.iter().map(of_one).collect()
}

#[test]
fn each_damage_is_found_and_named() {
    let place = Place::new();
    let channel = channel(&place);
    let sound = verify(&place, &channel, &[]).succeeds().json();
    assert_eq!(sound["failures"], 0);
    assert_eq!(sound["subdirs"][0]["packages"], 2);
    let shard = fs::read_dir(channel.join("linux-64"))
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .find(|name| name.ends_with(".msgpack.zst") && !name.starts_with("repodata"))
        .expect("a shard");
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Vec<u8>), &'a [&'a str]);
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    let cut = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 1);
    let empty = |bytes: &mut Vec<u8>| bytes.clear();
    let other = |bytes: &mut Vec<u8>| {
        let text = String::from_utf8(bytes.clone()).expect("UTF-8");
        *bytes = text.replace("\"lib\"", "\"lob\"").into_bytes();
    };
    let zst = |bytes: &mut Vec<u8>| *bytes = zstd::encode_all(&b"{}"[..], 1).expect("zst");
    let shard_path = format!("linux-64/{shard}");
    let cases: &[Change<'_>] = &[
        ("linux-64/app-2.0-0.conda", &flip, &["digest"]),
        ("linux-64/app-2.0-0.conda", &cut, &["size"]),
        ("linux-64/lib-1.0-0.tar.bz2", &empty, &["size"]),
        ("noarch/pip-24.0-0.conda", &flip, &["digest"]),
        ("linux-64/repodata.json", &empty, &["unreadable"]),
        ("linux-64/repodata.json", &other, &["differs"]),
        ("linux-64/repodata.json.zst", &flip, &[]),
        ("linux-64/repodata.json.zst", &zst, &["differs"]),
        ("linux-64/current_repodata.json", &other, &["differs"]),
        (&shard_path, &flip, &["digest"]),
        (
            "linux-64/repodata_shards.msgpack.zst",
            &cut,
            &["unreadable"],
        ),
        ("channeldata.json", &empty, &["unreadable"]),
    ];
    for (path, change, words) in cases {
        let file = channel.join(path);
        let before = fs::read(&file).expect("a file");
        let mut bytes = before.clone();
        change(&mut bytes);
        fs::write(&file, bytes).expect("a file");
        let found = problems(&verify(&place, &channel, &[]).exits(4));
        assert!(!found.is_empty(), "{path}");
        for word in *words {
            // What differs from `repodata.json` is told of the other file.
            let name = path.rsplit('/').next().expect("a name");
            let is_it = |(at, what): &(String, String)| {
                what == word && (at.contains(name) || *word == "differs")
            };
            assert!(found.iter().any(is_it), "{path}: no {word} in {found:?}");
        }
        fs::write(&file, before).expect("a file");
    }
    // Once, however many compressed forms it has.
    let repodata = channel.join("noarch/repodata.json");
    fs::rename(&repodata, place.join("kept")).expect("a file");
    let found = problems(&verify(&place, &channel, &[]).exits(4));
    let missing = ("noarch/repodata.json".to_owned(), "missing".to_owned());
    assert_eq!(found.iter().filter(|one| **one == missing).count(), 1);
    fs::rename(place.join("kept"), &repodata).expect("a file");
    fs::remove_file(channel.join("noarch/pip-24.0-0.conda")).expect("a file");
    assert_eq!(
        problems(&verify(&place, &channel, &[]).exits(4)),
        [("noarch/pip-24.0-0.conda".to_owned(), "missing".to_owned())]
    );
    verify(&place, &channel, &["--subdir", "linux-64"]).succeeds();
}

#[test]
fn what_an_index_calls_a_package_leads_nowhere() {
    let place = Place::new();
    let good = channel(&place);
    let folder = place.join("a/mine/linux-64");
    fs::create_dir_all(&folder).expect("a folder");
    let repodata = fs::read_to_string(good.join("linux-64/repodata.json")).expect("repodata");
    let repodata = repodata.replace("app-2.0-0.conda", "../../up-2.0-0.conda");
    fs::write(folder.join("repodata.json"), repodata).expect("repodata");
    // Where the name would lead from there.
    fs::copy(
        good.join("linux-64/app-2.0-0.conda"),
        place.join("up-2.0-0.conda"),
    )
    .expect("a copy");
    verify(
        &place,
        &place.join("a/mine"),
        &["--repair", "--from", &good.display().to_string()],
    )
    .succeeds();
    assert!(folder.join("lib-1.0-0.tar.bz2").is_file());
    assert!(!place.join("a/up-2.0-0.conda").exists());
}

#[test]
fn a_mirror_mends_itself_even_if_the_store_has_the_same_file() {
    let place = Place::new();
    let forge = channel(&place);
    let server = Server::start(&forge);
    let spec = place.write(
        "mine.toml",
        format!(
            "name = \"mine\"\nchannels = [{:?}]\nplatforms = [\"linux-64\"]\nroots = [\"app\"]\nmirror = \"full\"\n",
            server.url()
        ),
    );
    let mut build = place.archiconda();
    build
        .args(["channel", "build"])
        .arg(&spec)
        .arg("--output-dir")
        .arg(place.join("www"));
    run(&mut build).succeeds();
    let mirror = place.join("www/mine");
    let package = mirror.join("linux-64/app-2.0-0.conda");
    let right = fs::read(&package).expect("a package");
    // Written through the link, so that the store's file is the same wrong one.
    let mut wrong = right.clone();
    wrong[30] ^= 1;
    fs::write(&package, &wrong).expect("a package");
    fs::remove_file(mirror.join("linux-64/lib-1.0-0.tar.bz2")).expect("a package");
    let found = verify(&place, &mirror, &["--repair"]).succeeds().json();
    assert_eq!(found["failures"], 0);
    assert_eq!(found["problems"].as_array().map(Vec::len), Some(2));
    assert!(fs::read(&package).expect("a package") == right);
    let again = verify(&place, &mirror, &[]).succeeds().json();
    assert_eq!(found["subdirs"], again["subdirs"]);

    // What cannot be had stays named, and nothing else happens.
    fs::write(&package, &wrong).expect("a package");
    fs::write(forge.join("linux-64/app-2.0-0.conda"), &wrong).expect("a package");
    verify(&place, &mirror, &["--repair"])
        .exits(4)
        .says(&["sha256"]);
    assert!(fs::read(&package).expect("a package") == wrong);
}

#[test]
fn what_cannot_be_asked_for() {
    let place = Place::new();
    let forge = channel(&place);
    let nothing = place.join("nothing");
    verify(&place, &nothing, &[])
        .exits(2)
        .says(&["is not a folder"]);
    fs::create_dir_all(&nothing).expect("a folder");
    verify(&place, &nothing, &[])
        .exits(2)
        .says(&["archiconda index"]);
    fs::remove_file(forge.join("noarch/pip-24.0-0.conda")).expect("a file");
    verify(&place, &forge, &["--repair"])
        .exits(2)
        .says(&["--from"]);
    let copy = place.join("copy");
    let package = Package::generic("pip 24.0 0");
    write_to(&copy, &package, &package.bytes());
    let from = copy.display().to_string();
    verify(&place, &forge, &["--repair", "--from", &from]).succeeds();
    verify(&place, &forge, &[]).succeeds();
}
