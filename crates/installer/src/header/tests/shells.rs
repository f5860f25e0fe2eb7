//! The text in the hands of real shells. A script stands in for the runtime: it does what the real
//! one begins with, namely compare the text with what it was, and notes how it was called.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use archive::payload::{BLOCK, padding};

use crate::header::{Fields, render};

const RUNTIME: &str = r#"#!/bin/sh
if [ "$1" = --probe ]; then
    [ -z "${SLOW:-}" ] || { : >"$LOG"; sleep 0.3; }
    exit 0
fi
rm -f "$0"
rmdir "${0%/*}"
[ "$1" = --installer ] && [ "$3" = --copy ] && [ "$4" = "$0" ] && [ "$5" = -- ] || exit 2
cmp -s -- "$2" "$ORIGINAL" || exit 1
printf '<%s>\n' "$@" >"$LOG"
exit 0
"#;

/// More than one page, so that it does not fit where one is free.
fn runtime() -> Vec<u8> {
    let mut bytes = RUNTIME.as_bytes().to_vec();
    bytes.resize(2 * BLOCK + 1000, b'\n');
    bytes
}

/// What follows the runtime. A shell that read it would leave a trace.
const PAYLOAD: &str =
    "\ntouch LEAK\n'\ntouch LEAK\n\"\ntouch LEAK\n`\ntouch LEAK\n)\n}\nfi\ntouch LEAK\n";

/// Shells that are `sh` somewhere.
const SHELLS: [&[&str]; 4] = [
    &["dash"],
    &["bash"],
    &["busybox", "sh"],
    &["zsh", "--emulate", "sh"],
];

fn shells() -> impl Iterator<Item = &'static [&'static str]> {
    SHELLS.into_iter().filter(|shell| {
        let found = Command::new(shell[0])
            .args(&shell[1..])
            .args(["-c", ":"])
            .status();
        let found = found.is_ok_and(|status| status.success());
        if !found {
            skip(shell[0]);
        }
        found
    })
}

/// Says that a program is missing; where `cargo xtask test` must not skip anything, that fails.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skip(program: &str) {
    let strict = std::env::var("ARCHICONDA_TEST_STRICT").is_ok_and(|value| value == "1");
    assert!(!strict, "{program} is not installed");
    eprintln!("skipped: {program} is not installed");
}

/// An installer for this machine in a folder of its own, and a folder for copies of its runtime.
struct Stage {
    folder: tempfile::TempDir,
    bytes: Vec<u8>,
}

impl Stage {
    fn new() -> Stage {
        Stage::with_name("Name")
    }

    fn with_name(name: &str) -> Stage {
        let machine = Command::new("uname").arg("-m").output().unwrap().stdout;
        let machine = String::from_utf8(machine).unwrap();
        let fields = Fields {
            name,
            version: "1.0",
            platform: "linux-64",
            machines: &["other", machine.trim()],
            default_prefix: "~/name",
            runtime: &runtime(),
        };
        let mut bytes = render(&fields).unwrap();
        bytes.extend_from_slice(&runtime());
        bytes.resize(bytes.len() + padding(bytes.len()), 0);
        bytes.extend_from_slice(PAYLOAD.as_bytes());
        let folder = tempfile::tempdir().unwrap();
        for name in ["tmp", "home", "here", "bin"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let stage = Stage { folder, bytes };
        fs::write(stage.path("original"), &stage.bytes).unwrap();
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes an installer, executable.
    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A command in the folder `here`, with room for the copy in the folder `tmp`.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path("here"))
            .env("TMPDIR", self.path("tmp"))
            .env("HOME", self.path("home"))
            .env("ORIGINAL", self.path("original"))
            .env("LOG", self.path("log"))
            .stdin(Stdio::null());
        command
    }

    fn shell(&self, shell: &[&str]) -> Command {
        let mut command = self.command(shell[0]);
        command.args(&shell[1..]);
        command
    }

    /// How the runtime was called, if it was.
    fn log(&self) -> Option<String> {
        fs::read_to_string(self.path("log")).ok()
    }

    /// Everything is as it was but for the note of the runtime.
    fn assert_clean(&self, what: &str) {
        for folder in ["here", "tmp", "home"] {
            let entries = fs::read_dir(self.path(folder)).unwrap();
            let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            assert!(names.is_empty(), "{what}: {names:?} in {folder}");
        }
    }
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs it, but not for ever.
fn finish(mut command: Command) -> Option<i32> {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if begun.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn the_runtime_gets_the_file_and_the_options_as_they_are() {
    let stage = Stage::new();
    for name in ["plain.sh", "no extension", "-dash.sh", "it's \"$x\".sh"] {
        stage.write(&format!("here/{name}"), &stage.bytes);
    }
    let options = ["-b", "-p", "a b", "", "*", "$x\n", "--"];
    let noted = format!("<{}>\n", options.join(">\n<"));
    let check = |mut command: Command, file: &str, what: &str| {
        let output = command.args(options).output().unwrap();
        assert!(output.status.success(), "{what}: {}", said(&output.stderr));
        let log = stage.log().unwrap();
        let copy = log.lines().nth(3).unwrap().to_owned();
        assert!(
            copy.starts_with(&format!("<{}/.Name-", stage.path("tmp").display())),
            "{copy}"
        );
        assert_eq!(
            log,
            format!("<--installer>\n<{file}>\n<--copy>\n{copy}\n<-->\n{noted}")
        );
        fs::remove_file(stage.path("log")).unwrap();
        assert_eq!(fs::read_dir(stage.path("tmp")).unwrap().count(), 0);
    };
    for shell in shells() {
        for file in ["plain.sh", "./no extension", "./it's \"$x\".sh"] {
            let mut command = stage.shell(shell);
            command.arg(file);
            check(command, file, shell[0]);
        }
        let mut command = stage.shell(shell);
        command.args(["--", "-dash.sh"]);
        check(command, "-dash.sh", shell[0]);
        let absolute = stage.path("here/plain.sh").display().to_string();
        let mut command = stage.shell(shell);
        command.current_dir("/").arg(&absolute);
        check(command, &absolute, shell[0]);
    }
    check(stage.command("./plain.sh"), "./plain.sh", "executed");
    let mut command = stage.command("sh");
    let path = format!(
        "{}:{}",
        stage.path("here").display(),
        std::env::var("PATH").unwrap()
    );
    command
        .env("PATH", path)
        .current_dir("/")
        .args(["-c", "exec plain.sh \"$@\"", "-"]);
    let absolute = stage.path("here/plain.sh").display().to_string();
    check(command, &absolute, "found in PATH");
}

#[test]
fn help_is_answered_without_the_runtime() {
    let stage = Stage::with_name("It's $(touch LEAK) `touch LEAK` \"x");
    let file = stage.write("file.sh", &stage.bytes);
    for shell in shells() {
        for options in [
            &["-h"][..],
            &["--help"],
            &["-bh"],
            &["-hp"],
            &["-p", "x", "-h"],
            &["-b", "-hf"],
        ] {
            let output = stage
                .shell(shell)
                .arg(&file)
                .args(options)
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(2), "{shell:?} {options:?}");
            let text = said(&output.stdout);
            assert!(
                text.contains("Installs It's $(touch LEAK) `touch LEAK` \"x 1.0."),
                "{text}"
            );
            assert!(text.contains("-p, --prefix DIR") && output.stderr.is_empty());
        }
    }
    let sound = Stage::new();
    let file = sound.write("file.sh", &sound.bytes);
    for shell in shells() {
        for options in [
            &["-p", "-h"][..],
            &["-ph"],
            &["--prefix", "--help"],
            &["--", "-h"],
            &["--hel"],
        ] {
            let output = sound
                .shell(shell)
                .arg(&file)
                .args(options)
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{shell:?} {options:?}: {}",
                said(&output.stderr)
            );
        }
    }
    stage.assert_clean("help");
}

#[test]
fn a_pipe_is_recognised() {
    let stage = Stage::new();
    let file = stage.write("file.sh", &stage.bytes);
    for shell in shells() {
        let mut child = stage
            .shell(shell)
            .args(["-s", "--", "-b"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The shell may be gone before it has read everything.
        let _ = child.stdin.take().unwrap().write_all(&stage.bytes);
        let piped = child.wait_with_output().unwrap();
        let redirected = stage
            .shell(shell)
            .stdin(fs::File::open(&file).unwrap())
            .output()
            .unwrap();
        for output in [piped, redirected] {
            assert_eq!(output.status.code(), Some(1), "{shell:?}");
            let text = said(&output.stderr);
            assert!(
                text.contains("cannot be piped") && text.contains("sh FILE"),
                "{shell:?}: {text}"
            );
        }
    }
    assert_eq!(stage.log(), None);
    stage.assert_clean("piped");
}

#[test]
fn another_machine_is_refused() {
    for (system, machine, expected) in [
        (
            "Linux",
            "riscv64",
            "is for linux-64, but this machine is riscv64",
        ),
        ("Linux", "oth", "but this machine is oth"),
        ("Darwin", "other", "but this machine runs Darwin"),
        ("", "", "but this machine runs "),
    ] {
        let stage = Stage::new();
        let file = stage.write("file.sh", &stage.bytes);
        let uname =
            format!("#!/bin/sh\ncase $1 in -s) echo {system} ;; *) echo {machine} ;; esac\n");
        stage.write("bin/uname", uname.as_bytes());
        let path = format!(
            "{}:{}",
            stage.path("bin").display(),
            std::env::var("PATH").unwrap()
        );
        for shell in shells() {
            let output = stage
                .shell(shell)
                .env("PATH", &path)
                .arg(&file)
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(2), "{shell:?}");
            assert!(
                said(&output.stderr).contains(expected),
                "{}",
                said(&output.stderr)
            );
        }
        assert_eq!(stage.log(), None);
    }
}

/// Runs a line as `sh` in a mount namespace of its own; none where that is not allowed.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn isolated(stage: &Stage, line: &str) -> Option<Output> {
    let mut command = stage.command("unshare");
    let output = command.args(["--mount", "sh", "-c", line]).output().ok()?;
    let not_allowed = said(&output.stderr).contains("unshare") || output.status.code() == Some(77);
    if not_allowed {
        eprintln!(
            "skipped: mounting is not allowed here: {}",
            said(&output.stderr)
        );
    }
    (!not_allowed).then_some(output)
}

#[test]
fn a_place_where_programs_do_not_start_is_passed_over() {
    let stage = Stage::new();
    let file = stage.write("file.sh", &stage.bytes);
    let mount = |options: &str, folder: &str| {
        format!("mount -t tmpfs -o {options} none {folder} || exit 77\n")
    };
    let tmp = stage.path("tmp").display().to_string();
    let run = format!("cd / && exec sh '{}'", file.display());
    let check = |lines: &str, options: &str, expected: Result<&str, &[&str]>| {
        let Some(output) = isolated(&stage, &format!("{lines}{run} {options}")) else {
            return;
        };
        match expected {
            Ok(place) => {
                assert!(output.status.success(), "{}", said(&output.stderr));
                let log = stage.log().unwrap();
                let copy = log.lines().nth(3).unwrap();
                assert!(
                    copy.starts_with(&format!("<{place}/.Name-")),
                    "{copy} {place}"
                );
            }
            Err(parts) => {
                assert_eq!(output.status.code(), Some(1));
                let text = said(&output.stderr);
                assert!(parts.iter().all(|part| text.contains(part)), "{text}");
            }
        }
        fs::remove_file(stage.path("log")).ok();
    };
    let noexec = mount("noexec", &tmp);
    let full = mount("size=4k", &tmp);
    let neither = mount("noexec", "/var/tmp");
    let here = stage.path("here").display().to_string();
    let home = stage.path("home").display().to_string();
    check(&noexec, "", Ok("/var/tmp"));
    check(&full, "", Ok("/var/tmp"));
    check(&mount("ro", &tmp), "", Ok("/var/tmp"));
    let both = noexec + &neither;
    check(&both, &format!("-b -p {here}/x/y"), Ok(&here));
    check(&both, &format!("-bp{here}/x"), Ok(&here));
    check(&both, &format!("--prefix={here}"), Ok(&here));
    check(&both, &format!("--prefix {here}/x"), Ok(&here));
    check(&both, "-b", Ok(&home));
    let all = both + &format!("HOME=/nonexistent; cd '{here}'\n");
    check(
        &all,
        "-p /proc/x",
        Err(&["TMPDIR=FOLDER", &tmp, "/var/tmp: programs cannot", "/proc/"]),
    );
    check(
        &(full + &neither + "unset HOME\n"),
        "",
        Err(&["there is no room", "/var/tmp"]),
    );
    stage.assert_clean("places");
}

#[test]
fn a_signal_leaves_no_copy_behind() {
    for shell in shells() {
        for signal in ["TERM", "INT", "HUP"] {
            let stage = Stage::new();
            let file = stage.write("file.sh", &stage.bytes);
            let mut child = stage
                .shell(shell)
                .arg(&file)
                .env("SLOW", "1")
                .spawn()
                .unwrap();
            while stage.log().is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
            let kill = format!("kill -{signal} {}", child.id());
            assert!(
                Command::new("sh")
                    .args(["-c", &kill])
                    .status()
                    .unwrap()
                    .success()
            );
            assert_eq!(child.wait().unwrap().code(), Some(1), "{shell:?} {signal}");
            stage.assert_clean(signal);
        }
    }
}

#[test]
fn a_damaged_runtime_is_not_started() {
    let stage = Stage::new();
    let start = stage.bytes.len() - PAYLOAD.len() - BLOCK;
    let mut bytes = stage.bytes.clone();
    bytes[start + 1] ^= 1;
    let file = stage.write("file.sh", &bytes);
    for shell in shells() {
        let output = stage
            .shell(shell)
            .arg(&file)
            .env("SLOW", "1")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{shell:?}");
        assert!(said(&output.stderr).contains("is damaged or cut off, download it again"));
    }
    assert_eq!(stage.log(), None);
    stage.assert_clean("damaged");
}

#[test]
fn a_file_that_is_cut_off_fails() {
    let stage = Stage::new();
    let shells: Vec<_> = shells().collect();
    for (turn, shell) in shells.iter().enumerate() {
        for length in (97..stage.bytes.len())
            .step_by(97)
            .skip(turn)
            .step_by(shells.len())
        {
            let file = stage.write("file.sh", &stage.bytes[..length]);
            let mut command = stage.shell(shell);
            command.arg(&file);
            let status = finish(command);
            assert!(
                status.is_some_and(|status| status != 0),
                "{shell:?} {length}: {status:?}"
            );
        }
    }
    assert_eq!(stage.log(), None);
    stage.assert_clean("cut off");
}

/// A sample of all bits of the text before its padding: other ones for each shell.
#[test]
fn no_flipped_bit_ends_in_success() {
    const STEP: usize = 397;
    let sound = Stage::new();
    let padding = sound
        .bytes
        .windows(64)
        .position(|window| window == [b'\n'; 64])
        .unwrap();
    for (number, shell) in shells().enumerate() {
        let next = AtomicUsize::new(0);
        let work = || {
            let stage = Stage::new();
            loop {
                let bit = next.fetch_add(1, Ordering::Relaxed) * STEP + number * STEP / 4;
                if bit / 8 > padding {
                    break;
                }
                let mut bytes = stage.bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let file = stage.write("file.sh", &bytes);
                let mut command = stage.shell(shell);
                command.args([
                    file.as_os_str(),
                    "-b".as_ref(),
                    "-p".as_ref(),
                    "/x".as_ref(),
                ]);
                let status = finish(command);
                let what = format!("{shell:?} bit {bit}");
                assert!(
                    status.is_some_and(|status| status != 0),
                    "{what}: {status:?}"
                );
                assert_eq!(stage.log(), None, "{what}");
                assert!(!stage.path("here/LEAK").exists(), "{what}");
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(work);
            scope.spawn(work);
        });
    }
}

#[test]
fn the_source_is_sound_shell() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../installer/header.sh");
    for shell in shells() {
        let status = Command::new(shell[0])
            .args(&shell[1..])
            .arg("-n")
            .arg(&source)
            .status();
        assert!(status.unwrap().success(), "{shell:?}");
    }
    match Command::new("shellcheck").arg(&source).output() {
        Ok(output) => assert!(output.status.success(), "{}", said(&output.stdout)),
        Err(_) => skip("shellcheck"),
    }
}
