//! One solve: records of the channels in, the records to install out. Which records are offered
//! is the caller's choice; virtual packages come from [`crate::virtual_packages`].

use std::borrow::Borrow;
use std::sync::Arc;

use conda::{Channel, GenericVirtualPackage, MatchSpec, PackageRecord, RepoDataRecord};
use rattler_solve::{ChannelPriority, SolveError, SolverImpl as _, SolverTask, resolvo};
use url::Url;

use crate::Error;
use crate::order::check_names;

/// What is to be solved.
#[derive(Debug, Clone)]
pub struct Request<'a, R = RepoDataRecord> {
    /// The records of each channel, or references to them, the channel with the highest priority first.
    pub records: &'a [Vec<R>],
    /// What the distribution asks for. A spec may name a channel (`channel::name`).
    pub specs: Vec<MatchSpec>,
    /// What the target machine provides.
    pub virtual_packages: Vec<GenericVirtualPackage>,
    /// Records that are kept where the specs allow it.
    pub locked: Vec<RepoDataRecord>,
    /// Let a lower channel offer names that a higher one has too; otherwise the highest channel
    /// that has a name is the only one for it (conda's `channel_priority: strict`).
    pub mix_channels: bool,
}

impl<R> Default for Request<'_, R> {
    fn default() -> Self {
        Self {
            records: &[],
            specs: Vec::new(),
            virtual_packages: Vec::new(),
            locked: Vec::new(),
            mix_channels: false,
        }
    }
}

/// The records that satisfy `request`, each after its dependencies; the same order for the same
/// request. Virtual packages are not among them.
pub fn solve<R: Borrow<RepoDataRecord>>(
    request: &Request<'_, R>,
) -> Result<Vec<RepoDataRecord>, Error> {
    let specs = request
        .specs
        .iter()
        .map(|spec| checked_spec(spec, request.records))
        .collect::<Result<Vec<_>, _>>()?;
    let mut task: SolverTask<'_, Vec<_>> = request
        .records
        .iter()
        .map(|records| records.iter().map(Borrow::borrow))
        .collect();
    task.specs = specs;
    task.virtual_packages.clone_from(&request.virtual_packages);
    task.locked_packages = request.locked.iter().collect();
    task.channel_priority = if request.mix_channels {
        ChannelPriority::Disabled
    } else {
        ChannelPriority::Strict
    };
    let solution = resolvo::Solver.solve(task).map_err(|error| match error {
        SolveError::Unsolvable(reasons) => Error::Unsolvable {
            explanation: reasons.join("\n").trim_end().to_owned(),
        },
        other => Error::Solver(Box::new(other)),
    })?;
    check_names(&solution.records)?;
    Ok(PackageRecord::sort_topologically(solution.records))
}

/// The solver compares channels by URL and expects one exact name per spec.
fn checked_spec<R: Borrow<RepoDataRecord>>(
    spec: &MatchSpec,
    records: &[Vec<R>],
) -> Result<MatchSpec, Error> {
    let refuse = |reason| Error::Spec {
        spec: spec.to_string(),
        reason,
    };
    if spec.name.as_exact().is_none() {
        return Err(refuse("does not name one package"));
    }
    if spec.url.is_some() {
        return Err(refuse(
            "is an archive: list it, with all that it needs, in `environment_file`",
        ));
    }
    let mut spec = spec.clone();
    if let Some(channel) = &spec.channel
        && let Some(offered) = offered_channel(channel, records)
    {
        spec.channel = Some(Arc::new(offered));
    }
    Ok(spec)
}

/// The channel among the offered ones that `wanted` means: a spec says `forge::name`, but the
/// alias may put `forge` on another server, or a folder may stand in for it.
fn offered_channel<R: Borrow<RepoDataRecord>>(
    wanted: &Channel,
    records: &[Vec<R>],
) -> Option<Channel> {
    let offered: Vec<Url> = records
        .iter()
        .filter_map(|records| records.first()?.borrow().channel.as_deref())
        .filter_map(|channel| Url::parse(channel).ok())
        .collect();
    let same_url = |url: &&Url| Channel::from_url((*url).clone()).base_url == wanted.base_url;
    let same_name = |url: &&Url| {
        wanted.name.as_deref().is_some_and(|name| {
            url.path()
                .trim_end_matches('/')
                .strip_suffix(name)
                .is_some_and(|before| before.ends_with('/'))
        })
    };
    offered
        .iter()
        .find(same_url)
        .or_else(|| offered.iter().find(same_name))
        .map(|url| Channel::from_url(url.clone()))
}
