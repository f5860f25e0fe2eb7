//! conda itself on the bootstrap channel: conda-forge's package is pure Python but for the folder
//! that it lies in, so it is laid anew for this Python, and what it needs comes from Debian and from
//! wheels. Then it is asked what a user asks first.

use std::path::Path;
use std::process::Command;

use fs_err as fs;

use crate::support::package::{File, Package, file};
use crate::support::requirements;
use crate::support::run::{Place, run};

/// What conda 23.10 needs and the bootstrap channel lacks. Pinned, as are the other peers.
const DEFINITION: &str = r#"
platforms = ["linux-aarch64", "linux-64"]
python = "3.11"

[debian]
suites = ["bookworm"]
glibc = "2.36"
system = [
    "ld-linux-aarch64.so.1",
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
]

[wheels]
packages = [
    "archspec ==0.2.5",
    "boltons ==25.0.0",
    "conda-package-handling ==2.6.0",
    "conda-package-streaming ==0.13.0",
    "distro ==1.9.0",
    "frozendict ==2.4.6",
    "jsonpatch ==1.33",
    "packaging ==25.0",
    "platformdirs ==4.3.8",
    "pluggy ==1.6.0",
    "requests ==2.32.4",
    "ruamel.yaml ==0.18.14",
    "setuptools ==80.9.0",
    "tqdm ==4.67.1",
    "truststore ==0.10.1",
]

[[package]]
name = "picosat"
debs = ["picosat"]
license = "MIT"
summary = "SAT solver"
pin = 1
files = [["usr/lib/{triplet}/libpicosat.so.*", "lib/"]]

[[package]]
name = "pycosat"
debs = ["python3-pycosat"]
license = "MIT"
summary = "Python bindings of picosat"
depends = ["python >=3.11,<3.12.0a0"]
files = [["usr/lib/python3/dist-packages/*", "lib/python{python}/site-packages/"]]
"#;

/// What is installed besides, and how conda is to behave: its other solver is a package of its own.
pub(super) const SPECS: &str = r#"
specs = ["python", "sqlite", "conda", "pip"]
condarc = { solver = "classic", auto_update_conda = false, notify_outdated_conda = false }
"#;

/// Puts conda and what it needs into the bootstrap channel of a place; none where there is none.
pub(super) fn add(place: &Place, cache: &Path) -> Option<()> {
    let sources = requirements::conda()?;
    place.write("conda.toml", DEFINITION);
    let mut repack = place.archiconda();
    repack
        .args(["repack", "conda.toml", "--output-dir", "channel"])
        .args(["--zstd-compression-level=3", "--cache-dir"])
        .arg(cache);
    run(&mut repack).succeeds();

    let mut files = Vec::new();
    collect(&sources.join("conda"), "site-packages/conda", &mut files);
    Package::python("conda 23.10.0 py_0", &["conda = conda.cli:main"])
        .needs(&[
            "archspec",
            "boltons >=23.0.0",
            "conda-package-handling >=2.2.0",
            "distro",
            "frozendict",
            "jsonpatch >=1.32",
            "packaging >=23.0",
            "platformdirs",
            "pluggy >=1.0.0",
            "pycosat >=0.6.3",
            "python >=3.8",
            "requests >=2.27.0,<3",
            "ruamel.yaml >=0.11.14,<0.19",
            "setuptools >=60.0.0",
            "tqdm >=4",
            "truststore >=0.8.0",
        ])
        .with(files)
        .write_to(&place.join("channel"));
    let mut index = place.archiconda();
    run(index.args(["index", "channel", "--all"])).succeeds();
    Some(())
}

/// The sources below a folder, without bytecode.
fn collect(folder: &Path, place: &str, files: &mut Vec<File>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.expect("a name");
        let place = format!("{place}/{name}");
        if path.is_dir() {
            if name != "__pycache__" {
                collect(&path, &place, files);
            }
        } else {
            files.push(file(&place, fs::read(&path).expect("a file")));
        }
    }
}

/// What a user does first. `command` starts a program where the prefix is; `channel` is the path of
/// the channel there, and `environment` that of a new environment.
pub(super) fn first_minute(
    command: &dyn Fn(&Path) -> Command,
    prefix: &Path,
    channel: &Path,
    environment: &Path,
) {
    let conda = |arguments: &[&str]| {
        let mut conda = command(&prefix.join("bin/conda"));
        run(conda.args(arguments)).succeeds()
    };
    conda(&["--version"]).prints(&["conda 23.10.0"]);

    let info = conda(&["info", "--json"]).json();
    assert_eq!(info["root_prefix"], prefix.to_str().expect("a path"));
    assert_eq!(info["conda_version"], "23.10.0");

    let listed = conda(&["list", "--json"]).json();
    let listed = listed.as_array().expect("packages");
    let records = command(Path::new("/bin/ls"))
        .arg(prefix.join("conda-meta"))
        .output();
    let records = String::from_utf8(records.expect("a folder").stdout).expect("UTF-8");
    let is_record = |name: &&str| {
        Path::new(name)
            .extension()
            .is_some_and(|suffix| suffix == "json")
    };
    let records = records.lines().filter(is_record);
    assert_eq!(listed.len(), records.count(), "{listed:?}");

    let channel = format!("file://{}", channel.display());
    let created = conda(&[
        "create",
        "--yes",
        "--offline",
        "--json",
        "--override-channels",
        "--channel",
        &channel,
        "--prefix",
        environment.to_str().expect("a path"),
        "python",
        "zstandard",
    ]);
    assert_eq!(created.json()["success"], true);
    let mut python = command(&environment.join("bin/python"));
    python.args(["-c", "import sys, ssl, zstandard; print(sys.prefix)"]);
    run(&mut python)
        .succeeds()
        .prints(&[environment.to_str().expect("a path")]);
}
