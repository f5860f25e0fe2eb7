//! The real clients: py-rattler in each form of repodata, and conda.

use std::path::Path;
use std::process::Command;

use archive::digest::Sha256;
use fs_err as fs;

use super::channel;
use crate::support::rattler::INSTALL;
use crate::support::requirements;
use crate::support::run::{Place, run};
use crate::support::serving::Serving;

#[test]
fn rattler_installs_in_every_form() {
    let Some(python) = requirements::oracles() else {
        return;
    };
    let place = Place::new();
    let folder = channel(&place);
    let server = Serving::start(&place, &["demo"]);
    let wanted: String = ["linux-64/alpha-1.0-0.conda", "noarch/beta-2.1-0.conda"]
        .map(|path| {
            let digest = Sha256::of(&fs::read(folder.join(path)).expect("a package"));
            format!("{} {digest}\n", path.rsplit('/').next().unwrap_or_default())
        })
        .concat();
    for (form, file) in [
        ("shards", "repodata_shards.msgpack.zst"),
        ("zst", "repodata.json.zst"),
        ("json", "repodata.json"),
    ] {
        let mut command = place.command(&python);
        let prefix = place.join(form);
        command
            .args(["-c", INSTALL, &format!("{}demo", server.url()), form])
            .arg(&prefix)
            .arg("alpha");
        let output = run(&mut command).succeeds();
        assert_eq!(output.stdout, wanted, "{form}: {output}");
        assert!(prefix.join("prefix/share/beta/version").is_file(), "{form}");
        // It came in this form.
        server.says(&format!("/demo/linux-64/{file}\""));
        let fetched = server.log().lines().any(|line| {
            line.contains(&format!("/demo/linux-64/{file}\""))
                && line.contains("\"method\":\"GET\"")
                && line.contains(":200,")
        });
        assert!(fetched, "{form}");
    }
}

/// conda as `conda` runs it, with caches of its own.
fn conda(place: &Place, python: &Path, sources: &Path, arguments: &[&str]) -> Command {
    let mut command = place.command(python);
    command
        .env("PYTHONPATH", sources)
        .env("CONDA_PKGS_DIRS", place.join("pkgs"))
        .env("CONDA_ENVS_DIRS", place.join("envs"))
        .env("CONDA_SUBDIR", "linux-64")
        .env("CONDA_SOLVER", "classic")
        .env("CONDA_ROOT_PREFIX", place.join("root"))
        .args(["-m", "conda"])
        .args(arguments);
    command
}

/// What is compiled from a definition is a channel like any other: found, solved, downloaded as somebody asks, linked.
#[test]
fn conda_installs_from_a_compiled_channel() {
    let (Some(python), Some(sources)) = (requirements::oracles(), requirements::conda()) else {
        return;
    };
    let place = Place::new();
    let folder = channel(&place);
    for mirror in ["none", "on-demand"] {
        let definition = format!(
            "name = \"{mirror}\"\nchannels = [\"demo\"]\nplatforms = [\"linux-64\"]\nroots = [\"alpha\", \"gamma\"]\nmirror = \"{mirror}\"\n"
        );
        place.write(&format!("{mirror}.toml"), definition);
    }
    let state = place.join("state").display().to_string();
    let server = Serving::start(
        &place,
        &["none.toml", "on-demand.toml", "--state-dir", &state],
    );
    for name in ["none", "on-demand"] {
        let url = format!("{}{name}", server.url());
        let of_channel = ["--override-channels", "-c", &url, "--json"];
        let ask = |arguments: &[&str]| {
            let arguments: Vec<_> = arguments.iter().chain(&of_channel).copied().collect();
            let mut command = conda(&place, &python, &sources, &arguments);
            run(command.env("CONDA_PKGS_DIRS", place.join(name)))
                .succeeds()
                .json()
        };
        // The older one is what nothing can select.
        let found = ask(&["search", "beta"]);
        assert_eq!(found["beta"].as_array().map(Vec::len), Some(1), "{found}");
        let prefix = place.join("envs").join(name);
        let prefix = prefix.to_str().expect("a path");
        let made = ask(&["create", "--yes", "-p", prefix, "alpha", "gamma"]);
        assert_eq!(made["success"], true, "{made}");
        for (package, file) in [
            ("alpha-1.0-0", "linux-64/alpha-1.0-0.conda"),
            ("beta-2.1-0", "noarch/beta-2.1-0.conda"),
            ("gamma-1-0", "linux-64/gamma-1-0.tar.bz2"),
        ] {
            let record = place
                .join("envs")
                .join(name)
                .join(format!("conda-meta/{package}.json"));
            let record: serde_json::Value =
                serde_json::from_slice(&fs::read(record).expect("a record")).expect("JSON");
            let digest = Sha256::of(&fs::read(folder.join(file)).expect("a package")).to_string();
            assert_eq!(record["sha256"], digest, "{record}");
            assert!(!record["files"].as_array().expect("files").is_empty());
        }
    }
}

#[test]
fn conda_searches_and_downloads() {
    let (Some(python), Some(sources)) = (requirements::oracles(), requirements::conda()) else {
        return;
    };
    let place = Place::new();
    let folder = channel(&place);
    let server = Serving::start(&place, &["demo"]);
    let url = format!("{}demo", server.url());
    let search = [
        "search",
        "--override-channels",
        "-c",
        &url,
        "beta",
        "--json",
    ];
    for round in 0..2 {
        let found = run(&mut conda(&place, &python, &sources, &search))
            .succeeds()
            .json();
        let beta = found["beta"].as_array().expect("versions");
        assert_eq!(beta.len(), 2, "{round}: {found}");
    }
    let prefix = place.join("envs/new");
    let create = [
        "create",
        "--yes",
        "--json",
        "--download-only",
        "--override-channels",
        "-c",
        &url,
        "-p",
        prefix.to_str().expect("a path"),
        "alpha",
        "gamma",
    ];
    run(&mut conda(&place, &python, &sources, &create)).succeeds();
    for path in [
        "linux-64/alpha-1.0-0.conda",
        "noarch/beta-2.1-0.conda",
        "linux-64/gamma-1-0.tar.bz2",
    ] {
        let name = path.rsplit('/').next().unwrap_or_default();
        let (there, here) = (
            fs::read(folder.join(path)),
            fs::read(place.join("pkgs").join(name)),
        );
        assert!(
            there.expect("a package") == here.expect("a download"),
            "{path}"
        );
    }
    // A channel that is none is told as what it is.
    let wrong = format!("{}other", server.url());
    let search = ["search", "--override-channels", "-c", &wrong, "beta"];
    let output = run(&mut conda(&place, &python, &sources, &search));
    assert_ne!(output.code, Some(0), "{output}");
}
