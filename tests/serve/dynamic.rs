//! `archiconda serve --dynamic`: meta-channels as addresses ask for them.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;

use fs_err as fs;
use serde_json::Value;

use crate::support::package::{Package, write_to};
use crate::support::run::{Place, run};
use crate::support::server::Server;
use crate::support::serving::{Answer, Serving, until};

fn publish(place: &Place, name: &str, packages: &[Package]) -> Server {
    let channel = place.join(name);
    for package in packages {
        write_to(&channel, package, &package.bytes());
    }
    index(place, &channel);
    Server::start(&channel)
}

fn index(place: &Place, channel: &Path) {
    run(place.archiconda().arg("index").arg(channel).arg("--all")).succeeds();
}

fn forge(place: &Place) -> Server {
    publish(
        place,
        "forge",
        &[
            Package::named("app 1.0 0").needs(&["lib >=1"]),
            Package::named("app 2.0 0").needs(&["lib >=2"]),
            Package::named("lib 1.0 0"),
            Package::named("lib 2.0 0"),
            Package::generic("tool 1.0 0"),
            Package::named("app 1.0 0").on("linux-aarch64"),
        ],
    )
}

fn serve(place: &Place, channels: &[String], more: &[&str]) -> Serving {
    let state = place.join("state").display().to_string();
    let mut arguments = vec!["--state-dir", &state, "--timeout", "1"];
    for channel in channels {
        arguments.extend(["--dynamic", channel]);
    }
    arguments.extend(more);
    Serving::start(place, &arguments)
}

/// Follows redirects as clients do.
fn follow(server: &Serving, path: &str) -> Answer {
    let mut path = path.to_owned();
    for _ in 0..3 {
        let answer = server.get(&path);
        if answer.status != 301 {
            return answer;
        }
        let base = url::Url::parse(&format!("http://test{path}")).expect("an address");
        let next = base.join(answer.header("location")).expect("an address");
        next.path().clone_into(&mut path);
    }
    panic!("redirected again and again: {path}");
}

fn files(answer: &Answer) -> Vec<String> {
    let repodata: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let packages = repodata["packages.conda"].as_object().expect("packages");
    packages.keys().cloned().collect()
}

#[test]
fn questions_are_no_way_around_a_token() {
    let place = Place::new();
    let forge = forge(&place);
    place.write("tokens.toml", "[channels]\nforge.access = \"tokens\"\n");
    let right = super::access::token(&place, &["--name", "reader", "--channel", "*"]);
    let folder = place.join("forge").display().to_string();
    let state = place.join("state").display().to_string();
    let asked = [
        format!("forge={folder}"),
        format!("other={folder}"),
        format!("free={}", forge.url()),
    ];
    let mut arguments = vec!["forge", "--state-dir", &state, "--tokens", "tokens.toml"];
    for one in &asked {
        arguments.extend(["--dynamic", one]);
    }
    let server = Serving::start(&place, &arguments);
    for name in ["forge", "other", "free,other"] {
        for file in ["repodata.json", "app-1.0-0.conda"] {
            let path = format!("{name}/app/linux-64/{file}");
            server.get(&format!("/{path}")).is(401);
        }
        let path = format!("/t/{right}/{name}/app/linux-64/repodata.json");
        server.get(&path).is(200);
    }
    server.get("/forge/linux-64/repodata.json").is(401);
    // Nobody is told which channels there are.
    for rest in [
        "",
        "/",
        "/linux-64/repodata.json",
        "/a/linux-64/repodata.json",
        "/a/b",
    ] {
        let of = |name: &str| server.get(&format!("/{name}{rest}")).status;
        assert_eq!(of("nosuch"), of("forge"), "{rest}");
    }
    server.get("/free/app/linux-64/repodata.json").is(200);
}

#[test]
fn an_address_is_a_channel() {
    let place = Place::new();
    let forge = forge(&place);
    let server = serve(&place, &[format!("forge={}", forge.url())], &[]);
    let all = follow(&server, "/forge/app/linux-64/repodata.json");
    assert_eq!(
        files(&all),
        [
            "app-1.0-0.conda",
            "app-2.0-0.conda",
            "lib-1.0-0.conda",
            "lib-2.0-0.conda"
        ]
    );
    let new = follow(&server, "/forge/app%3E=2/linux-64/repodata.json");
    assert_eq!(files(&new), ["app-2.0-0.conda", "lib-2.0-0.conda"]);
    let arm = follow(&server, "/forge/app/linux-aarch64/repodata.json");
    assert_eq!(files(&arm), ["app-1.0-0.conda"]);
    let both = follow(&server, "/forge/tool,app/noarch/repodata.json");
    assert_eq!(files(&both), ["tool-1.0-0.conda"]);
    for name in [
        "repodata.json.zst",
        "repodata.json.bz2",
        "current_repodata.json",
        "repodata_shards.msgpack.zst",
    ] {
        let answer = server.get(&format!("/forge/app/linux-64/{name}")).is(200);
        let tag = format!("If-None-Match: {}", answer.header("etag"));
        server
            .ask("GET", &format!("/forge/app/linux-64/{name}"), &[&tag])
            .is(304);
    }
    // Packages are where they come from: the index says so, and so does the server.
    let package = server.get("/forge/app/linux-64/lib-1.0-0.conda").is(302);
    assert_eq!(
        package.header("location"),
        format!("{}linux-64/lib-1.0-0.conda", forge.url())
    );
    server.get("/forge/app/linux-64/tool-1.0-0.conda").is(404);
    server.get("/forge/app/win-64/repodata.json").is(404);

    // One question has one address, and is compiled once.
    let moved = server.get("/forge/tool,app/linux-64/repodata.json").is(301);
    assert_eq!(
        moved.header("location"),
        "../../app,tool/linux-64/repodata.json"
    );
    let twice = server.get("/forge,forge/app/linux-64/repodata.json");
    assert_eq!(twice.is(400).text(), "a channel is named twice\n");
    let moved = server.get("/forge/app").is(301);
    assert_eq!(moved.header("location"), "./app/");
    // What is told at the beginning is what may be asked.
    assert_eq!(
        server.printed["channels"][0]["urls"][0],
        format!("{}forge/CONSTRAINTS", server.url())
    );
    let questions = fs::read_dir(place.join("state/questions"))
        .expect("a folder")
        .flatten();
    assert_eq!(questions.filter(|entry| entry.path().is_dir()).count(), 3);
}

#[test]
fn what_cannot_be_asked() {
    let place = Place::new();
    let forge = forge(&place);
    let server = serve(
        &place,
        &[
            format!("forge={}", forge.url()),
            "gone=http://127.0.0.1:1/x".to_owned(),
        ],
        &[],
    );
    for (path, status, text) in [
        ("/nobody/app/linux-64/repodata.json", 404, ""),
        ("/http:/127.0.0.1/app/linux-64/repodata.json", 404, ""),
        ("/forge/linux-64", 404, ""),
        ("/forge/linux-64/repodata.json", 404, ""),
        (
            "/forge/--untrack-features,app/linux-64/repodata.json",
            400,
            "--max-build-no",
        ),
        ("/forge/app%5B/linux-64/repodata.json", 400, "bracket"),
        (
            "/forge/app,--blacklist=slow/linux-64/repodata.json",
            400,
            "no blacklists",
        ),
        (
            "/forge/file%3A%3Aapp/linux-64/repodata.json",
            400,
            "names a place",
        ),
        ("/gone/app/linux-64/repodata.json", 502, "cannot compile"),
    ] {
        let answer = server.get(path).is(status);
        assert!(answer.text().contains(text), "{path}: {}", answer.text());
    }
    server
        .send("PUT", "/forge/app/linux-64/a-1-0.conda", &[], b"x")
        .is(405);
}

#[test]
fn questions_follow_upstream_and_are_bounded() {
    let place = Place::new();
    let forge = forge(&place);
    let blacklists = place.join("lists");
    fs::create_dir_all(&blacklists).expect("a folder");
    fs::write(blacklists.join("slow"), "app 2.*\n").expect("a list");
    let lists = blacklists.display().to_string();
    let more = [
        "--refresh",
        "0.2",
        "--max-questions",
        "2",
        "--blacklists",
        &lists,
        "--dynamic-mirror",
        "on-demand",
    ];
    let server = serve(&place, &[format!("forge={}", forge.url())], &more);
    let slow = follow(
        &server,
        "/forge/app,--blacklist=slow/linux-64/repodata.json",
    );
    assert!(!files(&slow).contains(&"app-2.0-0.conda".to_owned()));
    // The package comes through the server.
    let path = "/forge/app/linux-64/app-1.0-0.conda";
    assert!(follow(&server, "/forge/app/linux-64/repodata.json").status == 200);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| server.get(path).is(200));
        }
    });
    assert_eq!(forge.count("linux-64/app-1.0-0.conda"), 1);
    let newer = Package::named("app 3.0 0");
    write_to(&place.join("forge"), &newer, &newer.bytes());
    index(&place, &place.join("forge"));
    let app = || files(&follow(&server, "/forge/app/linux-64/repodata.json"));
    until(|| app().contains(&"app-3.0-0.conda".to_owned()));
    // A third question takes the place of the first.
    assert!(follow(&server, "/forge/tool/noarch/repodata.json").status == 200);
    // Nothing of that is left: no folder, no lock, nothing set aside.
    let questions = || {
        let entries = fs::read_dir(place.join("state/questions")).expect("a folder");
        let stems = entries
            .flatten()
            .filter_map(|entry| entry.path().file_stem().map(ToOwned::to_owned));
        stems.collect::<BTreeSet<_>>().len()
    };
    until(|| questions() == 2);
    assert!(
        follow(
            &server,
            "/forge/app,--blacklist=slow/linux-64/repodata.json"
        )
        .status
            == 200
    );
}

#[test]
fn a_channel_is_there_whole_and_in_part() {
    let place = Place::new();
    let forge = forge(&place);
    let whole = format!("forge={}", place.join("forge").display());
    let server = serve(&place, &[format!("forge={}", forge.url())], &[&whole]);
    for (path, count) in [
        ("/forge/linux-64/repodata.json", 4),
        ("/forge/lib/linux-64/repodata.json", 2),
        ("/forge/linux-64/repodata.json", 4),
    ] {
        assert_eq!(files(&follow(&server, path)).len(), count, "{path}");
    }
    let asked = server.get("/forge/html/nothing");
    assert_eq!(asked.status, 404);
    let package = server.get("/forge/linux-64/lib-1.0-0.conda");
    assert_eq!(package.status, 200);
}
