//! `archiconda channel export` and `import`: a channel reaches a machine without a network.

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;

use crate::support::package::{Package, file, write_to};
use crate::support::run::{Output, Place, run};
use crate::support::serving::until;

fn put(place: &Place, channel: &Path, package: &str, arguments: &[&str]) {
    let package = Package::named(package);
    write_to(channel, &package, &package.bytes());
    index(place, channel, arguments);
}

fn index(place: &Place, channel: &Path, arguments: &[&str]) {
    let mut index = place.archiconda();
    index.arg("index").arg(channel).arg("--all").args(arguments);
    run(&mut index).succeeds();
}

fn export(place: &Place, channel: &Path, name: &str, since: Option<&Path>) -> (PathBuf, Output) {
    let file = place.join(name);
    let mut command = place.archiconda();
    command
        .args(["channel", "export", "--json"])
        .arg(channel)
        .arg(&file);
    if let Some(since) = since {
        command.arg("--since").arg(since);
    }
    (file, run(&mut command))
}

fn export_command(place: &Place, channel: &Path, file: &Path) -> Command {
    let mut command = place.archiconda();
    command.args(["channel", "export"]).arg(channel).arg(file);
    command
}

fn import_command(place: &Place, file: &Path, channel: &Path) -> Command {
    let mut command = place.archiconda();
    command.args(["channel", "import"]).arg(file).arg(channel);
    command
}

fn verify(place: &Place, channel: &Path) {
    let mut command = place.archiconda();
    run(command.args(["channel", "verify"]).arg(channel)).succeeds();
}

#[test]
fn only_what_changed_is_carried() {
    let place = Place::new();
    let (here, there) = (place.join("here"), place.join("there"));
    put(&place, &here, "app 1.0 0", &[]);
    put(&place, &here, "old 1.0 0", &[]);
    let (first, _) = export(&place, &here, "first.tar", None);
    run(&mut import_command(&place, &first, &there)).succeeds();
    verify(&place, &there);

    fs::remove_file(here.join("linux-64/old-1.0-0.conda")).expect("a package");
    put(&place, &here, "new 1.0 0", &[]);
    let (second, told) = export(&place, &here, "second.tar", Some(&first));
    let told = told.succeeds().json();
    assert!(told["removed"].as_u64() >= Some(1), "{told}");
    let members = run(place.command("tar").arg("tf").arg(&second))
        .succeeds()
        .stdout;
    assert!(members.starts_with("manifest.json\n"), "{members}");
    assert!(
        members.contains("new-1.0-0.conda") && !members.contains("app-1.0-0.conda"),
        "{members}"
    );
    assert!(members.trim_end().ends_with("repodata.json"), "{members}");
    run(&mut import_command(&place, &second, &there)).succeeds();
    verify(&place, &there);
    assert!(!there.join("linux-64/old-1.0-0.conda").exists());
    let repodata =
        |channel: &Path| fs::read(channel.join("linux-64/repodata.json")).expect("repodata");
    assert!(repodata(&here) == repodata(&there));

    // Where the first part never came, the second is of no use, and says so.
    let empty = place.join("empty");
    run(&mut import_command(&place, &second, &empty))
        .exits(1)
        .says(&["lacks", "app-1.0-0.conda", "--since"]);
    assert!(!empty.join("linux-64").exists());
}

#[test]
fn an_export_goes_where_it_is_told_to() {
    let place = Place::new();
    let (here, there) = (place.join("here"), place.join("there"));
    put(&place, &here, "app 1.0 0", &[]);

    // From standard output to standard input, with nothing else among the bytes.
    let mut from = export_command(&place, &here, Path::new("-"));
    let mut from = from.stdout(Stdio::piped()).spawn().expect("an export");
    let mut to = import_command(&place, Path::new("-"), &there);
    let pipe = from.stdout.take().expect("its output");
    run(to.stdin(pipe)).succeeds();
    assert!(from.wait().expect("its end").success());
    verify(&place, &there);
    assert!(!place.join("-").exists());

    // A pipe is written to, and stays one.
    let pipe = place.join("pipe");
    run(place.command("mkfifo").arg(&pipe)).succeeds();
    let mut from = export_command(&place, &here, &pipe)
        .spawn()
        .expect("an export");
    run(&mut import_command(&place, &pipe, &place.join("piped"))).succeeds();
    assert!(from.wait().expect("its end").success());
    verify(&place, &place.join("piped"));
    let kind = fs::symlink_metadata(&pipe).expect("a pipe").file_type();
    assert!(kind.is_fifo());

    // A link stays a link to what was written.
    std::os::unix::fs::symlink("far.tar", place.join("near.tar")).expect("a link");
    place.write("far.tar", "old");
    run(&mut export_command(&place, &here, &place.join("near.tar"))).succeeds();
    let kind = fs::symlink_metadata(place.join("near.tar")).expect("a link");
    assert!(kind.is_symlink());
    assert!(fs::metadata(place.join("far.tar")).expect("a file").len() > 1000);

    // In the channel it would be a part of itself.
    run(&mut export_command(
        &place,
        &here,
        &here.join("linux-64/x.tar"),
    ))
    .exits(2)
    .says(&["x.tar", "in the channel"]);
    run(&mut export_command(&place, &here, &place.join("out")))
        .exits(1)
        .says(&["out", "directory"]);
    fs::create_dir(place.join("empty")).expect("a folder");
    run(&mut export_command(
        &place,
        &place.join("empty"),
        &place.join("x.tar"),
    ))
    .exits(2)
    .says(&["there is no index in", "archiconda index"]);
    assert!(!place.join("x.tar").exists());
}

#[test]
fn a_damaged_package_is_not_exported() {
    let place = Place::new();
    let here = place.join("here");
    put(&place, &here, "app 1.0 0", &[]);
    let package = here.join("linux-64/app-1.0-0.conda");
    let mut bytes = fs::read(&package).expect("a package");
    bytes[20] ^= 1;
    fs::write(&package, bytes).expect("a package");
    let (file, told) = export(&place, &here, "first.tar", None);
    told.exits(4)
        .says(&["linux-64/app-1.0-0.conda", "channel verify"]);
    assert!(!file.exists());
    let leftovers = fs::read_dir(place.path()).expect("a folder").flatten();
    let drafts = leftovers.filter(|entry| entry.file_name().to_string_lossy().starts_with('.'));
    assert_eq!(drafts.count(), 0);
}

#[test]
fn a_killed_import_leaves_the_channel_as_it_was_and_goes_well_again() {
    let place = Place::new();
    let (here, there) = (place.join("here"), place.join("there"));
    put(&place, &here, "app 1.0 0", &[]);
    let (first, _) = export(&place, &here, "first.tar", None);
    run(&mut import_command(&place, &first, &there)).succeeds();
    let before = fs::read(there.join("linux-64/repodata.json")).expect("repodata");
    put(&place, &here, "app 2.0 0", &[]);
    let (second, _) = export(&place, &here, "second.tar", Some(&first));

    // It never comes to its end: the file is a pipe that stays open.
    let pipe = place.join("pipe");
    run(place.command("mkfifo").arg(&pipe)).succeeds();
    let mut child = import_command(&place, &pipe, &there)
        .stderr(Stdio::null())
        .spawn()
        .expect("a process");
    let bytes = fs::read(&second).expect("a file");
    let mut writer = fs::OpenOptions::new()
        .write(true)
        .open(&pipe)
        .expect("a pipe");
    std::io::Write::write_all(&mut writer, &bytes[..bytes.len() - 4096]).expect("bytes");
    until(|| fs::read_dir(there.join(".cache/transfer")).is_ok_and(|folder| folder.count() > 0));
    child.kill().expect("a process");
    child.wait().expect("a process");
    drop(writer);
    assert!(fs::read(there.join("linux-64/repodata.json")).expect("repodata") == before);
    verify(&place, &there);
    run(&mut import_command(&place, &second, &there)).succeeds();
    verify(&place, &there);
    assert!(there.join("linux-64/app-2.0-0.conda").exists());
    assert!(!there.join(".cache/transfer").exists());
}

#[test]
fn a_killed_export_leaves_nothing() {
    let place = Place::new();
    let here = place.join("here");
    // Something that takes a while.
    let noise: Vec<u8> = (0_u64..16 << 20)
        .map(|number| {
            number
                .wrapping_mul(number ^ 0x9e37_79b9_7f4a_7c15)
                .to_be_bytes()[2]
        })
        .collect();
    let package = Package::named("app 1.0 0").with(vec![file("share/noise", noise)]);
    write_to(&here, &package, &package.bytes());
    index(&place, &here, &[]);
    fs::create_dir(place.join("exports")).expect("a folder");
    let mut kills = 0;
    for pause in [1, 2, 5, 10, 20, 40] {
        let to = place.join("exports/channel.tar");
        let mut export = export_command(&place, &here, &to).spawn().expect("a child");
        std::thread::sleep(std::time::Duration::from_millis(pause));
        export.kill().expect("killed");
        kills += usize::from(!export.wait().expect("its end").success());
        let names = fs::read_dir(place.join("exports")).expect("a folder");
        let names = names.map(|entry| entry.expect("an entry").file_name());
        assert!(names.into_iter().all(|name| name == "channel.tar"));
        let _ = fs::remove_file(to);
    }
    assert!(kills > 0, "no kill came in time");
}
