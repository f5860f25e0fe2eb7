//! Damaged installers: whichever byte is wrong and wherever the file ends, an installation that
//! says it is done is complete and right; any other leaves nothing and says why.
//!
//! A file of less than a dozen bytes is an empty script: no shell can know better.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use archive::payload::Payload;
use fs_err as fs;

use super::support::{Made, assert_empty, make, permissions, sample};
use crate::support::run::{Output, run};
use crate::support::tree::{Tree, assert_same, snapshot};

/// The shortest file that is more than the beginning of a script: `#!/bin/sh` and a brace.
const SHORTEST: u64 = 12;

/// The parts of an installer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Header,
    Padding,
    Rest,
}

#[test]
fn a_flipped_bit_is_never_installed() {
    let Some(made) = make(&[sample()], "keep_pkgs = true") else {
        return;
    };
    let (length, starts) = layout(&made.file);
    let text = fs::read(&made.file).expect("an installer");
    let padding = text[..starts[1]]
        .iter()
        .rposition(|byte| *byte != b'\n')
        .expect("a header");
    let mut cases = Vec::new();
    // The shell text more densely than what is covered by digests from the first byte on.
    cases.extend(
        (0..=padding)
            .step_by(5)
            .map(|at| (at, 1 << (at * 5 % 7), Part::Header)),
    );
    // And wherever it would come to other commands: one bit away from a file that is read, for
    // instance, is a pipe into it.
    cases.extend((0..=padding).flat_map(|at| {
        let before = text[at];
        (0..7)
            .map(|bit| 1 << bit)
            .filter(move |bits| b"&;|<'\"".contains(&(before ^ bits)) || b"<'".contains(&before))
            .map(move |bits| (at, bits, Part::Header))
    }));
    cases.extend(
        (padding + 1..starts[1])
            .step_by(211)
            .map(|at| (at, 0x20, Part::Padding)),
    );
    for (start, end, count) in [
        (starts[1], starts[2], 60),
        (starts[2], starts[3], 80),
        (starts[3], length - 184, 40),
        (length - 184, length, 92),
    ] {
        let step = (end - start).div_ceil(count).max(1);
        cases.extend(
            (start..end)
                .step_by(step)
                .map(|at| (at, 1 << (at % 8), Part::Rest)),
        );
    }
    every(&made, &cases, |case, bench| {
        let (at, bits, part) = case;
        bench.with_flipped(at, bits);
        let output = bench.install();
        bench.judge(&output, &format!("bit {bits:#04x} of byte {at}"), part);
        bench.with_flipped(at, bits);
    });
}

#[test]
fn a_truncated_file_is_never_installed() {
    let Some(made) = make(&[sample()], "keep_pkgs = true") else {
        return;
    };
    let (length, starts) = layout(&made.file);
    let mut cases: Vec<usize> = (0..starts[1]).step_by(97).collect();
    cases.extend((starts[1]..length).step_by((length - starts[1]) / 60));
    cases.extend(
        starts
            .iter()
            .flat_map(|start| [start.saturating_sub(1), *start, start + 1]),
    );
    cases.extend([
        length - 1,
        length - 2,
        length - 100,
        length - 183,
        length - 184,
        length - 185,
    ]);
    cases.retain(|at| *at as u64 >= SHORTEST);
    every(&made, &cases, |at, bench| {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(&bench.file)
            .expect("a copy");
        file.set_len(at as u64).expect("a copy");
        drop(file);
        let part = if at < starts[1] {
            Part::Header
        } else {
            Part::Rest
        };
        let output = bench.install();
        bench.judge(&output, &format!("the first {at} bytes"), part);
        fs::copy(&made.file, &bench.file).expect("a copy");
    });
}

#[test]
fn appended_and_inserted_bytes_are_never_installed() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    let (length, starts) = layout(&made.file);
    let text = fs::read(&made.file).expect("an installer");
    let mut cases = Vec::new();
    for at in [
        10,
        starts[1] - 1,
        starts[1],
        starts[2],
        starts[2] + 9,
        starts[3],
        length,
    ] {
        for more in [&b"\n"[..], b"\0", &text[length - 184..]] {
            cases.push([&text[..at], more, &text[at..]].concat());
        }
        if at < length {
            cases.push([&text[..at], &text[at + 1..]].concat());
        }
    }
    // What a transfer in text mode makes of it.
    cases.push(
        text.iter()
            .flat_map(|byte| [&b"\r"[usize::from(*byte != b'\n')..], &[*byte]].concat())
            .collect(),
    );
    every(&made, &cases.iter().collect::<Vec<_>>(), |bytes, bench| {
        fs::write(&bench.file, bytes).expect("a copy");
        let output = bench.install();
        bench.judge(&output, "an installer of another length", Part::Header);
    });
}

#[test]
fn check_finds_what_installing_finds() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    let (length, starts) = layout(&made.file);
    let cases: Vec<usize> = (starts[1]..length)
        .step_by((length - starts[1]) / 80)
        .collect();
    every(&made, &cases, |at, bench| {
        bench.with_flipped(at, 4);
        let output = bench.run(&["--check"]);
        assert_eq!(output.code, Some(1), "byte {at}: {output}");
        assert_eq!(output.lines("error: ").len(), 1, "byte {at}: {output}");
        bench.with_flipped(at, 4);
        assert_empty(&bench.folder.join("tmp"));
    });
}

/// Where header, runtime, frames and index begin, and the whole length.
fn layout(file: &Path) -> (usize, [usize; 4]) {
    let opened = std::fs::File::open(file).expect("an installer");
    let length = opened.metadata().expect("an installer").len();
    let payload = Payload::open(&opened, length).expect("an installer");
    let number = |bytes: u64| usize::try_from(bytes).expect("a position");
    let trailer = payload.trailer.as_ref().expect("a trailer");
    let runtime = trailer.header_length;
    let frames = runtime + trailer.runtime_length;
    (
        number(length),
        [
            0,
            number(runtime),
            number(frames),
            number(trailer.index_offset),
        ],
    )
}

/// A copy of the installer in a folder of its own, for one thread.
struct Bench<'a> {
    made: &'a Made,
    folder: PathBuf,
    file: PathBuf,
    /// What a good installation makes.
    expected: &'a Tree,
}

/// Tries all cases on two threads.
fn every<T: Copy + Sync>(made: &Made, cases: &[T], case: impl Fn(T, &Bench<'_>) + Sync) {
    fs::set_permissions(made.place.path(), permissions(0o755)).expect("a folder");
    let expected = {
        let nothing = Tree::default();
        let bench = Bench::new(made, "good", &nothing);
        bench.install().succeeds();
        stable(snapshot(&bench.folder.join("where/prefix")))
    };
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in ["one", "two"] {
            let (next, expected, case) = (&next, &expected, &case);
            scope.spawn(move || {
                let bench = Bench::new(made, thread, expected);
                while let Some(one) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    case(*one, &bench);
                }
            });
        }
    });
    assert!(next.into_inner() > 20, "too few cases");
}

impl<'a> Bench<'a> {
    fn new(made: &'a Made, name: &str, expected: &'a Tree) -> Bench<'a> {
        let folder = made.place.join(name);
        for part in ["where", "tmp", "home"] {
            fs::create_dir_all(folder.join(part)).expect("a folder");
        }
        let file = folder.join("installer.sh");
        fs::copy(&made.file, &file).expect("a copy");
        Bench {
            made,
            folder,
            file,
            expected,
        }
    }

    fn with_flipped(&self, at: usize, bits: u8) {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.file)
            .expect("a copy");
        let mut byte = [0];
        file.file()
            .read_exact_at(&mut byte, at as u64)
            .expect("a byte");
        file.file()
            .write_all_at(&[byte[0] ^ bits], at as u64)
            .expect("a byte");
    }

    fn install(&self) -> Output {
        self.run(&["-b", "-p", "where/prefix"])
    }

    /// Runs the copy; a damaged shell text may wait for ever.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.made.place.command("timeout");
        command
            .args(["--kill-after=1", "10", "sh"])
            .arg(&self.file)
            .args(arguments)
            .current_dir(&self.folder)
            .env("TMPDIR", self.folder.join("tmp"))
            .env("HOME", self.folder.join("home"));
        run(&mut command)
    }

    fn judge(&self, output: &Output, what: &str, part: Part) {
        let prefix = self.folder.join("where/prefix");
        if output.code == Some(0) {
            assert!(prefix.exists(), "{what}: nothing was installed: {output}");
            assert_same(self.expected, &stable(snapshot(&prefix)));
            fs::remove_dir_all(&prefix).expect("a prefix");
            // The words of the shell text are not covered where they are not read any more.
            assert_ne!(part, Part::Rest, "{what}: {output}");
        } else if part == Part::Rest {
            assert_eq!(output.code, Some(1), "{what}: {output}");
            let undoing = "Undoing what was done so far.";
            let said: Vec<&str> = output
                .stderr
                .lines()
                .filter(|line| *line != undoing)
                .collect();
            assert!(
                matches!(said[..], [line] if line.starts_with("error: ")),
                "{what}: {output}"
            );
        } else {
            // What a damaged shell text says cannot be foreseen; that it ends can.
            assert!(
                output.code.is_some_and(|code| code != 124 && code != 137),
                "{what}: {output}"
            );
        }
        if part == Part::Header {
            // A damaged line may also be the one that would have tidied up.
            assert!(!prefix.exists(), "{what}: {output}");
            self.tidy();
        }
        assert_empty(&self.folder.join("where"));
        let tree = snapshot(&self.folder);
        assert_eq!(
            tree.paths(),
            ["home", "installer.sh", "tmp", "where"],
            "{what}: {output}"
        );
    }

    fn tidy(&self) {
        for folder in [
            self.folder.clone(),
            self.folder.join("tmp"),
            self.folder.join("home"),
            self.folder.join("where"),
        ] {
            for entry in fs::read_dir(folder).expect("a folder") {
                let entry = entry.expect("an entry");
                let known = ["home", "installer.sh", "tmp", "where"].iter();
                if known.clone().all(|name| entry.file_name() != **name) {
                    let path = entry.path();
                    let is_folder = entry.file_type().expect("an entry").is_dir();
                    let remove = if is_folder {
                        fs::remove_dir_all
                    } else {
                        fs::remove_file
                    };
                    remove(path).expect("an entry");
                }
            }
        }
    }
}

fn stable(tree: Tree) -> Tree {
    tree.without(|path| path == "conda-meta/history")
}
