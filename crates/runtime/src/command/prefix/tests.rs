//! Prefixes as users write them, and folders as they find them.

use super::*;
use crate::plan::LongestPrefix;

fn variable(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/home/u".into()),
        "EMPTY" => Some(String::new()),
        "A_1" => Some("a".into()),
        _ => None,
    }
}

#[test]
fn expands_what_a_shell_would_and_evaluates_nothing() {
    let check = |text: &str, expected: &str| {
        assert_eq!(expand(text, &variable).unwrap(), expected, "{text}");
    };
    check("/opt/x", "/opt/x");
    check("~", "/home/u");
    check("~/x", "/home/u/x");
    check("/x/~", "/x/~");
    check("$HOME/x", "/home/u/x");
    check("${HOME}x", "/home/ux");
    check("${HOME:-/opt}/x", "/home/u/x");
    check("${NONE:-/opt}/x", "/opt/x");
    check("${EMPTY:-/opt}/x", "/opt/x");
    check("${EMPTY}/x", "/x");
    check("/$A_1-b/$A_1", "/a-b/a");
    check("/a$/b$", "/a$/b$");
    check("/$(touch x)`id`;", "/$(touch x)`id`;");
    check("  /x  ", "/x");
}

#[test]
fn what_cannot_be_expanded_is_said() {
    let check = |text: &str, expected: &str| {
        let error = expand(text, &variable).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    };
    check("$NONE/x", "`NONE` is not set");
    check("${NONE}", "`NONE` is not set");
    check("~root/x", "homes of other users");
    check("${HOME", "a `}` is missing");
    check("${HOME%/*}", "only a name");
    check("${}", "only a name");
    check("${NONE:-$HOME}", "taken as it stands");
    assert!(expand("~/x", &|_| None).is_err());
}

#[test]
fn a_prefix_becomes_absolute() {
    let current = std::env::current_dir().unwrap();
    let check = |text: &str, expected: &Path| {
        assert_eq!(resolve(OsStr::new(text)).unwrap(), expected, "{text}");
    };
    check("/a//b/./c/../d/", Path::new("/a/b/d"));
    check("/../..", Path::new("/"));
    check("x/y", &current.join("x/y"));
    check("-x", &current.join("-x"));
    check("..", current.parent().unwrap());
    assert!(matches!(resolve(OsStr::new("")), Err(Error::Empty)));
}

#[test]
fn rules_of_the_plan_hold() {
    let longest = LongestPrefix {
        length: 20,
        package: "p-1-0".into(),
        file: "bin/f".into(),
    };
    let rules = PrefixRules {
        default: String::new(),
        check_spaces: true,
        longest: Some(longest),
    };
    let check = |path: &str, expected: &str| match check(
        Path::new(path),
        &rules,
        Some(Path::new("/home/u")),
    ) {
        Ok(()) => assert_eq!(expected, "", "{path}"),
        Err(error) => {
            let error = error.to_string();
            assert!(
                !expected.is_empty() && error.contains(expected),
                "{path}: {error}"
            );
        }
    };
    check("/opt/20-bytes-long-0", "");
    check(
        "/opt/21-bytes-long-01",
        "has 21 bytes: bin/f of p-1-0 has room for 20",
    );
    check("/opt/a b", "a space");
    check("/opt/a:b", "a colon");
    check("/opt/a\nb", "a control character");
    check("/", "the root folder");
    check("/home/u", "your home folder");
    check("/home/u/x", "");
    check("/opt/é", "");

    let lenient = PrefixRules {
        check_spaces: false,
        longest: None,
        default: String::new(),
    };
    super::check(Path::new("/opt/with spaces and very long"), &lenient, None).unwrap();
}

#[test]
fn looks_at_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let make = |path: &str| std::fs::create_dir_all(root.join(path)).unwrap();
    make("empty");
    make("full/a");
    std::fs::write(root.join("file"), "").unwrap();
    std::os::unix::fs::symlink("full", root.join("link")).unwrap();
    std::os::unix::fs::symlink("nothing", root.join("dangling")).unwrap();

    let check = |path: &str, force: bool, expected: Result<&str, &str>| {
        let result = resolve(root.join(path).as_os_str()).and_then(|path| examine(&path, force));
        match (result, expected) {
            (Ok(folder), Ok(expected)) => assert_eq!(folder, root.join(expected), "{path}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{path}: {error}"),
            (result, _) => panic!("{path}: {result:?}"),
        }
    };
    check("new/deeper", false, Ok(""));
    check("empty", false, Ok("empty"));
    check("full", false, Err("already exists: choose"));
    check("full", true, Ok("full"));
    check("link", false, Err("full` already exists: choose"));
    check("link", true, Ok("full"));
    check("dangling", false, Err("a symbolic link to nothing"));
    check("file", true, Err("not a folder"));
    check("file/x", true, Err("file` is not a folder"));
}
