//! The newest of each name of the real packages, and a stub for Python: our runtime makes the tree
//! that rattler makes, on this machine and in an arm64 userland, where the programs then run.

use std::collections::BTreeMap;
use std::fs::File as StdFile;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use archive::payload::Payload;
use conda::package::DistArchiveIdentifier;
use conda::{Subdir, Version};
use fs_err as fs;
use serde_json::{Map, Value};
use tempfile::TempDir;

use super::oracle;
use super::support::is_kind;
use crate::support::package::{Package, executable};
use crate::support::requirements;
use crate::support::run::{Place, run};
use crate::support::tree::{Node, Tree, assert_same, snapshot};

/// Enough to see that nothing was left out.
const NAMES: usize = 74;

#[test]
fn the_tree_is_the_one_that_rattler_makes() {
    let Some(real) = real() else { return };
    let prefix = real.place.join("prefix");
    let installed = install_here(&real.file, &prefix);
    assert_eq!(installed.packages, NAMES + 1);
    // The stub does not compile.
    assert_eq!(installed.compiled, 0);
    let expected = real.place.join("rattler");
    let shown = prefix.to_str().expect("a path");
    let work = real.place.join("extracted");
    oracle::install(
        &real.packages,
        Subdir::LinuxAarch64,
        shown,
        &expected,
        &work,
    );

    let ours = comparable(snapshot(&prefix));
    assert!(ours.0.len() > 5000, "only {} paths", ours.0.len());
    assert_same(&comparable(snapshot(&expected)), &ours);
    compare_records(
        &oracle::records(&expected),
        &oracle::records(&prefix),
        &real.index_keys,
    );
}

#[test]
fn an_arm64_machine_gets_the_same_tree_and_its_programs_run() {
    let Some(userland) = Userland::new() else {
        return;
    };
    let Some(real) = real() else { return };
    // The same path there and here, as the prefix stands in many files.
    let prefix = &userland.path("prefix");
    let here = Path::new(prefix);
    install_here(&real.file, here);
    fs::copy(&real.file, userland.there.path().join("installer.sh")).expect("a copy");
    let file = &userland.path("installer.sh");

    let before = snapshot(userland.there.path());
    run(&mut userland.command(&["/bin/sh", file, "--check"]))
        .succeeds()
        .prints(&["is undamaged"]);
    assert_same(&before, &snapshot(userland.there.path()));
    run(&mut userland.command(&["/bin/sh", file, "-b", "-p", prefix])).succeeds();
    let there = userland.there.path().join("prefix");
    let without_history = |tree: Tree| tree.without(|path| path == "conda-meta/history");
    assert_same(
        &without_history(snapshot(here)),
        &without_history(snapshot(&there)),
    );
    // What it copied out of itself is gone.
    let left: Vec<_> = fs::read_dir(userland.there.path())
        .expect("a folder")
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");

    for (program, arguments, text) in [
        ("openssl", &["version"] as &[&str], "OpenSSL 3.1.4"),
        ("xz", &["--version"], "xz (XZ Utils) 5.2.6"),
        (
            "bzip2",
            &["--help"],
            "bzip2, a block-sorting file compressor.  Version 1.0.8",
        ),
        ("infocmp", &["xterm"], "terminfo/x/xterm"),
        ("zstd", &["--version"], "v1.5.5"),
        ("sqlite3", &["-version"], ""),
        ("krb5-config", &["--prefix"], prefix),
        ("curl-config", &["--prefix"], prefix),
        ("tclsh8.6", &["/dev/null"], ""),
    ] {
        let path = format!("{prefix}/bin/{program}");
        if !there.join("bin").join(program).exists() {
            assert!(text.is_empty(), "there is no {program}");
            continue;
        }
        let command: Vec<&str> = std::iter::once(path.as_str())
            .chain(arguments.iter().copied())
            .collect();
        let output = run(&mut userland.command(&command)).succeeds();
        let said = format!("{}{}", output.stdout, output.stderr);
        assert!(said.contains(text), "{output}");
    }
}

/// The installer of the real packages.
struct Real {
    place: Place,
    file: PathBuf,
    packages: Vec<PathBuf>,
    /// What each `info/index.json` says, by `NAME-VERSION-BUILD.json`.
    index_keys: BTreeMap<String, Map<String, Value>>,
}

fn real() -> Option<Real> {
    let data = requirements::shared("channels/conda-forge-2023")?;
    let runtimes = requirements::runtimes()?;
    let place = Place::new();
    let channel = place.join("channel");
    let mut packages = newest(&data, &channel);
    assert_eq!(packages.len(), NAMES);
    let stub = Package::named("python 3.10.13 0_cpython")
        .on("linux-aarch64")
        .with(vec![executable("bin/python3.10", "#!/bin/sh\nexit 1\n")]);
    packages.push(stub.write_to(&channel));
    let list: Vec<String> = packages
        .iter()
        .map(|path| {
            path.strip_prefix(place.path())
                .expect("a path")
                .display()
                .to_string()
        })
        .collect();
    place.write("list.txt", format!("@EXPLICIT\n{}\n", list.join("\n")));
    place.write(
        "real.toml",
        "name = \"Real\"\nversion = \"1.0\"\nplatforms = [\"linux-aarch64\"]\n\
         environment_file = \"list.txt\"\n",
    );
    run(&mut place.build(&runtimes, "real.toml")).succeeds();
    let index_keys = packages.iter().map(|path| index_keys(path)).collect();
    let file = place.out().join("Real-1.0-Linux-aarch64.sh");
    Some(Real {
        place,
        file,
        packages,
        index_keys,
    })
}

/// Copies the newest version and build of each name into `channel`.
fn newest(data: &Path, channel: &Path) -> Vec<PathBuf> {
    let mut newest: BTreeMap<String, (Version, u64, PathBuf)> = BTreeMap::new();
    for subdir in ["linux-aarch64", "noarch"] {
        for entry in fs::read_dir(data.join(subdir)).expect("packages") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .expect("a name");
            let Ok(name) = name.parse::<DistArchiveIdentifier>() else {
                continue;
            };
            let name = name.identifier.to_string();
            let (rest, build) = name.rsplit_once('-').expect("a build");
            let (name, version) = rest.rsplit_once('-').expect("a version");
            let number = build
                .rsplit('_')
                .next()
                .and_then(|number| number.parse().ok());
            let found = (
                version.parse::<Version>().expect("a version"),
                number.unwrap_or(0),
                path,
            );
            match newest.get(name) {
                Some(known) if (&known.0, known.1) >= (&found.0, found.1) => {}
                _ => {
                    newest.insert(name.to_owned(), found);
                }
            }
        }
    }
    let copy = |(_, _, path): (Version, u64, PathBuf)| {
        let below = path.strip_prefix(data).expect("a path");
        let copy = channel.join(below);
        fs::create_dir_all(copy.parent().expect("a folder")).expect("a folder");
        fs::copy(&path, &copy).expect("a copy");
        copy
    };
    newest.into_values().map(copy).collect()
}

fn index_keys(path: &Path) -> (String, Map<String, Value>) {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .expect("a name");
    let kind = archive::package::Kind::from_file_name(name).expect("a package");
    let file = StdFile::open(path).expect("a package");
    let index =
        archive::package::Package::open(file, kind).and_then(|mut package| package.index_json());
    let stem = name.strip_suffix(kind.extension()).expect("a package");
    let index = serde_json::from_slice(&index.expect("an index")).expect("JSON");
    (format!("{stem}.json"), index)
}

/// What the installer's own program does, but here, whatever CPU it is for.
pub(super) fn install_here(file: &Path, prefix: &Path) -> runtime::Installed {
    let opened = StdFile::open(file).expect("an installer");
    let length = opened.metadata().expect("an installer").len();
    let payload = Payload::open(&opened, length).expect("an installer");
    let plan = payload.json(payload.index.plan).expect("a plan");
    let cancelled = AtomicBool::new(false);
    let options = runtime::Options {
        prefix: prefix.to_owned(),
        force: false,
        keep_packages: false,
        skip_scripts: false,
        compile: true,
        threads: 2,
        unattended: true,
        installer: file.to_owned(),
        command_line: "test".into(),
        now: SystemTime::UNIX_EPOCH.elapsed().expect("a time").as_secs(),
        cancelled: &cancelled,
    };
    runtime::install(&payload, &plan, &options, &|_| ()).expect("an installation")
}

/// The tree as far as both make it: no losers, no records (which are compared by themselves), no
/// texts of the installer, and modes that the umask would leave, which rattler does not look at.
fn comparable(mut tree: Tree) -> Tree {
    let status = fs::read_to_string("/proc/self/status").expect("a status");
    let umask = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))
        .expect("a umask");
    let umask = u32::from_str_radix(umask.trim(), 8).expect("a umask");
    for node in tree.0.values_mut() {
        if let Node::File { mode, .. } = node {
            *mode &= !umask;
        }
    }
    tree.without(|path| {
        path.starts_with("__clobbers__")
            || path == "CACHEDIR.TAG"
            || [
                ".installer.info",
                "conda-meta/history",
                "conda-meta/initial-state.explicit.txt",
            ]
            .contains(&path)
            || path.starts_with("conda-meta/") && is_kind(path, "json")
    })
}

/// Field by field, but for those that name the cache, and `files` that lost to another package.
fn compare_records(
    theirs: &BTreeMap<String, Value>,
    ours: &BTreeMap<String, Value>,
    index_keys: &BTreeMap<String, Map<String, Value>>,
) {
    let names = |records: &BTreeMap<String, Value>| records.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(theirs), names(ours));
    let mut differences = Vec::new();
    for (name, record) in theirs {
        let mut expected = record.as_object().expect("an object").clone();
        let mut found = ours[name].as_object().expect("an object").clone();
        forget_losers(&mut expected);
        for key in ["link", "extracted_package_dir", "package_tarball_full_path"] {
            expected.remove(key);
            assert!(found.remove(key).is_some(), "{name} has no {key}");
        }
        let (their_paths, our_paths) = (paths(&mut expected), paths(&mut found));
        for (path, entry) in &their_paths {
            if our_paths.get(path) != Some(entry) {
                let shown = our_paths.get(path);
                differences.push(format!("{name}: {path}: {entry} but {shown:?}"));
            }
        }
        assert_eq!(their_paths.len(), our_paths.len(), "{name}");
        for (key, value) in &expected {
            if found.get(key) != Some(value) {
                let shown = found.get(key);
                differences.push(format!("{name}: {key}: {value} but {shown:?}"));
            }
        }
        // What rattler has no field for is as the package says.
        for (key, value) in found.iter().filter(|(key, _)| !expected.contains_key(*key)) {
            if index_keys[name].get(key) != Some(value) {
                differences.push(format!("{name}: {key} is {value}, from nowhere"));
            }
        }
    }
    let shown = differences
        .iter()
        .take(20)
        .cloned()
        .collect::<Vec<_>>()
        .join("\n");
    assert!(
        differences.is_empty(),
        "{} differences:\n{shown}",
        differences.len()
    );
}

/// Takes the paths out of a record.
fn paths(record: &mut Map<String, Value>) -> BTreeMap<String, Value> {
    let mut data = record.remove("paths_data").expect("paths");
    let paths = data["paths"].as_array_mut().expect("paths").drain(..);
    paths
        .map(|path| (path["_path"].as_str().expect("a path").to_owned(), path))
        .collect()
}

fn forget_losers(record: &mut Map<String, Value>) {
    let lost = |path: &Value| {
        path.as_str()
            .is_some_and(|path| path.starts_with("__clobbers__"))
    };
    if let Some(Value::Array(files)) = record.get_mut("files") {
        files.retain(|path| !lost(path));
    }
    let paths = record
        .get_mut("paths_data")
        .and_then(|data| data.get_mut("paths"));
    if let Some(Value::Array(paths)) = paths {
        paths.retain(|path| !lost(&path["_path"]));
    }
}

/// A folder in the arm64 userland and one with the same path here.
struct Userland {
    root: PathBuf,
    there: TempDir,
    here: Here,
}

/// A folder that goes with the value.
struct Here(PathBuf);

impl Userland {
    fn new() -> Option<Userland> {
        let root = requirements::userland_arm64()?;
        let is_root = rustix::process::geteuid().is_root();
        requirements::require(
            "root, to change into the arm64 userland",
            is_root.then_some(()),
        )?;
        let mut folder = tempfile::Builder::new();
        let there = folder
            .prefix("archiconda-")
            .tempdir_in(root.join("tmp"))
            .expect("a folder");
        let here = Path::new("/tmp").join(there.path().file_name().expect("a name"));
        fs::create_dir(&here).expect("a folder");
        Some(Userland {
            root,
            there,
            here: Here(here),
        })
    }

    /// The path of something in the folder, here and there.
    fn path(&self, name: &str) -> String {
        self.here.0.join(name).to_str().expect("a path").to_owned()
    }

    fn command(&self, command: &[&str]) -> Command {
        let mut chroot = Command::new("chroot");
        chroot
            .arg(&self.root)
            .args(["/usr/bin/env", "-i", "PATH=/usr/bin:/bin", "LC_ALL=C"])
            .arg(format!("HOME={}", self.here.0.display()))
            .arg(format!("TMPDIR={}", self.here.0.display()))
            .args(command);
        chroot
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
