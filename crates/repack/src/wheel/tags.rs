//! Which wheels a target takes, in order of preference (PEP 425, PEP 600; the order is that of
//! `packaging.tags`).

use super::Error;
use super::file_name::{FileName, Tag};
use crate::target::Target;

/// The versions of the C library that wheels may be built against begin here: the first one that
/// `manylinux` has for each machine.
const FIRST_GLIBC: &[(&str, u32)] = &[("x86_64", 5), ("aarch64", 17)];

/// The names that tags had before they held the version of the C library.
const LEGACY: &[(u32, &str)] = &[
    (17, "manylinux2014"),
    (12, "manylinux2010"),
    (5, "manylinux1"),
];

/// A machine with a Python.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// The platform.
    pub(super) target: Target,
    /// Its Python as the user gave it: `3.11` or `3.11.2`.
    pub(super) python: String,
    /// The two numbers of its minor version.
    pub(super) minor: (u32, u32),
    /// All platform tags, the best first.
    pub(super) platforms: Vec<String>,
}

impl Machine {
    /// A machine with this Python and at most this glibc, `2.36`.
    pub(super) fn new(target: Target, python: &str, glibc: &str) -> Result<Machine, Error> {
        let wrong = || Error::Python {
            version: python.to_owned(),
        };
        let mut numbers = python.split('.').map(str::parse::<u32>);
        let (Some(Ok(3)), Some(Ok(minor)), rest) = (numbers.next(), numbers.next(), numbers.next())
        else {
            return Err(wrong());
        };
        if rest.is_some_and(|rest| rest.is_err()) || numbers.next().is_some() {
            return Err(wrong());
        }
        Ok(Machine {
            target,
            python: python.to_owned(),
            minor: (3, minor),
            platforms: platforms(target.machine, glibc),
        })
    }

    /// `311`.
    pub(super) fn digits(&self) -> String {
        format!("{}{}", self.minor.0, self.minor.1)
    }

    /// `3.11`.
    pub(super) fn minor(&self) -> String {
        format!("{}.{}", self.minor.0, self.minor.1)
    }

    /// The place of the best of a wheel's tags; lower is better. None: it is not for this machine.
    pub(super) fn rank(&self, wheel: &FileName) -> Option<(usize, usize)> {
        wheel.tags.iter().filter_map(|tag| self.rank_of(tag)).min()
    }

    /// First by interface, then by platform, as `packaging.tags` has it.
    fn rank_of(&self, tag: &Tag) -> Option<(usize, usize)> {
        let platform = if tag.platform == "any" {
            self.platforms.len()
        } else {
            self.platforms.iter().position(|one| *one == tag.platform)?
        };
        let own = format!("cp{}", self.digits());
        let older = |text: &str, prefix: &str| {
            let minor = text.strip_prefix(prefix)?.parse::<u32>().ok()?;
            (minor <= self.minor.1).then(|| usize::try_from(self.minor.1 - minor).unwrap_or(0))
        };
        let interface = match (tag.python.as_str(), tag.abi.as_str()) {
            (python, abi) if python == own && abi == own => 0,
            (python, "abi3") => 1 + older(python, "cp3")?,
            (python, "none") if python == own => 200,
            ("py3", "none") => 400,
            (python, "none") => 300 + older(python, "py3")?,
            _ => return None,
        };
        // Of wheels for every platform those for one Python come last, but before all others' ones.
        Some((interface, platform))
    }

    /// The lowest glibc that a wheel's fitting tags promise to be content with.
    pub(super) fn glibc(&self, wheel: &FileName) -> Option<(u32, u32)> {
        let tags = wheel.tags.iter().filter(|tag| self.rank_of(tag).is_some());
        tags.filter_map(|tag| version_of(&tag.platform)).min()
    }
}

fn platforms(machine: &str, glibc: &str) -> Vec<String> {
    let newest = glibc
        .strip_prefix("2.")
        .and_then(|minor| minor.split('.').next()?.parse::<u32>().ok())
        .unwrap_or(17);
    let known = FIRST_GLIBC.iter().find(|(name, _)| *name == machine);
    let first = known.map_or(17, |(_, first)| *first);
    let mut platforms = Vec::new();
    for minor in (first..=newest).rev() {
        platforms.push(format!("manylinux_2_{minor}_{machine}"));
        if let Some((_, name)) = LEGACY.iter().find(|(legacy, _)| *legacy == minor) {
            platforms.push(format!("{name}_{machine}"));
        }
    }
    platforms.push(format!("linux_{machine}"));
    platforms
}

fn version_of(platform: &str) -> Option<(u32, u32)> {
    if let Some((minor, _)) = LEGACY.iter().find(|(_, name)| {
        platform
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('_'))
    }) {
        return Some((2, *minor));
    }
    let mut numbers = platform.strip_prefix("manylinux_")?.split('_');
    let major = numbers.next()?.parse().ok()?;
    Some((major, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine::new(Target::find("linux-aarch64").unwrap(), "3.11", "2.36").unwrap()
    }

    #[test]
    fn the_best_wheel_is_the_nearest_one() {
        let machine = machine();
        let ordered = [
            "a-1-cp311-cp311-manylinux_2_36_aarch64.whl",
            "a-1-cp311-cp311-manylinux_2_28_aarch64.whl",
            "a-1-cp311-cp311-manylinux2014_aarch64.whl",
            "a-1-cp311-abi3-manylinux_2_17_aarch64.whl",
            "a-1-cp38-abi3-manylinux_2_17_aarch64.whl",
            "a-1-cp311-none-manylinux_2_17_aarch64.whl",
            "a-1-cp311-none-any.whl",
            "a-1-py311-none-any.whl",
            "a-1-py3-none-manylinux_2_17_aarch64.whl",
            "a-1-py3-none-any.whl",
        ];
        let ranks: Vec<_> = ordered
            .iter()
            .map(|name| machine.rank(&FileName::parse(name).unwrap()).unwrap())
            .collect();
        assert!(ranks.is_sorted(), "{ranks:?}");
    }

    #[test]
    fn other_machines_wheels_do_not_fit() {
        let machine = machine();
        for name in [
            "a-1-cp311-cp311-manylinux_2_37_aarch64.whl",
            "a-1-cp311-cp311-manylinux_2_16_aarch64.whl",
            "a-1-cp311-cp311-manylinux_2_17_x86_64.whl",
            "a-1-cp311-cp311-musllinux_1_2_aarch64.whl",
            "a-1-cp310-cp310-manylinux_2_17_aarch64.whl",
            "a-1-cp312-abi3-manylinux_2_17_aarch64.whl",
            "a-1-cp311-cp311t-manylinux_2_17_aarch64.whl",
            "a-1-pp311-pypy311_pp73-manylinux_2_17_aarch64.whl",
            "a-1-py312-none-any.whl",
            "a-1-py2-none-any.whl",
            "a-1-cp311-cp311-win_amd64.whl",
        ] {
            assert_eq!(
                machine.rank(&FileName::parse(name).unwrap()),
                None,
                "{name}"
            );
        }
    }

    #[test]
    fn the_lowest_glibc_counts() {
        let name = "a-1-cp311-cp311-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl";
        assert_eq!(
            machine().glibc(&FileName::parse(name).unwrap()),
            Some((2, 27))
        );
        let name = "a-1-cp311-cp311-manylinux2014_aarch64.whl";
        assert_eq!(
            machine().glibc(&FileName::parse(name).unwrap()),
            Some((2, 17))
        );
        let name = "a-1-py3-none-any.whl";
        assert_eq!(machine().glibc(&FileName::parse(name).unwrap()), None);
    }

    #[test]
    fn old_names_of_x86_64_fit() {
        let target = Target::find("linux-64").unwrap();
        let machine = Machine::new(target, "3.11.2", "2.36").unwrap();
        for platform in [
            "manylinux1",
            "manylinux2010",
            "manylinux2014",
            "manylinux_2_5",
            "linux",
        ] {
            let name = FileName::parse(&format!("a-1-cp311-cp311-{platform}_x86_64.whl")).unwrap();
            assert!(machine.rank(&name).is_some(), "{platform}");
        }
    }

    #[test]
    fn odd_pythons_are_refused() {
        for version in ["", "3", "2.7", "3.x", "3.11.", "3.11.2.1", "three"] {
            let target = Target::find("linux-64").unwrap();
            assert!(Machine::new(target, version, "2.36").is_err(), "{version}");
        }
    }
}
