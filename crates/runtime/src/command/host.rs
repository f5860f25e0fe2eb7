//! Is this machine fit for the plan: its dynamic loader, its C library, the room on its disk.
//! Nothing is run and nothing is written to find out.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::plan::{Need, Plan};

pub(super) mod glibc;
#[cfg(test)]
mod tests;

/// Why the plan cannot be carried out here.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "this is a musl system (it has {loader}): the packages are for {platform} with glibc \
         and would not run"
    )]
    Musl { loader: String, platform: String },
    #[error(
        "the programs of this system are 32-bit (it has {loader}) although its kernel is 64-bit: \
         the packages are for {platform} and would not run"
    )]
    Narrow { loader: String, platform: String },
    #[error("this system has no {loaders}: the packages are for {platform} and would not run")]
    NoLoader { loaders: String, platform: String },
    #[error("this system has glibc {found}, the packages need {required} or newer")]
    Glibc { found: String, required: String },
    #[error(
        "there is too little room for `{prefix}`: {} are needed, {} are free in `{folder}` \
         (--ignore-space installs nevertheless)", size(*needed), size(*free)
    )]
    Space {
        prefix: PathBuf,
        folder: PathBuf,
        needed: u64,
        free: u64,
    },
    #[error(
        "there is no room for so many files as `{prefix}` has: {needed} are needed, {free} are \
         free in `{folder}` (--ignore-space installs nevertheless)"
    )]
    Inodes {
        prefix: PathBuf,
        folder: PathBuf,
        needed: u64,
        free: u64,
    },
}

impl Error {
    /// Whether the machine is of another kind than the installer is for.
    pub(super) fn is_other_platform(&self) -> bool {
        matches!(
            self,
            Error::Musl { .. } | Error::Narrow { .. } | Error::NoLoader { .. }
        )
    }
}

/// Looks for the dynamic loader, which is there exactly if programs of the platform run.
pub(super) fn check_userland(root: &Path, plan: &Plan) -> Result<(), Error> {
    let loaders = &plan.requires.loaders;
    if loaders.is_empty() || loaders.iter().any(|loader| below(root, loader).exists()) {
        return Ok(());
    }
    let platform = plan.platform.clone();
    if let Some(loader) = musl_loader(root) {
        return Err(Error::Musl { loader, platform });
    }
    let narrow = NARROW_LOADERS
        .iter()
        .find(|loader| below(root, loader).exists());
    Err(match narrow {
        Some(loader) => Error::Narrow {
            loader: (*loader).to_owned(),
            platform,
        },
        None => Error::NoLoader {
            loaders: loaders.join(", "),
            platform,
        },
    })
}

/// Compares the system's glibc with what the plan requires. `overriding` is the value of
/// `CONDA_OVERRIDE_GLIBC`, which wins over what is found, as it does for conda. Returns a warning
/// where nothing can be said.
pub(super) fn check_glibc(
    root: &Path,
    plan: &Plan,
    overriding: Option<&str>,
) -> Result<Option<String>, Error> {
    let Some(required) = &plan.requires.glibc else {
        return Ok(None);
    };
    let overriding = overriding
        .filter(|version| !version.is_empty())
        .map(str::to_owned);
    let Some(found) = overriding.or_else(|| find_glibc(root, plan)) else {
        return Ok(Some(format!(
            "the version of this system's glibc is unknown, {required} or newer is needed"
        )));
    };
    match glibc::at_least(&found, required) {
        Some(true) => Ok(None),
        Some(false) => Err(Error::Glibc {
            found,
            required: required.clone(),
        }),
        None => Ok(Some(format!(
            "`{found}` is no version of glibc, {required} or newer is needed"
        ))),
    }
}

/// Checks that `needed` fits into the file system of `folder`, the nearest one above `prefix`.
pub(super) fn check_room(prefix: &Path, folder: &Path, needed: Need) -> Result<(), Error> {
    // A file system that cannot be asked is no reason to refuse.
    let Ok(found) = rustix::fs::statvfs(folder) else {
        return Ok(());
    };
    let unit = if found.f_frsize == 0 {
        found.f_bsize
    } else {
        found.f_frsize
    };
    let room = Room {
        bytes: (found.f_blocks > 0).then(|| found.f_bavail.saturating_mul(unit)),
        inodes: (found.f_files > 0).then_some(found.f_favail),
    };
    fits(prefix, folder, needed, room)
}

/// `1.5 GB`; powers of 1000, as disks are sold.
pub(super) fn size(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1000, "kB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => {
            let tenths = bytes / (unit / 10);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} bytes"),
    }
}

/// Loaders of 32-bit systems whose kernel may be 64-bit: Raspbian, old x86.
const NARROW_LOADERS: &[&str] = &[
    "/lib/ld-linux-armhf.so.3",
    "/lib/ld-linux.so.3",
    "/lib/ld-linux.so.2",
];

/// Where distributions keep libc.so.6, apart from the loader's own folder.
const LIBRARIES: &[&str] = &[
    "/lib64",
    "/usr/lib64",
    "/lib/aarch64-linux-gnu",
    "/lib/x86_64-linux-gnu",
    "/lib",
    "/usr/lib",
];

/// More is no libc.
const LARGEST_LIBC: u64 = 64 << 20;

/// What a file system has left; none where it does not say (Lustre shows 0 blocks, btrfs 0 inodes).
#[derive(Debug, Clone, Copy)]
struct Room {
    bytes: Option<u64>,
    inodes: Option<u64>,
}

fn fits(prefix: &Path, folder: &Path, needed: Need, room: Room) -> Result<(), Error> {
    let (prefix, folder) = (prefix.to_owned(), folder.to_owned());
    match room {
        Room {
            bytes: Some(free), ..
        } if free < needed.bytes => Err(Error::Space {
            prefix,
            folder,
            needed: needed.bytes,
            free,
        }),
        Room {
            inodes: Some(free), ..
        } if free < needed.inodes => Err(Error::Inodes {
            prefix,
            folder,
            needed: needed.inodes,
            free,
        }),
        _ => Ok(()),
    }
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn musl_loader(root: &Path) -> Option<String> {
    let entries = fs::read_dir(root.join("lib")).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names
        .filter(|name| name.starts_with("ld-musl-"))
        .min()
        .map(|name| format!("/lib/{name}"))
}

fn find_glibc(root: &Path, plan: &Plan) -> Option<String> {
    let loader_folders = plan.requires.loaders.iter().filter_map(|loader| {
        let real = below(root, loader).canonicalize().ok()?;
        Some(real.parent()?.to_owned())
    });
    let folders = loader_folders.chain(LIBRARIES.iter().map(|folder| below(root, folder)));
    folders.into_iter().find_map(|folder| {
        let libc = read_start(&folder.join("libc.so.6")).ok()?;
        glibc::is_for(&libc, &plan.platform)
            .then(|| glibc::version(&libc))
            .flatten()
    })
}

fn read_start(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(LARGEST_LIBC)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
