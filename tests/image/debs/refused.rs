//! Debian archives and packages that are not to be trusted, or not to be had.

use fs_err as fs;
use serde_json::json;

use super::super::mirror::{Deb, Put};
use super::super::{definition, inspect, unpack};
use super::{bake_intel, mirror, system};
use crate::support::run::{Output, Place};
use crate::support::server::{Access, Server};

/// Bakes, and makes sure that nothing is left.
fn refused(place: &Place) -> Output {
    let output = bake_intel(place, "image", &[]);
    assert!(!place.join("image").exists());
    output
}

#[test]
fn archives_that_are_not_to_be_trusted() {
    let place = Place::new();
    let Some(mut mirror) = mirror(&place) else {
        return;
    };
    definition(&place, &mirror.base(""));
    let release = place.join("mirror/dists/tiny/InRelease");
    let good = fs::read_to_string(&release).expect("a release");
    fs::write(&release, good.replace("Origin: test", "Origin: else")).expect("written");
    refused(&place)
        .exits(4)
        .says(&["is not trusted", "not one of this text"]);
    fs::write(&release, "Suite: tiny\n").expect("written");
    refused(&place).exits(4).says(&["no OpenPGP signature"]);
    // Somebody else's signature.
    mirror.key("stranger", "stranger.gpg");
    let index = fs::read_to_string(place.join("mirror/dists/tiny/main/binary-amd64/Packages"));
    let index = index.expect("an index");
    mirror.sign("stranger", &index);
    refused(&place)
        .exits(4)
        .says(&["none of its signatures is by a key of the keyring"]);
    // Another suite under this name, and old ones.
    mirror.release.suite = Some("huge");
    mirror.sign("key", &index);
    refused(&place)
        .exits(4)
        .says(&["is of the suite `huge`, not of `tiny`"]);
    mirror.release.suite = None;
    mirror.release.fields = "Valid-Until: Sun, 02 Jan 2022 00:00:00 UTC\n".into();
    mirror.sign("key", &index);
    refused(&place)
        .exits(4)
        .says(&["held until 2022-01-02T00:00:00Z", "check_valid_until"]);
    definition(&place, &mirror.base(", check_valid_until = false"));
    bake_intel(&place, "old", &["--dry-run"]).succeeds();
    definition(&place, &mirror.base(""));
    mirror.release.fields = String::new();
    // A signature beside the release is as good; a wrong one is as bad.
    mirror.release.detached = true;
    mirror.sign("key", &index);
    bake_intel(&place, "detached", &["--dry-run"]).succeeds();
    mirror.sign("stranger", &index);
    refused(&place).exits(4).says(&["is not trusted"]);
    definition(&place, &mirror.base(", trusted = true"));
    bake_intel(&place, "blind", &["--dry-run"]).succeeds();
    // An index that is not the one of the release.
    definition(&place, &mirror.base(""));
    mirror.sign("key", &index);
    let path = place.join("mirror/dists/tiny/main/binary-amd64/Packages");
    fs::write(&path, index.replacen("Version: 12", "Version: 13", 1)).expect("written");
    // What was fetched before needs no archive.
    fs::remove_dir_all(place.join("cache")).expect("removed");
    refused(&place).exits(4).says(&["sha256", "expected"]);
}

#[test]
fn an_archive_with_a_password() {
    const SECRET: &str = "dGVhbTpzM2NyZXQ=";
    let place = Place::new();
    let Some(mirror) = mirror(&place) else {
        return;
    };
    let server = Server::start(&place.join("mirror"));
    server.require(Access::Basic(SECRET));
    let here = format!("file://{}", place.join("mirror").display());
    let there = format!("http://team:s3cret@{}/", server.authority());
    let keys = mirror.base("").replace(&here, &there);
    definition(&place, &format!("{keys}\ndebs = [\"extra\"]"));
    let first = bake_intel(&place, "image", &[]).succeeds();
    let lock = fs::read_to_string(place.join("image.debs.lock")).expect("a lock");
    // With the lock, the packages alone are asked for.
    fs::remove_dir_all(place.join("cache")).expect("removed");
    let second = bake_intel(&place, "again", &["--locked"]).succeeds();
    assert_eq!(first.json()["digest"], second.json()["digest"]);
    for text in [lock, first.to_string(), second.to_string()] {
        assert!(!text.contains("s3cret"), "{text}");
    }
    let wrong = keys.replace("s3cret", "wr0ng");
    definition(&place, &format!("{wrong}\ndebs = [\"extra\"]"));
    let refused = bake_intel(&place, "third", &["--update"]);
    let refused = refused.exits(1).says(&["401"]);
    assert!(!refused.stderr.contains("wr0ng"), "{refused}");
}

#[test]
fn packages_that_cannot_be_had() {
    let place = Place::new();
    let Some(mirror) = mirror(&place) else {
        return;
    };
    let missing = format!("{}\ndebs = [\"nowhere\"]", mirror.base(""));
    definition(&place, &missing);
    refused(&place).exits(3).says(&["nowhere cannot be had"]);
    let mut debs = system();
    debs.push(Deb::new("needy 1", "Depends: tool (>= 9)"));
    debs.push(Deb::new("hater 1", "Conflicts: tool"));
    mirror.publish(&debs);
    for (name, expected) in [
        (
            "needy",
            "needy needs tool (>= 9) cannot be had (there is 1)",
        ),
        ("hater", "hater 1 and tool 1 exclude each other"),
    ] {
        definition(&place, &format!("{}\ndebs = [\"{name}\"]", mirror.base("")));
        refused(&place).exits(3).says(&[expected]);
    }
    definition(&place, &mirror.base("").replace("key.gpg", "none.gpg"));
    refused(&place)
        .exits(2)
        .says(&["none.gpg", "debian-archive-keyring"]);
    definition(&place, &mirror.base("").replace("\"tiny\"", "\"huge\""));
    refused(&place).exits(2).says(&["no such suite"]);
    definition(&place, &mirror.base(", components = [\"contrib\"]"));
    refused(&place)
        .exits(2)
        .says(&["lists no packages of `contrib` for amd64"]);
    definition(&place, "debs = [\"curl\"]");
    refused(&place)
        .exits(2)
        .says(&["`debs` needs a base with Debian's packages"]);
    definition(&place, "locale = \"en_US.UTF-8\"");
    refused(&place).exits(2).says(&["`locale` needs a base"]);
    // This one needs nothing.
    definition(&place, "locale = \"C.UTF-8\"");
    bake_intel(&place, "image", &[]).succeeds();
    let env = inspect(&place, "image")[0]["config"]["Env"].clone();
    assert!(
        env.as_array()
            .is_some_and(|env| env.contains(&json!("LANG=C.UTF-8"))),
        "{env}"
    );
}

#[test]
fn hostile_packages() {
    let place = Place::new();
    let Some(mirror) = mirror(&place) else {
        return;
    };
    for (deb, expected) in [
        (
            Deb::new("evil 1", "").file("../evil", ""),
            "leads out of the package",
        ),
        (
            Deb::new("evil 1", "").file("/etc/evil", ""),
            "has an absolute path",
        ),
        (
            Deb::new("evil 1", "").put("dev/evil", Put::Device),
            "is neither file, folder nor link",
        ),
        (
            Deb::new("evil 1", "").file("etc/.wh.passwd", ""),
            "has the name of a whiteout",
        ),
        (
            Deb::new("evil 1", "").put("etc/evil", Put::HardLink("etc/shadow")),
            "a link to a file that the package does not have",
        ),
        (Deb::new("evil 1", "").file("bin/tool", ""), "has it, too"),
        (
            Deb::new("evil 1", "")
                .put("a", Put::Link("b"))
                .put("b", Put::Link("a"))
                .file("a/x", ""),
            "cannot be put into the image",
        ),
        (
            Deb::new("evil 1", "").file("usr", ""),
            "there is a folder at its place",
        ),
    ] {
        let mut debs = system();
        debs.push(deb);
        mirror.publish(&debs);
        let _ = fs::remove_file(place.join("image.debs.lock"));
        definition(&place, &mirror.base(", packages = [\"evil\"]"));
        refused(&place).exits(4).says(&["evil", expected]);
    }
    // A link out of the root is one within the image.
    let mut debs = system();
    debs.push(Deb::new("odd 1", "").put("odd", Put::Link("../../../etc")));
    debs.push(Deb::new("odder 1", "Depends: odd").file("odd/inside", "x"));
    mirror.publish(&debs);
    fs::remove_file(place.join("image.debs.lock")).expect("removed");
    definition(&place, &mirror.base(", packages = [\"odder\"]"));
    bake_intel(&place, "image", &[]).succeeds();
    if let Some(root) = unpack(&place, "image:example:1.0", "bundle") {
        assert_eq!(
            fs::read_to_string(root.join("etc/inside")).expect("a file"),
            "x"
        );
    }
    // A file that is not the one of the index.
    let file = place.join("mirror/pool/odd_1_amd64.deb");
    let mut bytes = fs::read(&file).expect("a package");
    bytes[70] ^= 1;
    fs::write(&file, bytes).expect("written");
    fs::remove_dir_all(place.join("image")).expect("removed");
    for kept in ["packages", "images"] {
        fs::remove_dir_all(place.cache().join(kept)).expect("removed");
    }
    refused(&place).exits(4).says(&["sha256", "odd"]);
}
