//! Small installers for this very machine, and ways to run them: with other mounts, as another
//! user, and up to a moment at which something happens.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::channel::publish;
use crate::support::package::{
    File, Package, binary_prefix, executable, file, folder, hard_link, symbolic_link, text_prefix,
};
use crate::support::requirements;
use crate::support::run::{Output, Place, run};
use crate::support::tree::{Tree, snapshot};

/// What this machine runs.
pub(super) const PLATFORM: &str = if cfg!(target_arch = "aarch64") {
    "linux-aarch64"
} else {
    "linux-64"
};

/// How long a test waits for something that has to come.
const PATIENCE: Duration = Duration::from_mins(1);

/// An installer in a place of its own.
pub(super) struct Made {
    pub(super) place: Place,
    pub(super) file: PathBuf,
}

/// Makes an installer of all `packages`; `keys` are further lines of its spec.
pub(super) fn make(packages: &[Package], keys: &str) -> Option<Made> {
    make_in(Place::new(), packages, keys)
}

/// The same in a place that holds files which the spec names. A second installer of the same
/// place takes the place of the first.
pub(super) fn make_in(place: Place, packages: &[Package], keys: &str) -> Option<Made> {
    let runtimes = requirements::runtimes()?;
    publish(&place, "channel", packages);
    let specs: Vec<String> = packages
        .iter()
        .map(|package| format!("\"{} =={}\"", package.name, package.version))
        .collect();
    let spec = format!(
        "name = \"Small\"\nversion = \"1.0\"\nchannels = [\"./channel\"]\n\
         platforms = [\"{PLATFORM}\"]\nspecs = [{}]\n{keys}\n",
        specs.join(", ")
    );
    place.write("small.toml", spec);
    run(place.build(&runtimes, "small.toml").arg("--update")).succeeds();
    let is_installer = |path: &PathBuf| path.extension() == Some(OsStr::new("sh"));
    let file = fs::read_dir(place.out())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .find(is_installer)
        .expect("an installer");
    fs::create_dir_all(place.join("where")).expect("a folder");
    Some(Made { place, file })
}

impl Made {
    /// A prefix whose parent is empty.
    pub(super) fn prefix(&self) -> PathBuf {
        self.place.join("where/prefix")
    }

    /// `sh FILE ARGUMENTS`
    pub(super) fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = self.place.command("sh");
        command.arg(&self.file).args(arguments);
        command
    }

    /// `sh FILE ARGUMENTS`, to its end.
    pub(super) fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Output {
        run(&mut self.command(arguments))
    }

    /// `sh FILE -b -p PREFIX ARGUMENTS`, to its end.
    pub(super) fn install(&self, arguments: &[&str]) -> Output {
        run(&mut self.installation(arguments))
    }

    /// `sh FILE -b -p PREFIX ARGUMENTS`
    pub(super) fn installation(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(&[OsStr::new("-b"), OsStr::new("-p")]);
        command.arg(self.prefix()).args(arguments);
        command
    }

    /// Everything in the place.
    pub(super) fn everything(&self) -> Tree {
        snapshot(self.place.path())
    }

    /// Everything in the prefix, and nothing else where it could be.
    #[track_caller]
    pub(super) fn installed(&self) -> Tree {
        let beside = fs::read_dir(self.place.join("where")).expect("a folder");
        let beside: Vec<PathBuf> = beside
            .map(|entry| entry.expect("an entry").path())
            .collect();
        assert_eq!(beside, [self.prefix()], "something is left");
        assert_empty(&self.place.join("tmp"));
        snapshot(&self.prefix())
    }

    /// Runs a script with `sh` in a mount namespace of its own: what it mounts ends with it. Its
    /// arguments are the installer and the prefix.
    pub(super) fn with_mounts(&self, script: &str) -> Option<Command> {
        let mut probe = self.place.command("unshare");
        probe.args(["--mount", "true"]).stderr(Stdio::null());
        let works = probe.status().is_ok_and(|status| status.success());
        requirements::require("the right to mount (root)", works.then_some(()))?;
        let mut command = self.place.command("unshare");
        command
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-euc",
                script,
                "sh",
            ])
            .arg(&self.file)
            .arg(self.prefix());
        Some(command)
    }

    /// The command as a user who owns nothing but the folders `where`, `tmp` and `home`.
    pub(super) fn as_nobody(&self, command: &Command) -> Option<Command> {
        let root = rustix::process::geteuid().is_root();
        requirements::require("root, to become somebody else", root.then_some(()))?;
        for path in [self.place.path().to_owned(), self.place.out()] {
            fs::set_permissions(path, permissions(0o755)).expect("a folder");
        }
        for name in ["where", "tmp", "home"] {
            std::os::unix::fs::chown(self.place.join(name), Some(NOBODY), Some(NOBODY))
                .expect("a folder");
        }
        let mut other = self.place.command("setpriv");
        other
            .arg(format!("--reuid={NOBODY}"))
            .arg(format!("--regid={NOBODY}"))
            .arg("--clear-groups")
            .arg(command.get_program())
            .args(command.get_args());
        Some(other)
    }

    /// Starts the command, waits until `ready`, sends the signal, and waits for the end.
    pub(super) fn signalled(
        &self,
        command: &Command,
        ready: &(dyn Fn() -> bool + Sync),
        signal: Signal,
    ) -> Output {
        let pid = self.place.join("pid");
        let mut started = self.place.command("sh");
        started
            .args(["-c", "echo $$ >\"$0\"; exec \"$@\""])
            .arg(&pid)
            .arg(command.get_program())
            .args(command.get_args());
        let output = std::thread::scope(|scope| {
            let installer = scope.spawn(|| run(&mut started));
            while !ready() && !installer.is_finished() {
                std::thread::sleep(Duration::from_micros(200));
            }
            let text = fs::read_to_string(&pid).expect("a process");
            let process = text.trim().parse().ok().and_then(Pid::from_raw);
            // It may have ended meanwhile: then the caller sees that no signal ended it.
            let _ = kill_process(process.expect("a process"), signal);
            installer.join().expect("an end")
        });
        fs::remove_file(pid).expect("a file");
        output
    }
}

/// Waits for something that has to come.
#[track_caller]
pub(super) fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "there is no {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Nothing is in this folder.
#[track_caller]
pub(super) fn assert_empty(folder: &Path) {
    let tree = snapshot(folder);
    assert_eq!(tree.paths(), Vec::<&str>::new(), "in {}", folder.display());
}

/// Whether a path ends in `.EXTENSION`.
pub(super) fn is_kind(path: &str, extension: &str) -> bool {
    Path::new(path).extension() == Some(OsStr::new(extension))
}

/// Permissions by mode.
pub(super) fn permissions(mode: u32) -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(mode)
}

/// One package with one of everything: placeholders, links, an empty folder, modes, a script.
pub(super) fn sample() -> Package {
    let script = |path, text| File {
        mode: 0o755,
        ..text_prefix(path, text)
    };
    Package::generic("sample 1.0 0").with(vec![
        executable("bin/interpreter", "#!/bin/sh\nexec sh \"$@\"\n"),
        script(
            "bin/where",
            "#!@PREFIX@/bin/interpreter\necho \"@PREFIX@\"\n",
        ),
        text_prefix("etc/sample.conf", "prefix = @PREFIX@\nlib = @PREFIX@/lib\n"),
        binary_prefix("lib/libsample.so", &["/share/sample", "/etc"]),
        symbolic_link("lib/libsample.so.1", "libsample.so"),
        file("share/sample/data", "data\n".repeat(5000)),
        hard_link("share/sample/same", "share/sample/data"),
        file("share/sample/empty", ""),
        folder("share/sample/folder"),
        File {
            mode: 0o666,
            ..file("share/sample/open", "for everybody\n")
        },
        File {
            mode: 0o777,
            ..executable("bin/open", "#!/bin/sh\n")
        },
    ])
}

/// Many small files, so that laying them takes a while.
pub(super) fn many(count: usize) -> Package {
    let files = (0..count)
        .map(|number| {
            file(
                &format!("many/{}/{number}", number / 100),
                format!("{number}\n"),
            )
        })
        .collect();
    Package::generic("many 1.0 0").with(files)
}

/// How many entries lie directly below a folder; none if there is no such folder.
pub(super) fn entries(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

/// A Python package that is this machine's own Python, under the name that its version has.
pub(super) struct Python {
    pub(super) package: Package,
    /// `3.11`
    pub(super) version: String,
}

/// Makes one; it finds modules of its prefix, and notes `-m` calls in the file `calls` there.
pub(super) fn python() -> Option<Python> {
    let program = requirements::program("python3")?;
    let ask = "import sys; print('%d.%d' % sys.version_info[:2]); print(sys.executable)";
    let output = Command::new(program).args(["-c", ask]).output().ok();
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
    let answer = text
        .as_deref()
        .and_then(|text| text.trim().split_once('\n'));
    let (version, executable_path) = requirements::require("a Python that runs", answer)?;
    let script = format!(
        "#!/bin/sh\nprefix=$(dirname \"$0\")/..\n\
         [ \"$1\" != -m ] || {{ printf '%s ' \"$@\" >>\"$prefix/calls\"; pwd >\"$prefix/calls.pwd\"; exit; }}\n\
         PYTHONPATH=$prefix/lib/python{version}/site-packages exec {executable_path} \"$@\"\n"
    );
    let name = format!("bin/python{version}");
    let package = Package::named(&format!("python {version}.0 0_cpython"))
        .on(PLATFORM)
        .with(vec![
            executable(&name, script),
            symbolic_link("bin/python", &format!("python{version}")),
        ]);
    let version = version.to_owned();
    Some(Python { package, version })
}

/// A module with an entry point `greet`, for every Python.
pub(super) fn greeting() -> Package {
    Package::python("greeting 1.0 0", &["greet = greeting.cli:main"]).with(vec![
        file("site-packages/greeting/__init__.py", ""),
        file(
            "site-packages/greeting/cli.py",
            "def main():\n    print('hello')\n",
        ),
        file("site-packages/greeting/broken.py", "def main(:\n"),
    ])
}

const NOBODY: u32 = 65534;
