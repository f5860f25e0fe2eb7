//! Finds the executable that runs on the target, and makes sure that it is one.

use std::path::{Path, PathBuf};

use fs_err as fs;

use conda::Subdir;

use crate::Error;

/// What a platform is called elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Names {
    /// In file names of installers: constructor's rule (`Linux-x86_64`, `Linux-aarch64`).
    pub(crate) file: &'static str,
    /// What `uname -m` says there.
    pub(crate) machines: &'static [&'static str],
    /// `e_machine` of its ELF files.
    elf: u16,
}

/// The platforms that have a runtime.
pub(crate) fn names(platform: Subdir) -> Result<Names, Error> {
    match platform {
        Subdir::Linux64 => Ok(Names {
            file: "Linux-x86_64",
            machines: &["x86_64", "amd64"],
            elf: 62,
        }),
        Subdir::LinuxAarch64 => Ok(Names {
            file: "Linux-aarch64",
            machines: &["aarch64", "arm64"],
            elf: 183,
        }),
        _ => Err(Error::Platform { platform }),
    }
}

/// The folders in which an installed tool finds its runtimes: beside its executable, and
/// `target/runtimes` for one that cargo built.
pub fn beside(executable: &Path) -> Vec<PathBuf> {
    let above = executable.ancestors().skip(1).take(3);
    above.map(|folder| folder.join("runtimes")).collect()
}

/// Reads the runtime for `platform` from the first of `folders` that has it.
pub(crate) fn read(platform: Subdir, folders: &[PathBuf]) -> Result<Vec<u8>, Error> {
    let names = names(platform)?;
    let name = format!("runtime-{platform}");
    let path = folders
        .iter()
        .map(|folder| folder.join(&name))
        .find(|path| path.is_file());
    let Some(path) = path else {
        return Err(Error::NoRuntime {
            platform,
            name,
            searched: folders.to_vec(),
        });
    };
    let bytes = fs::read(&path).map_err(|source| Error::Read {
        path: path.clone(),
        source,
    })?;
    // 64-bit, little-endian, for this CPU: an installer for another one would fail far away.
    let header = bytes.get(..20).unwrap_or_default();
    let elf = header.starts_with(&[0x7f, b'E', b'L', b'F', 2, 1]);
    let machine = header
        .get(18..20)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    if elf && machine == Some(names.elf) {
        Ok(bytes)
    } else {
        Err(Error::ForeignRuntime { path, platform })
    }
}
