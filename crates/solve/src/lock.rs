//! The lock: which records a distribution was built from, for all its platforms, in rattler's lock
//! format (`rattler_lock`, written as version 7, read from version 1 on), so that pixi and rattler
//! read ours and we read theirs. Where the text lies is the caller's business.

use std::collections::BTreeMap;

use conda::{PackageRecord, RepoDataRecord, Subdir, credentials};
use rattler_lock::{
    CondaPackageData, DEFAULT_ENVIRONMENT_NAME, LockFile, LockFileBuilder, LockedPackage,
    PlatformData, PlatformName,
};
use url::Url;

use crate::Error;
use crate::order::check_names;

mod satisfies;

/// The environment `default` of a lock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// The channels, the one with the highest priority first. Each ends in `/`.
    pub channels: Vec<Url>,
    /// The records of each platform, each after its dependencies.
    pub platforms: BTreeMap<Subdir, Vec<RepoDataRecord>>,
}

/// Reads a lock. Packages that conda cannot install (from `PyPI`, from source) are an error, and so are two
/// records of one name.
pub fn parse(text: &str) -> Result<Lock, Error> {
    let file = LockFile::from_str_with_base_directory(text, None)
        .map_err(|error| Error::LockSyntax(Box::new(error)))?;
    let environment = file.default_environment().ok_or_else(|| {
        let names: Vec<&str> = file.environments().map(|(name, _)| name).collect();
        Error::LockContent(format!(
            "has no environment `{DEFAULT_ENVIRONMENT_NAME}`, only: {}",
            names.join(", ")
        ))
    })?;
    let channels = environment
        .channels()
        .iter()
        .map(|channel| channel_url(&channel.url))
        .collect::<Result<_, _>>()?;
    let mut platforms = BTreeMap::new();
    for (platform, packages) in environment.packages_by_platform() {
        let subdir = platform.subdir();
        // Platforms may have names of their own; the one that is called like its subdir wins.
        if platforms.contains_key(&subdir) && platform.name().as_str() != subdir.as_str() {
            continue;
        }
        let records = packages.map(record).collect::<Result<Vec<_>, _>>()?;
        check_names(&records)?;
        platforms.insert(subdir, PackageRecord::sort_topologically(records));
    }
    Ok(Lock {
        channels,
        platforms,
    })
}

impl Lock {
    /// The lock as text: the same for the same records in any order. Credentials in URLs are left
    /// out.
    pub fn to_string(&self) -> Result<String, Error> {
        let content = |error: &dyn std::error::Error| Error::LockContent(error.to_string());
        let mut builder = LockFileBuilder::new();
        builder.set_channels(
            DEFAULT_ENVIRONMENT_NAME,
            self.channels
                .iter()
                .map(|url| credentials::without(url).to_string()),
        );
        for (subdir, records) in &self.platforms {
            builder = builder
                .add_platform(PlatformData {
                    name: PlatformName::from(subdir),
                    subdir: *subdir,
                    virtual_packages: Vec::new(),
                })
                .map_err(|error| content(&error))?;
            builder
                .add_environment_platform(DEFAULT_ENVIRONMENT_NAME, subdir.as_str())
                .map_err(|error| content(&error))?;
            for record in records {
                builder
                    .add_conda_package(
                        DEFAULT_ENVIRONMENT_NAME,
                        subdir.as_str(),
                        CondaPackageData::from(without_credentials(record)),
                    )
                    .map_err(|error| content(&error))?;
            }
        }
        builder.finish().render_to_string().map_err(Error::LockText)
    }
}

/// pixi writes folders as paths.
fn channel_url(text: &str) -> Result<Url, Error> {
    let slash = if text.ends_with('/') { "" } else { "/" };
    let text = format!("{text}{slash}");
    Url::parse(&text)
        .or_else(|error| {
            if text.starts_with('/') {
                Url::parse(&format!("file://{text}"))
            } else {
                Err(error)
            }
        })
        .map_err(|_| Error::LockContent(format!("names the channel `{text}`, which is no URL")))
}

fn record(package: &LockedPackage) -> Result<RepoDataRecord, Error> {
    let refuse = |what| {
        Error::LockContent(format!(
            "holds `{}`, {what}, which an installer cannot contain",
            package.name()
        ))
    };
    match package {
        LockedPackage::Conda(CondaPackageData::Binary(binary)) => {
            RepoDataRecord::try_from(binary.as_ref())
                .map_err(|error| Error::LockContent(format!("holds `{}`: {error}", package.name())))
        }
        LockedPackage::Conda(CondaPackageData::Source(_)) => Err(refuse("built from source")),
        LockedPackage::Pypi(_) => Err(refuse("a PyPI package")),
    }
}

fn without_credentials(record: &RepoDataRecord) -> RepoDataRecord {
    let mut record = record.clone();
    record.url = credentials::without(&record.url);
    record.channel = record.channel.map(|channel| match Url::parse(&channel) {
        Ok(url) => credentials::without(&url).to_string(),
        Err(_) => channel,
    });
    record
}
