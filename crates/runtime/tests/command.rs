//! The executable as an installer's shell text starts it: statuses, questions, signals, damage.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use archive::digest::Sha256;
use archive::payload::{BLOCK, Writer};
use runtime::plan::{
    Dialogue, Entry, File, Initialize, Kind, Need, Package, PackageHead, Plan, PrefixRules, Python,
    Requirements, Scripts, Work,
};

const CONTENT: &[u8] = b"#!/bin/sh\necho \"$*\" >>\"$HOME/asked\"\n";

/// An installer in a folder of its own.
struct Stage {
    folder: tempfile::TempDir,
}

fn plan() -> Plan {
    Plan {
        name: "Name".into(),
        version: "1.2".into(),
        platform: "linux-64".into(),
        requires: Requirements::default(),
        prefix: PrefixRules {
            default: "$HOME/name".into(),
            check_spaces: true,
            longest: None,
        },
        dialogue: Dialogue {
            licence: Some("LICENSE TEXT".into()),
            conclusion: "That was all.".into(),
            initialize: Initialize::Classic,
            initialize_by_default: false,
        },
        packages: Vec::new(),
        work: Vec::new(),
        extra: Vec::new(),
        texts: Vec::new(),
        update_specs: vec!["fake".into()],
        scripts: Scripts::default(),
        python: Some(Python {
            version: "3.10".into(),
            executable: "bin/python".into(),
            site_packages: "lib/python3.10/site-packages".into(),
        }),
        keep_packages: false,
        need: Need {
            bytes: 8192,
            inodes: 8,
        },
        need_kept: Need::default(),
        menus: Vec::new(),
        environments: Vec::new(),
        signatures: Vec::new(),
    }
}

impl Stage {
    fn new(change: impl FnOnce(&mut Plan)) -> Stage {
        let mut writer = Writer::new(Vec::new(), &[b'\n'; BLOCK], b"runtime").unwrap();
        let stream = zstd::bulk::compress(CONTENT, 1).unwrap();
        let length = stream.len() as u64;
        let frame = writer
            .frame(&mut &stream[..], length, CONTENT.len() as u64, None)
            .unwrap();
        let file = File {
            frame,
            offset: 0,
            size: CONTENT.len() as u64,
            mode: 0o755,
            modified: 0,
            sha256: Sha256::of(CONTENT),
            placeholder: None,
        };
        let record = serde_json::json!({ "name": "fake", "version": "3", "build": "0" });
        let package = Package {
            dist: "fake-3-0".into(),
            record: record.as_object().unwrap().clone(),
            entries: vec![Entry {
                path: "bin/python".into(),
                source: None,
                kind: Kind::File(file),
                clobbered_by: None,
                no_link: false,
            }],
            ..Package::default()
        };
        let mut plan = plan();
        plan.packages.push(PackageHead {
            name: "fake".into(),
            version: "3".into(),
            build: "0".into(),
            subdir: "linux-64".into(),
            channel: "c".into(),
            url: "https://example.org/c/linux-64/fake-3-0.conda".into(),
            entries: 1,
            size: CONTENT.len() as u64,
            plan: writer.json(&package).unwrap(),
        });
        plan.work.push(Work {
            frame,
            packages: vec![0],
            info: false,
        });
        change(&mut plan);
        let number = writer.json(&plan).unwrap();
        let bytes = writer.finish(number).unwrap().sink;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("installer.sh"), bytes).unwrap();
        fs::create_dir(folder.path().join("home")).unwrap();
        Stage { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runtime"));
        command
            .args(["--installer", "installer.sh", "--"])
            .args(options)
            .current_dir(self.folder.path())
            .env("HOME", self.path("home"))
            .env("SHELL", "/bin/sh")
            .env_remove("PYTHONPATH")
            .env_remove("CONDA_OVERRIDE_GLIBC")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, options: &[&str]) -> Output {
        self.command(options).output().unwrap()
    }

    /// Runs it with these answers on standard input.
    fn answer(&self, options: &[&str], answers: &str) -> Output {
        let mut child = self.command(options).stdin(Stdio::piped()).spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(answers.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    }

    /// What is there besides the installer and the home folder.
    fn rest(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names
            .filter(|name| !matches!(name.as_str(), "installer.sh" | "home"))
            .collect();
        names.sort();
        names
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn assert_status(output: &Output, status: i32, error: &str) {
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{errors}");
    assert!(errors.contains(error), "{errors}");
    let lines = errors
        .lines()
        .filter(|line| line.starts_with("error: "))
        .count();
    assert_eq!(lines, usize::from(status != 0), "{errors}");
}

fn is_installed(prefix: &Path) -> bool {
    fs::read(prefix.join("bin/python")).is_ok_and(|bytes| bytes == CONTENT)
        && prefix.join("conda-meta/fake-3-0.json").is_file()
}

#[test]
fn a_batch_installation_asks_nothing() {
    let stage = Stage::new(|_| ());
    let output = stage.run(&["-b", "-p", "some//where/./x"]);
    assert_status(&output, 0, "");
    let prefix = stage.path("some/where/x");
    assert!(is_installed(&prefix));
    let said = text(&output.stdout);
    assert!(
        said.contains(&format!("PREFIX={}\n", prefix.display())),
        "{said}"
    );
    assert!(said.contains("That was all."), "{said}");
    assert!(!said.contains(">>>") && !said.contains("LICENSE"), "{said}");
    assert!(!stage.path("home/asked").exists());
    let history = fs::read_to_string(prefix.join("conda-meta/history")).unwrap();
    assert!(
        history.contains("# cmd: installer.sh -b -p some//where/./x\n"),
        "{history}"
    );
}

#[test]
fn the_shell_is_initialized_on_demand() {
    for (shell, asked) in [
        ("/bin/bash", "-m conda init\n"),
        ("/bin/zsh", "-m conda init zsh\n"),
    ] {
        let stage = Stage::new(|_| ());
        let output = stage
            .command(&["-bc"])
            .env("SHELL", shell)
            .output()
            .unwrap();
        assert_status(&output, 0, "");
        assert!(is_installed(&stage.path("home/name")));
        assert_eq!(fs::read_to_string(stage.path("home/asked")).unwrap(), asked);
    }
    let stage = Stage::new(|plan| plan.dialogue.initialize = Initialize::Condabin);
    assert_status(&stage.answer(&[], "\nyes\n\nyes\n"), 0, "");
    let asked = fs::read_to_string(stage.path("home/asked")).unwrap();
    assert_eq!(asked, "-m conda init --condabin\n");
}

#[test]
fn the_answers_that_scripts_give_to_constructor_work() {
    let stage = Stage::new(|_| ());
    let answers = format!("\nyes\n{}\nno\n", stage.path("x").display());
    let output = stage.answer(&[], &answers);
    assert_status(&output, 0, "");
    assert!(is_installed(&stage.path("x")) && !stage.path("home/asked").exists());
    let said = text(&output.stdout);
    let order = [
        "Welcome to Name 1.2",
        "LICENSE TEXT",
        "Do you accept the license terms? [yes|no]",
        "will now be installed",
        "PREFIX=",
        "That was all.",
        "initialize conda?",
        "shell.YOUR_SHELL_NAME hook",
        "Thank you for installing Name!",
    ];
    let places: Vec<_> = order.iter().map(|part| said.find(part)).collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{places:?} {said}"
    );
}

#[test]
fn a_refusal_and_missing_answers_have_status_2() {
    let stage = Stage::new(|_| ());
    assert_status(&stage.answer(&[], "\nno\n"), 2, "license was not accepted");
    assert_status(&stage.answer(&[], ""), 2, "no answer on standard input");
    assert_status(
        &stage.answer(&[], "\nyes\n"),
        2,
        "no answer on standard input",
    );
    assert_status(&stage.run(&["--bath"]), 2, "is `--batch` meant?");
    assert_status(&stage.run(&["-t"]), 2, "`-t` is not supported");
    assert!(stage.rest().is_empty());
    assert!(!stage.path("home/name").exists());
}

#[test]
fn the_last_question_may_stay_without_an_answer() {
    let stage = Stage::new(|plan| plan.dialogue.initialize_by_default = true);
    assert_status(&stage.answer(&[], "\nyes\nx\n"), 0, "");
    assert!(is_installed(&stage.path("x")) && !stage.path("home/asked").exists());
}

#[test]
fn a_machine_that_will_not_do_is_refused_before_anything_is_written() {
    let with = |change: fn(&mut Plan)| Stage::new(change);
    let check = |stage: &Stage, options: &[&str], status: i32, error: &str| {
        let mut command = stage.command(options);
        let output = command.env("CONDA_OVERRIDE_GLIBC", "2.5").output().unwrap();
        assert_status(&output, status, error);
        assert!(stage.rest().is_empty() && !stage.path("home/name").exists());
    };
    let loader = with(|plan| plan.requires.loaders = vec!["/lib/no-such-loader".into()]);
    check(
        &loader,
        &["-b"],
        2,
        "the packages are for linux-64 and would not run",
    );
    let glibc = with(|plan| plan.requires.glibc = Some("2.17".into()));
    check(
        &glibc,
        &["-b"],
        1,
        "this system has glibc 2.5, the packages need 2.17",
    );
    let space = with(|plan| plan.need.bytes = 1 << 60);
    check(&space, &["-b"], 1, "there is too little room");
    let kept = with(|plan| plan.need_kept.bytes = 1 << 60);
    check(&kept, &["-bk"], 1, "there is too little room");
    let newer = with(|plan| plan.menus.push(serde_json::Value::Null));
    check(&newer, &["-b"], 1, "this installer needs `menus`");
    assert_status(&kept.run(&["-b"]), 0, "");
    assert_status(&space.run(&["-b", "--ignore-space"]), 0, "");
}

#[test]
fn a_prefix_that_will_not_do_is_refused() {
    let stage = Stage::new(|_| ());
    fs::create_dir_all(stage.path("full/sub")).unwrap();
    fs::create_dir(stage.path("empty")).unwrap();
    fs::write(stage.path("file"), "mine").unwrap();
    for (prefix, error) in [
        (
            "full",
            "already exists: choose another folder with -p, or install into it with -f",
        ),
        ("file", "is not a folder"),
        ("file/x", "is not a folder"),
        ("a b", "has a space in it"),
        ("a:b", "has a colon in it"),
        ("home", "your home folder"),
        ("/", "the root folder"),
        ("/proc/x", "nothing can be written"),
        ("", "the prefix is empty"),
    ] {
        if prefix == "/proc/x" && !rustix::process::getuid().is_root() {
            continue;
        }
        let output = stage.run(&["-b", "-p", prefix]);
        // root may write anywhere, as far as access(2) knows: then making the folder fails.
        let error = if prefix == "/proc/x" { "" } else { error };
        assert_status(&output, 1, error);
    }
    assert_eq!(stage.rest(), ["empty", "file", "full"]);
    assert_status(&stage.run(&["-b", "-p", "empty"]), 0, "");
    assert!(is_installed(&stage.path("empty")));
    assert_status(&stage.run(&["-b", "-f", "-p", "full"]), 0, "");
    assert!(is_installed(&stage.path("full")) && stage.path("full/sub").is_dir());
}

#[test]
fn what_is_in_the_file_can_be_listed_and_verified() {
    let stage = Stage::new(|_| ());
    let table = stage.run(&["--list"]);
    assert_status(&table, 0, "");
    assert!(
        text(&table.stdout).contains("\nfake  3        0      linux-64"),
        "{}",
        text(&table.stdout)
    );
    let json = stage.run(&["--list", "--json"]);
    let rows: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        rows[0]["url"],
        "https://example.org/c/linux-64/fake-3-0.conda"
    );
    let checked = stage.run(&["--check"]);
    assert_status(&checked, 0, "");
    assert!(
        text(&checked.stdout)
            .starts_with("Name 1.2 for linux-64 is undamaged: 1 packages, 1 files")
    );
    assert_eq!(text(&stage.run(&["--version"]).stdout), "Name 1.2\n");
    let help = stage.run(&["-h"]);
    assert_eq!(help.status.code(), Some(2));
    assert!(text(&help.stdout).contains("--keep-pkgs") && help.stderr.is_empty());
    assert!(stage.rest().is_empty());
}

#[test]
fn damage_anywhere_is_found_and_nothing_is_installed() {
    let stage = Stage::new(|_| ());
    let sound = fs::read(stage.path("installer.sh")).unwrap();
    let step = 97;
    for position in (0..sound.len())
        .step_by(step)
        .chain(2 * BLOCK..2 * BLOCK + 60)
    {
        let mut damaged = sound.clone();
        damaged[position] ^= 1 << (position % 8);
        fs::write(stage.path("installer.sh"), &damaged).unwrap();
        for options in [&["--check"][..], &["-b", "-p", "x"]] {
            let output = stage.run(options);
            assert_status(&output, 1, "");
            let errors = text(&output.stderr);
            let known = ["corrupt", "trailer is missing", "this installer has format"];
            assert!(
                known.iter().any(|part| errors.contains(part)),
                "{position}: {errors}"
            );
        }
        assert!(stage.rest().is_empty(), "{position}: {:?}", stage.rest());
    }
    for length in [0, 1, BLOCK, 2 * BLOCK, sound.len() - 1] {
        fs::write(stage.path("installer.sh"), &sound[..length]).unwrap();
        assert_status(
            &stage.run(&["-b", "-p", "x"]),
            1,
            "download it again: the file is cut off",
        );
    }
    fs::remove_file(stage.path("installer.sh")).unwrap();
    assert_status(&stage.run(&["-b"]), 1, "cannot open `installer.sh`");
    assert!(stage.rest().is_empty());
}

/// Waits until the script of [`slow`] runs.
fn wait_for_script(stage: &Stage, child: &mut Child) {
    while !stage.path("home/started").exists() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "ended before its script"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn slow(plan: &mut Plan) {
    plan.scripts.post_install = Some("#!/bin/sh\n: >\"$HOME/started\"\nsleep 1\n".into());
}

fn send(signal: &str, child: &Child) {
    let line = format!("kill -{signal} {}", child.id());
    assert!(
        Command::new("sh")
            .args(["-c", &line])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn a_signal_undoes_everything() {
    for signal in ["INT", "TERM", "HUP"] {
        let stage = Stage::new(slow);
        let mut child = stage.command(&["-b", "-p", "x"]).spawn().unwrap();
        wait_for_script(&stage, &mut child);
        send(signal, &child);
        let output = child.wait_with_output().unwrap();
        assert_status(
            &output,
            1,
            "the installation was interrupted, nothing was changed",
        );
        assert!(stage.rest().is_empty(), "{signal}: {:?}", stage.rest());
    }
}

#[test]
fn an_ignored_signal_stays_ignored() {
    let stage = Stage::new(slow);
    let mut nohup = Command::new("sh");
    let line = "trap '' HUP; exec \"$0\" --installer installer.sh -- -b -p x";
    nohup.args(["-c", line, env!("CARGO_BIN_EXE_runtime")]);
    nohup
        .current_dir(stage.folder.path())
        .env("HOME", stage.path("home"));
    nohup.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = nohup.spawn().unwrap();
    wait_for_script(&stage, &mut child);
    send("HUP", &child);
    assert_status(&child.wait_with_output().unwrap(), 0, "");
    assert!(is_installed(&stage.path("x")));
}

#[test]
fn a_signal_at_a_question_ends_the_process_at_once() {
    let stage = Stage::new(|_| ());
    let mut child = stage.command(&[]).stdin(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"\nyes\nx\n")
        .unwrap();
    while !is_installed(&stage.path("x")) {
        std::thread::sleep(Duration::from_millis(10));
    }
    // Complete, and at the last question: it is too late to undo anything.
    std::thread::sleep(Duration::from_millis(300));
    send("INT", &child);
    assert_eq!(child.wait().unwrap().signal(), Some(2));
    assert!(is_installed(&stage.path("x")));
}

#[test]
fn the_next_run_is_not_blocked_by_a_killed_one() {
    let stage = Stage::new(slow);
    let mut child = stage.command(&["-b", "-p", "x"]).spawn().unwrap();
    wait_for_script(&stage, &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    std::thread::sleep(Duration::from_millis(1200));
    let output = stage.run(&["-b", "-p", "x"]);
    assert_status(&output, 0, "warning: an interrupted installation into");
    assert!(is_installed(&stage.path("x")));
    assert_eq!(stage.rest(), ["x"]);
}

#[test]
fn the_copy_is_removed_but_nothing_else_is() {
    let stage = Stage::new(|_| ());
    let folder = stage.path("copies/.Name-1");
    fs::create_dir_all(&folder).unwrap();
    let copy = folder.join("runtime");
    fs::copy(env!("CARGO_BIN_EXE_runtime"), &copy).unwrap();
    let other = stage.path("precious");
    fs::write(&other, "mine").unwrap();
    for named in [&other, &copy] {
        let mut command = Command::new(&copy);
        command
            .arg("--installer")
            .arg(stage.path("installer.sh"))
            .arg("--copy")
            .arg(named);
        let output = command.args(["--", "--version"]).output().unwrap();
        assert_eq!(text(&output.stdout), "Name 1.2\n");
        assert_eq!(copy.exists(), named == &other);
    }
    assert!(!folder.exists() && other.exists() && stage.path("copies").exists());
    let probe = Command::new(env!("CARGO_BIN_EXE_runtime"))
        .arg("--probe")
        .output()
        .unwrap();
    assert!(probe.status.success() && probe.stdout.is_empty() && probe.stderr.is_empty());
    let alone = Command::new(env!("CARGO_BIN_EXE_runtime"))
        .arg("-b")
        .output()
        .unwrap();
    assert_status(&alone, 2, "a part of an installer");
}
