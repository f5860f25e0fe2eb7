//! Environments besides the base one: each solved and locked on its own, with its own prefix in its files, in the
//! layers of its packages' names; conda finds it.

use fs_err as fs;
use serde_json::{Value, json};

use super::{bake, channel, definition, digests, inspect, install, unpack};
use crate::support::channel::publish;
use crate::support::package::{Package, executable, file, text_prefix};
use crate::support::requirements;
use crate::support::run::{Place, run};
use crate::support::tree::{Node, assert_same, snapshot};

const ENV: &str = "[envs.py310]\npackages = [\"python 3.10.*\", \"tool\"]\n";

/// The channel with another Python.
fn two_pythons(place: &Place) {
    channel(place);
    let python = Package::named("python 3.10.4 0").with(vec![
        executable("bin/python3.10", "#!/bin/sh\nexit 0\n"),
        text_prefix("etc/python", "home = @PREFIX@\n"),
    ]);
    let arm = python.clone().on("linux-aarch64");
    publish(place, "channel", &[python, arm]);
}

/// The packages of an image with their environments.
fn packages(said: &Value) -> Vec<(String, Option<String>)> {
    let layers = said["images"][0]["layers"].as_array().expect("layers");
    let packages = layers
        .iter()
        .flat_map(|layer| layer["packages"].as_array().expect("packages"));
    let mut packages: Vec<_> = packages
        .map(|package| {
            let name = package["name"].as_str().expect("a name").to_owned();
            (name, package["env"].as_str().map(str::to_owned))
        })
        .collect();
    packages.sort();
    packages
}

#[test]
fn an_environment_has_its_own_prefix_lock_and_record() {
    let place = Place::new();
    two_pythons(&place);
    definition(&place, ENV);
    let dry = run(&mut bake(&place, "image", &["-p", "linux-64", "--dry-run"])).succeeds();
    assert!(!place.join("image.envs.py310.lock").exists());
    let said = run(&mut bake(&place, "image", &["-p", "linux-64"]))
        .succeeds()
        .json();
    assert!(place.join("image.envs.py310.lock").is_file());
    let env = Some("py310".to_owned());
    let expected = [
        ("native-1.0-0".to_owned(), None),
        ("python-3.10.4-0".to_owned(), env.clone()),
        ("python-3.12.1-0".to_owned(), None),
        ("tool-1.0-0".to_owned(), None),
        ("tool-1.0-0".to_owned(), env),
    ];
    assert_eq!(packages(&said), expected);
    assert_eq!(packages(&dry.json()), expected);
    assert_eq!(
        said["images"][0]["not_compiled"],
        json!({ "tool-1.0-0": 2 })
    );
    let Some(root) = unpack(&place, "image:example:1.0", "bundle") else {
        return;
    };
    let base = root.join("opt/conda");
    let prefix = base.join("envs/py310");
    let read = |path: &str| fs::read_to_string(prefix.join(path)).expect(path);
    assert_eq!(read("etc/python"), "home = /opt/conda/envs/py310\n");
    assert!(read("bin/tool").starts_with("#!/opt/conda/envs/py310/bin/python3.10\n"));
    let module = "site-packages/tool/cli.py";
    assert!(prefix.join("lib/python3.10").join(module).is_file());
    assert!(base.join("lib/python3.12").join(module).is_file());
    let history = read("conda-meta/history");
    assert!(history.contains("::python-3.10.4-0\n"), "{history}");
    assert!(!history.contains("native"), "{history}");
    assert!(
        history.contains("# update specs: ['python 3.10.*', 'tool']"),
        "{history}"
    );
    for path in [".condarc", ".installer.info", "share/readme", "pkgs"] {
        assert!(!prefix.join(path).exists(), "{path}");
    }
    // The same package twice takes the room of one.
    let whole = snapshot(&base);
    let Some(Node::File { same_as, .. }) = whole.0.get(&format!("lib/python3.12/{module}")) else {
        panic!("no module")
    };
    let twin = format!("envs/py310/lib/python3.10/{module}");
    assert_eq!(same_as.as_deref(), Some(twin.as_str()));
    // What conda and rattler make of it.
    let (Some(python), Some(conda)) = (requirements::oracles(), requirements::conda()) else {
        return;
    };
    let mut list = place.command(&python);
    list.env("PYTHONPATH", conda)
        .env("CONDA_ENVS_DIRS", base.join("envs"));
    list.args(["-m", "conda", "list", "--name", "py310", "--json"]);
    let listed = run(&mut list).succeeds().json();
    let names = listed
        .as_array()
        .expect("packages")
        .iter()
        .map(|one| one["dist_name"].clone());
    assert_eq!(names.collect::<Vec<_>>(), ["python-3.10.4-0", "tool-1.0-0"]);
    let mut check = place.command(python);
    check.arg("-c").arg(
        "import sys; from pathlib import Path; from rattler import PrefixRecord\n\
         prefix = Path(sys.argv[1])\n\
         for path in prefix.glob('conda-meta/*.json'):\n\
         \x20   record = PrefixRecord.from_path(path)\n\
         \x20   assert all((prefix / file).exists() for file in record.files), record.files\n\
         \x20   print(record.name.normalized)",
    );
    run(check.arg(&prefix))
        .succeeds()
        .prints(&["python", "tool"]);
}

#[test]
fn it_is_the_prefix_that_an_installer_makes_there() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    two_pythons(&place);
    let prefix = place.join("prefix");
    definition(&place, &format!("prefix = \"{}\"\n{ENV}", prefix.display()));
    run(bake(&place, "image", &["-p", "linux-64"]).env("SOURCE_DATE_EPOCH", "1700000000"))
        .succeeds();
    let Some(root) = unpack(&place, "image:example:1.0", "bundle") else {
        return;
    };
    place.write(
        "env.toml",
        "name = \"Env\"\nversion = \"1.0\"\nchannels = [\"./channel\"]\nspecs = [\"python 3.10.*\", \"tool\"]\n",
    );
    run(place.build(&runtimes, "env.toml").args(["-p", "linux-64"])).succeeds();
    let there = prefix.join("envs/py310");
    fs::create_dir_all(prefix.join("envs")).expect("a folder");
    install(&place, "Env", "--no-compile", &there);
    let own = |path: &str| path == "conda-meta/history" || path == ".installer.info";
    let installed = snapshot(&there).without(own);
    let below = there.strip_prefix("/").expect("absolute");
    assert_same(&installed, &snapshot(&root.join(below)).without(own));
}

#[test]
fn it_moves_no_package_and_is_the_same_for_everybody() {
    let place = Place::new();
    two_pythons(&place);
    definition(&place, "layers = 20");
    run(&mut bake(&place, "without", &["-p", "linux-64"])).succeeds();
    definition(&place, "layers = 20\n[envs.x]\npackages = [\"other\"]");
    let one = run(&mut bake(&place, "one", &["-p", "linux-64"]))
        .succeeds()
        .json();
    let before = digests(&inspect(&place, "without")[0]);
    let after = digests(&inspect(&place, "one")[0]);
    let new = after
        .iter()
        .filter(|digest| !before.contains(digest))
        .count();
    assert_eq!(new, 2, "the package's layer and the top");
    // Again, out of the cache and anew.
    for arguments in [&["--threads", "1"][..], &["--no-cache", "--locked"]] {
        let mut again = bake(&place, "again", &["-p", "linux-64"]);
        let again = run(again.args(arguments)).succeeds().json();
        assert_eq!(again["digest"], one["digest"]);
    }
    // The same packages in another environment are another layer.
    definition(&place, "layers = 20\n[envs.y]\npackages = [\"other\"]");
    let other = run(&mut bake(&place, "other", &["-p", "linux-64"]))
        .succeeds()
        .json();
    let layers = other["images"][0]["layers"].as_array().expect("layers");
    let built = layers
        .iter()
        .filter(|layer| layer["kind"] == "packages" && layer["cached"] == false);
    assert_eq!(built.count(), 1);
    let mut diff = place.archiconda();
    let said = run(diff.args(["image", "diff", "one", "other", "--json"])).succeeds();
    let difference = &said.json()["differences"][0];
    assert_eq!(difference["added"], json!(["other-2.0-0 (y)"]));
    assert_eq!(difference["removed"], json!(["other-2.0-0 (x)"]));
}

#[test]
fn its_packages_are_in_the_bill_and_in_the_cache_where_all_are_kept() {
    let place = Place::new();
    two_pythons(&place);
    definition(&place, &format!("prefetch = [\"other\"]\n{ENV}"));
    let spec = fs::read_to_string(place.join("dist.toml")).expect("a spec");
    place.write("dist.toml", format!("{spec}keep_pkgs = true\n"));
    run(&mut bake(&place, "image", &["-p", "linux-64"])).succeeds();
    let text = fs::read(place.join("image-linux-64.cdx.json")).expect("a bill");
    let bill: Value = serde_json::from_slice(&text).expect("JSON");
    let components = bill["components"].as_array().expect("components");
    let tools: Vec<&str> = components
        .iter()
        .filter(|one| one["name"] == "tool")
        .map(|one| one["bom-ref"].as_str().expect("text"))
        .collect();
    assert_eq!(tools.len(), 2, "{tools:?}");
    assert!(tools[1].ends_with("#envs/py310"), "{tools:?}");
    let dependencies = bill["dependencies"].as_array().expect("dependencies");
    let needs = dependencies
        .iter()
        .find(|one| one["ref"] == tools[1])
        .expect("one");
    let python = needs["dependsOn"][0].as_str().expect("text");
    assert!(python.contains("python@3.10.4"), "{python}");
    let text = fs::read(place.join("image-linux-64.spdx.json")).expect("a bill");
    let bill: Value = serde_json::from_slice(&text).expect("JSON");
    let ids = bill["packages"].as_array().expect("packages").iter();
    let mut ids: Vec<&str> = ids
        .map(|one| one["SPDXID"].as_str().expect("text"))
        .collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "{ids:?}");
    let Some(root) = unpack(&place, "image:example:1.0", "bundle") else {
        return;
    };
    let cached = snapshot(&root.join("opt/conda/pkgs"));
    for path in [
        "python-3.10.4-0/etc/python",
        "python-3.12.1-0/bin/python3.12",
        "other-2.0-0/share/other/version",
    ] {
        assert!(
            cached.0.contains_key(path),
            "{path} in {:?}",
            cached.paths()
        );
    }
    let urls = fs::read_to_string(root.join("opt/conda/pkgs/urls.txt")).expect("a list");
    let tools = urls.lines().filter(|line| line.contains("/tool-"));
    assert_eq!(tools.count(), 1, "{urls}");
}

#[test]
fn what_cannot_be_is_said() {
    let place = Place::new();
    two_pythons(&place);
    definition(&place, "[envs.old]\npackages = [\"python 3.6.*\"]");
    run(&mut bake(&place, "image", &["-p", "linux-64"]))
        .exits(3)
        .says(&["cannot make the environment `old`", "3.6"]);
    definition(&place, "[envs.e]\npackages = [\"tool\", \"python\"]\n");
    let taken = Package::generic("taken 1.0 0").with(vec![file("envs/e/x", "x")]);
    publish(&place, "channel", &[taken]);
    let spec = fs::read_to_string(place.join("dist.toml")).expect("a spec");
    place.write(
        "dist.toml",
        spec.replace("\"native\"", "\"native\", \"taken\""),
    );
    run(&mut bake(&place, "image", &["-p", "linux-64", "--update"]))
        .exits(2)
        .says(&[
            "`envs` in the definition",
            "taken-1.0-0 has something at `envs/e/x`",
        ]);
    assert!(!place.join("image").exists());
    place.write(
        "image.toml",
        "installer = \"dist.toml\"\n[envs.\"../x\"]\npackages = [\"tool\"]\n",
    );
    run(&mut bake(&place, "image", &[]))
        .exits(2)
        .says(&["`../x` in `envs` is no name of an environment"]);
}
