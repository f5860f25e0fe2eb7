//! Installations that are interrupted or killed, and several at once: what was there before is
//! there again, at once or with the next run, and nothing is in its way.

use std::time::Duration;

use fs_err as fs;
use rustix::process::Signal;

use super::support::{Made, entries, make, make_in, many, sample, wait_for};
use crate::support::package::{Package, executable, file, link_script};
use crate::support::run::{Output, Place, run};
use crate::support::tree::{Tree, assert_same};

const FILES: usize = 2000;

/// Says that it has come so far, and waits.
const WAITS: &str = "touch \"$PREFIX/../../reached\"\n\
                     for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do\n\
                     [ -e \"$PREFIX/../../go\" ] && exit; sleep 1; done\n";

#[test]
fn a_signal_undoes_everything() {
    for keys in ["pre_install = \"waits.sh\"", "post_install = \"waits.sh\""] {
        let Some(made) = waiting(keys) else { return };
        let before = made.everything();
        for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
            interrupted(&made.signalled(&made.installation(&[]), &reached(&made), signal));
            made.forget();
            assert_same(&before, &made.everything());
        }
    }
    let Some(made) = make(&[many(FILES), sample()], "") else {
        return;
    };
    let before = made.everything();
    let mut hits = 0;
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let ready = || entries(&made.place.join("where/.prefix.installing/new/many")) > 10;
        let output = made.signalled(&made.installation(&["--threads=1"]), &ready, signal);
        if output.code == Some(0) {
            fs::remove_dir_all(made.prefix()).expect("a prefix");
            continue;
        }
        hits += 1;
        interrupted(&output);
        assert_same(&before, &made.everything());
    }
    assert!(hits > 0, "no signal came in time");
}

#[test]
fn a_signal_leaves_an_existing_prefix_as_it_was() {
    let Some(made) = waiting("post_install = \"waits.sh\"") else {
        return;
    };
    made.install(&["-s"]).succeeds();
    made.place.write("where/prefix/mine", "mine");
    made.place.write("where/prefix/etc/sample.conf", "mine too");
    let before = made.everything();
    let output = made.signalled(&made.installation(&["-f"]), &reached(&made), Signal::INT);
    interrupted(&output);
    made.forget();
    assert_same(&before, &made.everything());
}

#[test]
fn after_a_kill_the_next_run_works() {
    let Some(made) = make(&[many(FILES), sample()], "") else {
        return;
    };
    made.install(&["--no-compile"]).succeeds();
    let expected = without_history(made.installed());
    fs::remove_dir_all(made.prefix()).expect("a prefix");
    let new = made.place.join("where/.prefix.installing/new");
    let mut kills = 0;
    for reached in [1, 20, 40] {
        let ready = || entries(&new.join("many")) >= reached;
        let output = made.signalled(&made.installation(&["--threads=1"]), &ready, Signal::KILL);
        kills += usize::from(output.signal == Some(9));
        let undone =
            output.signal == Some(9) && made.place.join("where/.prefix.installing").exists();
        let output = made.install(&["-f"]).succeeds();
        assert!(
            !undone || output.stderr.contains("an interrupted installation"),
            "{output}"
        );
        assert_same(&expected, &without_history(made.installed()));
        fs::remove_dir_all(made.prefix()).expect("a prefix");
    }
    assert!(kills > 0, "no kill came in time");
}

#[test]
fn after_a_kill_at_any_stage_the_next_run_puts_the_old_prefix_back() {
    for keys in [
        "pre_install = \"kills.sh\"",
        "post_install = \"kills.sh\"",
        "",
    ] {
        let Some(made) = killing(keys) else { return };
        // A new prefix.
        let before = made.everything();
        killed(&made.install(&[]));
        assert_ne!(before, made.everything(), "nothing had begun: {keys}");
        made.place.write("go", "");
        made.install(&[])
            .succeeds()
            .says(&["an interrupted installation", "was undone"]);
        let expected = without_history(made.installed());
        fs::remove_file(made.place.join("go")).expect("a file");

        // An existing one: refused without -f, but put back first.
        made.place.write("where/prefix/mine", "mine");
        made.place
            .write("where/prefix/share/sample/data", "mine too");
        let before = made.everything();
        killed(&made.install(&["-f"]));
        made.install(&[])
            .exits(1)
            .says(&["was undone", "already exists"]);
        assert_same(&before, &made.everything());
        killed(&made.install(&["-f"]));
        made.place.write("go", "");
        made.install(&["-f"]).succeeds();
        let tree = made.installed().without(|path| path == "mine");
        assert_same(&expected, &without_history(tree));
    }
}

#[test]
fn a_kill_while_files_are_moved_is_undone() {
    // Thousands of moves into an existing prefix, each of which can be the last.
    let Some(made) = make(&[wide("1"), sample()], "") else {
        return;
    };
    made.install(&[]).succeeds();
    let Made { place, .. } = made;
    let Some(made) = make_in(place, &[wide("2"), sample()], "") else {
        return;
    };
    let before = made.everything();
    let workshop = made.place.join("where/prefix/.installing");
    let mut kills = 0;
    for _ in 0..3 {
        let moved = || entries(&workshop.join("old/wide")) > 5;
        let output = made.signalled(&made.installation(&["-f"]), &moved, Signal::KILL);
        if output.signal == Some(9) && workshop.exists() {
            kills += 1;
            made.install(&[])
                .exits(1)
                .says(&["was undone", "already exists"]);
            assert_same(&before, &made.everything());
        }
        if output.code == Some(0) {
            break;
        }
    }
    assert!(kills > 0, "no kill came in time");
    made.install(&["-f"]).succeeds();
    let version = fs::read_to_string(made.prefix().join("wide/7"));
    assert_eq!(version.expect("a file"), "2 7");
}

#[test]
fn two_installations_do_not_meet() {
    for (keys, force) in [
        ("pre_install = \"waits.sh\"", ""),
        ("post_install = \"waits.sh\"", ""),
        ("post_install = \"waits.sh\"", "-f"),
    ] {
        let Some(made) = waiting(keys) else { return };
        if force == "-f" {
            made.install(&["-s"]).succeeds();
        }
        std::thread::scope(|scope| {
            let first = scope.spawn(|| run(&mut made.installation(&["-f"])));
            wait_for("script", || made.place.join("reached").exists());
            let second = made.install(&["-f"]);
            made.place.write("go", "");
            second
                .exits(1)
                .says(&["another installation into", "is under way"]);
            first.join().expect("an end").succeeds();
        });
        made.forget();
        made.installed();
    }
}

#[test]
fn of_many_at_once_one_wins() {
    let Some(made) = make(&[many(500), sample()], "") else {
        return;
    };
    for _ in 0..3 {
        let outputs: Vec<Output> = std::thread::scope(|scope| {
            let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| made.install(&[]))).collect();
            runs.into_iter()
                .map(|run| run.join().expect("an end"))
                .collect()
        });
        let winners = outputs
            .iter()
            .filter(|output| output.code == Some(0))
            .count();
        assert_eq!(winners, 1, "{outputs:#?}");
        for output in outputs.iter().filter(|output| output.code != Some(0)) {
            assert_eq!(output.code, Some(1), "{output}");
            let known = ["is under way", "already exists", "exists and is not"];
            assert!(
                known.iter().any(|text| output.stderr.contains(text)),
                "{output}"
            );
        }
        let tree = made.installed();
        assert_eq!(
            tree.paths()
                .iter()
                .filter(|path| path.starts_with("many/"))
                .count(),
            505
        );
        fs::remove_dir_all(made.prefix()).expect("a prefix");
    }
}

#[test]
fn a_folder_of_somebody_else_is_not_touched() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    let command = made.installation(&[]);
    let Some(mut command) = made.as_nobody(&command) else {
        return;
    };
    // Made by root, where anybody may write.
    fs::create_dir(made.place.join("where/.prefix.installing")).expect("a folder");
    made.place.write("where/.prefix.installing/file", "");
    let before = made.everything();
    run(&mut command)
        .exits(1)
        .says(&["is in the way and belongs to another user"]);
    assert_same(&before, &made.everything());
}

fn interrupted(output: &Output) {
    assert_eq!(output.code, Some(1), "{output}");
    assert_eq!(output.lines("error: ").len(), 1, "{output}");
    assert!(output.stderr.contains("was interrupted"), "{output}");
}

fn killed(output: &Output) {
    assert_eq!(output.signal, Some(9), "{output}");
}

fn without_history(tree: Tree) -> Tree {
    tree.without(|path| path == "conda-meta/history")
}

fn waiting(keys: &str) -> Option<Made> {
    let place = Place::new();
    place.write("waits.sh", WAITS);
    make_in(place, &[sample()], keys)
}

/// A script kills its parent, unless told otherwise; the last one is a link script.
fn killing(keys: &str) -> Option<Made> {
    let place = Place::new();
    let kills = "[ -e \"$PREFIX/../../go\" ] || { kill -9 $PPID; sleep 1; }\n";
    place.write("kills.sh", kills);
    let script = if keys.is_empty() { kills } else { ":\n" };
    let linked = Package::generic("linked 1.0 0").with(vec![
        executable("bin/linked", "#!/bin/sh\n"),
        link_script("linked", "post-link", script),
    ]);
    make_in(place, &[linked, sample()], keys)
}

/// Many files in one folder.
fn wide(version: &str) -> Package {
    let files =
        (0..1500).map(|number| file(&format!("wide/{number}"), format!("{version} {number}")));
    Package::generic(&format!("wide {version} 0")).with(files.collect())
}

fn reached(made: &Made) -> impl Fn() -> bool + Sync {
    let path = made.place.join("reached");
    move || {
        let reached = path.exists();
        if reached {
            // The script is about to sleep; so is the installer.
            std::thread::sleep(Duration::from_millis(20));
        }
        reached
    }
}

impl Made {
    /// Takes away what the waiting script and we said to each other.
    fn forget(&self) {
        for name in ["reached", "go"] {
            let _ = fs::remove_file(self.place.join(name));
        }
    }
}
