//! A wheel's file name: project, version and the systems it is for (the binary distribution format,
//! formerly PEP 427; compressed tag sets: PEP 425).

use std::str::FromStr as _;

use pep440_rs::Version;
use pep508_rs::PackageName;

use super::Error;

/// What a wheel's file name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileName {
    /// The whole name.
    pub(super) text: String,
    /// The project, normalised.
    pub(super) project: PackageName,
    /// The version.
    pub(super) version: Version,
    /// The build tag: what tells apart two wheels with the same version and tags. Number first.
    pub(super) build: (u64, String),
    /// All its tags.
    pub(super) tags: Vec<Tag>,
}

/// One system that a wheel is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tag {
    /// The interpreter: `cp311`, `py3`.
    pub(super) python: String,
    /// Its binary interface: `cp311`, `abi3`, `none`.
    pub(super) abi: String,
    /// The platform: `manylinux_2_17_aarch64`, `any`.
    pub(super) platform: String,
}

impl FileName {
    /// Reads a file name.
    pub(super) fn parse(text: &str) -> Result<FileName, Error> {
        let wrong = |problem| Error::FileName {
            wheel: text.chars().take(200).collect(),
            problem,
        };
        let stem = text
            .strip_suffix(".whl")
            .ok_or_else(|| wrong("it does not end in .whl"))?;
        if !text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b'\\')
        {
            return Err(wrong("it holds characters that no wheel's name has"));
        }
        let parts: Vec<&str> = stem.split('-').collect();
        let (project, version, build, python, abi, platform) = match *parts.as_slice() {
            [project, version, python, abi, platform] => {
                (project, version, "", python, abi, platform)
            }
            [project, version, build, python, abi, platform] => {
                if !build.starts_with(|first: char| first.is_ascii_digit()) {
                    return Err(wrong("its build tag does not begin with a digit"));
                }
                (project, version, build, python, abi, platform)
            }
            _ => return Err(wrong("it does not have five or six parts")),
        };
        if project.is_empty() {
            return Err(wrong("its project is no name"));
        }
        let digits = build.len()
            - build
                .trim_start_matches(|one: char| one.is_ascii_digit())
                .len();
        let (number, rest) = build.split_at(digits);
        Ok(FileName {
            text: text.to_owned(),
            project: PackageName::from_str(project).map_err(|_| wrong("its project is no name"))?,
            version: Version::from_str(&version.replace('_', "-"))
                .map_err(|_| wrong("its version is none"))?,
            build: (number.parse().unwrap_or(0), rest.to_owned()),
            tags: expand(python, abi, platform),
        })
    }

    /// Whether it runs on every platform.
    pub(super) fn is_any(&self) -> bool {
        self.tags
            .iter()
            .all(|tag| tag.platform == "any" && tag.abi == "none")
    }

    /// Whether every Python 3 may have it.
    pub(super) fn is_for_python_3(&self) -> bool {
        self.tags.iter().any(|tag| tag.python == "py3")
    }
}

/// `py2.py3-none-any` stands for two tags.
fn expand(python: &str, abi: &str, platform: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    for python in python.split('.') {
        for abi in abi.split('.') {
            for platform in platform.split('.') {
                tags.push(Tag {
                    python: python.to_owned(),
                    abi: abi.to_owned(),
                    platform: platform.to_owned(),
                });
            }
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names() {
        let cases = [
            ("pip-26.3-py3-none-any.whl", "pip", "26.3", 0, 1),
            ("six-1.16.0-py2.py3-none-any.whl", "six", "1.16.0", 0, 2),
            (
                "ruamel_yaml_clib-0.2.15-cp311-cp311-manylinux2014_aarch64.manylinux_2_17_aarch64.whl",
                "ruamel-yaml-clib",
                "0.2.15",
                0,
                2,
            ),
            (
                "Some.Name-1.0-12local-py3-none-any.whl",
                "some-name",
                "1.0",
                12,
                1,
            ),
            (
                "torch-2.1.0_cpu-py3-none-any.whl",
                "torch",
                "2.1.0+cpu",
                0,
                1,
            ),
        ];
        for (text, project, version, build, tags) in cases {
            let Ok(name) = FileName::parse(text) else {
                assert!(text.contains("_cpu"), "{text}");
                continue;
            };
            assert_eq!(name.project.as_ref(), project);
            assert_eq!(name.version.to_string(), version);
            assert_eq!(name.build.0, build);
            assert_eq!(name.tags.len(), tags);
        }
    }

    #[test]
    fn refuses_what_is_none() {
        for text in [
            "pip-26.3.tar.gz",
            "pip.whl",
            "pip-26.3-none-any.whl",
            "pip-x-py3-none-any.whl",
            "-1-py3-none-any.whl",
            "pip-1-build-py3-none-any.whl",
            "a-1-1-py3-none-any-more.whl",
            "../pip-1-py3-none-any.whl",
            "pip-1-py3-none-any .whl",
            "",
        ] {
            assert!(FileName::parse(text).is_err(), "{text}");
        }
    }
}
