//! Engines: the bootstrap distribution on Debian, loaded and run by podman (with runc) and by dockerd, for this
//! CPU and, through the kernel's emulator, for the other one. Part of the bootstrap channel's own test, since
//! making that takes minutes. All that engines keep is below the test's folder, and ends with it.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};

use super::given::{Given, layout};
use crate::support::requirements::{self, program};
use crate::support::run::{Output, Place, run};

/// What is asked of the Python of an image, whoever starts it.
const MODULES: &str = r"
import bz2, ctypes, lzma, os, sqlite3, ssl, sys, zlib
import numpy, zstandard
assert sys.prefix == '/opt/conda', sys.prefix
assert ssl.create_default_context().cert_store_stats()['x509_ca'] > 100
assert numpy.arange(4).sum() == 6
import pip, struct
with open(pip.__cached__, 'rb') as compiled:
    times = struct.unpack('<III', compiled.read(16)[4:])
source = os.stat(pip.__file__)
assert times == (0, int(source.st_mtime), source.st_size), times
print('modules', os.getuid())
";

/// An ordinary user with a home of their own, without any shell's help.
const ORDINARY: &str = r"
set -e
test $(id -un) = builder
cd && touch here && test $PWD = /home/builder
command -v python
python -m pip --version
";

const LOGIN: &str = "command -v python && echo in $CONDA_PREFIX && python --version";

/// Bakes the distribution of `boot.toml` on the userland at `root`, and runs it in every engine.
pub(crate) fn try_out(place: &Place, platform: &str, architecture: &'static str, root: &Path) {
    let is_root = rustix::process::geteuid().is_root();
    let Some(()) = requirements::require("root, to run engines", is_root.then_some(())) else {
        return;
    };
    let (Some(podman), Some(_), Some(dockerd), Some(docker)) = (
        program("podman"),
        program("runc"),
        program("dockerd"),
        program("docker"),
    ) else {
        return;
    };
    base(place, architecture, root);
    place.write(
        "engine-dist.toml",
        "name = \"Engines\"\nversion = \"1\"\nchannels = [\"./channel\"]\n\
         virtual_specs = [\"__glibc >=2.36\"]\n\
         specs = [\"python\", \"pip\", \"numpy\", \"sqlite\", \"zstandard\"]\n",
    );
    place.write(
        "engines.toml",
        format!(
            "installer = \"engine-dist.toml\"\nbase = \"oci:base-{architecture}\"\n\
             user = {{ name = \"builder\", shell = \"/bin/bash\" }}\ntags = [\"example/engines:1\"]\n\
             pyc = \"emulate\"\n[envs.small]\npackages = [\"zstandard\"]\n"
        ),
    );
    let image = format!("engines-{architecture}.tar");
    let mut bake = place.archiconda();
    bake.args(["image", "bake", "engines.toml", "--platform", platform]);
    run(bake.args(["--output", &image])).succeeds();
    let folder = place.join(format!("engine-{architecture}"));
    let podman = Podman::new(podman, &folder);
    run(podman.command(place).args(["load", "-i", &image])).succeeds();
    uses(|| {
        let mut command = podman.command(place);
        command.args(["run", "--rm"]);
        command
    });
    let docker = Docker::start(&dockerd, docker, &folder);
    run(docker.command(place).args(["load", "-i", &image])).succeeds();
    uses(|| {
        let mut command = docker.command(place);
        command.args(["run", "--rm", "--network", "none"]);
        command
    });
    drop(docker);
    fs::remove_file(place.join(image)).expect("removed");
}

/// What users do with an image.
fn uses(start: impl Fn() -> Command) {
    let container = |options: &[&str], program: &[&str]| -> Output {
        let mut command = start();
        command.args(options).arg("example/engines:1").args(program);
        run(&mut command).succeeds()
    };
    container(&[], &["python", "-c", MODULES]).prints(&["modules 1000"]);
    container(&["--user", "12345"], &["python", "-c", MODULES]).prints(&["modules 12345"]);
    container(&[], &["sh", "-c", ORDINARY]).prints(&["/opt/conda/bin/python", "pip "]);
    let small = "import sys, zstandard; print('in', sys.prefix)";
    container(&[], &["/opt/conda/envs/small/bin/python", "-c", small])
        .prints(&["in /opt/conda/envs/small"]);
    let said = container(
        &["--user", "0"],
        &["bash", "-c", "id -u; command -v python"],
    );
    said.prints(&["0\n/opt/conda/bin/python"]);
    let said = container(&[], &["bash", "-lc", LOGIN]);
    said.prints(&["/opt/conda/bin/python", "in /opt/conda", "Python 3"]);
}

/// Makes an image of a userland.
pub(super) fn base(place: &Place, architecture: &'static str, root: &Path) {
    let packed = place.join("base.tar");
    let mut tar = place.command("tar");
    tar.arg("--create").arg("--file").arg(&packed);
    tar.arg("--numeric-owner").arg("--directory").arg(root);
    // Other tests may be at work in `tmp`.
    for without in [
        "./tmp/*",
        "./dev/*",
        "./proc/*",
        "./var/cache/*",
        "./.complete",
    ] {
        tar.arg(format!("--exclude={without}"));
    }
    run(tar.arg(".")).succeeds();
    let layer = fs::read(&packed).expect("a layer");
    fs::remove_file(packed).expect("removed");
    let given = Given::new(architecture, vec![layer]);
    layout(
        place,
        &format!("base-{architecture}"),
        &[("base:1", &given)],
    );
}

/// podman keeps caches in fixed places, too. There it sees a folder of the test's; and what is mounted goes
/// with the process.
const HIDDEN: &str = r#"
for place in /var/lib/containers /var/cache/containers; do
    mkdir -p "$place" "$1$place" && mount --bind "$1$place" "$place" || exit
done
shift
exec "$@"
"#;

/// podman with all its folders below one.
struct Podman {
    program: PathBuf,
    folder: PathBuf,
}

impl Podman {
    fn new(program: PathBuf, folder: &Path) -> Podman {
        let folder = folder.join("podman");
        fs::create_dir_all(&folder).expect("a folder");
        // Not every root may raise limits, and runc knows every kind of control groups.
        let config = "[containers]\ndefault_ulimits = [\"nofile=4096:4096\", \"nproc=4096:4096\"]\nnetns = \"none\"\n\
                      [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n";
        fs::write(folder.join("containers.conf"), config).expect("settings");
        Podman { program, folder }
    }

    fn command(&self, place: &Place) -> Command {
        let mut command = place.command("unshare");
        command
            .args(["--mount", "sh", "-c", HIDDEN, "sh"])
            .arg(&self.folder)
            .arg(&self.program)
            .env("CONTAINERS_CONF", self.folder.join("containers.conf"));
        for (option, folder) in [
            ("--root", "root"),
            ("--runroot", "run"),
            ("--tmpdir", "tmp"),
        ] {
            command.arg(option).arg(self.folder.join(folder));
        }
        command
    }
}

/// dockerd with all its folders below one.
struct Docker {
    child: Child,
    client: PathBuf,
    socket: PathBuf,
}

impl Docker {
    fn start(daemon: &Path, client: PathBuf, folder: &Path) -> Docker {
        let folder = folder.join("docker");
        fs::create_dir_all(&folder).expect("a folder");
        let socket = folder.join("socket");
        let settings = folder.join("daemon.json");
        fs::write(&settings, "{}").expect("settings");
        let log = fs::File::create(folder.join("log")).expect("a log");
        let mut command = Command::new("setpriv");
        // What is mounted goes with the process.
        command
            .args(["--pdeathsig", "KILL", "unshare", "--mount"])
            .arg(daemon);
        for (option, name) in [
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "pid"),
        ] {
            command.arg(option).arg(folder.join(name));
        }
        let child = command
            .arg(format!("--host=unix://{}", socket.display()))
            .args([
                "--storage-driver=overlay2",
                "--iptables=false",
                "--ip6tables=false",
            ])
            .arg("--bridge=none")
            .arg("--config-file")
            .arg(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.into_parts().0)
            .spawn()
            .expect("dockerd");
        let mut docker = Docker {
            child,
            client,
            socket,
        };
        while UnixStream::connect(&docker.socket).is_err() {
            let ended = docker.child.try_wait().expect("a child");
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(ended.is_none(), "dockerd ended: {ended:?}\n{log}");
            thread::sleep(Duration::from_millis(50));
        }
        docker
    }

    fn command(&self, place: &Place) -> Command {
        let mut command = place.command(&self.client);
        command.env("DOCKER_HOST", format!("unix://{}", self.socket.display()));
        command
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // So that it ends what it has started, too.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
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
