//! Images on a root of Debian's own packages: what debootstrap would install, dpkg and apt that go on with it, and
//! programs that run, on this machine and on arm64.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use fs_err as fs;
use serde_json::Value;

use super::mirror::Deb;
use super::{channel, definition, unpack};
use crate::support::requirements::{self, program};
use crate::support::run::{Place, run};

const SUITE: &str = "bookworm";

/// How this machine reaches Debian's archive.
fn mirror(place: &Place) -> String {
    let mut command = place.command("apt-get");
    command.args([
        "indextargets",
        "--format",
        "$(SITE) $(RELEASE) $(COMPONENT)",
    ]);
    let known = run(command.arg("Created-By: Packages")).succeeds();
    let site = known.stdout.lines().find_map(|line| {
        let mut words = line.split(' ');
        let site = words.next()?;
        (words.next() == Some(SUITE) && words.next() == Some("main")).then(|| site.to_owned())
    });
    let site = site.unwrap_or_else(|| "http://deb.debian.org/debian".to_owned());
    site.trim_end_matches('/').to_owned()
}

/// What debootstrap would install.
fn bootstrapped(place: &Place, architecture: &str, mirror: &str) -> Option<BTreeSet<String>> {
    let tool = program("debootstrap")?;
    let mut command = place.command(tool);
    command.args([
        "--print-debs",
        "--variant=minbase",
        "--arch",
        architecture,
        SUITE,
    ]);
    let said = run(command.arg(place.join("printed")).arg(mirror)).succeeds();
    Some(said.stdout.split_whitespace().map(str::to_owned).collect())
}

fn real(platform: &str, architecture: &str) {
    let Some(downloads) = requirements::bootstrap() else {
        return;
    };
    let root = rustix::process::geteuid().is_root();
    if requirements::require("root, for chroot", root.then_some(())).is_none() {
        return;
    }
    if architecture == "arm64" && requirements::userland_arm64().is_none() {
        return;
    }
    let place = Place::new();
    channel(&place);
    let mirror = mirror(&place);
    definition(
        &place,
        &format!(
            "base = {{ debian = {{ suite = \"{SUITE}\", mirror = \"{mirror}\" }} }}\n\
             debs = [\"bzip2\", \"ca-certificates\", \"curl\", \"sudo\"]\nlocale = \"en_US.UTF-8\"\n\
             user = {{ name = \"builder\" }}"
        ),
    );
    let mut bake = place.archiconda();
    bake.args(["image", "bake", "image.toml", "--json", "--output", "image"]);
    bake.args(["-p", platform, "--cache-dir"])
        .arg(downloads.join("debian"));
    let said = run(&mut bake).succeeds().json();
    let image = &said["images"][0];
    let names = |layer: usize| -> BTreeSet<String> {
        let packages = image["layers"][layer]["packages"]
            .as_array()
            .expect("packages");
        let name = |one: &Value| {
            one["name"]
                .as_str()
                .and_then(|name| name.split('_').next().map(str::to_owned))
        };
        packages.iter().filter_map(name).collect()
    };
    if let Some(expected) = bootstrapped(&place, architecture, &mirror) {
        assert_eq!(names(0), expected);
    }
    assert!(names(1).contains("libcurl4") && !names(1).contains("libc6"));
    let Some(root) = unpack(&place, "image:example:1.0", "bundle") else {
        return;
    };
    // Devices come from engines.
    let mut node = place.command("mknod");
    node.args(["-m", "666"]).arg(root.join("dev/null"));
    run(node.args(["c", "1", "3"])).succeeds();
    let inside = |command: &[&str]| {
        let mut chroot = Command::new("chroot");
        chroot.arg(&root).args(command).env_clear();
        chroot.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        for (name, value) in [("LANG", "en_US.UTF-8"), ("LC_ALL", "en_US.UTF-8")] {
            chroot.env(name, value);
        }
        run(&mut chroot).succeeds()
    };
    assert_eq!(inside(&["dpkg", "--audit"]).stdout, "");
    inside(&["apt-get", "check"]);
    let locale = inside(&["locale"]);
    assert!(
        locale.stdout.contains("LC_TIME=\"en_US.UTF-8\"") && locale.stderr.is_empty(),
        "{locale}"
    );
    let day = inside(&["date", "--date=@0", "--utc", "+%A %r"]);
    assert_eq!(day.stdout, "Thursday 12:00:00 AM\n");
    inside(&["curl", "--version"]).prints(&["curl 7."]);
    inside(&["bzip2", "--version"]);
    inside(&["awk", "BEGIN { print 1 + 1 }"]).prints(&["2"]);
    inside(&["su", "builder", "-c", "id -un; sudo -n true || echo asked"])
        .prints(&["builder", "asked"]);
    let verified = inside(&["dpkg", "--verify", "curl", "base-files", "libc6"]);
    assert_eq!(verified.stdout, "");
    goes_on(&root, &inside);
}

/// apt goes on with what we wrote: it installs from a repository, with scripts, and takes away again.
fn goes_on(root: &Path, inside: &dyn Fn(&[&str]) -> crate::support::run::Output) {
    let deb = Deb::new("later 1", "Depends: bzip2, libc6 (>= 2.30)")
        .for_all()
        .file("usr/share/later", "later")
        .beside(
            "postinst",
            "#!/bin/sh\nset -e\nldconfig\necho ran > /var/later\n",
        );
    let bytes = deb.bytes();
    let repository = root.join("repository");
    fs::create_dir(&repository).expect("a folder");
    let index = format!(
        "{}Filename: ./later.deb\nSize: {}\nSHA256: {}\n",
        deb.control(),
        bytes.len(),
        archive::digest::Sha256::of(&bytes)
    );
    fs::write(repository.join("later.deb"), bytes).expect("written");
    fs::write(repository.join("Packages"), index).expect("written");
    let sources = root.join("etc/apt/sources.list.d");
    let own = fs::read_to_string(sources.join("debian.sources")).expect("sources");
    assert!(
        own.contains("Suites: bookworm\n") && own.contains("Signed-By: /usr/share/keyrings/"),
        "{own}"
    );
    fs::remove_file(sources.join("debian.sources")).expect("removed");
    fs::write(
        sources.join("local.list"),
        "deb [trusted=yes] file:/repository ./\n",
    )
    .expect("written");
    inside(&["apt-get", "update", "--quiet"]);
    inside(&["apt-get", "install", "--yes", "--quiet", "later"]);
    assert_eq!(
        fs::read_to_string(root.join("var/later")).expect("the script's"),
        "ran\n"
    );
    inside(&["dpkg-query", "--show", "later"]).prints(&["later\t1"]);
    inside(&[
        "apt-get",
        "remove",
        "--yes",
        "--quiet",
        "--auto-remove",
        "later",
        "curl",
    ]);
    assert!(!root.join("usr/bin/curl").exists() && root.join("usr/bin/bzip2").exists());
    assert_eq!(inside(&["dpkg", "--audit"]).stdout, "");
    inside(&["apt-get", "check"]);
}

#[test]
fn on_this_machine() {
    if cfg!(target_arch = "x86_64") {
        real("linux-64", "amd64");
    }
}

#[test]
fn on_arm64() {
    real("linux-aarch64", "arm64");
}
