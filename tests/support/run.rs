//! Running executables in a clean environment, and saying everything that they said when a test
//! fails. A test that hangs is ended by the test runner.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fs_err as fs;
use tempfile::TempDir;

/// A folder for one test, with a home and caches of its own; it goes when the test ends.
pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        let folder = tempfile::Builder::new()
            .prefix("archiconda-")
            .tempdir()
            .expect("a folder for the test");
        let place = Place { folder };
        for part in ["home", "tmp", "out"] {
            fs::create_dir(place.join(part)).expect("a folder");
        }
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path().join(path)
    }

    /// Where the builder keeps downloads and plans.
    pub(crate) fn cache(&self) -> PathBuf {
        self.join("cache")
    }

    /// The folder in which [`Place::build`] leaves installers.
    pub(crate) fn out(&self) -> PathBuf {
        self.join("out")
    }

    /// Writes a file below the folder, and the folders above it.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).expect("a folder");
        }
        fs::write(&path, content).expect("a file");
        path
    }

    /// A command that inherits nothing but the path, and works in this place.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.join("home"))
            .env("TMPDIR", self.join("tmp"))
            .env("LC_ALL", "C")
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    /// `archiconda`.
    pub(crate) fn archiconda(&self) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_archiconda"));
        command.env("ARCHICONDA_CACHE_DIR", self.cache());
        command
    }

    /// `build-installer SPEC`, writing to [`Place::out`]. The spec is a path in this place.
    pub(crate) fn build(&self, runtimes: &Path, spec: impl AsRef<Path>) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_build-installer"));
        command
            .env("ARCHICONDA_CACHE_DIR", self.cache())
            .env("ARCHICONDA_RUNTIMES", runtimes)
            .arg(self.join(spec))
            .arg("--output-dir")
            .arg(self.out());
        command
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Output {
    command: String,
    /// None when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    let text = format!("{command:?}");
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {text}: {error}"));
    Output {
        command: text,
        code: output.status.code(),
        signal: output.status.signal(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Output {
    /// It ended with 0.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Output {
        self.exits(0)
    }

    /// It ended with this code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Output {
        assert_eq!(self.code, Some(code), "wrong exit code: {self}");
        self
    }

    /// Standard error holds all of these.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Output {
        for text in texts {
            assert!(self.stderr.contains(text), "no `{text}` on stderr: {self}");
        }
        self
    }

    /// Standard output holds all of these.
    #[track_caller]
    pub(crate) fn prints(self, texts: &[&str]) -> Output {
        for text in texts {
            assert!(self.stdout.contains(text), "no `{text}` on stdout: {self}");
        }
        self
    }

    /// Neither output holds any of these.
    #[track_caller]
    pub(crate) fn hides(self, texts: &[&str]) -> Output {
        for text in texts {
            assert!(!self.stdout.contains(text), "`{text}` on stdout: {self}");
            assert!(!self.stderr.contains(text), "`{text}` on stderr: {self}");
        }
        self
    }

    /// The lines of standard error that begin so.
    pub(crate) fn lines(&self, start: &str) -> Vec<&str> {
        let lines = self.stderr.lines();
        lines.filter(|line| line.starts_with(start)).collect()
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is no JSON, {error}: {self}"))
    }
}

impl fmt::Display for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.command)?;
        writeln!(formatter, "code {:?}, signal {:?}", self.code, self.signal)?;
        writeln!(formatter, "--- stdout\n{}", self.stdout)?;
        writeln!(formatter, "--- stderr\n{}", self.stderr)
    }
}
