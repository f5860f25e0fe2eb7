//! What a killed installation leaves, and what the next one, or one at the same time, does with it.

use super::*;
use crate::place::{Existing, Fresh, Place};
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
    assert!(crate::recover(&room.prefix).unwrap());
    assert_eq!(room.listing(), ["prefix/", "prefix/mine 644 my file"]);
    assert!(!crate::recover(&room.prefix).unwrap());
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
        assert!(crate::recover(&room.prefix).unwrap());
        assert_eq!(room.listing(), before);
    }
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
    assert!(crate::recover(&room.prefix).unwrap());
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
