//! The whole path, from a parsed spec to installers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rayon::prelude::*;
use serde::Serialize;

use archive::digest::Sha256;
use conda::{RepoDataRecord, Subdir};
use spec::{Compression, Distribution, Target};
use url::Url;

use crate::cache::Cache;
use crate::event::{Event, Stage, Warning};
use crate::frames::Frames;
use crate::pack;
use crate::plan::{self, Input, Planned};
use crate::resolve::{self, Resolution};
use crate::scan::{self, Mode, Request, Scan};
use crate::{Error, Report, header, outputs, runtimes, settings, solid};

/// How the lock is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LockMode {
    /// Used while it fits the spec, else made anew.
    #[default]
    Auto,
    /// It must be there and fit.
    Locked,
    /// Made anew.
    Update,
}

/// What the user of the builder decides.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The spec's file: relative paths in it start in its folder, the lock lies beside it.
    pub spec: PathBuf,
    /// Where installers are written.
    pub output_dir: PathBuf,
    /// Where downloads and scans are kept.
    pub cache_dir: PathBuf,
    /// Platforms to build for, instead of the spec's.
    pub platforms: Vec<Subdir>,
    /// Folders with runtimes, the first one first.
    pub runtimes: Vec<PathBuf>,
    /// The lock, if not the one beside the spec.
    pub lock_file: Option<PathBuf>,
    /// How the lock is used.
    pub lock: LockMode,
    /// Records that a new solution keeps where it can.
    pub favoured: BTreeMap<Subdir, Vec<RepoDataRecord>>,
    /// Resolve, and write nothing.
    pub dry_run: bool,
    /// Threads that read packages; 0 is one for each processor.
    pub threads: usize,
    /// Modification time of `extra_files`, in seconds since the epoch.
    pub source_date_epoch: Option<i64>,
}

/// A finished installer, or with `dry_run` what would be in one.
#[derive(Debug, Serialize)]
pub struct Built {
    /// The platform.
    pub platform: Subdir,
    /// The installer; none with `dry_run`.
    pub file: Option<PathBuf>,
    /// Its length in bytes.
    pub size: Option<u64>,
    /// Its digest.
    pub sha256: Option<Sha256>,
    /// File names of its packages, in dependency order.
    pub packages: Vec<String>,
    /// Number of files, links and directories in the prefix.
    pub files: Option<u64>,
    /// Seconds that each stage took.
    pub seconds: BTreeMap<Stage, f64>,
}

impl Options {
    /// The spec's folder.
    pub(crate) fn folder(&self) -> PathBuf {
        match self.spec.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        }
    }
}

/// Builds an installer for each platform.
pub fn build(
    distribution: &Distribution,
    client: &fetch::Client,
    options: &Options,
    report: Report<'_>,
) -> Result<Vec<Built>, Error> {
    client.healing(
        || attempt(distribution, client, options, report),
        Error::is_integrity,
        |path| report(Event::Warning(Warning::Refetched { path })),
    )
}

fn attempt(
    distribution: &Distribution,
    client: &fetch::Client,
    options: &Options,
    report: Report<'_>,
) -> Result<Vec<Built>, Error> {
    let wanted = if options.platforms.is_empty() {
        &distribution.platforms
    } else {
        &options.platforms
    };
    for &platform in wanted {
        runtimes::names(platform)?;
        if !options.dry_run {
            // Said before anything is downloaded.
            runtimes::read(platform, &options.runtimes)?;
        }
    }
    for &platform in wanted {
        let target = distribution.target(platform);
        if target.specs.is_empty() && target.environment_file.is_none() {
            let problem = format!("neither `specs` nor `environment_file` is set for {platform}");
            return Err(Error::Spec {
                key: "specs",
                problem,
            });
        }
    }
    check_names(distribution, wanted)?;
    // One lock holds all platforms of the spec, whichever are built today.
    let mut targets: BTreeMap<Subdir, Target> = BTreeMap::new();
    for &platform in distribution.platforms.iter().chain(wanted) {
        targets.insert(platform, distribution.target(platform));
    }
    targets
        .retain(|platform, target| wanted.contains(platform) || target.environment_file.is_none());
    let start = Instant::now();
    let mut resolved = resolve::resolve(distribution, &targets, client, options, report)?;
    let resolving = start.elapsed().as_secs_f64();

    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build()
        .map_err(|error| Error::Spec {
            key: "threads",
            problem: error.to_string(),
        })?;
    let mut built = Vec::new();
    for &platform in wanted {
        let (Some(target), Some(resolution)) = (targets.get(&platform), resolved.remove(&platform))
        else {
            continue;
        };
        let job = Job {
            distribution,
            target,
            client,
            options,
            report,
            is_one_of_many: wanted.len() > 1,
        };
        let mut one = if options.dry_run {
            job.dry(&resolution)
        } else {
            pool.install(|| job.build(resolution))?
        };
        one.seconds.insert(Stage::Resolve, resolving);
        built.push(one);
    }
    Ok(built)
}

/// No installer takes the place of that for another platform.
fn check_names(distribution: &Distribution, wanted: &[Subdir]) -> Result<(), Error> {
    let mut names: BTreeMap<String, Subdir> = BTreeMap::new();
    for &platform in wanted {
        let Some(name) = distribution.target(platform).installer_filename else {
            continue;
        };
        let other = names.insert(name.clone(), platform);
        if let Some(other) = other.filter(|other| *other != platform) {
            let problem = format!(
                "the installers for {other} and {platform} would both be `{name}`: say it in `[target.PLATFORM]`, or build one at a time with `--platform`"
            );
            return Err(Error::Spec {
                key: "installer_filename",
                problem,
            });
        }
    }
    Ok(())
}

/// What a platform's prefix is made of, read and planned: what is left to do is to write it, into an
/// installer or elsewhere.
#[derive(Debug)]
pub struct Prepared {
    /// The packages, in dependency order, with the digests of their files.
    pub records: Vec<RepoDataRecord>,
    /// Their files; none where the packages come out of a finished installer.
    pub packages: Vec<fetch::Package>,
    /// The plan.
    pub planned: Planned,
    /// Where the frames lie that the plan names.
    pub frames: Frames,
}

/// Fetches, reads and plans what [`crate::resolve`] found for one platform.
pub fn prepare(
    distribution: &Distribution,
    target: &Target,
    resolution: Resolution,
    client: &fetch::Client,
    options: &Options,
    report: Report<'_>,
) -> Result<Prepared, Error> {
    let job = Job {
        distribution,
        target,
        client,
        options,
        report,
        is_one_of_many: false,
    };
    job.prepare(resolution, &mut Clock::new())
}

/// One platform's build.
struct Job<'a> {
    distribution: &'a Distribution,
    target: &'a Target,
    client: &'a fetch::Client,
    options: &'a Options,
    report: Report<'a>,
    /// Whether other platforms are built, too.
    is_one_of_many: bool,
}

impl Job<'_> {
    fn dry(&self, resolution: &Resolution) -> Built {
        Built {
            platform: self.target.platform,
            file: None,
            size: None,
            sha256: None,
            packages: file_names(&resolution.records),
            files: None,
            seconds: BTreeMap::new(),
        }
    }

    fn prepare(&self, resolution: Resolution, clock: &mut Clock) -> Result<Prepared, Error> {
        let Resolution {
            mut records,
            sources,
        } = resolution;
        (self.report)(Event::Stage(Stage::Fetch));
        let packages = self.fetch(&records, &sources)?;
        for (record, package) in records.iter_mut().zip(&packages) {
            record.package_record.sha256 = Some(package.sha256.into());
            record.package_record.md5 = Some(package.md5.into());
            record.package_record.size = Some(package.size);
        }
        clock.lap(Stage::Fetch);

        (self.report)(Event::Stage(Stage::Scan));
        let cache = Cache::new(&self.options.cache_dir.join("plans"));
        let scans = self.scan(&records, &packages, &cache)?;
        clock.lap(Stage::Scan);
        let (planned, frames) = self.plan(&records, &packages, &scans, &cache)?;
        Ok(Prepared {
            records,
            packages,
            planned,
            frames,
        })
    }

    fn build(&self, resolution: Resolution) -> Result<Built, Error> {
        let platform = self.target.platform;
        let names = runtimes::names(platform)?;
        let runtime = runtimes::read(platform, &self.options.runtimes)?;
        let mut clock = Clock::new();
        let Prepared {
            records,
            packages,
            planned,
            frames,
        } = self.prepare(resolution, &mut clock)?;

        (self.report)(Event::Stage(Stage::Pack));
        let files = planned
            .plan
            .packages
            .iter()
            .map(|package| package.entries)
            .sum::<u64>()
            + planned.plan.extra.len() as u64;
        let path = self.output_path(names.file);
        let header = header::render(&header::Fields {
            name: &self.distribution.name,
            version: &self.distribution.version,
            platform: &platform.to_string(),
            machines: names.machines,
            default_prefix: &planned.plan.prefix.default,
            runtime: &runtime,
        })
        .map_err(|source| Error::Header { source })?;
        let packed = pack::pack(&path, &header, &runtime, &frames, planned, self.report)?;
        (self.report)(Event::Wrote(&path));
        let subject = outputs::Subject {
            distribution: self.distribution,
            target: self.target,
            installer: &path,
            packed: &packed,
            records: &records,
            packages: &packages,
            is_one_of_many: self.is_one_of_many,
        };
        outputs::write(&subject, self.report)?;
        clock.lap(Stage::Pack);
        Ok(Built {
            platform,
            file: Some(path),
            size: Some(packed.size),
            sha256: Some(packed.sha256),
            packages: file_names(&records),
            files: Some(files),
            seconds: clock.seconds,
        })
    }

    fn fetch(
        &self,
        records: &[RepoDataRecord],
        sources: &[Url],
    ) -> Result<Vec<fetch::Package>, Error> {
        let wanted: Vec<fetch::Wanted> = records
            .iter()
            .zip(sources)
            .map(|(record, source)| fetch::Wanted {
                url: source.clone(),
                file_name: record.identifier.to_file_name(),
                sha256: record.package_record.sha256.map(Into::into),
                md5: record.package_record.md5.map(Into::into),
                size: record.package_record.size,
            })
            .collect();
        Ok(self
            .client
            .packages(&wanted, &|event| (self.report)(Event::Fetch(event)))?)
    }

    /// Scans all packages; then again those that would make the tail of an installation.
    fn scan(
        &self,
        records: &[RepoDataRecord],
        packages: &[fetch::Package],
        cache: &Cache,
    ) -> Result<Vec<Scan>, Error> {
        (self.report)(Event::Scanning {
            packages: records.len(),
        });
        let names = file_names(records);
        let request = |position: usize, mode| Request {
            package: &names[position],
            path: &packages[position].path,
            sha256: Sha256(packages[position].sha256),
            mode,
        };
        let all = 0..records.len();
        let one = |position| {
            let (scan, cached) = scan::scan(&request(position, Mode::Take), cache)?;
            (self.report)(Event::Scanned {
                package: &names[position],
                cached,
            });
            Ok(scan)
        };
        let mut scans: Vec<Scan> = all
            .clone()
            .into_par_iter()
            .map(one)
            .collect::<Result<_, Error>>()?;
        for (scan, name) in scans.iter().zip(&names) {
            for file in &scan.mismatches {
                (self.report)(Event::Warning(Warning::Mismatch {
                    package: name,
                    file,
                }));
            }
        }
        if self.target.compression == Compression::Solid {
            let requests: Vec<_> = all.map(|position| request(position, Mode::Take)).collect();
            solid::solidify(&requests, &mut scans, cache)?;
            return Ok(scans);
        }
        let total: u64 = scans.iter().map(Scan::content_size).sum();
        scans
            .par_iter_mut()
            .enumerate()
            .try_for_each(|(position, scan)| {
                if makes_a_tail(scan, total) {
                    *scan = scan::scan(&request(position, Mode::Split), cache)?.0;
                }
                Ok::<_, Error>(())
            })?;
        Ok(scans)
    }

    fn plan(
        &self,
        records: &[RepoDataRecord],
        packages: &[fetch::Package],
        scans: &[Scan],
        cache: &Cache,
    ) -> Result<(Planned, Frames), Error> {
        let (mut settings, extra_parts) =
            settings::read(self.distribution, self.target, records, self.options, cache)?;
        let mut frames = Frames::default();
        let numbers: Vec<Vec<usize>> = scans
            .iter()
            .zip(packages)
            .map(|(scan, package)| frames.add(&scan.parts, &package.path, cache))
            .collect();
        let extra_numbers = frames.add(&extra_parts, Path::new(""), cache);
        for extra in &mut settings.extra {
            extra.bytes.part = extra_numbers
                .get(extra.bytes.part)
                .copied()
                .unwrap_or(usize::MAX);
        }
        let inputs: Vec<Input<'_>> = records
            .iter()
            .zip(scans)
            .zip(&numbers)
            .map(|((record, scan), frames)| Input {
                record,
                scan,
                frames,
            })
            .collect();
        let planned = plan::plan(&settings, &inputs, &frames.sizes())
            .map_err(|source| Error::Plan { source })?;
        self.tell(&planned)?;
        Ok((planned, frames))
    }

    /// Names the paths that several packages have.
    fn tell(&self, planned: &Planned) -> Result<(), Error> {
        match planned.clobbers.first() {
            Some(first) if !self.target.ignore_duplicate_files => Err(Error::Clobber {
                path: first.path.clone(),
                winner: first.winner.clone(),
                loser: first.loser.clone(),
                count: planned.clobbers.len(),
            }),
            _ => {
                for clobber in &planned.clobbers {
                    (self.report)(Event::Warning(Warning::Clobber(clobber)));
                }
                Ok(())
            }
        }
    }

    fn output_path(&self, platform: &str) -> PathBuf {
        let Distribution { name, version, .. } = self.distribution;
        let default = || format!("{name}-{version}-{platform}.sh");
        let file = self
            .target
            .installer_filename
            .clone()
            .unwrap_or_else(default);
        self.options.output_dir.join(file)
    }
}

/// Seconds by stage.
struct Clock {
    last: Instant,
    seconds: BTreeMap<Stage, f64>,
}

impl Clock {
    fn new() -> Clock {
        Clock {
            last: Instant::now(),
            seconds: BTreeMap::new(),
        }
    }

    fn lap(&mut self, stage: Stage) {
        let now = Instant::now();
        self.seconds
            .insert(stage, now.duration_since(self.last).as_secs_f64());
        self.last = now;
    }
}

/// A stream is decoded by one thread from its start to its end: a long one with a large share of all
/// bytes would still be decoded when the other threads are done. Below this length (decoded bytes)
/// they wait for half a second at most, though the long ones are begun first, and compressing it
/// again takes a hundred times as long as they would.
const SHORT_TAIL: u64 = 256 << 20;

fn makes_a_tail(scan: &Scan, total: u64) -> bool {
    let largest = scan
        .parts
        .iter()
        .filter(|part| !part.info)
        .map(|part| part.size)
        .max();
    largest.is_some_and(|size| size > SHORT_TAIL && size > total / 4)
}

fn file_names(records: &[RepoDataRecord]) -> Vec<String> {
    records
        .iter()
        .map(|record| record.identifier.to_file_name())
        .collect()
}
