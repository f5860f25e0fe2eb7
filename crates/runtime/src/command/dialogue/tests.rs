//! Piped answers, and what becomes of them.

use std::path::PathBuf;

use super::*;

fn plan(licence: Option<&str>) -> Plan {
    let mut plan: Plan = serde_json::from_str(
        r#"{
            "name": "Name", "version": "1.2", "platform": "linux-64", "requires": {},
            "prefix": { "default": "~/n", "check_spaces": true }, "packages": [], "work": [],
            "dialogue": { "conclusion": "", "initialize": "classic" }, "update_specs": [],
            "need": { "bytes": 0, "inodes": 0 }, "need_kept": { "bytes": 0, "inodes": 0 }
        }"#,
    )
    .unwrap();
    plan.dialogue.licence = licence.map(str::to_owned);
    plan
}

/// Runs `ask` with these answers; returns its result and what was said.
fn with<T>(answers: &[u8], terminal: bool, ask: impl Fn(&mut Console<'_>) -> T) -> (T, String) {
    let (mut input, mut output) = (answers, Vec::new());
    let result = ask(&mut Console {
        input: &mut input,
        output: &mut output,
        terminal,
    });
    (result, String::from_utf8(output).unwrap())
}

fn accept(text: Option<&str>) -> Result<PathBuf, prefix::Error> {
    let text = text.unwrap_or("/default");
    if text.starts_with('/') {
        Ok(text.into())
    } else {
        Err(prefix::Error::Exists(text.into()))
    }
}

/// The questions before anything is written.
fn questions(licence: Option<&str>, answers: &str) -> (Result<PathBuf, Error>, String) {
    let plan = plan(licence);
    with(answers.as_bytes(), false, |console| {
        console.welcome(&plan)?;
        console.prefix(&plan, "/default", &accept)
    })
}

#[test]
fn the_answers_of_scripts_for_constructor_are_understood() {
    let check = |licence: Option<&str>, answers: &str, expected: &str| {
        let (result, said) = questions(licence, answers);
        assert_eq!(result.unwrap(), Path::new(expected), "{answers:?}");
        assert!(said.contains("Welcome to Name 1.2\n"), "{said}");
        assert_eq!(said.contains("LICENSE TEXT"), licence.is_some());
    };
    let licence = Some("LICENSE TEXT");
    check(licence, "\nyes\n/path\nno\n", "/path");
    check(licence, "\nYES\n\n", "/default");
    check(licence, "\n\n\nmaybe\ny\nyes\n/path\n", "/path");
    check(licence, "anything\nyes\n/path", "/path");
    check(None, "/path\nno\n", "/path");
    check(None, "\n", "/default");
}

#[test]
fn a_refusal_and_the_end_of_input_end_the_dialogue() {
    let licence = Some("LICENSE TEXT");
    for answers in ["\nno\n", "\n\nNo\n"] {
        assert!(
            matches!(questions(licence, answers).0, Err(Error::License)),
            "{answers:?}"
        );
    }
    for answers in ["", "\n", "\n\n\n", "\nyes\n"] {
        assert!(
            matches!(questions(licence, answers).0, Err(Error::NoAnswer)),
            "{answers:?}"
        );
    }
    assert!(matches!(questions(None, "").0, Err(Error::NoAnswer)));
}

#[test]
fn a_wrong_path_ends_a_script_but_not_a_conversation() {
    let plan = plan(None);
    let ask = |console: &mut Console<'_>| console.prefix(&plan, "/default", &accept);
    assert!(matches!(
        with(b"wrong\n/path\n", false, ask).0,
        Err(Error::Prefix(_))
    ));
    let (result, said) = with(b"wrong\n/path\n", true, ask);
    assert_eq!(result.unwrap(), Path::new("/path"));
    assert!(said.contains("`wrong` already exists"), "{said}");
}

#[test]
fn initialisation_needs_a_yes() {
    let check = |initialize, by_default, answer: &str, expected: bool| {
        let dialogue = Dialogue {
            initialize,
            initialize_by_default: by_default,
            ..Dialogue::default()
        };
        let ask = |console: &mut Console<'_>| console.wants_initialisation(&dialogue).unwrap();
        let (result, said) = with(answer.as_bytes(), false, ask);
        assert_eq!(result, expected, "{initialize:?} {answer:?}");
        assert_eq!(said.is_empty(), initialize == Initialize::No);
    };
    for initialize in [Initialize::Classic, Initialize::Condabin] {
        check(initialize, false, "\n", false);
        check(initialize, true, "\n", true);
        check(initialize, true, "", false);
        check(initialize, true, "no\n", false);
        check(initialize, true, "nonsense\n", false);
        check(initialize, false, "yes\n", true);
        check(initialize, false, "Y\n", true);
    }
    check(Initialize::No, true, "yes\n", false);
}

#[test]
fn absurd_answers_are_errors() {
    let plan = plan(None);
    for answers in [vec![b'x'; 1 << 20], vec![b'/', 0xff, b'\n']] {
        let ask = |console: &mut Console<'_>| console.prefix(&plan, "/default", &accept);
        assert!(matches!(
            with(&answers, false, ask).0,
            Err(Error::Unreadable)
        ));
    }
}

#[test]
fn a_missing_pager_is_noticed() {
    assert!(!page_with("no-such-pager-anywhere", "text"));
}
