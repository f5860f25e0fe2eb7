//! dockerd for one bench: all that it keeps lies below a folder, and it ends with the value.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fs_err as fs;

use crate::process;

/// A daemon that answers.
pub(super) struct Engine {
    child: Child,
    socket: PathBuf,
}

impl Engine {
    pub(super) fn start(folder: &Path) -> Result<Engine> {
        let daemon = process::find("dockerd").context("no dockerd (apt-get install docker.io)")?;
        fs::create_dir_all(folder)?;
        let socket = folder.join("socket");
        // What is mounted goes with the process.
        let mut command = Command::new("unshare");
        command.arg("--mount").arg(daemon);
        for (option, name) in [
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "pid"),
        ] {
            command.arg(option).arg(folder.join(name));
        }
        let settings = folder.join("daemon.json");
        fs::write(&settings, "{}")?;
        let log = fs::File::create(folder.join("log"))?;
        let child = command
            .arg(format!("--host=unix://{}", socket.display()))
            .args(["--storage-driver=overlay2", "--bridge=none"])
            .args(["--iptables=false", "--ip6tables=false"])
            .arg("--config-file")
            .arg(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.into_parts().0)
            .spawn()?;
        let mut engine = Engine { child, socket };
        while UnixStream::connect(&engine.socket).is_err() {
            if let Some(status) = engine.child.try_wait()? {
                let log = fs::read_to_string(folder.join("log"))?;
                bail!("dockerd ended ({status})\n{log}");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(engine)
    }

    /// A command that talks to the daemon, in a shell.
    pub(super) fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .env("DOCKER_HOST", format!("unix://{}", self.socket.display()))
            // Debian's client has no other builder.
            .env("DOCKER_BUILDKIT", "0");
        command
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Asked to end, so that it ends what it has started, too.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
        // The control groups of its containers: those that are empty go.
        for kind in fs::read_dir("/sys/fs/cgroup")
            .into_iter()
            .flatten()
            .flatten()
        {
            let _ = fs::remove_dir(kind.path().join("docker"));
        }
    }
}
