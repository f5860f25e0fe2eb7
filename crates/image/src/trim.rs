//! What images need not have: kinds of files that most containers never open, and what the definition
//! leaves out of the prefix. Only names are looked at. What is left out is not in the package's record either, so
//! conda finds there what is there.

use std::collections::{BTreeMap, HashSet};

use glob::{MatchOptions, Pattern};
use runtime::plan::{Entry, Kind, Package};
use spec::{Trim, TrimGroup};

/// `*` stays within a name.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// What a definition leaves out.
pub(crate) struct Trimmer {
    groups: Vec<TrimGroup>,
    patterns: Vec<Pattern>,
}

impl Trimmer {
    pub(crate) fn new(trim: &[Trim]) -> Trimmer {
        let mut trimmer = Trimmer {
            groups: Vec::new(),
            patterns: Vec::new(),
        };
        for one in trim {
            match one {
                Trim::Group(group) => trimmer.groups.push(*group),
                // The definition was read, so that all are patterns.
                Trim::Glob(text) => trimmer.patterns.extend(Pattern::new(text)),
            }
        }
        trimmer
    }

    /// Takes entries out of a package that goes into the prefix alone; returns the bytes that were saved.
    pub(crate) fn trim(&self, package: &mut Package) -> u64 {
        if self.groups.is_empty() && self.patterns.is_empty() {
            return 0;
        }
        // A link that stays needs the file that it names.
        let needed: HashSet<String> = package
            .entries
            .iter()
            .filter(|entry| !self.takes(&entry.path))
            .filter_map(|entry| match &entry.kind {
                Kind::HardLink { to } => Some(to.clone()),
                _ => None,
            })
            .collect();
        let scripts = &package.scripts;
        let scripts = [scripts.pre_link.clone(), scripts.post_link.clone()];
        let mut saved = 0;
        package.entries.retain(|entry| {
            let kept = !self.takes(&entry.path)
                || needed.contains(&entry.path)
                || scripts.contains(&Some(entry.path.clone()));
            if !kept {
                saved += size(entry);
            }
            kept
        });
        saved
    }

    fn takes(&self, path: &str) -> bool {
        let fits = |pattern: &Pattern| pattern.matches_with(path, OPTIONS);
        group(path).is_some_and(|group| self.groups.contains(&group))
            || self.patterns.iter().any(fits)
    }
}

/// Bytes of each kind that a package brings into the prefix.
pub(crate) fn unneeded(package: &Package, sum: &mut BTreeMap<TrimGroup, u64>) {
    for entry in &package.entries {
        if let Some(group) = group(&entry.path) {
            *sum.entry(group).or_default() += size(entry);
        }
    }
}

/// The kind of a file, by its path in the prefix.
pub(crate) fn group(path: &str) -> Option<TrimGroup> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let ending = file.rsplit_once('.').map(|(_, ending)| ending);
    let starts = |folders: &[&str]| folders.iter().any(|start| path.starts_with(start));
    let in_python = path
        .strip_prefix("lib/python")
        .is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_digit()));
    let within = |names: &[&str]| folder.split('/').any(|name| names.contains(&name));
    if file.ends_with(".js.map") || file.ends_with(".css.map") {
        Some(TrimGroup::SourceMaps)
    } else if ending == Some("a") && (folder == "lib" || in_python) {
        Some(TrimGroup::StaticLibraries)
    } else if in_python && within(&["test", "tests"]) {
        Some(TrimGroup::Tests)
    } else if within(&["__pycache__"]) {
        Some(TrimGroup::Pycache)
    } else if starts(&[
        "share/doc/",
        "share/man/",
        "share/info/",
        "share/gtk-doc/",
        "man/",
    ]) {
        Some(TrimGroup::Docs)
    } else {
        None
    }
}

fn size(entry: &Entry) -> u64 {
    match &entry.kind {
        Kind::File(file) if entry.clobbered_by.is_none() => file.size,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_kinds() {
        use TrimGroup::{Docs, Pycache, SourceMaps, StaticLibraries, Tests};
        for (path, expected) in [
            ("lib/libz.a", Some(StaticLibraries)),
            (
                "lib/python3.12/config-3.12-x86_64-linux-gnu/libpython3.12.a",
                Some(StaticLibraries),
            ),
            ("lib/gcc/x86_64-conda-linux-gnu/13.2.0/libgcc.a", None),
            (
                "x86_64-conda-linux-gnu/sysroot/usr/lib64/libc_nonshared.a",
                None,
            ),
            ("lib/python3.12/test/test_os.py", Some(Tests)),
            (
                "lib/python3.12/site-packages/numpy/core/tests/x.so",
                Some(Tests),
            ),
            ("lib/python3.12/site-packages/numpy/testing/x.py", None),
            ("share/tests/x", None),
            (
                "lib/python3.12/__pycache__/os.cpython-312.pyc",
                Some(Pycache),
            ),
            ("lib/python3.12/os.py", None),
            ("share/doc/zlib/README", Some(Docs)),
            ("share/jupyter/lab/a.js.map", Some(SourceMaps)),
            ("bin/python", None),
            ("README", None),
        ] {
            assert_eq!(group(path), expected, "{path}");
        }
    }

    fn entry(path: &str, kind: Kind) -> Entry {
        Entry {
            path: path.to_owned(),
            source: None,
            kind,
            clobbered_by: None,
            no_link: false,
        }
    }

    #[test]
    fn what_is_needed_stays() {
        let link = |to: &str| Kind::HardLink { to: to.to_owned() };
        let file = || Kind::EntryPoint {
            body: String::new(),
        };
        let mut package = Package {
            entries: vec![
                entry("lib/libz.a", file()),
                entry("lib/libgone.a", file()),
                entry("lib/static/libz.so", link("lib/libz.a")),
                entry("share/a/b/c.txt", file()),
                entry("share/d.txt", file()),
            ],
            ..Package::default()
        };
        let trim = [
            Trim::Group(TrimGroup::StaticLibraries),
            Trim::Glob("share/*/**/*.txt".to_owned()),
        ];
        Trimmer::new(&trim).trim(&mut package);
        let left: Vec<&str> = package.entries.iter().map(|entry| &*entry.path).collect();
        assert_eq!(left, ["lib/libz.a", "lib/static/libz.so", "share/d.txt"]);
    }
}
