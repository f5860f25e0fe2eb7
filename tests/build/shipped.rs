//! The specs of this repository, as far as a machine without a network gets.

use std::path::Path;

use fs_err as fs;

use super::{dry, packages};
use crate::support::channel::publish;
use crate::support::package::Package;
use crate::support::requirements::{self, workspace};
use crate::support::run::{Place, run};
use crate::support::server::Server;

/// The exact stack of December 2018: name, version, build, what it depends on, and the channel that
/// has it here.
const STACK: [(&str, &str, &str, &[&str], &str); 32] = [
    (
        "python",
        "3.7.0",
        "hab5db58_3",
        &[
            "libffi >=3.2.1,<4.0a0",
            "libgcc-ng >=7.3.0",
            "libstdcxx-ng >=7.3.0",
            "ncurses >=6.1,<6.2.0a0",
            "openssl >=1.0.2o,<1.0.3a",
            "readline >=7.0,<8.0a0",
            "sqlite >=3.24.0,<4.0a0",
            "tk >=8.6.8,<8.7.0a0",
            "xz >=5.2.4,<6.0a0",
            "zlib >=1.2.11,<1.3.0a0",
        ],
        "c4aarch64",
    ),
    (
        "ca-certificates",
        "2018.11.29",
        "ha4d7672_0",
        &[],
        "conda-forge",
    ),
    ("conda-env", "2.6.0", "1", &[], "conda-forge"),
    ("libgcc-ng", "7.3.0", "h5c90dd9_0", &[], "c4aarch64"),
    ("libstdcxx-ng", "7.3.0", "h5c90dd9_0", &[], "c4aarch64"),
    (
        "libffi",
        "3.2.1",
        "h38784ca_1005",
        &["libgcc-ng >=7.3.0", "libstdcxx-ng >=7.3.0"],
        "conda-forge",
    ),
    (
        "ncurses",
        "6.1",
        "hf484d3e_1002",
        &["libgcc-ng >=7.3.0", "libstdcxx-ng >=7.3.0"],
        "conda-forge",
    ),
    (
        "openssl",
        "1.0.2p",
        "h14c3975_1002",
        &["ca-certificates", "libgcc-ng >=7.3.0"],
        "conda-forge",
    ),
    (
        "xz",
        "5.2.4",
        "h14c3975_1001",
        &["libgcc-ng >=7.3.0"],
        "conda-forge",
    ),
    (
        "yaml",
        "0.1.7",
        "h14c3975_3",
        &["libgcc-ng >=7.3.0"],
        "archiarm",
    ),
    (
        "zlib",
        "1.2.11",
        "h14c3975_1003",
        &["libgcc-ng >=7.3.0"],
        "conda-forge",
    ),
    (
        "libedit",
        "3.1.20170329",
        "hf8c457e_1001",
        &["libgcc-ng >=7.3.0", "ncurses >=6.1,<6.2.0a0"],
        "conda-forge",
    ),
    (
        "tk",
        "8.6.8",
        "h14c3975_0",
        &["libgcc-ng >=7.3.0", "zlib >=1.2.11,<1.3.0a0"],
        "archiarm",
    ),
    (
        "sqlite",
        "3.26.0",
        "hf8c457e_1000",
        &[
            "libedit >=3.1.20170329,<3.2.0a0",
            "libgcc-ng >=7.3.0",
            "ncurses >=6.1,<6.2.0a0",
        ],
        "conda-forge",
    ),
    (
        "asn1crypto",
        "0.24.0",
        "py37_1003",
        &["python >=3.7,<3.8.0a0"],
        "conda-forge",
    ),
    (
        "certifi",
        "2018.11.29",
        "py37_1000",
        &["python >=3.7,<3.8.0a0"],
        "conda-forge",
    ),
    (
        "chardet",
        "3.0.4",
        "py37_1",
        &["python >=3.7,<3.8.0a0"],
        "archiarm",
    ),
    (
        "idna",
        "2.7",
        "py37_0",
        &["python >=3.7,<3.8.0a0"],
        "archiarm",
    ),
    (
        "pycosat",
        "0.6.3",
        "py37h14c3975_0",
        &["libgcc-ng >=7.3.0", "python >=3.7,<3.8.0a0"],
        "archiarm",
    ),
    (
        "pycparser",
        "2.19",
        "py37_0",
        &["python >=3.7,<3.8.0a0"],
        "archiarm",
    ),
    (
        "pysocks",
        "1.6.8",
        "py37_0",
        &["python >=3.7,<3.8.0a0"],
        "archiarm",
    ),
    (
        "ruamel_yaml",
        "0.15.64",
        "py37h14c3975_0",
        &[
            "libgcc-ng >=7.3.0",
            "python >=3.7,<3.8.0a0",
            "yaml >=0.1.7,<0.2.0a0",
        ],
        "archiarm",
    ),
    (
        "six",
        "1.12.0",
        "py37_1000",
        &["python >=3.7,<3.8.0a0"],
        "conda-forge",
    ),
    (
        "cffi",
        "1.11.5",
        "py37hb7f436b_1",
        &[
            "libffi >=3.2.1,<4.0a0",
            "libgcc-ng >=7.3.0",
            "pycparser",
            "python >=3.7,<3.8.0a0",
        ],
        "c4aarch64",
    ),
    (
        "setuptools",
        "40.6.3",
        "py37_0",
        &["certifi >=2016.09", "python >=3.7,<3.8.0a0"],
        "conda-forge",
    ),
    (
        "cryptography",
        "2.3.1",
        "py37hb7f436b_1",
        &[
            "asn1crypto >=0.21.0",
            "cffi >=1.7,!=1.11.3",
            "idna >=2.1",
            "libgcc-ng >=7.3.0",
            "openssl >=1.0.2p,<1.0.3a",
            "python >=3.7,<3.8.0a0",
            "six >=1.4.1",
        ],
        "c4aarch64",
    ),
    (
        "wheel",
        "0.32.3",
        "py37_0",
        &["python >=3.7,<3.8.0a0", "setuptools"],
        "conda-forge",
    ),
    (
        "pip",
        "18.1",
        "py37_1000",
        &["python >=3.7,<3.8.0a0", "setuptools", "wheel"],
        "conda-forge",
    ),
    (
        "pyopenssl",
        "18.0.0",
        "py37_0",
        &[
            "cryptography >=2.2.1",
            "python >=3.7,<3.8.0a0",
            "six >=1.5.2",
        ],
        "archiarm",
    ),
    (
        "urllib3",
        "1.23",
        "py37_0",
        &[
            "certifi",
            "cryptography >=1.3.4",
            "idna >=2.0.0",
            "pyopenssl >=0.14",
            "pysocks >=1.5.6,<2.0,!=1.5.7",
            "python >=3.7,<3.8.0a0",
        ],
        "archiarm",
    ),
    (
        "requests",
        "2.19.1",
        "py37_0",
        &[
            "certifi >=2017.4.17",
            "chardet >=3.0.2,<3.1.0",
            "idna >=2.5,<2.8",
            "python >=3.7,<3.8.0a0",
            "urllib3 >=1.21.1,<1.24",
        ],
        "archiarm",
    ),
    (
        "conda",
        "4.5.12",
        "py37_1000",
        &[
            "conda-env >=2.6",
            "pycosat >=0.6.3",
            "pyopenssl >=16.2.0",
            "python >=3.7,<3.8.0a0",
            "requests >=2.12.4,<3",
            "ruamel_yaml >=0.11.14",
            "setuptools >=31.0.1",
        ],
        "c4aarch64",
    ),
];

/// Copies a spec and the licence that it names, without its lock.
fn copy(place: &Place, name: &str) -> std::path::PathBuf {
    fs::create_dir_all(place.join("specs")).expect("a folder");
    for file in [name, "license.txt"] {
        let from = workspace().join("specs").join(file);
        fs::copy(from, place.join("specs").join(file)).expect("a file of the repository");
    }
    place.join("specs").join(name)
}

#[test]
fn every_spec_gets_as_far_as_its_channels() {
    let folder = fs::read_dir(workspace().join("specs")).expect("the specs");
    let names: Vec<String> = folder
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "toml"))
        .collect();
    assert!(names.len() >= 4, "{names:?}");
    for name in names {
        let place = Place::new();
        let spec = copy(&place, &name);
        let expected: &[&str] = match name.as_str() {
            // Its channel is made here, not fetched.
            "bootstrap.toml" => &["../target/bootstrap", "is not a channel"],
            _ => &["https://conda.anaconda.org/", "not in the cache"],
        };
        dry(&place, &spec, &["--offline"]).exits(1).says(expected);
    }
}

/// The three channels of the stack, each with newer packages and newer builds too.
fn channels(place: &Place) {
    for channel in ["c4aarch64", "archiarm", "conda-forge"] {
        let mut packages = Vec::new();
        for (name, version, build, depends, home) in STACK {
            let package = |version: &str, build: &str| {
                Package::named(&format!("{name} {version} {build}"))
                    .needs(depends)
                    .on("linux-aarch64")
            };
            // A channel that comes later may have everything, newer.
            let later = match home {
                "c4aarch64" => true,
                "archiarm" => channel != "c4aarch64",
                _ => channel == "conda-forge",
            };
            if channel == home {
                packages.push(package(version, build).bzipped());
            }
            if later {
                packages.push(package(&format!("{version}.99"), build));
                packages.push(package(version, "newer_9999"));
            }
        }
        if channel == "conda-forge" {
            packages.push(Package::named("readline 7.0 hf8c457e_1001").on("linux-aarch64"));
            packages.push(Package::named("readline 8.0 hf8c457e_0").on("linux-aarch64"));
        }
        publish(place, channel, &packages);
    }
}

#[test]
fn the_stack_is_exactly_its_32_packages() {
    let place = Place::new();
    let spec = copy(&place, "archiconda3-stack.toml");
    channels(&place);
    let server = Server::start(place.path());
    let alias = server.url();
    let output = dry(&place, &spec, &["--channel-alias", &alias, "--json"]).succeeds();
    let mut found = packages(&output.json(), "linux-aarch64");
    assert!(
        position(&found, "libgcc-ng-7") < position(&found, "python-3"),
        "{found:?}"
    );
    assert!(
        position(&found, "python-3") < position(&found, "conda-4"),
        "{found:?}"
    );
    let mut expected: Vec<String> = STACK
        .iter()
        .map(|(name, version, build, ..)| format!("{name}-{version}-{build}.tar.bz2"))
        .collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let warnings = output.lines("warning");
    assert_eq!(warnings.len(), 1, "{output}");
    assert!(
        warnings[0].contains("python-3.7.0") && warnings[0].contains("readline"),
        "{output}"
    );
}

fn position(names: &[String], start: &str) -> Option<usize> {
    names.iter().position(|name| name.starts_with(start))
}

#[test]
fn the_stack_becomes_an_installer_and_its_lock_holds() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    let spec = copy(&place, "archiconda3-stack.toml");
    channels(&place);
    let server = Server::start(place.path());
    let alias = server.url();
    let build = |arguments: &[&str]| {
        let mut build = place.build(&runtimes, &spec);
        run(build
            .args(["--channel-alias", &alias, "--json"])
            .args(arguments))
        .succeeds()
        .json()
    };
    let first = packages(&build(&[]), "linux-aarch64");
    assert!(
        place
            .out()
            .join("Archiconda3-stack-2018.12-Linux-aarch64.sh")
            .is_file()
    );
    drop(server);
    assert_eq!(
        packages(&build(&["--locked", "--offline"]), "linux-aarch64"),
        first
    );
}

#[test]
fn an_exclusion_of_nothing_is_only_a_warning() {
    let place = Place::new();
    let spec = copy(&place, "archiconda3-stack.toml");
    channels(&place);
    // The same stack, with a python that does not ask for readline.
    let (_, version, build, depends, channel) = STACK[0];
    let depends: Vec<&str> = depends
        .iter()
        .copied()
        .filter(|text| !text.starts_with("readline"))
        .collect();
    let python = Package::named(&format!("python {version} {build}"));
    publish(
        &place,
        channel,
        &[python.needs(&depends).on("linux-aarch64").bzipped()],
    );
    let server = Server::start(place.path());
    let alias = server.url();
    let output = dry(&place, &spec, &["--channel-alias", &alias, "--json"]).succeeds();
    assert_eq!(packages(&output.json(), "linux-aarch64").len(), 32);
    let warnings = output.lines("warning");
    assert_eq!(warnings.len(), 1, "{output}");
    assert!(warnings[0].contains("`readline` is excluded"), "{output}");
}
