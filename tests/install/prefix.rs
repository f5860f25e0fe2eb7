//! Where an installer may go, and on which machine: what it refuses before it writes anything, and
//! what still runs in long prefixes and in prefixes with spaces.

use std::path::Path;

use fs_err as fs;

use super::support::{Made, PLATFORM, greeting, make, permissions, python, sample};
use crate::support::package::{PREFIX, Package, executable};
use crate::support::run::run;
use crate::support::tree::assert_same;

#[test]
fn prefixes_that_cannot_be_are_refused() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    made.place.write("where/full/file", "mine");
    made.place.write("where/file", "mine");
    std::os::unix::fs::symlink("nowhere", made.place.join("where/dangling")).expect("a link");
    std::os::unix::fs::symlink("full", made.place.join("where/link")).expect("a link");
    let before = made.everything();
    let home = made.place.join("home");
    let home = home.to_str().expect("a path");
    for (prefix, text) in [
        ("where/with space", "a space"),
        ("where/with:colon", "a colon"),
        ("where/with\nnewline", "a control character"),
        ("/", "the root folder"),
        (home, "your home folder"),
        ("home/../home", "your home folder"),
        ("where/full", "already exists"),
        ("where/link", "already exists"),
        ("where/file", "already exists and is not a folder"),
        ("where/file/below", "is not a folder"),
        ("where/dangling", "symbolic link to nothing"),
        ("", "the prefix is empty"),
    ] {
        let output = made.run(&["-b", "-p", prefix]).exits(1).says(&[text]);
        assert_eq!(output.lines("error: ").len(), 1, "{output}");
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
        assert_same(&before, &made.everything());
    }
}

#[test]
fn a_prefix_that_is_too_long_names_the_file() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    let prefix = prefix_of_length(made.place.path(), PREFIX.len() + 1);
    let before = made.everything();
    made.run(&["-b", "-p", &prefix]).exits(1).says(&[
        "lib/libsample.so of sample-1.0-0 has room for 255",
        "has 256 bytes",
    ]);
    assert_same(&before, &made.everything());

    let prefix = prefix_of_length(made.place.path(), PREFIX.len());
    made.run(&["-b", "-p", &prefix]).succeeds();
    let content = fs::read(Path::new(&prefix).join("lib/libsample.so")).expect("a file");
    assert!(
        content
            .windows(prefix.len())
            .any(|window| window == prefix.as_bytes())
    );
    assert!(
        !content
            .windows(PREFIX.len())
            .any(|window| window == PREFIX.as_bytes())
    );
}

#[test]
fn scripts_run_in_long_prefixes_and_in_ones_with_spaces() {
    let Some(python) = python() else { return };
    let packages = [python.package, sample(), greeting()];
    let Some(made) = make(&packages, "check_path_spaces = false") else {
        return;
    };
    let long = prefix_of_length(made.place.path(), 200);
    let spaced = made
        .place
        .join("where/two words/and more")
        .to_str()
        .expect("a path")
        .to_owned();
    let short = made.prefix().to_str().expect("a path").to_owned();
    for prefix in [long, spaced, short] {
        made.run(&["-b", "-p", &prefix]).succeeds();
        let bin = Path::new(&prefix).join("bin");
        // The way to an interpreter that no shebang can name leads through PATH.
        let path = format!(
            "{}:{}",
            bin.display(),
            std::env::var("PATH").expect("a path")
        );
        let output = run(made.place.command(bin.join("where")).env("PATH", &path)).succeeds();
        assert_eq!(output.stdout, format!("{prefix}\n"));
        let output = run(&mut made.place.command(bin.join("greet"))).succeeds();
        assert_eq!(output.stdout, "hello\n");
    }
}

#[test]
fn a_folder_without_permission_is_named() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    let closed = made.place.join("closed");
    fs::create_dir(&closed).expect("a folder");
    fs::set_permissions(&closed, permissions(0o755)).expect("a folder");
    let command = made.command(&["-b", "-p", "closed/deep/prefix"]);
    let Some(mut command) = made.as_nobody(&command) else {
        return;
    };
    let before = made.everything();
    run(&mut command)
        .exits(1)
        .says(&["nothing can be written into", "closed", "denied"]);
    assert_same(&before, &made.everything());
    let command = made.installation(&[]);
    let mut command = made.as_nobody(&command).expect("a user");
    run(&mut command).succeeds();
    made.installed();
}

#[test]
fn a_glibc_that_is_too_old_is_refused() {
    let keys = "virtual_specs = [\"__glibc >=2.17\"]";
    let Some(made) = make(&[sample(), needs_glibc()], keys) else {
        return;
    };
    let before = made.everything();
    run(made.installation(&[]).env("CONDA_OVERRIDE_GLIBC", "2.12"))
        .exits(1)
        .says(&["glibc 2.12", "2.17 or newer"]);
    assert_same(&before, &made.everything());
    run(made.installation(&[]).env("CONDA_OVERRIDE_GLIBC", "2.17")).succeeds();
    fs::remove_dir_all(made.prefix()).expect("a prefix");
    // What this machine really has.
    made.install(&[]).succeeds();

    let keys = "virtual_specs = [\"__glibc >=2.99\"]";
    let Some(made) = make(&[sample(), needs_glibc()], keys) else {
        return;
    };
    made.install(&[]).exits(1).says(&["2.99 or newer"]);
}

#[test]
fn another_cpu_is_refused() {
    let other = if PLATFORM == "linux-64" {
        "linux-aarch64"
    } else {
        "linux-64"
    };
    let keys = format!("[target.{other}]\n");
    let Some(made) = make(&[sample()], &keys) else {
        return;
    };
    let Some(foreign) = made.for_platform(other) else {
        return;
    };
    let before = foreign.everything();
    for arguments in [&["-b", "-p", "where/prefix"] as &[&str], &["--check"], &[]] {
        let output = foreign.run(arguments).exits(2);
        let output = output.says(&["Small 1.0 is for", other, "but this machine is"]);
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
        assert_same(&before, &foreign.everything());
    }
    // Somebody may read about it anywhere.
    foreign.run(&["-h"]).exits(2).prints(&["--batch"]);
}

/// A program with a loader: only such packages need a glibc at all.
fn needs_glibc() -> Package {
    Package::named("program 1.0 0")
        .on(PLATFORM)
        .with(vec![executable(
            "bin/program",
            b"\x7fELF\x02\x01\x01\0 a program",
        )])
}

/// A path below `folder` of exactly this length.
fn prefix_of_length(folder: &Path, length: usize) -> String {
    let mut path = folder.join("long").to_str().expect("a path").to_owned();
    while path.len() + 52 < length {
        path.push('/');
        path.push_str(&"x".repeat(50));
    }
    path.push('/');
    path.push_str(&"y".repeat(length - path.len()));
    assert_eq!(path.len(), length);
    path
}

impl Made {
    /// The same spec for another platform.
    fn for_platform(mut self, platform: &str) -> Option<Made> {
        let runtimes = crate::support::requirements::runtimes()?;
        let mut build = self.place.build(&runtimes, "small.toml");
        run(build.args(["--update", "--platform", platform, "--json"])).succeeds();
        let machine = if platform == "linux-64" {
            "x86_64"
        } else {
            "aarch64"
        };
        self.file = self
            .place
            .out()
            .join(format!("Small-1.0-Linux-{machine}.sh"));
        Some(self)
    }
}
