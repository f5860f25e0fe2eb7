//! `archiconda channel`: channels merged, cut to what is needed, proved, and written as one that clients use.

mod refused;

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use serde_json::Value;

use crate::support::package::{Package, write_to};
use crate::support::requirements;
use crate::support::run::{Place, run};
use crate::support::server::Server;
use crate::support::tree;

/// Solves, and prints what.
const SOLVE: &str = r#"
import asyncio, os, sys
from rattler import Gateway, SourceConfig, solve
channel, form, folder, *specs = sys.argv[1:]
config = SourceConfig(zstd_enabled=form == "zst", bz2_enabled=False, sharded_enabled=form == "shards")
async def main():
    gateway = Gateway(cache_dir=folder, default_config=config)
    records = await solve([channel], specs, gateway=gateway, platforms=["linux-64", "noarch"])
    for record in sorted(records, key=lambda record: record.file_name):
        print(record.file_name, record.url, flush=True)
    os._exit(0)
asyncio.run(main())
"#;

/// A channel with more than anybody needs.
fn forge() -> Vec<Package> {
    vec![
        Package::named("app 2.0 h1111111_0").needs(&[
            "lib >=2",
            "python >=3.12,<3.13.0a0",
            "__glibc >=2.17",
        ]),
        Package::named("app 1.0 h1111111_0").needs(&["lib >=1,<2", "python >=3.12,<3.13.0a0"]),
        Package::named("app 2.0 h2222222_0").needs(&["lib >=2", "python >=2.7,<2.8.0a0"]),
        Package::named("lib 2.1 0"),
        Package::named("lib 2.0 0"),
        Package::named("lib 1.5 0").bzipped(),
        Package::named("lib 1.5 0"),
        Package::named("lib 0.9 0"),
        Package::named("python 3.12.1 0").needs(&["zlib"]),
        Package::named("python 2.7.18 0").needs(&["zlib"]),
        Package::generic("pip 24.0 0").needs(&["python >=3"]),
        Package::named("zlib 1.3 0"),
        Package::named("unasked 1.0 0").needs(&["lib"]),
        Package::named("app 2.0 h1111111_0")
            .on("linux-aarch64")
            .needs(&["lib"]),
        Package::named("lib 2.1 0").on("linux-aarch64"),
    ]
}

fn publish(place: &Place, name: &str, packages: &[Package]) -> PathBuf {
    let channel = place.join(name);
    for package in packages {
        write_to(&channel, package, &package.bytes());
    }
    let mut index = place.archiconda();
    run(index.arg("index").arg(&channel).arg("--all").arg("--quiet")).succeeds();
    channel
}

fn command(place: &Place, verb: &str, definition: &Path, arguments: &[&str]) -> Command {
    let mut command = place.archiconda();
    command
        .args(["channel", verb])
        .arg(definition)
        .args(arguments);
    if verb == "build" {
        command.arg("--output-dir").arg(place.join("www"));
    }
    command
}

fn definition(place: &Place, channels: &[String], more: &str) -> PathBuf {
    let text = format!(
        "name = \"mine\"\nchannels = {channels:?}\nplatforms = [\"linux-64\"]\nroots = [\"app\"]\n{more}\n"
    );
    place.write("mine.toml", text)
}

/// Indexes a channel again that names another one.
fn relate(place: &Place, name: &str, relation: &str) {
    let mut index = place.archiconda();
    index.arg("index").arg(place.join(name));
    index.args(["--all", "--quiet", "--channel-relations", relation]);
    run(&mut index).succeeds();
}

/// The file names in a repodata.json.
fn files(place: &Place, subdir: &str) -> Vec<String> {
    let path = place.join("www/mine").join(subdir).join("repodata.json");
    let repodata: Value = serde_json::from_slice(&fs::read(path).expect("repodata")).expect("JSON");
    let mut files: Vec<String> = ["packages", "packages.conda"]
        .iter()
        .flat_map(|section| {
            repodata[section]
                .as_object()
                .expect("a section")
                .keys()
                .cloned()
        })
        .collect();
    files.sort();
    files
}

#[test]
fn what_nothing_can_select_goes_and_solutions_stay() {
    let place = Place::new();
    let server = Server::start(&publish(&place, "forge", &forge()));
    let spec = definition(&place, &[server.url()], "");
    let built = run(&mut command(
        &place,
        "build",
        &spec,
        &["--strict", "--json"],
    ))
    .succeeds()
    .json();
    assert_eq!(
        files(&place, "linux-64"),
        [
            "app-1.0-h1111111_0.conda",
            "app-2.0-h1111111_0.conda",
            "app-2.0-h2222222_0.conda",
            "lib-1.5-0.conda",
            "lib-2.0-0.conda",
            "lib-2.1-0.conda",
            "python-2.7.18-0.conda",
            "python-3.12.1-0.conda",
            "zlib-1.3-0.conda",
        ]
    );
    assert_eq!(files(&place, "noarch"), ["pip-24.0-0.conda"]);
    assert_eq!(built["proofs"][0]["outcome"], "same");
    // Records are those of the channel, letter for letter, and packages stay where they are.
    let read =
        |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let here = read(place.join("www/mine/linux-64/repodata.json"));
    let there = read(place.join("forge/linux-64/repodata.json"));
    let file = "app-2.0-h1111111_0.conda";
    assert_eq!(here["packages.conda"][file], there["packages.conda"][file]);
    assert_eq!(
        here["info"]["base_url"],
        format!("{}/linux-64/", server.url().trim_end_matches('/'))
    );
    assert_eq!(here["repodata_version"], 2);
    // Only the shards of names that are needed were fetched, and nothing is fetched twice.
    assert_eq!(server.count("/repodata.json"), 0);
    let shards = |server: &Server| {
        let requests = server.requests();
        requests
            .iter()
            .filter(|request| request.path.ends_with(".msgpack.zst") && request.status == 200)
            .count()
    };
    let names = 4 + 1;
    let indexes = 2;
    assert_eq!(shards(&server), names + indexes);
    let again = run(&mut command(&place, "build", &spec, &["--json"]))
        .succeeds()
        .json();
    assert_eq!(again["changed"], false);
    // A build is repeated from its lock, wherever the channel has gone since.
    let before = fs::read(place.join("www/mine/linux-64/repodata.json")).unwrap();
    let newer = Package::named("lib 3.0 0");
    write_to(&place.join("forge"), &newer, &newer.bytes());
    run(place
        .archiconda()
        .arg("index")
        .arg(place.join("forge"))
        .args(["--all", "--quiet"]))
    .succeeds();
    run(&mut command(&place, "build", &spec, &["--locked"])).succeeds();
    assert_eq!(
        fs::read(place.join("www/mine/linux-64/repodata.json")).unwrap(),
        before
    );
    run(&mut command(&place, "build", &spec, &[])).succeeds();
    assert!(files(&place, "linux-64").contains(&"lib-3.0-0.conda".to_owned()));
    // Nor is the network needed for what is here.
    run(&mut command(&place, "build", &spec, &["--offline"])).succeeds();
}

#[test]
fn definitions_cut_and_say_why() {
    let place = Place::new();
    let channel = publish(&place, "forge", &forge());
    let channels = [channel.display().to_string()];
    let pinned = definition(
        &place,
        &channels,
        "[pins]\npython = [\"3.12.*\"]\n[exclude]\nspecs = [\"lib 2.1\"]",
    );
    run(&mut command(&place, "build", &pinned, &["--strict"])).succeeds();
    assert_eq!(
        files(&place, "linux-64"),
        [
            "app-1.0-h1111111_0.conda",
            "app-2.0-h1111111_0.conda",
            "lib-1.5-0.conda",
            "lib-2.0-0.conda",
            "python-3.12.1-0.conda",
            "zlib-1.3-0.conda",
        ]
    );
    let why = |name: &str| run(&mut command(&place, "why", &pinned, &[name])).succeeds();
    why("zlib").prints(&[
        "linux-64/zlib-1.3-0.conda",
        "stays",
        "the definition asks for app",
        "asks for python >=3.12,<3.13.0a0",
        "asks for zlib",
    ]);
    why("app").prints(&["left out: nothing is left for its `python >=2.7,<2.8.0a0`"]);
    why("lib").prints(&[
        "left out: `exclude` has `lib 2.1`",
        "left out: the same package is there as .conda",
        "left out: nothing that stays asks for it",
    ]);
    why("unasked").prints(&["left out: nothing that stays asks for it"]);
    why("python").prints(&["left out: no pin fits"]);
    let told = run(&mut command(&place, "why", &pinned, &["python", "--json"]))
        .succeeds()
        .json();
    assert_eq!(told[0]["packages"][1]["cut"], "pinned");
    run(&mut command(&place, "why", &pinned, &["nobody"]))
        .exits(1)
        .says(&["no channel", "nobody"]);

    // What is newest counts for each dependency, so that older ones that are needed stay.
    let kept = definition(&place, &channels, "[keep]\nversions = 1\nbuilds = 1");
    run(&mut command(&place, "build", &kept, &["--strict"])).succeeds();
    let names = files(&place, "linux-64");
    assert!(
        names.contains(&"lib-2.1-0.conda".to_owned())
            && !names.contains(&"lib-2.0-0.conda".to_owned())
    );
    assert!(
        !names.contains(&"app-1.0-h1111111_0.conda".to_owned()),
        "{names:?}"
    );

    // A root that is cut away is a failure only where it is insisted on.
    let lost = definition(&place, &channels, "[exclude]\nnames = [\"lib\"]");
    run(&mut command(&place, "build", &lost, &[]))
        .succeeds()
        .says(&["has a solution on the whole channels"]);
    run(&mut command(&place, "build", &lost, &["--strict"]))
        .exits(3)
        .says(&["1 of 1 roots"]);
}

#[test]
fn a_more_important_channel_owns_a_name() {
    let place = Place::new();
    let mine = [
        Package::named("lib 2.0 mine_0"),
        Package::named("lib 1.9 mine_0"),
    ];
    let first = Server::start(&publish(&place, "first", &mine));
    let second = Server::start(&publish(&place, "second", &forge()));
    let urls = [first.url(), second.url()];
    // Two hosts for one folder need a mirror.
    let spec = definition(&place, &urls, "");
    run(&mut command(&place, "build", &spec, &[]))
        .exits(2)
        .says(&["several places", "mirror = \"full\""]);
    assert!(!place.join("www/mine/linux-64").exists());
    let spec = definition(&place, &urls, "mirror = \"full\"");
    let plan = run(&mut command(&place, "build", &spec, &["--plan", "--json"]))
        .succeeds()
        .json();
    assert_eq!(plan["missing"], plan["packages"]);
    assert!(!place.join("www/mine").exists());
    let built = run(&mut command(
        &place,
        "build",
        &spec,
        &["--strict", "--json"],
    ))
    .succeeds()
    .json();
    assert_eq!(built["missing_bytes"], plan["missing_bytes"]);
    let names = files(&place, "linux-64");
    assert!(
        names.contains(&"lib-2.0-mine_0.conda".to_owned()),
        "{names:?}"
    );
    assert!(!names.contains(&"lib-2.1-0.conda".to_owned()), "{names:?}");
    for (subdir, file) in names.iter().map(|file| ("linux-64", file)) {
        let package = fs::read(place.join("www/mine").join(subdir).join(file)).expect("a package");
        let from = if file.contains("mine") {
            "first"
        } else {
            "second"
        };
        assert_eq!(
            package,
            fs::read(place.join(from).join(subdir).join(file)).unwrap()
        );
    }
    let repodata = fs::read_to_string(place.join("www/mine/linux-64/repodata.json")).unwrap();
    assert!(!repodata.contains("base_url"));
    // Both channels' packages are there where the definition says so.
    let spec = definition(
        &place,
        &urls,
        "mirror = \"full\"\nchannel_priority = \"flexible\"",
    );
    run(&mut command(
        &place,
        "build",
        &spec,
        &["--strict", "--grace", "0s"],
    ))
    .succeeds();
    let names = files(&place, "linux-64");
    assert!(
        names.contains(&"lib-2.1-0.conda".to_owned())
            && names.contains(&"lib-2.0-mine_0.conda".to_owned())
    );
    // A package that goes stays for the time of grace, and not longer.
    let spec = definition(&place, &urls[1..], "mirror = \"full\"");
    run(&mut command(&place, "build", &spec, &[])).succeeds();
    let gone = place.join("www/mine/linux-64/lib-2.0-mine_0.conda");
    assert!(gone.exists());
    run(&mut command(&place, "build", &spec, &["--grace", "0s"])).succeeds();
    assert!(!gone.exists());
}

/// What a program says on a terminal, which `script` of util-linux makes.
#[test]
fn terminals_get_what_they_can_show() {
    let found = Command::new("script").arg("--version").output();
    let Some(_) = requirements::require("script of util-linux", found.ok()) else {
        return;
    };
    let place = Place::new();
    publish(&place, "forge", &forge());
    let channels = [place.join("forge").display().to_string()];
    let spec = definition(&place, &channels, "[exclude]\nnames = [\"lib\"]");
    let build = command(&place, "build", &spec, &[]);
    let mut text = build.get_program().to_string_lossy().into_owned();
    for argument in build.get_args() {
        text.extend([" '", &argument.to_string_lossy(), "'"]);
    }
    let told = |term: &str, no_color: &str| {
        let mut script = place.command("script");
        script.args(["-qec", &text, "/dev/null"]);
        script.env("TERM", term).env("NO_COLOR", no_color);
        script.env("ARCHICONDA_CACHE_DIR", place.cache());
        run(&mut script).succeeds().stdout
    };
    let (rich, plain, dumb) = (told("xterm", ""), told("xterm", "1"), told("dumb", ""));
    assert!(
        rich.contains("\u{1b}[33mwarning") && rich.contains("\u{1b}[2K"),
        "{rich}"
    );
    assert!(
        plain.contains("\rwarning") || plain.contains("Kwarning"),
        "{plain}"
    );
    assert!(!plain.contains("\u{1b}[33m"), "{plain}");
    assert!(!dumb.contains('\u{1b}'), "{dumb}");
    assert!(dumb.contains("read the channels"), "{dumb}");
}

/// A channel says which one it builds upon: who reads it reads that one, too (CEP 42).
#[test]
fn channels_that_channels_name_are_read() {
    let place = Place::new();
    let mine = [
        Package::named("lib 2.0 mine_0"),
        Package::named("app 3.0 mine_0").needs(&["lib >=2", "zlib"]),
    ];
    publish(&place, "forge", &forge());
    publish(&place, "team", &mine);
    let server = Server::start(&place.join("."));
    let over_http = format!("{}/team", server.url());
    let folder = place.join("team").display().to_string();
    let build = |channel: &str, more: &str| {
        let more = format!("mirror = \"full\"\n{more}");
        let spec = definition(&place, &[channel.to_owned()], &more);
        run(&mut command(&place, "build", &spec, &["--grace", "0s"]))
    };
    // Alone it has no zlib.
    build(&over_http, "").says(&["app has no solution"]);
    assert_eq!(files(&place, "linux-64").len(), 2);
    for channel in [&over_http, &folder] {
        // What it overrides comes after it, and what it builds upon before it.
        relate(&place, "team", "overrides=../forge");
        build(channel, "").succeeds();
        let names = files(&place, "linux-64");
        assert_eq!(
            names,
            [
                "app-3.0-mine_0.conda",
                "lib-2.0-mine_0.conda",
                "zlib-1.3-0.conda"
            ]
        );
        relate(&place, "team", "base=../forge");
        build(channel, "").succeeds();
        let names = files(&place, "linux-64");
        assert!(
            names.iter().all(|name| !name.contains("mine")) && names.len() > 5,
            "{names:?}"
        );
        let page = fs::read_to_string(place.join("www/mine/about.html")).unwrap();
        assert!(page.contains("forge"), "{page}");
    }
    // Nobody is led astray.
    relate(&place, "team", "overrides=../nowhere");
    build(&over_http, "").says(&["channel_relations", "nowhere", "not there"]);
    let mut index = place.archiconda();
    index.arg("index").arg(place.join("team"));
    run(index.args(["--channel-relations", "base=../x?y"])).exits(2);
}

/// A package of the same length takes the place of another one upstream.
#[test]
fn a_mirror_follows_packages_that_are_replaced() {
    for mirror in ["full", "on-demand"] {
        let place = Place::new();
        let channel = publish(&place, "forge", &forge());
        let server = Server::start(&channel);
        let more = format!("mirror = {mirror:?}");
        let spec = definition(&place, &[server.url()], &more);
        run(&mut command(&place, "build", &spec, &[])).succeeds();
        let there = channel.join("linux-64/lib-2.1-0.conda");
        let here = place.join("www/mine/linux-64/lib-2.1-0.conda");
        if mirror == "on-demand" {
            // As somebody who asked for it left it.
            fs::copy(&there, &here).expect("a copy");
        }
        let before = fs::read(&there).expect("a package");
        let mut after = Package::named("lib 2.1 0").bytes();
        let content = |number: u8| vec![crate::support::package::file("share/x", vec![number; 64])];
        for number in 0..=u8::MAX {
            after = Package::named("lib 2.1 0").with(content(number)).bytes();
            if after.len() == before.len() {
                break;
            }
        }
        fs::write(&there, &after).expect("written");
        let mut index = place.archiconda();
        run(index.arg("index").arg(&channel).args(["--all", "--quiet"])).succeeds();
        run(&mut command(&place, "build", &spec, &[])).succeeds();
        match fs::read(&here) {
            Ok(found) => assert!(mirror == "full" && found == after, "{mirror}"),
            Err(_) => assert_eq!(mirror, "on-demand"),
        }
    }
}

/// A mirror is killed ever later: what its index names is there, and the next run ends what was begun.
#[test]
fn a_mirror_that_is_killed_goes_on() {
    let place = Place::new();
    let mut packages = forge();
    packages.extend((0..60).map(|number| Package::named(&format!("part{number} 1.0 0"))));
    let names: Vec<_> = (0..60).map(|number| format!("part{number}")).collect();
    let needs: Vec<_> = names.iter().map(String::as_str).collect();
    packages.push(Package::named("whole 1.0 0").needs(&needs));
    let server = Server::start(&publish(&place, "forge", &packages));
    let more = "mirror = \"full\"\nsets = [[\"whole\"]]";
    let spec = definition(&place, &[server.url()], more);
    let mut delay = std::time::Duration::ZERO;
    let mut killed = 0;
    for _ in 0..14 {
        let mut child = command(&place, "build", &spec, &["--quiet"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("a process");
        std::thread::sleep(delay);
        delay += std::time::Duration::from_millis(8) + delay / 4;
        killed += usize::from(child.try_wait().expect("a state").is_none());
        child.kill().expect("a process to kill");
        child.wait().expect("its end");
        for subdir in ["linux-64", "noarch"] {
            if place
                .join("www/mine")
                .join(subdir)
                .join("repodata.json")
                .exists()
            {
                let files = files(&place, subdir);
                let is_there =
                    |file: &String| place.join("www/mine").join(subdir).join(file).is_file();
                assert!(files.iter().all(is_there), "{files:?}");
            }
        }
    }
    assert!(killed > 3, "{killed}");
    run(&mut command(&place, "build", &spec, &["--strict"])).succeeds();
    assert_eq!(
        files(&place, "linux-64")
            .iter()
            .filter(|file| file.starts_with("part"))
            .count(),
        60
    );
    let mut verify = place.archiconda();
    run(verify
        .args(["channel", "verify"])
        .arg(place.join("www/mine")))
    .succeeds();
    let left = tree::snapshot(&place.join("www/mine"));
    let is_draft = |path: &&str| path.contains(".archiconda-");
    assert!(!left.paths().iter().any(is_draft), "{:?}", left.paths());
}

#[test]
fn rattler_solves_the_same_on_the_result() {
    let Some(python) = requirements::oracles() else {
        return;
    };
    let place = Place::new();
    let upstream = Server::start(&publish(&place, "forge", &forge()));
    let spec = definition(&place, &[upstream.url()], "");
    run(&mut command(&place, "build", &spec, &["--strict"])).succeeds();
    let here = Server::start(&place.join("www/mine"));
    let solve = |channel: &str, form: &str, folder: &str| {
        let mut command = place.command(&python);
        command
            .args(["-c", SOLVE, channel, form])
            .arg(place.join(folder))
            .args(["app", "lib <2.1"]);
        run(&mut command).succeeds().stdout
    };
    let expected = solve(&upstream.url(), "json", "whole");
    assert_eq!(expected.lines().count(), 4, "{expected}");
    for form in ["shards", "zst", "json"] {
        assert_eq!(solve(&here.url(), form, form), expected, "{form}");
    }
}

#[test]
fn a_page_tells_what_is_in_it_and_why() {
    let place = Place::new();
    let server = Server::start(&publish(&place, "forge", &forge()));
    let spec = definition(&place, &[server.url()], "");
    let build = || run(&mut command(&place, "build", &spec, &[])).succeeds();
    build();
    let path = place.join("www/mine/about.html");
    let page = fs::read_to_string(&path).expect("a page");
    for told in [
        "<h1>About mine</h1>",
        "Compiled from http://127.0.0.1",
        "last changed <time",
        "<rect class=\"after\"",
        "the definition asks for <code>app</code>",
        ">app</a> asks for <code>lib &gt;=2</code>",
        "href=\"packages/zlib.html\"",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert!(!page.contains("unasked"));
    let index = fs::read_to_string(place.join("www/mine/index.html")).expect("a page");
    assert!(index.contains("href=\"about.html\""));
    // Nothing is written again, however much later.
    let before = fs::metadata(&path)
        .expect("a page")
        .modified()
        .expect("a time");
    build();
    assert_eq!(
        fs::metadata(&path)
            .expect("a page")
            .modified()
            .expect("a time"),
        before
    );
    let shorter = definition(&place, &[server.url()], "exclude.names = [\"zlib\"]");
    run(&mut command(&place, "build", &shorter, &[])).succeeds();
    assert!(
        !fs::read_to_string(&path)
            .expect("a page")
            .contains("zlib.html")
    );
}
