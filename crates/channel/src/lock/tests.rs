//! Holders that live, that are dead, and that nobody can see.

use std::time::{Duration, Instant};

use super::file::FileLock as Lock;
use super::{Error, FILE, Owner};

const NOW: Duration = Duration::ZERO;

fn take(folder: &std::path::Path, patience: Duration) -> Result<Lock, Error> {
    Lock::take(folder, patience, &mut |_| {})
}

#[test]
fn one_at_a_time() {
    let place = tempfile::tempdir().unwrap();
    let lock = take(place.path(), NOW).unwrap();
    lock.check().unwrap();
    let error = take(place.path(), NOW).unwrap_err();
    let told = error.to_string();
    let process = std::process::id().to_string();
    assert!(
        matches!(error, Error::Held { .. }) && told.contains(&process),
        "{told}"
    );
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut told = 0;
            let lock = Lock::take(place.path(), Duration::from_mins(1), &mut |_| told += 1);
            (lock.unwrap(), told)
        });
        std::thread::sleep(Duration::from_millis(300));
        assert!(!waiting.is_finished());
        drop(lock);
        assert_eq!(waiting.join().unwrap().1, 1);
    });
    assert_eq!(fs_err::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn many_at_once() {
    let place = tempfile::tempdir().unwrap();
    let inside = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let lock = take(place.path(), Duration::from_mins(5)).unwrap();
                    assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                    lock.check().unwrap();
                    inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                }
            });
        }
    });
}

#[test]
fn the_dead_hold_nothing() {
    let place = tempfile::tempdir().unwrap();
    let ours = Owner::this().to_string_for_file();
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let gone = child.id();
    child.wait().unwrap();
    let process = format!("process={}\n", std::process::id());
    let dead = [
        // The process is gone.
        ours.replace(&process, &format!("process={gone}\n")),
        // Its number has another process now.
        ours.replace("began=", "began=7"),
    ];
    for text in dead {
        fs_err::write(place.path().join(FILE), &text).unwrap();
        let began = Instant::now();
        take(place.path(), NOW).unwrap();
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn nobody_knows_whether_others_live() {
    let place = tempfile::tempdir().unwrap();
    let ours = Owner::this().to_string_for_file();
    for text in [ours.replace("world=", "world=another "), String::new()] {
        fs_err::write(place.path().join(FILE), &text).unwrap();
        let error = take(place.path(), Duration::from_millis(300)).unwrap_err();
        assert!(matches!(error, Error::Held { .. }), "{error}");
        fs_err::remove_file(place.path().join(FILE)).unwrap();
    }
}

#[test]
fn a_lock_that_was_taken_away_is_noticed() {
    let place = tempfile::tempdir().unwrap();
    let lock = take(place.path(), NOW).unwrap();
    fs_err::remove_file(place.path().join(FILE)).unwrap();
    assert!(matches!(lock.check(), Err(Error::Lost { .. })));
    let other = take(place.path(), NOW).unwrap();
    assert!(matches!(lock.check(), Err(Error::Lost { .. })));
    drop(lock);
    other.check().unwrap();
}
