//! The lock beside the spec: used while it fits, written when it is missing or `--update` is
//! given, required with `--locked`.

use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;

use conda::{Channel, MatchSpec, Subdir, credentials};
use solve::lock::Lock;
use spec::Distribution;
use url::Url;

use super::{Resolution, Wanted, channels, exclude, lock_path};
use crate::event::Event;
use crate::{Error, LockMode, Options, Report};

/// Resolves all of `wanted` together, so that one lock holds them.
pub(super) fn resolve(
    distribution: &Distribution,
    wanted: &BTreeMap<Subdir, Wanted<'_>>,
    client: &fetch::Client,
    options: &Options,
    report: Report<'_>,
) -> Result<BTreeMap<Subdir, Resolution>, Error> {
    let path = lock_path(options);
    let old = match read(&path) {
        // It is made anew, whatever it was.
        Err(Error::DamagedLock { .. }) if options.lock == LockMode::Update => None,
        old => old?,
    };
    let mut new = Lock {
        channels: Vec::new(),
        platforms: BTreeMap::new(),
    };
    let mut channels_of = BTreeMap::new();
    for (&platform, wanted) in wanted {
        let channels = channels(wanted.target, client, &options.folder())?;
        for channel in &channels {
            let url = credentials::without(channel.base_url.url());
            if !new.channels.contains(&url) {
                new.channels.push(url);
            }
        }
        channels_of.insert(platform, channels);
    }
    let mut resolved = BTreeMap::new();
    let mut solved = false;
    for (&platform, wanted) in wanted {
        let unfit = match &old {
            None => Some("there is none".to_owned()),
            Some(_) if options.lock == LockMode::Update => {
                Some("an update is asked for".to_owned())
            }
            Some(lock) => fit(lock, wanted, &new.channels).err(),
        };
        let records = match (unfit, &old) {
            (None, Some(lock)) => lock.platforms.get(&platform).cloned().unwrap_or_default(),
            (Some(reason), _) if options.lock == LockMode::Locked => {
                return Err(Error::Lock {
                    path,
                    platform,
                    reason,
                });
            }
            _ => {
                solved = true;
                let channels = channels_of.remove(&platform).unwrap_or_default();
                let failed = |source| unsolved(distribution, platform, source);
                let records = solve(distribution, wanted, &channels, client, options, report)?;
                exclude(wanted, records, report).map_err(failed)?
            }
        };
        new.platforms.insert(platform, records.clone());
        resolved.insert(platform, Resolution::new(records));
    }
    if solved {
        let listed = |source| Error::List {
            path: path.clone(),
            source,
        };
        let text = new.to_string().map_err(listed)?;
        // A lock keeps less than repodata says and adds what follows from a platform: the build
        // that writes it must give the same bytes as those that read it.
        for (platform, records) in solve::lock::parse(&text).map_err(listed)?.platforms {
            resolved.insert(platform, Resolution::new(records));
        }
        if !options.dry_run {
            fetch::replace(&path, text.as_bytes())?;
            report(Event::Wrote(&path));
        }
    }
    Ok(resolved)
}

fn read(path: &Path) -> Result<Option<Lock>, Error> {
    match fs::read(path) {
        Ok(bytes) => solve::lock::parse(&String::from_utf8_lossy(&bytes))
            .map(Some)
            .map_err(|source| Error::DamagedLock {
                path: path.to_owned(),
                source,
            }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

fn fit(lock: &Lock, wanted: &Wanted<'_>, channels: &[Url]) -> Result<(), String> {
    let virtual_specs = wanted
        .target
        .virtual_specs
        .iter()
        .map(|spec| &spec.match_spec);
    let specs: Vec<MatchSpec> = wanted.specs.iter().chain(virtual_specs).cloned().collect();
    lock.satisfies(wanted.platform, &specs, channels, &wanted.target.exclude)
}

fn solve(
    distribution: &Distribution,
    wanted: &Wanted<'_>,
    channels: &[Channel],
    client: &fetch::Client,
    options: &Options,
    report: Report<'_>,
) -> Result<Vec<conda::RepoDataRecord>, Error> {
    let platforms = [wanted.platform, Subdir::NoArch];
    // A higher channel whose records do not fit still keeps the lower ones out.
    let whole: Vec<MatchSpec> = wanted.specs.iter().map(of_any_version).collect();
    let records = client.records(channels, &platforms, &whole, &|event| {
        report(Event::Fetch(event));
    })?;
    solve::solve(&solve::Request {
        records: &records,
        specs: wanted.specs.clone(),
        virtual_packages: wanted.virtual_packages.clone(),
        locked: options
            .favoured
            .get(&wanted.platform)
            .cloned()
            .unwrap_or_default(),
        mix_channels: false,
    })
    .map_err(|source| unsolved(distribution, wanted.platform, source))
}

/// The same name without its conditions, so that all its records are had.
fn of_any_version(spec: &MatchSpec) -> MatchSpec {
    if spec.url.is_some() {
        return spec.clone();
    }
    MatchSpec {
        name: spec.name.clone(),
        extras: spec.extras.clone(),
        ..MatchSpec::default()
    }
}

fn unsolved(distribution: &Distribution, platform: Subdir, source: solve::Error) -> Error {
    Error::Solve {
        name: distribution.name.clone(),
        platform,
        source,
    }
}
