//! First lines of scripts. Linux reads 127 bytes of them (256 since 5.1) and splits at the first
//! space, so a long prefix, or one with spaces, needs another way to the interpreter. The rules
//! are rattler's `replace_shebang` and `PythonInfo::shebang`, which are conda's.

/// The longest first line that every Linux reads as a whole, in bytes.
const LONGEST_SHEBANG: usize = 127;

/// The first line of an entry point, without its newline, that runs the Python at `path` (absolute).
pub fn python_shebang(path: &str) -> String {
    if path.len() > LONGEST_SHEBANG - 2 || path.contains(' ') {
        format!("#!/bin/sh\n'''exec' \"{path}\" \"$0\" \"$@\" #'''")
    } else {
        format!("#!{path}")
    }
}

/// The first line of a script (with its newline, if it has one) with `placeholder` replaced.
pub(super) fn replace(line: &[u8], placeholder: &str, prefix: &str) -> Vec<u8> {
    let (line, newline) = match line.split_last() {
        Some((b'\n', rest)) => (rest, "\n"),
        _ => (line, ""),
    };
    let line = String::from_utf8_lossy(line);
    let mut replaced = if prefix.contains(' ') && line.contains(placeholder) {
        // Split while the path has no space yet.
        through_shell(&line)
            .unwrap_or(line.into_owned())
            .replace(placeholder, prefix)
    } else {
        let line = line.replace(placeholder, prefix);
        if line.len() <= LONGEST_SHEBANG || prefix.contains(' ') {
            line
        } else {
            through_shell(&line).unwrap_or(line)
        }
    };
    replaced.push_str(newline);
    replaced.into_bytes()
}

/// A first line that finds the interpreter without naming its path behind `#!`: Python through a
/// text that is an `exec` for the shell and a string for Python, all others through `env`.
fn through_shell(line: &str) -> Option<String> {
    let path_on = line.strip_prefix("#!")?.trim_start_matches(' ');
    if !path_on.starts_with('/') {
        return None;
    }
    let (path, rest) = path_on.split_at(path_length(path_on));
    let name = path.rsplit('/').next().unwrap_or(path);
    Some(if is_python(name) {
        format!("#!/bin/sh\n'''exec' \"{path}\"{rest} \"$0\" \"$@\" #'''")
    } else {
        format!("#!/usr/bin/env {name}{rest}")
    })
}

/// Up to the first white space that no backslash precedes.
fn path_length(text: &str) -> usize {
    let mut characters = text.char_indices().peekable();
    while let Some((position, character)) = characters.next() {
        match character {
            '\\' if characters.peek().is_some_and(|(_, next)| *next == ' ') => {
                characters.next();
            }
            ' ' | '\n' | '\r' | '\t' => return position,
            _ => {}
        }
    }
    text.len()
}

/// `python`, `python3`, `python3.10`.
fn is_python(name: &str) -> bool {
    let Some(version) = name.strip_prefix("python") else {
        return false;
    };
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match version.split_once('.') {
        None => version.is_empty() || number(version),
        Some((major, minor)) => number(major) && number(minor),
    }
}
