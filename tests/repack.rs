//! `archiconda repack`: on Debian packages made from text, offline.

mod bootstrap;
mod conda;
mod deb;

use std::path::Path;
use std::process::Command;

use fs_err as fs;
use serde_json::Value;

use crate::support::requirements;
use crate::support::run::{Place, run};
use crate::support::tree::{assert_same, snapshot};
use deb::{Deb, ar, deb};

const DEFINITION: &str = r#"
platforms = ["linux-aarch64"]
python = "3.11"

[debian]
suites = ["bookworm"]
glibc = "2.36"
system = []

[[package]]
name = "hello"
debs = ["hello", "hello-data"]
license = "MIT"
summary = "Says hello"
home = "https://hello.example/"
depends = ["other >=1"]
pin = 1
files = [
    ["usr/bin/hello", "bin/"],
    ["usr/share/hello/**", "share/hello/"],
    ["etc/hello.conf", "etc/hello/hello.conf"],
]
exclude = ["usr/share/hello/junk/**"]
links = { "bin/hi" = "hello" }
texts = { "share/hello/machine" = "{machine} {triplet} {python}" }
concat = { "share/hello/all" = "usr/share/parts/*" }

[[package.replace]]
file = "bin/hello"
text = [["/usr/share", "{prefix}/share"]]
"#;

fn debs() -> Vec<Deb> {
    vec![
        deb("hello", "1:2.10~rc1+dfsg-3+deb12u1", "arm64")
            .program(
                "bin/hello",
                "#!/bin/sh\ncat /usr/share/hello/text /usr/share/x\n",
            )
            .file("etc/hello.conf", "conf\n")
            .link("usr/share/hello/conf", "/etc/hello.conf"),
        deb("hello-data", "2.10-3", "all")
            .file("usr/share/hello/text", "Hello.\n")
            .file("usr/share/hello/junk/x", "junk")
            .file("usr/share/parts/b", "two ")
            .file("usr/share/parts/a", "one ")
            .link("usr/share/hello/same", "text"),
    ]
}

/// A place with a definition and Debian packages.
fn place(definition: &str, debs: &[Deb]) -> Place {
    let place = Place::new();
    place.write("channel.toml", definition);
    for one in debs {
        one.write_to(&place.join("debs"));
    }
    place
}

/// `archiconda repack channel.toml`, offline.
fn repack(place: &Place, output: &str) -> Command {
    let mut command = place.archiconda();
    command
        .args(["repack", "channel.toml", "--offline", "--debs", "debs"])
        .args(["--output-dir", output]);
    command
}

/// Unpacks a package with conda-package-handling, or none where that is missing.
fn unpack(place: &Place, package: &Path, into: &str) -> Option<()> {
    let python = requirements::oracles()?;
    let mut extract = place.command(python);
    extract
        .args(["-m", "conda_package_handling", "extract", "--dest"])
        .arg(place.join(into))
        .arg(package);
    run(&mut extract).succeeds();
    Some(())
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON")
}

#[test]
fn debian_packages_become_a_conda_package() {
    let place = place(DEFINITION, &debs());
    let made = run(repack(&place, "channel").arg("--json"))
        .succeeds()
        .json();
    let package = made["packages"][0].as_str().expect("a package").to_owned();
    assert!(
        package.starts_with("linux-aarch64/hello-2.10.rc1-h"),
        "{package}"
    );
    assert!(package.ends_with("_0.conda"), "{package}");

    let record = json(&place.join("channel/linux-aarch64/repodata.json"));
    let record = record["packages.conda"]
        .as_object()
        .expect("packages")
        .values()
        .next();
    let record = record.expect("a record");
    assert_eq!(record["depends"], serde_json::json!(["other >=1"]));
    assert_eq!(record["license"], "MIT");
    assert_eq!(record["timestamp"], 1_700_000_000_000_u64);

    let Some(()) = unpack(&place, &place.join("channel").join(&package), "x") else {
        return;
    };
    let text = |path: &str| fs::read_to_string(place.join("x").join(path)).expect(path);
    let link = |path: &str| fs::read_link(place.join("x").join(path)).expect(path);
    assert_eq!(
        link("share/hello/conf"),
        Path::new("../../etc/hello/hello.conf")
    );
    assert_eq!(link("share/hello/same"), Path::new("text"));
    assert_eq!(link("bin/hi"), Path::new("hello"));
    assert_eq!(
        text("share/hello/machine"),
        "aarch64 aarch64-linux-gnu 3.11"
    );
    assert_eq!(text("share/hello/all"), "one two ");
    assert_eq!(text("info/licenses/hello/copyright"), "Do as you like.\n");
    assert!(!place.join("x/share/hello/junk").exists());

    let paths = json(&place.join("x/info/paths.json"));
    let program = paths["paths"]
        .as_array()
        .expect("paths")
        .iter()
        .find(|one| one["_path"] == "bin/hello");
    let program = program.expect("the program");
    let placeholder = program["prefix_placeholder"]
        .as_str()
        .expect("a placeholder");
    assert_eq!(placeholder.len(), 255);
    assert_eq!(program["file_mode"], "text");
    let expected = format!("#!/bin/sh\ncat {placeholder}/share/hello/text {placeholder}/share/x\n");
    assert_eq!(text("bin/hello"), expected);
    assert_eq!(
        text("info/has_prefix"),
        format!("{placeholder} text bin/hello\n")
    );
    let exports = json(&place.join("x/info/run_exports.json"));
    assert_eq!(exports["weak"][0], "hello >=2.10.rc1,<3.0a0");
    let sources = json(&place.join("x/info/about.json"))["extra"]["sources"].clone();
    assert_eq!(sources[1]["file"], "hello-data_2.10-3_all.deb");
}

#[test]
fn the_same_lock_gives_the_same_bytes() {
    let place = place(DEFINITION, &debs());
    run(&mut repack(&place, "one")).succeeds();
    let lock = fs::read_to_string(place.join("channel.lock")).expect("a lock");
    assert!(
        lock.contains("version = \"1:2.10~rc1+dfsg-3+deb12u1\""),
        "{lock}"
    );
    let mut again = repack(&place, "two");
    again
        .args(["--locked", "-j", "1"])
        .env("TZ", "Asia/Tokyo")
        .env("LC_ALL", "C.UTF-8");
    run(&mut again).succeeds();
    // Pages and feed bear the name of the folder.
    let published = |name| {
        let named = |path: &str| path.contains(".html") || path.contains("rss.xml");
        snapshot(&place.join(name)).without(|path| path.starts_with(".cache") || named(path))
    };
    assert_same(&published("one"), &published("two"));
    // What the cache holds is enough.
    fs::remove_dir_all(place.join("debs")).expect("removed");
    let mut cached = place.archiconda();
    cached.args([
        "repack",
        "channel.toml",
        "--offline",
        "--locked",
        "-o",
        "three",
    ]);
    run(&mut cached).succeeds();
    assert_same(&published("one"), &published("three"));
    assert_eq!(
        fs::read_to_string(place.join("channel.lock")).expect("a lock"),
        lock
    );

    let mut dated = place.archiconda();
    dated.args([
        "repack",
        "channel.toml",
        "--offline",
        "--format",
        "tar.bz2",
        "-o",
        "four",
    ]);
    run(dated.env("SOURCE_DATE_EPOCH", "1000")).succeeds();
    let record = json(&place.join("four/linux-aarch64/repodata.json"));
    let (name, record) = record["packages"]
        .as_object()
        .expect("packages")
        .iter()
        .next()
        .expect("one");
    assert!(name.ends_with(".tar.bz2"), "{name}");
    assert_eq!(record["timestamp"], 1_000_000);
    let left: Vec<_> = fs::read_dir(place.cache())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left, ["repack"], "work folders go");
}

#[test]
fn other_bytes_than_the_lock_has_are_fatal() {
    let place = place(DEFINITION, &debs());
    run(&mut repack(&place, "channel")).succeeds();
    fs::remove_dir_all(place.cache()).expect("removed");
    let changed = debs()[0].clone().file("usr/share/hello/evil", "x");
    let file = changed.write_to(&place.join("debs"));
    let told = run(&mut repack(&place, "other")).exits(4);
    told.says(&[
        "sha256 of",
        &file.file_name().expect("a name").to_string_lossy(),
        "the lock says",
    ]);
    assert!(!place.join("other").exists());
    run(repack(&place, "other").arg("--update")).succeeds();
}

#[test]
fn what_cannot_be_had_is_named() {
    let place = place(DEFINITION, &debs()[..1]);
    run(&mut repack(&place, "channel"))
        .exits(1)
        .says(&["hello-data (arm64)", "debs"]);
    run(repack(&place, "channel").arg("--locked"))
        .exits(1)
        .says(&["channel.lock", "it has no hello for linux-aarch64"]);
    debs()[1].write_to(&place.join("debs"));
    deb("hello-data", "3", "arm64").write_to(&place.join("debs"));
    run(&mut repack(&place, "channel"))
        .exits(1)
        .says(&["hello-data in the versions 2.10-3 and 3"]);
    assert!(!place.join("channel").exists());
    assert!(!place.join("channel.lock").exists());
}

#[test]
fn mistakes_in_definitions_are_named() {
    let cases: [(&str, &str, &[&str]); 9] = [
        (
            "python = \"3.11\"",
            "pithon = \"3.11\"",
            &["channel.toml", "pithon"],
        ),
        (
            "pin = 1",
            "pin = \"one\"",
            &["channel.toml", "pin = \"one\""],
        ),
        ("[\"linux-aarch64\"]", "[\"linux-s390x\"]", &["linux-s390x"]),
        (
            "usr/bin/hello\", \"bin/",
            "usr/bin/hallo\", \"bin/",
            &["package hello", "no file fits `usr/bin/hallo`"],
        ),
        (
            "etc/hello/hello.conf",
            "bin/hello",
            &["package hello", "two files go to `bin/hello`"],
        ),
        (
            "\"usr/share/hello/junk/**\"",
            "\"etc/**\"",
            &["package hello", "no file fits `etc/hello.conf`"],
        ),
        (
            "/usr/share\", \"",
            "/usr/shore\", \"",
            &["no file that fits `bin/hello` holds `/usr/shore`"],
        ),
        (
            "usr/share/parts/*",
            "usr/share/party/*",
            &["no file fits `usr/share/party/*`"],
        ),
        (
            "debs = [\"hello\", \"hello-data\"]",
            "debs = []",
            &["package hello", "names no Debian package"],
        ),
    ];
    for (before, after, expected) in cases {
        let definition = DEFINITION.replace(before, after);
        assert_ne!(definition, DEFINITION, "{before}");
        let place = place(&definition, &debs());
        run(&mut repack(&place, "channel")).exits(2).says(expected);
        assert!(!place.join("channel").exists(), "{after}");
    }
    let long = format!("{DEFINITION}\nodd = \"{}\"\n", "x".repeat(1 << 19));
    for (definition, expected) in [
        (long.as_str(), "unknown field `odd`"),
        (&long.repeat(2), "at most 1024 KiB"),
        ("caf\u{e9}", "is no definition of a channel"),
    ] {
        let place = place(definition, &debs());
        let output = run(&mut repack(&place, "channel"))
            .exits(2)
            .says(&[expected]);
        assert!(output.stderr.len() < 5000);
    }
    let unmapped = [
        debs()[0]
            .clone()
            .link("usr/share/hello/out", "/var/lib/out"),
        debs()[1].clone(),
    ];
    let place = place(DEFINITION, &unmapped);
    run(&mut repack(&place, "channel"))
        .exits(2)
        .says(&["`usr/share/hello/out` leads to `/var/lib/out`"]);
}

#[test]
fn libraries_that_nobody_has_are_named() {
    let definition = DEFINITION
        .replace("linux-aarch64", "linux-64")
        .replace("[[package.replace]]", "#")
        .split('#')
        .next()
        .expect("a text")
        .to_owned();
    let program = fs::read("/bin/true").expect("a program");
    let is_for_this = program.get(18) == Some(&62);
    let Some(()) = requirements::require("an x86-64 machine", is_for_this.then_some(())) else {
        return;
    };
    let debs = |architecture| {
        [
            deb("hello", "1-1", architecture)
                .program("usr/bin/hello", &program)
                .file("etc/hello.conf", ""),
            debs()[1].clone(),
        ]
    };
    let place = place(&definition, &debs("amd64"));
    run(&mut repack(&place, "channel"))
        .exits(1)
        .says(&["package hello", "`bin/hello` needs libc.so.6"]);
    place.write(
        "channel.toml",
        definition.replace("system = []", "system = [\"libc.so.6\"]"),
    );
    run(&mut repack(&place, "channel")).succeeds();
    let record =
        fs::read_to_string(place.join("channel/linux-64/repodata.json")).expect("repodata");
    assert!(record.contains("\"__glibc >=2.36\""), "{record}");

    let foreign = self::place(
        &definition.replace("linux-64", "linux-aarch64"),
        &debs("arm64"),
    );
    run(&mut repack(&foreign, "channel"))
        .exits(2)
        .says(&["`bin/hello` is for another machine"]);
}

#[test]
fn hostile_packages_are_refused() {
    let whole = debs()[0].bytes();
    let control = {
        // The control member of a sound package, with other contents.
        let at = whole
            .windows(12)
            .position(|part| part == b"data.tar.zst")
            .expect("a member");
        whole[..at].to_vec()
    };
    let with = |member: &str, content: &[u8]| {
        let mut bytes = control.clone();
        bytes.extend(&ar(&[(member, content)])[8..]);
        bytes
    };
    let mut escaping = tar::Header::new_gnu();
    escaping.as_old_mut().name[..9].copy_from_slice(b"../../../");
    escaping.as_old_mut().name[9..13].copy_from_slice(b"evil");
    escaping.set_size(0);
    escaping.set_mode(0o644);
    escaping.set_cksum();
    let mut builder = tar::Builder::new(Vec::new());
    builder
        .append(&escaping, std::io::empty())
        .expect("an entry");
    let escaping = builder.into_inner().expect("an archive");
    let cases: [(Vec<u8>, &str); 4] = [
        (
            with("data.tar", &escaping),
            "`../../../evil` leads out of the package",
        ),
        (
            with("data.tar.xz", b"nothing of the kind"),
            "cut off or damaged",
        ),
        (whole[..whole.len() - 40].to_vec(), "cut off or damaged"),
        (control.clone(), "it has no data.tar"),
    ];
    for (bytes, expected) in cases {
        let place = place(DEFINITION, &debs());
        place.write(&format!("debs/{}", debs()[0].file_name()), bytes);
        run(&mut repack(&place, "channel"))
            .exits(1)
            .says(&["hello", expected]);
        assert!(!place.join("channel").exists());
        assert!(!place.join("evil").exists());
    }
}
