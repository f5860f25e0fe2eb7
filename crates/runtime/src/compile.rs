//! `.pyc` files of noarch Python packages, made by the installed Python before the prefix is at
//! its final path, which they name. conda does the same with `compileall` after linking
//! (conda/gateways/disk/create.py, `compile_multiple_pyc`).

use std::collections::HashSet;

use crate::lay::installed;
use crate::plan::{Entry, Kind, Python};

/// The modules of a package to compile: its `.py` files below `site-packages`, but for those whose
/// compiled form is in the package.
pub(crate) fn modules(entries: &[Entry], python: &Python) -> Vec<String> {
    let entries = || entries.iter().filter(|entry| installed(entry));
    let paths: HashSet<&str> = entries().map(|entry| entry.path.as_str()).collect();
    let module = |entry: &&Entry| {
        matches!(entry.kind, Kind::File(_) | Kind::HardLink { .. })
            && entry
                .path
                .strip_prefix(&python.site_packages)
                .is_some_and(|rest| rest.starts_with('/') && rest.ends_with(".py"))
            && !entry.path.contains('\n')
            && !paths.contains(compiled_path(&entry.path, &python.version).as_str())
    };
    entries().filter(module).map(|entry| entry.path.clone()).collect()
}

/// Where CPython puts the compiled form of a module (PEP 3147; beside it before 3.2).
fn compiled_path(path: &str, version: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = name.strip_suffix(".py").unwrap_or(name);
    if version.starts_with("2.") {
        return format!("{path}c");
    }
    format!("{folder}/__pycache__/{stem}.cpython-{}.pyc", version.replace('.', ""))
}
