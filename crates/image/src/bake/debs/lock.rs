//! `NAME.debs.lock` beside the definition: what was asked for, and every Debian package with version and digest that
//! came of it, for each platform. It holds as long as the same is asked for.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use ::archive::digest::Sha256;
use conda::Subdir;
use debian::index::is_digest;
use fs_err as fs;
use installer::LockMode;
use serde::{Deserialize, Serialize};
use spec::Variant;

use super::super::platform::Job;
use super::Failure;
use super::archives::{Source, Sources};
use super::error::DebsError;
use crate::error::Error;
use crate::event::Event;

/// The only form so far.
const VERSION: u32 = 1;

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Lock {
    version: u32,
    platforms: BTreeMap<String, Locked>,
}

/// One platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Locked {
    /// What was asked for.
    pub(super) request: Request,
    /// The packages of the root, if it is made of packages, then those that are installed into it.
    pub(super) layers: Vec<Vec<LockedDeb>>,
    /// The package with compiled locales, which is not installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) locales: Option<LockedDeb>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    sources: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    root: Option<RootRequest>,
    debs: Vec<String>,
    locale: bool,
    /// The digest of what is installed in the base, if it has packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    installed: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RootRequest {
    variant: String,
    packages: Vec<String>,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LockedDeb {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) architecture: String,
    /// Whether it came because others need it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) automatic: bool,
    pub(super) url: String,
    pub(super) size: u64,
    pub(super) sha256: String,
}

impl LockedDeb {
    /// What it is called: `NAME_VERSION_ARCHITECTURE`.
    pub(super) fn title(&self) -> String {
        format!("{}_{}_{}", self.name, self.version, self.architecture)
    }
}

impl Request {
    pub(super) fn new(
        sources: &Sources,
        root: Option<(Variant, &[String])>,
        debs: &[String],
        locale: bool,
        installed: &[debian::Package],
    ) -> Request {
        let lines: Vec<String> = installed
            .iter()
            .map(|package| format!("{} {}\n", package.name, package.version))
            .collect();
        Request {
            sources: sources.all.iter().map(Source::line).collect(),
            root: root.map(|(variant, packages)| RootRequest {
                variant: match variant {
                    Variant::Minbase => "minbase".to_owned(),
                    Variant::Essential => "essential".to_owned(),
                },
                packages: packages.to_vec(),
            }),
            debs: debs.to_vec(),
            locale,
            installed: (!lines.is_empty())
                .then(|| format!("sha256:{}", Sha256::of(lines.concat().as_bytes()))),
        }
    }
}

fn path(definition: &Path) -> PathBuf {
    definition.with_extension("debs.lock")
}

/// What is locked for a platform, and the whole lock.
pub(super) fn read(definition: &Path, platform: Subdir) -> Result<(Option<Locked>, Lock), Failure> {
    let path = path(definition);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((None, Lock::default()));
        }
        Err(source) => return Err(Error::Read { path, source }.into()),
    };
    let lock: Lock = match serde_json::from_slice(&text) {
        Ok(lock) => lock,
        Err(source) => return Err(DebsError::LockText { path, source }.into()),
    };
    let sound = |locked: &Locked| {
        let debs = locked.layers.iter().flatten().chain(&locked.locales);
        let mut debs = debs.into_iter();
        debs.all(|deb| is_digest(&deb.sha256) && debian::index::is_name(&deb.name))
    };
    let locked = lock.platforms.get(platform.as_str());
    let locked = locked.filter(|locked| lock.version == VERSION && sound(locked));
    Ok((locked.cloned(), lock))
}

/// What is locked, if it is what is asked for and nobody wants it anew.
pub(super) fn fitting(
    job: &Job<'_>,
    locked: Option<Locked>,
    request: &Request,
) -> Result<Option<Locked>, Failure> {
    let mode = job.recipe.options.lock;
    let reason = match &locked {
        _ if mode == LockMode::Update => return Ok(None),
        None => "there is none",
        Some(locked) if locked.request.installed != request.installed => "the base is another one",
        Some(locked) if locked.request != *request => {
            "the definition asks for other Debian packages"
        }
        Some(_) => return Ok(locked),
    };
    if mode == LockMode::Locked {
        let error = installer::Error::Lock {
            path: path(&job.recipe.options.definition),
            platform: job.platform,
            reason: reason.to_owned(),
        };
        return Err(Error::Installer(error).into());
    }
    Ok(None)
}

/// Replaces what is locked for the platform.
pub(super) fn write(job: &Job<'_>, mut lock: Lock, locked: &Locked) -> Result<(), Failure> {
    let path = path(&job.recipe.options.definition);
    lock.version = VERSION;
    lock.platforms
        .insert(job.platform.as_str().to_owned(), locked.clone());
    let text = serde_json::to_string_pretty(&lock).map_err(|error| Error::Write {
        path: path.clone(),
        source: error.into(),
    })?;
    fetch::replace(&path, (text + "\n").as_bytes()).map_err(Error::from)?;
    (job.recipe.report)(Event::Wrote(&path));
    Ok(())
}
