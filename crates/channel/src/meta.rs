//! A meta-channel: several channels merged into one and cut to what its users can need. [`build`] reads the
//! definition's channels (`upstream`), follows the roots through match specs to a fixed point (`candidate`,
//! `closure`), proves with the solver that nothing was lost (`proof`), and has the indexer write what stays as a
//! whole channel (`output`, `given`). Records pass through as the text that they are; what the definition may say is
//! `spec`'s business, serving the channel is others'.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use conda::{Subdir, credentials};
use fetch::Client;
use spec::{Keep, MetaChannel, Mirror, Newer};

use crate::base_url::BaseUrl;
use crate::index;
use crate::publish;
use candidate::{Id, Pool};
use closure::Closure;
use lock::Locked;
use rules::Rules;
use spec_table::SpecId;
use upstream::{Loader, Source, Upstream};

mod by_id;
mod candidate;
mod closure;
mod error;
mod fields;
mod files;
mod given;
mod lock;
mod mirror;
mod output;
mod page;
mod proof;
mod record;
mod relations;
mod rules;
mod spec_table;
#[cfg(test)]
mod tests;
mod upstream;
mod why;

pub use error::Error;
pub use mirror::{Plan, place};
pub use proof::{Outcome, Proof};
pub use rules::Cut;
pub use why::{Answer, Told, why};

/// What is wrong with something, for the chain of causes.
pub(crate) type Reason = Box<dyn std::error::Error + Send + Sync>;

/// How a meta-channel is built.
#[derive(Debug, Clone)]
pub struct Options {
    /// What paths in the definition are relative to.
    pub base: PathBuf,
    /// The lock's file.
    pub lock: PathBuf,
    /// The folder that the channel is written into, under its name.
    pub output: PathBuf,
    /// The platforms that are built, if not all of the definition.
    pub platforms: Vec<Subdir>,
    /// Whether the channels must be what the lock says.
    pub locked: bool,
    /// Whether roots and sets are solved on both sides.
    pub proof: bool,
    /// Whether nothing is written or mirrored.
    pub plan: bool,
    /// Whether a server of ours stands before the channel, so that packages can be asked for there wherever they
    /// come from.
    pub served: bool,
    /// The time of the build, in milliseconds since 1970, for `exclude_newer` as an age.
    pub now_ms: i64,
    /// How the channel is written; base URL, stage and platforms are the compiler's.
    pub index: index::Options,
}

/// What happens while a meta-channel is built.
#[derive(Debug)]
pub enum Event<'a> {
    /// A platform's folder of a channel is read.
    Loading {
        /// What the definition calls the channel.
        channel: &'a str,
        /// The folder.
        subdir: &'a str,
    },
    /// Something is fetched.
    Fetch(fetch::Event<'a>),
    /// It is known what stays on a platform.
    Compiled {
        /// The platform.
        platform: &'a str,
        /// How many packages stay, those of noarch too.
        packages: usize,
    },
    /// Roots or a set were solved on both sides.
    Proved(&'a Proof),
    /// Something that the user should know.
    Warning(String),
    /// The channel is written.
    Index(index::Event<'a>),
}

/// What a build came to.
#[derive(Debug)]
pub struct Report {
    /// The channel's folder.
    pub channel: PathBuf,
    /// The platforms' folders, sorted by name.
    pub subdirs: Vec<Subfolder>,
    /// What was solved.
    pub proofs: Vec<Proof>,
    /// How many proofs came to something that is not allowed.
    pub failures: usize,
    /// What is mirrored.
    pub plan: Plan,
    /// Whether any file was written.
    pub changed: bool,
}

/// What one platform's folder came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subfolder {
    /// The folder's name.
    pub name: String,
    /// How many packages stay.
    pub packages: usize,
    /// How many names stay.
    pub names: usize,
    /// How many packages the channels have, where all of their records were read.
    pub upstream_packages: Option<usize>,
    /// How many names the channels have, the same name in two of them twice.
    pub upstream_names: usize,
}

/// What stays on one platform, and all that was looked at for it.
struct Compiled<'t> {
    platform: Subdir,
    pool: Pool<'t>,
    closure: Closure,
    roots: Vec<SpecId>,
}

type ReportTo<'a> = &'a (dyn Fn(Event<'_>) + Sync);

/// Builds a meta-channel. A difference between the solutions on both sides is in the report, and is no error.
pub fn build(
    definition: &MetaChannel,
    client: &Client,
    options: &Options,
    report: ReportTo<'_>,
) -> Result<Report, Error> {
    let (upstream, rules) = load(definition, client, options, None, report)?;
    let mut compiled = compile(definition, &upstream, &rules, options, report)?;
    let proofs = if options.proof {
        prove(definition, &upstream, &mut compiled, report)?
    } else {
        Vec::new()
    };
    let failures = proofs.iter().filter(|(_, is_allowed)| !is_allowed).count();
    let kept = output::kept(&compiled, &upstream, report);
    let folder = options.output.join(&definition.name);
    let plan = Plan::new(&kept, &upstream, definition.mirror, &folder);
    let mut result = Report {
        subdirs: kept
            .iter()
            .map(|(subdir, rows)| output::subfolder(subdir, rows, &upstream))
            .collect(),
        channel: folder.clone(),
        proofs: proofs.into_iter().map(|(proof, _)| proof).collect(),
        failures,
        plan,
        changed: false,
    };
    if options.plan {
        return Ok(result);
    }
    let base_url = match definition.mirror {
        Mirror::None => BaseUrl::Platforms(output::base_urls(&kept, &upstream, options.served)?),
        Mirror::OnDemand | Mirror::Full => BaseUrl::Here,
    };
    match definition.mirror {
        Mirror::None => {}
        Mirror::Full => result.plan.fetch(client, &folder, report)?,
        // Whoever asks for them gets them anew.
        Mirror::OnDemand => {
            for path in mirror::replaced(&kept, &upstream, &folder) {
                mirror::remove(&path)?;
            }
        }
    }
    let about = output::about(&kept, &upstream, client, options, report)?;
    output::origins(&kept, &upstream, definition.mirror, &folder)?;
    result.changed = output::write(&kept, &upstream, about, base_url, &folder, options, report)?;
    page::write(
        definition,
        &upstream,
        &compiled,
        &result.subdirs,
        (&folder, result.changed),
        options,
    )?;
    if definition.mirror == Mirror::Full {
        mirror::withdraw(
            &folder,
            &kept,
            &upstream,
            options.index.grace,
            options.now_ms,
        )?;
    }
    if !options.locked {
        let newest = newest_ms(definition, options, None);
        Locked::new(&upstream.revisions, newest).write(&options.lock)?;
    }
    Ok(result)
}

/// Reads the channels, and the files that the definition names. Of a name `besides` all packages are read, too.
fn load(
    definition: &MetaChannel,
    client: &Client,
    options: &Options,
    besides: Option<&str>,
    report: ReportTo<'_>,
) -> Result<(Upstream, Rules), Error> {
    let locked = if options.locked {
        let locked = Locked::read(&options.lock)?;
        Some(locked.ok_or_else(|| Error::NoLock {
            path: options.lock.clone(),
        })?)
    } else {
        None
    };
    let channels = definition.channels.iter().map(|text| {
        let channel = client.channel(text, &options.base)?;
        Ok(Source {
            text: credentials::redact_text(text),
            url: channel.base_url.url().clone().into(),
        })
    });
    let channels = channels.collect::<Result<Vec<_>, fetch::Error>>()?;
    let platforms = platforms(definition, options)?;
    let roots = |platform: Subdir| {
        let asked = proof::questions(definition, platform);
        let names = asked.iter().flatten().filter_map(|spec| spec.name());
        let names = names.map(conda::PackageName::as_normalized);
        let names: BTreeSet<_> = names.chain(besides).map(str::to_owned).collect();
        names.into_iter().collect()
    };
    let loader = Loader {
        client,
        report,
        locked: locked.as_ref(),
        run_exports: definition.run_exports,
    };
    let asked: Vec<_> = platforms
        .iter()
        .map(|platform| (*platform, roots(*platform)))
        .collect();
    let upstream = loader.load(&channels, &asked)?;
    let rules = Rules::new(
        definition,
        &files::pins(definition, &options.base)?,
        files::blacklist(definition, &options.base)?,
        newest_ms(definition, options, locked.as_ref()),
    );
    Ok((upstream, rules))
}

fn platforms(definition: &MetaChannel, options: &Options) -> Result<Vec<Subdir>, Error> {
    if options.platforms.is_empty() {
        return Ok(definition.platforms.clone());
    }
    let wrong = options
        .platforms
        .iter()
        .find(|platform| !definition.platforms.contains(platform));
    match wrong {
        None => Ok(options.platforms.clone()),
        Some(platform) => Err(Error::Platform {
            platform: platform.to_string(),
            known: definition
                .platforms
                .iter()
                .map(ToString::to_string)
                .collect(),
        }),
    }
}

/// The instant that `exclude_newer` means: the lock's, where there is one.
fn newest_ms(definition: &MetaChannel, options: &Options, locked: Option<&Locked>) -> Option<i64> {
    let own = definition.exclude_newer.map(|newer| match newer {
        Newer::Than(instant) => instant,
        Newer::ThanAgo(age) => options.now_ms.saturating_sub(age),
    });
    own.map(|own| locked.and_then(|locked| locked.newest_ms).unwrap_or(own))
}

/// Finds what stays, for each platform.
fn compile<'t>(
    definition: &MetaChannel,
    upstream: &'t Upstream,
    rules: &Rules,
    options: &Options,
    report: ReportTo<'_>,
) -> Result<Vec<Compiled<'t>>, Error> {
    let mut compiled = Vec::new();
    for platform in platforms(definition, options)? {
        let exports = definition.run_exports;
        let mut pool = Pool::new(upstream, platform, definition.priority, exports);
        let asked = proof::questions(definition, platform);
        let mut roots: Vec<SpecId> = Vec::new();
        for spec in asked.iter().flatten() {
            let id = pool.specs.intern(&spec.raw);
            if !roots.contains(&id) {
                roots.push(id);
            }
        }
        let closure = Closure::new(
            &mut pool,
            rules,
            &roots,
            definition.keep,
            !definition.no_deps,
            definition.cuts() && !definition.no_deps,
        );
        upstream.check()?;
        for root in &roots {
            let spec = pool.specs.get(*root);
            let slot = pool.known_slot(&spec.name).unwrap_or_default();
            let is_there = |id: Id| closure.kept().contains(id);
            if !spec.is_virtual()
                && pool
                    .select(spec, slot, Keep::default(), &is_there)
                    .is_empty()
            {
                report(Event::Warning(format!(
                    "nothing that can be installed on {platform} is what `{}` asks for; \
                     `archiconda channel why` tells what becomes of each package",
                    spec.text
                )));
            }
        }
        report(Event::Compiled {
            platform: platform.as_str(),
            packages: closure.kept().len(),
        });
        compiled.push(Compiled {
            platform,
            pool,
            closure,
            roots,
        });
    }
    let known: HashSet<&str> = compiled.iter().flat_map(|one| one.pool.names()).collect();
    for (key, name) in rules::names(definition) {
        let name = name.to_lowercase();
        if !known.contains(name.as_str()) {
            report(Event::Warning(format!(
                "`{key}` names `{name}`, and the roots lead to no package that is called so"
            )));
        }
    }
    Ok(compiled)
}

/// Solves roots and sets on both sides; with each, whether what it came to is allowed. Where `keep` has cut
/// what a solution needs, the solution's packages are added.
fn prove(
    definition: &MetaChannel,
    upstream: &Upstream,
    compiled: &mut [Compiled<'_>],
    report: ReportTo<'_>,
) -> Result<Vec<(Proof, bool)>, Error> {
    let mut proofs = Vec::new();
    for one in compiled {
        let platform = one.platform;
        let sides = proof::Sides::new(definition, platform, upstream);
        let questions = proof::questions(definition, platform);
        if definition.keep != Keep::default() && !definition.no_deps {
            let all = one.pool.ids().filter(|id| one.closure.is_alive(*id));
            let everything = proof::part(&one.pool, all);
            let mut needed = BTreeSet::new();
            for specs in &questions {
                needed.extend(sides.on_part(&everything, specs)?.into_iter().flatten());
            }
            one.closure.add_solutions(proof::places(&one.pool, &needed));
        }
        let part = proof::part(&one.pool, one.closure.kept().ids());
        for specs in questions {
            let (whole, part) =
                rayon::join(|| sides.on_whole(&specs), || sides.on_part(&part, &specs));
            let outcome = proof::compare(whole?, part?);
            let is_allowed = match &outcome {
                Outcome::Same(_) => true,
                Outcome::None(_) => proof::is_hoped_for(definition, platform, &specs),
                Outcome::Different(..) => definition.cuts(),
                Outcome::Lost(_) => definition.no_deps,
                Outcome::Gained => false,
            };
            let proof = Proof {
                platform: platform.to_string(),
                specs: specs.iter().map(|spec| spec.raw.clone()).collect(),
                outcome,
            };
            report(Event::Proved(&proof));
            proofs.push((proof, is_allowed));
        }
    }
    Ok(proofs)
}

/// The same as [`publish::write_file`], with the error that names the file.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    publish::write_file(path, bytes).map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}
