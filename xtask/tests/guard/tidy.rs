//! How the files of the repository look, where neither rustfmt nor clippy can say it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{none, root};

/// A file that is longer is a list or has to be split.
const LINES: usize = 800;

/// Crates without path, clock, environment or socket.
const PURE: &[&str] = &["conda", "archive", "debian", "spec", "solve"];

/// What those may not say. An open file that a caller hands in is bytes; opening one is not.
const IMPURE: &[&str] = &[
    "fs_err",
    "std::env",
    "std::net",
    "std::process",
    "SystemTime",
    "Instant::",
    "File::open",
    "File::create",
    "OpenOptions",
    "std::fs::{",
    "fs::read",
    "fs::write",
    "fs::remove",
    "fs::create",
    "fs::rename",
    "fs::copy",
    "fs::metadata",
];

/// Crates whose errors get their paths from `fs_err`. The runtime has errors of its own for each
/// operation, and no dependency that it can do without.
const FS_ERR: &[&str] = &[
    "fetch",
    "installer",
    "channel",
    "image",
    "repack",
    "serve",
    "cli",
    "xtask",
];

/// Text that belongs to somebody's machine. In two pieces, since this file is read too.
const FOREIGN: &[(&str, &str)] = &[("/wo", "rk/"), ("/ro", "ot/"), ("/Us", "ers/")];

#[test]
fn every_file_says_what_it_is_for() {
    let findings: Vec<String> = rust_files()
        .into_iter()
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.name)
        .collect();
    none("files that do not open with `//!`", &findings);
}

#[test]
fn no_file_is_too_long() {
    let findings: Vec<String> = rust_files()
        .into_iter()
        .map(|file| (file.text.lines().count(), file.name))
        .filter(|(lines, _)| *lines > LINES)
        .map(|(lines, name)| format!("{name}: {lines} lines"))
        .collect();
    none("files to split", &findings);
}

#[test]
fn nothing_is_left_to_do() {
    let unfinished = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("db", "g!("),
    ];
    none("unfinished code", &mentions(rust_files(), &unfinished));
}

#[test]
fn the_lower_crates_stay_pure() {
    let pure = shipped_files(PURE);
    assert!(pure.len() > 10, "no sources found");
    none(
        "path, clock, environment or socket",
        &mentions(pure, IMPURE),
    );
}

#[test]
fn errors_of_the_file_system_name_the_path() {
    // Types that fs_err takes as they are.
    let types = [
        "Permissions",
        "Metadata",
        "FileType",
        "FileTimes",
        "File",
        "TryLockError",
    ];
    let mut findings = Vec::new();
    for file in shipped_files(FS_ERR) {
        for (index, line) in code(&file.text) {
            for (at, found) in line.match_indices("std::fs::") {
                let names = &line[at + found.len()..];
                let end = names.find([';', '}']).unwrap_or(names.len());
                let all_types = names[..end].trim_start_matches('{').split(',').all(|name| {
                    let end = name.trim().find(|one: char| !one.is_alphanumeric());
                    let (name, rest) = name.trim().split_at(end.unwrap_or(name.trim().len()));
                    types.contains(&name) && (name == "Permissions" || !rest.starts_with("::"))
                });
                if !all_types {
                    findings.push(format!("{}:{}: {}", file.name, index + 1, line.trim()));
                }
            }
            if line.trim() == "use std::fs;" {
                findings.push(format!("{}:{}: {}", file.name, index + 1, line.trim()));
            }
        }
    }
    none("std::fs where fs_err would name the path", &findings);
}

#[test]
fn versions_stand_in_one_place() {
    let mut findings = Vec::new();
    for manifest in files(&root(), &|path| path.ends_with("Cargo.toml")) {
        let name = relative(&manifest);
        if name == "Cargo.toml" {
            continue;
        }
        let table: toml::Table = fs::read_to_string(&manifest).unwrap().parse().unwrap();
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = table.get(kind).and_then(toml::Value::as_table) else {
                continue;
            };
            for (dependency, value) in dependencies {
                if value.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                    findings.push(format!("{name}: {dependency} has a version of its own"));
                }
            }
        }
        let shared = |value: Option<&toml::Value>| {
            value
                .and_then(|value| value.get("workspace"))
                .and_then(toml::Value::as_bool)
                == Some(true)
        };
        if !shared(table.get("lints")) {
            findings.push(format!("{name}: the lints are not the workspace's"));
        }
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            if !shared(table.get("package").and_then(|package| package.get(key))) {
                findings.push(format!("{name}: package.{key} is not the workspace's"));
            }
        }
    }
    none("manifests", &findings);
}

#[test]
fn no_text_names_a_machine() {
    let foreign: Vec<String> = FOREIGN
        .iter()
        .map(|(one, two)| format!("{one}{two}"))
        .collect();
    let extensions = ["rs", "toml", "md", "sh", "yml", "yaml", "run"];
    let texts = files(&root(), &|path| {
        path.ends_with(".ci/run")
            || path
                .extension()
                .is_some_and(|found| extensions.iter().any(|one| found == *one))
    });
    let mut findings = Vec::new();
    for path in texts {
        let text = fs::read_to_string(&path).unwrap();
        for (index, line) in text.lines().enumerate() {
            if foreign.iter().any(|one| starts_with_path(line, one)) {
                findings.push(format!(
                    "{}:{}: {}",
                    relative(&path),
                    index + 1,
                    line.trim()
                ));
            }
        }
    }
    none("paths of somebody's machine", &findings);
}

#[test]
fn readers_find_their_documents() {
    for document in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE"] {
        let length = fs::metadata(root().join(document)).map_or(0, |data| data.len());
        assert!(length > 100, "{document} is missing or empty");
    }
}

#[test]
fn the_header_is_shell_before_it_is_filled_in() {
    let header = root().join("installer/header.sh");
    let check = Command::new("sh").arg("-n").arg(&header).output().unwrap();
    assert!(
        check.status.success(),
        "{}",
        String::from_utf8_lossy(&check.stderr)
    );
}

struct File {
    name: String,
    text: String,
}

fn rust_files() -> Vec<File> {
    let all = read(files(&root(), &|path| {
        path.extension().is_some_and(|one| one == "rs")
    }));
    assert!(all.len() > 50, "only {} files found", all.len());
    all
}

/// The sources of crates without their tests.
fn shipped_files(crates: &[&str]) -> Vec<File> {
    let is_test = |file: &File| file.name.contains("/tests/") || file.name.ends_with("/tests.rs");
    let ours = |file: &File| {
        crates.iter().any(|one| {
            file.name.starts_with(&format!("crates/{one}/src/"))
                || file.name.starts_with(&format!("{one}/src/"))
        })
    };
    rust_files()
        .into_iter()
        .filter(|file| ours(file) && !is_test(file))
        .collect()
}

/// The lines, numbered from 0, that are neither comments nor below the tests at a file's end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut lines = text.lines().enumerate().peekable();
    std::iter::from_fn(move || {
        let (index, line) = lines.next()?;
        let tests = line.trim() == "#[cfg(test)]"
            && lines
                .peek()
                .is_some_and(|(_, next)| next.trim_end().ends_with('{'));
        (!tests).then_some((index, line))
    })
    .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn mentions(all: Vec<File>, words: &[&str]) -> Vec<String> {
    let mut findings = Vec::new();
    for file in all {
        for (index, line) in code(&file.text) {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                findings.push(format!("{}:{}: {word}", file.name, index + 1));
            }
        }
    }
    findings
}

fn read(paths: Vec<PathBuf>) -> Vec<File> {
    paths
        .into_iter()
        .map(|path| File {
            name: relative(&path),
            text: fs::read_to_string(&path).unwrap(),
        })
        .collect()
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

/// Whether a path in the line begins with this text; `/a/b` is no path that begins with `/b`.
fn starts_with_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        !line[..at].ends_with(|before: char| before.is_alphanumeric() || "_-.}".contains(before))
    })
}

/// All files below a folder but what builds and git leave there, sorted.
fn files(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            if name != "target" && name != ".git" && name != "out" {
                found.extend(files(&path, wanted));
            }
        } else if wanted(&path) {
            found.push(path);
        }
    }
    found.sort();
    found
}
