//! What the spec asks for besides packages is in the prefix: `.condarc`, the licence, extra files,
//! and a history that says who asked for what.

use fs_err as fs;
use serde_json::Value;

use super::support::{PLATFORM, make_in, permissions, sample};
use crate::support::run::Place;
use crate::support::tree::Node;

#[test]
fn the_installers_own_files_are_there() {
    let place = Place::new();
    place.write("license.txt", "Terms.\n");
    place.write("top.txt", "at the top\n");
    let program = place.write("program", "#!/bin/sh\necho here\n");
    fs::set_permissions(program, permissions(0o755)).expect("a file");
    place.write("data.txt", "in place of the package's\n");
    let keys = "license_file = \"license.txt\"\nwrite_condarc = true\n\
        conda_default_channels = [\"main\"]\nconda_channel_alias = \"https://example.org\"\n\
        extra_files = [\"top.txt\", { \"program\" = \"bin/program\" }, \
        { \"data.txt\" = \"share/sample/data\" }]\n\
        user_requested_specs = [\"sample >=1\", \"other[version='2']\"]";
    let Some(made) = make_in(place, &[sample()], keys) else {
        return;
    };
    made.install(&["--no-compile"]).succeeds();
    let tree = made.installed();
    let read = |path: &str| fs::read_to_string(made.prefix().join(path)).expect(path);
    assert_eq!(read("LICENSE.txt"), "Terms.\n");
    assert_eq!(read("top.txt"), "at the top\n");
    assert_eq!(read("share/sample/data"), "in place of the package's\n");
    // The package's other name of that file has the package's content.
    assert!(read("share/sample/same").starts_with("data\n"));
    let mode = |path: &str| match &tree.0[path] {
        Node::File { mode, .. } => *mode,
        other => panic!("{path}: {other}"),
    };
    assert_eq!(mode("bin/program"), 0o755);
    assert_eq!(mode("top.txt"), 0o644);

    let condarc = read(".condarc");
    for line in [
        "channel_alias: https://example.org",
        "default_channels:",
        "channels:",
        "main",
    ] {
        assert!(condarc.contains(line), "{condarc}");
    }
    let info: Value = serde_json::from_str(&read(".installer.info")).expect("JSON");
    assert_eq!(info["name"], "Small");
    assert_eq!(info["platform"], PLATFORM);
    let explicit = read("conda-meta/initial-state.explicit.txt");
    let mut lines = explicit.lines();
    assert_eq!(lines.next(), Some("@EXPLICIT"));
    let package = lines.next().expect("a package");
    assert!(package.contains("/noarch/sample-1.0-0.conda#"), "{package}");

    // The record does not name what the package lost.
    let record: Value = serde_json::from_str(&read("conda-meta/sample-1.0-0.json")).expect("JSON");
    let files = record["files"].as_array().expect("files");
    assert!(!files.iter().any(|file| file == "share/sample/data"));
    assert!(files.iter().any(|file| file == "share/sample/same"));
    assert_eq!(record["requested_specs"], serde_json::json!(["sample >=1"]));

    let history = read("conda-meta/history");
    let lines: Vec<&str> = history.lines().collect();
    let [time, command, package, specs] = lines[..] else {
        panic!("{history}");
    };
    assert!(
        time.starts_with("==> 20") && time.ends_with(" <=="),
        "{time}"
    );
    assert!(command.starts_with("# cmd: "), "{command}");
    assert!(
        command.ends_with("-b -p ") || command.ends_with("--no-compile"),
        "{command}"
    );
    assert!(
        package.starts_with('+') && package.ends_with("::sample-1.0-0"),
        "{package}"
    );
    assert_eq!(
        specs,
        "# update specs: ['sample >=1', \"other[version='2']\"]"
    );
}

#[test]
fn a_literal_condarc_is_written_as_it_stands() {
    let keys = "condarc = \"channels:\\n  - mine # and mine alone\\n\"";
    let Some(made) = make_in(Place::new(), &[sample()], keys) else {
        return;
    };
    made.install(&[]).succeeds();
    let condarc = fs::read_to_string(made.prefix().join(".condarc")).expect("a file");
    assert_eq!(condarc, "channels:\n  - mine # and mine alone\n");
}
