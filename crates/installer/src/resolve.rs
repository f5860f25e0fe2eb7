//! From what a spec says to the exact packages of each platform: through the lock, an explicit
//! list, or the solver.

mod explicit;
mod locked;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use conda::{Channel, GenericVirtualPackage, MatchSpec, RepoDataRecord, Subdir};
use spec::{Distribution, Target};
use url::Url;

use crate::event::{Event, Stage, Warning};
use crate::{Error, Options, Report, settings};

/// What a platform's installer holds, in dependency order.
#[derive(Debug)]
pub struct Resolution {
    /// The packages, with the channels that the prefix shall know.
    pub records: Vec<RepoDataRecord>,
    /// Where each of them is fetched from.
    pub sources: Vec<Url>,
}

/// A platform of the spec while it is resolved.
struct Wanted<'a> {
    platform: Subdir,
    target: &'a Target,
    specs: Vec<MatchSpec>,
    virtual_packages: Vec<GenericVirtualPackage>,
}

/// Resolves all `targets`; where a lock is written, it holds these platforms and no other.
pub fn resolve(
    distribution: &Distribution,
    targets: &BTreeMap<Subdir, Target>,
    client: &fetch::Client,
    options: &Options,
    report: Report<'_>,
) -> Result<BTreeMap<Subdir, Resolution>, Error> {
    for target in targets.values() {
        settings::check_files(target, &options.folder())?;
    }
    report(Event::Stage(Stage::Resolve));
    let mut resolved = BTreeMap::new();
    let mut to_solve = BTreeMap::new();
    for (&platform, target) in targets {
        let wanted = Wanted::new(platform, target);
        if let Some(list) = &target.environment_file {
            let path = options.folder().join(list);
            let records = explicit::read(&path, &wanted, client, report)?;
            resolved.insert(platform, Resolution::new(records));
        } else {
            to_solve.insert(platform, wanted);
        }
    }
    if !to_solve.is_empty() {
        resolved.extend(locked::resolve(
            distribution,
            &to_solve,
            client,
            options,
            report,
        )?);
    }
    for (platform, resolution) in &mut resolved {
        let target = &targets[platform];
        remap(target, resolution, options, client)?;
    }
    Ok(resolved)
}

impl Resolution {
    fn new(records: Vec<RepoDataRecord>) -> Resolution {
        let sources = records.iter().map(|record| record.url.clone()).collect();
        Resolution { records, sources }
    }
}

impl<'a> Wanted<'a> {
    fn new(platform: Subdir, target: &'a Target) -> Wanted<'a> {
        let overrides: Vec<MatchSpec> = target
            .virtual_specs
            .iter()
            .map(|spec| spec.match_spec.clone())
            .collect();
        Wanted {
            platform,
            target,
            specs: target
                .specs
                .iter()
                .map(|spec| spec.match_spec.clone())
                .collect(),
            virtual_packages: solve::virtual_packages(platform, &overrides),
        }
    }
}

/// The channels of a target, in its order, then those that `channels_remap` takes packages from.
fn channels(target: &Target, client: &fetch::Client, folder: &Path) -> Result<Vec<Channel>, Error> {
    let remapped = target.channels_remap.iter().map(|remap| &remap.src);
    let mut channels: Vec<Channel> = Vec::new();
    for text in target.channels.iter().chain(remapped) {
        let channel = client.channel(text, folder)?;
        if !channels.contains(&channel) {
            channels.push(channel);
        }
    }
    Ok(channels)
}

/// Takes the packages of `exclude` out, and warns of names that take nothing out and of packages
/// whose dependencies are now missing.
fn exclude(
    wanted: &Wanted<'_>,
    records: Vec<RepoDataRecord>,
    report: Report<'_>,
) -> Result<Vec<RepoDataRecord>, solve::Error> {
    let excluded = &wanted.target.exclude;
    for name in excluded {
        if !records
            .iter()
            .any(|record| record.package_record.name == *name)
        {
            let name = name.as_normalized();
            report(Event::Warning(Warning::ExcludedNothing { name }));
        }
    }
    let kept = records
        .into_iter()
        .filter(|record| !excluded.contains(&record.package_record.name))
        .collect();
    let (records, missing) = solve::order(kept, &wanted.virtual_packages)?;
    for missing in missing {
        let (package, dependency) = (&missing.package, &missing.dependency);
        report(Event::Warning(Warning::MissingDependency {
            package,
            dependency,
        }));
    }
    Ok(records)
}

/// Gives records the channel that the prefix shall know (`channels_remap`).
fn remap(
    target: &Target,
    resolution: &mut Resolution,
    options: &Options,
    client: &fetch::Client,
) -> Result<(), Error> {
    for remap in &target.channels_remap {
        let source = client
            .channel(&remap.src, &options.folder())?
            .base_url
            .url()
            .clone();
        let destination = client
            .channel(&remap.dest, &options.folder())?
            .base_url
            .url()
            .clone();
        for record in &mut resolution.records {
            let Some(rest) = below(record.url.as_str(), source.as_str()) else {
                continue;
            };
            if let Ok(url) = destination.join(rest) {
                record.url = url;
                record.channel = Some(destination.to_string());
            }
        }
    }
    Ok(())
}

/// What follows `base` in `url`; http and https are the same, as in constructor.
fn below<'a>(url: &'a str, base: &str) -> Option<&'a str> {
    let bare = |text: &'a str| {
        text.strip_prefix("http://")
            .or(text.strip_prefix("https://"))
            .unwrap_or(text)
    };
    let base = base
        .strip_prefix("http://")
        .or(base.strip_prefix("https://"))
        .unwrap_or(base);
    bare(url)
        .strip_prefix(base.trim_end_matches('/'))?
        .strip_prefix('/')
}

/// The lock that belongs to a spec: `archiconda3.toml` has `archiconda3.lock`.
pub(crate) fn lock_path(options: &Options) -> PathBuf {
    let beside = || options.spec.with_extension("lock");
    options.lock_file.clone().unwrap_or_else(beside)
}
