//! Packages that were fetched because somebody asked for them, where there is not room for all of them.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use archive::digest::Sha256;
use fs_err as fs;

use crate::support::package::{Package, file, noise, write_to};
use crate::support::run::{Place, run};
use crate::support::server::Server;
use crate::support::serving::{Serving, until};

/// A channel of packages of 300 KB each, and of one of 20 MB.
fn upstream(place: &Place) -> Server {
    let channel = place.join("forge");
    for name in ["a", "b", "c"] {
        let package = Package::generic(&format!("{name} 1 0"));
        let package = package.with(vec![file("share/noise", noise(300_000))]);
        write_to(&channel, &package, &package.bytes());
    }
    let package = Package::generic("large 1 0");
    let package = package.with(vec![file("share/noise", noise(20_000_000))]);
    write_to(&channel, &package, &package.bytes());
    run(place.archiconda().arg("index").arg(&channel).arg("--all")).succeeds();
    Server::start(&channel)
}

fn define(place: &Place, name: &str, forge: &Server, mirror: &str) {
    place.write(
        &format!("{name}.toml"),
        format!(
            "name = \"{name}\"\nchannels = [\"{}\"]\nplatforms = [\"linux-64\"]\n\
             roots = [\"a\", \"b\", \"c\", \"large\"]\nmirror = \"{mirror}\"\n",
            forge.url()
        ),
    );
}

fn serve(place: &Place, arguments: &[&str]) -> Serving {
    let state = place.join("state").display().to_string();
    let fixed = ["--state-dir", &state, "--refresh", "0"];
    Serving::start(place, &[arguments, &fixed].concat())
}

/// Where a package of a channel lies, if it is there.
fn path(place: &Place, channel: &str, name: &str) -> PathBuf {
    place.join(format!("state/{channel}/noarch/{name}-1-0.conda"))
}

/// The packages of a channel that are there.
fn there(place: &Place, channel: &str) -> String {
    let names = ["a", "b", "c", "large"].into_iter();
    let is_there = |name: &&str| path(place, channel, name).exists();
    names.filter(is_there).collect::<Vec<_>>().join(" ")
}

/// How many packages the cache holds.
fn cached(place: &Place) -> usize {
    let folders = fs::read_dir(place.cache().join("packages/sha256")).expect("a folder");
    let files = folders.flat_map(|folder| fs::read_dir(folder.expect("an entry").path()));
    let sizes = files
        .flatten()
        .map(|file| file.expect("an entry").metadata().expect("a size").len());
    // Beside them lie what is known of them, and shards.
    sizes.filter(|size| *size > 300_000).count()
}

fn right(place: &Place, name: &str) -> Vec<u8> {
    fs::read(place.join(format!("forge/noarch/{name}-1-0.conda"))).expect("a package")
}

#[track_caller]
fn get(place: &Place, server: &Serving, channel: &str, name: &str) {
    let answer = server.get(&format!("/{channel}/noarch/{name}-1-0.conda"));
    assert!(answer.is(200).body == right(place, name), "{name}");
}

#[test]
fn what_was_not_asked_for_longest_makes_room() {
    let place = Place::new();
    let forge = upstream(&place);
    define(&place, "mine", &forge, "on-demand");
    let server = serve(&place, &["mine.toml", "--max-fetched", "700K"]);
    for (asked, kept, fetched) in [
        ("a", "a", 1),
        ("b", "a b", 1),
        ("a", "a b", 1),
        ("c", "a c", 1),
        ("b", "b c", 2),
        ("c", "b c", 1),
        // Longer than all that there is room for: it stays until the next one comes.
        ("large", "large", 1),
        ("a", "a", 2),
    ] {
        get(&place, &server, "mine", asked);
        assert_eq!(there(&place, "mine"), kept, "after {asked}");
        assert_eq!(cached(&place), kept.split(' ').count(), "after {asked}");
        let file = format!("noarch/{asked}-1-0.conda");
        assert_eq!(forge.count(&file), fetched, "{asked}");
    }
    // The indexes name all of them at all times.
    let text = server.get("/mine/noarch/repodata.json").is(200).text();
    assert!(text.contains("large-1-0.conda"));
    assert_eq!(server.get("/mine/noarch/d-1-0.conda").status, 404);
}

#[test]
fn the_next_server_knows_what_was_asked_for_when() {
    let place = Place::new();
    let forge = upstream(&place);
    define(&place, "mine", &forge, "on-demand");
    let server = serve(&place, &["mine.toml"]);
    for name in ["a", "b", "c", "large"] {
        get(&place, &server, "mine", name);
    }
    assert_eq!(there(&place, "mine"), "a b c large");
    drop(server);
    let note = |name: &str| {
        let digest = Sha256::of(&right(&place, name)).to_string();
        place.join("state/.fetched").join(digest)
    };
    let day = Duration::from_hours(24);
    for (name, age) in [
        ("a", day * 2),
        ("b", day * 3),
        ("c", day),
        ("large", day * 4),
    ] {
        let note = fs::OpenOptions::new().write(true).open(note(name));
        let time = SystemTime::now() - age;
        let note = note.expect("a note");
        note.file().set_modified(time).expect("a time");
    }
    let server = serve(&place, &["mine.toml", "--max-fetched", "700K"]);
    assert_eq!(there(&place, "mine"), "a c");
    assert_eq!(cached(&place), 2);
    get(&place, &server, "mine", "a");
    assert_eq!(forge.count("noarch/a-1-0.conda"), 1);
    // It is noted that it was asked for; a kill is no reason to forget it.
    server.signal("KILL");
    drop(server);
    let age = fs::metadata(note("a")).and_then(|note| note.modified());
    assert!(age.expect("a time").elapsed().expect("a past") < day);
    let server = serve(&place, &["mine.toml", "--max-fetched", "400K"]);
    assert_eq!(there(&place, "mine"), "a");
    // Notes that are none are as if they were not there.
    fs::write(note("a"), "{").expect("a note");
    place.write("state/.fetched/other", "x");
    drop(server);
    let server = serve(&place, &["mine.toml", "--max-fetched", "1"]);
    get(&place, &server, "mine", "a");
    assert_eq!(there(&place, "mine"), "a");
}

#[test]
fn what_is_there_for_another_reason_stays() {
    let place = Place::new();
    let forge = upstream(&place);
    define(&place, "full", &forge, "full");
    define(&place, "mine", &forge, "on-demand");
    // One is there on demand first, and in the full mirror then.
    let server = serve(&place, &["mine.toml"]);
    get(&place, &server, "mine", "c");
    drop(server);
    drop(serve(&place, &["mine.toml", "full.toml"]));
    let arguments = ["mine.toml", "full.toml", "--max-fetched", "1"];
    let server = serve(&place, &arguments);
    let mine = place.join("state/mine/noarch");
    fs::create_dir_all(&mine).expect("a folder");
    assert_eq!(there(&place, "mine"), "");
    fs::copy(
        place.join("forge/noarch/a-1-0.conda"),
        mine.join("a-1-0.conda"),
    )
    .expect("a copy by hand");
    for name in ["b", "c", "a", "large", "b"] {
        get(&place, &server, "mine", name);
    }
    assert_eq!(there(&place, "mine"), "a b");
    // The full mirror has all, and so has the cache.
    assert_eq!(there(&place, "full"), "a b c large");
    assert_eq!(cached(&place), 4);
    for name in ["a", "b", "c", "large"] {
        assert_eq!(forge.count(&format!("noarch/{name}-1-0.conda")), 1);
        assert!(fs::read(path(&place, "full", name)).expect("it") == right(&place, name));
    }
    // What becomes a full mirror keeps what it has.
    define(&place, "mine", &forge, "full");
    define(&place, "full", &forge, "on-demand");
    server.signal("HUP");
    until(|| there(&place, "mine") == "a b c large");
    drop(server);
    let server = serve(&place, &arguments);
    for name in ["a", "b", "c", "large"] {
        get(&place, &server, "full", name);
    }
    assert_eq!(there(&place, "mine"), "a b c large");
    assert_eq!(there(&place, "full"), "a b c large");
}

#[test]
fn who_is_being_sent_a_package_gets_all_of_it() {
    let place = Place::new();
    let forge = upstream(&place);
    define(&place, "mine", &forge, "on-demand");
    let server = serve(&place, &["mine.toml", "--max-fetched", "1"]);
    let right = right(&place, "large");
    // While it comes, and from the folder.
    for _ in 0..2 {
        let mut stream = server.connect();
        let request =
            "GET /mine/noarch/large-1-0.conda HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("a request");
        let mut received = vec![0; 1000];
        stream.read_exact(&mut received).expect("the beginning");
        until(|| there(&place, "mine") == "large");
        get(&place, &server, "mine", "a");
        assert_eq!(there(&place, "mine"), "a");
        stream.read_to_end(&mut received).expect("the rest");
        assert!(received.ends_with(&right));
        get(&place, &server, "mine", "large");
    }
}
