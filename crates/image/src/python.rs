//! Pythons of this machine, which compile modules for the target: bytecode depends on the minor version alone, not on
//! the CPU. They see nothing of the user's settings, and end when their time is over.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use runtime::compile;

use crate::process::{Ended, run};

/// How long a Python may take to say which one it is: the first start after long reads much from a disk.
const TO_ANSWER: Duration = Duration::from_secs(30);

/// How long it may take to compile the modules of a package; the largest take half a minute on a slow machine.
const TO_COMPILE: Duration = Duration::from_mins(15);

/// What a Python is started with that sees nothing of the user's: no variables, no site. Isolated mode (`-I`) would
/// ignore the seed, and the order of sets in bytecode depends on hashes.
pub(crate) const CLEAN: [&str; 3] = ["-B", "-s", "-S"];
pub(crate) const VARIABLES: [(&str, &str); 2] = [("LC_ALL", "C.UTF-8"), ("PYTHONHASHSEED", "0")];

/// Says where and which one it is. Runs in every Python since 2.6.
const WHO: &str = "
import os, sys
os.write(1, getattr(os, 'fsencode', str)(sys.executable or '') + b'\\n')
try:
    from importlib.util import MAGIC_NUMBER as magic
except ImportError:
    import imp
    magic = imp.get_magic()
magic = bytearray(magic)
print('%d.%d %s %d' % (sys.version_info[0], sys.version_info[1], sys.version_info[3], magic[0] + 256 * magic[1]))
print(getattr(getattr(sys, 'implementation', None), 'cache_tag', None))
print(' '.join(sys.version.split()))
";

/// Modules are found nowhere but in the library of the interpreter; then it goes where the sources are.
const BEFORE: &str = "
import sys
sys.path = [folder for folder in sys.path if folder]
import os, py_compile
os.chdir(sys.argv.pop())
";

/// The magic number in the bytecode of each minor version (the comment in `CPython`'s `_bootstrap_external.py`, since
/// 3.13 `pycore_magic_number.h`). Pre-releases have others.
const MAGIC: [(&str, u16); 10] = [
    ("2.7", 62211),
    ("3.6", 3379),
    ("3.7", 3394),
    ("3.8", 3413),
    ("3.9", 3425),
    ("3.10", 3439),
    ("3.11", 3495),
    ("3.12", 3531),
    ("3.13", 3571),
    ("3.14", 3627),
];

/// A Python that compiles modules.
pub(crate) trait Python: Sync {
    /// Compiles modules, which are paths below `root`, for a prefix. Returns where the results are, relative too: those
    /// of modules that do not compile are not there.
    fn compile(&self, root: &Path, prefix: &str, modules: &[String]) -> io::Result<Vec<String>>;
}

/// A Python that compiles for one minor version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interpreter {
    program: PathBuf,
    /// What it says of itself: version, build, compiler.
    pub(crate) version: String,
}

impl Interpreter {
    /// The first on `PATH` whose bytecode a final release of this minor version takes.
    pub(crate) fn find(minor: &str) -> Option<Interpreter> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let major = minor.split('.').next().unwrap_or_default();
        let names = [
            format!("python{minor}"),
            format!("python{major}"),
            "python".to_owned(),
        ];
        for name in &names {
            // What lies where somebody happens to be is not looked at.
            for folder in std::env::split_paths(&path).filter(|folder| folder.is_absolute()) {
                let program = folder.join(name);
                if program.is_file()
                    && let Some(found) = Interpreter::ask(program, minor)
                {
                    return Some(found);
                }
            }
        }
        None
    }

    fn ask(program: PathBuf, minor: &str) -> Option<Interpreter> {
        let mut command = clean(&program);
        command.args(["-c", WHO]);
        let ended = run(&mut command, "", TO_ANSWER).ok()?;
        let answer = String::from_utf8_lossy(&ended.output);
        let (own, answer) = answer.split_once('\n')?;
        let version = fitting(answer, minor).filter(|_| ended.status.success())?;
        // What is on `PATH` may be a script that looks for it each time, as pyenv's are.
        let own = Some(PathBuf::from(own)).filter(|own| own.is_absolute() && own.is_file());
        Some(Interpreter {
            program: own.unwrap_or(program),
            version,
        })
    }
}

impl Python for Interpreter {
    fn compile(&self, root: &Path, prefix: &str, modules: &[String]) -> io::Result<Vec<String>> {
        let mut command = clean(&self.program);
        command
            .args(["-Wi", "-c", &compiling()])
            .arg(prefix)
            .arg(root);
        let Ended { status, output, .. } = run(&mut command, &listed(modules), TO_COMPILE)?;
        if !status.success() {
            return Err(io::Error::other(format!("it failed: {status}")));
        }
        let answer = String::from_utf8(output).map_err(io::Error::other)?;
        Ok(answer.lines().map(str::to_owned).collect())
    }
}

/// What an interpreter says of itself, if it is one for `minor`.
fn fitting(answer: &str, minor: &str) -> Option<String> {
    let mut lines = answer.lines();
    let mut words = lines.next()?.split_whitespace();
    let magic: u16 = match (words.next()?, words.next()?, words.next()?) {
        (version, "final", magic) if version == minor => magic.parse().ok()?,
        _ => return None,
    };
    let known = MAGIC.iter().find(|(version, _)| *version == minor);
    if known.is_some_and(|(_, known)| *known != magic) {
        return None;
    }
    // Other implementations have other bytecode, and other names for it.
    let tag = lines.next()?;
    let own = format!("cpython-{}", minor.replace('.', ""));
    if tag != own && !minor.starts_with("2.") {
        return None;
    }
    lines.next().map(str::to_owned)
}

/// Modules as that program reads them.
pub(crate) fn listed(modules: &[String]) -> String {
    modules.iter().flat_map(|module| [module, "\n"]).collect()
}

/// The program that compiles the modules it is told of: its arguments are the prefix and the folder of the modules.
pub(crate) fn compiling() -> String {
    format!("{BEFORE}{}", compile::PROGRAM)
}

fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(VARIABLES)
        .current_dir("/")
        .args(CLEAN);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_final_releases_with_the_number_of_their_version_will_do() {
        for (answer, minor, expected) in [
            (
                "3.12 final 3531\ncpython-312\n3.12.1 (main)\n",
                "3.12",
                Some("3.12.1 (main)"),
            ),
            ("2.7 final 62211\nNone\n2.7.18\n", "2.7", Some("2.7.18")),
            // A version that is not known yet.
            (
                "3.99 final 9999\ncpython-399\n3.99.0\n",
                "3.99",
                Some("3.99.0"),
            ),
            ("3.12 final 3530\ncpython-312\n3.12.1\n", "3.12", None),
            (
                "3.13 candidate 3571\ncpython-313\n3.13.0rc2\n",
                "3.13",
                None,
            ),
            ("3.10 final 3439\npypy310\n3.10.14\n", "3.10", None),
            ("3.1 final 3439\ncpython-310\n3.1\n", "3.10", None),
            ("pyenv: not found\n", "3.12", None),
            ("", "3.12", None),
        ] {
            assert_eq!(fitting(answer, minor).as_deref(), expected, "{answer}");
        }
    }
}
