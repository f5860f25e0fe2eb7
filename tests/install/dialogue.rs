//! Interactive installations: through a pipe, as scripts do it that were written for constructor's
//! installers (`\nyes\nPATH\nno\n`), and on a terminal.

use std::io::Write as _;
use std::process::{Command, Stdio};

use fs_err as fs;
use rexpect::process::WaitStatus;
use rexpect::session::{PtySession, spawn_command};

use super::options::with_conda;
use super::support::{Made, entries, make, make_in, many, sample};
use crate::support::run::{Output, Place, run};
use crate::support::tree::assert_same;

const LICENCE: &str = "license_file = \"license.txt\"";

#[test]
fn a_script_written_for_constructor_installs() {
    let Some(made) = licensed("initialize_conda = false") else {
        return;
    };
    let prefix = made.prefix();
    let output = answers(&made, &format!("\nyes\n{}\nno\n", prefix.display())).succeeds();
    made.installed();
    let mut rest = output.stdout.as_str();
    for text in [
        "Welcome to Small 1.0",
        "Press ENTER to continue",
        "Line 300 of the licence, by Zoë",
        "Do you accept the license terms? [yes|no]",
        "Small will now be installed into this location:",
        "home/small",
        "Press ENTER to confirm",
        "CTRL-C",
        "installation finished.",
        "Thank you for installing Small!",
    ] {
        let at = rest
            .find(text)
            .unwrap_or_else(|| panic!("no `{text}`, or too early: {output}"));
        rest = &rest[at..];
    }
    let licence = fs::read_to_string(prefix.join("LICENSE.txt")).expect("the licence");
    assert!(licence.contains("Zoë"));
    // The words may be written in any case, and -i is what happens anyway.
    fs::remove_dir_all(&prefix).expect("a prefix");
    let mut command = made.command(&["-b", "-i", "-p", "where/prefix"]);
    piped(&mut command, "\nmaybe\nYES\n\n")
        .succeeds()
        .prints(&["Please answer 'yes' or 'no'"]);
    made.installed();
}

#[test]
fn refusal_and_silence_are_status_2_and_change_nothing() {
    let Some(made) = licensed("") else { return };
    let before = made.everything();
    for (input, text) in [
        ("\nno\n", "the license was not accepted"),
        ("\nNo\n", "the license was not accepted"),
        ("", "no answer on standard input"),
        ("\n", "no answer on standard input"),
        ("\nmaybe\n", "no answer on standard input"),
        ("\nyes\n", "no answer on standard input"),
    ] {
        let output = answers(&made, input).exits(2).says(&[text]);
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
        assert_same(&before, &made.everything());
    }
    // A prefix that cannot be is a failure: the next line answers another question.
    for (prefix, text) in [
        ("where/a b", "a space"),
        ("channel", "already exists"),
        ("$NO_SUCH/x", "`NO_SUCH` is not set"),
    ] {
        answers(&made, &format!("\nyes\n{prefix}\nno\n"))
            .exits(1)
            .says(&[text]);
        assert_same(&before, &made.everything());
    }
    let mut long = "x".repeat(100_000);
    long.insert_str(0, "\nyes\n");
    answers(&made, &long).exits(1).says(&["far too long"]);
    assert_same(&before, &made.everything());
}

#[test]
fn a_typed_prefix_is_expanded_but_not_evaluated() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    for (typed, expected) in [
        ("~/own", "home/own"),
        ("$HOME/${PART}/own", "home/part/own"),
        ("${NOTHING:-where}/own", "where/own"),
        ("$(touch${IFS}harm)", "$(touch"),
        ("where/`touch harm`", "`"),
    ] {
        let mut command = made.command::<&str>(&[]);
        command.env("PART", "part");
        let output = piped(&mut command, &format!("{typed}\nno\n"));
        assert!(!made.place.join("harm").exists(), "{typed}");
        if typed.contains("touch") {
            assert_ne!(output.code, Some(0), "{typed}: {output}");
        } else {
            output.succeeds();
            assert!(
                made.place.join(expected).join("bin/where").is_file(),
                "{typed}"
            );
        }
    }
}

#[test]
fn the_shell_is_initialised_by_default_only_if_the_spec_says_so() {
    for (keys, answer, expected) in [
        ("", "yes\n", Some("-m conda init ")),
        ("", "y\n", Some("-m conda init ")),
        ("", "no\n", None),
        ("", "\n", None),
        ("", "", None),
        ("initialize_by_default = true", "\n", Some("-m conda init ")),
        ("initialize_by_default = true", "no\n", None),
        ("initialize_by_default = true", "", None),
        (
            "initialize_conda = \"condabin\"",
            "yes\n",
            Some("-m conda init --condabin "),
        ),
        ("initialize_conda = false", "yes\n", None),
    ] {
        let Some(made) = with_conda(keys) else { return };
        let prefix = made.prefix();
        let output = answers(&made, &format!("{}\n{answer}", prefix.display())).succeeds();
        let calls = fs::read_to_string(prefix.join("calls")).ok();
        assert_eq!(calls.as_deref(), expected, "{keys} {answer:?}: {output}");
        let asked = !keys.contains("initialize_conda = false");
        let shown = if keys.contains("by_default") {
            "[yes] >>>"
        } else {
            "[no] >>>"
        };
        assert_eq!(output.stdout.contains(shown), asked, "{output}");
        let explained = output.stdout.contains("eval \"$(");
        assert_eq!(explained, asked && expected.is_none(), "{output}");
    }
}

#[test]
fn the_conclusion_and_a_warning_about_pythonpath_are_shown() {
    let Some(made) = make(
        &[sample()],
        "conclusion_text = \"All is said and done.\\n\"",
    ) else {
        return;
    };
    let output = run(made.installation(&[]).env("PYTHONPATH", "/some/where")).succeeds();
    assert!(
        output.stdout.ends_with("All is said and done.\n"),
        "{output}"
    );
    assert!(
        output.stderr.contains("warning: PYTHONPATH is set"),
        "{output}"
    );
    let output = run(made.installation(&["-f"]).env("PYTHONPATH", "")).succeeds();
    assert_eq!(output.stderr, "");
}

#[test]
fn on_a_terminal_the_licence_is_paged() {
    let Some(made) = licensed("") else { return };
    let before = made.everything();
    let mut terminal = terminal(made.command::<&str>(&[]));
    terminal.expect("Press ENTER to continue");
    terminal.enter("");
    terminal.expect("Line 1 of the licence");
    let shown = terminal.expect("--More--");
    assert!(!shown.contains("Line 300"), "{shown}");
    terminal.key("q");
    terminal.expect("Do you accept the license terms?");
    terminal.enter("no");
    terminal.expect("the license was not accepted");
    assert_eq!(terminal.end(), Some(2));
    assert_same(&before, &made.everything());
}

#[test]
fn on_a_terminal_a_wrong_prefix_can_be_corrected() {
    let Some(made) = make(&[sample()], "") else {
        return;
    };
    made.place.write("where/full/file", "");
    let mut terminal = terminal(made.command::<&str>(&[]));
    terminal.expect("home/small] >>> ");
    terminal.enter("where/full");
    terminal.expect("already exists");
    terminal.expect("home/small] >>> ");
    terminal.enter("where/a b");
    terminal.expect("a space");
    terminal.expect("home/small] >>> ");
    terminal.enter("where/prefix");
    terminal.expect("installation finished.");
    assert_eq!(terminal.end(), Some(0));
    assert!(made.prefix().join("bin/where").is_file());
}

#[test]
fn ctrl_c_and_end_of_input_change_nothing() {
    let Some(made) = licensed("") else { return };
    let before = made.everything();
    // At a question.
    let mut terminal_c = terminal(made.command::<&str>(&[]));
    terminal_c.expect("Press ENTER to continue");
    terminal_c.control('c');
    assert_ne!(terminal_c.end(), Some(0));
    assert_same(&before, &made.everything());
    let mut terminal_d = terminal(made.command::<&str>(&[]));
    terminal_d.expect("Press ENTER to continue");
    terminal_d.control('d');
    terminal_d.expect("no answer on standard input");
    assert_eq!(terminal_d.end(), Some(2));
    assert_same(&before, &made.everything());
}

#[test]
fn ctrl_c_in_the_middle_is_undone() {
    let Some(made) = make(&[many(2000), sample()], "") else {
        return;
    };
    let before = made.everything();
    let mut hits = 0;
    for _ in 0..5 {
        let mut terminal = terminal(made.installation(&["-i", "--threads=1"]));
        terminal.expect(">>> ");
        terminal.enter("");
        let new = made.place.join("where/.prefix.installing/new/many");
        while entries(&new) < 5 && !made.prefix().exists() {
            std::thread::yield_now();
        }
        terminal.control('c');
        match terminal.end() {
            Some(0) => fs::remove_dir_all(made.prefix()).expect("a prefix"),
            status => {
                assert_eq!(status, Some(1));
                assert_same(&before, &made.everything());
                hits += 1;
                break;
            }
        }
    }
    assert!(hits > 0, "Ctrl-C never came in time");
}

/// An installer with a licence that is longer than a screen.
fn licensed(keys: &str) -> Option<Made> {
    let place = Place::new();
    let lines = (1..=300).map(|line| format!("Line {line} of the licence, by Zoë\n"));
    place.write("license.txt", lines.collect::<String>());
    make_in(place, &[sample()], &format!("{LICENCE}\n{keys}"))
}

fn answers(made: &Made, input: &str) -> Output {
    piped(&mut made.command::<&str>(&[]), input)
}

/// Runs a command whose standard input is a pipe with this text.
fn piped(command: &mut Command, input: &str) -> Output {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(input.as_bytes()).expect("a file");
    std::io::Seek::rewind(&mut file).expect("a file");
    let mut cat = Command::new("cat")
        .stdin(file)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a pipe");
    let output = run(command.stdin(cat.stdout.take().expect("a pipe")));
    cat.wait().expect("an end");
    output
}

/// A program on a terminal of its own.
struct Terminal(PtySession);

fn terminal(mut command: Command) -> Terminal {
    command
        .env("TERM", "vt100")
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        .stderr(Stdio::inherit());
    Terminal(spawn_command(command, Some(30_000)).expect("a terminal"))
}

impl Terminal {
    /// Waits for a text and returns what came before.
    #[track_caller]
    fn expect(&mut self, text: &str) -> String {
        self.0
            .exp_string(text)
            .unwrap_or_else(|error| panic!("no `{text}`: {error}"))
    }

    fn enter(&mut self, line: &str) {
        self.0.send_line(line).expect("a terminal");
    }

    fn key(&mut self, key: &str) {
        self.0
            .send(key)
            .and_then(|_| self.0.flush())
            .expect("a terminal");
    }

    fn control(&mut self, letter: char) {
        self.0.send_control(letter).expect("a terminal");
    }

    /// The exit code; none if a signal ended it.
    fn end(mut self) -> Option<i32> {
        // Reads the rest, so that nothing waits for a reader.
        let _ = self.0.exp_eof();
        match self.0.process().wait().expect("an end") {
            WaitStatus::Exited(_, code) => Some(code),
            _ => None,
        }
    }
}
