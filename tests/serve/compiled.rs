//! `archiconda serve DEFINITION`: meta-channels are compiled, follow their channels, and have packages that come from
//! elsewhere when they are asked for.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::thread;

use fs_err as fs;
use serde_json::Value;

use crate::support::package::{Package, file, noise, write_to};
use crate::support::run::{Place, run};
use crate::support::server::{Fault, Server};
use crate::support::serving::{Answer, Serving, until};

const LARGE: &str = "linux-64/large-1.0-0.tar.bz2";

fn upstream(place: &Place, name: &str) -> PathBuf {
    let channel = place.join(name);
    for package in [
        Package::named("app 1.0 0").needs(&["large", "tool"]),
        Package::named("large 1.0 0")
            .bzipped()
            .with(vec![file("share/noise", noise(600_000))]),
        Package::generic("tool 1.0 0"),
        Package::generic("unasked 1.0 0"),
    ] {
        write_to(&channel, &package, &package.bytes());
    }
    index(place, &channel);
    channel
}

fn index(place: &Place, channel: &Path) {
    run(place.archiconda().arg("index").arg(channel).arg("--all")).succeeds();
}

fn definition(place: &Place, channels: &[String], more: &str) {
    place.write(
        "mine.toml",
        format!(
            "name = \"mine\"\nchannels = {channels:?}\nplatforms = [\"linux-64\"]\nroots = [\"app\"]\n{more}\n"
        ),
    );
}

fn serve(place: &Place, refresh: &str) -> Serving {
    let state = place.join("state").display().to_string();
    let arguments = [
        "mine.toml",
        "--state-dir",
        &state,
        "--refresh",
        refresh,
        "--timeout",
        "1",
    ];
    Serving::start(place, &arguments)
}

fn repodata(server: &Serving, subdir: &str) -> Value {
    let answer = server.get(&format!("/mine/{subdir}/repodata.json")).is(200);
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn has(server: &Serving, subdir: &str, package: &str) -> bool {
    repodata(server, subdir)["packages.conda"]
        .get(package)
        .is_some()
}

#[test]
fn a_definition_is_compiled_and_follows_its_channels() {
    let place = Place::new();
    let folder = upstream(&place, "forge");
    let forge = Server::start(&folder);
    definition(&place, &[forge.url()], "");
    let server = serve(&place, "1");
    assert!(has(&server, "linux-64", "app-1.0-0.conda"));
    assert!(has(&server, "noarch", "tool-1.0-0.conda"));
    assert!(!has(&server, "noarch", "unasked-1.0-0.conda"));
    // Clients go to where the packages are.
    assert_eq!(
        repodata(&server, "noarch")["info"]["base_url"],
        format!("{}noarch/", forge.url())
    );
    server
        .get("/mine/noarch/repodata_shards.msgpack.zst")
        .is(200);
    server.get("/mine/").is(200);

    let newer = Package::generic("tool 2.0 0");
    write_to(&folder, &newer, &newer.bytes());
    index(&place, &folder);
    until(|| has(&server, "noarch", "tool-2.0-0.conda"));

    // A definition that is wrong changes nothing; one that is right does.
    place.write("mine.toml", "name = 1");
    server.signal("HUP");
    server.says("stays as it was");
    assert!(has(&server, "noarch", "tool-2.0-0.conda"));
    definition(&place, &[forge.url()], "exclude.specs = [\"tool 1.*\"]");
    server.signal("HUP");
    until(|| !has(&server, "noarch", "tool-1.0-0.conda"));

    // Nobody puts anything there.
    server
        .send("PUT", "/mine/noarch/x-1-0.conda", &[], b"x")
        .is(405);
}

#[test]
fn without_upstream_there_is_what_there_was_and_a_warning() {
    let place = Place::new();
    let folder = upstream(&place, "forge");
    let forge = Server::start(&folder);
    definition(&place, &[forge.url()], "mirror = \"on-demand\"");
    let server = serve(&place, "1");
    assert_eq!(
        server
            .get("/mine/noarch/repodata.json")
            .is(200)
            .header("warning"),
        ""
    );
    server.get("/mine/noarch/tool-1.0-0.conda").is(200);
    drop(forge);
    until(|| {
        server
            .get("/mine/noarch/repodata.json")
            .is(200)
            .header("warning")
            .starts_with("111")
    });
    server.get("/mine/noarch/tool-1.0-0.conda").is(200);
    let absent = server.get("/mine/linux-64/app-1.0-0.conda").is(502);
    assert!(absent.text().contains("cannot be had"), "{}", absent.text());
    drop(server);

    // A server that begins has that, too.
    let server = serve(&place, "0");
    assert!(has(&server, "linux-64", "app-1.0-0.conda"));
    drop(server);
    fs::remove_dir_all(place.join("state")).expect("a folder");
    let mut command = place.archiconda();
    command.args([
        "serve",
        "mine.toml",
        "--listen",
        "127.0.0.1:0",
        "--timeout",
        "1",
        "--state-dir",
    ]);
    run(command.arg(place.join("state")))
        .exits(1)
        .says(&["cannot compile `mine.toml`"]);
    place.write("mine.toml", "name = \"mine\"\nchannels = []\n");
    let mut command = place.archiconda();
    run(command.args(["serve", "mine.toml"]))
        .exits(2)
        .says(&["mine.toml:", "channels"]);
}

#[test]
fn a_package_is_fetched_once_however_many_ask() {
    let place = Place::new();
    let folder = upstream(&place, "forge");
    let forge = Server::start(&folder);
    definition(&place, &[forge.url()], "mirror = \"on-demand\"");
    let server = serve(&place, "0");
    assert_eq!(repodata(&server, "noarch")["info"].get("base_url"), None);
    let right = fs::read(folder.join(LARGE)).expect("a package");
    let path = format!("/mine/{LARGE}");
    let head = server.ask("HEAD", &path, &[]).is(200);
    assert_eq!(head.header("content-length"), right.len().to_string());
    assert_eq!(forge.count(LARGE), 0);
    // What comes is slow and breaks off, so that they all ask while it is on its way.
    forge.fault(LARGE, Fault::Truncate(150_000), 1);
    forge.fault(LARGE, Fault::Stall(150_000), 1);
    thread::scope(|scope| {
        let asking: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| server.get(&path).is(200)))
            .collect();
        for asked in asking {
            assert!(asked.join().expect("an answer").body == right);
        }
    });
    // Once, in three pieces.
    assert_eq!(forge.count(LARGE), 3);
    let kept = fs::read(place.join("state/mine").join(LARGE)).expect("a package");
    assert!(kept == right);
    let again = server
        .ask("GET", &path, &["Range: bytes=1000-1999"])
        .is(206);
    assert!(again.body == right[1000..2000] && again.header("etag").len() > 2);
    assert_eq!(forge.count(LARGE), 3);
    server.get("/mine/noarch/unasked-1.0-0.conda").is(404);
    assert_eq!(forge.count("unasked-1.0-0.conda"), 0);
    // A part of what is not there yet.
    let part = server
        .ask(
            "GET",
            "/mine/noarch/tool-1.0-0.conda",
            &["Range: bytes=0-9"],
        )
        .is(206);
    assert_eq!(part.body.len(), 10);
}

#[test]
fn the_beginning_is_sent_before_the_end_has_come() {
    let place = Place::new();
    let folder = upstream(&place, "forge");
    let forge = Server::start(&folder);
    definition(&place, &[forge.url()], "mirror = \"on-demand\"");
    let state = place.join("state").display().to_string();
    let arguments = [
        "mine.toml",
        "--state-dir",
        &state,
        "--refresh",
        "0",
        "--timeout",
        "3600",
    ];
    let server = Serving::start(&place, &arguments);
    forge.fault(LARGE, Fault::Stall(200_000), 1);
    let mut stream = server.connect();
    let request = format!("GET /mine/{LARGE} HTTP/1.1\r\nHost: test\r\n\r\n");
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("a request");
    // Upstream says nothing more, and never will.
    let mut received = vec![0; 180_000];
    stream.read_exact(&mut received).expect("bytes");
    let right = fs::read(folder.join(LARGE)).expect("a package");
    let at = received
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a head")
        + 4;
    assert!(received[at..] == right[..received.len() - at]);
    assert!(!place.join("state/mine").join(LARGE).exists());
}

#[test]
fn wrong_bytes_never_come_to_their_end() {
    let place = Place::new();
    let folder = upstream(&place, "forge");
    let forge = Server::start(&folder);
    definition(&place, &[forge.url()], "mirror = \"on-demand\"");
    let server = serve(&place, "0");
    forge.fault(LARGE, Fault::Flip(300_000), 1000);
    forge.fault("tool-1.0-0.conda", Fault::Flip(40), 1000);
    let mut stream = server.connect();
    let request = format!("GET /mine/{LARGE} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("a request");
    let mut received = Vec::new();
    // The connection may be closed in any way.
    let _ = stream.read_to_end(&mut received);
    let right = fs::read(folder.join(LARGE)).expect("a package");
    let head = String::from_utf8_lossy(&received[..received.len().min(200)]).into_owned();
    assert!(
        head.starts_with("HTTP/1.1 502") || received.len() < right.len(),
        "{head}"
    );
    let said = |answer: Answer| answer.is(502).text();
    let small = said(server.get("/mine/noarch/tool-1.0-0.conda"));
    assert!(small.contains("is not the package"), "{small}");
    assert!(said(server.get(&format!("/mine/{LARGE}"))).contains("is not the package"));
    for path in [LARGE, "noarch/tool-1.0-0.conda"] {
        assert!(!place.join("state/mine").join(path).exists(), "{path}");
    }
}

#[test]
fn packages_of_several_channels_are_found_where_each_is() {
    let place = Place::new();
    let first = upstream(&place, "forge");
    let second = place.join("more");
    let package = Package::generic("extra 1.0 0");
    write_to(&second, &package, &package.bytes());
    index(&place, &second);
    let servers = [Server::start(&first), Server::start(&second)];
    let urls: Vec<_> = servers.iter().map(Server::url).collect();
    definition(&place, &urls, "");
    let text = fs::read_to_string(place.join("mine.toml")).expect("a definition");
    place.write(
        "mine.toml",
        text.replace("[\"app\"]", "[\"app\", \"extra\"]"),
    );
    let server = serve(&place, "0");
    // In one folder, so that no address is right for both.
    assert_eq!(repodata(&server, "noarch")["info"].get("base_url"), None);
    for (file, url) in [
        ("tool-1.0-0.conda", &urls[0]),
        ("extra-1.0-0.conda", &urls[1]),
    ] {
        let answer = server.get(&format!("/mine/noarch/{file}")).is(302);
        assert_eq!(answer.header("location"), format!("{url}noarch/{file}"));
    }
    // A folder of this machine is nothing that clients can be sent to.
    let folders = [first.display().to_string(), second.display().to_string()];
    definition(&place, &folders, "");
    server.signal("HUP");
    until(|| server.get("/mine/noarch/tool-1.0-0.conda").status == 200);
    assert_eq!(repodata(&server, "noarch")["info"].get("base_url"), None);
}
