//! The command line: which options there are, what they mean, how the installer is started, and
//! exit codes (0 done, 1 failed, 2 usage and refusal, as constructor's).

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use fs_err as fs;

use super::support::{Made, greeting, make, make_in, python, sample, wait_for};
use crate::support::package::{Package, executable, link_script};
use crate::support::requirements::program;
use crate::support::run::{Place, run};
use crate::support::tree::{Node, assert_same};

#[test]
fn help_is_printed_and_the_status_is_2() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    let before = made.everything();
    for arguments in [
        &["-h"] as &[&str],
        &["--help"],
        &["-bh"],
        &["-b", "-p", "where/prefix", "-h"],
        &["--prefix", "where/prefix", "-bfh"],
    ] {
        let output = made.run(arguments).exits(2);
        let output = output.prints(&["Small 1.0", "-b, --batch", "-p, --prefix DIR", "/small"]);
        assert_eq!(output.stderr, "");
        assert_same(&before, &made.everything());
    }
    // A prefix that begins like an option is a prefix.
    made.run(&["-b", "-p", "-h"]).succeeds();
    assert!(made.place.join("-h/conda-meta").is_dir());
}

#[test]
fn wrong_options_are_status_2_and_change_nothing() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    let before = made.everything();
    for (arguments, text) in [
        (
            &["--nonsense"] as &[&str],
            "there is no option `--nonsense`",
        ),
        (&["--bacth"], "is `--batch` meant?"),
        (&["-b", "-q"], "there is no option `-q`"),
        (&["-bxp", "where/prefix"], "there is no option `-x`"),
        (&["-b", "-p"], "`-p` needs a value"),
        (&["-b", "--prefix"], "`--prefix` needs a value"),
        (&["--batch=yes"], "`--batch` takes no value"),
        (&["-b", "where/prefix"], "`where/prefix` is not an option"),
        (&["-b", "--", "x"], "`x` is not an option"),
        (&["-t"], "`-t` is not supported"),
        (&["--json"], "`--json` only goes with `--list`"),
        (&["-b", "--threads", "0"], "`0` is not a number of threads"),
        (
            &["-b", "--threads=many"],
            "`many` is not a number of threads",
        ),
    ] {
        let output = made.run(arguments).exits(2).says(&[text]);
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
        assert_same(&before, &made.everything());
    }
}

#[test]
fn every_spelling_of_batch_and_prefix_installs_the_same() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    made.install(&[]).succeeds();
    let expected = made
        .installed()
        .without(|path| path == "conda-meta/history");
    let prefix = made.prefix();
    let shown = prefix.to_str().expect("a path");
    for arguments in [
        vec!["-bp".to_owned(), shown.to_owned()],
        vec![format!("-bp{shown}")],
        vec!["--batch".into(), "--prefix".into(), shown.into()],
        vec![format!("--prefix={shown}"), "-b".into()],
        vec!["-i".into(), "-b".into(), "-p".into(), "where/prefix".into()],
        vec!["-bmp".into(), "./where//up/../prefix/".into()],
        vec!["-b".into(), "-p".into(), format!("{shown}//")],
        vec!["-bsfukp".into(), format!("/{shown}")],
        vec!["-b".into(), "--threads=1".into(), "-p".into(), shown.into()],
        vec![
            "-b".into(),
            "--ignore-space".into(),
            "-p".into(),
            shown.into(),
            "--".into(),
        ],
    ] {
        fs::remove_dir_all(&prefix).expect("a prefix");
        made.run(&arguments).succeeds();
        let keeps = arguments
            .iter()
            .any(|argument| argument.starts_with("-bsfuk"));
        if !keeps {
            let tree = made
                .installed()
                .without(|path| path == "conda-meta/history");
            assert_same(&expected, &tree);
        }
        assert!(prefix.join("pkgs").exists() == keeps);
    }
}

#[test]
fn without_a_prefix_it_goes_where_the_spec_says() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    made.run(&["-b"]).succeeds();
    assert!(made.place.join("home/small/bin/where").is_file());

    let keys = "default_prefix = \"$ROOT/${KIND:-some}/where\"";
    let Some(made) = make(&[sample()], keys) else {
        return;
    };
    let root = made.place.join("where");
    run(made.command(&["-b"]).env("ROOT", &root)).succeeds();
    assert!(root.join("some/where/bin/where").is_file());
    made.run(&["-b"]).exits(1).says(&["`ROOT` is not set"]);
}

#[test]
fn other_modes_install_nothing() {
    let Some(made) = make(&[sample(), Package::generic("other 2.0 3")], "") else {
        return;
    };
    let before = made.everything();
    made.run(&["--check"])
        .succeeds()
        .prints(&["Small 1.0", "is undamaged: 2 packages"]);
    made.run(&["--version"]).succeeds().prints(&["Small 1.0\n"]);
    let table = made.run(&["--list"]).succeeds();
    let row = table
        .stdout
        .lines()
        .find(|line| line.starts_with("other "))
        .expect("a row");
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert!(table.stdout.starts_with("name "), "{table}");
    assert_eq!(cells[..4], ["other", "2.0", "3", "noarch"], "{table}");
    let rows = made.run(&["--list", "--json"]).succeeds().json();
    let rows = rows.as_array().expect("a list");
    assert_eq!(rows.len(), 2);
    let row = rows
        .iter()
        .find(|row| row["name"] == "other")
        .expect("a row");
    assert_eq!(row["build"], "3");
    assert!(
        row["url"]
            .as_str()
            .expect("a URL")
            .ends_with("/noarch/other-2.0-3.conda")
    );
    assert_same(&before, &made.everything());
}

#[test]
fn the_installer_starts_however_it_is_called() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    let odd = made.place.join("a folder/with -spaces/in its 'name'");
    fs::create_dir_all(odd.parent().expect("a folder")).expect("a folder");
    fs::copy(&made.file, &odd).expect("a copy");
    std::os::unix::fs::symlink(&odd, made.place.join("link")).expect("a link");
    let folder = odd.parent().expect("a folder").to_owned();
    let path = format!(
        "{}:{}",
        folder.display(),
        std::env::var("PATH").expect("a path")
    );
    let name = odd.file_name().expect("a name");

    let mut direct = made.place.command(&odd);
    let mut linked = made.place.command("./link");
    let mut beside = made.place.command("sh");
    beside.arg(name).current_dir(&folder);
    let mut through_path = made.place.command("sh");
    through_path
        .arg("-c")
        .arg(format!("exec \"{}\" \"$@\"", name.display()))
        .arg("sh");
    through_path.env("PATH", &path);
    // Of the shells that are here, bash looks for a script in PATH.
    let Some(bash) = program("bash") else { return };
    let mut searched = made.place.command(bash);
    searched.arg(name).env("PATH", &path);
    let mut above = made.place.command("sh");
    above.arg("../link").current_dir(made.place.join("home"));
    for command in [
        &mut direct,
        &mut linked,
        &mut beside,
        &mut through_path,
        &mut searched,
        &mut above,
    ] {
        run(command.args(["-b", "-p"]).arg(made.prefix())).succeeds();
        made.installed();
        fs::remove_dir_all(made.prefix()).expect("a prefix");
    }
}

#[test]
fn every_shell_runs_it() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    for shell in ["dash", "bash", "zsh", "busybox"] {
        let Some(shell) = program(shell) else {
            continue;
        };
        let mut command = made.place.command(&shell);
        if shell.ends_with("busybox") {
            command.arg("sh");
        }
        command.arg(&made.file);
        run(command.args(["-b", "-p"]).arg(made.prefix())).succeeds();
        made.installed();
        fs::remove_dir_all(made.prefix()).expect("a prefix");
    }
}

#[test]
fn piped_into_a_shell_it_says_what_to_do() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    let before = made.everything();
    let piped = "cat \"$0\" | sh -s -- -b -p where/prefix";
    let redirected = "sh -s -- -b -p where/prefix <\"$0\"";
    for script in [piped, redirected] {
        let mut command = made.place.command("sh");
        command
            .args(["-c", script])
            .arg(&made.file)
            .stdin(Stdio::null());
        run(&mut command)
            .exits(1)
            .says(&["cannot be piped into a shell", "sh FILE"]);
        assert_same(&before, &made.everything());
    }
}

#[test]
fn modes_honour_the_umask() {
    let Some(made) = make(&[sample()], "keep_pkgs = true\nwrite_condarc = true") else {
        return;
    };
    for (umask, open, data) in [
        ("000", 0o666, 0o644),
        ("022", 0o644, 0o644),
        ("027", 0o640, 0o640),
        ("077", 0o600, 0o600),
    ] {
        let mut command = made.place.command("sh");
        command
            .args(["-c", "umask \"$0\"; exec sh \"$@\""])
            .arg(umask);
        command
            .arg(&made.file)
            .args(["-b", "-p"])
            .arg(made.prefix());
        run(&mut command).succeeds();
        let tree = made.installed();
        let umask = u32::from_str_radix(umask, 8).expect("a mode");
        for (path, node) in &tree.0 {
            let (Node::File { mode, .. } | Node::Folder { mode }) = node else {
                continue;
            };
            assert_eq!(mode & umask, 0, "{path}: {node}");
            assert_eq!(mode & 0o7000, 0, "{path}: {node}");
        }
        let mode = |path: &str| match tree.0.get(path) {
            Some(Node::File { mode, .. }) => *mode,
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(mode("share/sample/open"), open);
        assert_eq!(mode("bin/open"), 0o777 & !umask);
        assert_eq!(mode("share/sample/data"), data);
        fs::remove_dir_all(made.prefix()).expect("a prefix");
    }
}

#[test]
fn scripts_are_skipped_when_asked() {
    let place = Place::new();
    place.write("pre.sh", "touch \"$PREFIX/pre\"\n");
    place.write("post.sh", "touch \"$PREFIX/post\"\n");
    let linked = Package::generic("linked 1.0 0").with(vec![
        executable("bin/linked", "#!/bin/sh\n"),
        link_script("linked", "post-link", "touch \"$PREFIX/post-link\"\n"),
    ]);
    let keys = "pre_install = \"pre.sh\"\npost_install = \"post.sh\"";
    let Some(made) = make_in(place, &[linked], keys) else {
        return;
    };
    for (arguments, expected) in [
        (&[] as &[&str], true),
        (&["-s"], false),
        (&["--skip-scripts"], false),
    ] {
        made.install(arguments).succeeds();
        made.installed();
        for trace in ["pre", "post", "post-link"] {
            assert_eq!(
                made.prefix().join(trace).exists(),
                expected,
                "{arguments:?} {trace}"
            );
        }
        fs::remove_dir_all(made.prefix()).expect("a prefix");
    }
}

#[test]
fn noarch_modules_are_compiled_unless_forbidden() {
    let Some(python) = python() else { return };
    let version = python.version.clone();
    let Some(made) = make(&[python.package, greeting()], "") else {
        return;
    };
    let cache = format!("lib/python{version}/site-packages/greeting/__pycache__");
    let compiled = format!("{cache}/cli.cpython-{}.pyc", version.replace('.', ""));

    made.install(&["--no-compile"]).succeeds();
    let plain = made.installed();
    assert!(!plain.0.contains_key(&cache));
    fs::remove_dir_all(made.prefix()).expect("a prefix");

    made.install(&[]).succeeds();
    let tree = made.installed();
    assert!(tree.0.contains_key(&compiled), "{:?}", tree.paths());
    assert!(
        !tree
            .paths()
            .iter()
            .any(|path| path.contains("broken.cpython"))
    );
    // It names the final path of its source, not where it was compiled.
    let content = fs::read(made.prefix().join(&compiled)).expect("a file");
    let named = made
        .prefix()
        .join(format!("lib/python{version}/site-packages/greeting/cli.py"));
    let named = named.to_str().expect("a path").as_bytes();
    assert!(content.windows(named.len()).any(|window| window == named));
    let record = fs::read_to_string(made.prefix().join("conda-meta/greeting-1.0-0.json"));
    let record: serde_json::Value = serde_json::from_str(&record.expect("a record")).expect("JSON");
    let paths = record["paths_data"]["paths"].as_array().expect("paths");
    let kind = paths
        .iter()
        .find(|path| path["_path"] == *compiled)
        .expect("an entry");
    assert_eq!(kind["path_type"], "pyc_file");
    let files = record["files"].as_array().expect("files");
    assert!(files.iter().any(|path| *path == *compiled));
    // Everything else is the same.
    let without = |path: &str| path.starts_with(&cache) || path.starts_with("conda-meta/");
    assert_same(&plain.without(without), &tree.without(without));

    let greeting = run(&mut made.place.command(made.prefix().join("bin/greet"))).succeeds();
    assert_eq!(greeting.stdout, "hello\n");
}

#[test]
fn the_shell_is_initialised_in_batch_mode_only_when_asked() {
    let Some(made) = with_conda("") else { return };
    let calls = made.prefix().join("calls");
    made.install(&[]).succeeds();
    assert!(!calls.exists());
    fs::remove_dir_all(made.prefix()).expect("a prefix");
    run(made.installation(&["-c"]).env("SHELL", "/bin/zsh")).succeeds();
    assert_eq!(
        fs::read_to_string(&calls).expect("calls"),
        "-m conda init zsh "
    );
    // Not where the user is: `-m` would take modules from there.
    let folder = fs::read_to_string(made.prefix().join("calls.pwd")).expect("a folder");
    assert_eq!(Path::new(folder.trim_end()), made.prefix());
    fs::remove_dir_all(made.prefix()).expect("a prefix");

    let Some(made) = with_conda("initialize_conda = \"condabin\"") else {
        return;
    };
    made.install(&["--init"]).succeeds();
    let calls = fs::read_to_string(made.prefix().join("calls"));
    assert_eq!(calls.expect("calls"), "-m conda init --condabin ");
}

#[test]
fn nobody_has_to_listen() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    for redirection in [">&- 2>&- <&-", ">/dev/full 2>/dev/full", "| true"] {
        let mut command = made.place.command("sh");
        let script = format!("sh \"$0\" -b -p \"$1\" {redirection}");
        command
            .args(["-c", &script])
            .arg(&made.file)
            .arg(made.prefix());
        run(&mut command).succeeds();
        wait_for("prefix", || made.prefix().join("conda-meta").exists());
        wait_for("end", || {
            !made.place.join("where/.prefix.installing").exists()
        });
        made.installed();
        fs::remove_dir_all(made.prefix()).expect("a prefix");
    }
    // What was asked for is the output.
    let mut command = made.place.command("sh");
    command
        .args(["-c", "exec sh \"$0\" --list >/dev/full"])
        .arg(&made.file);
    run(&mut command)
        .exits(1)
        .says(&["cannot write to standard output"]);
}

/// An installer with something called conda in it.
pub(super) fn with_conda(keys: &str) -> Option<Made> {
    let conda = Package::generic("conda 25.9.0 0").with(vec![executable(
        "bin/conda",
        OsStr::new("#!/bin/sh\n").as_encoded_bytes(),
    )]);
    make(&[python()?.package, conda], keys)
}
