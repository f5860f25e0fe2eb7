//! Programs of an image on this machine: natively or, where the kernel has been told who emulates the CPU, under
//! emulation. A program sees the userland as its root, is root there and nowhere else, and has no network: it runs in
//! namespaces of its own (`unshare`, `mount` and `setpriv` of util-linux), which nobody needs rights for.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use conda::Subdir;
use fs_err as fs;

use super::{OURS, Userland};
use crate::process::{self, Ended};

/// Where the kernel lists who runs foreign programs.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// Devices that programs find; the same as in [`ENTER`].
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];

/// Becomes the program. The folder `$1` comes to lie over the root of the file systems, so that nothing is above it, with
/// the folder `$2` at its `$3`, and the program has no rights over what is mounted: it cannot uncover what lies below. Where no `/proc` may be mounted, as
/// in some containers, there is none.
const ENTER: &str = r#"
root=$1
work=$2
place=$1/$3
shift 3
umask 022
hostname localhost 2>/dev/null || :
setpriv=$(command -v setpriv) && chroot=$(command -v chroot) || exit 125
mount -n --bind "$root" "$root" || exit 125
for device in null zero full random urandom; do
    mount -n --bind "/dev/$device" "$root/dev/$device" || exit 125
done
mount -n --bind "$work" "$place" || exit 125
mount -n -t proc proc "$root/proc" 2>/dev/null || :
cd "$root" && mount -n --move "$root" / || exit 125
exec "$setpriv" --bounding-set=-sys_admin "$chroot" . "$@"
"#;

/// How `unshare` begins what it says of itself.
const REFUSED: &str = "unshare: ";

/// Where the programs of util-linux are, whatever `PATH` says.
const TOOLS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// What is run.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// The folder of this machine that it works in, without links on the way: it finds it as [`OURS`], and no other.
    pub(crate) work: &'a Path,
    /// The program, by its path in the image, and its arguments.
    pub(crate) words: &'a [&'a str],
    /// Variables. Programs of this machine see them, too, so they must not be an image's.
    pub(crate) environment: &'a [(&'a str, &'a str)],
    pub(crate) input: &'a str,
    pub(crate) limit: Duration,
}

impl Userland {
    /// Makes the places that are mounted over. Those of the image may be links.
    pub(crate) fn add_devices(&self) -> io::Result<()> {
        for name in ["dev", "proc", "tmp", OURS] {
            let place = self.root().join(name);
            match fs::symlink_metadata(&place) {
                Ok(found) if found.is_dir() => continue,
                Ok(_) => fs::remove_file(&place)?,
                Err(_) => {}
            }
            fs::create_dir(&place)?;
        }
        for device in DEVICES {
            let place = self.root().join("dev").join(device);
            match fs::symlink_metadata(&place) {
                Ok(found) if found.is_file() => continue,
                Ok(found) if found.is_dir() => fs::remove_dir_all(&place)?,
                Ok(_) => fs::remove_file(&place)?,
                Err(_) => {}
            }
            fs::File::create_new(&place)?;
        }
        Ok(())
    }
}

/// Runs a program in a userland with devices, and returns what it says. Whatever went wrong is an error, with the
/// program's own words.
pub(crate) fn run(userland: &Userland, call: &Call<'_>) -> io::Result<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // What lies where somebody happens to be is not looked at: that comes to be the image.
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
    let tools = std::env::join_paths(folders.chain(TOOLS.map(PathBuf::from)));
    let tools = tools.map_err(io::Error::other)?;
    // It ends with who waits for it.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "unshare"])
        .args(["--user", "--map-root-user", "--mount", "--pid", "--net"])
        .args(["--ipc", "--uts", "--fork", "--kill-child", "--"])
        .args(["sh", "-c", ENTER, "sh"])
        .args([userland.root(), call.work])
        .arg(OURS)
        .args(call.words)
        .env_clear()
        .envs(call.environment.iter().copied())
        .env("PATH", tools)
        .current_dir("/");
    let ended = process::run(&mut command, call.input, call.limit);
    let Ended {
        status,
        output,
        complaint,
    } = ended.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            io::Error::new(error.kind(), format!("`setpriv` (of util-linux): {error}"))
        }
        _ => error,
    })?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&output).into_owned());
    }
    let complaint = String::from_utf8_lossy(&complaint);
    let complaint = complaint.trim();
    let problem = if complaint.starts_with(REFUSED) {
        "user namespaces are not allowed here".to_owned()
    } else {
        status.to_string()
    };
    Err(io::Error::other(format!("{problem}\n{complaint}")))
}

/// Whether programs for a platform run on this machine. If not, what is missing.
pub(crate) fn can_run(platform: Subdir) -> Result<(), String> {
    if Subdir::current() == Some(platform) {
        return Ok(());
    }
    let Some(header) = header(platform) else {
        return Err(format!("it is not known how programs for {platform} begin"));
    };
    let mut unfixed = None;
    let entries = fs::read_dir(BINFMT).into_iter().flatten().flatten();
    for entry in entries {
        let Ok(text) = fs::read_to_string(entry.path()) else {
            continue;
        };
        match Handler::read(&text) {
            Some(handler) if handler.takes(&header) && handler.enabled => {
                if handler.fixed {
                    return Ok(());
                }
                unfixed = Some(handler.interpreter);
            }
            _ => {}
        }
    }
    Err(match unfixed {
        Some(interpreter) => format!(
            "this machine runs programs for {platform} by `{interpreter}`, which an image does not have; it must be registered with the flag F"
        ),
        None => format!(
            "this machine does not run programs for {platform}; install qemu-user-static and binfmt-support, say"
        ),
    })
}

/// How executables for a platform begin (ELF: class, byte order, type and machine).
fn header(platform: Subdir) -> Option<[u8; 20]> {
    let machine = match platform {
        Subdir::Linux64 => 62,
        Subdir::LinuxAarch64 => 183,
        _ => return None,
    };
    let mut header = [0; 20];
    header[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    header[16] = 2;
    header[18] = machine;
    Some(header)
}

/// An entry of `binfmt_misc` (`Documentation/admin-guide/binfmt-misc.rst` of the kernel).
#[derive(Debug, PartialEq, Eq)]
struct Handler {
    enabled: bool,
    interpreter: String,
    /// Whether the interpreter is opened when it is registered, and so found under any root.
    fixed: bool,
    magic: Vec<u8>,
    mask: Vec<u8>,
}

impl Handler {
    fn read(text: &str) -> Option<Handler> {
        let value = |key: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        };
        let magic = bytes(value("magic")?)?;
        let mask = match value("mask") {
            Some(mask) => bytes(mask)?,
            None => vec![0xff; magic.len()],
        };
        let offset_is_zero = value("offset") == Some("0");
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
        (offset_is_zero && mask.len() == magic.len()).then(|| Handler {
            enabled: text.lines().next() == Some("enabled"),
            interpreter: value("interpreter").unwrap_or_default().to_owned(),
            fixed: flags.contains('F'),
            magic,
            mask,
        })
    }

    fn takes(&self, header: &[u8]) -> bool {
        let bytes = self.magic.iter().zip(&self.mask).zip(header);
        self.magic.len() <= header.len()
            && bytes
                .into_iter()
                .all(|((magic, mask), byte)| magic & mask == byte & mask)
    }
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let pairs = pairs.iter();
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_are_told_apart() {
        let qemu = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: F\noffset 0\n\
                    magic 7f454c460201010000000000000000000200b700\n\
                    mask ffffffffffffff00fffffffffffffffffeffffff\n";
        let handler = Handler::read(qemu).unwrap();
        assert!(handler.enabled && handler.fixed);
        assert!(handler.takes(&header(Subdir::LinuxAarch64).unwrap()));
        assert!(!handler.takes(&header(Subdir::Linux64).unwrap()));
        let handler = Handler::read(&qemu.replace("flags: F", "flags: OC")).unwrap();
        assert!(!handler.fixed);
        let handler = Handler::read(&qemu.replace("enabled", "disabled")).unwrap();
        assert!(!handler.enabled);
        for other in [
            "enabled\n",
            "enabled\ninterpreter /usr/bin/python3\nflags: \nextension .pyc\n",
            &qemu.replace("offset 0", "offset 4"),
            &qemu.replace("b700", "b7xx"),
            &qemu.replace("b700", "b70"),
        ] {
            assert_eq!(Handler::read(other), None, "{other}");
        }
    }
}
