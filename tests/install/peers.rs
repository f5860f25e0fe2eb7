//! Others read the prefix: py-rattler and conda itself; and conda makes the same tree of the same
//! packages.

use std::path::Path;
use std::process::Command;

use fs_err as fs;
use serde_json::Value;

use super::support::{Made, greeting, is_kind, make, python, sample};
use crate::support::channel::index;
use crate::support::package::Package;
use crate::support::requirements;
use crate::support::run::{Place, run};
use crate::support::server::Server;
use crate::support::tree::{Node, Tree, assert_same, snapshot};

/// `python -m conda`, in the place.
pub(super) fn conda(place: &Place) -> Option<Command> {
    let (python, folder) = (requirements::oracles()?, requirements::conda()?);
    let mut command = place.command(python);
    command
        .env("PYTHONPATH", folder)
        .env("CONDA_PKGS_DIRS", place.join("conda-packages"))
        .env("CONDA_SOLVER", "classic")
        .env("CONDA_REGISTER_ENVS", "false")
        .args(["-m", "conda"]);
    Some(command)
}

/// `NAME-VERSION-BUILD` of what conda finds in a prefix.
pub(super) fn names(place: &Place, prefix: &Path) -> Vec<String> {
    let mut list = conda(place).expect("conda");
    let listed = run(list.args(["list", "--json", "-p"]).arg(prefix))
        .succeeds()
        .json();
    let packages = listed.as_array().expect("a list").iter();
    packages
        .filter_map(|package| package["dist_name"].as_str().map(str::to_owned))
        .collect()
}

#[test]
fn conda_reads_the_prefix() {
    let Some(made) = environment() else { return };
    let Some(mut list) = conda(&made.place) else {
        return;
    };
    let prefix = made.prefix();
    let listed = run(list.args(["list", "-p"]).arg(&prefix)).succeeds();
    for name in ["greeting", "python", "sample", "other"] {
        assert!(
            listed
                .stdout
                .lines()
                .any(|line| line.starts_with(&format!("{name} "))),
            "{listed}"
        );
    }
    let mut explicit = conda(&made.place).expect("conda");
    let explicit = run(explicit.args(["list", "--explicit", "-p"]).arg(&prefix)).succeeds();
    assert!(
        explicit
            .stdout
            .contains("/channel/noarch/sample-1.0-0.conda"),
        "{explicit}"
    );
    let mut revisions = conda(&made.place).expect("conda");
    let revisions = run(revisions.args(["list", "--revisions", "-p"]).arg(&prefix)).succeeds();
    assert!(revisions.stdout.contains("+sample-1.0 ("), "{revisions}");
    // What the user asked for, as the solver will respect it.
    let script = "import json, sys\nfrom conda.history import History\n\
                  specs = History(sys.argv[1]).get_requested_specs_map()\n\
                  print(json.dumps({name: str(spec) for name, spec in specs.items()}))";
    let mut history = made
        .place
        .command(requirements::oracles().expect("a Python"));
    history.env("PYTHONPATH", requirements::conda().expect("conda"));
    let asked = run(history.args(["-c", script]).arg(&prefix))
        .succeeds()
        .json();
    let mut asked: Vec<&String> = asked.as_object().expect("an object").keys().collect();
    asked.sort();
    assert_eq!(asked, ["greeting", "other", "python", "sample"]);

    // conda takes a package out again, with every file of it and nothing else.
    let mut remove = conda(&made.place).expect("conda");
    run(remove
        .args(["remove", "--yes", "--offline", "--force", "greeting", "-p"])
        .arg(&prefix))
    .succeeds();
    let left = snapshot(&prefix);
    let of_it: Vec<&str> = left
        .paths()
        .into_iter()
        .filter(|path| path.contains("greet"))
        .collect();
    assert_eq!(of_it, Vec::<&str>::new());
    assert!(left.0.contains_key("bin/where"));
}

#[test]
fn py_rattler_reads_the_prefix() {
    let Some(python) = requirements::oracles() else {
        return;
    };
    let Some(made) = environment() else { return };
    let script = "import glob, json, sys\nfrom rattler import PrefixRecord\nfound = {}\n\
        for path in sorted(glob.glob(sys.argv[1] + '/conda-meta/*.json')):\n    \
            record = PrefixRecord.from_path(path)\n    \
            paths = record.paths_data.paths\n    \
            found[record.name.normalized] = {\n        \
                'version': str(record.version), 'channel': record.channel, 'url': str(record.url),\n        \
                'files': len(record.files), 'paths': [str(p.relative_path) for p in paths],\n        \
                'specs': record.requested_specs}\n\
        print(json.dumps(found))";
    let found = run(made
        .place
        .command(python)
        .args(["-c", script])
        .arg(made.prefix()))
    .succeeds()
    .json();
    let names: Vec<&String> = found.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["greeting", "other", "python", "sample"]);
    let sample = &found["sample"];
    assert_eq!(sample["version"], "1.0");
    assert_eq!(sample["specs"], serde_json::json!(["sample ==1.0"]));
    let paths = sample["paths"].as_array().expect("paths");
    assert_eq!(sample["files"].as_u64(), Some(paths.len() as u64));
    for path in paths.iter().filter_map(Value::as_str) {
        assert!(
            made.prefix().join(path).symlink_metadata().is_ok(),
            "{path}"
        );
    }
    let all = made.installed();
    let compiled = all
        .paths()
        .iter()
        .filter(|path| is_kind(path, "pyc"))
        .count();
    let known = found["greeting"]["paths"].as_array().expect("paths");
    let named = known
        .iter()
        .filter(|path| path.as_str().is_some_and(|path| is_kind(path, "pyc")));
    assert_eq!(named.count(), compiled);
    assert!(compiled > 0);
}

#[test]
fn conda_makes_the_same_tree_of_a_channel_that_we_indexed() {
    let Some(data) = requirements::shared("channels/conda-forge-2023") else {
        return;
    };
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    let Some(mut create) = conda(&place) else {
        return;
    };
    // Text and binary placeholders, symbolic links, both formats.
    let names = [
        "bzip2", "libnsl", "xz", "ncurses", "readline", "libev", "libiconv", "yaml-cpp",
    ];
    let channel = place.join("channel/linux-aarch64");
    fs::create_dir_all(&channel).expect("a folder");
    for entry in fs::read_dir(data.join("linux-aarch64")).expect("packages") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name");
        let chosen = ["libgcc-ng", "libgomp", "libstdcxx-ng", "_openmp_mutex"];
        if names
            .iter()
            .chain(&chosen)
            .any(|one| name.starts_with(&format!("{one}-")))
        {
            fs::copy(entry.path(), channel.join(&name)).expect("a copy");
        }
    }
    fs::create_dir_all(place.join("channel/noarch")).expect("a folder");
    index(&place, &place.join("channel")).succeeds();
    let server = Server::start(&place.join("channel"));
    let url = server.url();

    let prefix = place.join("prefix");
    create.args([
        "create",
        "--yes",
        "--subdir",
        "linux-aarch64",
        "--override-channels",
        "-c",
        &url,
    ]);
    run(create.arg("-p").arg(&prefix).args(names)).succeeds();
    let theirs = place.join("conda");
    fs::rename(&prefix, &theirs).expect("a prefix");
    let specs: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    place.write(
        "spec.toml",
        format!(
            "name = \"Same\"\nversion = \"1.0\"\nplatforms = [\"linux-aarch64\"]\n\
             channels = [\"{url}\"]\nspecs = [{}]\n",
            specs.join(", ")
        ),
    );
    run(&mut place.build(&runtimes, "spec.toml")).succeeds();
    super::real::install_here(&place.out().join("Same-1.0-Linux-aarch64.sh"), &prefix);

    let installed = |prefix: &Path| -> Vec<String> {
        let tree = snapshot(&prefix.join("conda-meta"));
        let records = tree
            .paths()
            .into_iter()
            .filter(|path| is_kind(path, "json"));
        records.map(str::to_owned).collect()
    };
    assert_eq!(installed(&theirs), installed(&prefix));
    assert_same(
        &comparable(snapshot(&theirs)),
        &comparable(snapshot(&prefix)),
    );
    // Both note the same digests of what they wrote.
    let (theirs, ours) = (
        super::oracle::records(&theirs),
        super::oracle::records(&prefix),
    );
    for (name, record) in &theirs {
        assert_eq!(digests(record), digests(&ours[name]), "{name}");
        assert_eq!(files(record), files(&ours[name]), "{name}");
        for key in ["url", "md5", "sha256", "size", "depends", "subdir", "fn"] {
            assert_eq!(record[key], ours[name][key], "{name} {key}");
        }
    }
}

/// A small prefix with compiled modules and entry points.
fn environment() -> Option<Made> {
    let other = Package::generic("other 2.0 h0_3").needs(&["sample"]);
    let made = make(&[python()?.package, greeting(), sample(), other], "")?;
    made.install(&[]).succeeds();
    Some(made)
}

/// What conda and we write alike; it keeps the package's own modes.
fn comparable(mut tree: Tree) -> Tree {
    for node in tree.0.values_mut() {
        match node {
            Node::File { mode, same_as, .. } => {
                *mode &= 0o755;
                *same_as = None;
            }
            Node::Folder { mode } => *mode &= 0o755,
            _ => {}
        }
    }
    let own = [".condarc", ".installer.info"];
    tree.without(|path| path.starts_with("conda-meta/") || own.contains(&path))
}

/// Sorted, as conda and rattler sort in different ways.
fn files(record: &Value) -> Vec<&str> {
    let files = record["files"].as_array().expect("files").iter();
    let mut files: Vec<&str> = files.filter_map(Value::as_str).collect();
    files.sort_unstable();
    files
}

fn digests(record: &Value) -> Vec<(&str, Option<&str>)> {
    let paths = record["paths_data"]["paths"]
        .as_array()
        .expect("paths")
        .iter();
    let mut digests: Vec<_> = paths
        .filter(|path| path["path_type"] == "hardlink")
        .map(|path| {
            let digest = path["sha256_in_prefix"]
                .as_str()
                .or_else(|| path["sha256"].as_str());
            (path["_path"].as_str().expect("a path"), digest)
        })
        .collect();
    digests.sort_unstable();
    digests
}
