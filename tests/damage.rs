//! Packages and channels that are damaged or hostile, met by the builder: exit code 4, one clear
//! line, and nothing left behind.

use std::path::Path;

use archive::package::Kind;
use fs_err as fs;
use serde_json::json;

use crate::support::channel::describe;
use crate::support::package::{self, Package};
use crate::support::raw::{self, Raw};
use crate::support::requirements;
use crate::support::run::{Output, Place, run};
use crate::support::tree::snapshot;

const KEYS: &str = "name = \"Example\"\nversion = \"1.0\"\nchannels = [\"channel\"]\n\
                    specs = [\"evil\"]\nplatforms = [\"linux-64\"]\n";

/// `evil`, next to a good package that it needs.
fn evil(kind: Kind) -> Package {
    Package {
        kind,
        ..Package::named("evil 1.0 0").needs(&["good", "python"])
    }
}

/// A channel whose repodata promises exactly these bytes.
fn publish(place: &Place, evil: &Package, bytes: &[u8]) {
    let channel = place.join("channel");
    let python = Package::named("python 3.12.1 0");
    let good = Package::generic("good 1.0 0");
    let all = [
        (evil, bytes.to_vec()),
        (&good, good.bytes()),
        (&python, python.bytes()),
    ];
    describe(&channel, &all);
}

fn build(place: &Place, runtimes: &Path) -> Output {
    let spec = place.write("dist.toml", KEYS);
    run(&mut place.build(runtimes, spec))
}

/// `bytes` as the package `evil` end with 4, with words about all of `expected`; then the same
/// place with a sound `evil` builds.
fn refuse(runtimes: &Path, evil: &Package, bytes: &[u8], expected: &[&str]) {
    let place = Place::new();
    publish(&place, evil, bytes);
    let output = build(&place, runtimes).exits(4).says(expected);
    let output = output.says(&[&evil.stem()]).hides(&["panicked"]);
    assert_eq!(output.lines("error:").len(), 1, "{output}");
    assert!(
        output.stderr.lines().count() <= 5,
        "a clear word, not many: {output}"
    );
    let control = |letter: char| letter.is_control() && letter != '\n';
    assert!(
        !output.stderr.contains(control),
        "nothing steers the terminal: {output}"
    );

    assert_eq!(output.stdout, "", "{output}");
    assert!(
        snapshot(&place.out()).0.is_empty(),
        "no installer: {output}"
    );
    assert!(
        snapshot(&place.join("tmp")).0.is_empty(),
        "no temporary files: {output}"
    );

    let sound = Package {
        kind: evil.kind,
        ..Package::named("evil 1.0 0").needs(&["good"])
    };
    publish(&place, &sound, &sound.bytes());
    let _ = fs::remove_file(place.join("dist.lock"));
    build(&place, runtimes).succeeds();
}

/// The same entries in both formats.
fn refuse_content(content: &[Raw], expected: &[&str]) {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    for kind in [Kind::Conda, Kind::TarBz2] {
        // The package's own list does not name what the archive should not have.
        let evil = Package {
            files: Vec::new(),
            ..evil(kind)
        };
        refuse(&runtimes, &evil, &raw::package(&evil, content), expected);
    }
}

#[test]
fn setuid_and_setgid_files() {
    for mode in [0o4755, 0o2755, 0o6711] {
        let file = Raw {
            mode,
            ..raw::file("bin/su", "#!/bin/sh\n")
        };
        refuse_content(&[file], &["`bin/su`", "setuid"]);
    }
}

#[test]
fn devices_pipes_and_unknown_kinds() {
    refuse_content(&[raw::node(b'3', "dev/null")], &["`dev/null`", "device"]);
    refuse_content(&[raw::node(b'4', "dev/sda")], &["`dev/sda`", "device"]);
    refuse_content(&[raw::node(b'6', "run/pipe")], &["`run/pipe`", "pipe"]);
    refuse_content(&[raw::node(b'Q', "odd")], &["`odd`"]);
}

#[test]
fn paths_that_lead_outside() {
    for name in [
        "../outside",
        "share/../../outside",
        "/etc/outside",
        "a/../../../etc/passwd",
    ] {
        refuse_content(&[raw::file(name, "x")], &[name]);
    }
}

#[test]
fn links_that_lead_outside() {
    refuse_content(&[raw::link(b'2', "etc", "/etc")], &["`etc`", "/etc"]);
    refuse_content(&[raw::link(b'2', "lib/up", "../../..")], &["`lib/up`"]);
    refuse_content(
        &[raw::link(b'1', "shadow", "/etc/shadow")],
        &["/etc/shadow"],
    );
    refuse_content(&[raw::link(b'1', "shadow", "../shadow")], &["../shadow"]);
    refuse_content(
        &[raw::link(b'1', "first", "second"), raw::file("second", "")],
        &["`second`"],
    );
}

#[test]
fn files_below_a_link() {
    let inside = [raw::link(b'2', "lib", "share"), raw::file("lib/file", "x")];
    refuse_content(&inside, &["`lib/file`", "`lib`"]);
    let chain = [
        raw::link(b'2', "a", "b"),
        raw::link(b'2', "b", "c"),
        raw::file("a/file", "x"),
    ];
    refuse_content(&chain, &["`a/file`"]);
}

#[test]
fn entries_that_are_there_twice() {
    refuse_content(
        &[raw::file("twice", "a"), raw::file("twice", "b")],
        &["`twice`", "twice"],
    );
    refuse_content(
        &[raw::file("file", "a"), raw::file("file/below", "b")],
        &["`file/below`"],
    );
    refuse_content(&[raw::file("x", "a"), raw::link(b'2', "x", "y")], &["`x`"]);
}

#[test]
fn a_size_of_4_gb_in_1_kb() {
    let huge = Raw {
        size: Some(4 << 30),
        ..raw::file("huge", "little")
    };
    refuse_content(&[huge], &["`huge`"]);
    let absurd = Raw {
        size: Some((8 << 30) - 1),
        ..raw::file("huge", "")
    };
    refuse_content(&[raw::file("first", "x"), absurd], &["`huge`"]);
}

#[test]
fn a_small_archive_that_decodes_to_gigabytes() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let evil = evil(Kind::Conda);
    let info: Vec<Raw> = evil
        .info_files()
        .iter()
        .map(|(path, text)| raw::file(path, text))
        .collect();
    let mut head = raw::tar(&[Raw {
        size: Some(1 << 30),
        ..raw::file("info/about.json", "")
    }]);
    head.truncate(512);
    let zeros = std::io::Read::take(std::io::repeat(0), 1 << 30);
    let bomb = std::io::Read::chain(&head[..], zeros);
    let info = zstd::encode_all(std::io::Read::chain(bomb, &raw::tar(&info)[..]), 1);
    let info = info.expect("a stream");
    assert!(info.len() < 1 << 20, "{} bytes", info.len());
    let content = zstd::encode_all(&raw::tar(&[])[..], 3).expect("a stream");
    let stem = evil.stem();
    let bytes = raw::zip(&[
        ("metadata.json", br#"{"conda_pkg_format_version": 2}"#),
        (&format!("pkg-{stem}.tar.zst"), &content),
        (&format!("info-{stem}.tar.zst"), &info),
    ]);
    refuse(&runtimes, &evil, &bytes, &["`info/about.json`", "limit"]);
}

#[test]
fn metadata_that_is_missing() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    for kind in [Kind::Conda, Kind::TarBz2] {
        for file in ["info/index.json", "info/paths.json"] {
            let evil = Package {
                without: vec![file],
                ..evil(kind)
            };
            let said = if file == "info/paths.json" {
                "info/files"
            } else {
                file
            };
            refuse(&runtimes, &evil, &evil.bytes(), &[said]);
        }
    }
}

#[test]
fn metadata_that_is_none() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let cases = [
        ("info/index.json", "{"),
        ("info/index.json", "[]"),
        ("info/paths.json", "{\"paths\": 1}"),
        ("info/paths.json", "nonsense"),
        ("info/link.json", "{\"noarch\": 1}"),
    ];
    for kind in [Kind::Conda, Kind::TarBz2] {
        for (file, text) in cases {
            let evil = Package {
                info: vec![(file, text.to_owned())],
                ..evil(kind)
            };
            refuse(&runtimes, &evil, &evil.bytes(), &[file]);
        }
    }
}

#[test]
fn a_list_that_does_not_fit_the_content() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    for path in ["share/absent", "../outside", "/etc/passwd"] {
        let entry = json!({ "_path": path, "path_type": "hardlink", "size_in_bytes": 1 });
        let paths = json!({ "paths": [entry], "paths_version": 1 });
        let info = vec![("info/paths.json", paths.to_string())];
        let evil = Package {
            info,
            ..evil(Kind::Conda)
        };
        refuse(&runtimes, &evil, &evil.bytes(), &[path]);
    }
}

#[test]
fn entry_points_that_lead_elsewhere() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    for entry_point in [
        "../../outside = a:b",
        "/bin/sh = a:b",
        "bin/sh = a:b",
        ".. = a:b",
        " = a:b",
        "no colon",
    ] {
        let evil = Package {
            kind: Kind::Conda,
            depends: vec!["good".into(), "python".into()],
            ..Package::python("evil 1.0 0", &[entry_point])
        };
        let name = match entry_point.split_once(" = ") {
            Some((name, _)) => name,
            None => "info/link.json",
        };

        refuse(&runtimes, &evil, &evil.bytes(), &[name]);
    }
}

#[test]
fn archives_that_are_cut_off() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    for kind in [Kind::Conda, Kind::TarBz2] {
        let evil = evil(kind);
        let whole = evil.bytes();
        for length in [0, 1, 100, whole.len() / 2, whole.len() - 1] {
            refuse(&runtimes, &evil, &whole[..length], &[]);
        }
    }
}

#[test]
fn archives_with_other_bytes() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    for kind in [Kind::Conda, Kind::TarBz2] {
        let evil = evil(kind);
        refuse(&runtimes, &evil, b"<html>404</html>", &[]);
        let whole = evil.bytes();
        // In the middle of a compressed stream, where there is a checksum over it.
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 0x10;
        refuse(&runtimes, &evil, &flipped, &[]);
    }
}

#[test]
fn bytes_that_the_repodata_does_not_promise() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    let evil = evil(Kind::Conda);
    publish(&place, &evil, &evil.bytes());
    let mut other = evil.bytes();
    let last = other.len() - 1;
    other[last] ^= 1;
    package::write_to(&place.join("channel"), &evil, &other);
    let output =
        build(&place, &runtimes)
            .exits(4)
            .says(&["sha256", "evil-1.0-0.conda", "expected"]);
    assert_eq!(output.lines("error:").len(), 1, "{output}");
    package::write_to(&place.join("channel"), &evil, &evil.bytes()[..200]);
    build(&place, &runtimes)
        .exits(4)
        .says(&["evil-1.0-0.conda"]);
    assert!(snapshot(&place.out()).0.is_empty(), "no installer");
    package::write_to(&place.join("channel"), &evil, &evil.bytes());
    build(&place, &runtimes).succeeds();
}

#[test]
fn a_damaged_cache_is_mended() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    let place = Place::new();
    let package = evil(Kind::TarBz2);
    publish(&place, &package, &package.bytes());
    build(&place, &runtimes).succeeds();
    let name = "Example-1.0-Linux-x86_64.sh";
    let first = fs::read(place.out().join(name)).expect("an installer");
    // Every file of the cache is cut in half, one at a time; then all.
    let cached: Vec<String> = snapshot(&place.cache())
        .0
        .into_iter()
        .filter(|(_, node)| matches!(node, crate::support::tree::Node::File { .. }))
        .map(|(path, _)| path)
        .collect();
    assert!(cached.len() > 5, "{cached:?}");
    let halve = |path: &str| {
        let path = place.cache().join(path);
        if let Ok(bytes) = fs::read(&path) {
            fs::write(path, &bytes[..bytes.len() / 2]).expect("a file");
        }
    };
    for path in &cached {
        halve(path);
        let output = build(&place, &runtimes);
        assert_eq!(output.code, Some(0), "with half of {path}: {output}");
        assert!(
            fs::read(place.out().join(name)).expect("an installer") == first,
            "{path}"
        );
    }
    for path in &cached {
        halve(path);
    }
    build(&place, &runtimes).succeeds();
    assert!(fs::read(place.out().join(name)).expect("an installer") == first);
}

#[test]
fn a_flipped_bit_in_the_cache_is_no_installer() {
    let Some(runtimes) = requirements::runtimes() else {
        return;
    };
    for kind in [Kind::Conda, Kind::TarBz2] {
        let place = Place::new();
        let package = evil(kind);
        publish(&place, &package, &package.bytes());
        build(&place, &runtimes).succeeds();
        let name = "Example-1.0-Linux-x86_64.sh";
        let first = fs::read(place.out().join(name)).expect("an installer");
        for path in snapshot(&place.cache()).paths() {
            let path = place.cache().join(path);
            let Ok(mut bytes) = fs::read(&path) else {
                continue;
            };
            let middle = bytes.len() / 2;
            let Some(byte) = bytes.get_mut(middle) else {
                continue;
            };
            *byte ^= 1;
            fs::write(&path, &bytes).expect("a file");
            let _ = fs::remove_file(place.out().join(name));
            let output = build(&place, &runtimes).hides(&["panicked"]);
            let built = fs::read(place.out().join(name));
            match output.code {
                Some(0) => assert!(
                    built.expect("an installer") == first,
                    "another installer after a flip in {}",
                    path.display()
                ),
                Some(1 | 4) => assert!(built.is_err(), "an installer in spite of: {output}"),
                _ => panic!("after a flip in {}: {output}", path.display()),
            }
            // What was there before, so that each flip is tried alone.
            *bytes.get_mut(middle).expect("a byte") ^= 1;
            if path.exists() {
                fs::write(&path, &bytes).expect("a file");
            }
        }
    }
}
