//! Machines on which it does not work: full, read-only and unwritable file systems, and temporary
//! folders in which nothing can be started.

use super::support::{make, many, sample};
use crate::support::package::{Package, file};
use crate::support::run::run;
use crate::support::tree::assert_same;

#[test]
fn a_disk_that_is_too_small_is_noticed_before_anything_is_written() {
    let Some(made) = make(&[sample(), large()], "") else {
        return;
    };
    let before = made.everything();
    let script = "mount -t tmpfs -o size=1m tmpfs where\n\
                  status=0; sh \"$1\" -b -p \"$2\" || status=$?\n\
                  find where -mindepth 1; exit $status";
    let Some(mut command) = made.with_mounts(script) else {
        return;
    };
    let output = run(&mut command)
        .exits(1)
        .says(&["error: there is too little room", "MB are needed"]);
    assert_eq!(output.stderr.lines().count(), 1, "{output}");
    assert_eq!(output.stdout, "", "{output}");
    assert_same(&before, &made.everything());

    let script = script.replace("size=1m", "nr_inodes=20");
    let mut command = made.with_mounts(&script).expect("mounts");
    run(&mut command)
        .exits(1)
        .says(&["error: there is no room for so many files"]);
    assert_same(&before, &made.everything());
}

#[test]
fn a_disk_that_fills_up_is_cleaned() {
    let Some(made) = make(&[sample(), large(), many(300)], "") else {
        return;
    };
    let before = made.everything();
    for options in ["size=1m", "size=2m,nr_inodes=200"] {
        for target in ["where/prefix", "where"] {
            // Its own TMPDIR: what fills up is only where the prefix is.
            let script = format!(
                "mount -t tmpfs -o {options} tmpfs where\n\
                 status=0; sh \"$1\" -b -f --ignore-space -p {target} || status=$?\n\
                 find where -mindepth 1; exit $status"
            );
            let Some(mut command) = made.with_mounts(&script) else {
                return;
            };
            let output = run(&mut command)
                .exits(1)
                .says(&["No space left on device"]);
            assert_eq!(output.lines("error: ").len(), 1, "{output}");
            let left = output
                .stdout
                .lines()
                .filter(|line| line.starts_with("where"));
            assert_eq!(left.count(), 0, "something is left: {output}");
            assert_same(&before, &made.everything());
        }
    }
}

#[test]
fn a_read_only_file_system_is_named() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    let before = made.everything();
    let script = "mount -t tmpfs -o ro tmpfs where\nexec sh \"$1\" -b -p \"$2\"";
    let Some(mut command) = made.with_mounts(script) else {
        return;
    };
    let output = run(&mut command).exits(1);
    let output = output.says(&["error: nothing can be written into", "where", "Read-only"]);
    assert_eq!(output.stderr.lines().count(), 1, "{output}");
    assert_same(&before, &made.everything());
}

#[test]
fn a_temporary_folder_without_programs_is_left_alone() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    // In which nothing may be started; which is full; which is not there.
    for prepare in [
        "mount -t tmpfs -o noexec tmpfs tmp",
        "mount -t tmpfs -o size=64k tmpfs tmp",
        "mount -t tmpfs -o ro tmpfs tmp",
        "export TMPDIR=/no/such/folder",
    ] {
        let script =
            format!("{prepare}\nsh \"$1\" -b -p \"$2\"; find tmp -mindepth 1; rm -r \"$2\"");
        let Some(mut command) = made.with_mounts(&script) else {
            return;
        };
        let output = run(&mut command).succeeds();
        assert_eq!(output.stderr, "", "{prepare}: {output}");
        let left = output
            .stdout
            .lines()
            .filter(|line| line.starts_with("tmp/"));
        assert_eq!(left.count(), 0, "{prepare}: {output}");
    }
    // Nowhere at all: everything that was tried is named.
    let script = "for folder in tmp /var/tmp where home; do\n\
                  mount -t tmpfs -o noexec tmpfs $folder; done\n\
                  status=0; sh \"$1\" -b -p \"$2\" || status=$?\n\
                  find tmp /var/tmp where home -mindepth 1; exit $status";
    let mut command = made.with_mounts(script).expect("mounts");
    let output = run(&mut command).exits(1);
    let output = output.says(&[
        "no place for the program",
        "TMPDIR=FOLDER",
        "/var/tmp: programs cannot",
    ]);
    assert_eq!(output.stdout, "", "something is left: {output}");
}

#[test]
fn an_unwritable_home_does_not_matter() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    let script = "mount -t tmpfs -o ro tmpfs home\nHOME=$PWD/home sh \"$1\" -b -p \"$2\"\n\
                  rm -r \"$2\"\nunset HOME TMPDIR\nsh \"$1\" -b -p \"$2\"";
    let Some(mut command) = made.with_mounts(script) else {
        return;
    };
    run(&mut command).succeeds();
    made.installed();
}

/// Two megabytes that hardly compress.
fn large() -> Package {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take(1 << 18)
    .flatten()
    .collect();
    Package::generic("large 1.0 0").with(vec![file("share/large/noise", noise)])
}
