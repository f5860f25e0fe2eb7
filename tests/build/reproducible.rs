//! The same input gives the same bytes, whoever builds it, where, when and with how many threads.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use super::{ARM, X86};
use crate::support::channel::publish;
use crate::support::package::{
    Package, binary_prefix, executable, file, hard_link, link_script, symbolic_link, text_prefix,
};
use crate::support::requirements;
use crate::support::run::{Place, run};
use crate::support::server::Server;

/// Packages of all kinds, taken over and compressed again.
fn packages() -> Vec<Package> {
    let python = Package::named("python 3.12.1 0").with(vec![
        executable("bin/python3.12", "#!/bin/sh\nexit 0\n"),
        symbolic_link("bin/python", "python3.12"),
        hard_link("bin/python3", "bin/python3.12"),
        link_script("python", "post-link", "#!/bin/sh\nexit 0\n"),
    ]);
    let tool = Package::python(
        "tool 1.0 0",
        &["tool = tool.cli:main", "other = tool.cli:other"],
    )
    .with(vec![file(
        "site-packages/tool/cli.py",
        "def main(): pass\n",
    )])
    .bzipped();
    let native = Package::named("native 1.0 0").with(vec![
        binary_prefix("lib/native.so", &["/lib", "/share:", ""]),
        text_prefix("etc/native.conf", "home = @PREFIX@\n"),
        file("share/text", "words ".repeat(50_000)),
    ]);
    let arm = |package: &Package| package.clone().on("linux-aarch64");
    vec![arm(&python), arm(&native), python, tool, native]
}

const KEYS: &str = "name = \"Example\"\nversion = \"1.0\"\nspecs = [\"tool\", \"native\"]\n\
                    license_file = \"licence\"\nextra_files = [\"readme\"]\nwrite_condarc = true\n";

/// A folder with the spec and its files, and a command that builds it into `FOLDER/out`.
fn build(
    place: &Place,
    runtimes: &Path,
    folder: &str,
    channel: &str,
    compression: &str,
) -> Command {
    let text = format!("channels = [\"{channel}\"]\ncompression = \"{compression}\"\n{KEYS}");
    let spec = place.write(&format!("{folder}/dist.toml"), text);
    place.write(&format!("{folder}/licence"), "Do as you like.\n");
    place.write(&format!("{folder}/readme"), "Read me.\n");
    let mut command = place.command("sh");
    command
        .args(["-c", "umask $UMASK_OF_TEST; exec \"$@\"", "sh"])
        .env("UMASK_OF_TEST", "022")
        .env("ARCHICONDA_CACHE_DIR", place.join(folder).join("cache"))
        .arg(env!("CARGO_BIN_EXE_build-installer"))
        .arg(spec)
        .arg("--runtimes")
        .arg(runtimes)
        .arg("--output-dir")
        .arg(place.join(folder).join("out"));
    command
}

fn installers(place: &Place, folder: &str) -> [Vec<u8>; 2] {
    let out: PathBuf = place.join(folder).join("out");
    [X86, ARM].map(|name| fs::read(out.join(name)).expect("an installer"))
}

#[test]
fn two_builds_are_identical() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    publish(&place, "channel", &packages());
    let server = Server::start(&place.join("channel"));
    let build = |folder: &str| build(&place, &runtimes, folder, &server.url(), "default");
    run(&mut build("first")).succeeds();
    let first = installers(&place, "first");

    run(&mut build("first")).succeeds();
    assert!(
        installers(&place, "first") == first,
        "again, with all caches"
    );
    run(&mut build("a/second place")).succeeds();
    assert!(
        installers(&place, "a/second place") == first,
        "at another path, with another cache"
    );
    for threads in ["1", "7"] {
        let folder = format!("threads-{threads}");
        run(build(&folder).args(["--threads", threads])).succeeds();
        assert!(
            installers(&place, &folder) == first,
            "with {threads} threads"
        );
    }
    for umask in ["077", "000"] {
        let folder = format!("umask-{umask}");
        run(build(&folder).env("UMASK_OF_TEST", umask)).succeeds();
        assert!(installers(&place, &folder) == first, "with umask {umask}");
    }
    // Other times, another locale, other columns, another home.
    let mut other = build("late");
    let readme = fs::File::options()
        .append(true)
        .open(place.join("late/readme"))
        .expect("a file");
    readme
        .into_file()
        .set_modified(std::time::UNIX_EPOCH)
        .expect("a time");
    other
        .env("TZ", "Asia/Tokyo")
        .env("LC_ALL", "C.UTF-8")
        .env("COLUMNS", "40");
    other
        .env("HOME", place.join("late"))
        .env("USER", "somebody");
    run(&mut other).succeeds();
    assert!(
        installers(&place, "late") == first,
        "in another environment"
    );
    // One platform alone.
    run(build("alone").args(["--platform", "linux-aarch64"])).succeeds();
    let alone = fs::read(place.join("alone/out").join(ARM)).expect("an installer");
    assert!(alone == first[1], "without the other platform");
}

#[test]
fn two_solid_builds_are_identical() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    publish(&place, "channel", &packages());
    let server = Server::start(&place.join("channel"));
    let solid = |folder: &str, threads: &str| {
        let mut build = build(&place, &runtimes, folder, &server.url(), "solid");
        run(build.args(["--threads", threads])).succeeds();
        installers(&place, folder)
    };
    let first = solid("first", "1");
    assert!(solid("first", "7") == first, "again, with all caches");
    assert!(
        solid("second", "7") == first,
        "with another cache and more threads"
    );
}

#[test]
fn source_date_epoch_is_the_time_of_extra_files() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    publish(&place, "channel", &packages());
    let server = Server::start(&place.join("channel"));
    let at = |folder: &str, epoch: &str| {
        let mut build = build(&place, &runtimes, folder, &server.url(), "default");
        run(build.env("SOURCE_DATE_EPOCH", epoch)).succeeds();
        installers(&place, folder)
    };
    let first = at("first", "1000000000");
    assert!(at("second", "1000000000") == first, "the same epoch");
    assert!(
        at("third", "1000000001") != first,
        "the epoch is in the installer"
    );
    let prefix = place.join("prefix");
    let mut install = place.command("sh");
    install
        .arg(place.join("first/out").join(X86))
        .arg("-b")
        .arg("-p")
        .arg(&prefix);
    run(install.arg("--no-compile")).succeeds();
    let modified = fs::metadata(prefix.join("readme"))
        .expect("a file")
        .modified()
        .expect("a time");
    let seconds = modified
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a time")
        .as_secs();
    assert_eq!(seconds, 1_000_000_000);
}
