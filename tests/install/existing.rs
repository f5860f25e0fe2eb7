//! Prefixes that exist: `-f` over an older installation with the user's own files, empty folders,
//! mount points, and that a failure leaves them byte for byte as they were.

use fs_err as fs;

use super::support::{Made, make, make_in, permissions, sample};
use crate::support::package::{File, Package, executable, file, link_script, text_prefix};
use crate::support::run::{Place, run};
use crate::support::tree::{Node, Tree, assert_same, snapshot};

#[test]
fn force_replaces_what_is_new_and_keeps_the_rest() {
    let Some(made) = two_versions("") else { return };
    let (made, old) = (made.new, made.old);
    made.install(&[]).exits(1).says(&["already exists", "-f"]);
    assert_same(&old, &snapshot(&made.prefix()));
    for option in ["-f", "-u"] {
        made.install(&[option]).succeeds();
        let tree = made.installed();
        let content = |path: &str| fs::read_to_string(made.prefix().join(path)).expect("a file");
        assert_eq!(content("share/tool/version"), "2\n");
        assert_eq!(content("mine/notes"), "mine\n");
        assert!(tree.0.contains_key("conda-meta/tool-2.0-0.json"));
        assert!(!tree.0.contains_key("conda-meta/tool-1.0-0.json"));
        assert!(tree.0.contains_key("conda-meta/foreign-1-0.json"));
        assert!(!tree.0.contains_key(".installing"));
        let history = content("conda-meta/history");
        assert_eq!(
            history.matches("# cmd: ").count(),
            if option == "-f" { 2 } else { 3 }
        );
        assert!(history.contains("::tool-1.0-0\n"), "{history}");
        let removed = history.lines().filter(|line| line.starts_with('-'));
        assert_eq!(removed.count(), 1, "{history}");
        // The user's own permissions stay with the user's own folders.
        assert_eq!(tree.0.get("mine"), Some(&Node::Folder { mode: 0o700 }));
    }
}

#[test]
fn a_failure_leaves_an_existing_prefix_as_it_was() {
    for (keys, breaks) in [
        ("post_install = \"fails.sh\"", "post_install script failed"),
        ("pre_install = \"fails.sh\"", "pre_install script failed"),
        ("", "post-link script of tool failed"),
        ("", "is a directory"),
    ] {
        let Some(Versions { new: made, .. }) = two_versions(keys) else {
            return;
        };
        match breaks {
            "is a directory" => {
                // A folder of the user where the new version has a file.
                made.place
                    .write("where/prefix/share/tool/new/of/the/user", "mine");
            }
            "post-link script of tool failed" => {
                made.place.write("fail", "");
            }
            _ => {}
        }
        let before = made.everything();
        let output = made.install(&["-f"]).exits(1);
        assert!(
            output.stderr.to_lowercase().contains(breaks),
            "{breaks}: {output}"
        );
        assert_same(&before, &made.everything());
    }
}

#[test]
fn an_empty_folder_and_a_mount_point_are_prefixes() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    made.install(&[]).succeeds();
    let expected = made
        .installed()
        .without(|path| path == "conda-meta/history");
    fs::remove_dir_all(made.prefix()).expect("a prefix");

    fs::create_dir(made.prefix()).expect("a folder");
    fs::set_permissions(made.prefix(), permissions(0o750)).expect("a folder");
    made.install(&[]).succeeds();
    assert_same(
        &expected,
        &made
            .installed()
            .without(|path| path == "conda-meta/history"),
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(made.prefix()).expect("a folder").permissions(),
    );
    assert_eq!(mode & 0o777, 0o750);
    fs::remove_dir_all(made.prefix()).expect("a prefix");
    fs::create_dir(made.prefix()).expect("a folder");

    let script = "mount -t tmpfs -o size=4m tmpfs \"$2\"; mkdir \"$2/lost+found\"\n\
                  sh \"$1\" -b -p \"$2\"; rmdir \"$2/lost+found\"; cp -a \"$2\" copy";
    let Some(mut command) = made.with_mounts(script) else {
        return;
    };
    run(&mut command).succeeds();
    let copy = snapshot(&made.place.join("copy")).without(|path| path == "conda-meta/history");
    assert_same(&expected, &copy);
    assert_eq!(snapshot(&made.prefix()), Tree::default());
}

#[test]
fn a_link_to_a_folder_is_followed_once() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    let real = made.place.join("real");
    fs::create_dir(&real).expect("a folder");
    std::os::unix::fs::symlink(&real, made.prefix()).expect("a link");
    made.install(&[]).succeeds();
    let output = run(made
        .place
        .command(real.join("bin/where"))
        .env("PATH", "/usr/bin:/bin"));
    assert_eq!(output.stdout, format!("{}\n", real.display()));
    assert!(made.prefix().is_symlink());
}

struct Versions {
    /// The newer installer, beside a prefix of the older one.
    new: Made,
    /// That prefix.
    old: Tree,
}

/// Installs version 1 and adds files of the user; makes the installer of version 2.
fn two_versions(keys: &str) -> Option<Versions> {
    let place = Place::new();
    // What a script does to files that are not the installer's cannot be undone; so it changes only
    // those, once they are in place.
    place.write(
        "fails.sh",
        "[ -z \"${FORCE-}\" ] || echo changed >>\"$PREFIX/share/tool/version\"\nexit 3\n",
    );
    let made = make_in(place, &[tool("1.0")], "")?;
    made.install(&[]).succeeds();
    made.place.write("where/prefix/mine/notes", "mine\n");
    made.place
        .write("where/prefix/conda-meta/foreign-1-0.json", "{}");
    fs::set_permissions(made.prefix().join("mine"), permissions(0o700)).expect("a folder");
    // Files that the user has changed.
    made.place
        .write("where/prefix/share/tool/changed", "by the user\n");
    let old = snapshot(&made.prefix());
    let Made { place, .. } = made;
    let new = make_in(place, &[tool("2.0")], keys)?;
    Some(Versions { new, old })
}

fn tool(version: &str) -> Package {
    let number = &version[..1];
    let only_new = (number == "2").then(|| file("share/tool/new", "new\n"));
    let mut files = vec![
        File {
            mode: 0o755,
            ..text_prefix("bin/tool", "#!/bin/sh\necho @PREFIX@\n")
        },
        executable("bin/same", "#!/bin/sh\n"),
        file("share/tool/version", format!("{number}\n")),
        file("share/tool/changed", "by the package\n"),
        link_script("tool", "post-link", "[ ! -e \"$PREFIX/../../fail\" ]\n"),
    ];
    files.extend(only_new);
    Package::generic(&format!("tool {version} 0")).with(files)
}
