//! Prefixes that were there before.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

#[test]
fn an_empty_directory_keeps_its_identity() {
    let room = Room::new();
    fs::create_dir(&room.prefix).unwrap();
    fs::set_permissions(&room.prefix, fs::Permissions::from_mode(0o750)).unwrap();
    let before = fs::metadata(&room.prefix).unwrap();
    room.install(two_packages()).unwrap();
    let after = fs::metadata(&room.prefix).unwrap();
    assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
    assert_eq!(room.read("share/alpha/data"), "data");
    assert!(!room.prefix.join(".installing").exists());
}

#[test]
fn without_force_a_full_directory_is_left_alone() {
    let room = Room::new();
    room.put("mine", "my file");
    let before = room.listing();
    let error = room.install(two_packages()).unwrap_err();
    assert!(matches!(error, Error::PrefixExists { .. }), "{error}");
    assert_eq!(room.listing(), before);
}

/// A prefix with older packages and things of the user.
fn old_prefix(room: &Room) {
    room.put("mine", "my file");
    room.put("share/alpha/mine", "my file");
    room.put("share/alpha/data", "old data");
    room.put("conda-meta/alpha-0.9-h1_2.json", "{}");
    room.put("conda-meta/alpha-more-0.9-h1_2.json", "{}");
    room.put(
        "conda-meta/history",
        "==> x <==\n+c/linux-64::alpha-0.9-h1_2\n",
    );
    symlink("mine", room.prefix.join("bin")).unwrap();
    fs::create_dir_all(room.prefix.join("lib")).unwrap();
    symlink("/nowhere", room.prefix.join("lib/liba.so.1")).unwrap();
    fs::set_permissions(room.prefix.join("share"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(room.prefix.join("mine"), fs::Permissions::from_mode(0o400)).unwrap();
}

#[test]
fn force_replaces_what_is_new_and_keeps_the_rest() {
    let room = Room::new();
    old_prefix(&room);
    let options = Options {
        force: true,
        ..room.options()
    };
    room.install_with(two_packages(), &options).0.unwrap();
    assert_eq!(room.read("mine"), "my file");
    assert_eq!(room.read("share/alpha/mine"), "my file");
    assert_eq!(room.read("share/alpha/data"), "data");
    assert_eq!(room.read("bin/tool"), "#!/bin/sh\necho tool\n");
    let binary = fs::read(room.prefix.join("lib/liba.so.1")).unwrap();
    assert!(binary.starts_with(b"ELF"));
    let mode = fs::metadata(room.prefix.join("share"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    assert!(!room.prefix.join("conda-meta/alpha-0.9-h1_2.json").exists());
    assert!(
        room.prefix
            .join("conda-meta/alpha-more-0.9-h1_2.json")
            .exists()
    );
    assert_eq!(
        room.read("conda-meta/history"),
        "==> x <==\n+c/linux-64::alpha-0.9-h1_2\n\
         ==> 1970-01-01 00:00:00 <==\n# cmd: fixture.sh -b\n-c/linux-64::alpha-0.9-h1_2\n\
         +c/noarch::alpha-1.0-0\n+c/noarch::beta-2.0-0\n# update specs: ['alpha']\n"
    );
    assert!(!room.prefix.join(".installing").exists());

    // Once more over itself.
    room.install_with(two_packages(), &options).0.unwrap();
    assert_eq!(room.read("share/alpha/data"), "data");
    assert!(room.prefix.join("conda-meta/alpha-1.0-0.json").exists());
}

#[test]
fn files_that_no_package_has_any_more_go() {
    let old = |room: &Room| {
        let record = |files: &[&str]| serde_json::json!({ "files": files }).to_string();
        let files = [
            "share/alpha/data",
            "share/alpha/gone",
            "lib/old/deep/gone.py",
            "lib/old/mine.py",
            "shared/with-other",
            "linked/file",
            "../outside",
            "share/alpha",
            "not-there",
        ];
        room.put("conda-meta/alpha-0.9-h1_2.json", &record(&files));
        room.put("conda-meta/other-1-0.json", &record(&["shared/with-other"]));
        room.put("conda-meta/beta-1-0.json", "no record");
        for file in files.iter().take(5) {
            room.put(file, "old");
        }
        room.put("share/alpha/mine", "mine");
        room.put("lib/old/mine.txt", "mine");
        fs::write(room.prefix.join("../outside"), "mine").unwrap();
        room.put("real/file", "mine");
        symlink("real", room.prefix.join("linked")).unwrap();
    };
    let options = |room: &Room| Options {
        force: true,
        ..room.options()
    };
    let room = Room::new();
    old(&room);
    room.install_with(two_packages(), &options(&room))
        .0
        .unwrap();
    for gone in ["share/alpha/gone", "lib/old/deep", "lib/old/mine.py"] {
        assert!(!room.prefix.join(gone).exists(), "{gone}");
    }
    for (path, text) in [
        ("share/alpha/data", "data"),
        ("share/alpha/mine", "mine"),
        ("lib/old/mine.txt", "mine"),
        ("shared/with-other", "old"),
        ("real/file", "mine"),
        ("../outside", "mine"),
    ] {
        assert_eq!(room.read(path), text, "{path}");
    }

    let room = Room::new();
    old(&room);
    let before = room.listing();
    let mut made = two_packages();
    made.plan.scripts.post_install = Some("exit 3".into());
    room.install_with(made, &options(&room)).0.unwrap_err();
    assert_eq!(room.listing(), before);
}

#[test]
fn a_folder_of_an_old_package_may_become_a_file_and_one_of_a_new_one_stays() {
    let old = |room: &Room| {
        let files = ["bin/tool/a/deep", "bin/tool/b", "share/beta/data/gone"];
        let record = serde_json::json!({ "files": files }).to_string();
        room.put("conda-meta/alpha-0.9-h1_2.json", &record);
        for file in files {
            room.put(file, "old");
        }
    };
    let options = |room: &Room| Options {
        force: true,
        ..room.options()
    };
    let new = || {
        let mut made = two_packages();
        made.entry(0, "share/beta/data", Kind::Directory);
        made
    };
    let room = Room::new();
    old(&room);
    room.install_with(new(), &options(&room)).0.unwrap();
    assert!(room.prefix.join("bin/tool").is_file());
    let folder = room.prefix.join("share/beta/data");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);

    let room = Room::new();
    old(&room);
    let before = room.listing();
    let mut made = new();
    made.plan.scripts.post_install = Some("rm -r share; exit 3".into());
    room.install_with(made, &options(&room)).0.unwrap_err();
    assert_eq!(room.listing(), before);
}

#[test]
fn a_failure_brings_everything_back() {
    for empty in [false, true] {
        let room = Room::new();
        fs::create_dir(&room.prefix).unwrap();
        if !empty {
            old_prefix(&room);
        }
        let before = room.listing();
        let mut made = two_packages();
        made.plan.scripts.post_install = Some("rm bin/tool; echo > bin/new; exit 3".into());
        let options = Options {
            force: true,
            ..room.options()
        };
        let error = room.install_with(made, &options).0.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the post_install script failed: exit status: 3"
        );
        assert_eq!(room.listing(), before);
    }
}

#[test]
fn a_directory_of_the_user_is_not_replaced_by_a_file() {
    let room = Room::new();
    room.put("bin/tool/mine", "my file");
    let before = room.listing();
    let options = Options {
        force: true,
        ..room.options()
    };
    let error = room.install_with(two_packages(), &options).0.unwrap_err();
    assert_eq!(
        chain(&error),
        format!(
            "cannot write `{}/bin/tool`: is a directory",
            room.prefix.display()
        )
    );
    assert_eq!(room.listing(), before);
}

#[test]
fn kept_packages_are_added_to_those_that_are_there() {
    let room = Room::new();
    room.put("pkgs/urls.txt", "https://example.org/old");
    room.put("pkgs/old/file", "old");
    let options = Options {
        force: true,
        keep_packages: true,
        ..room.options()
    };
    room.install_with(two_packages(), &options).0.unwrap();
    room.install_with(two_packages(), &options).0.unwrap();
    assert_eq!(
        room.read("pkgs/urls.txt"),
        "https://example.org/old\nhttps://example.org/c/noarch/alpha-1.0-0.conda\n\
         https://example.org/c/noarch/beta-2.0-0.conda\n"
    );
    assert_eq!(room.read("pkgs/old/file"), "old");
    assert_eq!(room.read("pkgs/alpha-1.0-0/share/alpha/data"), "data");
}
