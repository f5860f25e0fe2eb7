//! Command lines and what they mean.

use super::*;

fn parsed(line: &str) -> Result<Arguments, String> {
    parse(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
}

#[test]
fn options_mean_what_they_mean_to_constructor() {
    let none = Arguments::default;
    let prefix = || Some(OsString::from("/x"));
    let batch = || Arguments {
        batch: true,
        ..none()
    };
    let check = |line: &str, expected: Arguments| assert_eq!(parsed(line), Ok(expected), "{line}");
    check("", none());
    check(
        "-b -p /x",
        Arguments {
            prefix: prefix(),
            ..batch()
        },
    );
    check(
        "-bp /x",
        Arguments {
            prefix: prefix(),
            ..batch()
        },
    );
    check(
        "-bfp/x",
        Arguments {
            prefix: prefix(),
            force: true,
            ..batch()
        },
    );
    check(
        "-p -b",
        Arguments {
            prefix: Some("-b".into()),
            ..none()
        },
    );
    check(
        "--prefix /x --batch",
        Arguments {
            prefix: prefix(),
            ..batch()
        },
    );
    check(
        "--prefix=/x",
        Arguments {
            prefix: prefix(),
            ..none()
        },
    );
    check(
        "--prefix=",
        Arguments {
            prefix: Some("".into()),
            ..none()
        },
    );
    check(
        "-p /y -p /x",
        Arguments {
            prefix: prefix(),
            ..none()
        },
    );
    check("-b -i", none());
    check("-i -b", batch());
    check(
        "-u",
        Arguments {
            force: true,
            ..none()
        },
    );
    check("-m --no-shortcuts", none());
    check(
        "-bc",
        Arguments {
            initialize: true,
            ..batch()
        },
    );
    check(
        "-ks",
        Arguments {
            keep_packages: true,
            skip_scripts: true,
            ..none()
        },
    );
    check(
        "--no-compile --ignore-space",
        Arguments {
            no_compile: true,
            ignore_space: true,
            ..none()
        },
    );
    check(
        "--threads 3",
        Arguments {
            threads: NonZeroUsize::new(3),
            ..none()
        },
    );
    check(
        "--check",
        Arguments {
            mode: Mode::Check,
            ..none()
        },
    );
    check(
        "--json --list",
        Arguments {
            mode: Mode::List { json: true },
            ..none()
        },
    );
    check(
        "--list",
        Arguments {
            mode: Mode::List { json: false },
            ..none()
        },
    );
    check(
        "-bh --check",
        Arguments {
            mode: Mode::Help,
            ..batch()
        },
    );
    check(
        "--version",
        Arguments {
            mode: Mode::Version,
            ..none()
        },
    );
    check("-b --", batch());
}

#[test]
fn what_is_wrong_is_named() {
    let check = |line: &str, expected: &str| {
        let error = parsed(line).expect_err(line);
        assert!(error.contains(expected), "{line}: {error}");
    };
    check("-t", "`-t` is not supported");
    check("-bx", "no option `-x`");
    check("-é", "no option `-é`");
    check("--prefx /x", "is `--prefix` meant?");
    check("--keep-pkg", "is `--keep-pkgs` meant?");
    check("--skip", "is `--skip-scripts` meant?");
    check("--frobnicate", "no option `--frobnicate` (`-h` lists them)");
    check("-p", "`-p` needs a value");
    check("--prefix", "`--prefix` needs a value");
    check("--batch=yes", "`--batch` takes no value");
    check("/opt/x", "`/opt/x` is not an option");
    check("-- -b", "`-b` is not an option");
    check("-", "`-` is not an option");
    check("--json", "only goes with `--list`");
    for number in ["0", "-1", "257", "many", ""] {
        check(&format!("--threads={number}"), "is not a number of threads");
    }
}

#[test]
fn the_usage_text_names_every_option_and_is_narrow() {
    let text = usage("Archiconda3", "0.3.0", "${HOME:-/opt}/archiconda3");
    for option in OPTIONS {
        assert!(text.contains(&format!("--{}", option.long)));
    }
    assert!(text.contains("Installs Archiconda3 0.3.0."));
    assert!(text.contains("goes to ${HOME:-/opt}/archiconda3"));
    let widest = text.lines().map(str::len).max();
    assert!(widest <= Some(90), "{widest:?}");
}
