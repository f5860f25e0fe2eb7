//! Debian packages in images: of small archives that the test makes.

mod refused;

use std::path::Path;

use fs_err as fs;
use serde_json::{Value, json};

use super::mirror::{Deb, Mirror, Put};
use super::{bake, channel, definition, inspect, unpack};
use crate::support::run::{Output, Place, run};
use crate::support::tree::{Node, assert_same, snapshot};

/// A system that could not start, and has what is made of packages' files.
fn system() -> Vec<Deb> {
    vec![
        Deb::new("base-files 12", "Essential: yes\nPriority: required")
            .file("etc/os-release", "ID=debian\nVERSION_CODENAME=tiny\n")
            .file("usr/share/base-files/profile", "profile\n")
            .put("bin/sh", Put::Link("tool"))
            .put("var/run/", Put::Folder),
        Deb::new("base-passwd 3", "Essential: yes\nPriority: required\nDepends: libc6")
            .file("usr/share/base-passwd/passwd.master", "root:*:0:0:root:/root:/bin/bash\n")
            .file("usr/share/base-passwd/group.master", "root:*:0:\nshadow:*:42:\n"),
        Deb::new("libc6 2.36-1", "Multi-Arch: same")
            .file("lib/x86_64-linux-gnu/libc.so.6", "library")
            .put("lib64/ld-linux-x86-64.so.2", Put::File("loader", 0o755, 0))
            .beside("triggers", "interest-noawait ldconfig\n"),
        Deb::new("tool 1", "Essential: yes\nReplaces: other (<< 2)")
            .put("bin/tool", Put::File("tool", 0o4755, 42))
            .put("usr/bin/twin", Put::HardLink("bin/tool"))
            .file("etc/tool.conf", "first\n")
            .file("usr/share/shared", "of tool")
            .beside("conffiles", "/etc/tool.conf\n")
            .beside("postinst", "#!/bin/sh\nset -e\nupdate-alternatives --install /usr/bin/awk awk \\\n  /usr/bin/tool 5\n"),
        Deb::new("other 1", "Priority: required").file("usr/share/shared", "of other"),
        Deb::new("extra 1", "Depends: helper | nothing")
            .file("usr/bin/extra", "extra")
            .beside("postinst", "#!/bin/sh\nadduser --system extra\n"),
        Deb::new("helper 1", "").file("usr/share/helper", "help"),
        Deb::new("unwanted 1", "Provides: helper").file("usr/bin/unwanted", ""),
    ]
}

fn mirror(place: &Place) -> Option<Mirror<'_>> {
    channel(place);
    let mirror = Mirror::new(place)?;
    mirror.publish(&system());
    Some(mirror)
}

fn bake_intel(place: &Place, output: &str, arguments: &[&str]) -> Output {
    run(bake(place, output, arguments).args(["-p", "linux-64"]))
}

#[test]
fn a_root_of_packages() {
    let place = Place::new();
    let Some(mirror) = mirror(&place) else {
        return;
    };
    definition(&place, &format!("{}\ndebs = [\"extra\"]", mirror.base("")));
    let said = bake_intel(&place, "image", &[]).succeeds().json();
    let image = &said["images"][0];
    let names = |layer: usize| -> Vec<&str> {
        let packages = image["layers"][layer]["packages"]
            .as_array()
            .expect("packages");
        packages
            .iter()
            .filter_map(|one| one["name"].as_str())
            .collect()
    };
    let bill = fs::read_to_string(place.join("image-linux-64.spdx.json")).expect("a bill");
    let bill: Value = serde_json::from_str(&bill).expect("JSON");
    let packages = bill["packages"].as_array().expect("packages");
    let purl = |id: &str| {
        let found = packages.iter().find(|package| package["SPDXID"] == id);
        found.expect(id)["externalRefs"][0]["referenceLocator"].clone()
    };
    // A package of conda has the same name.
    assert_eq!(
        purl("SPDXRef-Debian-tool"),
        "pkg:deb/debian/tool@1?arch=amd64&distro=tiny"
    );
    assert!(
        purl("SPDXRef-Package-tool")
            .to_string()
            .contains("pkg:conda/tool@")
    );
    let needs = json!({
        "spdxElementId": "SPDXRef-Debian-extra", "relationshipType": "DEPENDS_ON",
        "relatedSpdxElement": "SPDXRef-Debian-helper",
    });
    let relations = bill["relationships"].as_array().expect("relations");
    assert!(relations.contains(&needs), "{relations:?}");
    assert_eq!(
        names(0),
        [
            "base-files_12_amd64",
            "base-passwd_3_amd64",
            "libc6_2.36-1_amd64",
            "tool_1_amd64",
            "other_1_amd64"
        ],
        "files that are taken over come first"
    );
    assert_eq!(names(1), ["extra_1_amd64", "helper_1_amd64"]);
    assert_eq!(image["layers"][0]["kind"], "debs");
    assert_eq!(image["unconfigured"], json!(["extra"]));
    let made = image["made"].as_array().expect("files");
    for path in [
        "/bin",
        "/etc/passwd",
        "/etc/shadow",
        "/etc/alternatives/awk",
    ] {
        assert!(made.contains(&json!(path)), "{path} of {made:?}");
    }
    let Some(root) = unpack(&place, "image:example:1.0", "bundle") else {
        return;
    };
    let read = |path: &str| fs::read_to_string(root.join(path)).expect(path);
    let tree = snapshot(&root);
    let link = |path: &str| match tree.0.get(path) {
        Some(Node::Link { target }) => target.clone(),
        other => panic!("{path} is {other:?}"),
    };
    for (path, target) in [
        ("bin", "usr/bin"),
        ("lib64", "usr/lib64"),
        ("var/run", "/run"),
        ("usr/bin/sh", "tool"),
        ("usr/bin/awk", "/etc/alternatives/awk"),
        ("etc/alternatives/awk", "/usr/bin/tool"),
    ] {
        assert_eq!(link(path), target, "{path}");
    }
    assert_eq!(read("usr/lib/x86_64-linux-gnu/libc.so.6"), "library");
    assert_eq!(read("usr/share/shared"), "of tool");
    assert_eq!(read("etc/passwd"), "root:x:0:0:root:/root:/bin/bash\n");
    assert_eq!(read("etc/profile"), "profile\n");
    assert_eq!(read("var/lib/dpkg/triggers/ldconfig"), "libc6/noawait\n");
    let mode = |path: &str| {
        use std::os::unix::fs::MetadataExt as _;
        let data = fs::metadata(root.join(path)).expect(path);
        (data.mode() & 0o7777, data.gid(), data.ino())
    };
    if rustix::process::geteuid().is_root() {
        assert_eq!(
            (mode("usr/bin/tool").0, mode("usr/bin/tool").1),
            (0o4755, 42)
        );
        assert_eq!((mode("etc/shadow").0, mode("etc/shadow").1), (0o640, 42));
    }
    assert_eq!(mode("usr/bin/tool").2, mode("usr/bin/twin").2, "hard links");
    assert_eq!((mode("root").0, mode("tmp").0), (0o700, 0o1777));
    let status = read("var/lib/dpkg/status");
    assert!(
        status.contains("Package: tool\nStatus: install ok installed\nVersion: 1\n")
            && status.contains("Conffiles:\n /etc/tool.conf ")
            && status.contains("Package: extra\n"),
        "{status}"
    );
    assert_eq!(
        read("var/lib/dpkg/info/extra.list"),
        "/.\n/usr\n/usr/bin\n/usr/bin/extra\n"
    );
    assert!(root.join("var/lib/dpkg/info/libc6:amd64.list").is_file());
    assert!(!read("var/lib/dpkg/info/other.list").contains("/usr/share/shared"));
    assert_eq!(
        read("var/lib/apt/extended_states"),
        "Package: helper\nArchitecture: amd64\nAuto-Installed: 1\n\n\
         Package: libc6\nArchitecture: amd64\nAuto-Installed: 1\n"
    );
    let config = &inspect(&place, "image")[0]["config"];
    assert_eq!(config["Cmd"], json!(["bash"]));
}

#[test]
fn the_lock_keeps_what_was_chosen() {
    let place = Place::new();
    let Some(mirror) = mirror(&place) else {
        return;
    };
    definition(&place, &mirror.base(", packages = [\"extra\"]"));
    bake_intel(&place, "first", &[]).succeeds();
    let path = place.join("image.debs.lock");
    let lock = fs::read_to_string(&path).expect("a lock");
    fs::remove_file(&path).expect("removed");
    bake_intel(&place, "image", &["--locked"])
        .exits(1)
        .says(&["image.debs.lock"]);
    fs::write(&path, &lock).expect("written");
    // Whatever the archive says now.
    fs::remove_dir_all(place.join("mirror/dists")).expect("removed");
    bake_intel(&place, "second", &["--locked", "--offline"]).succeeds();
    assert_same(
        &snapshot(&place.join("first")),
        &snapshot(&place.join("second")),
    );
    bake_intel(&place, "image", &["--update"])
        .exits(2)
        .says(&["no such suite"]);
    let mut debs = system();
    debs.push(Deb::new("helper 2", "").file("usr/share/helper", "more help"));
    mirror.publish(&debs);
    bake_intel(&place, "second", &[]).succeeds();
    assert_eq!(
        fs::read_to_string(place.join("image.debs.lock")).expect("a lock"),
        lock
    );
    bake_intel(&place, "second", &["--update"]).succeeds();
    let lock: Value = {
        let text = fs::read(place.join("image.debs.lock")).expect("a lock");
        serde_json::from_slice(&text).expect("JSON")
    };
    let layers = &lock["platforms"]["linux-64"]["layers"];
    let all = layers[0].as_array().expect("packages");
    let helper = all
        .iter()
        .find(|one| one["name"] == "helper")
        .expect("the package");
    assert_eq!(
        (&helper["version"], &helper["automatic"]),
        (&json!("2"), &json!(true))
    );
    // Another question is another lock.
    definition(&place, &mirror.base(""));
    bake_intel(&place, "image", &["--locked"])
        .exits(1)
        .says(&["asks for other Debian packages"]);
}

#[test]
fn packages_on_a_base_that_has_some() {
    let place = Place::new();
    let Some(mirror) = mirror(&place) else {
        return;
    };
    let changed = ", packages = [\"helper\"]";
    definition(&place, &mirror.base(changed));
    bake_intel(&place, "below", &[]).succeeds();
    // Then the archive goes on, and somebody needs what is new.
    let mut debs = system();
    debs.push(
        Deb::new("tool 2", "Essential: yes")
            .put("usr/bin/tool", Put::File("newer", 0o755, 0))
            .file("etc/tool.conf", "second\n")
            .beside("conffiles", "/etc/tool.conf\n"),
    );
    debs.push(
        Deb::new("late 1", "Depends: tool (>= 2)").put("lib/late.so", Put::File("late", 0o644, 0)),
    );
    mirror.publish(&debs);
    let on = |files: &str| {
        fs::remove_file(place.join("image.debs.lock")).expect("removed");
        let keys = mirror.keys();
        definition(
            &place,
            &format!(
                "base = \"below\"\nprefix = \"/opt/second\"\ndebs = {{ {keys}, packages = [\"late\"] }}\n{files}"
            ),
        );
        bake_intel(&place, "image", &[]).succeeds();
        fs::write(
            place.join("image.debs.lock"),
            "{\"version\":0,\"platforms\":{}}",
        )
        .expect("written");
        let _ = fs::remove_dir_all(place.join("bundle"));
        unpack(&place, "image:example:1.0", "bundle")
    };
    let Some(root) = on("") else { return };
    let read = |path: &str| fs::read_to_string(root.join(path)).expect(path);
    assert_eq!(read("usr/lib/late.so"), "late");
    assert_eq!(
        (read("usr/bin/tool"), read("etc/tool.conf")),
        ("newer".into(), "second\n".into())
    );
    // What the new version has no more is gone, and so are its books.
    assert!(!root.join("usr/bin/twin").exists() && !root.join("usr/share/shared").exists());
    assert!(!root.join("var/lib/dpkg/info/tool.postinst").exists());
    let status = read("var/lib/dpkg/status");
    assert_eq!(status.matches("Package: tool\n").count(), 1);
    assert!(
        status.contains("Version: 2\n") && status.contains("Package: helper\n"),
        "{status}"
    );
}

#[test]
fn configuration_that_somebody_changed_stays() {
    let place = Place::new();
    let Some(mirror) = mirror(&place) else {
        return;
    };
    let files = "files = [{ path = \"/etc/tool.conf\", text = \"mine\\n\" }]";
    definition(&place, &format!("{}\n{files}", mirror.base("")));
    bake_intel(&place, "below", &[]).succeeds();
    let mut debs = system();
    debs.push(
        Deb::new("tool 2", "Essential: yes")
            .file("etc/tool.conf", "second\n")
            .beside("conffiles", "/etc/tool.conf\n"),
    );
    debs.push(Deb::new("late 1", "Depends: tool (>= 2)").file("usr/late", ""));
    mirror.publish(&debs);
    let keys = mirror.keys();
    definition(
        &place,
        &format!(
            "base = \"below\"\nprefix = \"/opt/second\"\ndebs = {{ {keys}, packages = [\"late\"] }}"
        ),
    );
    bake_intel(&place, "image", &[]).succeeds();
    let Some(root) = unpack(&place, "image:example:1.0", "bundle") else {
        return;
    };
    let read = |path: &str| fs::read_to_string(root.join(path)).expect(path);
    assert_eq!(read("etc/tool.conf"), "mine\n");
    assert_eq!(read("etc/tool.conf.dpkg-dist"), "second\n");
}

#[test]
fn a_locale_whose_files_lie_elsewhere() {
    let place = Place::new();
    let Some(mirror) = mirror(&place) else {
        return;
    };
    let mut debs = system();
    debs.push(
        Deb::new("libc-bin 2.36-1", "Essential: yes\nPriority: required")
            .file("usr/lib/locale/C.utf8/LC_CTYPE", "of C"),
    );
    // Debian's links lead to other locales, Ubuntu's to the C library's own one, too.
    let locales = Deb::new("locales-all 2.36-2", "")
        .file("usr/lib/locale/aa_DJ.utf8/LC_COLLATE", "of aa")
        .put(
            "usr/lib/locale/en_US.utf8/LC_COLLATE",
            Put::Link("../aa_DJ.utf8/LC_COLLATE"),
        )
        .put(
            "usr/lib/locale/en_US.utf8/LC_CTYPE",
            Put::Link("../C.utf8/LC_CTYPE"),
        )
        .file("usr/lib/locale/en_US.utf8/LC_TIME", "own")
        .put(
            "usr/lib/locale/de_DE.utf8/LC_CTYPE",
            Put::Link("../C.utf8/LC_NAME"),
        );
    debs.push(locales);
    mirror.publish(&debs);
    let keys = |locale: &str| format!("{}\nlocale = \"{locale}\"", mirror.base(""));
    definition(&place, &keys("en_US.UTF-8"));
    bake_intel(&place, "image", &[]).succeeds();
    if let Some(root) = unpack(&place, "image:example:1.0", "bundle") {
        let folder = root.join("usr/lib/locale/en_US.utf8");
        for (name, text) in [
            ("LC_COLLATE", "of aa"),
            ("LC_CTYPE", "of C"),
            ("LC_TIME", "own"),
        ] {
            assert_eq!(fs::read_to_string(folder.join(name)).expect(name), text);
        }
        assert!(!root.join("usr/lib/locale/aa_DJ.utf8").exists());
    }
    for missing in ["de_DE.UTF-8", "fr_FR.UTF-8"] {
        definition(&place, &keys(missing));
        let expected = format!("there is no compiled locale `{missing}` in locales-all_2.36-2");
        bake_intel(&place, "other", &[]).exits(2).says(&[&expected]);
    }
}

#[test]
fn layers_are_unpacked_once() {
    let place = Place::new();
    let Some(mirror) = mirror(&place) else {
        return;
    };
    let cached = |said: &Value| -> Vec<bool> {
        let layers = said["images"][0]["layers"].as_array().expect("layers");
        let debs = layers.iter().filter(|layer| layer["kind"] == "debs");
        debs.map(|layer| layer["cached"].as_bool().expect("a word"))
            .collect()
    };
    let bake = |output: &str, arguments: &[&str]| {
        let said = bake_intel(&place, output, arguments).succeeds().json();
        (cached(&said), said)
    };
    definition(&place, &format!("{}\ndebs = [\"extra\"]", mirror.base("")));
    let (built, first) = bake("first", &[]);
    assert_eq!(built, [false, false]);
    // The packages are not even looked for.
    fs::rename(place.join("mirror/pool"), place.join("mirror/gone")).expect("renamed");
    let downloads: Vec<_> = snapshot(&place.cache())
        .paths()
        .iter()
        .filter(|path| {
            Path::new(path)
                .extension()
                .is_some_and(|ending| ending == "deb")
        })
        .map(|path| place.cache().join(path))
        .collect();
    for path in downloads {
        fs::remove_file(path).expect("removed");
    }
    let (kept, second) = bake("second", &["--offline"]);
    assert_eq!(kept, [true, true]);
    assert_same(
        &snapshot(&place.join("first")),
        &snapshot(&place.join("second")),
    );
    for key in ["digest", "made", "unconfigured"] {
        let of = |said: &Value| said["images"][0][key].clone();
        assert_eq!(of(&first), of(&second), "{key}");
    }
    for bill in ["spdx", "cdx"] {
        let read = |name: &str| {
            let path = format!("{name}-linux-64.{bill}.json");
            fs::read_to_string(place.join(path)).expect("a bill")
        };
        assert_eq!(read("first"), read("second"));
    }
    // From an image, on a machine that has nothing else of it.
    let (taken, third) = bake("third", &["--no-cache", "--cache-from", "first"]);
    assert_eq!(taken, [true, true]);
    assert_same(
        &snapshot(&place.join("first")),
        &snapshot(&place.join("third")),
    );
    for key in ["made", "unconfigured"] {
        let of = |said: &Value| said["images"][0][key].clone();
        assert_eq!(of(&first), of(&third), "{key}");
    }
    fs::rename(place.join("mirror/gone"), place.join("mirror/pool")).expect("renamed");
    assert_eq!(bake("second", &["--no-cache"]).0, [false, false]);
    // What was damaged in the cache folder is not unpacked.
    super::cache::spoil(&place);
    assert_eq!(bake("second", &["--no-cache"]).0, [false, false]);
    assert_same(
        &snapshot(&place.join("first")),
        &snapshot(&place.join("second")),
    );
    // Other packages on the same root; a locale is part of what is made; another compression is another layer.
    definition(
        &place,
        &format!("{}\ndebs = [\"unwanted\"]", mirror.base("")),
    );
    assert_eq!(bake("second", &[]).0, [true, false]);
    let zstd = format!(
        "compression = \"zstd\"\n{}\ndebs = [\"unwanted\"]",
        mirror.base("")
    );
    definition(&place, &zstd);
    assert_eq!(bake("second", &[]).0, [false, false]);
    // What is not whole is made again.
    for folder in ["layers/blobs", "bases"] {
        let damaged = place.cache().join("images").join(folder);
        for entry in fs::read_dir(damaged).expect("a folder") {
            let path = entry.expect("an entry").path();
            let mut bytes = fs::read(&path).expect("a file");
            bytes[20] ^= 1;
            fs::remove_file(&path).expect("removed");
            fs::write(&path, bytes).expect("written");
        }
        let (built, _) = bake("third", &[]);
        assert_eq!(built, [false, false], "{folder}");
        assert_same(
            &snapshot(&place.join("second")),
            &snapshot(&place.join("third")),
        );
    }
}
