//! Command lines of whole installers, as far as nothing is installed, and how they are started.

use super::*;

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[test]
fn only_the_shell_text_starts_this_program() {
    let start = words(&[
        "/t/runtime",
        "--installer",
        "-f.sh",
        "--copy",
        "/t/runtime",
        "--",
        "-b",
        "",
    ]);
    let expected = Start {
        program: OsStr::new("/t/runtime"),
        installer: OsStr::new("-f.sh"),
        copy: Some(OsStr::new("/t/runtime")),
        options: &words(&["-b", ""]),
    };
    assert_eq!(
        Invocation::parse(&start).unwrap(),
        Invocation::Run(expected)
    );
    let start = words(&["runtime", "--installer", "f", "--"]);
    assert!(matches!(
        Invocation::parse(&start),
        Ok(Invocation::Run(Start { copy: None, .. }))
    ));
    assert_eq!(
        Invocation::parse(&words(&["runtime", "--probe"])).unwrap(),
        Invocation::Probe
    );
    for wrong in [
        &[][..],
        &["runtime"],
        &["runtime", "-b"],
        &["runtime", "--probe", "-b"],
        &["runtime", "--installer", "f", "-b"],
        &["runtime", "--installer", "f", "--cop}", "c", "--"],
        &["runtime", "--installer", "f", "--copy", "c", "-,", "-b"],
    ] {
        let error = Invocation::parse(&words(wrong)).unwrap_err();
        assert_eq!(error.status(), 2, "{wrong:?}");
    }
}

#[test]
fn history_gets_one_line() {
    let check = |installer: &str, options: &[&str], expected: &str| {
        let options = words(options);
        let start = Start {
            program: OsStr::new("p"),
            installer: OsStr::new(installer),
            copy: None,
            options: &options,
        };
        assert_eq!(start.command_line(), expected);
    };
    check("./A-1.sh", &["-b", "-p", "/opt/x"], "./A-1.sh -b -p /opt/x");
    check(
        "my file.sh",
        &["-p", "it's", ""],
        r"'my file.sh' -p 'it'\''s' ''",
    );
    check("f", &["-p", "a\nb"], "f -p 'a?b'");
}

#[test]
fn statuses_tell_a_refusal_from_a_failure() {
    let other = host::Error::NoLoader {
        loaders: String::new(),
        platform: String::new(),
    };
    let old = host::Error::Glibc {
        found: String::new(),
        required: String::new(),
    };
    for (error, status) in [
        (Error::Usage(arguments::Error::Test), 2),
        (Error::Dialogue(dialogue::Error::License), 2),
        (Error::Dialogue(dialogue::Error::NoAnswer), 2),
        (Error::Host(other), 2),
        (Error::Host(old), 1),
        (Error::Prefix(prefix::Error::Empty), 1),
        (Error::Interrupted, 1),
        (Error::from(crate::Error::Cancelled), 1),
        (
            Error::Unsupported {
                field: "menus",
                version: "1",
            },
            1,
        ),
    ] {
        assert_eq!(error.status(), status, "{error}");
    }
}

#[test]
fn an_error_is_one_line_with_its_causes() {
    let source = io::Error::from(io::ErrorKind::PermissionDenied);
    let error = Error::Open {
        installer: "f.sh".into(),
        source,
    };
    assert_eq!(
        chain(&error),
        "error: cannot open `f.sh`: permission denied"
    );
}

#[test]
fn damage_and_newer_formats_are_told_apart() {
    let start = Start {
        program: OsStr::new("p"),
        installer: OsStr::new("f"),
        copy: None,
        options: &[],
    };
    let newer = start.unusable(archive::payload::Error::Newer { found: 9 });
    assert!(
        newer
            .to_string()
            .starts_with("this installer has format 9, which the program in it")
    );
    let damaged = chain(&start.unusable(archive::payload::Error::NoTrailer));
    assert!(
        damaged.contains("download it again: the file is cut off"),
        "{damaged}"
    );
}
