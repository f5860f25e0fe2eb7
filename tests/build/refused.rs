//! Specs and command lines that cannot be carried out: where the mistake is, and what to do.

use std::path::Path;

use super::{dry, small, spec};
use crate::support::requirements;
use crate::support::run::{Place, run};
use crate::support::tree::snapshot;

const KEYS: &str = "channels = [\"channel\"]\nspecs = [\"alpha\"]\n";

#[test]
fn mistakes_in_a_spec_show_their_line() {
    // name and version are lines 1 and 2, so that these keys begin on line 3.
    let cases: [(&str, &[&str]); 9] = [
        (
            "chanels = [\"a\"]\nspecs = [\"b\"]",
            &["chanels", "channels", "3"],
        ),
        ("channels = \"a\"\nspecs = [\"b\"]", &["channels", "3"]),
        ("channels = [\"a\"]\nspecs = [1]", &["specs", "4"]),
        ("channels = [\"a\"]\nspecs = [\"b ==\"]", &["b ==", "4"]),
        (
            "channels = [\"a\"]\nspecs = [\"b\"]\nmenu_packages = [\"b\"]",
            &["menu_packages", "5", "yet"],
        ),
        (
            "channels = [\"a\"]\nspecs = [\"b\"]\nplatforms = [\"linux-amiga\"]",
            &["linux-amiga", "5"],
        ),
        (
            "channels = [\"a\"]\nspecs = [\"b\"]\ncompression = \"brutal\"",
            &["brutal", "solid", "5"],
        ),
        ("channels = [\"a\"]", &["specs", "environment_file"]),
        ("channels = [\"a\"\nspecs = [\"b\"]", &["dist.toml"]),
    ];
    for (keys, expected) in cases {
        let place = Place::new();
        let output = dry(&place, &spec(&place, keys), &[])
            .exits(2)
            .says(expected);
        let output = output.says(&["dist.toml"]);
        assert_eq!(output.stdout, "", "{output}");
    }
}

#[test]
fn all_mistakes_are_shown_at_once() {
    let place = Place::new();
    let keys = "chanels = [\"a\"]\nspecs = [\"b\"]\nkeep_pkgs = \"yes\"\nlicence_file = \"x\"";
    dry(&place, &spec(&place, keys), &[]).exits(2).says(&[
        "chanels",
        "keep_pkgs",
        "licence_file",
        "license_file",
    ]);
}

#[test]
fn files_that_a_spec_names_and_that_are_not_there() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    for key in [
        "license_file = \"gone\"",
        "extra_files = [\"gone\"]",
        "post_install = \"gone\"",
        "license_file = \"channel\"",
    ] {
        let place = Place::new();
        small(&place);
        let spec = spec(&place, &format!("{KEYS}{key}"));
        let (key, file) = key.split_once(" = ").expect("a key");
        let file = file.trim_matches(['[', ']', '"']);
        // Before anything is solved.
        dry(&place, &spec, &[]).exits(2).says(&[key, file]);
        let output = run(&mut place.build(&runtimes, spec))
            .exits(2)
            .says(&[key, file]);
        assert_eq!(output.lines("error:").len(), 1, "{output}");
        assert!(!place.join("dist.lock").exists(), "no lock");
        assert!(snapshot(&place.out()).0.is_empty(), "no installer");
    }
}

#[test]
fn files_of_the_wrong_kind() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    small(&place);
    place.write("latin1", b"caf\xe9");
    let licence = spec(&place, &format!("{KEYS}license_file = \"latin1\""));
    run(&mut place.build(&runtimes, licence))
        .exits(1)
        .says(&["latin1", "license_file", "UTF-8"]);
    let extra = spec(&place, &format!("{KEYS}extra_files = [\"channel\"]"));
    run(&mut place.build(&runtimes, extra))
        .exits(2)
        .says(&["channel", "not a regular file"]);
}

#[test]
fn command_lines_that_mean_nothing() {
    let place = Place::new();
    small(&place);
    let spec = spec(&place, KEYS);
    let absent = dry(&place, Path::new("absent.toml"), &[])
        .exits(2)
        .says(&["absent.toml"]);
    assert_eq!(absent.lines("error:").len(), 1, "{absent}");
    for (arguments, expected) in [
        (&["--locked", "--update"][..], "--update"),
        (&["--nonsense"], "--nonsense"),
        (&["--timeout", "0"], "0"),
        (&["--channel-alias", "no url"], "no url"),
        (&["--threads", "many"], "many"),
    ] {
        dry(&place, &spec, arguments).exits(2).says(&[expected]);
    }
    run(&mut place.command(env!("CARGO_BIN_EXE_build-installer")))
        .exits(2)
        .says(&["Usage"]);
    let epoch = place
        .build(Path::new("/nonexistent"), &spec)
        .arg("--dry-run")
        .env("SOURCE_DATE_EPOCH", "yesterday")
        .output();
    let epoch = epoch.expect("a command");
    assert_eq!(epoch.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&epoch.stderr).contains("SOURCE_DATE_EPOCH"));
}

#[test]
fn help_and_version_go_to_standard_output() {
    let place = Place::new();
    for program in [
        env!("CARGO_BIN_EXE_build-installer"),
        env!("CARGO_BIN_EXE_archiconda"),
    ] {
        let help = run(place.command(program).arg("--help"))
            .succeeds()
            .prints(&["Usage"]);
        assert_eq!(help.stderr, "");
        let version = env!("CARGO_PKG_VERSION");
        run(place.command(program).arg("--version"))
            .succeeds()
            .prints(&[version]);
    }
    run(place
        .command(env!("CARGO_BIN_EXE_build-installer"))
        .arg("-h"))
    .succeeds()
    .prints(&["--channel-alias", "--offline", "--locked"]);
}

#[test]
fn an_output_folder_that_cannot_be_written() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    small(&place);
    let spec = spec(&place, KEYS);
    fs_err::remove_dir(place.out()).expect("a folder");
    place.write("out", "a file stands in the way");
    let output = run(&mut place.build(&runtimes, spec))
        .exits(1)
        .says(&["out"]);
    assert_eq!(output.lines("error:").len(), 1, "{output}");
}
