//! What comes out: the installer's prefix, in layers that stay when others change, the same for
//! everybody, in a form that engines' tools read.

use std::collections::BTreeSet;
use std::path::Path;

use fs_err as fs;
use serde_json::{Value, json};

use super::{bake, channel, definition, digests, inspect, install, tool, unpack};
use crate::support::channel::publish;
use crate::support::package::Package;
use crate::support::requirements::{self, program};
use crate::support::run::{Place, run};
use crate::support::tree::{Node, assert_same, snapshot};

#[test]
fn the_prefix_is_the_one_that_the_installer_makes() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    channel(&place);
    let prefix = place.join("prefix");
    definition(&place, &format!("prefix = \"{}\"", prefix.display()));
    run(bake(&place, "image", &["-p", "linux-64"]).env("SOURCE_DATE_EPOCH", "1700000000"))
        .succeeds();
    let Some(root) = unpack(&place, "image:example:1.0", "bundle") else {
        return;
    };
    run(place.build(&runtimes, "dist.toml").args(["-p", "linux-64"])).succeeds();
    install(&place, "Example", "--no-compile", &prefix);
    let below = prefix.strip_prefix("/").expect("absolute");
    let history = |path: &str| path == "conda-meta/history";
    let installed = snapshot(&prefix).without(history);
    let baked = snapshot(&root.join(below)).without(history);
    assert!(installed.0.len() > 15, "{:?}", installed.paths());
    assert_same(&installed, &baked);
    let told = |path: &Path| {
        let text = fs::read_to_string(path.join("conda-meta/history")).expect("a history");
        text.lines()
            .filter(|line| !line.starts_with("# cmd") && !line.starts_with("=="))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&prefix), told(&root.join(below)));
}

#[test]
fn it_is_the_same_for_everybody() {
    let place = Place::new();
    channel(&place);
    definition(
        &place,
        "files = [{ path = \"/srv/tree\", source = \"tree\" }]",
    );
    for name in ["b", "a", "sub/c"] {
        place.write(&format!("tree/{name}"), name);
    }
    run(&mut bake(&place, "one", &["--threads", "1"])).succeeds();
    let mut again = place.command("sh");
    again
        .env("ARCHICONDA_CACHE_DIR", place.join("another cache"))
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "Asia/Tokyo")
        .current_dir("/")
        .args(["-c", "umask 077; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_archiconda"))
        .args(["image", "bake", "--threads", "7", "--output"])
        .arg(place.join("two"))
        .arg(place.join("image.toml"));
    run(&mut again).succeeds();
    let bytes = |folder: &str| {
        let nodes = snapshot(&place.join(folder)).0.into_iter();
        let files = nodes.filter_map(|(path, node)| match node {
            Node::File { sha256, .. } => Some((path, sha256)),
            _ => None,
        });
        files.collect::<Vec<_>>()
    };
    assert_eq!(bytes("one"), bytes("two"));
    run(&mut bake(&place, "one.tar", &[])).succeeds();
    run(&mut bake(&place, "two.tar", &[])).succeeds();
    let file = |name: &str| fs::read(place.join(name)).expect("a file");
    assert!(file("one.tar") == file("two.tar"), "tar files differ");
    // A second image takes the first one's place whole.
    run(&mut bake(&place, "one", &["-p", "linux-64"])).succeeds();
    assert_eq!(inspect(&place, "one").len(), 1);
    let left: Vec<String> = fs::read_dir(place.path())
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.contains("baking"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn one_package_more_or_another_version_rewrites_its_layer_and_the_top() {
    let place = Place::new();
    channel(&place);
    definition(&place, "layers = 20");
    run(&mut bake(&place, "before", &["-p", "linux-64"])).succeeds();
    publish(&place, "channel", &[tool("1.1")]);
    let mut later = bake(&place, "after", &["-p", "linux-64", "--update"]);
    run(later.env("SOURCE_DATE_EPOCH", "1700000000")).succeeds();
    let mut diff = place.archiconda();
    let said = run(diff.args(["image", "diff", "before", "after", "--json"])).succeeds();
    let difference = &said.json()["differences"][0];
    assert_eq!(difference["changed"], json!([["tool-1.0-0", "tool-1.1-0"]]));
    assert_eq!(difference["layers_new"], 2, "{difference:#}");
    assert_eq!(difference["layers_kept"], 2, "{difference:#}");

    definition(&place, "layers = 20\npackages = [\"other\"]");
    let mut more = bake(&place, "more", &["-p", "linux-64"]);
    run(more.env("SOURCE_DATE_EPOCH", "1700000000")).succeeds();
    assert!(place.join("image.lock").is_file(), "a lock of its own");
    let (after, more) = (inspect(&place, "after"), inspect(&place, "more"));
    let before: BTreeSet<String> = digests(&after[0]).into_iter().collect();
    let new: Vec<String> = digests(&more[0])
        .into_iter()
        .filter(|digest| !before.contains(digest))
        .collect();
    assert_eq!(new.len(), 2, "the package's own layer and the top: {new:?}");
}

#[test]
fn its_configuration_makes_the_prefix_found() {
    let place = Place::new();
    channel(&place);
    definition(
        &place,
        r#"
env = { LANG = "C.UTF-8" }
user = { name = "builder", uid = 1001 }
workdir = "/work"
entrypoint = ["/opt/conda/bin/python"]
cmd = ["-c", "print()"]
labels = { "org.example" = "x" }
annotations = { "org.opencontainers.image.vendor" = "me" }
tags = ["team/example:1", "example:latest"]
files = [
    { path = "/etc/motd", text = "hello\n", mode = "600", owner = "1001:1001" },
    { path = "/usr/bin/run", link = "/opt/conda/bin/python" },
]
"#,
    );
    run(&mut bake(&place, "image", &["-p", "linux-64"])).succeeds();
    let image = &inspect(&place, "image")[0];
    assert_eq!(image["platform"], "linux/amd64");
    let env = image["config"]["Env"].as_array().expect("variables");
    let path = env[0].as_str().expect("text");
    assert!(
        path.starts_with("PATH=/opt/conda/bin:/usr/local/sbin"),
        "{path}"
    );
    assert!(env.contains(&json!("CONDA_PREFIX=/opt/conda")), "{env:?}");
    assert_eq!(image["config"]["User"], "builder");
    assert_eq!(image["config"]["Cmd"], json!(["-c", "print()"]));
    assert_eq!(
        image["annotations"]["org.opencontainers.image.vendor"],
        "me"
    );
    assert_eq!(
        image["annotations"]["org.opencontainers.image.title"],
        "Example"
    );
    let Some(root) = unpack(&place, "image:example:latest", "bundle") else {
        return;
    };
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("a file");
    assert!(read("etc/passwd").ends_with("builder:x:1001:1001::/home/builder:/bin/sh\n"));
    assert_eq!(read("etc/group"), "root:x:0:\nbuilder:x:1001:\n");
    let tree = snapshot(&root);
    assert!(matches!(
        tree.0.get("work"),
        Some(Node::Folder { mode: 0o755 })
    ));
    assert!(matches!(
        tree.0.get("etc/motd"),
        Some(Node::File { mode: 0o600, .. })
    ));
    assert!(matches!(tree.0.get("usr/bin/run"), Some(Node::Link { .. })));
    // What a shell does at a login.
    let profile = root.join("etc/profile.d/archiconda.sh");
    for shell in ["sh", "bash"] {
        let mut login = place.command(shell);
        login.env("PATH", "/usr/bin:/bin").args(["-eu", "-c"]);
        login
            .arg(". \"$0\"; . \"$0\"; echo \"$PATH $CONDA_PREFIX\"")
            .arg(&profile);
        run(&mut login)
            .succeeds()
            .prints(&["/opt/conda/bin:/usr/bin:/bin /opt/conda\n"]);
    }
}

#[test]
fn prefetched_packages_lie_in_the_cache_and_can_be_installed_from_it() {
    let place = Place::new();
    channel(&place);
    let extra = Package::named("extra 3.0 0").needs(&["native"]);
    let arm = extra.clone().on("linux-aarch64");
    publish(&place, "channel", &[extra, arm]);
    definition(&place, "prefetch = [\"extra\", \"other\"]");
    let said = run(&mut bake(&place, "image", &[])).succeeds().json();
    for image in said["images"].as_array().expect("images") {
        let layers = image["layers"].as_array().expect("layers");
        let packages = layers
            .iter()
            .flat_map(|layer| layer["packages"].as_array().expect("some"));
        let prefetched: BTreeSet<&str> = packages
            .filter(|package| package["prefetched"] == true)
            .map(|package| package["name"].as_str().expect("a name"))
            .collect();
        assert_eq!(prefetched, BTreeSet::from(["extra-3.0-0", "other-2.0-0"]));
    }
    run(&mut bake(&place, "one", &["-p", "linux-64", "--locked"])).succeeds();
    let Some(root) = unpack(&place, "one:example:1.0", "bundle") else {
        return;
    };
    let prefix = root.join("opt/conda");
    assert!(!prefix.join("conda-meta/extra-3.0-0.json").exists());
    let cached = snapshot(&prefix.join("pkgs"));
    for path in [
        "extra-3.0-0/info/repodata_record.json",
        "extra-3.0-0/share/extra/version",
        "native-1.0-0/lib/native.so",
        "urls",
        "urls.txt",
    ] {
        assert!(
            cached.0.contains_key(path),
            "{path} in {:?}",
            cached.paths()
        );
    }
    assert!(!cached.0.contains_key("tool-1.0-0"), "not asked for");
    // What is installed and cached is one file.
    let whole = snapshot(&prefix);
    let Some(Node::File { same_as, .. }) = whole.0.get("share/text") else {
        panic!("no share/text")
    };
    assert_eq!(same_as.as_deref(), Some("pkgs/native-1.0-0/share/text"));
    offline(&place, &prefix.join("pkgs"));
}

/// conda makes an environment of what is in the cache, from a channel that has no package any more.
fn offline(place: &Place, cache: &Path) {
    let (Some(python), Some(conda)) = (requirements::oracles(), requirements::conda()) else {
        return;
    };
    for path in snapshot(&place.join("channel")).paths() {
        if Path::new(path)
            .extension()
            .is_some_and(|ending| ending == "conda")
        {
            fs::remove_file(place.join("channel").join(path)).expect("removed");
        }
    }
    let environment = place.join("environment");
    let mut create = place.command(python);
    create
        .env("PYTHONPATH", conda)
        .env("CONDA_PKGS_DIRS", cache)
        .env("CONDA_SUBDIR", "linux-64")
        .args([
            "-m",
            "conda",
            "create",
            "--offline",
            "--yes",
            "--override-channels",
        ])
        .args(["--solver", "classic", "-c"])
        .arg(place.join("channel"))
        .arg("-p")
        .arg(&environment)
        .arg("extra");
    run(&mut create).succeeds();
    for package in ["extra-3.0-0", "native-1.0-0"] {
        let record = environment.join(format!("conda-meta/{package}.json"));
        assert!(record.is_file(), "{}", record.display());
    }
    let native = fs::read_to_string(environment.join("etc/native.conf")).expect("a file");
    assert_eq!(native, format!("home = {}\n", environment.display()));
}

#[test]
fn tools_of_engines_read_it() {
    let place = Place::new();
    channel(&place);
    definition(&place, "tags = [\"localhost/example:1.0\"]");
    run(&mut bake(&place, "image", &[])).succeeds();
    run(&mut bake(&place, "image.tar", &[])).succeeds();
    run(&mut bake(&place, "zstd.tar", &[])).succeeds();
    let Some(skopeo) = program("skopeo") else {
        return;
    };
    let skopeo = |arguments: &[&str]| {
        let mut command = place.command(&skopeo);
        // Whatever the machine's own policy is.
        command.arg("--insecure-policy").args(arguments);
        run(&mut command).succeeds()
    };
    let ours = inspect(&place, "image");
    assert_eq!(ours.len(), 2);
    for (architecture, image) in [("arm64", &ours[0]), ("amd64", &ours[1])] {
        let over = format!("--override-arch={architecture}");
        for source in [
            "oci:image:localhost/example:1.0".to_owned(),
            "oci-archive:image.tar:localhost/example:1.0".to_owned(),
            format!("docker-archive:image.tar:localhost/example:1.0-{architecture}"),
        ] {
            // Copying verifies every digest on the way.
            let copy = place.join("copy");
            skopeo(&[&over, "copy", &source, &format!("dir:{}", copy.display())]);
            let text = fs::read(copy.join("manifest.json")).expect("a manifest");
            let manifest: Value = serde_json::from_slice(&text).expect("JSON");
            let id = &manifest["config"]["digest"];
            assert_eq!(id, &image["id"], "{source}");
            fs::remove_dir_all(copy).expect("removed");
        }
    }
    skopeo(&[
        "copy",
        "--all",
        "oci:image:localhost/example:1.0",
        "dir:all",
    ]);
}

#[test]
fn a_dry_run_says_which_layers_there_would_be_and_writes_nothing() {
    let place = Place::new();
    channel(&place);
    definition(&place, "prefetch = [\"other\"]");
    let before = snapshot(place.path()).without(|path| path.starts_with("cache"));
    let said = run(&mut bake(
        &place,
        "image",
        &["--dry-run", "-p", "linux-aarch64"],
    ))
    .succeeds();
    let after = snapshot(place.path()).without(|path| path.starts_with("cache"));
    assert_same(&before, &after);
    let dry = said.json();
    assert_eq!(dry["output"], Value::Null);
    let names = |report: &Value| -> Vec<Vec<String>> {
        let layers = report["images"][0]["layers"]
            .as_array()
            .expect("layers")
            .clone();
        let text = |package: &Value| package["name"].as_str().expect("a name").to_owned();
        let packages = |layer: &Value| {
            let packages = layer["packages"].as_array().expect("packages").iter();
            packages.map(text).collect()
        };
        layers.iter().map(packages).collect()
    };
    let real = run(&mut bake(&place, "image", &["-p", "linux-aarch64"]))
        .succeeds()
        .json();
    assert_eq!(names(&dry), names(&real));
}

#[test]
fn what_is_not_compiled_is_named() {
    let place = Place::new();
    channel(&place);
    definition(&place, "");
    let said = run(&mut bake(&place, "image", &["-p", "linux-64"]))
        .succeeds()
        .json();
    assert_eq!(
        said["images"][0]["not_compiled"],
        json!({ "tool-1.0-0": 1 })
    );
}
