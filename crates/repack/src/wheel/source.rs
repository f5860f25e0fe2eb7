//! Where wheels come from: the registry that this machine's pip is set up for, a folder, or what a
//! lock names. Whatever comes ends in the store, under its digest.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use pep440_rs::VersionSpecifiers;
use pep508_rs::PackageName;

use super::archive::Opened;
use super::error::local;
use super::file_name::FileName;
use super::tags::Machine;
use super::{Error, Pin, metadata, specifier};
use crate::program;
use crate::store::{self, Store};

/// A project, and the versions that may be taken.
#[derive(Debug, Clone)]
pub(super) struct Want {
    /// The project.
    pub(super) project: PackageName,
    /// All conditions together.
    pub(super) specifiers: VersionSpecifiers,
    /// Who has them, for errors.
    pub(super) wanted_by: String,
}

impl Want {
    /// As pip and users write it.
    pub(super) fn text(&self) -> String {
        let conditions: Vec<String> = self.specifiers.iter().map(ToString::to_string).collect();
        format!("{}{}", self.project, conditions.join(","))
    }
}

/// A wheel in the store.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// What its name says.
    pub(super) name: FileName,
    /// What a lock says of it.
    pub(super) pin: Pin,
    /// Where it lies.
    pub(super) path: PathBuf,
    /// Its METADATA.
    pub(super) metadata: metadata::Metadata,
}

/// Where wheels come from.
pub(super) enum Source<'a> {
    /// pip.
    Pip,
    /// A folder.
    Folder(&'a Path),
    /// These, and another source for what they lack, if any.
    Pins(Vec<Found>, Option<Box<Source<'a>>>),
}

/// What is needed to get wheels.
pub(super) struct Getter<'a> {
    /// For which machine.
    pub(super) machine: &'a Machine,
    /// Where they are kept.
    pub(super) store: &'a Store,
    /// A folder that goes when the run ends.
    pub(super) work: &'a Path,
    /// Whether the network is left alone.
    pub(super) offline: bool,
}

impl Getter<'_> {
    /// The best wheel for each want, in any order.
    pub(super) fn find(
        &self,
        source: &Source<'_>,
        wants: &[Want],
    ) -> Result<Vec<Found>, crate::Error> {
        match source {
            Source::Pip => self.ask_pip(wants),
            Source::Folder(folder) => {
                let place = format!("`{}`", folder.display());
                let mut candidates = Vec::new();
                for (name, path) in list(folder)? {
                    if wants.iter().any(|want| want.project == name.project) {
                        candidates.push((name, path));
                    }
                }
                let mut found = Vec::new();
                for want in wants {
                    let (name, path) = self
                        .best(want, &candidates)?
                        .ok_or_else(|| self.nothing(want, place.clone()))?;
                    found.push(self.admit(path, name.clone())?);
                }
                Ok(found)
            }
            Source::Pins(pinned, other) => {
                let mut found = Vec::new();
                let mut lacking = Vec::new();
                for want in wants {
                    let fits = |one: &&Found| {
                        one.name.project == want.project
                            && specifier::contains(&want.specifiers, &one.name.version)
                    };
                    match pinned.iter().find(fits) {
                        Some(one) => found.push(one.clone()),
                        None => lacking.push(want.clone()),
                    }
                }
                match (other, lacking.first()) {
                    (_, None) => {}
                    (Some(other), _) => found.extend(self.find(other, &lacking)?),
                    (None, Some(want)) => {
                        return Err(self.nothing(want, "the lock".to_owned()).into());
                    }
                }
                Ok(found)
            }
        }
    }

    /// The wheels that a lock names: from the store, a folder, or through pip.
    pub(super) fn pinned(
        &self,
        pins: &[Pin],
        folder: Option<&Path>,
    ) -> Result<Vec<Found>, crate::Error> {
        let mut found = Vec::new();
        let mut absent = Vec::new();
        for pin in pins {
            let name = FileName::parse(&pin.file)?;
            if let Some(path) = self.store.find(&pin.sha256)? {
                found.push(self.open(path, name, pin.clone())?);
            } else if let Some(folder) = folder {
                let path = folder.join(&pin.file);
                if !path.is_file() {
                    return Err(Error::NoWheel {
                        requirement: pin.file.clone(),
                        wanted_by: "the lock".to_owned(),
                        target: self.machine.target.subdir,
                        place: format!("`{}`", folder.display()),
                    }
                    .into());
                }
                found.push(self.admit_pinned(&path, pin)?);
            } else {
                absent.push((name, pin));
            }
        }
        if absent.is_empty() {
            return Ok(found);
        }
        let mut requirements = String::new();
        for (name, pin) in &absent {
            // Writing to a String does not fail.
            let _ = writeln!(
                requirements,
                "{}=={} --hash=sha256:{}",
                name.project, name.version, pin.sha256
            );
        }
        let folder = self.download(&requirements, &["--require-hashes"])?;
        for (_, pin) in absent {
            let path = folder.path().join(&pin.file);
            if !path.is_file() {
                return Err(Error::NotDownloaded {
                    requirement: pin.file.clone(),
                }
                .into());
            }
            found.push(self.admit_pinned(&path, pin)?);
        }
        Ok(found)
    }

    fn ask_pip(&self, wants: &[Want]) -> Result<Vec<Found>, crate::Error> {
        let requirements: Vec<String> = wants.iter().map(Want::text).collect();
        let folder = self.download(&requirements.join("\n"), &[])?;
        let mut found = Vec::new();
        for (name, path) in list(folder.path())? {
            if self.machine.rank(&name).is_none() {
                return Err(self.other_machine(&name).into());
            }
            found.push(self.admit(&path, name)?);
        }
        for want in wants {
            let fits = |one: &Found| {
                one.name.project == want.project
                    && specifier::contains(&want.specifiers, &one.name.version)
            };
            if !found.iter().any(fits) {
                return Err(Error::NotDownloaded {
                    requirement: want.text(),
                }
                .into());
            }
        }
        Ok(found)
    }

    /// Runs `pip download`. Its settings (registry, proxy, certificates) are the user's.
    fn download(
        &self,
        requirements: &str,
        more: &[&str],
    ) -> Result<tempfile::TempDir, crate::Error> {
        if self.offline {
            return Err(Error::Offline {
                wheel: requirements.lines().collect::<Vec<_>>().join(", "),
            }
            .into());
        }
        let folder = tempfile::tempdir_in(self.work).map_err(local("make", self.work))?;
        let list = tempfile::NamedTempFile::new_in(self.work).map_err(local("make", self.work))?;
        fs::write(list.path(), requirements).map_err(local("write", list.path()))?;
        let mut command = program::PYTHON.command();
        command
            .args([
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-input",
                "--progress-bar",
                "off",
            ])
            .args([
                "--disable-pip-version-check",
                "--no-deps",
                "--only-binary",
                ":all:",
            ])
            .args([
                "--implementation",
                "cp",
                "--python-version",
                &self.machine.python,
            ]);
        for abi in [&*format!("cp{}", self.machine.digits()), "abi3", "none"] {
            command.args(["--abi", abi]);
        }
        for platform in &self.machine.platforms {
            command.args(["--platform", platform]);
        }
        command.args(more);
        command.arg("--dest").arg(folder.path());
        command.arg("--requirement").arg(list.path());
        program::PYTHON.run(&mut command)?;
        Ok(folder)
    }

    /// The newest version with the best tags, by pip's rules: a pre-release only where nothing else
    /// fits or a condition names one.
    fn best<'c>(
        &self,
        want: &Want,
        candidates: &'c [(FileName, PathBuf)],
    ) -> Result<Option<&'c (FileName, PathBuf)>, Error> {
        let mut fitting = Vec::new();
        for candidate in candidates {
            let (name, path) = candidate;
            let Some(rank) = self.machine.rank(name) else {
                continue;
            };
            if name.project != want.project || !specifier::contains(&want.specifiers, &name.version)
            {
                continue;
            }
            if self.is_for_this_python(path, name)? {
                fitting.push((rank, candidate));
            }
        }
        let named = want
            .specifiers
            .iter()
            .any(|one| one.version().any_prerelease());
        if !named
            && fitting
                .iter()
                .any(|(_, (name, _))| !name.version.any_prerelease())
        {
            fitting.retain(|(_, (name, _))| !name.version.any_prerelease());
        }
        let best = fitting
            .into_iter()
            .max_by(|(one_rank, (one, _)), (rank, (other, _))| {
                let versions = one.version.cmp(&other.version);
                versions
                    .then(rank.cmp(one_rank))
                    .then_with(|| one.build.cmp(&other.build))
            });
        Ok(best.map(|(_, candidate)| candidate))
    }

    fn is_for_this_python(&self, path: &Path, name: &FileName) -> Result<bool, Error> {
        let metadata = Opened::open(path, name.clone())?.metadata()?;
        let python = self.machine.python.parse().map_err(|_| Error::Python {
            version: self.machine.python.clone(),
        })?;
        Ok(specifier::contains(&metadata.requires_python, &python))
    }

    fn admit(&self, path: &Path, name: FileName) -> Result<Found, crate::Error> {
        let sha256 = store::digest(path)?;
        self.admit_as(path, name, sha256)
    }

    fn admit_as(&self, path: &Path, name: FileName, sha256: String) -> Result<Found, crate::Error> {
        let size = fs::metadata(path).map_err(local("read", path))?.len();
        let pin = Pin {
            file: name.text.clone(),
            size,
            sha256,
        };
        let path = self.store.admit(path, &pin.sha256)?;
        self.open(path, name, pin)
    }

    fn admit_pinned(&self, path: &Path, pin: &Pin) -> Result<Found, crate::Error> {
        let actual = store::digest(path)?;
        if actual != pin.sha256 {
            return Err(Error::Digest {
                wheel: pin.file.clone(),
                expected: pin.sha256.clone(),
                actual,
            }
            .into());
        }
        self.admit_as(path, FileName::parse(&pin.file)?, actual)
    }

    fn open(&self, path: PathBuf, name: FileName, pin: Pin) -> Result<Found, crate::Error> {
        if self.machine.rank(&name).is_none() {
            return Err(self.other_machine(&name).into());
        }
        let metadata = Opened::open(&path, name.clone())?.metadata()?;
        Ok(Found {
            name,
            pin,
            path,
            metadata,
        })
    }

    fn other_machine(&self, name: &FileName) -> Error {
        Error::Tags {
            wheel: name.text.clone(),
            target: self.machine.target.subdir,
            python: self.machine.python.clone(),
        }
    }

    fn nothing(&self, want: &Want, place: String) -> Error {
        Error::NoWheel {
            requirement: want.text(),
            wanted_by: want.wanted_by.clone(),
            target: self.machine.target.subdir,
            place,
        }
    }
}

/// The wheels of a folder, by file name.
fn list(folder: &Path) -> Result<Vec<(FileName, PathBuf)>, Error> {
    let mut wheels = Vec::new();
    for entry in fs::read_dir(folder).map_err(local("read", folder))? {
        let path = entry.map_err(local("read", folder))?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.extension().is_some_and(|extension| extension == "whl") {
            wheels.push((FileName::parse(&name)?, path));
        }
    }
    wheels.sort_by(|(one, _), (other, _)| one.text.cmp(&other.text));
    Ok(wheels)
}
