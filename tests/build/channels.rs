//! Where packages come from: folders, URLs, names; with a network, without, and with a cache.

use std::net::TcpListener;
use std::path::Path;

use fs_err as fs;

use super::{X86, dry, installer, packages, small, spec};
use crate::support::channel::publish;
use crate::support::package::Package;
use crate::support::requirements;
use crate::support::run::{Place, run};
use crate::support::server::Server;

const SPECS: &str = "specs = [\"alpha\"]\nplatforms = [\"linux-64\"]";

/// A URL where nobody listens.
fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

#[test]
fn a_channel_by_folder_by_url_and_by_name() {
    let place = Place::new();
    small(&place);
    let server = Server::start(place.path());
    let root = place.path().display().to_string();
    let url = server.url();
    let cases = [
        ("channel".to_owned(), None),
        ("./channel/".to_owned(), None),
        (format!("{root}/channel"), None),
        (format!("file://{root}/channel"), None),
        (format!("{url}channel"), None),
        (format!("{url}channel/"), None),
        ("channel".to_owned(), Some(url.clone())),
    ];
    for (channel, alias) in cases {
        let keys = format!("channels = [\"{channel}\"]\n{SPECS}");
        // Under an alias no folder of that name may lie beside the spec.
        let spec = if alias.is_some() {
            place.write(
                "elsewhere/dist.toml",
                format!("name = \"E\"\nversion = \"1\"\n{keys}"),
            )
        } else {
            spec(&place, &keys)
        };
        let mut arguments = vec!["--json"];
        arguments.extend(alias.iter().flat_map(|alias| ["--channel-alias", alias]));
        let report = dry(&place, &spec, &arguments).succeeds().json();
        let expected = ["beta-2.1-0.conda", "alpha-1.0-0.conda"];
        assert_eq!(packages(&report, "linux-64"), expected, "{channel}");
    }
    assert!(
        server.count("/channel/linux-64/repodata.json.zst") > 0,
        "the server was asked"
    );
}

#[test]
fn relative_folders_begin_at_the_spec() {
    let place = Place::new();
    small(&place);
    let text = "name = \"E\"\nversion = \"1\"\nchannels = [\"../channel\"]\n".to_owned() + SPECS;
    let spec = place.write("specs/dist.toml", text);
    dry(&place, &spec, &[])
        .succeeds()
        .prints(&["alpha-1.0-0.conda"]);
}

#[test]
fn the_first_channel_that_has_a_name_is_the_only_one_for_it() {
    let place = Place::new();
    publish(&place, "first", &[Package::named("alpha 1.0 0")]);
    publish(
        &place,
        "second",
        &[Package::named("alpha 2.0 0"), Package::named("beta 1.0 0")],
    );
    let keys = |specs: &str| {
        format!("channels = [\"first\", \"second\"]\nspecs = {specs}\nplatforms = [\"linux-64\"]")
    };
    let both = spec(&place, &keys("[\"alpha\", \"beta\"]"));
    let report = dry(&place, &both, &["--json"]).succeeds().json();
    let mut found = packages(&report, "linux-64");
    found.sort();
    assert_eq!(found, ["alpha-1.0-0.conda", "beta-1.0-0.conda"]);
    let newer = spec(&place, &keys("[\"alpha 2.*\"]"));
    dry(&place, &newer, &[]).exits(3).says(&["alpha"]);
}

#[test]
fn a_channel_that_cannot_be_reached_says_what_can_be_done() {
    let place = Place::new();
    let url = closed();
    let spec = spec(&place, &format!("channels = [\"{url}/conda\"]\n{SPECS}"));
    let output = dry(&place, &spec, &["--timeout", "5"]).exits(1);
    let output = output.says(&[
        &url,
        "cannot be reached",
        "--channel-alias",
        "--offline",
        "folder",
    ]);
    assert_eq!(output.lines("error:").len(), 1, "{output}");
    assert!(!place.join("dist.lock").exists());
}

#[test]
fn a_channel_that_does_not_exist() {
    let place = Place::new();
    let server = Server::start(place.path());
    let url = format!("{}absent", server.url());
    let remote = spec(&place, &format!("channels = [\"{url}\"]\n{SPECS}"));
    dry(&place, &remote, &[])
        .exits(1)
        .says(&[&url, "does not exist"]);
    let folder = spec(&place, &format!("channels = [\"./absent\"]\n{SPECS}"));
    dry(&place, &folder, &[]).exits(1).says(&["./absent"]);
}

#[test]
fn offline_and_never_fetched() {
    let place = Place::new();
    let keys = format!("channels = [\"conda-forge\"]\n{SPECS}");
    dry(&place, &spec(&place, &keys), &["--offline"])
        .exits(1)
        .says(&[
            "conda-forge",
            "not in the cache",
            "run once without `--offline`",
        ]);
}

#[test]
fn after_one_build_the_network_is_not_needed() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    small(&place);
    let server = Server::start(place.path());
    let spec = spec(
        &place,
        &format!("channels = [\"{}channel\"]\n{SPECS}", server.url()),
    );
    run(&mut place.build(&runtimes, &spec)).succeeds();
    let first = fs::read(place.out().join(X86)).expect("an installer");
    drop(server);

    let again = |arguments: &[&str]| {
        fs::remove_file(place.out().join(X86)).expect("an installer");
        run(place.build(&runtimes, &spec).args(arguments)).succeeds();
        assert!(
            fs::read(place.out().join(X86)).expect("an installer") == first,
            "{arguments:?}"
        );
    };
    again(&["--offline", "--locked"]);
    again(&["--offline"]);
    // The lock and the package store together need no server, even if nobody says so.
    again(&[]);
    // Without a lock, the cached repodata is solved.
    fs::remove_file(place.join("dist.lock")).expect("a lock");
    again(&["--offline"]);
}

#[test]
fn offline_without_a_package_names_it() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    small(&place);
    let server = Server::start(place.path());
    let spec = spec(
        &place,
        &format!("channels = [\"{}channel\"]\n{SPECS}", server.url()),
    );
    run(&mut place.build(&runtimes, &spec)).succeeds();
    fs::remove_dir_all(place.cache().join("packages")).expect("the store");
    run(place.build(&runtimes, &spec).arg("--offline"))
        .exits(1)
        .says(&[
            "-0.conda",
            "not in the cache",
            "run once without `--offline`",
        ]);
}

#[test]
fn a_spec_in_the_current_folder_and_a_cache_of_ones_own() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    small(&place);
    spec(&place, &format!("channels = [\"channel\"]\n{SPECS}"));
    let mut build = place.command(env!("CARGO_BIN_EXE_build-installer"));
    let arguments = [
        "dist.toml",
        "--output-dir",
        "out",
        "--cache-dir",
        "mine",
        "--quiet",
    ];
    let output = run(build.args(arguments).arg("--runtimes").arg(&runtimes)).succeeds();
    assert_eq!(output.stderr, "", "nothing to warn of");
    assert!(place.join("mine/packages").is_dir() && place.join("mine/plans").is_dir());
    assert!(!place.join("home/.cache").exists());
    installer(&place, X86, &["--check"]).succeeds();
    assert!(Path::new(&place.join("dist.lock")).is_file());
}
