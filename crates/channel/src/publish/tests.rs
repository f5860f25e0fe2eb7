//! Files that come into a folder, and those that stay.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;

use super::{DRAFT, Folder, Made, Rank, is_there, publish, sweep};
use crate::place::Place;
use archive::digest::Sha256;

fn folder(path: &std::path::Path, before: &BTreeMap<String, Made>) -> Folder {
    Folder::new(Place::Folder(path.to_owned()), before.clone()).unwrap()
}

fn names(path: &std::path::Path) -> Vec<String> {
    let mut names: Vec<_> = fs_err::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn only_what_changes_is_written() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("noarch");
    let mut first = folder(&path, &BTreeMap::new());
    first.offer("a.json", Rank::Last, b"one").unwrap();
    first.offer("deep/b.json", Rank::Aside, b"two").unwrap();
    assert!(first.has_changes());
    // Nothing is in its place before all is.
    assert!(!path.join("a.json").exists());
    let made = publish(vec![first]).unwrap().remove(0);
    assert_eq!(made.len(), 2);
    let inode = || fs_err::metadata(path.join("a.json")).unwrap().ino();
    let before = inode();

    let mut second = folder(&path, &made);
    second.offer("a.json", Rank::Last, b"one").unwrap();
    let unmade = || -> std::io::Result<Vec<u8>> { panic!("it is known already") };
    second
        .offer_made("deep/b.json", Rank::Aside, Sha256::of(b"two"), unmade)
        .unwrap();
    assert!(!second.has_changes());
    assert_eq!(publish(vec![second]).unwrap(), std::slice::from_ref(&made));
    assert_eq!(inode(), before);

    // Somebody wrote over it, and there is no memory.
    fs_err::write(path.join("a.json"), "other").unwrap();
    assert!(!is_there(&Place::Folder(path.clone()), &made));
    for memory in [&made, &BTreeMap::new()] {
        let mut third = folder(&path, memory);
        third.offer("a.json", Rank::Last, b"one").unwrap();
        assert!(third.has_changes());
    }
    let mut fourth = folder(&path, &made);
    fourth.offer("a.json", Rank::Last, b"one").unwrap();
    fourth.withdraw_rest(&["deep/"]);
    publish(vec![fourth]).unwrap();
    assert_eq!(fs_err::read(path.join("a.json")).unwrap(), b"one");
    assert!(!path.join("deep/b.json").exists());
}

#[test]
fn repodata_comes_last_of_all_folders() {
    let place = tempfile::tempdir().unwrap();
    let mut folders = Vec::new();
    for name in ["noarch", "linux-64"] {
        let mut folder = folder(&place.path().join(name), &BTreeMap::new());
        for (file, rank) in [("z", Rank::Last), ("m", Rank::Index), ("a", Rank::Aside)] {
            folder.offer(file, rank, name.as_bytes()).unwrap();
        }
        folders.push(folder);
    }
    // What cannot be put in place stops what comes after it.
    fs_err::create_dir(place.path().join("noarch/m")).unwrap();
    fs_err::write(place.path().join("noarch/m/full"), "").unwrap();
    publish(folders).unwrap_err();
    assert!(place.path().join("linux-64/a").exists() && place.path().join("noarch/a").exists());
    assert!(!place.path().join("linux-64/z").exists() && !place.path().join("noarch/z").exists());
    assert!(names(place.path()).iter().all(|name| !name.contains(DRAFT)));
}

#[test]
fn leftovers_are_swept() {
    let place = tempfile::tempdir().unwrap();
    fs_err::write(place.path().join(format!("{DRAFT}xyz")), "half").unwrap();
    fs_err::write(place.path().join("user.txt"), "whole").unwrap();
    let folder = Place::Folder(place.path().to_owned());
    let mut seen = folder.names().unwrap();
    // Somebody else may be quicker.
    seen.push(format!("{DRAFT}gone"));
    sweep(&folder, &seen).unwrap();
    assert_eq!(names(place.path()), ["user.txt"]);
}

#[test]
fn a_file_of_the_user_is_told_from_ours() {
    let place = tempfile::tempdir().unwrap();
    let mut first = folder(place.path(), &BTreeMap::new());
    assert!(first.is_ours("patch", b"x"));
    first.offer("patch", Rank::Aside, b"x").unwrap();
    let made = publish(vec![first]).unwrap().remove(0);
    assert!(folder(place.path(), &made).is_ours("patch", b"y"));
    fs_err::write(place.path().join("patch"), "mine").unwrap();
    assert!(!folder(place.path(), &made).is_ours("patch", b"y"));
    assert!(!folder(place.path(), &BTreeMap::new()).is_ours("patch", b"y"));
    assert!(folder(place.path(), &BTreeMap::new()).is_ours("patch", b"mine"));
}

#[test]
fn a_link_stays_one_and_a_device_is_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    fs_err::write(&file, "old").unwrap();
    fs_err::os::unix::fs::symlink("file", &link).unwrap();
    super::write_file(&link, b"new").unwrap();
    assert_eq!(fs_err::read(&file).unwrap(), b"new");
    assert!(fs_err::symlink_metadata(&link).unwrap().is_symlink());
    // Where a replaced device would be noticed, and does no harm: a link to one, in a folder of its own.
    let null = folder.path().join("null");
    fs_err::os::unix::fs::symlink("/dev/null", &null).unwrap();
    super::write_file(&null, b"gone").unwrap();
    assert!(fs_err::symlink_metadata(&null).unwrap().is_symlink());
    assert!(super::write_file(folder.path(), b"").is_err());
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 3);
}
