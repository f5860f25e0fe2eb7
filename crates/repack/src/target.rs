//! The platforms that packages can be made for, and what Debian and Python call them.

use crate::Error;

/// A platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    /// conda's name.
    pub(crate) subdir: &'static str,
    /// Debian's architecture.
    pub(crate) architecture: &'static str,
    /// The folder of libraries in Debian.
    pub(crate) triplet: &'static str,
    /// The machine as `uname -m` and wheels' tags have it.
    pub(crate) machine: &'static str,
    /// `e_machine` of its ELF files.
    pub(crate) elf: u16,
}

const TARGETS: &[Target] = &[
    Target {
        subdir: "linux-64",
        architecture: "amd64",
        triplet: "x86_64-linux-gnu",
        machine: "x86_64",
        elf: 62,
    },
    Target {
        subdir: "linux-aarch64",
        architecture: "arm64",
        triplet: "aarch64-linux-gnu",
        machine: "aarch64",
        elf: 183,
    },
];

impl Target {
    /// The platform that conda calls so.
    pub(crate) fn find(subdir: &str) -> Result<Target, Error> {
        let found = TARGETS.iter().find(|target| target.subdir == subdir);
        found.copied().ok_or_else(|| Error::Platform {
            platform: subdir.to_owned(),
        })
    }

    /// The platform of the machine that this runs on, where it is one of them.
    pub(crate) fn host() -> Option<Target> {
        let machine = std::env::consts::ARCH;
        TARGETS
            .iter()
            .find(|target| target.machine == machine)
            .copied()
    }
}
