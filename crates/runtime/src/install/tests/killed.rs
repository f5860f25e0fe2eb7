//! What a killed installation leaves, and what the next one, or one at the same time, does with it.

use super::*;
use crate::place::{Existing, Fresh, Place, Recovery};
use crate::tree::Tree as _;

/// Fills a place as an installation does, and forgets it, as kill -9 does.
fn killed(place: &dyn Place, published: bool) {
    let tree = crate::tree::Disk::open(place.root()).unwrap();
    for folder in ["bin", "share", "share/alpha", "conda-meta"] {
        tree.directory(folder).unwrap();
    }
    for path in ["bin/half", "share/alpha/data", "conda-meta/history"] {
        fs::write(place.root().join(path), "half").unwrap();
    }
    if published {
        let replaced = "conda-meta/alpha-0.9-0.json";
        place.publish(&[replaced.to_owned()]).unwrap();
        fs::write(place.scratch().join("post_install.sh"), "x").unwrap();
    }
}

#[test]
fn a_killed_installation_does_not_block_the_next_one() {
    for published in [false, true] {
        let room = Room::new();
        killed(&Fresh::begin(&room.prefix).unwrap(), published);
        assert_eq!(room.prefix.exists(), published);
        let (result, events) = room.install_with(two_packages(), &room.options());
        result.unwrap();
        assert!(events[0].starts_with("Recovered"), "{events:?}");
        assert!(!room.prefix.join("bin/half").exists());
        assert_eq!(
            fs::read_dir(room.prefix.parent().unwrap()).unwrap().count(),
            1
        );
    }
}

#[test]
fn recovery_does_not_touch_a_prefix_that_is_not_ours() {
    let room = Room::new();
    killed(&Fresh::begin(&room.prefix).unwrap(), false);
    room.put("mine", "my file");
    assert_eq!(crate::recover(&room.prefix).unwrap(), Recovery::Undone);
    assert_eq!(room.listing(), ["prefix/", "prefix/mine 644 my file"]);
    assert_eq!(crate::recover(&room.prefix).unwrap(), Recovery::Nothing);
}

#[test]
fn a_killed_installation_into_an_old_prefix_is_rolled_back() {
    for published in [false, true] {
        let room = Room::new();
        room.put("share/alpha/data", "old");
        room.put("share/alpha/mine", "mine");
        room.put("conda-meta/history", "old");
        room.put("conda-meta/alpha-0.9-0.json", "{}");
        let before = room.listing();
        killed(&Existing::begin(&room.prefix, false).unwrap(), published);
        assert_eq!(room.prefix.join("bin/half").exists(), published);
        // The first undoing is killed as well, after any number of steps.
        let folder = room.prefix.join(".installing");
        if published {
            fs::rename(room.prefix.join("bin"), folder.join("new/bin")).unwrap();
            fs::remove_file(room.prefix.join("share/alpha/data")).unwrap();
        }
        assert_eq!(crate::recover(&room.prefix).unwrap(), Recovery::Undone);
        assert_eq!(room.listing(), before);
    }
}

/// Sets the last sign of life back, as if all since then had happened later.
fn long_ago(folder: &std::path::Path) {
    let file = fs::File::options()
        .write(true)
        .open(folder.join("alive"))
        .unwrap();
    let before = std::time::SystemTime::now() - std::time::Duration::from_hours(1);
    file.set_modified(before).unwrap();
}

#[test]
fn a_prefix_that_was_used_after_a_kill_is_nobodys_to_remove() {
    let room = Room::new();
    killed(&Fresh::begin(&room.prefix).unwrap(), true);
    let workshop = room.prefix.with_file_name(".prefix.installing");
    long_ago(&workshop);
    room.put("envs/mine/data", "mine");
    assert_eq!(crate::recover(&room.prefix).unwrap(), Recovery::Kept);
    assert!(room.prefix.join("envs/mine/data").exists() && room.prefix.join("bin/half").exists());
    assert!(!workshop.exists());
    let error = room.install(two_packages()).unwrap_err();
    assert!(matches!(error, Error::PrefixExists { .. }), "{error}");

    let room = Room::new();
    room.put("share/alpha/data", "old");
    room.put("conda-meta/alpha-0.9-0.json", "{}");
    killed(&Existing::begin(&room.prefix, false).unwrap(), true);
    long_ago(&room.prefix.join(".installing"));
    room.put("bin/mine", "mine");
    assert_eq!(crate::recover(&room.prefix).unwrap(), Recovery::Kept);
    for path in ["bin/mine", "bin/half", "share/alpha/data"] {
        assert!(room.prefix.join(path).exists(), "{path}");
    }
    let data = fs::read_to_string(room.prefix.join("share/alpha/data")).unwrap();
    assert_eq!(data, "half");
    assert!(!room.prefix.join(".installing").exists());
}

#[test]
fn a_note_from_before_the_moves_says_nothing_of_them() {
    let room = Room::new();
    room.put("share/alpha/data", "old");
    let before = room.listing();
    let place = Existing::begin(&room.prefix, false).unwrap();
    let folder = room.prefix.join(".installing");
    // `pre_install` ran long ago.
    crate::place::alive::note(&folder).unwrap();
    long_ago(&folder);
    place.publish(&["not/there".to_owned()]).unwrap_err();
    drop(place);
    room.put("share/alpha/data", "old");
    assert_eq!(crate::recover(&room.prefix).unwrap(), Recovery::Undone);
    assert_eq!(room.listing(), before);
}

#[test]
fn what_cannot_be_put_back_does_not_keep_the_rest_from_it() {
    let room = Room::new();
    room.put("share/alpha/data", "old");
    room.put("conda-meta/alpha-0.9-0.json", "{}");
    let before = room.listing();
    killed(&Existing::begin(&room.prefix, false).unwrap(), true);
    let way = room.prefix.join("share/alpha");
    fs::remove_dir_all(&way).unwrap();
    fs::write(&way, "in the way").unwrap();
    for _ in 0..2 {
        crate::recover(&room.prefix).unwrap_err();
        assert!(room.prefix.join("conda-meta/alpha-0.9-0.json").exists());
        assert!(!room.prefix.join("bin/half").exists());
    }
    // Without the folder there is room for it.
    fs::remove_file(&way).unwrap();
    assert_eq!(crate::recover(&room.prefix).unwrap(), Recovery::Undone);
    assert_eq!(room.listing(), before);
}

#[test]
fn a_complete_installation_is_not_said_to_be_undone() {
    let room = Room::new();
    room.install(two_packages()).unwrap();
    let before = room.listing();
    for folder in [
        room.prefix.join(".installing"),
        room.prefix.with_file_name(".prefix.installing"),
    ] {
        // Killed while it removed its folder.
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(crate::lock::MARKER), "").unwrap();
        fs::write(folder.join("done"), "").unwrap();
        assert_eq!(crate::recover(&room.prefix).unwrap(), Recovery::Nothing);
        assert_eq!(room.listing(), before);
    }
}

#[test]
fn folders_that_were_moved_elsewhere_are_not_hidden() {
    let room = Room::new();
    room.put("mine", "x");
    let elsewhere = room.prefix.with_file_name("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("data"), "much").unwrap();
    std::os::unix::fs::symlink(&elsewhere, room.prefix.join("share")).unwrap();
    // Links within the prefix are those of packages, and may change.
    fs::create_dir(room.prefix.join("lib")).unwrap();
    std::os::unix::fs::symlink("lib", room.prefix.join("bin")).unwrap();
    let before = room.listing();
    let place = Existing::begin(&room.prefix, false).unwrap();
    let tree = crate::tree::Disk::open(place.root()).unwrap();
    tree.directory("bin").unwrap();
    let steps = |place: &Existing| place.publish(&[]);
    tree.directory("share").unwrap();
    let error = steps(&place).unwrap_err();
    assert!(
        matches!(&error, Error::LinkedFolder { path } if path.ends_with("share")),
        "{error}"
    );
    // Nor while what it leads to is not there.
    fs::rename(&elsewhere, room.folder.path().join("away")).unwrap();
    let error = steps(&place).unwrap_err();
    assert!(matches!(&error, Error::LinkedFolder { .. }), "{error}");
    fs::rename(room.folder.path().join("away"), &elsewhere).unwrap();
    place.undo().unwrap();
    assert_eq!(room.listing(), before);
    assert!(elsewhere.join("data").exists());
}

#[test]
fn what_a_script_put_into_an_empty_directory_goes_with_the_rest() {
    let room = Room::new();
    fs::create_dir(&room.prefix).unwrap();
    let before = room.listing();
    let place = Existing::begin(&room.prefix, true).unwrap();
    room.put("from/pre_install", "x");
    place.undo().unwrap();
    assert_eq!(room.listing(), before);

    // But nobody knows what was put there while no installation was running.
    drop(Existing::begin(&room.prefix, true).unwrap());
    room.put("mine", "x");
    assert_eq!(crate::recover(&room.prefix).unwrap(), Recovery::Undone);
    assert_eq!(room.listing(), ["prefix/", "prefix/mine 644 x"]);
}

#[test]
fn two_installations_into_one_prefix_exclude_each_other() {
    let room = Room::new();
    let place = Fresh::begin(&room.prefix).unwrap();
    let error = room.install(two_packages()).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    killed(&place, true);
    let options = Options {
        force: true,
        ..room.options()
    };
    let error = room.install_with(two_packages(), &options).0.unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    place.undo().unwrap();

    fs::create_dir(&room.prefix).unwrap();
    let place = Existing::begin(&room.prefix, true).unwrap();
    let error = room.install_with(two_packages(), &options).0.unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    drop(place);
    room.install_with(two_packages(), &options).0.unwrap();
}

#[test]
fn folders_that_only_have_the_name_of_ours_are_left_alone() {
    let room = Room::new();
    room.put(".installing/mine", "x");
    let before = room.listing();
    let options = Options {
        force: true,
        ..room.options()
    };
    let error = room.install_with(two_packages(), &options).0.unwrap_err();
    assert!(matches!(error, Error::InTheWay { .. }), "{error}");
    assert_eq!(room.listing(), before);
}
