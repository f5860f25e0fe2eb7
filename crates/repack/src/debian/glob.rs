//! Patterns of paths in definitions: `*` stands for anything within one name, `**` for any number
//! of names, `{triplet}` and the like for what the platform calls them.

/// Whether a path fits a pattern.
pub(crate) fn fits(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    names(&pattern, &path)
}

/// Where a path goes that fits `pattern`. A destination that ends with `/` gets what follows the
/// pattern's folders without a star; another one is the whole new path.
pub(crate) fn destination(pattern: &str, destination: &str, path: &str) -> Option<String> {
    if !fits(pattern, path) {
        return None;
    }
    if !destination.is_empty() && !destination.ends_with('/') {
        return Some(destination.to_owned());
    }
    let fixed = pattern
        .split('/')
        .take_while(|name| !name.contains('*'))
        .count();
    // A pattern without a star names a file: its last name is kept.
    let fixed = fixed.min(pattern.split('/').count() - 1);
    let rest: Vec<&str> = path.split('/').skip(fixed).collect();
    Some(format!("{destination}{}", rest.join("/")))
}

fn names(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => {
            names(rest, path)
                || path
                    .split_first()
                    .is_some_and(|(_, later)| names(pattern, later))
        }
        (Some((first, rest)), Some((name, later))) => {
            letters(first.as_bytes(), name.as_bytes()) && names(rest, later)
        }
        _ => false,
    }
}

fn letters(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            letters(rest, name)
                || name
                    .split_first()
                    .is_some_and(|(_, later)| letters(pattern, later))
        }
        (Some((first, rest)), Some((letter, later))) => first == letter && letters(rest, later),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_files_go() {
        let cases = [
            (
                "usr/lib/*/libz.so*",
                "lib/",
                "usr/lib/x/libz.so.1",
                Some("lib/x/libz.so.1"),
            ),
            (
                "usr/lib/x/libz.so*",
                "lib/",
                "usr/lib/x/libz.so.1",
                Some("lib/libz.so.1"),
            ),
            ("usr/lib/x/libz.so*", "lib/", "usr/lib/x/y/libz.so.1", None),
            (
                "usr/lib/py/**",
                "lib/py/",
                "usr/lib/py/a/b.py",
                Some("lib/py/a/b.py"),
            ),
            (
                "usr/bin/openssl",
                "bin/",
                "usr/bin/openssl",
                Some("bin/openssl"),
            ),
            ("etc/inputrc", "share/rc", "etc/inputrc", Some("share/rc")),
            ("**/x.py", "", "a/b/x.py", Some("a/b/x.py")),
            ("usr/**/x.py", "", "usr/x.py", Some("x.py")),
        ];
        for (pattern, to, path, expected) in cases {
            assert_eq!(
                destination(pattern, to, path).as_deref(),
                expected,
                "{pattern} {path}"
            );
        }
    }
}
