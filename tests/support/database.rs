//! A PostgreSQL server of the test's own, in a folder of its own and on a socket in it. It ends with the value, and
//! with the test's process, however that ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use fs_err as fs;
use tempfile::TempDir;

use super::requirements;

/// The user that PostgreSQL's package makes: it does not run as root.
const USER: &str = "postgres";

/// A running server.
pub(crate) struct Database {
    folder: TempDir,
    server: Child,
}

impl Database {
    /// Starts a server, if there can be one.
    pub(crate) fn start() -> Option<Database> {
        let programs = requirements::postgresql()?;
        let folder = tempfile::Builder::new()
            .prefix("archiconda-db-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .expect("a folder");
        let data = folder.path().join("data");
        fs::create_dir(&data).expect("a folder");
        if rustix::process::geteuid().is_root() {
            for path in [folder.path(), &data] {
                let mut command = Command::new("chown");
                let status = command.arg(USER).arg(path).status().expect("chown");
                assert!(status.success(), "the folder's owner");
            }
        }
        let made = program(&programs, "initdb")
            .args([
                "--no-sync",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--username",
                USER,
                "-D",
            ])
            .arg(&data)
            .current_dir(folder.path())
            .output()
            .expect("initdb");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let server = program(&programs, "postgres")
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            // No port, and nothing that lasts.
            .args([
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=off",
                "-c",
                "log_min_messages=fatal",
            ])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a server");
        let mut database = Database { folder, server };
        database.wait(&programs);
        Some(database)
    }

    /// The URL of the database.
    pub(crate) fn url(&self) -> String {
        format!(
            "postgresql:///{USER}?host={}&user={USER}",
            self.folder.path().display()
        )
    }

    /// Runs a statement.
    pub(crate) fn execute(&self, statement: &str) {
        let mut command = Command::new("psql");
        command.args(["--quiet", "--username", USER, "--command", statement]);
        let output = command.arg("--host").arg(self.folder.path()).output();
        let output = output.expect("psql");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{complaint}");
    }

    fn wait(&mut self, programs: &Path) {
        loop {
            let ended = self.server.try_wait().expect("a child");
            assert!(ended.is_none(), "the database ended: {ended:?}");
            let ready = Command::new(programs.join("pg_isready"))
                .arg("--quiet")
                .arg("--host")
                .arg(self.folder.path())
                .status();
            if ready.is_ok_and(|status| status.success()) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // SIGINT: it ends its connections and then itself.
        let process = rustix::process::Pid::from_child(&self.server);
        let _ = rustix::process::kill_process(process, rustix::process::Signal::INT);
        drop(self.server.wait());
    }
}

/// A program of PostgreSQL, as a user that it likes. It ends when the test does.
fn program(programs: &Path, name: &str) -> Command {
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
    }
    command
        .args(["--pdeathsig", "INT"])
        .arg(programs.join(name));
    command.env_remove("PGUSER").env("LC_ALL", "C");
    command
}

/// Where Debian puts the programs: not on the path, and a folder for each version.
pub(crate) fn find() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let debian = folders.flatten().map(|entry| entry.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    debian.chain(std::env::split_paths(&path)).find(|folder| {
        ["initdb", "postgres", "pg_isready"]
            .iter()
            .all(|name| folder.join(name).is_file())
    })
}
