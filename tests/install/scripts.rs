//! Scripts of the distribution and of packages: their environment (constructor's and conda's), and
//! that a failing one is a failed installation.

use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;

use super::support::{Made, PLATFORM, make, make_in, sample};
use crate::support::package::{Package, executable, link_script};
use crate::support::run::{Place, run};
use crate::support::tree::assert_same;

#[test]
fn distribution_scripts_see_what_constructor_shows_them() {
    let place = Place::new();
    place.write(
        "pre.sh",
        "env -0 >\"$PREFIX/pre.env\"\npwd >\"$PREFIX/pre.pwd\"\n",
    );
    place.write(
        "post.sh",
        "#!/bin/bash -u\nenv -0 >\"$PREFIX/post.env\"\npwd >\"$PREFIX/post.pwd\"\n\
         [[ -f $PREFIX/bin/where ]]\n",
    );
    let keys = "pre_install = \"pre.sh\"\npost_install = \"post.sh\"\n\
                script_env_variables = { GREETING = \"a 'b' $HOME\" }";
    let Some(made) = make_in(place, &[sample()], keys) else {
        return;
    };
    let mut command = made.command(&["-b", "-p", "where/prefix"]);
    for name in [
        "LD_LIBRARY_PATH",
        "LD_AUDIT",
        "CONDARC",
        "MAMBARC",
        "PYTHON_SYSCONFIGDATA_NAME",
    ] {
        command.env(name, "");
    }
    run(&mut command).succeeds();

    let prefix = made.prefix();
    let shown = prefix.to_str().expect("a path");
    let file = made.file.to_str().expect("a path");
    for (script, force) in [("pre", None), ("post", Some("0"))] {
        let environment = environment(&prefix.join(format!("{script}.env")));
        let variable = |name: &str| environment.get(name).map(String::as_str);
        assert_eq!(variable("PREFIX"), Some(shown), "{script}");
        assert_eq!(variable("INSTALLER_NAME"), Some("Small"));
        assert_eq!(variable("INSTALLER_VER"), Some("1.0"));
        assert_eq!(variable("INSTALLER_PLAT"), Some(PLATFORM));
        assert_eq!(variable("INSTALLER_TYPE"), Some("SH"));
        assert_eq!(variable("INSTALLER_PATH"), Some(file));
        assert_eq!(variable("INSTALLER_UNATTENDED"), Some("1"));
        assert_eq!(variable("GREETING"), Some("a 'b' $HOME"));
        assert_eq!(variable("FORCE"), force, "{script}");
        let misleading = [
            "LD_LIBRARY_PATH",
            "LD_PRELOAD",
            "LD_AUDIT",
            "CONDARC",
            "MAMBARC",
        ];
        for name in misleading.iter().chain(&["PYTHON_SYSCONFIGDATA_NAME"]) {
            assert_eq!(variable(name), None, "{script} {name}");
        }
        let folder = fs::read_to_string(prefix.join(format!("{script}.pwd")));
        assert_eq!(folder.expect("a file").trim_end(), shown, "{script}");
    }
    // What constructor does with TMP: a folder in the prefix while nothing else is there.
    made.installed();
}

#[test]
fn link_scripts_see_what_conda_shows_them() {
    let first = Package::generic("first 1.0 0").with(vec![
        executable("bin/first", "#!/bin/sh\necho first\n"),
        link_script("first", "post-link", "echo first >>\"$PREFIX/order\"\n"),
    ]);
    let second = Package::generic("a-second 2.0 h1_7")
        .needs(&["first"])
        .with(vec![
            executable("bin/second", "#!/bin/sh\n"),
            link_script(
                "a-second",
                "post-link",
                "set -e\nenv -0 >\"$PREFIX/link.env\"\nfirst >>\"$PREFIX/order\"\n\
             echo second >>\"$PREFIX/order\"\necho 'Mind the step.' >>\"$PREFIX/.messages.txt\"\n",
            ),
        ]);
    let Some(made) = make(&[first, second], "") else {
        return;
    };
    // The user has another environment active.
    let mut install = made.installation(&[]);
    for (name, value) in [
        ("CONDA_PREFIX", "/elsewhere"),
        ("CONDA_DEFAULT_ENV", "other"),
        ("CONDA_SHLVL", "2"),
        ("CONDA_EXE", "/elsewhere/bin/conda"),
        ("CONDA_PYTHON_EXE", "/elsewhere/bin/python"),
        ("PYTHONHOME", "/elsewhere"),
        ("PYTHONPATH", "/elsewhere/lib"),
    ] {
        install.env(name, value);
    }
    run(&mut install).succeeds().prints(&["Mind the step."]);
    made.installed();
    let prefix = made.prefix();
    let order = fs::read_to_string(prefix.join("order")).expect("a file");
    assert_eq!(order, "first\nfirst\nsecond\n");
    assert!(!prefix.join(".messages.txt").exists());
    let environment = environment(&prefix.join("link.env"));
    let shown = prefix.to_str().expect("a path");
    for (name, value) in [
        ("PREFIX", shown),
        ("ROOT_PREFIX", shown),
        ("PKG_NAME", "a-second"),
        ("PKG_VERSION", "2.0"),
        ("PKG_BUILDNUM", "7"),
        ("CONDA_PREFIX", shown),
        ("CONDA_SHLVL", "1"),
    ] {
        assert_eq!(
            environment.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    let path = environment.get("PATH").expect("a path");
    assert!(path.starts_with(&format!("{shown}/bin:")), "{path}");
    let elsewhere = |(_, value): &(&String, &String)| value.contains("/elsewhere");
    assert_eq!(environment.iter().find(elsewhere), None);
}

#[test]
fn a_failing_script_undoes_everything() {
    for (script, text) in [
        (
            "pre",
            "error: the pre_install script failed: exit status: 3",
        ),
        (
            "post",
            "error: the post_install script failed: exit status: 3",
        ),
        (
            "link",
            "error: the post-link script of linked failed: exit status: 3",
        ),
        ("killed", "error: the post_install script failed: signal: 9"),
    ] {
        let made = failing(script);
        let Some(made) = made else { return };
        let before = made.everything();
        let output = made.install(&[]).exits(1).says(&[text]);
        if script == "link" {
            let output =
                output.says(&["output of the post-link script of linked:", "said by link"]);
            assert!(!output.stdout.contains("said by link"));
        }
        assert_same(&before, &made.everything());
        // The parents that were made for it go too.
        made.run(&["-b", "-p", "where/new/and/deep"])
            .exits(1)
            .says(&[text]);
        assert_same(&before, &made.everything());
        // An empty folder stays one, with its mode.
        fs::create_dir(made.prefix()).expect("a folder");
        fs::set_permissions(made.prefix(), super::support::permissions(0o751)).expect("a folder");
        let before = made.everything();
        made.install(&[]).exits(1).says(&[text]);
        assert_same(&before, &made.everything());
        made.install(&["-s"]).succeeds();
    }
}

#[test]
fn a_script_that_cannot_start_is_named() {
    let place = Place::new();
    place.write("post.sh", "#!/no/such/interpreter\n");
    let Some(made) = make_in(place, &[sample()], "post_install = \"post.sh\"") else {
        return;
    };
    let before = made.everything();
    made.install(&[])
        .exits(1)
        .says(&["cannot run the post_install script"]);
    assert_same(&before, &made.everything());
}

fn failing(script: &str) -> Option<Made> {
    let place = Place::new();
    let text = |name| {
        let body = "mkdir -p \"$PREFIX/made/by\"; touch \"$PREFIX/made/by/script\"";
        let end = if script == name { "exit 3" } else { ":" };
        let end = if script == "killed" && name == "post" {
            "kill -9 $$"
        } else {
            end
        };
        format!("{body}; echo said by {name}; {end}\n")
    };
    place.write("pre.sh", text("pre"));
    place.write("post.sh", text("post"));
    let linked = Package::generic("linked 1.0 0").with(vec![
        executable("bin/linked", "#!/bin/sh\n"),
        link_script("linked", "post-link", &text("link")),
    ]);
    let keys = "pre_install = \"pre.sh\"\npost_install = \"post.sh\"";
    make_in(place, &[linked, sample()], keys)
}

fn environment(file: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(file).expect("an environment");
    text.split('\0')
        .filter_map(|entry| entry.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
