//! The cache in PostgreSQL: the same files, and several indexers that read together.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::bucket::{files, same, same_times};
use super::{indexer, odd_packages};
use crate::support::bucket::{Bucket, Request};
use crate::support::database::Database;
use crate::support::package::Package;
use crate::support::run::{Place, run};

fn read(report: &str) -> u64 {
    let report: Value = serde_json::from_str(report).expect("JSON");
    let subdirs = report["subdirs"].as_array().expect("platforms");
    subdirs
        .iter()
        .map(|subdir| subdir["read"].as_u64().expect("a number"))
        .sum()
}

#[test]
fn a_folder_with_a_database() {
    let Some(database) = Database::start() else {
        return;
    };
    let place = Place::new();
    let (alone, shared) = (place.join("alone"), place.join("shared"));
    for package in odd_packages() {
        let path = package.write_to(&alone);
        let subdir = path
            .parent()
            .and_then(|path| path.file_name())
            .expect("a folder");
        fs_err::create_dir_all(shared.join(subdir)).expect("a folder");
        let name = path.file_name().expect("a name");
        fs_err::hard_link(&path, shared.join(subdir).join(name)).expect("a link");
    }
    let url = database.url();
    let arguments = ["--all", "-n", "name", "--json"];
    let given = ["--db", "postgresql", "--db-url", &url];
    let with_url = [&arguments[..], &given].concat();
    let with = [&arguments[..], &["--db", &url]].concat();
    run(&mut indexer(&place, &alone, &arguments)).succeeds();
    let first = run(&mut indexer(&place, &shared, &with_url)).succeeds();
    assert_eq!(read(&first.stdout), odd_packages().len() as u64);
    assert!(files(&alone, "") == files(&shared, ""));
    assert!(!shared.join(".cache/archiconda-index.redb").exists());

    let again = run(&mut indexer(&place, &shared, &with)).succeeds();
    assert_eq!(read(&again.stdout), 0);
    assert!(
        !again.stdout.contains("\"changed\": true"),
        "{}",
        again.stdout
    );

    // The folder may be called otherwise elsewhere, a copy of it is another channel.
    let moved = place.join("moved");
    fs_err::rename(&shared, &moved).expect("a folder");
    let again = run(&mut indexer(&place, &moved, &with)).succeeds();
    assert_eq!(read(&again.stdout), 0);
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(&moved)
        .arg(&shared)
        .status();
    assert!(copied.expect("cp").success());
    let copy = run(&mut indexer(&place, &shared, &with)).succeeds();
    assert_eq!(read(&copy.stdout), odd_packages().len() as u64);

    // A newer program's rows stay for it: its note of the version, after the CRC-32 of the note's name and text.
    database.execute(
        "UPDATE archiconda_index_notes SET value = decode('23ccd5e3', 'hex') || 'archiconda index cache 1000' \
         WHERE key = 'version'",
    );
    for _ in 0..2 {
        run(&mut indexer(&place, &shared, &with))
            .exits(1)
            .says(&["is of version 1000, and this program knows up to"]);
    }

    let absent = "postgresql://me:hush@127.0.0.1:1/index?sslmode=disable";
    run(&mut indexer(&place, &alone, &["--db", absent]))
        .exits(1)
        .says(&["could not connect to the database `index` at 127.0.0.1:1"])
        .hides(&["hush"]);
}

#[test]
fn three_indexers_of_a_bucket_one_of_them_killed() {
    const PACKAGES: u64 = 100;
    let (Some(database), Some(bucket)) = (Database::start(), Bucket::start()) else {
        return;
    };
    let place = Place::new();
    let channel = place.join("channel");
    for number in 0..PACKAGES {
        Package::named(&format!("name{} {number} 0", number % 9)).write_to(&channel);
    }
    Package::generic("data 1 0").write_to(&channel);
    bucket.put_channel("c", &channel);
    same_times(&bucket, "c", &channel);
    let arguments = ["--all", "-n", "name", "--json", "--threads", "1"];
    run(&mut indexer(&place, &channel, &arguments)).succeeds();

    let url = database.url();
    let start = || {
        let arguments = [&arguments[..], &["--db", &url]].concat();
        bucket
            .indexer(&place, "c", &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process")
    };
    let is_package = |one: &Request| one.method == "GET" && one.path.contains("/name");
    bucket.hold("GET", "/name");
    let mut killed = start();
    bucket.wait_for(is_package);
    let others = [start(), start()];
    // A process asks for 17 at most before it has an answer: all three are at work.
    while bucket.requests(is_package).len() <= 34 {
        thread::sleep(Duration::from_millis(10));
    }
    killed.kill().expect("a process to kill");
    killed.wait().expect("its end");
    bucket.let_go();
    let mut total = 0;
    for child in others {
        let output = child.wait_with_output().expect("its end");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let read = read(&String::from_utf8_lossy(&output.stdout));
        assert!(read > 0, "both have read");
        total += read;
    }
    // Each package once, those that the killed one had taken too.
    assert_eq!(total, PACKAGES + 1);
    same(&bucket, "c", &channel);

    bucket.forget();
    let warm = start().wait_with_output().expect("its end");
    assert_eq!(read(&String::from_utf8_lossy(&warm.stdout)), 0);
    let writes = bucket.requests(|one| one.method == "PUT" && !one.path.contains(".cache/"));
    assert_eq!(writes.len(), 0, "{writes:?}");
}
